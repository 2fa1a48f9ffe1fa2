// dq of 32 rows of one query head: dq = dS K over the key tiles that the rows see, positions ascending. COLUMNS · 32 is at least D.

#import "shared/grid.wgsl"
#import "shared/math.wgsl"
#import "shared/attention_backward_params.wgsl"

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> span_table: array<u32>;
@group(0) @binding(5) var<storage, read> dout: array<f32>;
@group(0) @binding(6) var<storage, read> statistics: array<f32>;
@group(0) @binding(7) var<storage, read_write> dq: array<f32>;

#import "shared/attention_tiles.wgsl"
#import "shared/attention_pair.wgsl"
#import "shared/attention_rows.wgsl"
#import "shared/attention_gradients.wgsl"

// dS of four rows: [8 groups of rows][32 keys]
var<workgroup> ds_tile: array<vec4<f32>, 256>;

fn tall_four(side: u32, row: u32, d: u32) -> vec4<f32> {
    return query_four(side, row, d);
}

fn wide_four(side: u32, row: u32, d: u32) -> vec4<f32> {
    return key_four(side, row, d);
}

fn store(tile: SpanTile, thread: u32, c: u32, four: vec4<f32>) {
    let d = thread % 32u + 32u * c;
    if d >= params.head_dim {
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        let row = tile.first + thread / 32u * 4u + i;
        if row < tile.end {
            dq[(row * params.kv_heads * params.group + query_head) * params.head_dim + d] = four[i];
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let item = folded_group(group, groups);
    if item >= params.items {
        return;
    }
    let heads = params.kv_heads * params.group;
    let tile = span_tile(item / heads);
    if tile.first >= tile.end {
        return;
    }
    let head = item % heads;
    query_head = head;
    query_row = tile.first;
    key_head = head / params.group;
    span_end = tile.end;

    let lane = thread % 32u;
    let four = thread / 32u * 32u; // this thread's rows in ds_tile
    let rows = vec4<u32>(tile.first + thread / 32u * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let at = min(rows, vec4<u32>(tile.end - 1u)) * heads + head;
    let lse = vec4<f32>(statistics[at.x], statistics[at.y], statistics[at.z], statistics[at.w]);
    let base = at + params.delta_base;
    let delta = vec4<f32>(statistics[base.x], statistics[base.y], statistics[base.z], statistics[base.w]);
    var a0 = vec4<f32>(0.0);
#if COLUMNS >= 2
    var a1 = vec4<f32>(0.0);
#endif
#if COLUMNS >= 4
    var a2 = vec4<f32>(0.0);
    var a3 = vec4<f32>(0.0);
#endif
#if COLUMNS == 8
    var a4 = vec4<f32>(0.0);
    var a5 = vec4<f32>(0.0);
    var a6 = vec4<f32>(0.0);
    var a7 = vec4<f32>(0.0);
#endif
    let last = tile.past + min(tile.first + TILE, tile.end) - tile.start;
    for (var position = 0u; position < last; position += TILE) {
        let key = key_tile_row(tile, position);
        key_row = key;
        let pair = inner_products(thread);
        let visible = vec4<u32>(key + lane) <= rows;
        var ds = vec4<f32>(0.0);
        for (var i = 0u; i < 4u; i++) {
            let p = probability(pair.s[i], lse[i], visible[i]);
            ds[i] = score_gradient(p, pair.dp[i], delta[i], visible[i]);
        }
        // All threads have left the last tile's sums: inner_products has barriers.
        ds_tile[thread] = ds;
        workgroupBarrier();
        let count = min(TILE, tile.end - key);
        for (var j = 0u; j < count; j++) {
            let ds = ds_tile[four + j];
            let vector_at = ((key + j) * params.kv_heads + key_head) * params.head_dim;
            a0 = fma(ds, vec4<f32>(k[vector_at + column(lane, 0u)]), a0);
#if COLUMNS >= 2
            a1 = fma(ds, vec4<f32>(k[vector_at + column(lane, 1u)]), a1);
#endif
#if COLUMNS >= 4
            a2 = fma(ds, vec4<f32>(k[vector_at + column(lane, 2u)]), a2);
            a3 = fma(ds, vec4<f32>(k[vector_at + column(lane, 3u)]), a3);
#endif
#if COLUMNS == 8
            a4 = fma(ds, vec4<f32>(k[vector_at + column(lane, 4u)]), a4);
            a5 = fma(ds, vec4<f32>(k[vector_at + column(lane, 5u)]), a5);
            a6 = fma(ds, vec4<f32>(k[vector_at + column(lane, 6u)]), a6);
            a7 = fma(ds, vec4<f32>(k[vector_at + column(lane, 7u)]), a7);
#endif
        }
    }
    store(tile, thread, 0u, a0);
#if COLUMNS >= 2
    store(tile, thread, 1u, a1);
#endif
#if COLUMNS >= 4
    store(tile, thread, 2u, a2);
    store(tile, thread, 3u, a3);
#endif
#if COLUMNS == 8
    store(tile, thread, 4u, a4);
    store(tile, thread, 5u, a5);
    store(tile, thread, 6u, a6);
    store(tile, thread, 7u, a7);
#endif
}

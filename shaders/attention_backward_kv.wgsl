// dk and dv of 32 keys of one kv head: dv = Pᵀ dout, dk = dSᵀ q over the query tiles that see them, in order; within a tile the heads
// of the group, within a head the rows. A stem's keys are seen by the spans that go on from it as well, whose rows follow its own.
// COLUMNS · 32 is at least D.

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
@group(0) @binding(7) var<storage, read_write> dk: array<f32>;
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;

#import "shared/attention_tiles.wgsl"
#import "shared/attention_pair.wgsl"
#import "shared/attention_rows.wgsl"
#import "shared/attention_gradients.wgsl"

// P and dS of four keys: [8 groups of keys][32 rows]
var<workgroup> p_tile: array<vec4<f32>, 256>;
var<workgroup> ds_tile: array<vec4<f32>, 256>;

fn tall_four(side: u32, row: u32, d: u32) -> vec4<f32> {
    return key_four(side, row, d);
}

fn wide_four(side: u32, row: u32, d: u32) -> vec4<f32> {
    return query_four(side, row, d);
}

fn store(tile: SpanTile, thread: u32, c: u32, key4: vec4<f32>, value4: vec4<f32>) {
    let d = thread % 32u + 32u * c;
    if d >= params.head_dim {
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        let row = tile.first + thread / 32u * 4u + i;
        if row < tile.end {
            let at = (row * params.kv_heads + key_head) * params.head_dim + d;
            dk[at] = key4[i];
            dv[at] = value4[i];
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
    let tile = span_tile(item / params.kv_heads);
    if tile.first >= tile.end {
        return;
    }
    key_head = item % params.kv_heads;
    key_row = tile.first;
    span_end = tile.reach;

    let lane = thread % 32u;
    let four = thread / 32u * 32u; // this thread's keys in the tiles
    let keys = vec4<u32>(tile.first + thread / 32u * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    var k0 = vec4<f32>(0.0);
    var v0 = vec4<f32>(0.0);
#if COLUMNS >= 2
    var k1 = vec4<f32>(0.0);
    var v1 = vec4<f32>(0.0);
#endif
#if COLUMNS >= 4
    var k2 = vec4<f32>(0.0);
    var v2 = vec4<f32>(0.0);
    var k3 = vec4<f32>(0.0);
    var v3 = vec4<f32>(0.0);
#endif
#if COLUMNS == 8
    var k4 = vec4<f32>(0.0);
    var v4 = vec4<f32>(0.0);
    var k5 = vec4<f32>(0.0);
    var v5 = vec4<f32>(0.0);
    var k6 = vec4<f32>(0.0);
    var v6 = vec4<f32>(0.0);
    var k7 = vec4<f32>(0.0);
    var v7 = vec4<f32>(0.0);
#endif
    for (var first = tile.first; first < tile.reach; first += TILE) {
        query_row = first;
        let row = first + lane;
        for (var g = 0u; g < params.group; g++) {
            query_head = key_head * params.group + g;
            let pair = inner_products(thread);
            let at = min(row, tile.reach - 1u) * heads + query_head;
            let lse = statistics[at];
            let delta = statistics[params.delta_base + at];
            var p = vec4<f32>(0.0);
            var ds = vec4<f32>(0.0);
            for (var i = 0u; i < 4u; i++) {
                let visible = keys[i] <= row && row < tile.reach;
                p[i] = probability(pair.s[i], lse, visible);
                ds[i] = score_gradient(p[i], pair.dp[i], delta, visible);
            }
            // All threads have left the last tiles' sums: inner_products has barriers.
            p_tile[thread] = p;
            ds_tile[thread] = ds;
            workgroupBarrier();
            let count = min(TILE, tile.reach - first);
            for (var r = 0u; r < count; r++) {
                let p = p_tile[four + r];
                let ds = ds_tile[four + r];
                let vector_at = ((first + r) * heads + query_head) * params.head_dim;
                k0 = fma(ds, vec4<f32>(q[vector_at + column(lane, 0u)]), k0);
                v0 = fma(p, vec4<f32>(dout[vector_at + column(lane, 0u)]), v0);
#if COLUMNS >= 2
                k1 = fma(ds, vec4<f32>(q[vector_at + column(lane, 1u)]), k1);
                v1 = fma(p, vec4<f32>(dout[vector_at + column(lane, 1u)]), v1);
#endif
#if COLUMNS >= 4
                k2 = fma(ds, vec4<f32>(q[vector_at + column(lane, 2u)]), k2);
                v2 = fma(p, vec4<f32>(dout[vector_at + column(lane, 2u)]), v2);
                k3 = fma(ds, vec4<f32>(q[vector_at + column(lane, 3u)]), k3);
                v3 = fma(p, vec4<f32>(dout[vector_at + column(lane, 3u)]), v3);
#endif
#if COLUMNS == 8
                k4 = fma(ds, vec4<f32>(q[vector_at + column(lane, 4u)]), k4);
                v4 = fma(p, vec4<f32>(dout[vector_at + column(lane, 4u)]), v4);
                k5 = fma(ds, vec4<f32>(q[vector_at + column(lane, 5u)]), k5);
                v5 = fma(p, vec4<f32>(dout[vector_at + column(lane, 5u)]), v5);
                k6 = fma(ds, vec4<f32>(q[vector_at + column(lane, 6u)]), k6);
                v6 = fma(p, vec4<f32>(dout[vector_at + column(lane, 6u)]), v6);
                k7 = fma(ds, vec4<f32>(q[vector_at + column(lane, 7u)]), k7);
                v7 = fma(p, vec4<f32>(dout[vector_at + column(lane, 7u)]), v7);
#endif
            }
        }
    }
    store(tile, thread, 0u, k0, v0);
#if COLUMNS >= 2
    store(tile, thread, 1u, k1, v1);
#endif
#if COLUMNS >= 4
    store(tile, thread, 2u, k2, v2);
    store(tile, thread, 3u, k3, v3);
#endif
#if COLUMNS == 8
    store(tile, thread, 4u, k4, v4);
    store(tile, thread, 5u, k5, v5);
    store(tile, thread, 6u, k6, v6);
    store(tile, thread, 7u, k7, v7);
#endif
}

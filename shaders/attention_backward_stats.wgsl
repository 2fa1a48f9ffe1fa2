// lse = log Σ e^(s · scale) and delta = ⟨dout, out⟩ of 32 rows of one query head.

#import "shared/grid.wgsl"
#import "shared/math.wgsl"
#import "shared/attention_backward_params.wgsl"

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> span_table: array<u32>;
@group(0) @binding(4) var<storage, read> out: array<f32>;
@group(0) @binding(5) var<storage, read> dout: array<f32>;
// Words, not floats: a compiler may assume that no float is NaN.
@group(0) @binding(6) var<storage, read_write> statistics: array<u32>;

#import "shared/attention_tiles.wgsl"
#import "shared/attention_pair.wgsl"
#import "shared/attention_rows.wgsl"

const MASKED: f32 = -1e30;

// [8 groups of four rows][32 lanes]
var<workgroup> lane_m: array<vec4<f32>, 256>;
var<workgroup> lane_l: array<vec4<f32>, 256>;
var<workgroup> parts: array<f32, 256>;

fn tall_four(side: u32, row: u32, d: u32) -> vec4<f32> {
    let at = query_place(row, d);
    if at.count == 0u {
        return vec4<f32>(0.0);
    }
    return low_of(vec4<f32>(q[at.first], q[at.first + 1u], q[at.second], q[at.second + 1u]), at.count);
}

fn wide_four(side: u32, row: u32, d: u32) -> vec4<f32> {
    let at = key_place(row, d);
    if at.count == 0u {
        return vec4<f32>(0.0);
    }
    return low_of(vec4<f32>(k[at.first], k[at.first + 1u], k[at.second], k[at.second + 1u]), at.count);
}

fn exp4(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(exp_clamped(x.x), exp_clamped(x.y), exp_clamped(x.z), exp_clamped(x.w));
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

    // A thread folds its column of every key tile; the 32 columns are merged in order at the end.
    let last = tile.past + min(tile.first + TILE, tile.end) - tile.start;
    let rows = vec4<u32>(tile.first + thread / 32u * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    var m = vec4<f32>(MASKED);
    var l = vec4<f32>(0.0);
    for (var position = 0u; position < last; position += TILE) {
        let key = key_tile_row(tile, position);
        key_row = key;
        let s = inner_products(thread).s * params.scale;
        let visible = vec4<u32>(key + thread % 32u) <= rows;
        let top = max(m, select(vec4<f32>(MASKED), s, visible));
        l = fma(l, exp4(m - top), select(vec4<f32>(0.0), exp4(s - top), visible));
        m = top;
    }
    lane_m[thread] = m;
    lane_l[thread] = l;

    // delta: eight threads a row.
    let row = thread / 8u;
    var sum = 0.0;
    if tile.first + row < tile.end {
        let base = ((tile.first + row) * heads + head) * params.head_dim;
        for (var d = thread % 8u; d < params.head_dim; d += 8u) {
            sum = fma(out[base + d], dout[base + d], sum);
        }
    }
    parts[thread] = sum;
    workgroupBarrier();

    if thread >= TILE || tile.first + thread >= tile.end {
        return;
    }
    let at = (tile.first + thread) * heads + head;
    var delta = 0.0;
    for (var i = 0u; i < 8u; i++) {
        delta += parts[thread * 8u + i];
    }
    let base = thread / 4u * 32u;
    var row_m = MASKED;
    var row_l = 0.0;
    for (var lane = 0u; lane < 32u; lane++) {
        let lane_top = lane_m[base + lane][thread % 4u];
        let top = max(row_m, lane_top);
        row_l = fma(row_l, exp_clamped(row_m - top), lane_l[base + lane][thread % 4u] * exp_clamped(lane_top - top));
        row_m = top;
    }
    statistics[at] = bitcast<u32>(row_m + log(row_l));
    statistics[params.delta_base + at] = bitcast<u32>(delta);
}

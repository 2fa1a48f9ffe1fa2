// A shard's weights, of any format, as f32 into the rows they are of the whole matrix.

#import "shared/grid.wgsl"

struct Params {
    w_rows: u32,      // of this shard
    w_cols: u32,      // K
    w_row_words: u32,
    row_base: u32,    // this shard's first row in the matrix
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

#import "shared/weight.wgsl"

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let eights = (params.w_cols + 7u) / 8u;
    let i = folded_group(group, groups) * 256u + local;
    if i >= params.w_rows * eights {
        return;
    }
    let row = i / eights;
    let k = i % eights * 8u;
    let eight = load_weight8(row, k);
    let at = (params.row_base + row) * params.w_cols + k;
    let count = min(params.w_cols - k, 8u);
    for (var j = 0u; j < count; j++) {
        let four = select(eight.lo, eight.hi, vec4<bool>(j >= 4u));
        let two = select(four.xy, four.zw, vec2<bool>((j & 2u) != 0u));
        y[at + j] = select(two.x, two.y, (j & 1u) != 0u);
    }
}

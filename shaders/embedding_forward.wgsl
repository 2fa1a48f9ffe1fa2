// y[r] = W[ids[r]] for the ids of this shard, eight columns a thread.
#import "shared/grid.wgsl"
#import "shared/weight.wgsl"

struct Params {
    rows: u32,
    w_rows: u32,
    w_cols: u32,
    w_row_words: u32,
    row_base: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = folded_group(group, groups) * 256u + lane;
    let eights = (params.w_cols + 7u) / 8u;
    let row = i / eights;
    if row >= params.rows {
        return;
    }
    // An id before the shard wraps around and is past its end as well.
    let w_row = ids[row] - params.row_base;
    if w_row >= params.w_rows {
        return;
    }
    let k = i % eights * 8u;
    let eight = load_weight8(w_row, k);
    let values = array<f32, 8>(
        eight.lo.x, eight.lo.y, eight.lo.z, eight.lo.w, eight.hi.x, eight.hi.y, eight.hi.z, eight.hi.w,
    );
    for (var j = 0u; j < 8u; j += 1u) {
        if k + j < params.w_cols {
            y[row * params.w_cols + k + j] = values[j];
        }
    }
}

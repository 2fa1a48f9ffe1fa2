// y[index[r]] = x[r]. An index past the end of y moves nothing.
#import "shared/grid.wgsl"

struct Params {
    rows: u32,
    width: u32,
    y_rows: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = folded_group(group, groups) * 256u + lane;
    let row = i / params.width;
    if row >= params.rows {
        return;
    }
    let y_row = index[row];
    if y_row < params.y_rows {
        y[y_row * params.width + i % params.width] = x[i];
    }
}

// The transpose of rope_forward.wgsl: turns every pair back by the angle of its row's position. A thread a pair.
#import "shared/grid.wgsl"

struct Params {
    rows: u32,
    heads: u32,
    half_dim: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = folded_group(group, groups) * 256u + lane;
    let pair = i % params.half_dim;
    let head = i / params.half_dim;
    let row = head / params.heads;
    if row >= params.rows {
        return;
    }
    let angle = positions[row] * 2u * params.half_dim + pair;
    let cosine = table[angle];
    let sine = table[angle + params.half_dim];
    let at = head * 2u * params.half_dim + pair;
    let a = dx[at];
    let b = dx[at + params.half_dim];
    dx[at] = a * cosine + b * sine;
    dx[at + params.half_dim] = b * cosine - a * sine;
}

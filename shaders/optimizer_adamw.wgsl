// One AdamW step of a weight a thread; optimizer.rs has the formula. The factors come from the host, computed in f64.

#import "shared/grid.wgsl"

struct Params {
    count: u32,
    keep: f32,        // 1 - lr λ
    mean: f32,        // 1 - β₁
    square_keep: f32, // β₂
    square: f32,      // 1 - β₂
    root: f32,        // √(1 - β₂^t)
    eps: f32,
    step: f32,        // -lr / (1 - β₁^t)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> clip: array<f32>;
@group(0) @binding(2) var<storage, read> grad: array<f32>;
@group(0) @binding(3) var<storage, read_write> master: array<f32>;
@group(0) @binding(4) var<storage, read_write> m: array<f32>;
@group(0) @binding(5) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded_group(group, groups) * 256u + local;
    if i >= params.count {
        return;
    }
    let g = grad[i] * clip[0];
    let mean = m[i] + params.mean * (g - m[i]);
    let square = v[i] * params.square_keep + params.square * g * g;
    m[i] = mean;
    v[i] = square;
    master[i] = master[i] * params.keep + params.step * mean / (sqrt(square) / params.root + params.eps);
}

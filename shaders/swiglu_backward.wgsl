// gate and up, the forward's inputs, become their gradients: dh · up · σ (1 + g (1 - σ)) and dh · silu(g), σ = 1 / (1 + e^-g).
#import "shared/grid.wgsl"
#import "shared/math.wgsl"

struct Params {
    count: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gate: array<f32>;
@group(0) @binding(2) var<storage, read_write> up: array<f32>;
@group(0) @binding(3) var<storage, read> dh: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = folded_group(group, groups) * 256u + lane;
    if i >= params.count {
        return;
    }
    let g = gate[i];
    // σ and 1 - σ from e^-|g|, neither by a difference.
    let e = exp_clamped(-abs(g));
    let near = 1.0 / (1.0 + e);
    let far = e * near;
    let sigmoid = select(near, far, g < 0.0);
    let rest = select(far, near, g < 0.0);
    gate[i] = dh[i] * up[i] * (sigmoid * fma(g, rest, 1.0));
    up[i] = dh[i] * silu(g);
}

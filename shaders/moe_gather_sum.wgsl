// y[t] += Σ_s d[inverse[t·k+s]], slots in order.

#import "shared/grid.wgsl"

struct Params {
    count: u32, // rows · width
    width: u32,
    top_k: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> inverse: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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
    let row = i / params.width;
    let column = i % params.width;
    var sum = 0.0;
    for (var slot = row * params.top_k; slot < (row + 1u) * params.top_k; slot++) {
        sum += d[inverse[slot] * params.width + column];
    }
    y[i] += sum;
}

// dh[inverse[t,s]] = w[t,s] dy[t] and dw[t,s] = ⟨dy[t], h[inverse[t,s]]⟩. One workgroup an assignment (t, s).

#import "shared/grid.wgsl"

struct Params {
    count: u32, // assignments: rows · k
    width: u32,
    top_k: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> inverse: array<u32>;
@group(0) @binding(5) var<storage, read_write> dh: array<f32>;
@group(0) @binding(6) var<storage, read_write> dweights: array<f32>;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let assignment = folded_group(group, groups);
    if assignment >= params.count {
        return;
    }
    let from_row = assignment / params.top_k * params.width;
    let to_row = inverse[assignment] * params.width;
    let weight = weights[assignment];
    var sum = 0.0;
    for (var i = local; i < params.width; i += 256u) {
        let gradient = dy[from_row + i];
        dh[to_row + i] = weight * gradient;
        sum = fma(gradient, h[to_row + i], sum);
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width /= 2u) {
        if local < width {
            partial[local] += partial[local + width];
        }
        workgroupBarrier();
    }
    if local == 0u {
        dweights[assignment] = partial[0];
    }
}

// h = silu(gate) · up, element by element; gate stays for backward.
#import "shared/grid.wgsl"
#import "shared/math.wgsl"

struct Params {
    count: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;

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
    h[i] = silu(gate[i]) * up[i];
}

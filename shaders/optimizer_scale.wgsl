// x *= by, or x = by (FILL 1).

#import "shared/grid.wgsl"

struct Params {
    count: u32,
    by: f32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded_group(group, groups) * 256u + local;
    if i < params.count {
#if FILL == 1
        x[i] = params.by;
#else
        x[i] *= params.by;
#endif
    }
}

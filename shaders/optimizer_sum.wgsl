// One level of a sum: each workgroup adds 4,096 neighbours, x² at the leaves, sums of the level before above them.
// The tree depends on the count alone. 16 additions by a thread, 8 across threads: a level adds at most 24 roundings.

#import "shared/grid.wgsl"

struct Params {
    count: u32, // elements of this level
    first: u32, // where they begin in `sums`
    next: u32,  // where the next level begins
    last: u32,  // 1: there is one workgroup, whose sum is the result
    index: u32, // of the result in `out`
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = folded_group(group, groups);
    let first = number * 4096u;
    var sum = 0.0;
    for (var step = 0u; step < 16u; step++) {
        let i = first + step * 256u + local;
        if i < params.count {
#if LEAVES == 1
            sum = fma(x[i], x[i], sum);
#else
            sum += sums[params.first + i];
#endif
        }
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
        if params.last != 0u {
            out[params.index] = partial[0];
        } else if first < params.count {
            sums[params.next + number] = partial[0];
        }
    }
}

// dw[id] += every row of dy that has this id, in ascending order. A thread a column of an id. `table` holds (id, first, end) of each
// id, then the rows sorted by id: first and end count in these.
#import "shared/grid.wgsl"

struct Params {
    ids: u32,
    width: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = folded_group(group, groups) * 256u + lane;
    let number = i / params.width;
    let col = i % params.width;
    if number >= params.ids {
        return;
    }
    let at = table[3u * number] * params.width + col;
    let first = table[3u * number + 1u];
    let end = table[3u * number + 2u];
    var sum = dw[at];
    for (var j = first; j < end; j += 1u) {
        sum += dy[table[3u * params.ids + j] * params.width + col];
    }
    dw[at] = sum;
}

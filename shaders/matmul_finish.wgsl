// What another library's product of a shard still lacks: y (=|+=) product (+ bias), into the columns of y that are the shard's.

#import "shared/grid.wgsl"

struct Params {
    count: u32,    // rows · w_rows
    w_rows: u32,   // of this shard
    y_width: u32,  // N
    row_base: u32, // the shard's first row in the weight
    has_bias: u32,
    add: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> product: array<f32>; // [rows, w_rows]
@group(0) @binding(2) var<storage, read> bias: array<f32>;
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
    let column = params.row_base + i % params.w_rows;
    let at = i / params.w_rows * params.y_width + column;
    var sum = product[i];
    if params.has_bias != 0u {
        sum += bias[column];
    }
    if params.add != 0u {
        sum += y[at];
    }
    y[at] = sum;
}

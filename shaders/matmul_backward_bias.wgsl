// One level of a sum over rows, for a bias or a norm's gain: blocks of 64 rows become a row each, or the last block is added to
// `total`. A fixed tree, whatever the device. Rows come from `x` or from `sums`, which keeps the levels one behind the other.
#import "shared/grid.wgsl"

struct Params {
    rows: u32,
    width: u32,
    from_sums: u32,
    to_total: u32,
    read_at: u32,  // first word in `sums`
    write_at: u32, // first word in `sums`
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> total: array<f32>;

const BLOCK = 64u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = folded_group(group, groups) * 256u + lane;
    let block = i / params.width;
    let col = i % params.width;
    let first = block * BLOCK;
    if first >= params.rows {
        return;
    }
    let end = min(first + BLOCK, params.rows);
    var sum = 0.0;
    if params.from_sums != 0u {
        for (var row = first; row < end; row += 1u) {
            sum += sums[params.read_at + row * params.width + col];
        }
    } else {
        for (var row = first; row < end; row += 1u) {
            sum += x[row * params.width + col];
        }
    }
    if params.to_total != 0u {
        total[col] += sum;
    } else {
        sums[params.write_at + i] = sum;
    }
}

// Σ dy x r over blocks of 64 rows, the first level of the gain's gradient; matmul_backward_bias.wgsl adds the blocks. A thread a column
// of a block. `sums` holds r of every row, then the blocks.
#import "shared/grid.wgsl"

struct Params {
    rows: u32,
    width: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

const BLOCK = 64u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = folded_group(group, groups) * 256u + lane;
    let first = i / params.width * BLOCK;
    let col = i % params.width;
    if first >= params.rows {
        return;
    }
    let end = min(first + BLOCK, params.rows);
    var sum = 0.0;
    for (var row = first; row < end; row += 1u) {
        let at = row * params.width + col;
        sum += dy[at] * (x[at] * sums[row]);
    }
    sums[params.rows + i] = sum;
}

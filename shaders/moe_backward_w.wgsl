// dw_e += Σ_i dy[i]ᵀ x[row(i)] over the sorted rows i of expert e. A workgroup has 64 x 64 of one expert's dw and walks its rows.
// The order of every sum: blocks of 256 rows, each a chain of fused multiply-adds from 0 in ascending order, added to dw one after
// the other. That is cpu/gemm.rs's.

struct Params {
    outputs: u32, // N
    cols: u32,    // K
    top_k: u32,
    from_tokens: u32, // 1: sorted row i reads token order[i] / k; 0: it reads row i
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read> offsets: array<u32>;
@group(0) @binding(5) var<storage, read_write> dw: array<f32>;

const TILE = 64u;
const DEPTH = 16u;
const BLOCK = 256u;

var<workgroup> tile_dy: array<f32, 1024>; // [DEPTH, TILE]
var<workgroup> tile_x: array<f32, 1024>;

// A thread's four columns lie 16 apart, as do its rows.
fn put(expert: u32, output: u32, col: u32, sums: vec4<f32>) {
    if output >= params.outputs {
        return;
    }
    for (var j = 0u; j < 4u; j++) {
        let at = col + 16u * j;
        if at < params.cols {
            dw[(expert * params.outputs + output) * params.cols + at] += sums[j];
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let expert = group.z;
    let first = offsets[expert];
    let end = offsets[expert + 1u];
    let first_col = group.x * TILE;
    let first_output = group.y * TILE;
    let lane = local % 16u;
    let line = local / 16u;
    let along = local % TILE;
    for (var block = first; block < end; block += BLOCK) {
        var a0 = vec4<f32>(0.0);
        var a1 = vec4<f32>(0.0);
        var a2 = vec4<f32>(0.0);
        var a3 = vec4<f32>(0.0);
        let block_end = min(block + BLOCK, end);
        for (var start = block; start < block_end; start += DEPTH) {
            for (var i = local / TILE; i < DEPTH; i += 4u) {
                let row = start + i;
                var gradient = 0.0;
                var value = 0.0;
                if row < block_end {
                    if first_output + along < params.outputs {
                        gradient = dy[row * params.outputs + first_output + along];
                    }
                    if first_col + along < params.cols {
                        var source = row;
                        if params.from_tokens != 0u {
                            source = order[row] / params.top_k;
                        }
                        value = x[source * params.cols + first_col + along];
                    }
                }
                tile_dy[i * TILE + along] = gradient;
                tile_x[i * TILE + along] = value;
            }
            workgroupBarrier();
            for (var i = 0u; i < DEPTH; i++) {
                let x_at = i * TILE + lane;
                let values = vec4<f32>(tile_x[x_at], tile_x[x_at + 16u], tile_x[x_at + 32u], tile_x[x_at + 48u]);
                let dy_at = i * TILE + line;
                a0 = fma(vec4<f32>(tile_dy[dy_at]), values, a0);
                a1 = fma(vec4<f32>(tile_dy[dy_at + 16u]), values, a1);
                a2 = fma(vec4<f32>(tile_dy[dy_at + 32u]), values, a2);
                a3 = fma(vec4<f32>(tile_dy[dy_at + 48u]), values, a3);
            }
            workgroupBarrier();
        }
        let output = first_output + line;
        let col = first_col + lane;
        put(expert, output, col, a0);
        put(expert, output + 16u, col, a1);
        put(expert, output + 32u, col, a2);
        put(expert, output + 48u, col, a3);
    }
}

// y = x Wᵀ (+ bias) (+ y), exact: every output is the canonical sum of matmul.rs, whatever the tile.
#import "shared/weight.wgsl"

struct Params {
    rows: u32,
    w_rows: u32,
    w_cols: u32,
    w_row_words: u32,
    y_width: u32,
    row_base: u32,
    has_bias: u32,
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<private> first_row: u32;
var<private> first_col: u32; // of the shard

fn tile_x(row: u32, k: u32) -> f32 {
    if first_row + row >= params.rows || k >= params.w_cols {
        return 0.0;
    }
    return x[(first_row + row) * params.w_cols + k];
}

fn tile_w8(col: u32, k: u32) -> Weight8 {
    if first_col + col >= params.w_rows {
        return Weight8();
    }
    return load_weight8(first_col + col, k);
}

#import "shared/matmul_tile.wgsl"

fn store(row: u32, col: u32, sum: f32) {
    if row >= params.rows || col >= params.w_rows {
        return;
    }
    var value = sum;
    if params.has_bias != 0u {
        value += bias[params.row_base + col];
    }
    let at = row * params.y_width + params.row_base + col;
    if params.add != 0u {
        value += y[at];
    }
    y[at] = value;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    first_row = group.y * TILE_ROWS;
    first_col = group.x * TILE_COLS;
    let sums = matmul_tile(thread);
    for (var i = 0u; i < tile_sums(thread); i++) {
        store(first_row + tile_row(thread, i), first_col + tile_col(thread), sums[i]);
    }
}

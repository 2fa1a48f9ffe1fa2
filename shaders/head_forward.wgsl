// Logits of one tile, rows by 64 vocabulary columns, folded at once: (m, s, u, z of the target or ABSENT) of each row and tile go to
// `partials` [rows, tiles] and the logits nowhere.

struct Params {
    first_row: u32, // of the row block
    rows: u32,      // of the row block
    first_id: u32,  // vocabulary id of the shard's first row
    columns: u32,   // vocabulary rows of the shard
    w_cols: u32,    // K
    w_row_words: u32,
    first_tile: u32,
    tiles: u32,     // of the whole vocabulary
    inverse_temperature: f32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;

#import "shared/weight.wgsl"
#import "shared/softmax_fold.wgsl"

var<workgroup> first_tile_row: u32;
var<workgroup> first_tile_column: u32;
var<workgroup> z_tile: array<f32, {{64 * TY * TM}}>; // [row][column]

fn tile_x(row: u32, k: u32) -> f32 {
    let r = first_tile_row + row;
    if r >= params.rows || k >= params.w_cols {
        return 0.0;
    }
    return x[(params.first_row + r) * params.w_cols + k];
}

fn tile_w8(column: u32, k: u32) -> Weight8 {
    let c = first_tile_column + column;
    if c >= params.columns {
        return Weight8();
    }
    return load_weight8(c, k);
}

#import "shared/gemm_tile.wgsl"

@compute @workgroup_size({{16 * TY}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if local == 0u {
        first_tile_column = group.x * TILE_COLUMNS;
        first_tile_row = group.y * TILE_ROWS;
    }
    workgroupBarrier();
    let sum = gemm_tile(params.w_cols, local);
    for (var i = 0u; i < TM; i++) {
        for (var c = 0u; c < 4u; c++) {
            z_tile[(local / 16u * TM + i) * 64u + local % 16u * 4u + c] = sum[i][c] * params.inverse_temperature;
        }
    }
    workgroupBarrier();
    let row = group.y * TILE_ROWS + local;
    if local >= TILE_ROWS || row >= params.rows {
        return;
    }
    let count = min(FOLD_TILE, params.columns - group.x * TILE_COLUMNS);
    var fold = empty_fold();
    for (var c = 0u; c < count; c++) {
        fold.m = max(fold.m, z_tile[local * 64u + c]);
    }
    for (var c = 0u; c < count; c++) {
        fold = fold_add(fold, z_tile[local * 64u + c]);
    }
    let column = targets[params.first_row + row] - params.first_id - group.x * TILE_COLUMNS;
    var z = ABSENT;
    if column < count {
        z = z_tile[local * 64u + column];
    }
    partials[row * params.tiles + params.first_tile + group.x] = vec4<f32>(fold.m, fold.s, fold.u, z);
}

// Logits of one tile, rows by 32 vocabulary columns, folded at once: (m, s, u, z of the target or ABSENT) of each row and tile go to
// `partials` [rows, tiles] and the logits nowhere. With cuts as many again follow: (Σ e^(z-m) of the kept columns, 1 if the target is below
// the cut).

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
    has_cut: u32, // 0: `cuts` fills the binding
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read> cuts: array<f32>; // of logits before τ
@group(0) @binding(5) var<storage, read_write> partials: array<vec4<f32>>;

#import "shared/weight.wgsl"
#import "shared/softmax_fold.wgsl"

var<private> first_row: u32; // within the row block
var<private> first_col: u32; // within the shard

fn tile_x(row: u32, k: u32) -> f32 {
    if first_row + row >= params.rows || k >= params.w_cols {
        return 0.0;
    }
    return x[(params.first_row + first_row + row) * params.w_cols + k];
}

fn tile_w8(col: u32, k: u32) -> Weight8 {
    if first_col + col >= params.columns {
        return Weight8();
    }
    return load_weight8(first_col + col, k);
}

#import "shared/matmul_tile.wgsl"

const LOGITS: u32 = TILE_ROWS * TILE_COLS;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    first_row = group.y * TILE_ROWS;
    first_col = group.x * TILE_COLS;
    let sums = matmul_tile(local);
    // `tile` becomes z [row][column], and from LOGITS on the logits before τ.
    for (var i = 0u; i < tile_sums(local); i++) {
        let at = tile_row(local, i) * TILE_COLS + tile_col(local);
        tile[at] = sums[i] * params.inverse_temperature;
        tile[LOGITS + at] = sums[i];
    }
    workgroupBarrier();
    let row = first_row + local;
    if local >= TILE_ROWS || row >= params.rows {
        return;
    }
    let count = min(FOLD_TILE, params.columns - first_col);
    var fold = empty_fold();
    for (var c = 0u; c < count; c++) {
        fold.m = max(fold.m, tile[local * TILE_COLS + c]);
    }
    for (var c = 0u; c < count; c++) {
        fold = fold_add(fold, tile[local * TILE_COLS + c]);
    }
    let col = targets[params.first_row + row] - params.first_id - first_col;
    var z = ABSENT;
    if col < count {
        z = tile[local * TILE_COLS + col];
    }
    let to = row * params.tiles + params.first_tile + group.x;
    partials[to] = vec4<f32>(fold.m, fold.s, fold.u, z);
    if params.has_cut != 0u {
        let cut = cuts[params.first_row + row];
        var kept = 0.0;
        var dropped = 0.0;
        for (var c = 0u; c < count; c++) {
            let below_cut = tile[LOGITS + local * TILE_COLS + c] < cut;
            if !below_cut || c == col { // a target counts as kept
                kept += exp(below(tile[local * TILE_COLS + c], fold.m));
            }
            if below_cut && c == col {
                dropped = 1.0;
            }
        }
        partials[params.rows * params.tiles + to] = vec4<f32>(kept, dropped, 0.0, 0.0);
    }
}

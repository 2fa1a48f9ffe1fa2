// y[i] = x[row(i)] · W_eᵀ for the sorted rows i of each expert e of one shard.
// The grid is the worst case for any routing, floor(assignments / tile) + experts row tiles; a workgroup finds its expert by counting
// the tiles of those before it, and leaves if there is none.

#import "shared/grid.wgsl"

struct Params {
    first_expert: u32,  // of this shard
    experts: u32,       // of this shard
    columns: u32,       // N of an expert
    pad0: u32,
    w_cols: u32,        // K
    w_row_words: u32,
    top_k: u32,
    from_tokens: u32,   // 1: sorted row i reads token order[i] / k; 0: it reads row i
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read> weight: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

#import "shared/weight.wgsl"

var<workgroup> tile_counts: array<u32, {{16 * TY}}>;
var<workgroup> found_expert: u32;
var<workgroup> found_row: u32;
var<workgroup> tile_rows: array<u32, {{TY * TM}}>; // row of x, or NOBODY
var<workgroup> tile_weight: u32;                   // first weight row of the tile's columns
var<workgroup> tile_columns: u32;                  // columns of the tile that exist

const NOBODY: u32 = 0xffffffffu;

fn tile_x(row: u32, k: u32) -> f32 {
    let from_row = tile_rows[row];
    if from_row == NOBODY || k >= params.w_cols {
        return 0.0;
    }
    return x[from_row * params.w_cols + k];
}

fn tile_w8(column: u32, k: u32) -> Weight8 {
    if column >= tile_columns {
        return Weight8();
    }
    return load_weight8(tile_weight + column, k);
}

#import "shared/gemm_tile.wgsl"

fn tiles_of(expert: u32) -> u32 {
    return (offsets[expert + 1u] - offsets[expert] + TILE_ROWS - 1u) / TILE_ROWS;
}

// Leaves the expert (of the shard) and first sorted row of row tile `tile` in `found_*`, or NOBODY.
fn find_tile(tile: u32, local: u32) {
    if local == 0u {
        found_expert = NOBODY;
        found_row = 0u;
    }
    let run = (params.experts + THREADS - 1u) / THREADS;
    let first = min(local * run, params.experts);
    let last = min(first + run, params.experts);
    var mine = 0u;
    for (var e = first; e < last; e++) {
        mine += tiles_of(params.first_expert + e);
    }
    tile_counts[local] = mine;
    workgroupBarrier();
    var start = 0u;
    for (var i = 0u; i < local; i++) {
        start += tile_counts[i];
    }
    if tile >= start && tile < start + mine {
        for (var e = first; e < last; e++) {
            let tiles = tiles_of(params.first_expert + e);
            if tile >= start && tile < start + tiles {
                found_expert = e;
                found_row = offsets[params.first_expert + e] + (tile - start) * TILE_ROWS;
            }
            start += tiles;
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size({{16 * TY}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    find_tile(group.y, local);
    let expert = workgroupUniformLoad(&found_expert);
    if expert == NOBODY {
        return;
    }
    let first = found_row;
    let end = offsets[params.first_expert + expert + 1u];
    let first_column = group.x * TILE_COLUMNS;
    if local == 0u {
        tile_weight = expert * params.columns + first_column;
        tile_columns = min(TILE_COLUMNS, params.columns - first_column);
    }
    for (var i = local; i < TILE_ROWS; i += THREADS) {
        let sorted = first + i;
        var from_row = NOBODY;
        if sorted < end {
            from_row = sorted;
            if params.from_tokens != 0u {
                from_row = order[sorted] / params.top_k;
            }
        }
        tile_rows[i] = from_row;
    }
    workgroupBarrier();
    let sum = gemm_tile(params.w_cols, local);
    let column = first_column + local % 16u * 4u;
    for (var i = 0u; i < TM; i++) {
        let sorted = first + local / 16u * TM + i;
        if sorted < end {
            for (var c = 0u; c < 4u; c++) {
                if column + c < params.columns {
                    y[sorted * params.columns + column + c] = sum[i][c];
                }
            }
        }
    }
}

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

// What this workgroup works on; each thread holds the same.
var<private> expert: u32;    // of the shard
var<private> first: u32;     // first sorted row
var<private> end: u32;       // end of the expert's sorted rows
var<private> first_col: u32; // within the expert

fn tile_x(row: u32, k: u32) -> f32 {
    let sorted = first + row;
    if sorted >= end || k >= params.w_cols {
        return 0.0;
    }
    var source = sorted;
    if params.from_tokens != 0u {
        source = order[sorted] / params.top_k;
    }
    return x[source * params.w_cols + k];
}

fn tile_w8(col: u32, k: u32) -> Weight8 {
    if first_col + col >= params.columns {
        return Weight8();
    }
    return load_weight8(expert * params.columns + first_col + col, k);
}

#import "shared/matmul_tile.wgsl"

fn tiles_of(e: u32) -> u32 {
    let at = params.first_expert + e;
    return (offsets[at + 1u] - offsets[at] + TILE_ROWS - 1u) / TILE_ROWS;
}

// Finds the expert and first sorted row of row tile `number`; false if there is none. The thread that owns the expert leaves both in
// words 256 and 257 of `tile`, after everyone's tile counts.
fn find_tile(number: u32, local: u32) -> bool {
    let run = (params.experts + 255u) / 256u;
    let run_first = min(local * run, params.experts);
    let run_last = min(run_first + run, params.experts);
    var mine = 0u;
    for (var e = run_first; e < run_last; e++) {
        mine += tiles_of(e);
    }
    tile[local] = f32(mine);
    if local == 0u {
        tile[256] = -1.0;
    }
    workgroupBarrier();
    var start = 0u;
    for (var i = 0u; i < local; i++) {
        start += u32(tile[i]);
    }
    if number >= start && number < start + mine {
        for (var e = run_first; e < run_last; e++) {
            let tiles = tiles_of(e);
            if number >= start && number < start + tiles {
                tile[256] = f32(e);
                tile[257] = f32(number - start);
            }
            start += tiles;
        }
    }
    let found = workgroupUniformLoad(&tile[256]);
    if found < 0.0 {
        return false;
    }
    expert = u32(found);
    let at = params.first_expert + expert;
    first = offsets[at] + u32(tile[257]) * TILE_ROWS;
    end = offsets[at + 1u];
    workgroupBarrier();
    return true;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if !find_tile(group.y, local) {
        return;
    }
    first_col = group.x * TILE_COLS;
    let sums = matmul_tile(local);
    let col = first_col + tile_col(local);
    for (var i = 0u; i < tile_sums(local); i++) {
        let sorted = first + tile_row(local, i);
        if sorted < end && col < params.columns {
            y[sorted * params.columns + col] = sums[i];
        }
    }
}

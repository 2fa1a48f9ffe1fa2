// dz of one tile, rows by 32 ids of a chunk of the vocabulary: the logits as `head_forward` sums them, turned into their gradients.
// dz = (g (1[id = target] - p) - h p (log p + H)) / τ, to `dz` [rows, stride]. With cuts p is among the kept ids, 0 for the others, and
// there is no h.

#import "shared/math.wgsl"

struct Params {
    first_row: u32, // of the row block
    rows: u32,      // of the row block
    first_id: u32,  // vocabulary id of the chunk's first row
    columns: u32,   // ids of the chunk
    w_cols: u32,    // K
    w_row_words: u32,
    shard_row: u32, // the chunk's first row within its shard
    stride: u32,
    inverse_temperature: f32,
    has_entropy: u32, // 1: `dentropy` is a gradient; 0: it fills the binding
    has_cut: u32,     // 1: `entropy` holds cuts, `lse` is of the kept ids
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> entropy: array<f32>;
@group(0) @binding(6) var<storage, read> dlogprob: array<f32>;
@group(0) @binding(7) var<storage, read> dentropy: array<f32>;
@group(0) @binding(8) var<storage, read_write> dz: array<f32>;

#import "shared/weight.wgsl"

var<private> first_row: u32; // within the row block
var<private> first_col: u32; // within the chunk

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
    return load_weight8(params.shard_row + first_col + col, k);
}

#import "shared/matmul_tile.wgsl"

fn store(row: u32, col: u32, sum: f32) {
    if row >= params.rows || col >= params.columns {
        return;
    }
    let at = params.first_row + row;
    let log_p = sum * params.inverse_temperature - lse[at];
    var upstream = dlogprob[at];
    if params.has_entropy != 0u {
        upstream = fma(dentropy[at], log_p + entropy[at], upstream);
    }
    // Below e^-88 p is 0 in f32, and p log p with it; a NaN passes.
    var gradient = select(-exp_clamped(log_p) * upstream, 0.0, log_p < -88.0);
    let is_target = targets[at] == params.first_id + col;
    // A target below its cut counts as kept.
    if params.has_cut != 0u && sum < entropy[at] && !is_target {
        gradient = 0.0;
    }
    if is_target {
        gradient += dlogprob[at];
    }
    dz[row * params.stride + col] = gradient * params.inverse_temperature;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    first_row = group.y * TILE_ROWS;
    first_col = group.x * TILE_COLS;
    let sums = matmul_tile(thread);
    for (var i = 0u; i < tile_sums(thread); i++) {
        store(group.y * TILE_ROWS + tile_row(thread, i), group.x * TILE_COLS + tile_col(thread), sums[i]);
    }
}

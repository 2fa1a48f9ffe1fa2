// dx = dy W, or dx + dy W: the rows of one shard of W are the inner steps. A sum goes on from what dx holds where `add` says so, so
// shards change no bit.
#import "shared/weight.wgsl"

struct Params {
    rows: u32,
    w_rows: u32,
    w_cols: u32,
    w_row_words: u32,
    dy_width: u32,
    row_base: u32,
    add: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

#import "shared/outer_tile.wgsl"

var<private> first_row: u32;
var<private> first_col: u32;

fn dy_at(row: u32, step: u32) -> f32 {
    if row >= params.rows || step >= params.w_rows {
        return 0.0;
    }
    return dy[row * params.dy_width + params.row_base + step];
}

var<private> next_a: vec4<f32>;
var<private> next_b: Weight8;

fn fetch(thread: u32, first: u32) {
    // Neighbouring threads read neighbouring columns of dy.
    let step = first + thread % TILE_DEPTH;
    let row = first_row + 4u * (thread / TILE_DEPTH);
    next_a = vec4<f32>(dy_at(row, step), dy_at(row + 1u, step), dy_at(row + 2u, step), dy_at(row + 3u, step));
    // Half of the threads have eight weights each.
    let w_row = first + thread / (TILE_SIDE / 8u);
    next_b = Weight8();
    if thread < 128u && w_row < params.w_rows {
        next_b = load_weight8(w_row, first_col + 8u * (thread % (TILE_SIDE / 8u)));
    }
}

fn put(thread: u32) {
    a_tile[thread % TILE_DEPTH * A_STRIDE + thread / TILE_DEPTH] = next_a;
    if thread < 128u {
        b_tile[2u * thread] = next_b.lo;
        b_tile[2u * thread + 1u] = next_b.hi;
    }
}

fn begin(tile_row: u32, tile_col: u32) -> vec4<f32> {
    var sums = vec4<f32>(0.0);
    let row = first_row + tile_row;
    let col = first_col + tile_col;
    if params.add != 0u && row < params.rows {
        for (var i = 0u; i < 4u && col + i < params.w_cols; i += 1u) {
            sums[i] = dx[row * params.w_cols + col + i];
        }
    }
    return sums;
}

fn finish(tile_row: u32, tile_col: u32, sums: vec4<f32>) {
    let row = first_row + tile_row;
    let col = first_col + tile_col;
    if row < params.rows {
        for (var i = 0u; i < 4u && col + i < params.w_cols; i += 1u) {
            dx[row * params.w_cols + col + i] = sums[i];
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    first_row = group.y * TILE_SIDE;
    first_col = group.x * TILE_SIDE;
    fetch(thread, 0u);
    tile_begin(thread);
    for (var step = 0u; step < params.w_rows; step += TILE_DEPTH) {
        tile_add(thread, step);
    }
    tile_end(thread);
}

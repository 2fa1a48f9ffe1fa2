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

fn load_tiles(thread: u32, first: u32) {
    // Neighbouring threads read neighbouring columns of dy.
    let step = thread % TILE_DEPTH;
    let quad = thread / TILE_DEPTH;
    let row = first_row + 4u * quad;
    a_tile[step * A_STRIDE + quad] = vec4<f32>(
        dy_at(row, first + step), dy_at(row + 1u, first + step), dy_at(row + 2u, first + step), dy_at(row + 3u, first + step),
    );
    if thread < 128u {
        let eight = thread % (TILE_SIDE / 8u);
        let w_row = thread / (TILE_SIDE / 8u);
        var values = Weight8();
        if first + w_row < params.w_rows {
            values = load_weight8(first + w_row, first_col + 8u * eight);
        }
        b_tile[w_row * TILE_QUADS + 2u * eight] = values.lo;
        b_tile[w_row * TILE_QUADS + 2u * eight + 1u] = values.hi;
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
    tile_begin(thread);
    for (var step = 0u; step < params.w_rows; step += TILE_DEPTH) {
        tile_add(thread, step);
    }
    tile_end(thread);
}

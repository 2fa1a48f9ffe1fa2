// dw += dyᵀ x: the rows of dy and x are the inner steps. Blocks of 256 rows are summed from 0 and added one after the other, as on
// the CPU: a sum over many tokens keeps its accuracy, and rows that come in parts cut there give the bits of all at once.

struct Params {
    rows: u32,
    dy_width: u32,
    x_width: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;

#import "shared/outer_tile.wgsl"

const BLOCK = 256u;

var<private> first_row: u32; // of dw: a column of dy
var<private> first_col: u32;

fn dy_at(step: u32, col: u32) -> f32 {
    if step >= params.rows || col >= params.dy_width {
        return 0.0;
    }
    return dy[step * params.dy_width + col];
}

fn x_at(step: u32, col: u32) -> f32 {
    if step >= params.rows || col >= params.x_width {
        return 0.0;
    }
    return x[step * params.x_width + col];
}

var<private> next_a: vec4<f32>;
var<private> next_b: vec4<f32>;

fn fetch(thread: u32, first: u32) {
    let at = first + thread / TILE_QUADS;
    let row = first_row + 4u * (thread % TILE_QUADS);
    let col = first_col + 4u * (thread % TILE_QUADS);
    next_a = vec4<f32>(dy_at(at, row), dy_at(at, row + 1u), dy_at(at, row + 2u), dy_at(at, row + 3u));
    next_b = vec4<f32>(x_at(at, col), x_at(at, col + 1u), x_at(at, col + 2u), x_at(at, col + 3u));
}

fn put(thread: u32) {
    a_tile[thread / TILE_QUADS * A_STRIDE + thread % TILE_QUADS] = next_a;
    b_tile[thread] = next_b;
}

fn begin(tile_row: u32, tile_col: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}

fn finish(tile_row: u32, tile_col: u32, sums: vec4<f32>) {
    let row = first_row + tile_row;
    let col = first_col + tile_col;
    if row < params.dy_width {
        for (var i = 0u; i < 4u && col + i < params.x_width; i += 1u) {
            dw[row * params.x_width + col + i] += sums[i];
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    first_row = group.y * TILE_SIDE;
    first_col = group.x * TILE_SIDE;
    fetch(thread, 0u);
    for (var block = 0u; block < params.rows; block += BLOCK) {
        tile_begin(thread);
        let end = min(block + BLOCK, params.rows);
        for (var step = block; step < end; step += TILE_DEPTH) {
            tile_add(thread, step);
        }
        tile_end(thread);
    }
}

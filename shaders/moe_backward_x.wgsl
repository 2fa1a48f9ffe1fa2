// dx[i] (=|+=) dy[i] W_e for the sorted rows i of each expert e of one shard.
// A tile is 64 columns of 16 (TILE 0) or 64 (TILE 1) rows; the grid is the worst case for any routing, as `moe_matmul`'s.
// The order of every sum, whatever the tile: blocks of 256 outputs of the expert, each a chain of fused multiply-adds from 0 in
// ascending order, added to dx one after the other. That is cpu/gemm.rs's.

struct Params {
    first_expert: u32, // of this shard
    experts: u32,      // of this shard
    outputs: u32,      // N of an expert
    add: u32,          // 0: dx is stored
    w_cols: u32,       // K
    w_row_words: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

#import "shared/weight.wgsl"

#if TILE == 1
const TILE_ROWS = 64u;
#else
const TILE_ROWS = 16u;
#endif
const TILE_COLS = 64u;
const DEPTH = 16u;
const BLOCK = 256u;
const STRIDE = 65u; // of a line of `tile_dy`: neighbours in other banks

var<workgroup> tile_dy: array<f32, 1040>; // [DEPTH, STRIDE]
var<workgroup> tile_w: array<f32, 1024>;  // [DEPTH, TILE_COLS]
var<workgroup> counts: array<u32, 256>;
var<workgroup> found: vec2<u32>; // expert of the shard, row tile within it

const NOBODY: u32 = 0xffffffffu;

fn tiles_of(e: u32) -> u32 {
    let at = params.first_expert + e;
    return (offsets[at + 1u] - offsets[at] + TILE_ROWS - 1u) / TILE_ROWS;
}

// The expert and row tile that tile `number` of the shard is. A thread counts a run of experts.
fn find_tile(number: u32, local: u32) -> vec2<u32> {
    let run = (params.experts + 255u) / 256u;
    let run_first = min(local * run, params.experts);
    let run_last = min(run_first + run, params.experts);
    var mine = 0u;
    for (var e = run_first; e < run_last; e++) {
        mine += tiles_of(e);
    }
    counts[local] = mine;
    if local == 0u {
        found = vec2<u32>(NOBODY, 0u);
    }
    workgroupBarrier();
    var start = 0u;
    for (var i = 0u; i < local; i++) {
        start += counts[i];
    }
    if number >= start && number < start + mine {
        for (var e = run_first; e < run_last; e++) {
            let tiles = tiles_of(e);
            if number >= start && number < start + tiles {
                found = vec2<u32>(e, number - start);
            }
            start += tiles;
        }
    }
    return workgroupUniformLoad(&found);
}

// A thread's four columns lie 16 apart, as do its rows.
fn put(row: u32, end: u32, col: u32, sums: vec4<f32>, store: bool) {
    if row >= end {
        return;
    }
    for (var j = 0u; j < 4u; j++) {
        let at = col + 16u * j;
        if at < params.w_cols {
            let i = row * params.w_cols + at;
            dx[i] = select(dx[i] + sums[j], sums[j], store);
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let tile = find_tile(group.y, local);
    if tile.x == NOBODY {
        return;
    }
    let first = offsets[params.first_expert + tile.x] + tile.y * TILE_ROWS;
    let end = offsets[params.first_expert + tile.x + 1u];
    let first_col = group.x * TILE_COLS;
    let lane = local % 16u;
    let line = local / 16u;
    for (var block = 0u; block < params.outputs; block += BLOCK) {
        var a0 = vec4<f32>(0.0);
#if TILE == 1
        var a1 = vec4<f32>(0.0);
        var a2 = vec4<f32>(0.0);
        var a3 = vec4<f32>(0.0);
#endif
        for (var n = block; n < min(block + BLOCK, params.outputs); n += DEPTH) {
            for (var row = line; row < TILE_ROWS; row += 16u) {
                var value = 0.0;
                if first + row < end && n + lane < params.outputs {
                    value = dy[(first + row) * params.outputs + n + lane];
                }
                tile_dy[lane * STRIDE + row] = value;
            }
            if local < 128u {
                var eight = Weight8();
                let k = local % 8u * 8u;
                let output = n + local / 8u;
                if output < params.outputs {
                    eight = load_weight8(tile.x * params.outputs + output, first_col + k);
                }
                let at = local / 8u * TILE_COLS + k;
                tile_w[at] = eight.lo.x;
                tile_w[at + 1u] = eight.lo.y;
                tile_w[at + 2u] = eight.lo.z;
                tile_w[at + 3u] = eight.lo.w;
                tile_w[at + 4u] = eight.hi.x;
                tile_w[at + 5u] = eight.hi.y;
                tile_w[at + 6u] = eight.hi.z;
                tile_w[at + 7u] = eight.hi.w;
            }
            workgroupBarrier();
            for (var i = 0u; i < DEPTH; i++) {
                let w_at = i * TILE_COLS + lane;
                let w = vec4<f32>(tile_w[w_at], tile_w[w_at + 16u], tile_w[w_at + 32u], tile_w[w_at + 48u]);
                let dy_at = i * STRIDE + line;
                a0 = fma(vec4<f32>(tile_dy[dy_at]), w, a0);
#if TILE == 1
                a1 = fma(vec4<f32>(tile_dy[dy_at + 16u]), w, a1);
                a2 = fma(vec4<f32>(tile_dy[dy_at + 32u]), w, a2);
                a3 = fma(vec4<f32>(tile_dy[dy_at + 48u]), w, a3);
#endif
            }
            workgroupBarrier();
        }
        let store = block == 0u && params.add == 0u;
        let col = first_col + lane;
        put(first + line, end, col, a0, store);
#if TILE == 1
        put(first + line + 16u, end, col, a1, store);
        put(first + line + 32u, end, col, a2, store);
        put(first + line + 48u, end, col, a3, store);
#endif
    }
}

// One tile of x Wᵀ, exact: every output is the canonical sum of matmul.rs, whatever the tile, so its bits are those of `matmul_forward`.
// Sixteen lanes own the columns k ≡ lane (mod 16) of their group's outputs; a fixed tree folds them at the end.
// TILE 1: 32 x 32 outputs, a thread has 8 x 8. TILE 0, for few rows: 4 x 32 outputs, a thread has 4 x 2.
//
// The importing shader gives `tile_x(row, k)` and `tile_w8(col, k)`, eight weights from k on; both count rows and columns within the
// tile and give 0 outside the matrices. `tile` is all the workgroup memory there is: it is free before and after.

#if TILE == 1
const TILE_ROWS = 32u;
#else
const TILE_ROWS = 4u;
#endif
const TILE_COLS = 32u;
const TILE_K = 64u;
const W_TILE = 2048u;

// x at [k / 16][row][k % 16], then W at W_TILE the same way; later the lanes' partial sums. 16 KiB.
var<workgroup> tile: array<f32, 4096>;

fn load_tile(thread: u32, first_k: u32) {
    for (var i = thread; i < TILE_ROWS * TILE_K; i += 256u) {
        let row = i / TILE_K;
        let k = i % TILE_K;
        tile[(k / 16u * TILE_ROWS + row) * 16u + k % 16u] = tile_x(row, first_k + k);
    }
    let col = thread / 8u;
    let k = thread % 8u * 8u;
    let eight = tile_w8(col, first_k + k);
    let at = W_TILE + (k / 16u * TILE_COLS + col) * 16u + k % 16u;
    tile[at] = eight.lo.x;
    tile[at + 1u] = eight.lo.y;
    tile[at + 2u] = eight.lo.z;
    tile[at + 3u] = eight.lo.w;
    tile[at + 4u] = eight.hi.x;
    tile[at + 5u] = eight.hi.y;
    tile[at + 6u] = eight.hi.z;
    tile[at + 7u] = eight.hi.w;
}

// Partial sum `slot` of 16 of this thread's group.
fn keep(thread: u32, slot: u32, four: vec4<f32>) {
    let at = (thread / 16u * 16u + slot) * 16u + thread % 16u;
    tile[at] = four.x;
    tile[at + 16u] = four.y;
    tile[at + 32u] = four.z;
    tile[at + 48u] = four.w;
}

// The sixteen lanes of one output: l += l + 8, then + 4, + 2, + 1.
fn lanes_sum(output: u32) -> f32 {
    let at = output * 16u;
    let a = vec4<f32>(tile[at], tile[at + 1u], tile[at + 2u], tile[at + 3u]);
    let b = vec4<f32>(tile[at + 4u], tile[at + 5u], tile[at + 6u], tile[at + 7u]);
    let c = vec4<f32>(tile[at + 8u], tile[at + 9u], tile[at + 10u], tile[at + 11u]);
    let d = vec4<f32>(tile[at + 12u], tile[at + 13u], tile[at + 14u], tile[at + 15u]);
    let four = (a + c) + (b + d);
    let two = four.xy + four.zw;
    return two.x + two.y;
}

// The sums of up to four outputs: see `tile_sums`, `tile_row`, `tile_col`.
fn matmul_tile(thread: u32) -> vec4<f32> {
    let lane = thread % 16u;
#if TILE == 1
    let row = thread / 64u;
    let col = thread / 16u % 4u;
    var a0 = vec4<f32>(0.0);
    var a1 = vec4<f32>(0.0);
    var a2 = vec4<f32>(0.0);
    var a3 = vec4<f32>(0.0);
    var a4 = vec4<f32>(0.0);
    var a5 = vec4<f32>(0.0);
    var a6 = vec4<f32>(0.0);
    var a7 = vec4<f32>(0.0);
    var b0 = vec4<f32>(0.0);
    var b1 = vec4<f32>(0.0);
    var b2 = vec4<f32>(0.0);
    var b3 = vec4<f32>(0.0);
    var b4 = vec4<f32>(0.0);
    var b5 = vec4<f32>(0.0);
    var b6 = vec4<f32>(0.0);
    var b7 = vec4<f32>(0.0);
#else
    let col = thread / 16u;
    var a0 = vec4<f32>(0.0);
    var a1 = vec4<f32>(0.0);
#endif
    for (var first_k = 0u; first_k < params.w_cols; first_k += TILE_K) {
        load_tile(thread, first_k);
        workgroupBarrier();
        for (var step = 0u; step < TILE_K / 16u; step += 1u) {
            let w_at = W_TILE + (step * TILE_COLS + col) * 16u + lane;
#if TILE == 1
            // Rows row + 4 i and columns col + 4 j: neighbouring groups read neighbouring banks.
            let x_at = (step * TILE_ROWS + row) * 16u + lane;
            let wa = vec4<f32>(tile[w_at], tile[w_at + 64u], tile[w_at + 128u], tile[w_at + 192u]);
            let wb = vec4<f32>(tile[w_at + 256u], tile[w_at + 320u], tile[w_at + 384u], tile[w_at + 448u]);
            let x0 = vec4<f32>(tile[x_at]);
            let x1 = vec4<f32>(tile[x_at + 64u]);
            let x2 = vec4<f32>(tile[x_at + 128u]);
            let x3 = vec4<f32>(tile[x_at + 192u]);
            let x4 = vec4<f32>(tile[x_at + 256u]);
            let x5 = vec4<f32>(tile[x_at + 320u]);
            let x6 = vec4<f32>(tile[x_at + 384u]);
            let x7 = vec4<f32>(tile[x_at + 448u]);
            a0 = fma(x0, wa, a0);
            a1 = fma(x1, wa, a1);
            a2 = fma(x2, wa, a2);
            a3 = fma(x3, wa, a3);
            a4 = fma(x4, wa, a4);
            a5 = fma(x5, wa, a5);
            a6 = fma(x6, wa, a6);
            a7 = fma(x7, wa, a7);
            b0 = fma(x0, wb, b0);
            b1 = fma(x1, wb, b1);
            b2 = fma(x2, wb, b2);
            b3 = fma(x3, wb, b3);
            b4 = fma(x4, wb, b4);
            b5 = fma(x5, wb, b5);
            b6 = fma(x6, wb, b6);
            b7 = fma(x7, wb, b7);
#else
            let x_at = step * TILE_ROWS * 16u + lane;
            let rows = vec4<f32>(tile[x_at], tile[x_at + 16u], tile[x_at + 32u], tile[x_at + 48u]);
            a0 = fma(rows, vec4<f32>(tile[w_at]), a0);
            a1 = fma(rows, vec4<f32>(tile[w_at + 256u]), a1);
#endif
        }
        workgroupBarrier();
    }
    // Thread t folds output t % 16 of group t / 16.
#if TILE == 1
    keep(thread, 0u, a0);
    keep(thread, 4u, b0);
    keep(thread, 8u, a1);
    keep(thread, 12u, b1);
    workgroupBarrier();
    let sum0 = lanes_sum(thread);
    workgroupBarrier();
    keep(thread, 0u, a2);
    keep(thread, 4u, b2);
    keep(thread, 8u, a3);
    keep(thread, 12u, b3);
    workgroupBarrier();
    let sum1 = lanes_sum(thread);
    workgroupBarrier();
    keep(thread, 0u, a4);
    keep(thread, 4u, b4);
    keep(thread, 8u, a5);
    keep(thread, 12u, b5);
    workgroupBarrier();
    let sum2 = lanes_sum(thread);
    workgroupBarrier();
    keep(thread, 0u, a6);
    keep(thread, 4u, b6);
    keep(thread, 8u, a7);
    keep(thread, 12u, b7);
    workgroupBarrier();
    let sums = vec4<f32>(sum0, sum1, sum2, lanes_sum(thread));
#else
    keep(thread, 0u, a0);
    keep(thread, 4u, a1);
    workgroupBarrier();
    let sums = vec4<f32>(lanes_sum(thread), 0.0, 0.0, 0.0);
#endif
    workgroupBarrier();
    return sums;
}

// How many of a thread's sums are outputs, and where in the tile sum i is.
fn tile_sums(thread: u32) -> u32 {
#if TILE == 1
    return 4u;
#else
    return select(0u, 1u, thread % 16u < 8u);
#endif
}
fn tile_row(thread: u32, i: u32) -> u32 {
#if TILE == 1
    return thread / 64u + 4u * (thread % 16u / 8u) + 8u * i;
#else
    return thread % 4u;
#endif
}
fn tile_col(thread: u32) -> u32 {
#if TILE == 1
    return thread / 16u % 4u + 4u * (thread % 8u);
#else
    return thread / 16u + 16u * (thread % 8u / 4u);
#endif
}

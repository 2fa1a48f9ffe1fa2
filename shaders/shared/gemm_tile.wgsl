// A tile of x Wᵀ: {{TY * TM}} rows by 64 columns, 16·TY threads, TM rows by 4 columns each.
// Every output is one chain of fma over ascending k, so its bits do not depend on the tile's height nor on its neighbours.
// The importing shader gives `tile_x(row, k)` and `tile_w8(column, k)`, eight weights from k on; both count rows and columns within the
// tile and give 0 outside the matrices.

const TILE_ROWS: u32 = {{TY * TM}}u;
const TILE_COLUMNS: u32 = 64u;
const TILE_K: u32 = 16u;
const THREADS: u32 = {{16 * TY}}u;
const TM: u32 = {{TM}}u;

var<workgroup> x_tile: array<f32, {{16 * TY * TM}}>; // [k][row]
var<workgroup> w_tile: array<f32, 1024>;             // [k][column]

// Rows `local / 16 · TM ..` and columns `local % 16 · 4 ..`.
fn gemm_tile(width: u32, local: u32) -> array<vec4<f32>, {{TM}}> {
    var sum: array<vec4<f32>, {{TM}}>;
    for (var i = 0u; i < TM; i++) {
        sum[i] = vec4<f32>(0.0);
    }
    let row = local / 16u * TM;
    let column = local % 16u * 4u;
    for (var k0 = 0u; k0 < width; k0 += TILE_K) {
        for (var i = local; i < TILE_K * TILE_ROWS; i += THREADS) {
            let k = i % TILE_K;
            x_tile[k * TILE_ROWS + i / TILE_K] = tile_x(i / TILE_K, k0 + k);
        }
        for (var i = local; i < TILE_K / 8u * TILE_COLUMNS; i += THREADS) {
            let k = i / TILE_COLUMNS * 8u;
            let w = tile_w8(i % TILE_COLUMNS, k0 + k);
            let at = k * TILE_COLUMNS + i % TILE_COLUMNS;
            for (var j = 0u; j < 4u; j++) {
                w_tile[at + j * TILE_COLUMNS] = w.lo[j];
                w_tile[at + (j + 4u) * TILE_COLUMNS] = w.hi[j];
            }
        }
        workgroupBarrier();
        let depth = min(TILE_K, width - k0);
        for (var k = 0u; k < depth; k++) {
            let at = k * TILE_COLUMNS + column;
            let w = vec4<f32>(w_tile[at], w_tile[at + 1u], w_tile[at + 2u], w_tile[at + 3u]);
            for (var i = 0u; i < TM; i++) {
                sum[i] = fma(vec4<f32>(x_tile[k * TILE_ROWS + row + i]), w, sum[i]);
            }
        }
        workgroupBarrier();
    }
    return sum;
}

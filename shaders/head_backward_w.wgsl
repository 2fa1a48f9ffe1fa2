// dW += dzᵀ x over one block of rows, rows ascending: 32 ids by 64 columns a workgroup, a thread has 4 by 2.

struct Params {
    first_row: u32, // of the row block
    rows: u32,      // of the row block
    columns: u32,   // ids of the chunk
    stride: u32,    // of dz
    w_cols: u32,    // K
    dw_base: u32,   // where the chunk starts in the binding
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dz: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;

const ROWS: u32 = 32u;

// dz of four ids: [32 rows][8 groups of ids]
var<workgroup> dz_tile: array<vec4<f32>, 256>;
// [32 rows][64 columns]
var<workgroup> x_tile: array<f32, 2048>;

fn dz_value(row: u32, id: u32) -> f32 {
    if row >= params.rows || id >= params.columns {
        return 0.0;
    }
    return dz[row * params.stride + id];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % 32u;
    let first_id = group.y * 32u;
    let first_col = group.x * 64u;
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    for (var first = 0u; first < params.rows; first += ROWS) {
        let row = first + thread / 8u;
        let id = first_id + thread % 8u * 4u;
        dz_tile[thread] = vec4<f32>(dz_value(row, id), dz_value(row, id + 1u), dz_value(row, id + 2u), dz_value(row, id + 3u));
        for (var i = thread; i < 2048u; i += 256u) {
            let x_row = first + i / 64u;
            let col = first_col + i % 64u;
            var value = 0.0;
            if x_row < params.rows && col < params.w_cols {
                value = x[(params.first_row + x_row) * params.w_cols + col];
            }
            x_tile[i] = value;
        }
        workgroupBarrier();
        for (var i = 0u; i < ROWS; i++) {
            let four = dz_tile[i * 8u + thread / 32u];
            a = fma(four, vec4<f32>(x_tile[i * 64u + lane]), a);
            b = fma(four, vec4<f32>(x_tile[i * 64u + lane + 32u]), b);
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let id = first_id + thread / 32u * 4u + i;
        if id < params.columns {
            let at = params.dw_base + id * params.w_cols + first_col + lane;
            if first_col + lane < params.w_cols {
                dw[at] += a[i];
            }
            if first_col + lane + 32u < params.w_cols {
                dw[at + 32u] += b[i];
            }
        }
    }
}

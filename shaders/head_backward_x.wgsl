// dx (=|+=) dz W over one chunk of the vocabulary, ids ascending: 32 rows by 64 columns a workgroup, a thread has 4 by 2.

struct Params {
    first_row: u32, // of the row block
    rows: u32,      // of the row block
    columns: u32,   // ids of the chunk
    stride: u32,    // of dz
    w_cols: u32,    // K
    w_row_words: u32,
    shard_row: u32, // the chunk's first row within its shard
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dz: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

#import "shared/weight.wgsl"

const IDS: u32 = 32u;

// dz of four rows: [8 groups of rows][32 ids]
var<workgroup> dz_tile: array<vec4<f32>, 256>;
// [32 ids][64 columns]
var<workgroup> w_tile: array<f32, 2048>;

fn dz_value(row: u32, id: u32) -> f32 {
    if row >= params.rows || id >= params.columns {
        return 0.0;
    }
    return dz[row * params.stride + id];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % 32u;
    let row = group.y * 32u + thread / 32u * 4u;
    let first_col = group.x * 64u;
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    for (var first = 0u; first < params.columns; first += IDS) {
        let id = first + lane;
        dz_tile[thread] = vec4<f32>(dz_value(row, id), dz_value(row + 1u, id), dz_value(row + 2u, id), dz_value(row + 3u, id));
        let w_id = first + thread / 8u;
        var eight = Weight8(vec4<f32>(0.0), vec4<f32>(0.0));
        if w_id < params.columns {
            eight = load_weight8(params.shard_row + w_id, first_col + thread % 8u * 8u);
        }
        let at = thread / 8u * 64u + thread % 8u * 8u;
        for (var i = 0u; i < 4u; i++) {
            w_tile[at + i] = eight.lo[i];
            w_tile[at + 4u + i] = eight.hi[i];
        }
        workgroupBarrier();
        for (var i = 0u; i < IDS; i++) {
            let four = dz_tile[thread - lane + i];
            a = fma(four, vec4<f32>(w_tile[i * 64u + lane]), a);
            b = fma(four, vec4<f32>(w_tile[i * 64u + lane + 32u]), b);
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        if row + i < params.rows {
            let base = (params.first_row + row + i) * params.w_cols;
            let col = first_col + lane;
            if col < params.w_cols {
                dx[base + col] = a[i] + select(0.0, dx[base + col], params.add != 0u);
            }
            if col + 32u < params.w_cols {
                dx[base + col + 32u] = b[i] + select(0.0, dx[base + col + 32u], params.add != 0u);
            }
        }
    }
}

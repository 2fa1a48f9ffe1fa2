// y = x Wᵀ (+ bias) (+ y) for few rows, fast mode: a workgroup splits the sum of four outputs over 128 threads.
#import "shared/weight.wgsl"

struct Params {
    rows: u32,
    w_rows: u32,
    w_cols: u32,
    w_row_words: u32,
    y_width: u32,
    row_base: u32,
    has_bias: u32,
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const THREADS = 128u;

var<workgroup> partial: array<vec4<f32>, 128>;

fn dot8(row: u32, k: u32, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    let eight = load_weight8(min(row, params.w_rows - 1u), k);
    return dot(eight.lo, lo) + dot(eight.hi, hi);
}

// Column k of a row of x; zero past K.
fn column(base: u32, k: u32) -> f32 {
    if k < params.w_cols {
        return x[base + k];
    }
    return 0.0;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group.y;
    let col = group.x * 4u;
    let base = row * params.w_cols;
    var sums = vec4<f32>(0.0);
    for (var k = thread * 8u; k < params.w_cols; k += THREADS * 8u) {
        let lo = vec4<f32>(column(base, k), column(base, k + 1u), column(base, k + 2u), column(base, k + 3u));
        let hi = vec4<f32>(column(base, k + 4u), column(base, k + 5u), column(base, k + 6u), column(base, k + 7u));
        sums += vec4<f32>(dot8(col, k, lo, hi), dot8(col + 1u, k, lo, hi), dot8(col + 2u, k, lo, hi), dot8(col + 3u, k, lo, hi));
    }
    partial[thread] = sums;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            partial[thread] += partial[thread + half];
        }
    }
    workgroupBarrier();
    if thread < 4u && col + thread < params.w_rows {
        let four = partial[0];
        let two = select(four.xy, four.zw, vec2<bool>(thread >= 2u));
        var value = select(two.x, two.y, thread % 2u == 1u);
        if params.has_bias != 0u {
            value += bias[params.row_base + col + thread];
        }
        let at = row * params.y_width + params.row_base + col + thread;
        if params.add != 0u {
            value += y[at];
        }
        y[at] = value;
    }
}

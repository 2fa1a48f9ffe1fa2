// y_p = n W_pᵀ (+ b_p) of up to three parts whose rows lie one after the other, for few rows, fast mode; n is x, or rms_norm(x) · gain with the bits
// that rms_norm_forward.wgsl gives it. GATED: two parts of equal height, y = silu(first) · second.
// As in matvec_forward.wgsl a workgroup splits the sum of four outputs over 128 threads.
#import "shared/weight.wgsl"
#if GATED
#import "shared/math.wgsl"
#endif

struct Params {
    rows: u32,
    w_rows: u32,     // of all parts; GATED: of one
    w_cols: u32,
    w_row_words: u32,
    second: u32,     // first row of the second part
    third: u32,      // and of the third
    y_second: u32,   // where the second part's outputs begin in y
    y_third: u32,
    has_norm: u32,
    has_bias: u32,
    eps: f32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
#if GATED
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(4) var<storage, read> first_bias: array<f32>;
@group(0) @binding(5) var<storage, read> second_bias: array<f32>;
@group(0) @binding(6) var<storage, read> third_bias: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
#endif

const THREADS = 128u;

var<workgroup> squares: array<f32, 128>;
var<workgroup> partial: array<vec4<f32>, 128>;
#if GATED
var<workgroup> partial_up: array<vec4<f32>, 128>;
#endif

// 1 / sqrt(mean(x²) + eps) of a row, summed in the order of rms_norm_forward.wgsl: by 32 lanes up to 256 columns, by 256 above, of which a
// thread here has two.
fn inverse_rms(base: u32, thread: u32) -> f32 {
    let narrow = params.w_cols <= 256u;
    let lanes = select(256u, 32u, narrow);
    var sum = 0.0;
    if !narrow || thread < 32u {
        for (var i = thread; i < params.w_cols; i += lanes) {
            sum = fma(x[base + i], x[base + i], sum);
        }
    }
    if !narrow {
        var other = 0.0;
        for (var i = thread + THREADS; i < params.w_cols; i += lanes) {
            other = fma(x[base + i], x[base + i], other);
        }
        sum += other;
    }
    squares[thread] = sum;
    for (var half = select(64u, 16u, narrow); half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            squares[thread] += squares[thread + half];
        }
    }
    workgroupBarrier();
    return 1.0 / sqrt(squares[0] / f32(params.w_cols) + params.eps);
}

fn dot8(row: u32, last: u32, k: u32, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    let eight = load_weight8(min(row, last), k);
    return dot(eight.lo, lo) + dot(eight.hi, hi);
}

fn dots(col: u32, last: u32, k: u32, lo: vec4<f32>, hi: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(dot8(col, last, k, lo, hi), dot8(col + 1u, last, k, lo, hi), dot8(col + 2u, last, k, lo, hi), dot8(col + 3u, last, k, lo, hi));
}

// Column k of a row of n; zero past K.
fn column(base: u32, k: u32, scale: f32) -> f32 {
    if k >= params.w_cols {
        return 0.0;
    }
    if params.has_norm != 0u {
        return x[base + k] * scale * gain[k];
    }
    return x[base + k];
}

fn one_of(four: vec4<f32>, number: u32) -> f32 {
    let two = select(four.xy, four.zw, vec2<bool>(number >= 2u));
    return select(two.x, two.y, number % 2u == 1u);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group.y;
    let col = group.x * 4u;
    let base = row * params.w_cols;
    var scale = 1.0;
    if params.has_norm != 0u {
        scale = inverse_rms(base, thread);
    }
    var sums = vec4<f32>(0.0);
#if GATED
    var ups = vec4<f32>(0.0);
#endif
    for (var k = thread * 8u; k < params.w_cols; k += THREADS * 8u) {
        let lo = vec4<f32>(column(base, k, scale), column(base, k + 1u, scale), column(base, k + 2u, scale), column(base, k + 3u, scale));
        let hi = vec4<f32>(column(base, k + 4u, scale), column(base, k + 5u, scale), column(base, k + 6u, scale), column(base, k + 7u, scale));
        sums += dots(col, params.w_rows - 1u, k, lo, hi);
#if GATED
        ups += dots(params.w_rows + col, 2u * params.w_rows - 1u, k, lo, hi);
#endif
    }
    partial[thread] = sums;
#if GATED
    partial_up[thread] = ups;
#endif
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            partial[thread] += partial[thread + half];
#if GATED
            partial_up[thread] += partial_up[thread + half];
#endif
        }
    }
    workgroupBarrier();
    if thread >= 4u || col + thread >= params.w_rows {
        return;
    }
    let output = col + thread;
    var value = one_of(partial[0], thread);
#if GATED
    y[row * params.w_rows + output] = silu(value) * one_of(partial_up[0], thread);
#else
    if output < params.second {
        if params.has_bias != 0u {
            value += first_bias[output];
        }
        y[row * params.second + output] = value;
    } else if output < params.third {
        let at = output - params.second;
        if params.has_bias != 0u {
            value += second_bias[at];
        }
        y[params.y_second + row * (params.third - params.second) + at] = value;
    } else {
        let at = output - params.third;
        if params.has_bias != 0u {
            value += third_bias[at];
        }
        y[params.y_third + row * (params.w_rows - params.third) + at] = value;
    }
#endif
}

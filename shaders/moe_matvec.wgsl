// Experts for few tokens, fast mode: no sort, an assignment a = t·k + s takes its expert from ids[a].
// STEP 0: y[a] = x[t] W_eᵀ. STEP 1: y[a] = silu(x[t] W_eᵀ) · x[t] U_eᵀ, where the rows of all U lie behind those of all W.
// STEP 2: y[t] += Σ_s weights[a] · x[a] W_eᵀ. Only the experts of one shard; the others' sums are another dispatch's.
// As in matvec_forward.wgsl a workgroup splits the sum of four outputs over 128 threads.
#import "shared/weight.wgsl"
#if STEP == 1
#import "shared/math.wgsl"
#endif

struct Params {
    columns: u32,       // N of an expert
    w_cols: u32,        // K
    w_row_words: u32,
    top_k: u32,
    first_expert: u32,  // of this shard
    experts: u32,       // of this shard
    up_row: u32,        // STEP 1: first row of U
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const THREADS = 128u;

var<workgroup> partial: array<vec4<f32>, 128>;
#if STEP == 1
var<workgroup> partial_up: array<vec4<f32>, 128>;
#endif

// Column k of a row of x; zero past K.
fn column(base: u32, k: u32) -> f32 {
    if k < params.w_cols {
        return x[base + k];
    }
    return 0.0;
}

fn dot8(row: u32, k: u32, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    let eight = load_weight8(row, k);
    return dot(eight.lo, lo) + dot(eight.hi, hi);
}

// This thread's part of four outputs from row `first` + `col` on; columns past the expert's last give what nobody reads.
fn dots(base: u32, first: u32, col: u32, thread: u32) -> vec4<f32> {
    let last = first + params.columns - 1u;
    var sums = vec4<f32>(0.0);
    for (var k = thread * 8u; k < params.w_cols; k += THREADS * 8u) {
        let lo = vec4<f32>(column(base, k), column(base, k + 1u), column(base, k + 2u), column(base, k + 3u));
        let hi = vec4<f32>(column(base, k + 4u), column(base, k + 5u), column(base, k + 6u), column(base, k + 7u));
        let row = first + col;
        sums += vec4<f32>(
            dot8(row, k, lo, hi),
            dot8(min(row + 1u, last), k, lo, hi),
            dot8(min(row + 2u, last), k, lo, hi),
            dot8(min(row + 3u, last), k, lo, hi),
        );
    }
    return sums;
}

fn one_of(four: vec4<f32>, number: u32) -> f32 {
    let two = select(four.xy, four.zw, vec2<bool>(number >= 2u));
    return select(two.x, two.y, number % 2u == 1u);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let col = group.x * 4u;
    var sums = vec4<f32>(0.0);
#if STEP == 2
    for (var slot = 0u; slot < params.top_k; slot++) {
        let assignment = group.y * params.top_k + slot;
        let expert = ids[assignment] - params.first_expert;
        if expert < params.experts {
            sums += weights[assignment] * dots(assignment * params.w_cols, expert * params.columns, col, thread);
        }
    }
#else
    let expert = ids[group.y] - params.first_expert;
    let here = expert < params.experts;
    let base = group.y / params.top_k * params.w_cols;
#if STEP == 1
    var ups = vec4<f32>(0.0);
#endif
    if here {
        sums = dots(base, expert * params.columns, col, thread);
#if STEP == 1
        ups = dots(base, params.up_row + expert * params.columns, col, thread);
#endif
    }
#endif
    partial[thread] = sums;
#if STEP == 1
    partial_up[thread] = ups;
#endif
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            partial[thread] += partial[thread + half];
#if STEP == 1
            partial_up[thread] += partial_up[thread + half];
#endif
        }
    }
    workgroupBarrier();
    if thread >= 4u || col + thread >= params.columns {
        return;
    }
    let value = one_of(partial[0], thread);
    let at = group.y * params.columns + col + thread;
#if STEP == 2
    y[at] += value;
#else
    if here {
#if STEP == 1
        y[at] = silu(value) * one_of(partial_up[0], thread);
#else
        y[at] = value;
#endif
    }
#endif
}

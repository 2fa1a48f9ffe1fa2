// Makes the projections of new rows ready for attention: each head of q and k is normed (as rms_norm_forward.wgsl does, if the model norms them)
// and rotated (as rope_forward.wgsl), q in place; k and v go into their pages (as kv_append.wgsl). A workgroup takes one head of one row: query heads
// first, then kv heads. q, k and v are parts of one buffer, so that eight bindings suffice.

#import "shared/grid.wgsl"
#import "shared/kv_cache.wgsl"
#import "shared/kv_store.wgsl"

struct Params {
    rows: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    k_at: u32,           // where k and v begin in qkv
    v_at: u32,
    items_per_head: u32, // cache words, or pairs of q8 blocks, of a vector
    scale_base: u32,     // q8: first word of the scales
    has_norm: u32,
    eps: f32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q_gain: array<f32>;
@group(0) @binding(2) var<storage, read> k_gain: array<f32>;
@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(7) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(8) var<storage, read_write> v_cache: array<u32>;

const THREADS = 32u;

var<workgroup> vector: array<f32, 256>;
var<workgroup> partial: array<f32, 32>;

fn new_k(i: u32) -> f32 {
    return vector[i];
}

fn new_v(i: u32) -> f32 {
    return qkv[i];
}

@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = folded_group(group, groups);
    let row = item / (params.heads + params.kv_heads);
    if row >= params.rows {
        return;
    }
    let number = item % (params.heads + params.kv_heads);
    let is_query = number < params.heads;
    let head = select(number - params.heads, number, is_query);
    let source = select(params.k_at + (row * params.kv_heads + head) * params.head_dim, (row * params.heads + head) * params.head_dim, is_query);

    var sum = 0.0;
    for (var i = lane; i < params.head_dim; i += THREADS) {
        let value = qkv[source + i];
        sum = fma(value, value, sum);
        vector[i] = value;
    }
    if params.has_norm != 0u {
        partial[lane] = sum;
        for (var half = THREADS / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if lane < half {
                partial[lane] += partial[lane + half];
            }
        }
        workgroupBarrier();
        let scale = 1.0 / sqrt(partial[0] / f32(params.head_dim) + params.eps);
        for (var i = lane; i < params.head_dim; i += THREADS) {
            let gain = select(k_gain[i], q_gain[i], is_query);
            vector[i] = vector[i] * scale * gain;
        }
    }
    workgroupBarrier();

    let half_dim = params.head_dim / 2u;
    for (var pair = lane; pair < half_dim; pair += THREADS) {
        let angle = positions[row] * params.head_dim + pair;
        let cosine = table[angle];
        let sine = table[angle + half_dim];
        let a = vector[pair];
        let b = vector[pair + half_dim];
        vector[pair] = a * cosine - b * sine;
        vector[pair + half_dim] = b * cosine + a * sine;
    }
    workgroupBarrier();

    if is_query {
        for (var i = lane; i < params.head_dim; i += THREADS) {
            qkv[source + i] = vector[i];
        }
        return;
    }
    let values = params.v_at + (row * params.kv_heads + head) * params.head_dim;
    let to = kv_start(slots[row * 2u + 1u], head, params.kv_heads, params.head_dim);
    for (var part = lane; part < params.items_per_head; part += THREADS) {
        store_kv(to, part, 0u, values);
    }
}

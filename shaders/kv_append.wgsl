// Writes new keys and values into their pages, rounded to the cache's format.
// One thread owns one cache word (f32, f16) or one block of 32 values (q8), of K and of V alike, so no two threads share a word.

#import "shared/grid.wgsl"
#import "shared/kv_cache.wgsl"
#if KV == 2
#import "shared/kv_quantise.wgsl"
#endif

struct Params {
    items: u32,      // rows * kv_heads * items_per_head
    kv_heads: u32,
    head_dim: u32,
    items_per_head: u32,
    scale_base: u32, // q8: first word of the scales
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k_in: array<f32>;
@group(0) @binding(2) var<storage, read> v_in: array<f32>;
@group(0) @binding(3) var<storage, read> slots: array<u32>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = folded_group(group, groups) * 64u + local;
    if item >= params.items {
        return;
    }
    let part = item % params.items_per_head;
    let head = (item / params.items_per_head) % params.kv_heads;
    let row = item / params.items_per_head / params.kv_heads;
    let source = (row * params.kv_heads + head) * params.head_dim;
    let to = kv_start(slots[row * 2u + 1u], head, params.kv_heads, params.head_dim);
#if KV == 0
    k_cache[to + part] = bitcast<u32>(k_in[source + part]);
    v_cache[to + part] = bitcast<u32>(v_in[source + part]);
#endif
#if KV == 1
    let i = source + part * 2u;
    k_cache[to / 2u + part] = pack2x16float(vec2<f32>(k_in[i], k_in[i + 1u]));
    v_cache[to / 2u + part] = pack2x16float(vec2<f32>(v_in[i], v_in[i + 1u]));
#endif
#if KV == 2
    // `part` is a pair of blocks: their two scales share a word. A last block without a partner leaves the high half zero.
    let scale_word = params.scale_base + to / params.head_dim * params.items_per_head + part;
    var k_scales = 0u;
    var v_scales = 0u;
    for (var half = 0u; half < 2u; half++) {
        let start = (part * 2u + half) * 32u;
        if start < params.head_dim {
            var k: array<f32, 32>;
            var v: array<f32, 32>;
            for (var i = 0u; i < 32u; i++) {
                k[i] = k_in[source + start + i];
                v[i] = v_in[source + start + i];
            }
            var k_code = quantise(k);
            var v_code = quantise(v);
            for (var w = 0u; w < 8u; w++) {
                k_cache[(to + start) / 4u + w] = k_code.words[w];
                v_cache[(to + start) / 4u + w] = v_code.words[w];
            }
            k_scales |= k_code.scale << (16u * half);
            v_scales |= v_code.scale << (16u * half);
        }
    }
    k_cache[scale_word] = k_scales;
    v_cache[scale_word] = v_scales;
#endif
}

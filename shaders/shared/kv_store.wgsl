// Writes one item of a new vector of keys and of one of values into its page, rounded to the cache's format. An item is a cache word (f32, f16) or
// a pair of blocks of 32 values (q8), whose two scales share a word: no two threads share one.
//
// The importing shader has `params.head_dim`, `.items_per_head` and `.scale_base`, the caches `k_cache` and `v_cache`, and `new_k(i)` and
// `new_v(i)`, the elements of what it stores.
#if KV == 2
#import "shared/kv_quantise.wgsl"
#endif

// `to`: the vector's start in the cache (`kv_start`); `k_from` and `v_from`: the indices of its first elements.
fn store_kv(to: u32, part: u32, k_from: u32, v_from: u32) {
#if KV == 0
    k_cache[to + part] = bitcast<u32>(new_k(k_from + part));
    v_cache[to + part] = bitcast<u32>(new_v(v_from + part));
#endif
#if KV == 1
    let i = part * 2u;
    k_cache[to / 2u + part] = pack2x16float(vec2<f32>(new_k(k_from + i), new_k(k_from + i + 1u)));
    v_cache[to / 2u + part] = pack2x16float(vec2<f32>(new_v(v_from + i), new_v(v_from + i + 1u)));
#endif
#if KV == 2
    // A last block without a partner leaves the high half of the scales' word zero.
    var k_scales = 0u;
    var v_scales = 0u;
    for (var half = 0u; half < 2u; half++) {
        let start = (part * 2u + half) * 32u;
        if start < params.head_dim {
            var k: array<f32, 32>;
            var v: array<f32, 32>;
            for (var i = 0u; i < 32u; i++) {
                k[i] = new_k(k_from + start + i);
                v[i] = new_v(v_from + start + i);
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
    let scale_word = params.scale_base + to / params.head_dim * params.items_per_head + part;
    k_cache[scale_word] = k_scales;
    v_cache[scale_word] = v_scales;
#endif
}

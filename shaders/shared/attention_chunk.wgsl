// The canonical fold of attention: one chunk of up to 256 keys → (m, l, o), and the merge of two partial results.
// One workgroup of 256 threads works for HV·4 query heads of one row that share a kv head, so K and V are read once for all of them.
// The kernel that walks all chunks and the one that computes a single chunk both call these functions: their bits agree.
// Needs the bindings q, k_cache, v_cache, pages and the uniform `params`, and D·HV ≤ 256.

#import "shared/attention_fold.wgsl"

var<workgroup> q_tile: array<vec4<f32>, 256>;              // [D][HV] lanes are query heads
var<workgroup> p_tile: array<vec4<f32>, {{256 * HV}}>;       // [HV][256 keys] scores, then probabilities
var<workgroup> folds: array<vec4<f32>, {{32 * HV}}>;       // [HV][32]
var<workgroup> folded: array<vec4<f32>, {{HV}}>;           // what `folds` folded to

fn q_value(work: Work, d: u32, head: u32) -> f32 {
    let within = work.first_head + head;
    if within >= params.group {
        return 0.0;
    }
    return q[((work.row * params.kv_heads + work.kv_head) * params.group + within) * params.head_dim + d];
}

fn load_q(work: Work, local: u32) {
    for (var i = local; i < params.head_dim * HV; i += 256u) {
        let d = i / HV;
        let first = (i % HV) * 4u;
        q_tile[i] = vec4<f32>(q_value(work, d, first), q_value(work, d, first + 1u), q_value(work, d, first + 2u), q_value(work, d, first + 3u));
    }
    workgroupBarrier();
}

fn vector_start(work: Work, position: u32) -> u32 {
    let slot = pages[work.pages + position / PAGE_TOKENS] * PAGE_TOKENS + position % PAGE_TOKENS;
    return kv_start(slot, work.kv_head, params.kv_heads, params.head_dim);
}

#if KV == 2
fn q8_scale(word: u32, start: u32, d: u32) -> u32 {
    return params.scale_base + start / params.head_dim * ((params.head_dim + 63u) / 64u) + d / 64u;
}
fn q8_value(codes: u32, scales: u32, d: u32) -> f32 {
    let code = extractBits(bitcast<i32>(codes), 8u * (d % 4u), 8u);
    let pair = unpack2x16float(scales);
    return f32(code) * select(pair.x, pair.y, d % 64u >= 32u);
}
#endif

fn k_pair(start: u32, d: u32) -> vec2<f32> {
#if KV == 0
    return vec2<f32>(bitcast<f32>(k_cache[start + d]), bitcast<f32>(k_cache[start + d + 1u]));
#endif
#if KV == 1
    return unpack2x16float(k_cache[(start + d) / 2u]);
#endif
#if KV == 2
    let codes = k_cache[(start + d) / 4u];
    let scales = k_cache[q8_scale(codes, start, d)];
    return vec2<f32>(q8_value(codes, scales, d), q8_value(codes, scales, d + 1u));
#endif
}

fn v_value(start: u32, d: u32) -> f32 {
#if KV == 0
    return bitcast<f32>(v_cache[start + d]);
#endif
#if KV == 1
    let pair = unpack2x16float(v_cache[(start + d) / 2u]);
    return select(pair.x, pair.y, d % 2u == 1u);
#endif
#if KV == 2
    let codes = v_cache[(start + d) / 4u];
    return q8_value(codes, v_cache[q8_scale(codes, start, d)], d);
#endif
}

// Folds 256 entries of `p_tile` for every head into `folded`: 8 entries a thread, 32 apart, then the 32 results in order.
fn fold_max(local: u32) {
    if local < 32u * HV {
        let base = local / 32u * 256u + local % 32u;
        var best = p_tile[base];
        for (var i = 1u; i < 8u; i++) {
            best = max(best, p_tile[base + i * 32u]);
        }
        folds[local] = best;
    }
    workgroupBarrier();
    if local < HV {
        var best = folds[local * 32u];
        for (var i = 1u; i < 32u; i++) {
            best = max(best, folds[local * 32u + i]);
        }
        folded[local] = best;
    }
    workgroupBarrier();
}
fn fold_sum(local: u32) {
    if local < 32u * HV {
        let base = local / 32u * 256u + local % 32u;
        var sum = p_tile[base];
        for (var i = 1u; i < 8u; i++) {
            sum += p_tile[base + i * 32u];
        }
        folds[local] = sum;
    }
    workgroupBarrier();
    if local < HV {
        var sum = folds[local * 32u];
        for (var i = 1u; i < 32u; i++) {
            sum += folds[local * 32u + i];
        }
        folded[local] = sum;
    }
    workgroupBarrier();
}

// The partial of chunk `chunk`. Thread `local` < D·HV holds value dimension local % D of head vector local / D;
// m and l of the other threads are those of some head vector too, and unused.
fn chunk_partial(work: Work, chunk: u32, local: u32) -> Partial {
    let first = chunk * CHUNK_TOKENS;
    let count = min(work.keys - first, CHUNK_TOKENS);

    // Scores: a key a thread.
    for (var v = 0u; v < HV; v++) {
        p_tile[v * 256u + local] = vec4<f32>(MASKED);
    }
    if local < count {
        let start = vector_start(work, first + local);
        var s0 = vec4<f32>(0.0);
#if HV == 2
        var s1 = vec4<f32>(0.0);
#endif
        for (var d = 0u; d < params.head_dim; d += 2u) {
            let k = k_pair(start, d);
#if HV == 1
            s0 = fma(q_tile[d], vec4<f32>(k.x), s0);
            s0 = fma(q_tile[d + 1u], vec4<f32>(k.y), s0);
#endif
#if HV == 2
            s0 = fma(q_tile[d * 2u], vec4<f32>(k.x), s0);
            s1 = fma(q_tile[d * 2u + 1u], vec4<f32>(k.x), s1);
            s0 = fma(q_tile[d * 2u + 2u], vec4<f32>(k.y), s0);
            s1 = fma(q_tile[d * 2u + 3u], vec4<f32>(k.y), s1);
#endif
        }
        p_tile[local] = s0 * params.scale;
#if HV == 2
        p_tile[256u + local] = s1 * params.scale;
#endif
    }
    workgroupBarrier();

    // Maximum, then probabilities against it.
    fold_max(local);
    for (var v = 0u; v < HV; v++) {
        let p = exp(p_tile[v * 256u + local] - folded[v]);
        p_tile[v * 256u + local] = select(vec4<f32>(0.0), p, local < count);
    }
    let mine = min(local / params.head_dim, HV - 1u);
    let m = folded[mine];
    workgroupBarrier();
    fold_sum(local);
    let l = folded[mine];

    // o: a value dimension a thread, keys ascending.
    var o = vec4<f32>(0.0);
    if local < params.head_dim * HV {
        let d = local % params.head_dim;
        for (var page = 0u; page < count; page += PAGE_TOKENS) {
            let start = vector_start(work, first + page);
            let end = min(page + PAGE_TOKENS, count);
            for (var j = page; j < end; j++) {
                o = fma(p_tile[mine * 256u + j], vec4<f32>(v_value(start + (j - page) * params.head_dim, d)), o);
            }
        }
    }
    // The next chunk overwrites the tiles.
    workgroupBarrier();
    return Partial(m, l, o);
}

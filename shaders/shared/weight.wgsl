// Weights of every format, as f32. FORMAT is the index in DType::WEIGHTS; gpu/repack.rs documents the row layouts.
// The importing file declares `weight: array<u32>` (one shard) and the uniform fields `w_cols` (K) and `w_row_words`.
// The products below are exact in f32 (d has 11 bits, scales 6, quants 5), so a compiler that fuses them changes nothing.

/// Eight neighbouring weights of a row.
struct Weight8 {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

#if FORMAT >= 3
/// (scale, offset) of weight k: w = q · scale + offset.
fn weight_scale(base: u32, k: u32) -> vec2<f32> {
#if FORMAT == 3 || FORMAT == 4 || FORMAT == 6
    // Q8_0, Q4_0, Q5_0: f16 d, two blocks a word.
#if FORMAT == 3
    let plane = base + params.w_cols / 4u;
#elif FORMAT == 4
    let plane = base + params.w_cols / 8u;
#else
    let plane = base + params.w_cols / 8u + params.w_cols / 32u;
#endif
    let pair = unpack2x16float(weight[plane + k / 64u]);
    return vec2<f32>(select(pair.x, pair.y, (k & 32u) != 0u), 0.0);
#elif FORMAT == 5
    // Q4_1: f16 d and m, a word a block.
    return unpack2x16float(weight[base + params.w_cols / 8u + k / 32u]);
#elif FORMAT == 7
    // Q5_1
    return unpack2x16float(weight[base + params.w_cols / 8u + params.w_cols / 32u + k / 32u]);
#else
    // K-quants: five words a block of 256.
#if FORMAT == 8
    let plane = base + params.w_cols / 8u + k / 256u * 5u;
#elif FORMAT == 9
    let plane = base + params.w_cols / 8u + params.w_cols / 32u + k / 256u * 5u;
#else
    let plane = base + params.w_cols / 8u + params.w_cols / 16u + k / 256u * 5u;
#endif
    let d = unpack2x16float(weight[plane]);
#if FORMAT == 10
    // Q6_K: a signed byte for 16 weights.
    let byte = (k & 255u) / 16u;
    let scale = bitcast<i32>(weight[plane + 1u + byte / 4u] << (24u - 8u * (byte & 3u))) >> 24u;
    return vec2<f32>(d.x * f32(scale), 0.0);
#else
    // Q4_K, Q5_K: a scale and a minimum of 6 bits for 32 weights.
    let block = (k & 255u) / 32u;
    let bytes = weight[plane + 1u + block / 2u] >> (16u * (block & 1u));
    return vec2<f32>(d.x * f32(bytes & 255u), -(d.y * f32((bytes >> 8u) & 255u)));
#endif
#endif
}

/// Quants k..k+8 (k a multiple of 8), centred where the format's are.
fn weight_quants(base: u32, k: u32) -> array<vec4<i32>, 2> {
#if FORMAT == 3
    let left = vec4<u32>(24u, 16u, 8u, 0u);
    let lo = bitcast<vec4<i32>>(vec4<u32>(weight[base + k / 4u]) << left) >> vec4<u32>(24u);
    let hi = bitcast<vec4<i32>>(vec4<u32>(weight[base + k / 4u + 1u]) << left) >> vec4<u32>(24u);
    return array<vec4<i32>, 2>(lo, hi);
#else
    let nibbles = vec4<u32>(weight[base + k / 8u]);
    var lo = (nibbles >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
    var hi = (nibbles >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u);
#if FORMAT == 6 || FORMAT == 7 || FORMAT == 9
    let bits = vec4<u32>(weight[base + params.w_cols / 8u + k / 32u] >> (k & 31u));
    lo |= ((bits >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) << vec4<u32>(4u);
    hi |= ((bits >> vec4<u32>(4u, 5u, 6u, 7u)) & vec4<u32>(1u)) << vec4<u32>(4u);
#elif FORMAT == 10
    let bits = vec4<u32>(weight[base + params.w_cols / 8u + k / 16u] >> (2u * (k & 15u)));
    lo |= ((bits >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u)) << vec4<u32>(4u);
    hi |= ((bits >> vec4<u32>(8u, 10u, 12u, 14u)) & vec4<u32>(3u)) << vec4<u32>(4u);
#endif
#if FORMAT == 4
    const centre = 8;
#elif FORMAT == 6
    const centre = 16;
#elif FORMAT == 10
    const centre = 32;
#else
    const centre = 0;
#endif
    return array<vec4<i32>, 2>(vec4<i32>(lo) - vec4<i32>(centre), vec4<i32>(hi) - vec4<i32>(centre));
#endif
}
#endif

/// Weights k..k+8 of a row of this shard (k a multiple of 8). Columns past K are zero.
fn load_weight8(row: u32, k: u32) -> Weight8 {
    if k >= params.w_cols {
        return Weight8(vec4<f32>(0.0), vec4<f32>(0.0));
    }
    let base = row * params.w_row_words;
#if FORMAT == 0
    let i = base + k;
    return Weight8(
        bitcast<vec4<f32>>(vec4<u32>(weight[i], weight[i + 1u], weight[i + 2u], weight[i + 3u])),
        bitcast<vec4<f32>>(vec4<u32>(weight[i + 4u], weight[i + 5u], weight[i + 6u], weight[i + 7u])),
    );
#elif FORMAT == 1 || FORMAT == 2
    let i = base + k / 2u;
    let a = weight[i];
    let b = weight[i + 1u];
    let c = weight[i + 2u];
    let d = weight[i + 3u];
#if FORMAT == 1
    return Weight8(
        vec4<f32>(unpack2x16float(a), unpack2x16float(b)),
        vec4<f32>(unpack2x16float(c), unpack2x16float(d)),
    );
#else
    return Weight8(
        bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u)),
        bitcast<vec4<f32>>(vec4<u32>(c << 16u, c & 0xffff0000u, d << 16u, d & 0xffff0000u)),
    );
#endif
#else
    let scale = weight_scale(base, k);
    let quants = weight_quants(base, k);
#if FORMAT == 3 || FORMAT == 4 || FORMAT == 6 || FORMAT == 10
    return Weight8(vec4<f32>(quants[0]) * scale.x, vec4<f32>(quants[1]) * scale.x);
#else
    return Weight8(vec4<f32>(quants[0]) * scale.x + scale.y, vec4<f32>(quants[1]) * scale.x + scale.y);
#endif
#endif
}

/// Weight k of a row of this shard, k < K.
fn load_weight(row: u32, k: u32) -> f32 {
    let eight = load_weight8(row, k & ~7u);
    let four = select(eight.lo, eight.hi, vec4<bool>((k & 4u) != 0u));
    let two = select(four.xy, four.zw, vec2<bool>((k & 2u) != 0u));
    return select(two.x, two.y, (k & 1u) != 0u);
}

// Inner products of two tiles of 32 rows: thread t has rows 4 (t / 32) .. + 4 of the tall tile by row t % 32 of the wide tile.
// SIDES 2 takes a second pair of operands along: scores and dP come out together.
//
// The importing shader gives `tall_four(side, row, d)` and `wide_four(side, row, d)`, four values from d on (a multiple of 4), 0 past
// the tile's rows and past D; and the uniform field `head_dim`. All threads of the workgroup call `inner_products` together.

// [side][d / 4 of 16][row]
var<workgroup> tall_slab: array<vec4<f32>, {{128 * SIDES}}>;
var<workgroup> wide_slab: array<vec4<f32>, {{128 * SIDES}}>;

struct Pair {
    s: vec4<f32>,
    dp: vec4<f32>,
}

fn times_wide(at: u32, wide: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        dot(tall_slab[at], wide),
        dot(tall_slab[at + 1u], wide),
        dot(tall_slab[at + 2u], wide),
        dot(tall_slab[at + 3u], wide),
    );
}

fn inner_products(thread: u32) -> Pair {
    let tall = thread / 32u * 4u;
    let wide = thread % 32u;
    var pair = Pair(vec4<f32>(0.0), vec4<f32>(0.0));
    for (var first = 0u; first < params.head_dim; first += 16u) {
        for (var i = thread; i < 128u * {{SIDES}}u; i += 256u) {
            // Neighbouring threads load neighbouring values of a row.
            let side = i / 128u;
            let row = i % 128u / 4u;
            let four = i % 4u;
            let at = side * 128u + four * 32u + row;
            tall_slab[at] = tall_four(side, row, first + four * 4u);
            wide_slab[at] = wide_four(side, row, first + four * 4u);
        }
        workgroupBarrier();
        for (var four = 0u; four < 4u; four++) {
            pair.s += times_wide(four * 32u + tall, wide_slab[four * 32u + wide]);
#if SIDES == 2
            pair.dp += times_wide(128u + four * 32u + tall, wide_slab[128u + four * 32u + wide]);
#endif
        }
        workgroupBarrier();
    }
    return pair;
}

// Partial results of attention, their merge, and which row and heads a workgroup works for. Lanes are query heads.
// Needs the bindings slots and span_table and the uniform `params`.

const HV: u32 = {{HV}}u;
const MASKED: f32 = -1e30;

struct Partial {
    m: vec4<f32>,
    l: vec4<f32>,
    o: vec4<f32>,
}

fn empty_partial() -> Partial {
    return Partial(vec4<f32>(MASKED), vec4<f32>(0.0), vec4<f32>(0.0));
}

fn merge(a: Partial, b: Partial) -> Partial {
    let m = max(a.m, b.m);
    let scale_a = exp(a.m - m);
    let scale_b = exp(b.m - m);
    return Partial(m, fma(a.l, scale_a, b.l * scale_b), fma(a.o, scale_a, b.o * scale_b));
}

// Which workgroup this is: one row, one kv head, one block of query heads.
struct Work {
    row: u32,
    kv_head: u32,
    first_head: u32, // within the group of the kv head
    keys: u32,       // the row's position + 1
    pages: u32,      // the span's first entry in `pages`
}

fn work_of(item: u32) -> Work {
    let block = item % params.blocks;
    let kv_head = (item / params.blocks) % params.kv_heads;
    let row = item / params.blocks / params.kv_heads;
    let span = slots[row * 2u] * 6u;
    let keys = span_table[span + 2u] + row - span_table[span] + 1u;
    return Work(row, kv_head, block * HV * 4u, keys, span_table[span + 3u]);
}

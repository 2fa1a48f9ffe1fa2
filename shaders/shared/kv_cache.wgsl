// One cached key or value buffer: [page][kv head][position][D], 32 positions to a page.
// KV: 0 f32, one word a value; 1 f16, two values a word; 2 q8, four int8 a word with the f16 scales of 32 values behind the codes.

const PAGE_TOKENS: u32 = 32u;
const CHUNK_TOKENS: u32 = 256u;

// Where a position's vector starts, counted in values.
fn kv_start(slot: u32, head: u32, kv_heads: u32, head_dim: u32) -> u32 {
    let page = slot / PAGE_TOKENS;
    return ((page * kv_heads + head) * PAGE_TOKENS + slot % PAGE_TOKENS) * head_dim;
}

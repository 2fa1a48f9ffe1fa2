struct Params {
    items: u32,      // workgroups: tiles times heads (query heads, or kv heads for dk and dv)
    spans: u32,
    kv_heads: u32,
    group: u32,      // query heads of a kv head
    head_dim: u32,
    delta_base: u32, // where delta starts in `statistics`, behind lse
    scale: f32,
    pad0: u32,
}

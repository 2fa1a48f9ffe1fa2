struct Params {
    items: u32,      // rows * kv_heads * blocks: workgroups of one chunk
    kv_heads: u32,
    group: u32,      // query heads of a kv head
    head_dim: u32,
    blocks: u32,     // blocks of HV·4 query heads in a group
    chunks: u32,     // split: chunks a partial buffer has room for
    scale_base: u32, // q8: first word of the scales
    scale: f32,
}

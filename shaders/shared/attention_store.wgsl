// o / l of the block's query heads into the output row.
fn store_output(work: Work, local: u32, result: Partial) {
    if local >= params.head_dim * HV {
        return;
    }
    let d = local % params.head_dim;
    let first = work.first_head + local / params.head_dim * 4u;
    let base = (work.row * params.kv_heads + work.kv_head) * params.group;
    let o = result.o / result.l;
    for (var lane = 0u; lane < 4u; lane++) {
        if first + lane < params.group {
            out[(base + first + lane) * params.head_dim + d] = o[lane];
        }
    }
}

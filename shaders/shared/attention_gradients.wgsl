// Loaders and P, dS for the two gradient kernels. Needs the bindings q, k, v, dout, statistics; attention_rows.wgsl; math.wgsl.

fn query_four(side: u32, row: u32, d: u32) -> vec4<f32> {
    let at = query_place(row, d);
    if at.count == 0u {
        return vec4<f32>(0.0);
    }
    if side == 0u {
        return low_of(vec4<f32>(q[at.first], q[at.first + 1u], q[at.second], q[at.second + 1u]), at.count);
    }
    return low_of(vec4<f32>(dout[at.first], dout[at.first + 1u], dout[at.second], dout[at.second + 1u]), at.count);
}

fn key_four(side: u32, row: u32, d: u32) -> vec4<f32> {
    let at = key_place(row, d);
    if at.count == 0u {
        return vec4<f32>(0.0);
    }
    if side == 0u {
        return low_of(vec4<f32>(k[at.first], k[at.first + 1u], k[at.second], k[at.second + 1u]), at.count);
    }
    return low_of(vec4<f32>(v[at.first], v[at.first + 1u], v[at.second], v[at.second + 1u]), at.count);
}

// P = e^(s · scale - lse), 0 where the key is not visible.
fn probability(s: f32, lse: f32, visible: bool) -> f32 {
    return select(0.0, exp_clamped(fma(s, params.scale, -lse)), visible);
}

// dS · scale. A hidden key's dP may be anything.
fn score_gradient(p: f32, dp: f32, delta: f32, visible: bool) -> f32 {
    return select(0.0, p * (dp - delta) * params.scale, visible);
}

// The columns that a thread of 32 owns: lane, lane + 32, …; past D they repeat the last and are not stored.
fn column(lane: u32, c: u32) -> u32 {
    return min(lane + 32u * c, params.head_dim - 1u);
}

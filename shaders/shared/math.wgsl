// Elementary functions that stay finite where they should and keep NaN.

/// e^x without overflow to infinity, which WGSL compilers may assume never happens. clamp() may drop a NaN; select keeps it.
fn exp_clamped(x: f32) -> f32 {
    let low = select(x, -88.0, x < -88.0);
    return exp(select(low, 88.0, low > 88.0));
}

/// x / (1 + e^-x).
fn silu(x: f32) -> f32 {
    return x / (1.0 + exp_clamped(-x));
}

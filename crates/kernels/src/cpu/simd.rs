//! Which vector instructions the host has. Exact mode gives the same bits at every level.

/// Vector instruction sets the kernels are written for, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust; multiply-adds by [`fused`].
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL with VNNI, besides everything of `Avx2`.
    Avx512,
}

impl Level {
    /// The name people read.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

/// a·b + c, rounded once. WebAssembly has no such instruction, and the function in its place takes twenty times as long: there it is rounded
/// twice, so that its bits are not those of other processors.
#[inline(always)]
pub(crate) fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "wasm32") { a * b + c } else { a.mul_add(b, c) }
}

/// The best level of this host. `std` caches the detection; a call costs a few loads.
#[cfg(target_arch = "x86_64")]
pub fn level() -> Level {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    match (avx2, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        _ => Level::Portable,
    }
}

/// The best level of this host.
#[cfg(not(target_arch = "x86_64"))]
pub fn level() -> Level {
    Level::Portable
}

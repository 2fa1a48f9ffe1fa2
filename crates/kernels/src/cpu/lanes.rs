//! Sixteen lanes, the unit of every canonical sum, and functions compiled once per SIMD level.
//!
//! Bodies are written over `[f32; 16]` with `mul_add`; a level only changes which instructions they become, never their bits.

/// Sixteen `f32`, aligned to one AVX-512 register (or one cache line).
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; 16]);

impl Lanes {
    /// Positive zeros.
    pub const ZERO: Self = Self([0.0; 16]);

    /// The same value in every lane.
    #[inline(always)]
    pub fn splat(value: f32) -> Self {
        Self([value; 16])
    }

    /// `a · b + self`, rounded once.
    #[inline(always)]
    pub fn fma(&mut self, a: &Self, b: &Self) {
        for lane in 0..16 {
            self.0[lane] = a.0[lane].mul_add(b.0[lane], self.0[lane]);
        }
    }

    /// `a · b + self` with one `b` for all lanes.
    #[inline(always)]
    pub fn fma_scalar(&mut self, a: &Self, b: f32) {
        for lane in 0..16 {
            self.0[lane] = a.0[lane].mul_add(b, self.0[lane]);
        }
    }

    /// Lane by lane.
    #[inline(always)]
    pub fn add(&self, other: &Self) -> Self {
        let mut sum = *self;
        for lane in 0..16 {
            sum.0[lane] += other.0[lane];
        }
        sum
    }

    /// The canonical fold: l += l + 8, then + 4, + 2, + 1.
    #[inline(always)]
    pub fn fold(mut self) -> f32 {
        let mut width = 8;
        while width > 0 {
            for lane in 0..width {
                self.0[lane] += self.0[lane + width];
            }
            width /= 2;
        }
        self.0[0]
    }
}

/// The first up to 16 values, zero-padded.
#[inline(always)]
pub fn load(values: &[f32]) -> Lanes {
    match values.first_chunk::<16>() {
        Some(full) => Lanes(*full),
        None => {
            let mut lanes = Lanes::ZERO;
            lanes.0[..values.len()].copy_from_slice(values);
            lanes
        }
    }
}

/// Defines a function whose body is compiled once per SIMD level; its first argument, the level, chooses.
/// The body may read the constant `WIDE`: whether a register holds 16 lanes and there are 32 of them.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(level: $crate::cpu::simd::Level, $($arg: $ty),*) $(-> $ret)? {
            #[allow(clippy::extra_unused_type_parameters)]
            #[inline(always)]
            fn body<const WIDE: bool>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body::<false>($($arg),*)
                }
                match level {
                    // SAFETY: a `Level` above `Portable` comes from `simd::level`, which found the features.
                    $crate::cpu::simd::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::cpu::simd::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::cpu::simd::Level::Portable => {}
                }
            }
            let _ = level;
            body::<false>($($arg),*)
        }
    };
}
pub(crate) use multiversion;

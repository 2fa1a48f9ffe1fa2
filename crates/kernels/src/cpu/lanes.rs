//! Sixteen lanes, the unit of every canonical sum, and functions compiled once per SIMD level.
//!
//! Bodies are written over `[f32; 16]` with fused multiply-adds; a level only changes which instructions they become, never their bits.

use half::f16;

use super::simd::fused;

/// Sixteen `f32`, aligned to one AVX-512 register (or one cache line).
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; 16]);

impl Lanes {
    /// Positive zeros.
    pub const ZERO: Self = Self([0.0; 16]);

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

/// Sixteen lanes in a SIMD level's registers. Arrays leave the choice of instructions to the compiler, which suits simple loops;
/// loops with many accumulators need them named, or the compiler gathers and scatters.
///
/// A level's methods may run only inside a function compiled for that level: [`multiversion`] sees to it.
pub trait Vector: Copy {
    /// Whether there are registers enough for two dozen sums.
    const WIDE: bool;
    fn splat(value: f32) -> Self;
    fn load(lanes: &Lanes) -> Self;
    /// Widens sixteen IEEE halves.
    fn load_f16(halves: &[f16; 16]) -> Self;
    fn store(self, lanes: &mut Lanes);
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `a · b + self`, rounded once.
    fn fma(self, a: Self, b: Self) -> Self;
}

impl Vector for Lanes {
    const WIDE: bool = false;
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 16])
    }
    #[inline(always)]
    fn load(lanes: &Lanes) -> Self {
        *lanes
    }
    #[inline(always)]
    fn load_f16(halves: &[f16; 16]) -> Self {
        let mut lanes = Self::ZERO;
        for lane in 0..16 {
            lanes.0[lane] = halves[lane].to_f32();
        }
        lanes
    }
    #[inline(always)]
    fn store(self, lanes: &mut Lanes) {
        *lanes = self;
    }
    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for lane in 0..16 {
            self.0[lane] += other.0[lane];
        }
        self
    }
    #[inline(always)]
    fn mul(mut self, other: Self) -> Self {
        for lane in 0..16 {
            self.0[lane] *= other.0[lane];
        }
        self
    }
    #[inline(always)]
    fn fma(mut self, a: Self, b: Self) -> Self {
        for lane in 0..16 {
            self.0[lane] = fused(a.0[lane], b.0[lane], self.0[lane]);
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
pub mod x86 {
    //! Named registers. SAFETY, once for all blocks here: [`super::multiversion`] uses each type only in functions compiled for,
    //! and run on, hosts with its instructions; pointers come from references to as
    //! many bytes, 64-byte aligned where the instruction wants that.

    use std::arch::x86_64::*;

    use half::f16;

    use super::{Lanes, Vector};

    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    impl Vector for Avx512 {
        const WIDE: bool = true;
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(value) })
        }
        #[inline(always)]
        fn load(lanes: &Lanes) -> Self {
            Self(unsafe { _mm512_load_ps(lanes.0.as_ptr()) })
        }
        #[inline(always)]
        fn load_f16(halves: &[f16; 16]) -> Self {
            Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast())) })
        }
        #[inline(always)]
        fn store(self, lanes: &mut Lanes) {
            unsafe { _mm512_store_ps(lanes.0.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn fma(self, a: Self, b: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }
    }

    #[derive(Clone, Copy)]
    pub struct Avx2(__m256, __m256);

    impl Vector for Avx2 {
        const WIDE: bool = false;
        #[inline(always)]
        fn splat(value: f32) -> Self {
            let value = unsafe { _mm256_set1_ps(value) };
            Self(value, value)
        }
        #[inline(always)]
        fn load(lanes: &Lanes) -> Self {
            unsafe { Self(_mm256_load_ps(lanes.0.as_ptr()), _mm256_load_ps(lanes.0[8..].as_ptr())) }
        }
        #[inline(always)]
        fn load_f16(halves: &[f16; 16]) -> Self {
            let half = |at: usize| unsafe { _mm256_cvtph_ps(_mm_loadu_si128(halves[at..].as_ptr().cast())) };
            Self(half(0), half(8))
        }
        #[inline(always)]
        fn store(self, lanes: &mut Lanes) {
            unsafe {
                _mm256_store_ps(lanes.0.as_mut_ptr(), self.0);
                _mm256_store_ps(lanes.0[8..].as_mut_ptr(), self.1);
            }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }
        #[inline(always)]
        fn fma(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
        }
    }
}

/// Defines a function whose body is compiled once per SIMD level; its first argument, the level, chooses.
/// The body may name `V`, the level's [`Vector`].
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(level: $crate::cpu::simd::Level, $($arg: $ty),*) $(-> $ret)? {
            #[allow(clippy::extra_unused_type_parameters)]
            #[inline(always)]
            fn body<V: $crate::cpu::lanes::Vector>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body::<$crate::cpu::lanes::x86::Avx512>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body::<$crate::cpu::lanes::x86::Avx2>($($arg),*)
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
            body::<$crate::cpu::lanes::Lanes>($($arg),*)
        }
    };
}
pub(crate) use multiversion;

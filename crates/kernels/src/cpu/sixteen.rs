//! Sixteen f32 lanes in registers: the unit of the canonical sum, at each SIMD level.

use super::format::f16_to_f32;
use super::simd::fused;

/// Sixteen f32. The implementations agree to the bit, NaN payloads aside.
///
/// # Safety
/// Every method needs the instruction set of its implementation; `load` and `store` take pointers to 16 f32 of any alignment.
#[allow(clippy::missing_safety_doc)]
pub(super) trait Lanes: Copy {
    /// Rows of x and rows of W in a register tile.
    const TILE: (usize, usize);
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// 16 little-endian bf16 of any alignment, exactly.
    unsafe fn load_bf16(from: *const u8) -> Self;
    /// 16 little-endian f16 of any alignment, exactly.
    unsafe fn load_f16(from: *const u8) -> Self;
    /// `a · b + self`, rounded once.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// The fixed tree: l += l + 8, then + 4, + 2, + 1.
    unsafe fn fold(self) -> f32;
    /// Four folds.
    #[inline(always)]
    unsafe fn fold4(v: [Self; 4]) -> [f32; 4] {
        // SAFETY: as the caller's.
        unsafe { [v[0].fold(), v[1].fold(), v[2].fold(), v[3].fold()] }
    }
}

/// Plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 16]);

impl Lanes for Portable {
    const TILE: (usize, usize) = (1, 4);
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 16])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: 16 readable f32 by contract.
        Self(unsafe { from.cast::<[f32; 16]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: 16 writable f32 by contract.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> Self {
        // SAFETY: 32 readable bytes by contract.
        let bytes = unsafe { from.cast::<[[u8; 2]; 16]>().read_unaligned() };
        let mut out = [0.0; 16];
        for i in 0..16 {
            out[i] = f32::from_bits(u32::from(u16::from_le_bytes(bytes[i])) << 16);
        }
        Self(out)
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> Self {
        // SAFETY: 32 readable bytes by contract.
        let bytes = unsafe { from.cast::<[[u8; 2]; 16]>().read_unaligned() };
        let mut out = [0.0; 16];
        for i in 0..16 {
            out[i] = f16_to_f32(u16::from_le_bytes(bytes[i]));
        }
        Self(out)
    }
    #[inline(always)]
    unsafe fn fma(mut self, a: Self, b: Self) -> Self {
        for i in 0..16 {
            self.0[i] = fused(a.0[i], b.0[i], self.0[i]);
        }
        self
    }
    #[inline(always)]
    unsafe fn fold(mut self) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                self.0[i] += self.0[i + half];
            }
        }
        self.0[0]
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// Two ymm registers.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256, __m256);

    #[inline(always)]
    unsafe fn fold8(v: __m256) -> f32 {
        // SAFETY: AVX, by the contract of `Lanes`.
        unsafe {
            let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
        }
    }

    // SAFETY of the bodies: the instruction set and the pointers are as the trait's contract says.
    impl Lanes for Avx2 {
        const TILE: (usize, usize) = (3, 2);
        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { Self(_mm256_setzero_ps(), _mm256_setzero_ps()) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }
        #[inline(always)]
        unsafe fn load_bf16(from: *const u8) -> Self {
            unsafe {
                let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(16).cast()));
                Self(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)), _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)))
            }
        }
        #[inline(always)]
        unsafe fn load_f16(from: *const u8) -> Self {
            unsafe { Self(_mm256_cvtph_ps(_mm_loadu_si128(from.cast())), _mm256_cvtph_ps(_mm_loadu_si128(from.add(16).cast()))) }
        }
        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
        }
        #[inline(always)]
        unsafe fn fold(self) -> f32 {
            unsafe { fold8(_mm256_add_ps(self.0, self.1)) }
        }
    }

    /// l += l + 8 in both, the eight sums of `a` below those of `b`.
    #[inline(always)]
    unsafe fn eights(a: __m512, b: __m512) -> __m512 {
        // SAFETY: AVX-512, by the contract of `Lanes`.
        unsafe { _mm512_add_ps(_mm512_shuffle_f32x4::<0b01_00_01_00>(a, b), _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b)) }
    }

    /// One zmm register.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    // SAFETY of the bodies: as above.
    impl Lanes for Avx512 {
        const TILE: (usize, usize) = (6, 4);
        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { Self(_mm512_setzero_ps()) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm512_loadu_ps(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn load_bf16(from: *const u8) -> Self {
            unsafe { Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()))))) }
        }
        #[inline(always)]
        unsafe fn load_f16(from: *const u8) -> Self {
            unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))) }
        }
        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm512_fmadd_ps(a.0, b.0, self.0)) }
        }
        #[inline(always)]
        unsafe fn fold(self) -> f32 {
            unsafe { fold8(_mm256_add_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0))) }
        }
        #[inline(always)]
        unsafe fn fold4(v: [Self; 4]) -> [f32; 4] {
            unsafe {
                // The same tree for four sums at once: halves of two side by side, then quarters of four.
                let (ab, cd) = (eights(v[0].0, v[1].0), eights(v[2].0, v[3].0));
                let v = _mm512_add_ps(_mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd), _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd));
                let v = _mm512_add_ps(v, _mm512_permute_ps::<0b11_10_11_10>(v));
                let v = _mm512_add_ps(v, _mm512_permute_ps::<0b01_01_01_01>(v));
                let first = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), v);
                let mut out = [0f32; 4];
                _mm_storeu_ps(out.as_mut_ptr(), _mm512_castps512_ps128(first));
                out
            }
        }
    }
}

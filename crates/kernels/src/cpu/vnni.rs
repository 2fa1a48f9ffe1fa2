//! Block formats as AVX-512 registers: 64 weights as unsigned bytes, the scales of a unit as floats.

use std::arch::x86_64::*;

use super::format::{Format, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, six_bits};

/// A block format read in units of whole groups of 64 weights: one block of 256, or two of 32.
///
/// # Safety
/// Needs the instructions of `Level::Avx512`; `unit` points at `GROUPS · 64` weights.
#[allow(clippy::missing_safety_doc)]
pub(super) trait Unit: Format {
    /// Groups of 64 weights.
    const GROUPS: usize = if Self::LEN == 256 { 4 } else { 1 };
    /// Bytes of a unit.
    const UNIT: usize = if Self::LEN == 256 { Self::BYTES } else { 2 * Self::BYTES };
    /// Scales of a unit.
    const SUBS: usize = Self::GROUPS * 64 / Self::SUB;
    /// Group g in the order of columns.
    unsafe fn group(unit: *const u8, g: usize) -> __m512i;
    /// Scale and shift of every sub-block: w = scale · q + shift. Lanes from `SUBS` on hold anything finite or not.
    unsafe fn scales(unit: *const u8) -> (__m512, __m512);
}

/// Whole units to f32 with the roundings of `format.rs`; what is left over is the caller's. Returns the units done.
///
/// # Safety
/// As [`Unit`]; `out` is as many weights as `bytes` holds.
#[inline(always)]
pub(super) unsafe fn dequantize<F: Unit>(bytes: &[u8], out: &mut [f32]) -> usize {
    let units = bytes.len() / F::UNIT;
    assert!(units * F::GROUPS * 64 <= out.len());
    for u in 0..units {
        // SAFETY: unit u lies within `bytes`, its weights within `out` by the assertion.
        unsafe {
            let unit = bytes.as_ptr().add(u * F::UNIT);
            let (scale, shift) = F::scales(unit);
            for g in 0..F::GROUPS {
                let to = out.as_mut_ptr().add((u * F::GROUPS + g) * 64);
                let mut q = [0u8; 64];
                _mm512_storeu_si512(q.as_mut_ptr().cast(), F::group(unit, g));
                for i in 0..4 {
                    let sub = _mm512_set1_epi32(((g * 64 + i * 16) / F::SUB) as i32);
                    let ints = _mm512_cvtepu8_epi32(_mm_loadu_si128(q.as_ptr().add(16 * i).cast()));
                    let floats = _mm512_cvtepi32_ps(_mm512_sub_epi32(ints, _mm512_set1_epi32(F::OFFSET)));
                    let product = _mm512_mul_ps(floats, _mm512_permutexvar_ps(sub, scale));
                    let value = if F::AFFINE { _mm512_add_ps(product, _mm512_permutexvar_ps(sub, shift)) } else { product };
                    _mm512_storeu_ps(to.add(16 * i), value);
                }
            }
        }
    }
    units
}

// SAFETY of the bodies: instructions and `unit` are as the trait says; every offset lies within the unit.

#[inline(always)]
unsafe fn half(at: *const u8) -> u32 {
    unsafe { u32::from(u16::from_le_bytes(at.cast::<[u8; 2]>().read())) }
}

/// Two f16, `step` bytes apart, as the first lanes.
#[inline(always)]
unsafe fn two_halves(at: *const u8, step: usize) -> __m512 {
    unsafe {
        let bits = half(at) | half(at.add(step)) << 16;
        _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi32_si128(bits as i32)))
    }
}

/// 16 bytes of nibbles of each of two blocks, `step` apart: low nibbles, then high ones, of the first, then the second.
#[inline(always)]
unsafe fn two_nibbles(at: *const u8, step: usize) -> __m512i {
    unsafe {
        let (a, b) = (_mm_loadu_si128(at.cast()), _mm_loadu_si128(at.add(step).cast()));
        let a = _mm256_set_m128i(_mm_srli_epi16::<4>(a), a);
        let b = _mm256_set_m128i(_mm_srli_epi16::<4>(b), b);
        _mm512_and_si512(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b), _mm512_set1_epi8(15))
    }
}

#[inline(always)]
unsafe fn two_fifths(q: __m512i, at: *const u8, step: usize) -> __m512i {
    unsafe {
        let (a, b) = (u32::from_le_bytes(at.cast::<[u8; 4]>().read()), u32::from_le_bytes(at.add(step).cast::<[u8; 4]>().read()));
        _mm512_mask_add_epi8(q, u64::from(a) | u64::from(b) << 32, q, _mm512_set1_epi8(16))
    }
}

#[inline(always)]
unsafe fn join(low: __m256i, high: __m256i) -> __m512i {
    unsafe { _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high) }
}

/// Scales and shifts of a format without a shift of its own.
#[inline(always)]
unsafe fn offset<F: Format>(scale: __m512) -> (__m512, __m512) {
    unsafe { (scale, _mm512_mul_ps(scale, _mm512_set1_ps(-F::OFFSET as f32))) }
}

impl Unit for Q8_0 {
    #[inline(always)]
    unsafe fn group(unit: *const u8, _: usize) -> __m512i {
        unsafe {
            let (a, b) = (_mm256_loadu_si256(unit.add(2).cast()), _mm256_loadu_si256(unit.add(36).cast()));
            _mm512_xor_si512(join(a, b), _mm512_set1_epi8(-128))
        }
    }
    #[inline(always)]
    unsafe fn scales(unit: *const u8) -> (__m512, __m512) {
        unsafe { offset::<Self>(two_halves(unit, Self::BYTES)) }
    }
}

impl Unit for Q4_0 {
    #[inline(always)]
    unsafe fn group(unit: *const u8, _: usize) -> __m512i {
        unsafe { two_nibbles(unit.add(2), Self::BYTES) }
    }
    #[inline(always)]
    unsafe fn scales(unit: *const u8) -> (__m512, __m512) {
        unsafe { offset::<Self>(two_halves(unit, Self::BYTES)) }
    }
}

impl Unit for Q4_1 {
    #[inline(always)]
    unsafe fn group(unit: *const u8, _: usize) -> __m512i {
        unsafe { two_nibbles(unit.add(4), Self::BYTES) }
    }
    #[inline(always)]
    unsafe fn scales(unit: *const u8) -> (__m512, __m512) {
        unsafe { (two_halves(unit, Self::BYTES), two_halves(unit.add(2), Self::BYTES)) }
    }
}

impl Unit for Q5_0 {
    #[inline(always)]
    unsafe fn group(unit: *const u8, _: usize) -> __m512i {
        unsafe { two_fifths(two_nibbles(unit.add(6), Self::BYTES), unit.add(2), Self::BYTES) }
    }
    #[inline(always)]
    unsafe fn scales(unit: *const u8) -> (__m512, __m512) {
        unsafe { offset::<Self>(two_halves(unit, Self::BYTES)) }
    }
}

impl Unit for Q5_1 {
    #[inline(always)]
    unsafe fn group(unit: *const u8, _: usize) -> __m512i {
        unsafe { two_fifths(two_nibbles(unit.add(8), Self::BYTES), unit.add(4), Self::BYTES) }
    }
    #[inline(always)]
    unsafe fn scales(unit: *const u8) -> (__m512, __m512) {
        unsafe { (two_halves(unit, Self::BYTES), two_halves(unit.add(2), Self::BYTES)) }
    }
}

#[inline(always)]
unsafe fn k_group(at: *const u8, g: usize) -> __m512i {
    unsafe {
        let v = _mm256_loadu_si256(at.add(32 * g).cast());
        _mm512_and_si512(join(v, _mm256_srli_epi16::<4>(v)), _mm512_set1_epi8(15))
    }
}

#[inline(always)]
unsafe fn eight_floats(bytes: [u8; 8]) -> __m512 {
    unsafe {
        let ints = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes)));
        _mm512_castps256_ps512(_mm256_cvtepi32_ps(ints))
    }
}

#[inline(always)]
unsafe fn k_scales(unit: *const u8) -> (__m512, __m512) {
    unsafe {
        let (scales, mins) = six_bits(&unit.add(4).cast::<[u8; 12]>().read());
        let d = _mm_cvtph_ps(_mm_cvtsi32_si128((half(unit) | half(unit.add(2)) << 16) as i32));
        let (d, dmin) = (_mm512_broadcastss_ps(d), _mm512_broadcastss_ps(_mm_movehdup_ps(d)));
        let shift = _mm512_mul_ps(eight_floats(mins), dmin);
        (_mm512_mul_ps(eight_floats(scales), d), _mm512_xor_ps(shift, _mm512_set1_ps(-0.0)))
    }
}

impl Unit for Q4_K {
    #[inline(always)]
    unsafe fn group(unit: *const u8, g: usize) -> __m512i {
        unsafe { k_group(unit.add(16), g) }
    }
    #[inline(always)]
    unsafe fn scales(unit: *const u8) -> (__m512, __m512) {
        unsafe { k_scales(unit) }
    }
}

impl Unit for Q5_K {
    #[inline(always)]
    unsafe fn group(unit: *const u8, g: usize) -> __m512i {
        unsafe {
            let q = k_group(unit.add(48), g);
            let high = _mm256_loadu_si256(unit.add(16).cast());
            let bit = join(_mm256_set1_epi8((1u8 << (2 * g)) as i8), _mm256_set1_epi8((2u8 << (2 * g)) as i8));
            _mm512_mask_add_epi8(q, _mm512_test_epi8_mask(join(high, high), bit), q, _mm512_set1_epi8(16))
        }
    }
    #[inline(always)]
    unsafe fn scales(unit: *const u8) -> (__m512, __m512) {
        unsafe { k_scales(unit) }
    }
}

impl Unit for Q6_K {
    #[inline(always)]
    unsafe fn group(unit: *const u8, g: usize) -> __m512i {
        unsafe {
            let low = _mm512_loadu_si512(unit.add(64 * (g / 2)).cast());
            let high = _mm256_loadu_si256(unit.add(128 + 32 * (g / 2)).cast());
            let (low, high) = if g.is_multiple_of(2) {
                (low, join(_mm256_slli_epi16::<4>(high), _mm256_slli_epi16::<2>(high)))
            } else {
                (_mm512_srli_epi16::<4>(low), join(high, _mm256_srli_epi16::<2>(high)))
            };
            _mm512_or_si512(_mm512_and_si512(low, _mm512_set1_epi8(15)), _mm512_and_si512(high, _mm512_set1_epi8(0x30)))
        }
    }
    #[inline(always)]
    unsafe fn scales(unit: *const u8) -> (__m512, __m512) {
        unsafe {
            let d = _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half(unit.add(208)) as i32)));
            let scale = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(unit.add(192).cast())));
            offset::<Self>(_mm512_mul_ps(scale, d))
        }
    }
}

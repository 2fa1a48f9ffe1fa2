//! `f32` to stored bytes, rounded to the nearest, ties to even. Branch-free, so that every SIMD level vectorises it.
//! What is too large becomes infinity; a NaN stays a NaN, made quiet, with the upper bits of its payload.

use crate::DType;
use crate::cpu::lanes::multiversion;

/// Fills `out` with `values` as F32, F16 or BF16, little-endian. `out` is exactly as many weights; no other format comes here.
pub(super) fn round(level: super::Level, dtype: DType, values: &[f32], out: &mut [u8]) {
    match dtype {
        DType::F32 => singles(level, values, out),
        DType::BF16 => brains(level, values, out),
        _ => halves(level, values, out),
    }
}

multiversion! {
    fn singles(values: &[f32], out: &mut [u8]) {
        for (out, value) in out.as_chunks_mut::<4>().0.iter_mut().zip(values) {
            *out = value.to_le_bytes();
        }
    }
}

multiversion! {
    fn brains(values: &[f32], out: &mut [u8]) {
        for (out, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
            *out = to_bf16(*value).to_le_bytes();
        }
    }
}

multiversion! {
    fn halves(values: &[f32], out: &mut [u8]) {
        for (out, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
            *out = to_f16(*value).to_le_bytes();
        }
    }
}

#[inline(always)]
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    // Half of what is dropped, less one if that rounds a tie to odd. A NaN's carry would make it infinite or zero.
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let nan = bits >> 16 | 0x40;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded }) as u16
}

#[inline(always)]
fn to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // From 2^-14 on: the exponents differ by 112; the carry of rounding reaches infinity by itself.
    let normal = magnitude.wrapping_sub(112 << 23).wrapping_add(0xfff + (magnitude >> 13 & 1)) >> 13;
    // Below, units of 2^-24: adding a half makes the processor round to them.
    let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let nan = magnitude >> 13 & 0x3ff | 0x7e00;
    let half = if magnitude < 113 << 23 { small } else { normal };
    let half = if magnitude >= 143 << 23 { 0x7c00 } else { half };
    let half = if magnitude > 0x7f80_0000 { nan } else { half };
    (half | bits >> 16 & 0x8000) as u16
}

//! e^x in f32 by one polynomial: vectorisable, within 1 ulp or so, the same bits on every SIMD level.

use super::lanes::Lanes;

/// e^x. NaN in, NaN out; overflows to infinity, underflows through the subnormals to zero.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these the result is infinity or zero anyway; comparisons are written so that NaN passes through.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    // Adding 1.5 · 2^23 rounds to the nearest integer, which then sits in the low mantissa bits.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let whole = shifted - MAGIC;
    // x - n ln 2 in two steps: the high part has few enough bits that the first is exact.
    let r = whole.mul_add(-0.693_145_75, x);
    let r = whole.mul_add(-1.428_606_8e-6, r);
    // Cephes' minimax polynomial of (e^r - 1 - r) / r² on |r| ≤ ln 2 / 2.
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    let y = (p * r).mul_add(r, r) + 1.0;
    // 2^n in two factors, so that neither over- nor underflows before the product does.
    let half = n >> 1;
    let rest = n.wrapping_sub(half);
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    y * power(half) * power(rest)
}

/// e^x of every lane.
#[inline(always)]
pub fn exp_lanes(x: &Lanes) -> Lanes {
    let mut y = *x;
    for lane in 0..16 {
        y.0[lane] = exp(x.0[lane]);
    }
    y
}

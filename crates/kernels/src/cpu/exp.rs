//! e^x in f32 by one polynomial: vectorisable, within 1 ulp or so, the same bits on every SIMD level.

use super::lanes::Lanes;
use super::simd::fused;

/// e^x. NaN in, NaN out; overflows to infinity, underflows through the subnormals to zero.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these the result is infinity or zero anyway; comparisons are written so that NaN passes through.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    // Adding 1.5 · 2^23 rounds to the nearest integer, which then sits in the low mantissa bits.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = fused(x, std::f32::consts::LOG2_E, MAGIC);
    let n = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let whole = shifted - MAGIC;
    // x - n ln 2 in two steps: the high part has few enough bits that the first is exact.
    let r = fused(whole, -0.693_145_75, x);
    let r = fused(whole, -1.428_606_8e-6, r);
    // Cephes' minimax polynomial of (e^r - 1 - r) / r² on |r| ≤ ln 2 / 2.
    let mut p = 1.987_569_1e-4f32;
    p = fused(p, r, 1.398_199_9e-3);
    p = fused(p, r, 8.333_452e-3);
    p = fused(p, r, 4.166_579_6e-2);
    p = fused(p, r, 1.666_666_5e-1);
    p = fused(p, r, 0.5);
    let y = fused(p * r, r, r) + 1.0;
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

#[cfg(test)]
mod tests {
    use super::exp;

    /// Every 97th float of the range where the result is neither zero nor infinite.
    #[test]
    fn within_two_ulp() {
        let mut worst = 0f64;
        for sign in [0u32, 1 << 31] {
            for bits in (0..110f32.to_bits()).step_by(97) {
                let x = f32::from_bits(bits | sign);
                let want = f64::from(x).exp();
                let got = exp(x);
                if want > f64::from(f32::MAX) * 1.000_000_1 {
                    assert_eq!(got, f32::INFINITY, "e^{x}");
                } else if want < f64::from(f32::MAX) {
                    let ulp = f64::from(f32::EPSILON) * want.log2().floor().max(-126.0).exp2();
                    let error = (f64::from(got) - want).abs() / ulp;
                    assert!(error <= 2.0, "e^{x} is {got}, {want} is wanted: {error} ulp");
                    worst = worst.max(error);
                }
            }
        }
        println!("worst {worst} ulp");
    }

    #[test]
    fn special_values() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
        assert_eq!(exp(-1e30).to_bits(), 0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-f32::NAN).is_nan());
    }
}

//! f32 → stored rows: plain floats rounded to nearest even, and the block formats Q8_0, Q4_K and Q6_K in ggml's layout.
//!
//! Q8_0 is ggml's reference to the bit. Q4_K and Q6_K search as ggml's reference quantisers do (`make_qkx2_quants`, `make_qx_quants` of
//! ggml-quants.c, MIT), written anew: sums run in eight lanes, so that a compiler vectorises them, and a block may differ from ggml's
//! where two candidates are equally good to the last bit.

use half::{bf16, f16};
use kernels::DType;

/// The formats [`encode`] writes.
pub const WRITABLE: [DType; 6] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_K, DType::Q6_K];

/// Writes a row (or several, one after the other) of finite `values` as `dtype`; `false`, nothing written, if the sizes do not belong
/// together or `dtype` is not [`WRITABLE`].
///
/// Values too large for f16 (also a block's scale, which is one) become infinite: [`model::tensor::first_non_finite`] finds them.
pub fn encode(dtype: DType, values: &[f32], out: &mut [u8]) -> bool {
    if !WRITABLE.contains(&dtype) || dtype.row_bytes(values.len()) != Some(out.len()) {
        return false;
    }
    match dtype {
        DType::F16 => each(values, out, |value| f16::from_f32(value).to_le_bytes()),
        DType::BF16 => each(values, out, |value| bf16::from_f32(value).to_le_bytes()),
        DType::Q8_0 => blocks(values, out, q8_0),
        DType::Q4_K => blocks(values, out, q4_k),
        DType::Q6_K => blocks(values, out, q6_k),
        _ => each(values, out, f32::to_le_bytes),
    }
    true
}

fn each<const N: usize>(values: &[f32], out: &mut [u8], bytes: impl Fn(f32) -> [u8; N]) {
    for (value, out) in values.iter().zip(out.as_chunks_mut::<N>().0) {
        *out = bytes(*value);
    }
}

fn blocks<const N: usize, const B: usize>(values: &[f32], out: &mut [u8], block: impl Fn(&[f32; N], &mut [u8; B])) {
    for (values, out) in values.as_chunks::<N>().0.iter().zip(out.as_chunks_mut::<B>().0) {
        block(values, out);
    }
}

/// d = max |x| / 127, q = x / d rounded half away from zero.
fn q8_0(x: &[f32; 32], out: &mut [u8; 34]) {
    let d = x.iter().fold(0.0f32, |most, value| most.max(value.abs())) / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let (scale, quants) = out.split_at_mut(2);
    scale.copy_from_slice(&f16::from_f32(d).to_le_bytes());
    for (value, q) in x.iter().zip(quants) {
        *q = (value * inverse).round() as i8 as u8;
    }
}

/// Eight groups of 32: w = d·scale·q − dmin·min, q of 4 bits, scale and min of 6.
fn q4_k(x: &[f32; 256], out: &mut [u8; 144]) {
    let groups = x.as_chunks::<32>().0;
    let mut quants = [[0u8; 32]; 8];
    let (mut scales, mut mins) = ([0.0f32; 8], [0.0f32; 8]);
    for (j, group) in groups.iter().enumerate() {
        (scales[j], mins[j]) = sixteen_levels(group, &mut quants[j]);
    }
    let most = |values: &[f32; 8]| values.iter().fold(0.0f32, |most, &value| most.max(value));
    let (max_scale, max_min) = (most(&scales), most(&mins));
    let six_bits = |value: f32, max: f32| if max > 0.0 { nearest((63.0 / max * value).clamp(0.0, 63.0)) as u8 } else { 0 };
    let (d, dmin) = (f16::from_f32(max_scale / 63.0), f16::from_f32(max_min / 63.0));
    out[0..2].copy_from_slice(&d.to_le_bytes());
    out[2..4].copy_from_slice(&dmin.to_le_bytes());
    let packed: &mut [u8] = &mut out[4..16];
    packed.fill(0);
    for j in 0..8 {
        let (scale, min) = (six_bits(scales[j], max_scale), six_bits(mins[j], max_min));
        // The first four in the low six bits of a byte each; of the last four the low nibbles together, the high pairs above the first.
        if j < 4 {
            packed[j] |= scale;
            packed[j + 4] |= min;
        } else {
            packed[j + 4] = (scale & 15) | (min & 15) << 4;
            packed[j - 4] |= (scale >> 4) << 6;
            packed[j] |= (min >> 4) << 6;
        }
        // Scales are rounded now: the quants follow them.
        let (scale, min) = (d.to_f32() * f32::from(scale), dmin.to_f32() * f32::from(min));
        if scale != 0.0 {
            for (q, value) in quants[j].iter_mut().zip(&groups[j]) {
                *q = nearest(((value + min) / scale).clamp(0.0, 15.0)) as u8;
            }
        }
    }
    for (pair, bytes) in out[16..].as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (l, byte) in bytes.iter_mut().enumerate() {
            *byte = quants[2 * pair][l] | quants[2 * pair + 1][l] << 4;
        }
    }
}

/// Sixteen groups of 16: w = d·scale·(q − 32), q of 6 bits, scale of 8.
fn q6_k(x: &[f32; 256], out: &mut [u8; 210]) {
    out.fill(0);
    let groups = x.as_chunks::<16>().0;
    let mut quants = [[0u8; 16]; 16];
    let mut scales = [0.0f32; 16];
    for (j, group) in groups.iter().enumerate() {
        scales[j] = symmetric(group, &mut quants[j]);
    }
    let max = scales.iter().fold(0.0f32, |max, &scale| if scale.abs() > max.abs() { scale } else { max });
    if max.abs() < TINY {
        return;
    }
    let inverse = -128.0 / max;
    let d = f16::from_f32(1.0 / inverse);
    out[208..].copy_from_slice(&d.to_le_bytes());
    for j in 0..16 {
        let scale = nearest((inverse * scales[j]).clamp(-128.0, 127.0)) as i8;
        out[192 + j] = scale as u8;
        let scale = d.to_f32() * f32::from(scale);
        if scale != 0.0 {
            for (q, value) in quants[j].iter_mut().zip(&groups[j]) {
                *q = (nearest((value / scale).clamp(-32.0, 31.0)) + 32.0) as u8;
            }
        }
    }
    let quants = quants.as_flattened();
    for half in 0..2 {
        for l in 0..32 {
            let q = |part: usize| quants[128 * half + 32 * part + l];
            out[64 * half + l] = (q(0) & 15) | (q(2) & 15) << 4;
            out[64 * half + 32 + l] = (q(1) & 15) | (q(3) & 15) << 4;
            out[128 + 32 * half + l] = (q(0) >> 4) | (q(1) >> 4) << 2 | (q(2) >> 4) << 4 | (q(3) >> 4) << 6;
        }
    }
}

/// Below it a group counts as all zero.
const TINY: f32 = 1e-15;

/// To the nearest whole number, halves to even. |value| < 2²²; without a call, where the target has no instruction for it.
fn nearest(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2²³: the unit in the last place is 1
    (value + SHIFT) - SHIFT
}

/// Eight partial sums, folded by a fixed tree.
fn lanes<const N: usize>(of: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    for base in (0..N).step_by(8) {
        for lane in 0..8 {
            sums[lane] += of(base + lane);
        }
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

/// Scale s ≥ 0 and minimum m ≥ 0 of the 16 levels s·q − m that stand for `x` with the least weighted squared error, and the levels.
///
/// A weight is rms(x) + |x|. For each of 21 step widths around (max − min)/15 the levels follow by rounding, and for those levels the best
/// s and m by least squares; the best of all is kept. The minimum found so far is where the next step counts from.
fn sixteen_levels(x: &[f32; 32], quants: &mut [u8; 32]) -> (f32, f32) {
    let rms = (lanes::<32>(|i| x[i] * x[i]) / 32.0).sqrt();
    let weight: [f32; 32] = std::array::from_fn(|i| rms + x[i].abs());
    let max = x.iter().fold(f32::MIN, |max, &value| max.max(value));
    let min = x.iter().fold(0.0f32, |min, &value| min.min(value));
    if max == min || !(max - min).is_normal() {
        quants.fill(0);
        return (0.0, -min);
    }
    let (sum_w, sum_x) = (lanes::<32>(|i| weight[i]), lanes::<32>(|i| weight[i] * x[i]));
    let round = |inverse: f32, min: f32| -> [f32; 32] { std::array::from_fn(|i| nearest((inverse * (x[i] - min)).clamp(0.0, 15.0))) };
    let error = |levels: &[f32; 32], scale: f32, min: f32| {
        lanes::<32>(|i| {
            let off = scale * levels[i] + min - x[i];
            weight[i] * off * off
        })
    };
    let inverse = 15.0 / (max - min);
    let (mut best, mut best_scale, mut best_min) = (round(inverse, min), 1.0 / inverse, min);
    let mut best_error = error(&best, best_scale, best_min);
    for step in 0..=20 {
        if !(max - best_min).is_normal() {
            break;
        }
        let levels = round((14.0 + 0.1 * step as f32) / (max - best_min), best_min);
        let sum_l = lanes::<32>(|i| weight[i] * levels[i]);
        let sum_l2 = lanes::<32>(|i| weight[i] * levels[i] * levels[i]);
        let sum_xl = lanes::<32>(|i| weight[i] * levels[i] * x[i]);
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        if !(determinant > 0.0) {
            continue;
        }
        let mut scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
        let mut low = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        if low > 0.0 {
            (scale, low) = (sum_xl / sum_l2, 0.0);
        }
        let this_error = error(&levels, scale, low);
        if this_error < best_error {
            (best, best_scale, best_min, best_error) = (levels, scale, low, this_error);
        }
    }
    for (q, level) in quants.iter_mut().zip(best) {
        *q = level as u8;
    }
    (best_scale, -best_min)
}

/// Scale s (of either sign) of the 64 levels s·(q − 32) that stand for `x` with the least squared error weighted by x², and q.
fn symmetric(x: &[f32; 16], quants: &mut [u8; 16]) -> f32 {
    let max = x.iter().fold(0.0f32, |max, &value| if value.abs() > max.abs() { value } else { max });
    if max.abs() < TINY {
        quants.fill(0);
        return 0.0;
    }
    let round = |inverse: f32| -> [f32; 16] { std::array::from_fn(|i| nearest((inverse * x[i]).clamp(-32.0, 31.0))) };
    let sums = |levels: &[f32; 16]| {
        let weight = |i: usize| x[i] * x[i];
        (lanes::<16>(|i| weight(i) * x[i] * levels[i]), lanes::<16>(|i| weight(i) * levels[i] * levels[i]))
    };
    let mut levels = round(-32.0 / max);
    let (sum_xl, sum_l2) = sums(&levels);
    let mut scale = if sum_l2 > 0.0 { sum_xl / sum_l2 } else { 0.0 };
    let mut best = scale * sum_xl;
    for step in (-9..=9).filter(|&step| step != 0) {
        let other = round(-(32.0 + 0.1 * step as f32) / max);
        let (sum_xl, sum_l2) = sums(&other);
        if sum_l2 > 0.0 && sum_xl * sum_xl > best * sum_l2 {
            (levels, scale) = (other, sum_xl / sum_l2);
            best = scale * sum_xl;
        }
    }
    for (q, level) in quants.iter_mut().zip(levels) {
        *q = (level + 32.0) as u8;
    }
    scale
}

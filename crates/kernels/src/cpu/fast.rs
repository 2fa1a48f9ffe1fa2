//! Fast mode: x as 8-bit integers with a scale per 32 columns, integer products with the stored integers of W.
//!
//! With x = d·a and w = s·q + c per sub-block, Σ x w = Σ_sub (s d) Σ q a + Σ_sub c (d Σ a).

use std::ops::Range;

use super::CpuDevice;
use super::dequant::CpuWeight;
use super::exact::{self, Operand};
use super::format::{Format, with_format};
use super::parallel::{SharedMut, for_each_range};
use super::simd::Level;
use crate::Precision;

/// Multiply-adds that are worth handing to another thread.
const TASK: usize = 1 << 18;
/// From this many rows of x on, AVX-512 interleaves the rows of W.
#[cfg(target_arch = "x86_64")]
const MANY: usize = 12;

/// Rows of x as 8-bit integers.
pub(super) struct Quantised {
    /// [R, K].
    pub a: Vec<i8>,
    /// [R, K / SUB]: the scale d.
    pub d: Vec<f32>,
    /// [R, K / SUB]: d Σ a.
    pub sum: Vec<f32>,
    pub rows: usize,
}

/// The product in the device's precision. See [`exact::product`] for `emit`.
pub(crate) fn product(device: &CpuDevice, x: &Operand, w: &CpuWeight, w_rows: Range<usize>, emit: impl Fn(usize, usize, &[f32]) + Sync) {
    let exact =
        device.precision() == Precision::Exact || w.dtype.block_len() == 1 || (device.simd() == Level::Avx2 && x.len() > 4) || x.len() == 0;
    if exact {
        return exact::product(device, x, w, w_rows, emit);
    }
    with_format!(w.dtype, F => blocks::<F>(device, x, w, w_rows, emit), _ => exact::product(device, x, w, w_rows, emit));
}

#[cfg(target_arch = "x86_64")]
trait Any: super::vnni::Unit {}
#[cfg(target_arch = "x86_64")]
impl<F: super::vnni::Unit> Any for F {}
#[cfg(not(target_arch = "x86_64"))]
trait Any: Format {}
#[cfg(not(target_arch = "x86_64"))]
impl<F: Format> Any for F {}

fn blocks<F: Any>(device: &CpuDevice, x: &Operand, w: &CpuWeight, w_rows: Range<usize>, emit: impl Fn(usize, usize, &[f32]) + Sync) {
    let x = quantise(device, x, w.cols, F::SUB);
    let per_row = (x.rows * w.cols).max(1);
    #[cfg(target_arch = "x86_64")]
    if device.simd() == Level::Avx512 && w.cols.is_multiple_of(64) {
        if x.rows >= MANY {
            use super::fast_many::{PANEL, panels};
            return for_each_range(device, w_rows.len().div_ceil(PANEL), 1, |range| {
                let range = range.start * PANEL..(range.end * PANEL).min(w_rows.len());
                // SAFETY: the level is the host's.
                unsafe { panels::<F>(&x, w, w_rows.start, range, &emit) }
            });
        }
        return for_each_range(device, w_rows.len(), TASK.div_ceil(per_row), |range| {
            // SAFETY: as above.
            unsafe { super::fast_many::rows::<F>(&x, w, w_rows.start, range, &emit) }
        });
    }
    for_each_range(device, w_rows.len(), TASK.div_ceil(per_row), |range| match device.simd() {
        // SAFETY: the level is the host's.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => unsafe { super::fast_avx2::dots::<F>(&x, w, w_rows.start, range, &emit) },
        _ => dots::<F>(&x, w, w_rows.start, range, &emit),
    });
}

fn quantise(device: &CpuDevice, x: &Operand, k: usize, sub: usize) -> Quantised {
    let (rows, subs) = (x.len(), k / sub);
    let mut out = Quantised { a: vec![0; rows * k], d: vec![0.0; rows * subs], sum: vec![0.0; rows * subs], rows };
    let (a, d, sum) = (SharedMut::new(&mut out.a), SharedMut::new(&mut out.d), SharedMut::new(&mut out.sum));
    for_each_range(device, rows, (TASK / 8).div_ceil(k.max(1)), |range| {
        for row in range {
            // SAFETY: each row is one item.
            let (a, d, sum) = unsafe {
                (a.slice(row * k..(row + 1) * k), d.slice(row * subs..(row + 1) * subs), sum.slice(row * subs..(row + 1) * subs))
            };
            match device.simd() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level is the host's.
                Level::Avx2 | Level::Avx512 => unsafe { quantise_avx2(x.row(row), sub, a, d, sum) },
                _ => quantise_row(x.row(row), sub, a, d, sum),
            }
        }
    });
    out
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn quantise_avx2(x: &[f32], sub: usize, a: &mut [i8], d: &mut [f32], sum: &mut [f32]) {
    quantise_row(x, sub, a, d, sum);
}

/// Scales per 32 columns; where sub-blocks are 16 long, written twice.
#[inline(always)]
fn quantise_row(x: &[f32], sub: usize, a: &mut [i8], d: &mut [f32], sum: &mut [f32]) {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer in the low bits
    for (block, (x, a)) in x.as_chunks::<32>().0.iter().zip(a.as_chunks_mut::<32>().0).enumerate() {
        let mut largest = [0f32; 8];
        for i in 0..32 {
            largest[i % 8] = if x[i].abs() > largest[i % 8] { x[i].abs() } else { largest[i % 8] };
        }
        let largest = largest.into_iter().fold(0f32, f32::max);
        // NaN or infinity anywhere makes the whole block NaN: it must not be hidden.
        let broken = x.iter().map(|x| x * 0.0).sum::<f32>();
        let scale = largest / 127.0 + broken;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        for i in 0..32 {
            a[i] = (x[i] * inverse + ROUND).to_bits() as i8;
        }
        for part in 0..32 / sub {
            let at = block * (32 / sub) + part;
            d[at] = scale;
            sum[at] = scale * a[part * sub..(part + 1) * sub].iter().map(|&a| i32::from(a)).sum::<i32>() as f32;
        }
    }
}

/// Any level: a block of W is unpacked once and meets every row of x.
#[inline(always)]
fn dots<F: Format>(x: &Quantised, w: &CpuWeight, start: usize, range: Range<usize>, emit: &impl Fn(usize, usize, &[f32])) {
    let (k, subs) = (w.cols, w.cols / F::SUB);
    let (mut q, mut scale, mut shift) = ([0u8; 256], [0f32; 16], [0f32; 16]);
    let mut total = vec![0f32; x.rows];
    for n in range {
        total.fill(0.0);
        for (b, block) in w.row(start + n).chunks_exact(F::BYTES).enumerate() {
            F::unpack(block, &mut q, &mut scale, &mut shift);
            for (row, total) in total.iter_mut().enumerate() {
                let a = &x.a[row * k + b * F::LEN..][..F::LEN];
                for s in 0..F::LEN / F::SUB {
                    let at = row * subs + b * (F::LEN / F::SUB) + s;
                    let pairs = q[s * F::SUB..(s + 1) * F::SUB].iter().zip(&a[s * F::SUB..(s + 1) * F::SUB]);
                    let dot: i32 = pairs.map(|(&q, &a)| i32::from(q) * i32::from(a)).sum();
                    let shift = if F::AFFINE { shift[s] } else { -F::OFFSET as f32 * scale[s] };
                    *total += scale[s] * x.d[at] * dot as f32 + shift * x.sum[at];
                }
            }
        }
        for (row, total) in total.iter().enumerate() {
            emit(row, n, std::slice::from_ref(total));
        }
    }
}

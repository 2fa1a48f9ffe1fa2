use super::OP;
use crate::cpu::CpuDevice;
use crate::cpu::lanes::{Lanes, Vector, load, multiversion};
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::matmul::Output;
use crate::{Result, Tensor};

/// Rows whose part of `dgain` is summed at once, in order. Fixed: it decides the order of the sums.
const BLOCK: usize = 64;

/// Rows worth a thread's waking, by width.
fn rows_per_task(width: usize) -> usize {
    (16_384 / width.max(1)).max(1)
}

#[inline(always)]
fn inverse_rms<V: Vector>(x: &[f32], eps: f32) -> f32 {
    let mut sum = V::splat(0.0);
    for part in x.chunks(16) {
        let part = V::load(&load(part));
        sum = sum.fma(part, part);
    }
    let mut lanes = Lanes::ZERO;
    sum.store(&mut lanes);
    1.0 / (lanes.fold() / x.len() as f32 + eps).sqrt()
}

multiversion! {
    /// Rows of `gain.len()`. The squares are added by the 16-lane canonical sum.
    fn normalise(x: &[f32], gain: &[f32], eps: f32, y: &mut [f32]) {
        let width = gain.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let inverse = inverse_rms::<V>(x, eps);
            for ((y, x), g) in y.iter_mut().zip(x).zip(gain) {
                *y = x * inverse * g;
            }
        }
    }
}

multiversion! {
    fn normalise_in_place(x: &mut [f32], gain: &[f32], eps: f32) {
        for x in x.chunks_exact_mut(gain.len()) {
            let inverse = inverse_rms::<V>(x, eps);
            for (x, g) in x.iter_mut().zip(gain) {
                *x = *x * inverse * g;
            }
        }
    }
}

pub fn forward(device: &CpuDevice, x: &Tensor, gain: &Tensor, eps: f32, y: &mut Tensor, rows: usize, width: usize) -> Result<()> {
    let (x, gain, y) = (x.f32s(OP)?, &gain.f32s(OP)?[..width], SharedMut::new(&mut y.f32s_mut(OP)?[..rows * width]));
    for_each_range(device, rows, rows_per_task(width), |rows| {
        let part = rows.start * width..rows.end * width;
        // SAFETY: ranges of rows are disjoint.
        normalise(device.simd(), &x[part.clone()], gain, eps, unsafe { y.slice(part) });
    });
    Ok(())
}

pub fn forward_in_place(device: &CpuDevice, x: &mut Tensor, gain: &Tensor, eps: f32, rows: usize, width: usize) -> Result<()> {
    let (x, gain) = (SharedMut::new(&mut x.f32s_mut(OP)?[..rows * width]), &gain.f32s(OP)?[..width]);
    for_each_range(device, rows, rows_per_task(width), |rows| {
        // SAFETY: ranges of rows are disjoint.
        normalise_in_place(device.simd(), unsafe { x.slice(rows.start * width..rows.end * width) }, gain, eps);
    });
    Ok(())
}

/// Σ g dy x by the 16-lane canonical sum.
#[inline(always)]
fn dot3<V: Vector>(gain: &[f32], dy: &[f32], x: &[f32]) -> f32 {
    let mut sum = V::splat(0.0);
    for ((g, dy), x) in gain.chunks(16).zip(dy.chunks(16)).zip(x.chunks(16)) {
        sum = sum.fma(V::load(&load(g)).mul(V::load(&load(dy))), V::load(&load(x)));
    }
    let mut lanes = Lanes::ZERO;
    sum.store(&mut lanes);
    lanes.fold()
}

multiversion! {
    /// Rows of `gain.len()`; adds their part to `dgain`, or nothing if that is empty.
    fn differentiate(x: &[f32], gain: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], output: Output, dgain: &mut [f32]) {
        let width = gain.len();
        for ((x, dy), dx) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
            let inverse = inverse_rms::<V>(x, eps);
            let pull = dot3::<V>(gain, dy, x) / width as f32 * inverse * inverse;
            for (((dx, x), dy), g) in dx.iter_mut().zip(x).zip(dy).zip(gain) {
                let value = inverse * (g * dy - x * pull);
                *dx = if output == Output::Add { *dx + value } else { value };
            }
            for ((dgain, x), dy) in dgain.iter_mut().zip(x).zip(dy) {
                *dgain += dy * (x * inverse);
            }
        }
    }
}

pub fn backward(
    device: &CpuDevice,
    x: &Tensor,
    gain: &Tensor,
    eps: f32,
    dy: &Tensor,
    dx: &mut Tensor,
    output: Output,
    dgain: Option<&mut Tensor>,
    rows: usize,
    width: usize,
) -> Result<()> {
    if width == 0 {
        return Ok(());
    }
    let (x, gain, dy) = (x.f32s(OP)?, &gain.f32s(OP)?[..width], dy.f32s(OP)?);
    let dx = SharedMut::new(&mut dx.f32s_mut(OP)?[..rows * width]);
    let dgain = dgain.map(|dgain| dgain.f32s_mut(OP)).transpose()?;
    let blocks = rows.div_ceil(BLOCK);
    // A row of sums for every block.
    let mut sums = vec![0f32; if dgain.is_some() { blocks * width } else { 0 }];
    let part = if dgain.is_some() { width } else { 0 };
    let shared = SharedMut::new(&mut sums);
    for_each_range(device, blocks, rows_per_task(width).div_ceil(BLOCK), |blocks| {
        for block in blocks {
            let span = block * BLOCK * width..((block + 1) * BLOCK).min(rows) * width;
            // SAFETY: each block is one item.
            let (dx, sums) = unsafe { (dx.slice(span.clone()), shared.slice(block * part..(block + 1) * part)) };
            differentiate(device.simd(), &x[span.clone()], gain, eps, &dy[span], dx, output, sums);
        }
    });
    if let Some(dgain) = dgain {
        for sums in sums.chunks_exact(width) {
            dgain.iter_mut().zip(sums).for_each(|(dgain, sum)| *dgain += sum);
        }
    }
    Ok(())
}

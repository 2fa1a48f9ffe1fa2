use super::OP;
use crate::cpu::CpuDevice;
use crate::cpu::lanes::{Lanes, Vector, load, multiversion};
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::{Result, Tensor};

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

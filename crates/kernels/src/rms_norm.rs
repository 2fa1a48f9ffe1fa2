//! `y = x / sqrt(mean(x²) + eps) · g`, row by row. x, y: [R, C], g: [C].
//!
//! Backward keeps x only: with r = 1 / sqrt(mean(x²) + eps), `dx (=|+=) r (g dy - x r² mean(g dy x))` and `dg += Σ_r dy x r`. The sums
//! over rows run in ascending order, in blocks of 64 rows that are then added one after the other. A row of dx depends on no other row.
//!
//! Per-head norms pass `rows = R·H` and `width = D` over the same memory. `y` may not alias `x`, except through [`forward_in_place`].

mod cpu;
pub(crate) mod gpu;

use crate::matmul::Output;
use crate::{DType, Device, KernelError, Result, Tensor};

const OP: &str = "rms_norm";

fn check(x: &Tensor, gain: &Tensor, rows: usize, width: usize) -> Result<()> {
    gain.expect(OP, "gain", DType::F32, 1, width)?;
    if x.dtype() != DType::F32 || x.len() < rows * width {
        return Err(KernelError::shape(OP, format!("x is {:?}, {rows} rows of {width} are needed", x.shape())));
    }
    Ok(())
}

/// `y[..rows] = norm(x[..rows]) · gain`, rows of `width`.
pub fn forward(device: &Device, x: &Tensor, gain: &Tensor, eps: f32, y: &mut Tensor, rows: usize, width: usize) -> Result<()> {
    check(x, gain, rows, width)?;
    check(y, gain, rows, width)?;
    match device {
        Device::Cpu(device) => cpu::forward(device, x, gain, eps, y, rows, width),
        Device::Gpu(device) => gpu::forward(device, x, gain, eps, y, rows, width),
    }
}

/// `x[..rows] = norm(x[..rows]) · gain`, rows of `width` (the per-head q and k norms).
pub fn forward_in_place(device: &Device, x: &mut Tensor, gain: &Tensor, eps: f32, rows: usize, width: usize) -> Result<()> {
    check(x, gain, rows, width)?;
    match device {
        Device::Cpu(device) => cpu::forward_in_place(device, x, gain, eps, rows, width),
        Device::Gpu(device) => gpu::forward_in_place(device, x, gain, eps, rows, width),
    }
}

/// `dx[..rows] (=|+=) …` and, where it is wanted, `dgain += …` for the forward's input `x` and the gradient `dy` of its output; rows of
/// `width`. dgain: [C].
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn backward(
    device: &Device,
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
    check(x, gain, rows, width)?;
    check(dy, gain, rows, width)?;
    check(dx, gain, rows, width)?;
    if let Some(dgain) = &dgain {
        dgain.expect(OP, "dgain", DType::F32, 1, width)?;
    }
    match device {
        Device::Cpu(device) => cpu::backward(device, x, gain, eps, dy, dx, output, dgain, rows, width),
        Device::Gpu(device) => gpu::backward(device, x, gain, eps, dy, dx, output, dgain, rows, width),
    }
}

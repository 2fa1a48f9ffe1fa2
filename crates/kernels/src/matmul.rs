//! `y = x Wᵀ + b`, or `y += x Wᵀ + b`. x: [R, K], W: [N, K] in any weight format, b: [N], y: [R, N].
//!
//! Exact mode, the canonical sum: an output is 16 partial sums, partial `l` adding the products of the columns
//! k ≡ l (mod 16) in ascending order by fused multiply-add from 0, folded by a fixed tree
//! (l += l + 8, then + 4, + 2, + 1), then the bias, then the old `y` added. It depends on nothing else: not on R, not on
//! the thread count, not on the tile. Weights are dequantised to f32 first.
//! Fast mode may quantise activations to 8 bits (CPU) or split the sum (GPU).

mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, Result, Tensor, Weight};

/// What becomes of the old contents of `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `y = …`
    Store,
    /// `y += …` (the residual stream)
    Add,
}

/// `y[..rows] (=|+=) x[..rows] Wᵀ (+ bias)`.
pub fn forward(device: &Device, x: &Tensor, w: &Weight, bias: Option<&Tensor>, y: &mut Tensor, rows: usize, output: Output) -> Result<()> {
    const OP: &str = "matmul";
    x.expect(OP, "x", DType::F32, rows, w.cols)?;
    y.expect(OP, "y", DType::F32, rows, w.rows)?;
    if let Some(bias) = bias {
        bias.expect(OP, "bias", DType::F32, 1, w.rows)?;
    }
    match device {
        Device::Cpu(device) => cpu::forward(device, x, w.cpu(OP)?, bias, y, rows, output),
        Device::Gpu(device) => gpu::forward(device, x, w.gpu(OP)?, bias, y, rows, output),
    }
}

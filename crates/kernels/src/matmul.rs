//! `y = x Wᵀ + b`, or `y += x Wᵀ + b`. x: [R, K], W: [N, K] in any weight format, b: [N], y: [R, N].
//!
//! Exact mode, the canonical sum: an output is 16 partial sums, partial `l` adding the products of the columns
//! k ≡ l (mod 16) in ascending order by fused multiply-add from 0, folded by a fixed tree
//! (l += l + 8, then + 4, + 2, + 1), then the bias, then the old `y` added. It depends on nothing else: not on R, not on
//! the thread count, not on the tile. Weights are dequantised to f32 first.
//! Fast mode may quantise activations to 8 bits (CPU) or split the sum (GPU), or leave it to another library ([`crate::gpu::gemm`]).
//!
//! Backward, dy: [R, N]: `dx (=|+=) dy W`, `dW += dyᵀ x`, `db += Σ_r dy[r]`, the same in both modes. A sum runs over its inner
//! dimension in ascending order, in blocks of 256 that are added one after the other (`cpu/gemm.rs`). On a GPU dx is one chain from
//! what it is added to, and db a tree of blocks of 64 rows. A row of dx depends on no other row. x is all that is kept.

mod cpu;
pub(crate) mod gpu;
pub(crate) mod gpu_backward;
pub mod parts;

use crate::{DType, Device, Result, Tensor, Weight};

const OP: &str = "matmul";

/// On a GPU, up to this many rows a tile of few rows wastes less, and fast mode splits sums.
pub(crate) const FEW_ROWS: usize = 8;

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

/// `dx[..rows] (=|+=) dy[..rows] W`. dy: [R, N], W: [N, K] in any weight format, dx: [R, K].
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn backward_x(device: &Device, dy: &Tensor, w: &Weight, dx: &mut Tensor, rows: usize, output: Output) -> Result<()> {
    dy.expect(OP, "dy", DType::F32, rows, w.rows)?;
    dx.expect(OP, "dx", DType::F32, rows, w.cols)?;
    match device {
        Device::Cpu(device) => cpu::backward_x(device, dy, w.cpu(OP)?, dx, rows, output),
        Device::Gpu(device) => gpu_backward::backward_x(device, dy, w.gpu(OP)?, dx, rows, output),
    }
}

/// `dw += dy[..rows]ᵀ x[..rows]`. dy: [R, N], x: [R, K], dw: [N, K].
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn backward_w(device: &Device, dy: &Tensor, x: &Tensor, dw: &mut Tensor, rows: usize) -> Result<()> {
    let (n, k) = (dy.width(), x.width());
    dy.expect(OP, "dy", DType::F32, rows, n)?;
    x.expect(OP, "x", DType::F32, rows, k)?;
    dw.expect(OP, "dw", DType::F32, n, k)?;
    match device {
        Device::Cpu(device) => cpu::backward_w(device, dy, x, dw, rows),
        Device::Gpu(device) => gpu_backward::backward_w(device, dy, x, dw, rows),
    }
}

/// `db += Σ_r dy[r]` over the first `rows` rows. dy: [R, N], db: [N].
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn backward_bias(device: &Device, dy: &Tensor, db: &mut Tensor, rows: usize) -> Result<()> {
    let n = dy.width();
    dy.expect(OP, "dy", DType::F32, rows, n)?;
    db.expect(OP, "db", DType::F32, 1, n)?;
    match device {
        Device::Cpu(device) => cpu::backward_bias(device, dy, db, rows),
        Device::Gpu(device) => gpu_backward::backward_bias(device, dy, db, rows),
    }
}

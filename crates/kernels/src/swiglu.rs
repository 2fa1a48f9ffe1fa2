//! `h = silu(g) · u`, `silu(g) = g / (1 + e^-g)`, element by element. g, u, h: [R, I]; `h` overwrites `g`, except in [`forward_to`].
//!
//! Backward keeps g and u: with σ = 1 / (1 + e^-g), `dg = dh u σ (1 + g (1 - σ))` and `du = dh g σ`.

mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, Result, Tensor};

const OP: &str = "swiglu";

/// `gate[..rows] = silu(gate[..rows]) · up[..rows]`.
pub fn forward(device: &Device, gate: &mut Tensor, up: &Tensor, rows: usize) -> Result<()> {
    let width = up.width();
    gate.expect(OP, "gate", DType::F32, rows, width)?;
    up.expect(OP, "up", DType::F32, rows, width)?;
    match device {
        Device::Cpu(device) => cpu::forward(device, gate, up, rows, width),
        Device::Gpu(device) => gpu::forward(device, gate, up, rows, width),
    }
}

/// `h[..rows] = silu(gate[..rows]) · up[..rows]`, to the bits of [`forward`].
pub fn forward_to(device: &Device, gate: &Tensor, up: &Tensor, h: &mut Tensor, rows: usize) -> Result<()> {
    let width = up.width();
    gate.expect(OP, "gate", DType::F32, rows, width)?;
    up.expect(OP, "up", DType::F32, rows, width)?;
    h.expect(OP, "h", DType::F32, rows, width)?;
    match device {
        Device::Cpu(device) => cpu::forward_to(device, gate, up, h, rows, width),
        Device::Gpu(device) => gpu::forward_to(device, gate, up, h, rows, width),
    }
}

/// Overwrites the forward's inputs `gate` and `up` with their gradients, given `dh`, the gradient of its output.
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn backward(device: &Device, gate: &mut Tensor, up: &mut Tensor, dh: &Tensor, rows: usize) -> Result<()> {
    let width = dh.width();
    gate.expect(OP, "gate", DType::F32, rows, width)?;
    up.expect(OP, "up", DType::F32, rows, width)?;
    dh.expect(OP, "dh", DType::F32, rows, width)?;
    match device {
        Device::Cpu(device) => cpu::backward(device, gate, up, dh, rows, width),
        Device::Gpu(device) => gpu::backward(device, gate, up, dh, rows, width),
    }
}

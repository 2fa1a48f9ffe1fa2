//! `h = silu(g) · u`, `silu(g) = g / (1 + e^-g)`, element by element. g, u, h: [R, I]; `h` overwrites `g`.

mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, Result, Tensor};

/// `gate[..rows] = silu(gate[..rows]) · up[..rows]`.
pub fn forward(device: &Device, gate: &mut Tensor, up: &Tensor, rows: usize) -> Result<()> {
    const OP: &str = "swiglu";
    let width = up.width();
    gate.expect(OP, "gate", DType::F32, rows, width)?;
    up.expect(OP, "up", DType::F32, rows, width)?;
    match device {
        Device::Cpu(device) => cpu::forward(device, gate, up, rows, width),
        Device::Gpu(device) => gpu::forward(device, gate, up, rows, width),
    }
}

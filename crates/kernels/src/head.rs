//! The output head without logits: log-probability of each row's target and entropy over the full vocabulary.
//!
//! z = x Wᵀ / τ, tile by tile over the vocabulary with running m = max z, s = Σ e^(z-m), u = Σ (z-m) e^(z-m), merged in tile order:
//! `lse = m + log s`, `logprob = z_target - lse`, `entropy = log s - u / s` (nats). x: [R, K], W: [V, K].
//! u is relative to m because Σ z e^z would cost the entropy its digits wherever |z| is large.

mod backward;
pub(crate) mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, KernelError, Result, Tensor, Weight};
pub use backward::backward;

/// What the head says of each row.
pub struct HeadOutput {
    /// f32 [R]: log p(target).
    pub logprob: Tensor,
    /// f32 [R]: entropy of the full distribution, nats.
    pub entropy: Tensor,
    /// f32 [R]: log Σ e^z, kept for backward.
    pub lse: Tensor,
}

impl HeadOutput {
    /// Room for `rows` rows.
    pub fn new(device: &Device, rows: usize) -> Result<Self> {
        Ok(Self {
            logprob: device.zeros(&[rows], DType::F32)?,
            entropy: device.zeros(&[rows], DType::F32)?,
            lse: device.zeros(&[rows], DType::F32)?,
        })
    }
}

/// Fills `out[..rows]`. `targets`: u32 [R].
pub fn forward(
    device: &Device,
    x: &Tensor,
    w: &Weight,
    targets: &Tensor,
    temperature: f32,
    out: &mut HeadOutput,
    rows: usize,
) -> Result<()> {
    const OP: &str = "head";
    x.expect(OP, "x", DType::F32, rows, w.cols)?;
    if targets.dtype() != DType::U32 || targets.len() < rows || out.lse.len() < rows {
        return Err(KernelError::shape(
            OP,
            format!("targets {:?} or outputs {:?} are smaller than {rows} rows", targets.shape(), out.lse.shape()),
        ));
    }
    if !(temperature > 0.0) {
        return Err(KernelError::Value { op: OP, message: format!("temperature {temperature} is not above 0") });
    }
    match device {
        Device::Cpu(device) => cpu::forward(device, x, w.cpu(OP)?, targets, temperature, out, rows),
        Device::Gpu(device) => gpu::forward(device, x, w.gpu(OP)?, targets, temperature, out, rows),
    }
}

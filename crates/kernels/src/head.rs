//! The output head without logits: log-probability of each row's target and entropy over the full vocabulary.
//!
//! z = x Wᵀ / τ, tile by tile over the vocabulary with running m = max z, s = Σ e^(z-m), u = Σ (z-m) e^(z-m), merged in tile order:
//! `lse = m + log s`, `logprob = z_target - lse`, `entropy = log s - u / s` (nats). x: [R, K], W: [V, K].
//! u is relative to m because Σ z e^z would cost the entropy its digits wherever |z| is large.
//!
//! With cuts, in nucleus space: a row keeps the tokens whose logit x Wᵀ, before τ, is not below its cut, and the distribution is that of
//! the kept tokens alone: `kept_lse = log Σ_kept e^z`, `logprob = z_target - kept_lse`, `mass = e^(kept_lse - lse)`. The entropy stays
//! that of the full vocabulary. What [`sample`](crate::sample) reports of a draw is on the CPU to the bit what the head recomputes from
//! its cut, and a cut of [`f32::MIN`] keeps all, with the bits of no cut.
//!
//! A target below its cut, which rounding can bring about where a rollout's logits had other bits, counts as kept: its log-probability is
//! finite and its gradient that of a distribution it belongs to. `dropped` tells such rows, for the caller to count.

mod backward;
pub(crate) mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, KernelError, Result, Tensor, Weight};
pub use backward::backward;

/// What the head says of each row.
pub struct HeadOutput {
    /// f32 [R]: log p(target), among the kept tokens if there are cuts.
    pub logprob: Tensor,
    /// f32 [R]: entropy of the full distribution, nats.
    pub entropy: Tensor,
    /// f32 [R]: log Σ e^z, kept for backward.
    pub lse: Tensor,
    /// f32 [R], written with cuts alone: log Σ e^z of the kept tokens, for backward.
    pub kept_lse: Tensor,
    /// f32 [R], written with cuts alone: the kept tokens' share of the full distribution.
    pub mass: Tensor,
    /// u32 [R], written with cuts alone: 1 where the target was below the cut and counts as kept all the same.
    pub dropped: Tensor,
}

impl HeadOutput {
    /// Room for `rows` rows.
    pub fn new(device: &Device, rows: usize) -> Result<Self> {
        Ok(Self {
            logprob: device.zeros(&[rows], DType::F32)?,
            entropy: device.zeros(&[rows], DType::F32)?,
            lse: device.zeros(&[rows], DType::F32)?,
            kept_lse: device.zeros(&[rows], DType::F32)?,
            mass: device.zeros(&[rows], DType::F32)?,
            dropped: device.zeros(&[rows], DType::U32)?,
        })
    }
}

/// Fills `out[..rows]`. `targets`: u32 [R]; `cuts`: f32 [R], no NaN.
pub fn forward(
    device: &Device,
    x: &Tensor,
    w: &Weight,
    targets: &Tensor,
    temperature: f32,
    cuts: Option<&Tensor>,
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
    if let Some(cuts) = cuts.filter(|cuts| cuts.dtype() != DType::F32 || cuts.len() < rows) {
        return Err(KernelError::shape(OP, format!("cuts {:?} are fewer than {rows}, or not f32", cuts.shape())));
    }
    if !(temperature > 0.0) {
        return Err(KernelError::Value { op: OP, message: format!("temperature {temperature} is not above 0") });
    }
    match device {
        Device::Cpu(device) => cpu::forward(device, x, w.cpu(OP)?, targets, temperature, cuts, out, rows),
        Device::Gpu(device) => gpu::forward(device, x, w.gpu(OP)?, targets, temperature, cuts, out, rows),
    }
}

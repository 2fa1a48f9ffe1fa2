//! The gradient of the head, with logits computed anew, tile by tile: never a tensor of size [R, V].
//!
//! With p_j = e^(z_j - lse), H the entropy and upstream gradients g (of logprob) and h (of entropy):
//! dz_j = (g (1[j = target] - p_j) - h p_j (log p_j + H)) / τ, dx = dz W, dW += dzᵀ x.
//!
//! With cuts (see [`forward`](super::forward)), among the kept tokens: dz_j = g (1[j = target] - 1[j kept] e^(z_j - kept_lse)) / τ.
//!
//! dx adds the vocabulary and dW the rows in ascending order, so bits depend neither on threads nor, for dx, on other rows.

mod cpu;
pub(crate) mod gpu;

use super::HeadOutput;
use crate::{DType, Device, KernelError, Result, Tensor, Weight};

const OP: &str = "head backward";

/// Stores dx [R, K] and, if asked, adds to dw [V, K], for the first `rows` rows.
///
/// `x`, `w`, `targets`, `temperature` and `cuts` are what [`forward`](super::forward) was given and `out` what it gave. `dlogprob` and
/// `dentropy`, f32 [R], are the gradients of its outputs; without `dentropy` that gradient is zero. Rows whose upstream gradients
/// are zero have a gradient of zero and cost nothing on the CPU.
///
/// Working memory beyond operands, whatever R and V are: on the CPU at most 48 MiB and about half a MiB a thread for K up to 8192, on a
/// GPU 16 MiB.
///
/// Errors when operands do not fit, the temperature is not above 0, or there are both cuts and a gradient of the entropy, which is the
/// full distribution's. A target outside the vocabulary is an error on the CPU; on a
/// GPU it is no row's, as its log-probability in the forward is NaN.
pub fn backward(
    device: &Device,
    x: &Tensor,
    w: &Weight,
    targets: &Tensor,
    temperature: f32,
    cuts: Option<&Tensor>,
    out: &HeadOutput,
    dlogprob: &Tensor,
    dentropy: Option<&Tensor>,
    dx: &mut Tensor,
    mut dw: Option<&mut Tensor>,
    rows: usize,
) -> Result<()> {
    x.expect(OP, "x", DType::F32, rows, w.cols)?;
    dx.expect(OP, "dx", DType::F32, rows, w.cols)?;
    if let Some(dw) = &mut dw {
        dw.expect(OP, "dw", DType::F32, w.rows, w.cols)?;
    }
    let per_row = [
        ("targets", Some(targets), DType::U32),
        ("out.lse", Some(&out.lse), DType::F32),
        ("out.entropy", Some(&out.entropy), DType::F32),
        ("cuts", cuts, DType::F32),
        ("out.kept_lse", cuts.map(|_| &out.kept_lse), DType::F32),
        ("dlogprob", Some(dlogprob), DType::F32),
        ("dentropy", dentropy, DType::F32),
    ];
    for (name, tensor, dtype) in per_row {
        if let Some(tensor) = tensor.filter(|tensor| tensor.dtype() != dtype || tensor.len() < rows) {
            let (found, shape) = (tensor.dtype().name(), tensor.shape());
            return Err(KernelError::shape(OP, format!("`{name}` is {found} {shape:?}, {} of at least {rows} is needed", dtype.name())));
        }
    }
    if !(temperature > 0.0) {
        return Err(KernelError::Value { op: OP, message: format!("temperature {temperature} is not above 0") });
    }
    if cuts.is_some() && dentropy.is_some() {
        let message = "a gradient of the entropy, which is of the full vocabulary, beside cuts: leave out the one or the other";
        return Err(KernelError::Value { op: OP, message: message.into() });
    }
    match device {
        Device::Cpu(device) => cpu::backward(device, x, w.cpu(OP)?, targets, temperature, cuts, out, dlogprob, dentropy, dx, dw, rows),
        Device::Gpu(device) => gpu::backward(device, x, w.gpu(OP)?, targets, temperature, cuts, out, dlogprob, dentropy, dx, dw, rows),
    }
}

//! AdamW with decoupled weight decay, the norm of the gradient, clipping: everything between a gradient and the next weights.
//!
//! With g = clip · grad, t the step from 1: `w *= 1 - lr λ`; `m += (1 - β₁)(g - m)`; `v = β₂ v + (1 - β₂) g²`;
//! `w -= lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)`. That is `torch.optim.AdamW`, in its order of roundings.
//!
//! Sums of squares are a fixed tree over the elements' places: threads, workgroups and other tensors change no bit.
//! Nothing hides: a gradient that is not finite makes the norm infinite or NaN, and the weights NaN if a step is taken regardless.

mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, KernelError, Result, Tensor};

/// The settings of one AdamW step.
///
/// Each is the decimal number that its `f32` prints as, in `f64` from there on, as Python's would be: `1 - β₂` of the nearest `f32` to
/// 0.999 is off by 1 in 80,000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate, ≥ 0.
    pub lr: f32,
    /// Decay of the mean gradient, in [0, 1).
    pub beta1: f32,
    /// Decay of the mean squared gradient, in [0, 1).
    pub beta2: f32,
    /// Added to the root, ≥ 0.
    pub eps: f32,
    /// λ: a step shrinks weights by lr · λ, ≥ 0.
    pub weight_decay: f32,
    /// Number of this step, from 1.
    pub step: u32,
}

/// What a step multiplies by: computed in `f64`, rounded once.
pub(crate) struct Factors {
    /// 1 - lr λ
    keep: f32,
    /// 1 - β₁
    mean: f32,
    /// β₂
    square_keep: f32,
    /// 1 - β₂
    square: f32,
    /// √(1 - β₂ᵗ)
    root: f32,
    eps: f32,
    /// -lr / (1 - β₁ᵗ)
    step: f32,
}

impl AdamW {
    fn factors(&self) -> Result<Factors> {
        let unit = 0.0..1.0;
        let positive = [self.lr, self.eps, self.weight_decay].iter().all(|value| value.is_finite() && *value >= 0.0);
        if !positive || !unit.contains(&self.beta1) || !unit.contains(&self.beta2) || self.step == 0 {
            let message = format!("{self:?}: lr, eps and weight_decay are finite and ≥ 0, the betas in [0, 1), steps count from 1");
            return Err(KernelError::Value { op: "adamw", message });
        }
        // A finite number always prints as one.
        let decimal = |value: f32| value.to_string().parse().unwrap_or(f64::from(value));
        let (lr, beta1, beta2): (f64, f64, f64) = (decimal(self.lr), decimal(self.beta1), decimal(self.beta2));
        let step = f64::from(self.step);
        Ok(Factors {
            keep: (1.0 - lr * decimal(self.weight_decay)) as f32,
            mean: (1.0 - beta1) as f32,
            square_keep: beta2 as f32,
            square: (1.0 - beta2) as f32,
            root: (1.0 - beta2.powf(step)).sqrt() as f32,
            eps: self.eps,
            step: (-lr / (1.0 - beta1.powf(step))) as f32,
        })
    }
}

/// Errors unless `tensor` holds `count` f32.
fn expect(op: &'static str, name: &str, tensor: &Tensor, count: usize) -> Result<()> {
    if tensor.dtype() != DType::F32 || tensor.len() < count {
        let (dtype, shape) = (tensor.dtype().name(), tensor.shape());
        return Err(KernelError::shape(op, format!("`{name}` is {dtype} {shape:?}, f32 with {count} elements is needed")));
    }
    Ok(())
}

/// `x = value`, the first `count` elements: unlike scaling by 0 it also clears what is not finite.
pub fn fill(device: &Device, x: &mut Tensor, count: usize, value: f32) -> Result<()> {
    expect("fill", "x", x, count)?;
    match device {
        Device::Cpu(device) => cpu::fill(device, x, count, value),
        Device::Gpu(device) => gpu::fill(device, x, count, value),
    }
}

/// `x *= by`, the first `count` elements.
pub fn scale(device: &Device, x: &mut Tensor, count: usize, by: f32) -> Result<()> {
    expect("scale", "x", x, count)?;
    match device {
        Device::Cpu(device) => cpu::scale(device, x, count, by),
        Device::Gpu(device) => gpu::scale(device, x, count, by),
    }
}

/// `y += x`, the first `count` elements.
pub fn add(device: &Device, y: &mut Tensor, x: &Tensor, count: usize) -> Result<()> {
    expect("add", "y", y, count)?;
    expect("add", "x", x, count)?;
    match device {
        Device::Cpu(device) => cpu::add(device, y, x, count),
        Device::Gpu(device) => gpu::add(device, y, x, count),
    }
}

/// `out[index] = Σ x²` over the first `count` elements. The CPU adds in f64 and rounds once; a GPU adds in f32.
pub fn sum_squares(device: &Device, x: &Tensor, count: usize, out: &mut Tensor, index: usize) -> Result<()> {
    expect("sum squares", "x", x, count)?;
    expect("sum squares", "out", out, index.saturating_add(1))?;
    match device {
        Device::Cpu(device) => cpu::sum_squares(device, x, count, out, index),
        Device::Gpu(device) => gpu::sum_squares(device, x, count, out, index),
    }
}

/// From the tensors' sums of squares, of which `count`: `out[1] = √Σ sums`, the gradient's norm, and `out[0]`, the factor that clips it:
/// `min(1, max_norm / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_`. An infinite `max_norm` clips nothing.
///
/// A NaN norm makes the factor NaN; an infinite norm makes it 0 or, where nothing clips, NaN.
pub fn clip(device: &Device, sums: &Tensor, count: usize, max_norm: f32, out: &mut Tensor) -> Result<()> {
    const OP: &str = "clip";
    expect(OP, "sums", sums, count)?;
    expect(OP, "out", out, 2)?;
    if !(max_norm >= 0.0) {
        return Err(KernelError::Value { op: OP, message: format!("a largest norm of {max_norm}; it is ≥ 0, infinite for no clipping") });
    }
    match device {
        Device::Cpu(_) => cpu::clip(sums, count, max_norm, out),
        Device::Gpu(device) => gpu::clip(device, sums, count, max_norm, out),
    }
}

/// One step on the first `count` weights: `master`, `m` and `v` change in place. `clip` is [`clip`]'s `out`; `grad` counts times `clip[0]`.
pub fn adamw(
    device: &Device,
    hyper: &AdamW,
    clip: &Tensor,
    grad: &Tensor,
    master: &mut Tensor,
    m: &mut Tensor,
    v: &mut Tensor,
    count: usize,
) -> Result<()> {
    const OP: &str = "adamw";
    expect(OP, "clip", clip, 2)?;
    for (name, tensor) in [("grad", grad), ("master", &*master), ("m", &*m), ("v", &*v)] {
        expect(OP, name, tensor, count)?;
    }
    let factors = hyper.factors()?;
    match device {
        Device::Cpu(device) => cpu::adamw(device, &factors, clip, grad, master, m, v, count),
        Device::Gpu(device) => gpu::adamw(device, &factors, clip, grad, master, m, v, count),
    }
}

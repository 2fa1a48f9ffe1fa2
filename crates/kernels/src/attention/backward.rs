//! The gradient of [`forward`](super::forward) over whole sequences, and over families: a stem, computed once, and the spans that go on
//! from it. The stem's keys get gradients from the rows of all of them.
//!
//! With P = e^(q Kᵀ · scale - lse) over the keys a row sees, and delta = ⟨dout, out⟩ for each row and head:
//! dV = Pᵀ dout, dP = dout Vᵀ, dS = P ∘ (dP - delta), dq = dS K · scale, dK = dSᵀ q · scale; dK and dV add the query heads of a
//! kv head. Scores are computed anew, tile by tile: nothing of size [R, R] exists. K and V are what the cache holds; its rounding
//! counts as the identity (straight-through).
//!
//! Sums run in a fixed order (dq over ascending keys; dk, dv over ascending rows, and the heads of a group within a row on the CPU):
//! the bits depend neither on threads nor on the other spans.

mod cpu;
mod family;
pub(crate) mod gpu;
mod keys;
mod product;
mod sweep;
mod tile;

use super::{Batch, KvCache, KvDType, Storage};
use crate::gpu::Slice;
use crate::{DType, Device, KernelError, Result, Tensor};

const OP: &str = "attention backward";

/// What backward computes on its way, to be reused from layer to layer.
pub struct BackwardSpace {
    /// f32 [2, R, Hq]: lse = log Σ e^(s · scale) of every row and query head, then delta = ⟨dout, out⟩.
    statistics: Tensor,
    /// On a GPU: the rows' keys and values as f32, [R, Hkv, D] each, made at the first use.
    keys: Option<[Slice; 2]>,
}

impl BackwardSpace {
    /// Room for `rows` rows of `heads` query heads.
    pub fn new(device: &Device, rows: usize, heads: usize) -> Result<Self> {
        Ok(Self { statistics: device.zeros(&[2, rows, heads], DType::F32)?, keys: None })
    }
}

/// Stores dq [R, Hq·D], dk and dv [R, Hkv·D] of the batch's rows.
///
/// `q` (rotated), `cache` and `scale` are what [`forward`](super::forward) was given and `out` what it gave; `dout` is the gradient
/// of `out`. Errors when a span has a past that is not a stem of the batch, when the cache is q8 (its rounding has no gradient), or when operands do not fit.
pub fn backward(
    device: &Device,
    q: &Tensor,
    cache: &KvCache,
    layer: usize,
    batch: &Batch,
    scale: f32,
    out: &Tensor,
    dout: &Tensor,
    space: &mut BackwardSpace,
    dq: &mut Tensor,
    dk: &mut Tensor,
    dv: &mut Tensor,
) -> Result<()> {
    let shape = &cache.shape;
    let (kv_width, width, rows) = (shape.kv_heads * shape.head_dim, q.width(), batch.rows);
    if kv_width == 0 || width == 0 || width % kv_width != 0 {
        return Err(KernelError::shape(OP, format!("q is {:?}, its width is not a multiple of {kv_width}", q.shape())));
    }
    if shape.dtype == KvDType::Q8 {
        return Err(KernelError::Value { op: OP, message: "a q8 cache is for inference; train with an f16 or f32 cache".into() });
    }
    for (name, tensor) in [("q", q), ("out", out), ("dout", dout), ("dq", &*dq)] {
        tensor.expect(OP, name, DType::F32, rows, width)?;
    }
    for (name, tensor) in [("dk", &*dk), ("dv", &*dv)] {
        tensor.expect(OP, name, DType::F32, rows, kv_width)?;
    }
    let heads = width / shape.head_dim;
    if space.statistics.width() != heads || space.statistics.len() < 2 * rows * heads {
        let has = &space.statistics.shape()[1..];
        return Err(KernelError::shape(OP, format!("the space is for {has:?} rows and heads, not for [{rows}, {heads}]")));
    }
    for (number, span) in batch.spans.iter().enumerate() {
        if span.past != 0 && batch.stems[number].is_none() {
            let message =
                format!("span {number} has {} positions before its rows that no span before it computes; a gradient needs them", span.past);
            return Err(KernelError::shape(OP, message));
        }
        if let Some(page) = span.pages.iter().find(|&&page| page as usize >= shape.pages) {
            return Err(KernelError::Value { op: OP, message: format!("span {number} has page {page}, the cache has {}", shape.pages) });
        }
    }
    if layer >= shape.layers {
        return Err(KernelError::Value { op: OP, message: format!("layer {layer} of {}", shape.layers) });
    }
    match (device, &cache.layers) {
        (Device::Cpu(device), Storage::Cpu(layers)) => {
            cpu::backward(device, q, &layers[layer], shape, batch, scale, out, dout, space, dq, dk, dv)
        }
        (Device::Gpu(device), Storage::Gpu(layers)) => {
            gpu::backward(device, q, &layers[layer], shape, batch, scale, out, dout, space, dq, dk, dv)
        }
        _ => Err(KernelError::WrongDevice { op: OP, device: device.describe() }),
    }
}

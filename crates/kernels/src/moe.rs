//! Mixture of experts: routing, a stable sort by expert, the grouped matmul, the ordered combine. No atomics.
//!
//! `p = softmax(logits)`; the k largest (lowest index wins a tie) with weights p, divided by their sum if `renormalise`
//! (the GPU compares logits, which order as p does but do not tie where rounding makes two p equal);
//! assignments (token t, slot s) sorted stably by expert: `order[i] = t·k + s`, `inverse[t·k + s] = i`,
//! expert e owning sorted rows `offsets[e] .. offsets[e+1]`; `y[t] += Σ_s w[t,s] · h[inverse[t·k+s]]`, slots in order.

mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, KernelError, Result, Tensor, Weight};

/// Where each token goes; capacity for `rows` tokens.
pub struct Routes {
    /// Experts per token.
    pub top_k: usize,
    /// Number of experts.
    pub experts: usize,
    /// u32 [R, k], best first.
    pub ids: Tensor,
    /// f32 [R, k].
    pub weights: Tensor,
    /// u32 [R·k]: sorted position → t·k + s.
    pub order: Tensor,
    /// u32 [R·k]: t·k + s → sorted position.
    pub inverse: Tensor,
    /// u32 [E + 1].
    pub offsets: Tensor,
    /// u32 [blocks, E]: the GPU sort's counts of each block of [`SORT_BLOCK`] assignments.
    pub(crate) counts: Tensor,
}

/// Assignments that one workgroup of the GPU sort walks.
pub(crate) const SORT_BLOCK: usize = 1024;

impl Routes {
    /// Room for `rows` tokens.
    pub fn new(device: &Device, rows: usize, experts: usize, top_k: usize) -> Result<Self> {
        if top_k == 0 || top_k > experts {
            return Err(KernelError::shape("moe", format!("top {top_k} of {experts} experts")));
        }
        Ok(Self {
            top_k,
            experts,
            ids: device.zeros(&[rows, top_k], DType::U32)?,
            weights: device.zeros(&[rows, top_k], DType::F32)?,
            order: device.zeros(&[rows * top_k], DType::U32)?,
            inverse: device.zeros(&[rows * top_k], DType::U32)?,
            offsets: device.zeros(&[experts + 1], DType::U32)?,
            counts: device.zeros(&[(rows * top_k).div_ceil(SORT_BLOCK), experts], DType::U32)?,
        })
    }
}

/// Which rows of `x` a grouped matmul reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Sorted row i reads token `order[i] / k` (x: [R, K]).
    Tokens,
    /// Sorted row i reads row i (x: [R·k, K]).
    Sorted,
}

/// Fills `ids` and `weights` from router logits [R, E].
pub fn route(device: &Device, logits: &Tensor, renormalise: bool, routes: &mut Routes, rows: usize) -> Result<()> {
    logits.expect("moe route", "logits", DType::F32, rows, routes.experts)?;
    match device {
        Device::Cpu(device) => cpu::route(device, logits, renormalise, routes, rows),
        Device::Gpu(device) => gpu::route(device, logits, renormalise, routes, rows),
    }
}

/// Fills `order`, `inverse` and `offsets` from `ids`. Replayed routes enter here.
pub fn sort(device: &Device, routes: &mut Routes, rows: usize) -> Result<()> {
    match device {
        Device::Cpu(device) => cpu::sort(device, routes, rows),
        Device::Gpu(device) => gpu::sort(device, routes, rows),
    }
}

/// Says which experts the next [`grouped_matmul`]s read of each weight, once the routes are sorted. Where weights lie in a file,
/// all of them are fetched at once instead of one after the other. Changes no result.
pub fn will_read(routes: &Routes, weights: &[&Weight]) -> Result<()> {
    const OP: &str = "moe";
    for w in weights.iter().filter(|w| w.is_on_cpu()) {
        expect_experts(OP, w, routes)?;
        cpu::will_read(routes, w.cpu(OP)?, w.unit_rows)?;
    }
    Ok(())
}

fn expect_experts(op: &'static str, w: &Weight, routes: &Routes) -> Result<()> {
    if w.unit_rows * routes.experts != w.rows {
        return Err(KernelError::shape(op, format!("{} rows are not {} experts of {}", w.rows, routes.experts, w.unit_rows)));
    }
    Ok(())
}

/// `y[i] = x[row(i)] · W_eᵀ` for sorted rows i of expert e. `w` stacks experts [E·N, K]; y: [R·k, N].
pub fn grouped_matmul(device: &Device, x: &Tensor, from: Rows, w: &Weight, routes: &Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "moe matmul";
    expect_experts(OP, w, routes)?;
    let x_rows = if from == Rows::Tokens { rows } else { rows * routes.top_k };
    x.expect(OP, "x", DType::F32, x_rows, w.cols)?;
    y.expect(OP, "y", DType::F32, rows * routes.top_k, w.unit_rows)?;
    match device {
        Device::Cpu(device) => cpu::grouped_matmul(device, x, from, w.cpu(OP)?, w.unit_rows, routes, y, rows),
        Device::Gpu(device) => gpu::grouped_matmul(device, x, from, w.gpu(OP)?, w.unit_rows, routes, y, rows),
    }
}

/// `y[t] += Σ_s weights[t,s] · h[inverse[t·k+s]]`. h: [R·k, C], y: [R, C].
pub fn combine(device: &Device, h: &Tensor, routes: &Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "moe combine";
    let width = y.width();
    h.expect(OP, "h", DType::F32, rows * routes.top_k, width)?;
    y.expect(OP, "y", DType::F32, rows, width)?;
    match device {
        Device::Cpu(device) => cpu::combine(device, h, routes, y, rows),
        Device::Gpu(device) => gpu::combine(device, h, routes, y, rows),
    }
}

//! Mixture of experts: routing, a stable sort by expert, the grouped matmul, the ordered combine. No atomics.
//!
//! `p = softmax(logits)`; the k largest (lowest index wins a tie) with weights p, divided by their sum if `renormalise`
//! (the GPU compares logits, which order as p does but do not tie where rounding makes two p equal);
//! assignments (token t, slot s) sorted stably by expert: `order[i] = t·k + s`, `inverse[t·k + s] = i`,
//! expert e owning sorted rows `offsets[e] .. offsets[e+1]`; `y[t] += Σ_s w[t,s] · h[inverse[t·k+s]]`, slots in order.
//!
//! Backward takes the choice of experts as given. With w the weights and W = Σ_s w_s dw_s of a token: renormalised weights are a softmax
//! over the chosen logits, so `dz_i = w_i (dw_i - W)` there and 0 elsewhere (what going through p and its sum S comes to, without the
//! division); else `dz_i = p_i (dp_i - W)` with dp = dw on the chosen and 0 elsewhere. `dh[i] = w dy[t]` and `dw = ⟨dy[t], h[i]⟩`;
//! `dx[i] = dy[i] W_e`; `dW_e += Σ_i dy[i]ᵀ x[row(i)]`, the expert's sorted rows in ascending order.

mod cpu;
pub mod few;
pub(crate) mod gpu;

use crate::matmul::Output;
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

    /// Errors unless there is room for `rows` tokens.
    fn expect_room(&self, op: &'static str, rows: usize) -> Result<()> {
        let needed = rows * self.top_k;
        let lens = [&self.ids, &self.weights, &self.order, &self.inverse].map(Tensor::len);
        if lens.iter().any(|&len| len < needed) || self.offsets.len() <= self.experts {
            return Err(KernelError::shape(op, format!("the routes' tensors hold {lens:?} elements, {needed} are needed")));
        }
        Ok(())
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

/// Fills `weights` for the `ids` that are there (replayed routes): for the ids that [`route`] chooses, to the same bits.
pub fn weigh(device: &Device, logits: &Tensor, renormalise: bool, routes: &mut Routes, rows: usize) -> Result<()> {
    routes.expect_room("moe weigh", rows)?;
    logits.expect("moe weigh", "logits", DType::F32, rows, routes.experts)?;
    match device {
        Device::Cpu(device) => cpu::weigh(device, logits, renormalise, routes, rows),
        Device::Gpu(device) => gpu::weigh(device, logits, renormalise, routes, rows),
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

/// Stores dlogits [R, E] from the gradient of the weights [R, k]; `logits` and `renormalise` are those of [`route`] or [`weigh`].
pub fn route_backward(
    device: &Device,
    logits: &Tensor,
    renormalise: bool,
    routes: &Routes,
    dweights: &Tensor,
    dlogits: &mut Tensor,
    rows: usize,
) -> Result<()> {
    const OP: &str = "moe route backward";
    routes.expect_room(OP, rows)?;
    logits.expect(OP, "logits", DType::F32, rows, routes.experts)?;
    dweights.expect(OP, "dweights", DType::F32, rows, routes.top_k)?;
    dlogits.expect(OP, "dlogits", DType::F32, rows, routes.experts)?;
    match device {
        Device::Cpu(device) => cpu::backward::route(device, logits, renormalise, routes, dweights, dlogits, rows),
        Device::Gpu(device) => gpu::backward::route(device, logits, renormalise, routes, dweights, dlogits, rows),
    }
}

/// `dx[i] (=|+=) dy[i] W_e` for sorted rows i of expert e. dy: [R·k, N], `w` as for [`grouped_matmul`], dx: [R·k, K].
pub fn grouped_backward_x(
    device: &Device,
    dy: &Tensor,
    w: &Weight,
    routes: &Routes,
    dx: &mut Tensor,
    rows: usize,
    output: Output,
) -> Result<()> {
    const OP: &str = "moe backward x";
    routes.expect_room(OP, rows)?;
    expect_experts(OP, w, routes)?;
    dy.expect(OP, "dy", DType::F32, rows * routes.top_k, w.unit_rows)?;
    dx.expect(OP, "dx", DType::F32, rows * routes.top_k, w.cols)?;
    match device {
        Device::Cpu(device) => cpu::backward::grouped_x(device, dy, w.cpu(OP)?, w.unit_rows, routes, dx, rows, output),
        Device::Gpu(device) => gpu::backward::grouped_x(device, dy, w.gpu(OP)?, w.unit_rows, routes, dx, rows, output),
    }
}

/// `dw_e += Σ_i dy[i]ᵀ x[row(i)]` over the sorted rows i of expert e. dy: [R·k, N], x as for [`grouped_matmul`], dw: [E·N, K].
/// An expert without rows is left untouched.
pub fn grouped_backward_w(
    device: &Device,
    dy: &Tensor,
    x: &Tensor,
    from: Rows,
    routes: &Routes,
    dw: &mut Tensor,
    rows: usize,
) -> Result<()> {
    const OP: &str = "moe backward w";
    routes.expect_room(OP, rows)?;
    let x_rows = if from == Rows::Tokens { rows } else { rows * routes.top_k };
    x.expect(OP, "x", DType::F32, x_rows, dw.width())?;
    dy.expect(OP, "dy", DType::F32, rows * routes.top_k, dy.width())?;
    dw.expect(OP, "dw", DType::F32, routes.experts * dy.width(), x.width())?;
    match device {
        Device::Cpu(device) => cpu::backward::grouped_w(device, dy, x, from, routes, dw, rows),
        Device::Gpu(device) => gpu::backward::grouped_w(device, dy, x, from, routes, dw),
    }
}

/// Backward of [`combine`]: stores `dh[inverse[t,s]] = w[t,s] dy[t]` and `dweights[t,s] = ⟨dy[t], h[inverse[t,s]]⟩`.
/// dy: [R, C], h: [R·k, C] as combine read it, dh: [R·k, C], dweights: [R, k].
pub fn combine_backward(
    device: &Device,
    dy: &Tensor,
    h: &Tensor,
    routes: &Routes,
    dh: &mut Tensor,
    dweights: &mut Tensor,
    rows: usize,
) -> Result<()> {
    const OP: &str = "moe combine backward";
    routes.expect_room(OP, rows)?;
    let width = dy.width();
    dy.expect(OP, "dy", DType::F32, rows, width)?;
    h.expect(OP, "h", DType::F32, rows * routes.top_k, width)?;
    dh.expect(OP, "dh", DType::F32, rows * routes.top_k, width)?;
    dweights.expect(OP, "dweights", DType::F32, rows, routes.top_k)?;
    match device {
        Device::Cpu(device) => cpu::backward::combine(device, dy, h, routes, dh, dweights, rows),
        Device::Gpu(device) => gpu::backward::combine(device, dy, h, routes, dh, dweights, rows),
    }
}

/// `y[t] += Σ_s d[inverse[t·k+s]]`, slots in order: what the experts' rows give their token. d: [R·k, C] sorted, y: [R, C].
pub fn gather_sum(device: &Device, d: &Tensor, routes: &Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "moe gather sum";
    routes.expect_room(OP, rows)?;
    let width = y.width();
    d.expect(OP, "d", DType::F32, rows * routes.top_k, width)?;
    y.expect(OP, "y", DType::F32, rows, width)?;
    match device {
        Device::Cpu(device) => cpu::backward::gather_sum(device, d, routes, y, rows),
        Device::Gpu(device) => gpu::backward::gather_sum(device, d, routes, y, rows),
    }
}

//! Products that share their input: a layer's q, k and v, its gate and up. On a GPU, for few rows in fast mode, a norm and its products are one
//! dispatch where the weights and outputs lie together ([`Device::weights_together`], [`Device::zeros_together`]); everywhere else, and with the same
//! result up to rounding, they are ops of their own.

use super::{FEW_ROWS, OP, Output, forward};
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, GpuWeight, Slice};
use crate::{Device, Precision, Result, Tensor, Weight, rms_norm, swiglu, uniform};

/// The norm before the products: `n = x / rms(x) · gain`.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// [K].
    pub gain: &'a Tensor,
    /// Under the root.
    pub eps: f32,
}

/// One product: `y = n Wᵀ (+ b)`.
pub struct Part<'a> {
    /// [N, K].
    pub w: &'a Weight,
    /// [N].
    pub bias: Option<&'a Tensor>,
    /// [R, N].
    pub y: &'a mut Tensor,
}

/// The products of x's norm with two or three weights. `normed` [R, K] has room for the norm; it holds it only where it was needed.
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn of_norm(device: &Device, x: &Tensor, norm: Norm, normed: &mut Tensor, mut parts: Vec<Part>, rows: usize) -> Result<()> {
    if let Device::Gpu(gpu) = device
        && together(gpu, x, norm, &mut parts, rows)?
    {
        return Ok(());
    }
    rms_norm::forward(device, x, norm.gain, norm.eps, normed, rows, normed.width())?;
    parts.iter_mut().try_for_each(|part| forward(device, normed, part.w, part.bias, part.y, rows, Output::Store))
}

/// `y = silu(n W_gateᵀ) · n W_upᵀ`, n the norm of x. `normed` [R, K] and `up` [R, N] have room for what is needed in between.
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn gated(
    device: &Device,
    x: &Tensor,
    norm: Norm,
    normed: &mut Tensor,
    [w_gate, w_up]: [&Weight; 2],
    y: &mut Tensor,
    up: &mut Tensor,
    rows: usize,
) -> Result<()> {
    if let Device::Gpu(gpu) = device
        && gated_together(gpu, x, norm, [w_gate, w_up], y, rows)?
    {
        return Ok(());
    }
    rms_norm::forward(device, x, norm.gain, norm.eps, normed, rows, normed.width())?;
    forward(device, normed, w_gate, None, y, rows, Output::Store)?;
    forward(device, normed, w_up, None, up, rows, Output::Store)?;
    swiglu::forward(device, y, up, rows)
}

pub(crate) const SHADERS: &[&ShaderSpec] = &[&PARTS, &GATED];

const SOURCE: &str = include_str!("../../../../shaders/matvec_parts.wgsl");

static PARTS: ShaderSpec = ShaderSpec {
    name: "matvec_parts",
    source: SOURCE,
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || GpuWeight::formats().map(|format| vec![("FORMAT", format), ("GATED", 0)]).collect(),
};

static GATED: ShaderSpec = ShaderSpec {
    name: "matvec_parts_gated",
    source: SOURCE,
    bindings: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || GpuWeight::formats().map(|format| vec![("FORMAT", format), ("GATED", 1)]).collect(),
};

uniform! {
    struct Params {
        rows: u32,
        w_rows: u32,
        w_cols: u32,
        w_row_words: u32,
        second: u32,
        third: u32,
        y_second: u32,
        y_third: u32,
        has_norm: u32,
        has_bias: u32,
        eps: f32,
        pad0: u32,
    }
}

/// Whether one dispatch may stand for several: not in exact mode, whose sums are another kernel's.
fn may(device: &GpuDevice, weights: &[&GpuWeight], rows: usize) -> bool {
    let taken = device.gemm().is_some_and(|gemm| weights.iter().any(|w| gemm.passes(w.dtype, rows).is_none()));
    device.precision() == Precision::Fast && rows <= FEW_ROWS && !taken
}

/// The words of all weights as one range: the same format and width, one after the other in one buffer.
fn one_range(device: &GpuDevice, weights: &[&GpuWeight]) -> Option<Slice> {
    let first = weights.first()?;
    let whole = |w: &&GpuWeight| w.shards.len() == 1 && w.dtype == first.dtype && w.cols == first.cols && w.rows > 0;
    if !weights.iter().all(whole) {
        return None;
    }
    let start = &first.shards[0].slice;
    let mut bytes = 0;
    for weight in weights {
        let slice = &weight.shards[0].slice;
        if slice.buffer != start.buffer || slice.offset != start.offset + bytes {
            return None;
        }
        bytes += 4 * (weight.rows * weight.row_words) as u64;
    }
    (bytes <= device.max_binding()).then(|| Slice { buffer: start.buffer.clone(), offset: start.offset, bytes })
}

/// Dispatches once if weights and outputs lie together; whether it did.
fn together(device: &GpuDevice, x: &Tensor, norm: Norm, parts: &mut [Part], rows: usize) -> Result<bool> {
    let weights = parts.iter().map(|part| part.w.gpu(OP)).collect::<Result<Vec<_>>>()?;
    let biases = parts.iter().filter(|part| part.bias.is_some()).count();
    if !(2..=3).contains(&parts.len()) || !(biases == 0 || biases == parts.len()) || !may(device, &weights, rows) {
        return Ok(false);
    }
    let Some(weight) = one_range(device, &weights) else { return Ok(false) };
    let ys = parts.iter().map(|part| part.y.gpu(OP)).collect::<Result<Vec<_>>>()?;
    let Some((y, at)) = Slice::of_parts(&ys) else { return Ok(false) };
    let total: usize = weights.iter().map(|w| w.rows).sum();
    if total > 4 * 65_535 {
        return Ok(false);
    }
    x.expect(OP, "x", crate::DType::F32, rows, weights[0].cols)?;
    for part in parts.iter() {
        part.y.expect(OP, "y", crate::DType::F32, rows, part.w.rows)?;
        if let Some(bias) = part.bias {
            bias.expect(OP, "bias", crate::DType::F32, 1, part.w.rows)?;
        }
    }
    let params = Params {
        rows: rows as u32,
        w_rows: total as u32,
        w_cols: weights[0].cols as u32,
        w_row_words: weights[0].row_words as u32,
        second: weights[0].rows as u32,
        third: (weights[0].rows + weights[1].rows) as u32,
        y_second: at[1],
        y_third: at.get(2).copied().unwrap_or(0),
        has_norm: 1,
        has_bias: u32::from(biases > 0),
        eps: norm.eps,
        pad0: 0,
    };
    // Without biases, and without a third part, their bindings are never read; x fills them.
    let bias = |number: usize| parts.get(number).and_then(|part| part.bias).unwrap_or(x).gpu(OP);
    let bindings = [x.gpu(OP)?, norm.gain.gpu(OP)?, weight, bias(0)?, bias(1)?, bias(2)?, y];
    let defines = [("FORMAT", weights[0].format()), ("GATED", 0)];
    device.launch(&PARTS, &defines, &params, &bindings, [total.div_ceil(4) as u32, rows as u32, 1])?;
    Ok(true)
}

fn gated_together(device: &GpuDevice, x: &Tensor, norm: Norm, weights: [&Weight; 2], y: &Tensor, rows: usize) -> Result<bool> {
    let [gate, up] = [weights[0].gpu(OP)?, weights[1].gpu(OP)?];
    if gate.rows != up.rows || gate.rows > 4 * 65_535 || !may(device, &[gate, up], rows) {
        return Ok(false);
    }
    let Some(weight) = one_range(device, &[gate, up]) else { return Ok(false) };
    x.expect(OP, "x", crate::DType::F32, rows, gate.cols)?;
    y.expect(OP, "y", crate::DType::F32, rows, gate.rows)?;
    let params = Params {
        rows: rows as u32,
        w_rows: gate.rows as u32,
        w_cols: gate.cols as u32,
        w_row_words: gate.row_words as u32,
        second: 0,
        third: 0,
        y_second: 0,
        y_third: 0,
        has_norm: 1,
        has_bias: 0,
        eps: norm.eps,
        pad0: 0,
    };
    let bindings = [x.gpu(OP)?, norm.gain.gpu(OP)?, weight, y.gpu(OP)?];
    device.launch(
        &GATED,
        &[("FORMAT", gate.format()), ("GATED", 1)],
        &params,
        &bindings,
        [gate.rows.div_ceil(4) as u32, rows as u32, 1],
    )?;
    Ok(true)
}

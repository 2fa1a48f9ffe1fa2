//! Experts for few tokens on a GPU in fast mode: each assignment reads its own expert, so that nothing is sorted.

use super::Routes;
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, GpuWeight, Slice};
use crate::matmul::FEW_ROWS;
use crate::{DType, Device, Precision, Result, Tensor, Weight, swiglu, uniform};

const OP: &str = "moe";

/// Adds the chosen experts' `Σ_s w_s · (silu(x G_eᵀ) · x U_eᵀ) D_eᵀ` of the first `rows` rows of x [R, K] to `y` [R, K], if that is done here: on a GPU,
/// in fast mode, for few rows. Whether it was; else sort and grouped products do it. `routes` are routed and need not be sorted. `h` and
/// `up` [R·k, N] have room for what lies in between.
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn experts(
    device: &Device,
    x: &Tensor,
    [gate, up, down]: [&Weight; 3],
    routes: &Routes,
    [h, space]: [&mut Tensor; 2],
    y: &mut Tensor,
    rows: usize,
) -> Result<bool> {
    let Device::Gpu(gpu) = device else { return Ok(false) };
    let weights = [gate.gpu(OP)?, up.gpu(OP)?, down.gpu(OP)?];
    let taken = gpu.gemm().is_some_and(|gemm| weights.iter().any(|w| gemm.passes(w.dtype, rows).is_none()));
    if gpu.precision() != Precision::Fast || rows > FEW_ROWS || taken {
        return Ok(false);
    }
    let assignments = rows * routes.top_k;
    x.expect(OP, "x", DType::F32, rows, gate.cols)?;
    h.expect(OP, "h", DType::F32, assignments, gate.unit_rows)?;
    space.expect(OP, "up", DType::F32, assignments, up.unit_rows)?;
    y.expect(OP, "y", DType::F32, rows, down.unit_rows)?;
    match together(gpu, weights[0], weights[1]) {
        Some(both) => {
            let params = params(routes, gate.unit_rows, weights[0], 0, gate.rows, gate.rows);
            launch(gpu, 1, weights[0], both, &params, routes, [x, h], assignments)?;
        }
        None => {
            each_shard(gpu, 0, gate, routes, [x, h], assignments)?;
            each_shard(gpu, 0, up, routes, [x, space], assignments)?;
            swiglu::forward(device, h, space, assignments)?;
        }
    }
    each_shard(gpu, 2, down, routes, [h, y], rows)?;
    Ok(true)
}

pub(super) static MATVEC: ShaderSpec = ShaderSpec {
    name: "moe_matvec",
    source: include_str!("../../../../shaders/moe_matvec.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || GpuWeight::formats().flat_map(|format| (0..3).map(move |step| vec![("FORMAT", format), ("STEP", step)])).collect(),
};

uniform! {
    struct Params {
        columns: u32,
        w_cols: u32,
        w_row_words: u32,
        top_k: u32,
        first_expert: u32,
        experts: u32,
        up_row: u32,
        pad0: u32,
    }
}

fn params(routes: &Routes, unit_rows: usize, w: &GpuWeight, row_base: usize, rows: usize, up_row: usize) -> Params {
    Params {
        columns: unit_rows as u32,
        w_cols: w.cols as u32,
        w_row_words: w.row_words as u32,
        top_k: routes.top_k as u32,
        first_expert: (row_base / unit_rows) as u32,
        experts: (rows / unit_rows) as u32,
        up_row: up_row as u32,
        pad0: 0,
    }
}

/// All rows of gate and those of up behind them, if one binding holds both.
fn together(device: &GpuDevice, gate: &GpuWeight, up: &GpuWeight) -> Option<Slice> {
    let ([gate_shard], [up_shard]) = (gate.shards.as_slice(), up.shards.as_slice()) else { return None };
    let bytes = |w: &GpuWeight| 4 * (w.rows * w.row_words) as u64;
    let (start, next) = (&gate_shard.slice, &up_shard.slice);
    let follows = next.buffer == start.buffer && next.offset == start.offset + bytes(gate);
    let whole = bytes(gate) + bytes(up);
    (follows && gate.dtype == up.dtype && gate.rows == up.rows && whole <= device.max_binding()).then(|| Slice {
        buffer: start.buffer.clone(),
        offset: start.offset,
        bytes: whole,
    })
}

/// One dispatch a shard; `items` are assignments, or tokens in step 2.
fn each_shard(device: &GpuDevice, step: i64, w: &Weight, routes: &Routes, [x, y]: [&Tensor; 2], items: usize) -> Result<()> {
    let (unit_rows, w) = (w.unit_rows, w.gpu(OP)?);
    w.shards.iter().try_for_each(|shard| {
        let params = params(routes, unit_rows, w, shard.row_base, shard.rows, 0);
        launch(device, step, w, shard.slice.clone(), &params, routes, [x, y], items)
    })
}

fn launch(
    device: &GpuDevice,
    step: i64,
    w: &GpuWeight,
    words: Slice,
    params: &Params,
    routes: &Routes,
    [x, y]: [&Tensor; 2],
    items: usize,
) -> Result<()> {
    let bindings = [x.gpu(OP)?, routes.ids.gpu(OP)?, routes.weights.gpu(OP)?, words, y.gpu(OP)?];
    let groups = [params.columns.div_ceil(4), items as u32, 1];
    device.launch(&MATVEC, &[("FORMAT", w.format()), ("STEP", step)], params, &bindings, groups)
}

//! Backward of the experts on the GPU. As in forward no count is known here, so grids are worst cases; every sum has one fixed order.

use super::OP;
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, GpuWeight, fold_groups};
use crate::matmul::Output;
use crate::moe::{Routes, Rows};
use crate::{Result, Tensor, uniform};

/// Rows and columns of a tile of both matmuls.
const TILE: usize = 64;
/// Rows of the tile for experts with few.
const FEW_ROWS: usize = 16;

pub static ROUTE: ShaderSpec = ShaderSpec {
    name: "moe_backward_route",
    source: include_str!("../../../../../shaders/moe_backward_route.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: RouteParams::BYTES,
    uniform_fields: RouteParams::FIELDS,
    variants: one_variant,
};

pub static X: ShaderSpec = ShaderSpec {
    name: "moe_backward_x",
    source: include_str!("../../../../../shaders/moe_backward_x.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: XParams::BYTES,
    uniform_fields: XParams::FIELDS,
    variants: || GpuWeight::formats().flat_map(|format| [0, 1].map(|tile| vec![("FORMAT", format), ("TILE", tile)])).collect(),
};

pub static W: ShaderSpec = ShaderSpec {
    name: "moe_backward_w",
    source: include_str!("../../../../../shaders/moe_backward_w.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: WParams::BYTES,
    uniform_fields: WParams::FIELDS,
    variants: one_variant,
};

pub static COMBINE: ShaderSpec = ShaderSpec {
    name: "moe_backward_combine",
    source: include_str!("../../../../../shaders/moe_backward_combine.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: RowsParams::BYTES,
    uniform_fields: RowsParams::FIELDS,
    variants: one_variant,
};

pub static GATHER_SUM: ShaderSpec = ShaderSpec {
    name: "moe_gather_sum",
    source: include_str!("../../../../../shaders/moe_gather_sum.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: RowsParams::BYTES,
    uniform_fields: RowsParams::FIELDS,
    variants: one_variant,
};

uniform! { struct RouteParams { rows: u32, experts: u32, top_k: u32, renormalise: u32 } }
uniform! { struct XParams {
    first_expert: u32, experts: u32, outputs: u32, add: u32,
    w_cols: u32, w_row_words: u32, pad0: u32, pad1: u32,
} }
uniform! { struct WParams { outputs: u32, cols: u32, top_k: u32, from_tokens: u32 } }
uniform! { struct RowsParams { count: u32, width: u32, top_k: u32, pad0: u32 } }

pub fn route(
    device: &GpuDevice,
    logits: &Tensor,
    renormalise: bool,
    routes: &Routes,
    dweights: &Tensor,
    dlogits: &mut Tensor,
    rows: usize,
) -> Result<()> {
    let params =
        RouteParams { rows: rows as u32, experts: routes.experts as u32, top_k: routes.top_k as u32, renormalise: u32::from(renormalise) };
    let bindings = [logits.gpu(OP)?, routes.ids.gpu(OP)?, routes.weights.gpu(OP)?, dweights.gpu(OP)?, dlogits.gpu(OP)?];
    device.launch(&ROUTE, &[], &params, &bindings, fold_groups(rows))
}

pub fn grouped_x(
    device: &GpuDevice,
    dy: &Tensor,
    w: &GpuWeight,
    unit_rows: usize,
    routes: &Routes,
    dx: &mut Tensor,
    rows: usize,
    output: Output,
) -> Result<()> {
    let assignments = rows * routes.top_k;
    // The tile's height follows the rows an expert can expect; both give the same bits.
    let tall = assignments >= 2 * FEW_ROWS * routes.experts;
    let tile_rows = if tall { TILE } else { FEW_ROWS };
    for shard in &w.shards {
        let experts = shard.rows / unit_rows;
        let params = XParams {
            first_expert: (shard.row_base / unit_rows) as u32,
            experts: experts as u32,
            outputs: unit_rows as u32,
            add: u32::from(output == Output::Add),
            w_cols: w.cols as u32,
            w_row_words: w.row_words as u32,
            pad0: 0,
            pad1: 0,
        };
        let bindings = [dy.gpu(OP)?, routes.offsets.gpu(OP)?, shard.slice.clone(), dx.gpu(OP)?];
        // However the assignments fall, no more tiles than this have a row.
        let tiles = (assignments / tile_rows + experts).min(assignments);
        let groups = [w.cols.div_ceil(TILE) as u32, tiles as u32, 1];
        device.launch(&X, &[("FORMAT", w.format()), ("TILE", i64::from(tall))], &params, &bindings, groups)?;
    }
    Ok(())
}

pub fn grouped_w(device: &GpuDevice, dy: &Tensor, x: &Tensor, from: Rows, routes: &Routes, dw: &mut Tensor) -> Result<()> {
    let (outputs, cols) = (dy.width(), x.width());
    let params =
        WParams { outputs: outputs as u32, cols: cols as u32, top_k: routes.top_k as u32, from_tokens: u32::from(from == Rows::Tokens) };
    let bindings = [dy.gpu(OP)?, x.gpu(OP)?, routes.order.gpu(OP)?, routes.offsets.gpu(OP)?, dw.gpu(OP)?];
    let groups = [cols.div_ceil(TILE) as u32, outputs.div_ceil(TILE) as u32, routes.experts as u32];
    device.launch(&W, &[], &params, &bindings, groups)
}

pub fn combine(
    device: &GpuDevice,
    dy: &Tensor,
    h: &Tensor,
    routes: &Routes,
    dh: &mut Tensor,
    dweights: &mut Tensor,
    rows: usize,
) -> Result<()> {
    let count = rows * routes.top_k;
    let params = RowsParams { count: count as u32, width: dy.width() as u32, top_k: routes.top_k as u32, pad0: 0 };
    let bindings = [dy.gpu(OP)?, h.gpu(OP)?, routes.weights.gpu(OP)?, routes.inverse.gpu(OP)?, dh.gpu(OP)?, dweights.gpu(OP)?];
    device.launch(&COMBINE, &[], &params, &bindings, fold_groups(count))
}

pub fn gather_sum(device: &GpuDevice, d: &Tensor, routes: &Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    let count = rows * y.width();
    let params = RowsParams { count: count as u32, width: y.width() as u32, top_k: routes.top_k as u32, pad0: 0 };
    device.launch(&GATHER_SUM, &[], &params, &[d.gpu(OP)?, routes.inverse.gpu(OP)?, y.gpu(OP)?], fold_groups(count.div_ceil(256)))
}

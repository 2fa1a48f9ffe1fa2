//! Mixture of experts on the GPU: everything stays on the device, so no count is known here and grids are worst cases.

pub mod backward;

use super::{Routes, Rows, SORT_BLOCK};
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, GpuWeight, fold_groups};
use crate::{KernelError, Result, Tensor, uniform};

const OP: &str = "moe";
/// Most experts `moe_route` holds in workgroup memory.
const MAX_EXPERTS: usize = 2048;
/// Columns of a matmul tile.
const TILE_COLUMNS: usize = 32;

pub const SHADERS: &[&ShaderSpec] = &[
    &super::few::MATVEC,
    &ROUTE,
    &WEIGH,
    &SORT,
    &MATMUL,
    &COMBINE,
    &backward::ROUTE,
    &backward::X,
    &backward::W,
    &backward::COMBINE,
    &backward::GATHER_SUM,
];

static ROUTE: ShaderSpec = ShaderSpec {
    name: "moe_route",
    source: include_str!("../../../../shaders/moe_route.wgsl"),
    bindings: &[Access::Read, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: RouteParams::BYTES,
    uniform_fields: RouteParams::FIELDS,
    variants: || vec![ROUTE_DEFINES.to_vec()],
};
static WEIGH: ShaderSpec = ShaderSpec {
    name: "moe_weigh",
    source: include_str!("../../../../shaders/moe_weigh.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: RouteParams::BYTES,
    uniform_fields: RouteParams::FIELDS,
    variants: one_variant,
};
const ROUTE_DEFINES: [(&str, i64); 1] = [("MAX_EXPERTS", MAX_EXPERTS as i64)];

static SORT: ShaderSpec = ShaderSpec {
    name: "moe_sort",
    source: include_str!("../../../../shaders/moe_sort.wgsl"),
    bindings: &[Access::Read, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: SortParams::BYTES,
    uniform_fields: SortParams::FIELDS,
    variants: || (0..4).map(|step| sort_defines(step).to_vec()).collect(),
};

fn sort_defines(step: i64) -> [(&'static str, i64); 2] {
    [("STEP", step), ("BLOCK", SORT_BLOCK as i64)]
}

static MATMUL: ShaderSpec = ShaderSpec {
    name: "moe_matmul",
    source: include_str!("../../../../shaders/moe_matmul.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: MatmulParams::BYTES,
    uniform_fields: MatmulParams::FIELDS,
    variants: || GpuWeight::formats().flat_map(|format| [0, 1].map(|tile| vec![("FORMAT", format), ("TILE", tile)])).collect(),
};

static COMBINE: ShaderSpec = ShaderSpec {
    name: "moe_combine",
    source: include_str!("../../../../shaders/moe_combine.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: CombineParams::BYTES,
    uniform_fields: CombineParams::FIELDS,
    variants: one_variant,
};

uniform! { struct RouteParams { rows: u32, experts: u32, top_k: u32, renormalise: u32 } }
uniform! { struct SortParams { count: u32, experts: u32, blocks: u32, pad0: u32 } }
uniform! { struct MatmulParams {
    first_expert: u32, experts: u32, columns: u32, pad0: u32,
    w_cols: u32, w_row_words: u32, top_k: u32, from_tokens: u32,
} }
uniform! { struct CombineParams { count: u32, width: u32, top_k: u32, pad0: u32 } }

pub fn route(device: &GpuDevice, logits: &Tensor, renormalise: bool, routes: &mut Routes, rows: usize) -> Result<()> {
    if routes.experts > MAX_EXPERTS {
        return Err(KernelError::shape(OP, format!("{} experts, {MAX_EXPERTS} is the most on a GPU", routes.experts)));
    }
    let params =
        RouteParams { rows: rows as u32, experts: routes.experts as u32, top_k: routes.top_k as u32, renormalise: u32::from(renormalise) };
    let bindings = [logits.gpu(OP)?, routes.ids.gpu(OP)?, routes.weights.gpu(OP)?];
    device.launch(&ROUTE, &ROUTE_DEFINES, &params, &bindings, fold_groups(rows))
}

pub fn weigh(device: &GpuDevice, logits: &Tensor, renormalise: bool, routes: &mut Routes, rows: usize) -> Result<()> {
    let params =
        RouteParams { rows: rows as u32, experts: routes.experts as u32, top_k: routes.top_k as u32, renormalise: u32::from(renormalise) };
    let bindings = [logits.gpu(OP)?, routes.ids.gpu(OP)?, routes.weights.gpu(OP)?];
    device.launch(&WEIGH, &[], &params, &bindings, fold_groups(rows))
}

pub fn sort(device: &GpuDevice, routes: &mut Routes, rows: usize) -> Result<()> {
    let count = rows * routes.top_k;
    let blocks = count.div_ceil(SORT_BLOCK);
    let params = SortParams { count: count as u32, experts: routes.experts as u32, blocks: blocks as u32, pad0: 0 };
    let bindings = [routes.ids.gpu(OP)?, routes.counts.gpu(OP)?, routes.order.gpu(OP)?, routes.inverse.gpu(OP)?, routes.offsets.gpu(OP)?];
    let steps: &[(i64, usize)] = if blocks <= 1 { &[(3, 1)] } else { &[(0, blocks), (1, 1), (2, blocks)] };
    for &(step, groups) in steps {
        device.launch(&SORT, &sort_defines(step), &params, &bindings, fold_groups(groups))?;
    }
    Ok(())
}

pub fn grouped_matmul(
    device: &GpuDevice,
    x: &Tensor,
    from: Rows,
    w: &GpuWeight,
    unit_rows: usize,
    routes: &Routes,
    y: &mut Tensor,
    rows: usize,
) -> Result<()> {
    let assignments = rows * routes.top_k;
    // The tile's height follows the rows an expert can expect; both give the same bits.
    let tall = assignments >= 8 * routes.experts;
    let tile_rows = if tall { 32 } else { 4 };
    for shard in &w.shards {
        let experts = shard.rows / unit_rows;
        let params = MatmulParams {
            first_expert: (shard.row_base / unit_rows) as u32,
            experts: experts as u32,
            columns: unit_rows as u32,
            pad0: 0,
            w_cols: w.cols as u32,
            w_row_words: w.row_words as u32,
            top_k: routes.top_k as u32,
            from_tokens: u32::from(from == Rows::Tokens),
        };
        let bindings = [x.gpu(OP)?, routes.order.gpu(OP)?, routes.offsets.gpu(OP)?, shard.slice.clone(), y.gpu(OP)?];
        // However the assignments fall, no more tiles than this have a row.
        let tiles = (assignments / tile_rows + experts).min(assignments);
        let groups = [unit_rows.div_ceil(TILE_COLUMNS) as u32, tiles as u32, 1];
        device.launch(&MATMUL, &[("FORMAT", w.format()), ("TILE", i64::from(tall))], &params, &bindings, groups)?;
    }
    Ok(())
}

pub fn combine(device: &GpuDevice, h: &Tensor, routes: &Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    let count = rows * y.width();
    let params = CombineParams { count: count as u32, width: y.width() as u32, top_k: routes.top_k as u32, pad0: 0 };
    let bindings = [h.gpu(OP)?, routes.weights.gpu(OP)?, routes.inverse.gpu(OP)?, y.gpu(OP)?];
    device.launch(&COMBINE, &[], &params, &bindings, fold_groups(count.div_ceil(256)))
}

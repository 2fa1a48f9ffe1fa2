//! Both tiles of `matmul_forward.wgsl` take the canonical sum, so the choice of tile changes no bit. The CPU's bits are met where
//! the driver fuses `fma`; WGSL leaves that to the driver, and llvmpipe does not.

use super::{FEW_ROWS, OP, Output};
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, GpuWeight, Shard, Slice, fold_groups};
use crate::{Precision, Result, Tensor, uniform};

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &MATVEC, &FINISH];

const BINDINGS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::ReadWrite];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "matmul_forward",
    source: include_str!("../../../../shaders/matmul_forward.wgsl"),
    bindings: BINDINGS,
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || GpuWeight::formats().flat_map(|format| [0, 1].map(|tile| vec![("FORMAT", format), ("TILE", tile)])).collect(),
};

static MATVEC: ShaderSpec = ShaderSpec {
    name: "matvec_forward",
    source: include_str!("../../../../shaders/matvec_forward.wgsl"),
    bindings: BINDINGS,
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || GpuWeight::formats().map(|format| vec![("FORMAT", format)]).collect(),
};

static FINISH: ShaderSpec = ShaderSpec {
    name: "matmul_finish",
    source: include_str!("../../../../shaders/matmul_finish.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: FinishParams::BYTES,
    uniform_fields: FinishParams::FIELDS,
    variants: one_variant,
};

uniform! {
    struct FinishParams {
        count: u32,
        w_rows: u32,
        y_width: u32,
        row_base: u32,
        has_bias: u32,
        add: u32,
        pad0: u32,
        pad1: u32,
    }
}

uniform! {
    struct Params {
        rows: u32,
        w_rows: u32,
        w_cols: u32,
        w_row_words: u32,
        y_width: u32,
        row_base: u32,
        has_bias: u32,
        add: u32,
    }
}

pub fn forward(
    device: &GpuDevice,
    x: &Tensor,
    w: &GpuWeight,
    bias: Option<&Tensor>,
    y: &mut Tensor,
    rows: usize,
    output: Output,
) -> Result<()> {
    if let Some(gemm) = device.gemm()
        && gemm.passes(w.dtype, rows).is_none()
        && w.rows * w.cols > 0
    {
        let (bias, y) = (bias.map(|bias| bias.gpu(OP)).transpose()?, y.gpu(OP)?);
        return gemm.forward(device, &x.gpu(OP)?, w, rows, &mut |shard, product| {
            finish(device, w, shard, product, bias.as_ref(), &y, rows, output)
        });
    }
    let few = rows <= FEW_ROWS;
    for shard in &w.shards {
        let params = Params {
            rows: rows as u32,
            w_rows: shard.rows as u32,
            w_cols: w.cols as u32,
            w_row_words: w.row_words as u32,
            y_width: w.rows as u32,
            row_base: shard.row_base as u32,
            has_bias: u32::from(bias.is_some()),
            add: u32::from(output == Output::Add),
        };
        // Without a bias its binding is never read; `x` fills it.
        let bindings = [x.gpu(OP)?, shard.slice.clone(), bias.unwrap_or(x).gpu(OP)?, y.gpu(OP)?];
        if few && device.precision() == Precision::Fast && shard.rows <= 4 * 65_535 {
            let groups = [shard.rows.div_ceil(4) as u32, rows as u32, 1];
            device.launch(&MATVEC, &[("FORMAT", w.format())], &params, &bindings, groups)?;
        } else {
            let groups = [shard.rows.div_ceil(32) as u32, rows.div_ceil(if few { 4 } else { 32 }) as u32, 1];
            device.launch(&FORWARD, &[("FORMAT", w.format()), ("TILE", i64::from(!few))], &params, &bindings, groups)?;
        }
    }
    Ok(())
}

/// Adds the bias and the old `y` to another library's product of a shard, [rows, N of the shard], in our kernel's order.
fn finish(
    device: &GpuDevice,
    w: &GpuWeight,
    shard: &Shard,
    product: &Slice,
    bias: Option<&Slice>,
    y: &Slice,
    rows: usize,
    output: Output,
) -> Result<()> {
    let count = rows * shard.rows;
    let params = FinishParams {
        count: count as u32,
        w_rows: shard.rows as u32,
        y_width: w.rows as u32,
        row_base: shard.row_base as u32,
        has_bias: u32::from(bias.is_some()),
        add: u32::from(output == Output::Add),
        pad0: 0,
        pad1: 0,
    };
    // Without a bias its binding is never read; the product fills it.
    let bindings = [product.clone(), bias.unwrap_or(product).clone(), y.clone()];
    device.launch(&FINISH, &[], &params, &bindings, fold_groups(count.div_ceil(256)))
}

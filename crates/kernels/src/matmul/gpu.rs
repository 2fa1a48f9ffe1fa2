//! Both tiles of `matmul_forward.wgsl` take the canonical sum, so the choice of tile changes no bit. The CPU's bits are met where
//! the driver fuses `fma`; WGSL leaves that to the driver, and llvmpipe does not.

use super::{OP, Output};
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, GpuWeight};
use crate::{Precision, Result, Tensor, uniform};

/// Up to this many rows a tile of few rows wastes less, and fast mode splits sums.
const FEW_ROWS: usize = 8;

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &MATVEC];

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

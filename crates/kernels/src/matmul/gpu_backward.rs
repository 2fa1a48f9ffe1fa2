//! Backward on a GPU. Each sum is one chain in ascending order, so no tile, shard or other row changes a bit of it.

use super::{OP, Output};
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, GpuWeight, Slice, fold_groups};
use crate::{Result, Tensor, uniform};

/// Large tiles from this many on: fewer would leave cores of a large GPU idle.
const MANY_TILES: usize = 128;
/// Rows that one thread of a sum over rows adds.
const BLOCK: usize = 64;
const THREADS: usize = 256;

pub const SHADERS: &[&ShaderSpec] = &[&BACKWARD_X, &BACKWARD_W, &BACKWARD_BIAS];

static BACKWARD_X: ShaderSpec = ShaderSpec {
    name: "matmul_backward_x",
    source: include_str!("../../../../shaders/matmul_backward_x.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: XParams::BYTES,
    uniform_fields: XParams::FIELDS,
    variants: || GpuWeight::formats().flat_map(|format| [0, 1].map(|tile| vec![("FORMAT", format), ("TILE", tile)])).collect(),
};

static BACKWARD_W: ShaderSpec = ShaderSpec {
    name: "matmul_backward_w",
    source: include_str!("../../../../shaders/matmul_backward_w.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: WParams::BYTES,
    uniform_fields: WParams::FIELDS,
    variants: || [0, 1].map(|tile| vec![("TILE", tile)]).to_vec(),
};

static BACKWARD_BIAS: ShaderSpec = ShaderSpec {
    name: "matmul_backward_bias",
    source: include_str!("../../../../shaders/matmul_backward_bias.wgsl"),
    bindings: &[Access::Read, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: SumParams::BYTES,
    uniform_fields: SumParams::FIELDS,
    variants: one_variant,
};

uniform! {
    struct XParams {
        rows: u32,
        w_rows: u32,
        w_cols: u32,
        w_row_words: u32,
        dy_width: u32,
        row_base: u32,
        add: u32,
        pad0: u32,
    }
}

uniform! { struct WParams { rows: u32, dy_width: u32, x_width: u32, pad0: u32 } }

uniform! {
    struct SumParams {
        rows: u32,
        width: u32,
        from_sums: u32,
        to_total: u32,
        read_at: u32,
        write_at: u32,
        pad0: u32,
        pad1: u32,
    }
}

/// The define TILE and the grid for a result of `rows` by `cols`.
fn tiles(rows: usize, cols: usize) -> (i64, [u32; 3]) {
    let grid = |side| [cols.div_ceil(side) as u32, rows.div_ceil(side) as u32, 1];
    if rows.div_ceil(128) * cols.div_ceil(128) >= MANY_TILES { (1, grid(128)) } else { (0, grid(64)) }
}

pub fn backward_x(device: &GpuDevice, dy: &Tensor, w: &GpuWeight, dx: &mut Tensor, rows: usize, output: Output) -> Result<()> {
    if w.shards.is_empty() && output == Output::Store {
        return device.write(&dx.gpu(OP)?, &vec![0; rows * w.cols]);
    }
    let (tile, groups) = tiles(rows, w.cols);
    for (number, shard) in w.shards.iter().enumerate() {
        let params = XParams {
            rows: rows as u32,
            w_rows: shard.rows as u32,
            w_cols: w.cols as u32,
            w_row_words: w.row_words as u32,
            dy_width: w.rows as u32,
            row_base: shard.row_base as u32,
            add: u32::from(output == Output::Add || number > 0),
            pad0: 0,
        };
        let bindings = [dy.gpu(OP)?, shard.slice.clone(), dx.gpu(OP)?];
        device.launch(&BACKWARD_X, &[("FORMAT", w.format()), ("TILE", tile)], &params, &bindings, groups)?;
    }
    Ok(())
}

pub fn backward_w(device: &GpuDevice, dy: &Tensor, x: &Tensor, dw: &mut Tensor, rows: usize) -> Result<()> {
    let (n, k) = (dy.width(), x.width());
    let (tile, groups) = tiles(n, k);
    let params = WParams { rows: rows as u32, dy_width: n as u32, x_width: k as u32, pad0: 0 };
    device.launch(&BACKWARD_W, &[("TILE", tile)], &params, &[dy.gpu(OP)?, x.gpu(OP)?, dw.gpu(OP)?], groups)
}

pub fn backward_bias(device: &GpuDevice, dy: &Tensor, db: &mut Tensor, rows: usize) -> Result<()> {
    let width = dy.width();
    let sums = device.scratch(4 * words_of_sums(rows, width) as u64)?;
    add_rows(device, From::X, dy.gpu(OP)?, sums, 0, db.gpu(OP)?, rows, width)
}

/// Where the rows of a sum are.
#[derive(Clone, Copy)]
pub(crate) enum From {
    /// In the slice `x`.
    X,
    /// In `sums`, from this word on.
    Sums(usize),
}

/// Words that [`add_rows`] needs in `sums`.
pub(crate) fn words_of_sums(rows: usize, width: usize) -> usize {
    let (mut rows, mut words) = (rows, 0);
    while rows > BLOCK {
        rows = rows.div_ceil(BLOCK);
        words += rows * width;
    }
    words
}

/// `total += Σ` of `rows` rows of `width`, by a tree of blocks of 64 rows that depends on nothing but their number. What lies between
/// the levels goes to `sums`, from word `free` on. The three slices are of different buffers.
pub(crate) fn add_rows(
    device: &GpuDevice,
    mut from: From,
    x: Slice,
    sums: Slice,
    mut free: usize,
    total: Slice,
    mut rows: usize,
    width: usize,
) -> Result<()> {
    let bindings = [x, sums, total];
    loop {
        let blocks = rows.div_ceil(BLOCK);
        let (from_sums, first) = match from {
            From::X => (0, 0),
            From::Sums(word) => (1, word as u32),
        };
        let params = SumParams {
            rows: rows as u32,
            width: width as u32,
            from_sums,
            to_total: u32::from(blocks <= 1),
            read_at: first,
            write_at: free as u32,
            pad0: 0,
            pad1: 0,
        };
        device.launch(&BACKWARD_BIAS, &[], &params, &bindings, fold_groups((blocks * width).div_ceil(THREADS)))?;
        if blocks <= 1 {
            return Ok(());
        }
        (from, rows) = (From::Sums(free), blocks);
        free += blocks * width;
    }
}

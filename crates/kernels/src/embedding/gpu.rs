use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, GpuWeight, fold_groups};
use crate::{Result, Tensor, uniform};

const OP: &str = "embedding";
const THREADS: usize = 256;

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &GATHER, &BACKWARD, &SCATTER];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "embedding_forward",
    source: include_str!("../../../../shaders/embedding_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || GpuWeight::formats().map(|format| vec![("FORMAT", format)]).collect(),
};

static GATHER: ShaderSpec = ShaderSpec {
    name: "gather_forward",
    source: include_str!("../../../../shaders/gather_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: GatherParams::BYTES,
    uniform_fields: GatherParams::FIELDS,
    variants: one_variant,
};

static BACKWARD: ShaderSpec = ShaderSpec {
    name: "embedding_backward",
    source: include_str!("../../../../shaders/embedding_backward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: BackwardParams::BYTES,
    uniform_fields: BackwardParams::FIELDS,
    variants: one_variant,
};

static SCATTER: ShaderSpec = ShaderSpec {
    name: "scatter_forward",
    source: include_str!("../../../../shaders/scatter_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: ScatterParams::BYTES,
    uniform_fields: ScatterParams::FIELDS,
    variants: one_variant,
};

uniform! {
    struct Params {
        rows: u32,
        w_rows: u32,
        w_cols: u32,
        w_row_words: u32,
        row_base: u32,
        pad0: u32,
        pad1: u32,
        pad2: u32,
    }
}

uniform! { struct GatherParams { rows: u32, width: u32, x_rows: u32, pad0: u32 } }
uniform! { struct BackwardParams { ids: u32, width: u32, pad0: u32, pad1: u32 } }
uniform! { struct ScatterParams { rows: u32, width: u32, y_rows: u32, pad0: u32 } }

pub fn forward(device: &GpuDevice, ids: &Tensor, w: &GpuWeight, y: &mut Tensor, rows: usize) -> Result<()> {
    let groups = fold_groups((rows * w.cols.div_ceil(8)).div_ceil(THREADS));
    for shard in &w.shards {
        let params = Params {
            rows: rows as u32,
            w_rows: shard.rows as u32,
            w_cols: w.cols as u32,
            w_row_words: w.row_words as u32,
            row_base: shard.row_base as u32,
            pad0: 0,
            pad1: 0,
            pad2: 0,
        };
        let bindings = [ids.gpu(OP)?, shard.slice.clone(), y.gpu(OP)?];
        device.launch(&FORWARD, &[("FORMAT", w.format())], &params, &bindings, groups)?;
    }
    Ok(())
}

pub fn gather(device: &GpuDevice, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    let width = x.width();
    let params = GatherParams { rows: rows as u32, width: width as u32, x_rows: (x.len() / width.max(1)) as u32, pad0: 0 };
    let bindings = [index.gpu("gather")?, x.gpu("gather")?, y.gpu("gather")?];
    device.launch(&GATHER, &[], &params, &bindings, fold_groups((rows * width).div_ceil(THREADS)))
}

/// Rows are sorted by id on the host, so that a thread adds all rows of one id in their order.
pub fn backward(device: &GpuDevice, dy: &Tensor, ids: &[u32], dw: &mut Tensor) -> Result<()> {
    let width = dy.width();
    if ids.is_empty() || width == 0 {
        return Ok(());
    }
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_by_key(|&row| ids[row as usize]); // stable: rows of one id stay ascending
    let mut table = vec![];
    for same in order.chunk_by(|&a, &b| ids[a as usize] == ids[b as usize]) {
        let first = table.last().copied().unwrap_or(0);
        table.extend([ids[same[0] as usize], first, first + same.len() as u32]);
    }
    let params = BackwardParams { ids: (table.len() / 3) as u32, width: width as u32, pad0: 0, pad1: 0 };
    let groups = fold_groups((table.len() / 3 * width).div_ceil(THREADS));
    table.append(&mut order);
    let uploaded = device.allocate(4 * table.len() as u64)?;
    device.write(&uploaded, &table)?;
    device.launch(&BACKWARD, &[], &params, &[uploaded, dy.gpu(OP)?, dw.gpu(OP)?], groups)
}

pub fn scatter(device: &GpuDevice, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "scatter";
    let width = y.width();
    let params = ScatterParams { rows: rows as u32, width: width as u32, y_rows: (y.len() / width.max(1)) as u32, pad0: 0 };
    let bindings = [index.gpu(OP)?, x.gpu(OP)?, y.gpu(OP)?];
    device.launch(&SCATTER, &[], &params, &bindings, fold_groups((rows * width).div_ceil(THREADS)))
}

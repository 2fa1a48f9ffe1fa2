use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, GpuWeight, fold_groups};
use crate::{Result, Tensor, uniform};

const OP: &str = "embedding";
const THREADS: usize = 256;

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &GATHER];

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

fn not_yet() -> crate::KernelError {
    crate::KernelError::Value { op: OP, message: "this gradient is not there on a GPU yet; train on the CPU".into() }
}

pub fn backward(_: &GpuDevice, _: &Tensor, _: &[u32], _: &mut Tensor) -> Result<()> {
    Err(not_yet())
}
pub fn scatter(_: &GpuDevice, _: &Tensor, _: &Tensor, _: &mut Tensor, _: usize) -> Result<()> {
    Err(not_yet())
}

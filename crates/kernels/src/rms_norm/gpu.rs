use super::OP;
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, fold_groups};
use crate::matmul::Output;
use crate::matmul::gpu_backward::{From, add_rows, words_of_sums};
use crate::{Result, Tensor, uniform};

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &IN_PLACE, &BACKWARD, &BACKWARD_GAIN];

const SOURCE: &str = include_str!("../../../../shaders/rms_norm_forward.wgsl");

static FORWARD: ShaderSpec = ShaderSpec {
    name: "rms_norm_forward",
    source: SOURCE,
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || THREADS.map(|threads| defines(threads, false).to_vec()).to_vec(),
};

static IN_PLACE: ShaderSpec = ShaderSpec {
    name: "rms_norm_forward_in_place",
    source: SOURCE,
    bindings: &[Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || THREADS.map(|threads| defines(threads, true).to_vec()).to_vec(),
};

static BACKWARD: ShaderSpec = ShaderSpec {
    name: "rms_norm_backward",
    source: include_str!("../../../../shaders/rms_norm_backward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: BackwardParams::BYTES,
    uniform_fields: BackwardParams::FIELDS,
    variants: || THREADS.map(|threads| vec![("THREADS", threads)]).to_vec(),
};

static BACKWARD_GAIN: ShaderSpec = ShaderSpec {
    name: "rms_norm_backward_gain",
    source: include_str!("../../../../shaders/rms_norm_backward_gain.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: GainParams::BYTES,
    uniform_fields: GainParams::FIELDS,
    variants: one_variant,
};

uniform! { struct Params { rows: u32, width: u32, eps: f32, pad0: u32 } }
uniform! { struct BackwardParams { rows: u32, width: u32, eps: f32, add: u32 } }
uniform! { struct GainParams { rows: u32, width: u32, pad0: u32, pad1: u32 } }

/// Rows whose part of `dgain` one thread sums.
const BLOCK: usize = 64;

/// Threads for a head's row and for a model's.
const THREADS: [i64; 2] = [32, 256];

fn defines(threads: i64, in_place: bool) -> [(&'static str, i64); 2] {
    [("THREADS", threads), ("IN_PLACE", i64::from(in_place))]
}

fn threads(width: usize) -> i64 {
    THREADS[usize::from(width > 256)]
}

pub fn forward(device: &GpuDevice, x: &Tensor, gain: &Tensor, eps: f32, y: &mut Tensor, rows: usize, width: usize) -> Result<()> {
    let params = Params { rows: rows as u32, width: width as u32, eps, pad0: 0 };
    let bindings = [x.gpu(OP)?, gain.gpu(OP)?, y.gpu(OP)?];
    device.launch(&FORWARD, &defines(threads(width), false), &params, &bindings, fold_groups(rows))
}

pub fn forward_in_place(device: &GpuDevice, x: &mut Tensor, gain: &Tensor, eps: f32, rows: usize, width: usize) -> Result<()> {
    let params = Params { rows: rows as u32, width: width as u32, eps, pad0: 0 };
    let bindings = [gain.gpu(OP)?, x.gpu(OP)?];
    device.launch(&IN_PLACE, &defines(threads(width), true), &params, &bindings, fold_groups(rows))
}

pub fn backward(
    device: &GpuDevice,
    x: &Tensor,
    gain: &Tensor,
    eps: f32,
    dy: &Tensor,
    dx: &mut Tensor,
    output: Output,
    dgain: Option<&mut Tensor>,
    rows: usize,
    width: usize,
) -> Result<()> {
    if rows * width == 0 {
        return Ok(());
    }
    // 1 / rms of every row, then the sums of dgain's blocks, then the levels above.
    let blocks = rows.div_ceil(BLOCK);
    let words = rows + if dgain.is_some() { blocks * width + words_of_sums(blocks, width) } else { 0 };
    let scratch = device.scratch(4 * words as u64)?;
    let params = BackwardParams { rows: rows as u32, width: width as u32, eps, add: u32::from(output == Output::Add) };
    let bindings = [x.gpu(OP)?, gain.gpu(OP)?, dy.gpu(OP)?, dx.gpu(OP)?, scratch.clone()];
    device.launch(&BACKWARD, &[("THREADS", threads(width))], &params, &bindings, fold_groups(rows))?;
    let Some(dgain) = dgain else { return Ok(()) };
    let params = GainParams { rows: rows as u32, width: width as u32, pad0: 0, pad1: 0 };
    let bindings = [x.gpu(OP)?, dy.gpu(OP)?, scratch.clone()];
    device.launch(&BACKWARD_GAIN, &[], &params, &bindings, fold_groups((blocks * width).div_ceil(256)))?;
    add_rows(device, From::Sums(rows), x.gpu(OP)?, scratch, rows + blocks * width, dgain.gpu(OP)?, blocks, width)
}

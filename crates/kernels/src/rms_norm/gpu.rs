use super::OP;
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, fold_groups};
use crate::{Result, Tensor, uniform};

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &IN_PLACE];

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

uniform! { struct Params { rows: u32, width: u32, eps: f32, pad0: u32 } }

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

fn not_yet() -> crate::KernelError {
    crate::KernelError::Value { op: OP, message: "this gradient is not there on a GPU yet; train on the CPU".into() }
}

pub fn backward(
    _: &GpuDevice,
    _: &Tensor,
    _: &Tensor,
    _: f32,
    _: &Tensor,
    _: &mut Tensor,
    _: crate::matmul::Output,
    _: Option<&mut Tensor>,
    _: usize,
    _: usize,
) -> Result<()> {
    Err(not_yet())
}

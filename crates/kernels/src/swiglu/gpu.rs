use super::OP;
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, Slice, fold_groups};
use crate::{Result, Tensor, uniform};

const THREADS: usize = 256;

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &FORWARD_TO, &BACKWARD];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "swiglu_forward",
    source: include_str!("../../../../shaders/swiglu_forward.wgsl"),
    bindings: &[Access::ReadWrite, Access::Read],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: one_variant,
};

static FORWARD_TO: ShaderSpec = ShaderSpec {
    name: "swiglu_forward_to",
    source: include_str!("../../../../shaders/swiglu_forward_to.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: one_variant,
};

static BACKWARD: ShaderSpec = ShaderSpec {
    name: "swiglu_backward",
    source: include_str!("../../../../shaders/swiglu_backward.wgsl"),
    bindings: &[Access::ReadWrite, Access::ReadWrite, Access::Read],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: one_variant,
};

uniform! { struct Params { count: u32, pad0: u32, pad1: u32, pad2: u32 } }

pub fn forward(device: &GpuDevice, gate: &mut Tensor, up: &Tensor, rows: usize, width: usize) -> Result<()> {
    run(device, &FORWARD, &[gate.gpu(OP)?, up.gpu(OP)?], rows * width)
}

pub fn forward_to(device: &GpuDevice, gate: &Tensor, up: &Tensor, h: &mut Tensor, rows: usize, width: usize) -> Result<()> {
    run(device, &FORWARD_TO, &[gate.gpu(OP)?, up.gpu(OP)?, h.gpu(OP)?], rows * width)
}

pub fn backward(device: &GpuDevice, gate: &mut Tensor, up: &mut Tensor, dh: &Tensor, rows: usize, width: usize) -> Result<()> {
    run(device, &BACKWARD, &[gate.gpu(OP)?, up.gpu(OP)?, dh.gpu(OP)?], rows * width)
}

fn run(device: &GpuDevice, spec: &'static ShaderSpec, bindings: &[Slice], count: usize) -> Result<()> {
    let params = Params { count: count as u32, pad0: 0, pad1: 0, pad2: 0 };
    device.launch(spec, &[], &params, bindings, fold_groups(count.div_ceil(THREADS)))
}

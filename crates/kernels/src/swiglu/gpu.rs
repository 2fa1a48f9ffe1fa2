use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, fold_groups};
use crate::{Result, Tensor, uniform};

const OP: &str = "swiglu";
const THREADS: usize = 256;

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "swiglu_forward",
    source: include_str!("../../../../shaders/swiglu_forward.wgsl"),
    bindings: &[Access::ReadWrite, Access::Read],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: one_variant,
};

uniform! { struct Params { count: u32, pad0: u32, pad1: u32, pad2: u32 } }

pub fn forward(device: &GpuDevice, gate: &mut Tensor, up: &Tensor, rows: usize, width: usize) -> Result<()> {
    let count = rows * width;
    let params = Params { count: count as u32, pad0: 0, pad1: 0, pad2: 0 };
    device.launch(&FORWARD, &[], &params, &[gate.gpu(OP)?, up.gpu(OP)?], fold_groups(count.div_ceil(THREADS)))
}

fn not_yet() -> crate::KernelError {
    crate::KernelError::Value { op: OP, message: "this gradient is not there on a GPU yet; train on the CPU".into() }
}

pub fn forward_to(_: &GpuDevice, _: &Tensor, _: &Tensor, _: &mut Tensor, _: usize, _: usize) -> Result<()> {
    Err(not_yet())
}
pub fn backward(_: &GpuDevice, _: &mut Tensor, _: &mut Tensor, _: &Tensor, _: usize, _: usize) -> Result<()> {
    Err(not_yet())
}

use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, fold_groups};
use crate::{Result, Tensor, uniform};

const OP: &str = "rope";
const THREADS: usize = 256;

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "rope_forward",
    source: include_str!("../../../../shaders/rope_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: one_variant,
};

uniform! { struct Params { rows: u32, heads: u32, half_dim: u32, pad0: u32 } }

pub fn forward(device: &GpuDevice, x: &mut Tensor, table: &Tensor, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    let half = table.width() / 2;
    let params = Params { rows: rows as u32, heads: heads as u32, half_dim: half as u32, pad0: 0 };
    let bindings = [table.gpu(OP)?, positions.gpu(OP)?, x.gpu(OP)?];
    device.launch(&FORWARD, &[], &params, &bindings, fold_groups((rows * heads * half).div_ceil(THREADS)))
}

fn not_yet() -> crate::KernelError {
    crate::KernelError::Value { op: OP, message: "this gradient is not there on a GPU yet; train on the CPU".into() }
}

pub fn backward(_: &GpuDevice, _: &mut Tensor, _: &Tensor, _: &Tensor, _: usize, _: usize) -> Result<()> {
    Err(not_yet())
}

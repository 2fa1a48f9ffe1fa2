use super::OP;
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, fold_groups};
use crate::{Result, Tensor, uniform};

const THREADS: usize = 256;

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &BACKWARD];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "rope_forward",
    source: include_str!("../../../../shaders/rope_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: one_variant,
};

static BACKWARD: ShaderSpec = ShaderSpec {
    name: "rope_backward",
    source: include_str!("../../../../shaders/rope_backward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: one_variant,
};

uniform! { struct Params { rows: u32, heads: u32, half_dim: u32, pad0: u32 } }

pub fn forward(device: &GpuDevice, x: &mut Tensor, table: &Tensor, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    turn(device, &FORWARD, x, table, positions, rows, heads)
}

pub fn backward(device: &GpuDevice, dx: &mut Tensor, table: &Tensor, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    turn(device, &BACKWARD, dx, table, positions, rows, heads)
}

fn turn(
    device: &GpuDevice,
    by: &'static ShaderSpec,
    x: &mut Tensor,
    table: &Tensor,
    positions: &Tensor,
    rows: usize,
    heads: usize,
) -> Result<()> {
    let half = table.width() / 2;
    let params = Params { rows: rows as u32, heads: heads as u32, half_dim: half as u32, pad0: 0 };
    let bindings = [table.gpu(OP)?, positions.gpu(OP)?, x.gpu(OP)?];
    device.launch(by, &[], &params, &bindings, fold_groups((rows * heads * half).div_ceil(THREADS)))
}

#![allow(unused_variables)]
use crate::gpu::GpuDevice;
use crate::gpu::shader::ShaderSpec;
use crate::{Result, Tensor};

pub const SHADERS: &[&ShaderSpec] = &[];

pub fn forward(device: &GpuDevice, x: &mut Tensor, table: &Tensor, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    todo!()
}

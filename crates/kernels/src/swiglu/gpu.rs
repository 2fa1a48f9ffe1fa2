#![allow(unused_variables)]
use crate::gpu::GpuDevice;
use crate::gpu::shader::ShaderSpec;
use crate::{Result, Tensor};

pub const SHADERS: &[&ShaderSpec] = &[];

pub fn forward(device: &GpuDevice, gate: &mut Tensor, up: &Tensor, rows: usize, width: usize) -> Result<()> {
    todo!()
}

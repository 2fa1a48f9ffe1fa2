#![allow(unused_variables)]
use crate::gpu::shader::ShaderSpec;
use crate::gpu::{GpuDevice, GpuWeight};
use crate::{Result, Tensor};

pub const SHADERS: &[&ShaderSpec] = &[];

pub fn forward(device: &GpuDevice, ids: &Tensor, w: &GpuWeight, y: &mut Tensor, rows: usize) -> Result<()> {
    todo!()
}

pub fn gather(device: &GpuDevice, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    todo!()
}

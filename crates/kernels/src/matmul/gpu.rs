#![allow(unused_variables)]
use crate::gpu::shader::ShaderSpec;
use crate::gpu::{GpuDevice, GpuWeight};
use crate::{Result, Tensor};

pub const SHADERS: &[&ShaderSpec] = &[];

pub fn forward(
    device: &GpuDevice,
    x: &Tensor,
    w: &GpuWeight,
    bias: Option<&Tensor>,
    y: &mut Tensor,
    rows: usize,
    output: super::Output,
) -> Result<()> {
    todo!()
}

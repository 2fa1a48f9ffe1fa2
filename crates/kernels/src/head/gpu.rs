#![allow(unused_variables)]
use crate::gpu::shader::ShaderSpec;
use crate::gpu::{GpuDevice, GpuWeight};
use crate::{Result, Tensor};

pub const SHADERS: &[&ShaderSpec] = &[];

pub fn forward(
    device: &GpuDevice,
    x: &Tensor,
    w: &GpuWeight,
    targets: &Tensor,
    temperature: f32,
    out: &mut super::HeadOutput,
    rows: usize,
) -> Result<()> {
    todo!()
}

#![allow(unused_variables)]
use crate::gpu::GpuDevice;
use crate::gpu::shader::ShaderSpec;
use crate::{Result, Tensor};

pub const SHADERS: &[&ShaderSpec] = &[];

pub fn forward(device: &GpuDevice, logits: &Tensor, params: &[super::SampleParams], out: &mut super::SampleOutput) -> Result<()> {
    todo!()
}

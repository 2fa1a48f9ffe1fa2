#![allow(unused_variables)]
use crate::gpu::GpuDevice;
use crate::gpu::shader::ShaderSpec;
use crate::{Result, Tensor};

pub const SHADERS: &[&ShaderSpec] = &[];

pub struct Layer {}

impl Layer {
    pub fn new(device: &GpuDevice, shape: &super::KvShape) -> Result<Self> {
        todo!()
    }
}

pub fn append(device: &GpuDevice, k: &Tensor, v: &Tensor, layer: &mut Layer, shape: &super::KvShape, batch: &super::Batch) -> Result<()> {
    todo!()
}

pub fn forward(
    device: &GpuDevice,
    q: &Tensor,
    layer: &Layer,
    shape: &super::KvShape,
    batch: &super::Batch,
    scale: f32,
    out: &mut Tensor,
) -> Result<()> {
    todo!()
}

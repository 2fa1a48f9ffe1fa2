#![allow(unused_variables)]
use crate::cpu::CpuDevice;
use crate::{Result, Tensor};

pub struct Layer {}

impl Layer {
    pub fn new(device: &CpuDevice, shape: &super::KvShape) -> Result<Self> {
        todo!()
    }
}

pub fn append(device: &CpuDevice, k: &Tensor, v: &Tensor, layer: &mut Layer, shape: &super::KvShape, batch: &super::Batch) -> Result<()> {
    todo!()
}

pub fn forward(
    device: &CpuDevice,
    q: &Tensor,
    layer: &Layer,
    shape: &super::KvShape,
    batch: &super::Batch,
    scale: f32,
    out: &mut Tensor,
) -> Result<()> {
    todo!()
}

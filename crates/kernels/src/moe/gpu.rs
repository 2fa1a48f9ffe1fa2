#![allow(unused_variables)]
use crate::gpu::shader::ShaderSpec;
use crate::gpu::{GpuDevice, GpuWeight};
use crate::{Result, Tensor};

pub const SHADERS: &[&ShaderSpec] = &[];

pub fn route(device: &GpuDevice, logits: &Tensor, renormalise: bool, routes: &mut super::Routes, rows: usize) -> Result<()> {
    todo!()
}

pub fn sort(device: &GpuDevice, routes: &mut super::Routes, rows: usize) -> Result<()> {
    todo!()
}

pub fn grouped_matmul(
    device: &GpuDevice,
    x: &Tensor,
    from: super::Rows,
    w: &GpuWeight,
    unit_rows: usize,
    routes: &super::Routes,
    y: &mut Tensor,
    rows: usize,
) -> Result<()> {
    todo!()
}

pub fn combine(device: &GpuDevice, h: &Tensor, routes: &super::Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    todo!()
}

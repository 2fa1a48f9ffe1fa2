//! Backward of the experts on the GPU.

use crate::gpu::{GpuDevice, GpuWeight};
use crate::matmul::Output;
use crate::moe::{Routes, Rows};
use crate::{KernelError, Result, Tensor};

fn missing(op: &'static str) -> Result<()> {
    Err(KernelError::Value { op, message: "is not there on a GPU yet; train on the CPU".into() })
}

pub fn route(_: &GpuDevice, _: &Tensor, _: bool, _: &Routes, _: &Tensor, _: &mut Tensor, _: usize) -> Result<()> {
    missing("moe route backward")
}

pub fn grouped_x(_: &GpuDevice, _: &Tensor, _: &GpuWeight, _: usize, _: &Routes, _: &mut Tensor, _: usize, _: Output) -> Result<()> {
    missing("moe backward x")
}

pub fn grouped_w(_: &GpuDevice, _: &Tensor, _: &Tensor, _: Rows, _: &Routes, _: &mut Tensor, _: usize) -> Result<()> {
    missing("moe backward w")
}

pub fn combine(_: &GpuDevice, _: &Tensor, _: &Tensor, _: &Routes, _: &mut Tensor, _: &mut Tensor, _: usize) -> Result<()> {
    missing("moe combine backward")
}

pub fn gather_sum(_: &GpuDevice, _: &Tensor, _: &Routes, _: &mut Tensor, _: usize) -> Result<()> {
    missing("moe gather sum")
}

#![allow(unused_variables)]
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{Result, Tensor};

pub fn forward(device: &CpuDevice, ids: &Tensor, w: &CpuWeight, y: &mut Tensor, rows: usize) -> Result<()> {
    todo!()
}

pub fn gather(device: &CpuDevice, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    todo!()
}

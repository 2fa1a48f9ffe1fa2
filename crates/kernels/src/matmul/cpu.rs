#![allow(unused_variables)]
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{Result, Tensor};

pub fn forward(
    device: &CpuDevice,
    x: &Tensor,
    w: &CpuWeight,
    bias: Option<&Tensor>,
    y: &mut Tensor,
    rows: usize,
    output: super::Output,
) -> Result<()> {
    todo!()
}

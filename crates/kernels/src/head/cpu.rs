#![allow(unused_variables)]
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{Result, Tensor};

pub fn forward(
    device: &CpuDevice,
    x: &Tensor,
    w: &CpuWeight,
    targets: &Tensor,
    temperature: f32,
    out: &mut super::HeadOutput,
    rows: usize,
) -> Result<()> {
    todo!()
}

#![allow(unused_variables)]
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{Result, Tensor};

pub fn route(device: &CpuDevice, logits: &Tensor, renormalise: bool, routes: &mut super::Routes, rows: usize) -> Result<()> {
    todo!()
}

pub fn sort(device: &CpuDevice, routes: &mut super::Routes, rows: usize) -> Result<()> {
    todo!()
}

pub fn grouped_matmul(
    device: &CpuDevice,
    x: &Tensor,
    from: super::Rows,
    w: &CpuWeight,
    unit_rows: usize,
    routes: &super::Routes,
    y: &mut Tensor,
    rows: usize,
) -> Result<()> {
    todo!()
}

pub fn combine(device: &CpuDevice, h: &Tensor, routes: &super::Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    todo!()
}

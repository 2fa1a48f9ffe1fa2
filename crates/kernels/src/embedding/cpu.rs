//! Row look-ups on the CPU.

use crate::cpu::dequant::dequantize_at;
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{KernelError, Result, Tensor};

pub fn forward(device: &CpuDevice, ids: &Tensor, w: &CpuWeight, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "embedding";
    let ids = &ids.u32s(OP)?[..rows];
    let y = y.f32s_mut(OP)?;
    check(OP, ids, w.rows)?;
    for (row, &id) in ids.iter().enumerate() {
        dequantize_at(device.simd(), w.dtype, w.row(id as usize), &mut y[row * w.cols..(row + 1) * w.cols]);
    }
    Ok(())
}

pub fn gather(_device: &CpuDevice, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "gather";
    let width = x.width();
    let index = &index.u32s(OP)?[..rows];
    check(OP, index, x.len().checked_div(width).unwrap_or(0))?;
    let (x, y) = (x.f32s(OP)?, y.f32s_mut(OP)?);
    for (row, &from) in index.iter().enumerate() {
        let from = from as usize * width;
        y[row * width..(row + 1) * width].copy_from_slice(&x[from..from + width]);
    }
    Ok(())
}

fn check(op: &'static str, ids: &[u32], count: usize) -> Result<()> {
    match ids.iter().position(|&id| id as usize >= count) {
        Some(row) => {
            Err(KernelError::Value { op, message: format!("id {} of row {row} is out of range: there are {count} rows", ids[row]) })
        }
        None => Ok(()),
    }
}

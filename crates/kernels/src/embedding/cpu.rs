//! Row look-ups on the CPU.

use super::check_range;
use crate::cpu::dequant::dequantize_at;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{KernelError, Result, Tensor};

pub fn forward(device: &CpuDevice, ids: &Tensor, w: &CpuWeight, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "embedding";
    let ids = &ids.u32s(OP)?[..rows];
    let y = y.f32s_mut(OP)?;
    check_range(OP, ids, w.rows)?;
    for (row, &id) in ids.iter().enumerate() {
        dequantize_at(device.simd(), w.dtype, w.row(id as usize), &mut y[row * w.cols..(row + 1) * w.cols]);
    }
    Ok(())
}

pub fn gather(_device: &CpuDevice, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "gather";
    let width = x.width();
    let index = &index.u32s(OP)?[..rows];
    check_range(OP, index, x.len().checked_div(width).unwrap_or(0))?;
    let (x, y) = (x.f32s(OP)?, y.f32s_mut(OP)?);
    for (row, &from) in index.iter().enumerate() {
        let from = from as usize * width;
        y[row * width..(row + 1) * width].copy_from_slice(&x[from..from + width]);
    }
    Ok(())
}

/// Threads share out the columns, so each sum keeps the order of its rows.
pub fn backward(device: &CpuDevice, dy: &Tensor, ids: &[u32], dw: &mut Tensor) -> Result<()> {
    const OP: &str = "embedding";
    let width = dy.width();
    let (dy, dw) = (dy.f32s(OP)?, SharedMut::new(dw.f32s_mut(OP)?));
    for_each_range(device, width, (16_384 / ids.len().max(1)).max(64), |columns| {
        for (row, &id) in ids.iter().enumerate() {
            let to = id as usize * width;
            // SAFETY: ranges of columns are disjoint.
            let dw = unsafe { dw.slice(to + columns.start..to + columns.end) };
            dw.iter_mut().zip(&dy[row * width..][columns.clone()]).for_each(|(dw, dy)| *dw += dy);
        }
    });
    Ok(())
}

pub fn scatter(_device: &CpuDevice, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "scatter";
    let width = y.width();
    let index = &index.u32s(OP)?[..rows];
    let known = y.len().checked_div(width).unwrap_or(0);
    check_range(OP, index, known)?;
    let mut seen = vec![false; known];
    if let Some(row) = index.iter().position(|&to| std::mem::replace(&mut seen[to as usize], true)) {
        return Err(KernelError::Value { op: OP, message: format!("index {} of row {row} is there twice", index[row]) });
    }
    let (x, y) = (x.f32s(OP)?, y.f32s_mut(OP)?);
    for (row, &to) in index.iter().enumerate() {
        let to = to as usize * width;
        y[to..to + width].copy_from_slice(&x[row * width..(row + 1) * width]);
    }
    Ok(())
}

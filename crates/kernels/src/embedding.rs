//! Row look-ups: token embeddings out of a weight in any format, and rows of an activation. ids: u32 [R], y: [R, C].
//!
//! Backward of the embedding adds rows where they came from, in ascending order; that of [`gather`] is [`scatter`]. Both are exact
//! sums in one fixed order.

mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, KernelError, Result, Tensor, Weight};

/// `y[r] = W[ids[r]]`. Ids out of range are an error on the CPU; the caller checks them for the GPU before upload.
pub fn forward(device: &Device, ids: &Tensor, w: &Weight, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "embedding";
    y.expect(OP, "y", DType::F32, rows, w.cols)?;
    check_ids(OP, ids, rows)?;
    match device {
        Device::Cpu(device) => cpu::forward(device, ids, w.cpu(OP)?, y, rows),
        Device::Gpu(device) => gpu::forward(device, ids, w.gpu(OP)?, y, rows),
    }
}

/// `y[r] = x[index[r]]`, for picking the rows that need logits.
pub fn gather(device: &Device, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "gather";
    y.expect(OP, "y", DType::F32, rows, x.width())?;
    check_ids(OP, index, rows)?;
    match device {
        Device::Cpu(device) => cpu::gather(device, x, index, y, rows),
        Device::Gpu(device) => gpu::gather(device, x, index, y, rows),
    }
}

fn check_ids(op: &'static str, ids: &Tensor, rows: usize) -> Result<()> {
    if ids.dtype() != DType::U32 || ids.len() < rows {
        return Err(KernelError::shape(op, format!("ids is {:?}, u32 [≥{rows}] is needed", ids.shape())));
    }
    Ok(())
}

/// `dw[ids[r]] += dy[r]` for the first `rows` rows, in ascending order. dy: [R, C], dw: [V, C]; `ids` are on the host, R of them at least.
///
/// Errors when a shape does not fit, a tensor is elsewhere, or an id is not below V.
pub fn backward(device: &Device, dy: &Tensor, ids: &[u32], dw: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "embedding";
    let width = dy.width();
    dy.expect(OP, "dy", DType::F32, rows, width)?;
    dw.expect(OP, "dw", DType::F32, 0, width)?;
    let Some(ids) = ids.get(..rows) else {
        return Err(KernelError::shape(OP, format!("{} ids, {rows} are needed", ids.len())));
    };
    check_range(OP, ids, dw.len().checked_div(width).unwrap_or(0))?;
    match device {
        Device::Cpu(device) => cpu::backward(device, dy, ids, dw),
        Device::Gpu(device) => gpu::backward(device, dy, ids, dw),
    }
}

/// `y[index[r]] = x[r]` for the first `rows` rows: the gradient of [`gather`]. Rows of y that no index names stay as they are.
///
/// Indices are distinct and in range: an error on the CPU otherwise; the caller sees to it for the GPU.
pub fn scatter(device: &Device, x: &Tensor, index: &Tensor, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "scatter";
    x.expect(OP, "x", DType::F32, rows, y.width())?;
    y.expect(OP, "y", DType::F32, 0, x.width())?;
    check_ids(OP, index, rows)?;
    match device {
        Device::Cpu(device) => cpu::scatter(device, x, index, y, rows),
        Device::Gpu(device) => gpu::scatter(device, x, index, y, rows),
    }
}

fn check_range(op: &'static str, ids: &[u32], count: usize) -> Result<()> {
    match ids.iter().position(|&id| id as usize >= count) {
        Some(row) => {
            Err(KernelError::Value { op, message: format!("id {} of row {row} is out of range: there are {count} rows", ids[row]) })
        }
        None => Ok(()),
    }
}

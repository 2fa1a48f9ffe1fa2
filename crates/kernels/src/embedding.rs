//! Row look-ups: token embeddings out of a weight in any format, and rows of an activation. ids: u32 [R], y: [R, C].

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

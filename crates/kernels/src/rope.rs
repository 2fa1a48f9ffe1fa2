//! Rotary position embedding, half-split pairs (i, i + D/2), in place. x: [R, H·D], table: [P, D] = cos | sin of each position.
//! `x'_i = x_i c_i - x_{i+D/2} s_i`, `x'_{i+D/2} = x_{i+D/2} c_i + x_i s_i`.
//!
//! Backward is the transposed map: `dx_i = dx'_i c_i + dx'_{i+D/2} s_i`, `dx_{i+D/2} = dx'_{i+D/2} c_i - dx'_i s_i`. Nothing is kept.
//!
//! Angles are computed in f64 on the host: WGSL's sin and cos lose accuracy at large positions.

mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, KernelError, Result, Tensor};

const OP: &str = "rope";

/// cos and sin of every position up to the planned context. [P, D]: D/2 cosines, then D/2 sines.
pub struct RopeTable {
    /// [P, D].
    pub table: Tensor,
}

impl RopeTable {
    /// `inv_freq` [D/2] (already scaled by the rope type), `attention_scale` multiplies cos and sin (YaRN's mscale; 1 otherwise).
    pub fn new(device: &Device, positions: usize, inv_freq: &[f64], attention_scale: f64) -> Result<Self> {
        let half = inv_freq.len();
        let mut values = vec![0f32; positions * 2 * half];
        for (p, row) in values.chunks_exact_mut(2 * half).enumerate() {
            let (cos, sin) = row.split_at_mut(half);
            for (i, frequency) in inv_freq.iter().enumerate() {
                let angle = p as f64 * frequency;
                cos[i] = (angle.cos() * attention_scale) as f32;
                sin[i] = (angle.sin() * attention_scale) as f32;
            }
        }
        Ok(Self { table: device.f32_tensor(&[positions, 2 * half], &values)? })
    }
}

/// Rotates the first `rows` rows of `x` by their `positions` (u32 [R]).
pub fn forward(device: &Device, x: &mut Tensor, table: &RopeTable, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    check(x, table, positions, rows, heads)?;
    match device {
        Device::Cpu(device) => cpu::forward(device, x, &table.table, positions, rows, heads),
        Device::Gpu(device) => gpu::forward(device, x, &table.table, positions, rows, heads),
    }
}

/// Turns the gradient of the rotated rows, in place, into that of the rows before: the transposed rotation by their `positions`.
///
/// Errors as [`forward`].
pub fn backward(device: &Device, dx: &mut Tensor, table: &RopeTable, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    check(dx, table, positions, rows, heads)?;
    match device {
        Device::Cpu(device) => cpu::backward(device, dx, &table.table, positions, rows, heads),
        Device::Gpu(device) => gpu::backward(device, dx, &table.table, positions, rows, heads),
    }
}

fn check(x: &Tensor, table: &RopeTable, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    x.expect(OP, "x", DType::F32, rows, heads * table.table.width())?;
    if positions.dtype() != DType::U32 || positions.len() < rows {
        return Err(KernelError::shape(OP, format!("positions is {:?}, u32 [≥{rows}] is needed", positions.shape())));
    }
    Ok(())
}

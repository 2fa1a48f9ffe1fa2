use super::OP;
use crate::cpu::CpuDevice;
use crate::cpu::lanes::multiversion;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::simd::{Level, fused};
use crate::{KernelError, Result, Tensor};

multiversion! {
    /// Rotates every head of one row by one position's cosines and sines.
    fn rotate(row: &mut [f32], turn: &[f32]) {
        let half = turn.len() / 2;
        let (cos, sin) = turn.split_at(half);
        for head in row.chunks_exact_mut(2 * half) {
            let (low, high) = head.split_at_mut(half);
            for i in 0..half {
                let (a, b) = (low[i], high[i]);
                low[i] = fused(a, cos[i], -(b * sin[i]));
                high[i] = fused(b, cos[i], a * sin[i]);
            }
        }
    }
}

multiversion! {
    /// The transpose of [`rotate`].
    fn rotate_back(row: &mut [f32], turn: &[f32]) {
        let half = turn.len() / 2;
        let (cos, sin) = turn.split_at(half);
        for head in row.chunks_exact_mut(2 * half) {
            let (low, high) = head.split_at_mut(half);
            for i in 0..half {
                let (a, b) = (low[i], high[i]);
                low[i] = fused(a, cos[i], b * sin[i]);
                high[i] = fused(b, cos[i], -(a * sin[i]));
            }
        }
    }
}

pub fn forward(device: &CpuDevice, x: &mut Tensor, table: &Tensor, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    turn(device, x, table, positions, rows, heads, rotate)
}

pub fn backward(device: &CpuDevice, dx: &mut Tensor, table: &Tensor, positions: &Tensor, rows: usize, heads: usize) -> Result<()> {
    turn(device, dx, table, positions, rows, heads, rotate_back)
}

/// `by` on every row.
fn turn(
    device: &CpuDevice,
    x: &mut Tensor,
    table: &Tensor,
    positions: &Tensor,
    rows: usize,
    heads: usize,
    by: fn(Level, &mut [f32], &[f32]),
) -> Result<()> {
    let head_dim = table.width();
    let (x, table, positions) = (x.f32s_mut(OP)?, table.f32s(OP)?, &positions.u32s(OP)?[..rows]);
    let known = table.len() / head_dim;
    if let Some(p) = positions.iter().find(|&&p| p as usize >= known) {
        return Err(KernelError::Value { op: OP, message: format!("position {p} of {known}") });
    }
    let width = heads * head_dim;
    let x = SharedMut::new(&mut x[..rows * width]);
    for_each_range(device, rows, (16_384 / width.max(1)).max(1), |rows| {
        for row in rows {
            // SAFETY: ranges of rows are disjoint.
            let to = unsafe { x.slice(row * width..(row + 1) * width) };
            by(device.simd(), to, &table[positions[row] as usize * head_dim..][..head_dim]);
        }
    });
    Ok(())
}

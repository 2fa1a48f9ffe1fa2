//! The CPU's matmul: the canonical sum, and the addition of the bias or the old `y`. Backward is `cpu/gemm.rs`.

use super::{OP, Output};
use crate::cpu::exact::Operand;
use crate::cpu::fast::product;
use crate::cpu::gemm::{DEPTH, Matrix, Right, gemm};
use crate::cpu::lanes::multiversion;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{Result, Tensor};

pub fn forward(
    device: &CpuDevice,
    x: &Tensor,
    w: &CpuWeight,
    bias: Option<&Tensor>,
    y: &mut Tensor,
    rows: usize,
    output: Output,
) -> Result<()> {
    let x = x.f32s(OP)?;
    let bias = bias.map(|bias| bias.f32s(OP)).transpose()?;
    let y = SharedMut::new(y.f32s_mut(OP)?);
    let mut padded = Vec::new();
    let operand = Operand::new(x, w.cols, 0..rows, &mut padded);
    product(device, &operand, w, 0..w.rows, |row, n, values| {
        // SAFETY: every output is emitted once.
        let y = unsafe { y.slice(row * w.rows + n..row * w.rows + n + values.len()) };
        finish(y, values, bias.map(|bias| &bias[n..]), output);
    });
    Ok(())
}

/// Stores or adds `values`, with the bias.
fn finish(y: &mut [f32], values: &[f32], bias: Option<&[f32]>, output: Output) {
    match (output, bias) {
        (Output::Store, None) => y.copy_from_slice(values),
        (Output::Store, Some(bias)) => y.iter_mut().zip(values).zip(bias).for_each(|((y, v), b)| *y = v + b),
        (Output::Add, None) => y.iter_mut().zip(values).for_each(|(y, v)| *y += v),
        (Output::Add, Some(bias)) => y.iter_mut().zip(values).zip(bias).for_each(|((y, v), b)| *y += v + b),
    }
}

pub fn backward_x(device: &CpuDevice, dy: &Tensor, w: &CpuWeight, dx: &mut Tensor, rows: usize, output: Output) -> Result<()> {
    let (dy, dx) = (Matrix::new(dy.f32s(OP)?, w.rows), dx.f32s_mut(OP)?);
    gemm(device, [rows, w.cols, w.rows], dy, &Right::Weight(w, 0..w.rows), dx, w.cols, output);
    Ok(())
}

pub fn backward_w(device: &CpuDevice, dy: &Tensor, x: &Tensor, dw: &mut Tensor, rows: usize) -> Result<()> {
    let (n, k) = (dy.width(), x.width());
    let (dy, x) = (Matrix::new(dy.f32s(OP)?, n), Matrix::new(x.f32s(OP)?, k));
    gemm(device, [n, k, rows], dy.transposed(), &Right::Matrix(x), dw.f32s_mut(OP)?, k, Output::Add);
    Ok(())
}

multiversion! {
    /// Adds rows of `dy`, `stride` apart, to `db` in the order of a product: blocks of [`DEPTH`] rows, each summed from 0.
    fn add_rows(dy: &[f32], stride: usize, rows: usize, db: &mut [f32]) {
        for (part, db) in db.chunks_mut(64).enumerate() {
            for block in (0..rows).step_by(DEPTH) {
                let mut sums = [0f32; 64];
                for row in block..(block + DEPTH).min(rows) {
                    let dy = &dy[row * stride + 64 * part..][..db.len()];
                    for (sum, dy) in sums.iter_mut().zip(dy) {
                        *sum += dy;
                    }
                }
                for (db, sum) in db.iter_mut().zip(&sums) {
                    *db += sum;
                }
            }
        }
    }
}

pub fn backward_bias(device: &CpuDevice, dy: &Tensor, db: &mut Tensor, rows: usize) -> Result<()> {
    let n = dy.width();
    let (dy, db) = (&dy.f32s(OP)?[..rows * n], SharedMut::new(&mut db.f32s_mut(OP)?[..n]));
    for_each_range(device, n, (16_384 / rows.max(1)).max(64), |columns| {
        // SAFETY: ranges of columns are disjoint.
        add_rows(device.simd(), &dy[columns.start.min(dy.len())..], n, rows, unsafe { db.slice(columns) });
    });
    Ok(())
}

//! The head's gradient on the CPU: blocks of rows by chunks of the vocabulary.
//!
//! For each pair: logits (the forward's own sums, to the bit) are turned into dz [rows, ids], then both products add to dx and dW.
//! Blocks and chunks are whole blocks of gemm's sums, so they are sizes of memory only and change no bit.

use std::ops::Range;

use super::OP;
use crate::cpu::exact::{Operand, X_BLOCK, with_block};
use crate::cpu::exp::exp;
use crate::cpu::gemm::{DEPTH, Matrix, Right, gemm};
use crate::cpu::lanes::multiversion;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::{CpuDevice, CpuWeight};
use crate::head::HeadOutput;
use crate::matmul::Output;
use crate::{KernelError, Result, Tensor};

/// Vocabulary rows of a chunk: whole blocks of gemm's inner dimension.
const IDS: usize = 16 * DEPTH;
/// Vocabulary rows of a work item.
const TILE: usize = 256;
/// Most bytes of dz, and of x's and dx's rows each.
const DZ_BYTES: usize = 16 << 20;
const BLOCK_BYTES: usize = 8 << 20;

/// What a row needs to turn logits into gradients.
#[derive(Clone, Copy)]
struct Row {
    target: usize,
    /// `f32::MIN` keeps all.
    cut: f32,
    /// Of the kept tokens.
    lse: f32,
    entropy: f32,
    dlogprob: f32,
    dentropy: f32,
}

pub fn backward(
    device: &CpuDevice,
    x: &Tensor,
    w: &CpuWeight,
    targets: &Tensor,
    temperature: f32,
    cuts: Option<&Tensor>,
    out: &HeadOutput,
    dlogprob: &Tensor,
    dentropy: Option<&Tensor>,
    dx: &mut Tensor,
    dw: Option<&mut Tensor>,
    rows: usize,
) -> Result<()> {
    let targets = &targets.u32s(OP)?[..rows];
    if let Some(row) = targets.iter().position(|&id| id as usize >= w.rows) {
        let message = format!("target {} of row {row} is out of range: the vocabulary has {} rows", targets[row], w.rows);
        return Err(KernelError::Value { op: OP, message });
    }
    let cuts = cuts.map(|cuts| cuts.f32s(OP)).transpose()?;
    let lse = if cuts.is_some() { &out.kept_lse } else { &out.lse };
    let (lse, entropy, dlogprob) = (lse.f32s(OP)?, out.entropy.f32s(OP)?, dlogprob.f32s(OP)?);
    let dentropy = dentropy.map(|tensor| tensor.f32s(OP)).transpose()?;
    let row = |i: usize| Row {
        target: targets[i] as usize,
        cut: cuts.map_or(f32::MIN, |cuts| cuts[i]),
        lse: lse[i],
        entropy: entropy[i],
        dlogprob: dlogprob[i],
        dentropy: dentropy.map_or(0.0, |dentropy| dentropy[i]),
    };
    let x = x.f32s(OP)?;
    let mut dw = dw.map(|dw| dw.f32s_mut(OP)).transpose()?;
    let dx = &mut dx.f32s_mut(OP)?[..rows * w.cols];
    dx.fill(0.0);
    let active: Vec<usize> = (0..rows).filter(|&i| row(i).dlogprob != 0.0 || row(i).dentropy != 0.0).collect();
    if active.is_empty() || w.cols == 0 {
        return Ok(());
    }
    let mut space = Space::new(w.cols, active.len());
    for indices in active.chunks(space.rows) {
        for (to, &i) in space.x.chunks_exact_mut(w.cols).zip(indices) {
            to.copy_from_slice(&x[i * w.cols..(i + 1) * w.cols]);
        }
        let rows: Vec<Row> = indices.iter().map(|&i| row(i)).collect();
        Block { device, w, temperature, rows: &rows }.run(&mut space, dw.as_deref_mut());
        for (from, &i) in space.dx.chunks_exact(w.cols).zip(indices) {
            dx[i * w.cols..(i + 1) * w.cols].copy_from_slice(from);
        }
    }
    Ok(())
}

/// Working memory: contiguous rows, whichever rows of the tensors they are.
struct Space {
    /// Rows of a block, at most.
    rows: usize,
    /// [rows][K]
    x: Vec<f32>,
    dx: Vec<f32>,
    /// [rows][IDS]
    dz: Vec<f32>,
}

impl Space {
    fn new(cols: usize, rows: usize) -> Self {
        // Whole blocks of gemm's inner dimension, so that dw adds the rows in one order however many there are.
        let most = (BLOCK_BYTES / (4 * cols)).min(DZ_BYTES / (4 * IDS)) / DEPTH * DEPTH;
        let rows = rows.min(most.max(DEPTH));
        Self { rows, x: vec![0.0; rows * cols], dx: vec![0.0; rows * cols], dz: vec![0.0; rows * IDS] }
    }
}

/// Rows whose gradients are computed together.
struct Block<'a> {
    device: &'a CpuDevice,
    w: &'a CpuWeight,
    temperature: f32,
    rows: &'a [Row],
}

impl Block<'_> {
    /// Leaves dx of the block in `space.dx`.
    fn run(&self, space: &mut Space, mut dw: Option<&mut [f32]>) {
        let (cols, rows) = (self.w.cols, self.rows.len());
        let Space { x, dx, dz, .. } = space;
        let (x, dx, dz) = (&x[..rows * cols], &mut dx[..rows * cols], &mut dz[..rows * IDS]);
        let mut padded = Vec::new();
        let operand = Operand::new(x, cols, 0..rows, &mut padded);
        for ids in (0..self.w.rows).step_by(IDS).map(|first| first..(first + IDS).min(self.w.rows)) {
            self.logits_to_gradients(&operand, ids.clone(), dz);
            let output = if ids.start == 0 { Output::Store } else { Output::Add };
            let shape = [rows, cols, ids.len()];
            gemm(self.device, shape, Matrix::new(dz, IDS), &Right::Weight(self.w, ids.clone()), dx, cols, output);
            if let Some(dw) = &mut dw {
                let (shape, right) = ([ids.len(), cols, rows], Right::Matrix(Matrix::new(x, cols)));
                let dw = &mut dw[ids.start * cols..ids.end * cols];
                gemm(self.device, shape, Matrix::new(dz, IDS).transposed(), &right, dw, cols, Output::Add);
            }
        }
    }

    fn logits_to_gradients(&self, operand: &Operand, ids: Range<usize>, dz: &mut [f32]) {
        let (rows, blocks, level) = (self.rows.len(), self.rows.len().div_ceil(X_BLOCK), self.device.simd());
        let shared = SharedMut::new(dz);
        for_each_range(self.device, ids.len().div_ceil(TILE) * blocks, 1, |range| {
            for item in range {
                let (tile, block) = (item / blocks * TILE, item % blocks * X_BLOCK);
                let tile = ids.start + tile..(ids.start + tile + TILE).min(ids.end);
                let block = block..(block + X_BLOCK).min(rows);
                with_block(level, operand, block.clone(), self.w, tile.clone(), |z| {
                    for (r, z) in block.zip(z.chunks_exact(tile.len())) {
                        let (row, start) = (&self.rows[r], r * IDS + tile.start - ids.start);
                        // SAFETY: each pair of tile and block is one item.
                        let dz = unsafe { shared.slice(start..start + tile.len()) };
                        if row.cut > f32::MIN {
                            gradient_kept(level, z, dz, self.temperature, row);
                        } else {
                            gradient(level, z, dz, self.temperature, row);
                        }
                        if tile.contains(&row.target) {
                            let target = row.target - tile.start;
                            if z[target] < row.cut {
                                // It counts as kept.
                                gradient(level, &z[target..target + 1], &mut dz[target..target + 1], self.temperature, row);
                            }
                            dz[target] += row.dlogprob / self.temperature;
                        }
                    }
                });
            }
        });
    }
}

multiversion! {
    /// dz of a stretch of the vocabulary without its target: -p (g + h (log p + H)) / τ.
    fn gradient(z: &[f32], dz: &mut [f32], temperature: f32, row: &Row) {
        let Row { lse, entropy, dlogprob, dentropy, .. } = *row;
        let inverse = 1.0 / temperature;
        for (dz, z) in dz.iter_mut().zip(z) {
            let log_p = z / temperature - lse;
            let p = exp(log_p);
            // p log p is 0 where p is; a NaN passes.
            let upstream = if p == 0.0 { 0.0 } else { dentropy.mul_add(log_p + entropy, dlogprob) };
            *dz = -(p * upstream) * inverse;
        }
    }
}

multiversion! {
    /// The same among the kept tokens, of the log-probability alone: -p g / τ, and 0 for the others.
    fn gradient_kept(z: &[f32], dz: &mut [f32], temperature: f32, row: &Row) {
        let Row { lse, dlogprob, cut, .. } = *row;
        let inverse = 1.0 / temperature;
        for (dz, z) in dz.iter_mut().zip(z) {
            let p = exp(z / temperature - lse);
            // Where p is 0 so is the product; a NaN passes.
            *dz = if *z < cut || p == 0.0 { 0.0 } else { -(p * dlogprob) * inverse };
        }
    }
}

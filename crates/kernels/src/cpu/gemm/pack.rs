//! Operands of a product, and their packing into panels.

use std::ops::Range;

use super::COLS;
use crate::cpu::dequant::dequantize_at;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::{CpuDevice, CpuWeight};

/// Elements to pack that are worth handing to another thread.
const PACK_TASK: usize = 1 << 14;

/// A dense operand: element (i, j) is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major, rows `row_stride` apart.
    pub(crate) fn new(data: &'a [f32], row_stride: usize) -> Self {
        Self { data, row_stride, col_stride: 1 }
    }

    /// The same elements with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { data: self.data, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    pub(super) fn holds(&self, rows: usize, cols: usize) -> bool {
        rows == 0 || cols == 0 || (rows - 1) * self.row_stride + (cols - 1) * self.col_stride < self.data.len()
    }
}

/// The right operand.
#[derive(Clone)]
pub(crate) enum Right<'a> {
    /// Dense.
    Matrix(Matrix<'a>),
    /// All columns of these rows of a weight (as many rows as there are inner steps), dequantised as they are packed.
    Weight(&'a CpuWeight, Range<usize>),
}

impl Right<'_> {
    pub(super) fn holds(&self, rows: usize, cols: usize) -> bool {
        match self {
            Right::Matrix(matrix) => matrix.holds(rows, cols),
            Right::Weight(weight, range) => range.len() == rows && range.end <= weight.rows && cols == weight.cols,
        }
    }
}

/// Panels of `width` rows of `x`: row `rows.start + width p + i` at step s goes to `to[p][s][i]`, zeros past the last row.
pub(super) fn pack(device: &CpuDevice, x: Matrix, rows: Range<usize>, steps: Range<usize>, width: usize, to: &mut [f32]) {
    let panel = width * steps.len();
    let to = SharedMut::new(to);
    for_each_range(device, rows.len().div_ceil(width), PACK_TASK.div_ceil(panel), |panels| {
        for p in panels {
            // SAFETY: each panel is one item.
            let to = unsafe { to.slice(p * panel..(p + 1) * panel) };
            let first = rows.start + p * width;
            let rows = first..(first + width).min(rows.end);
            match width {
                6 => pack_panel::<6>(x, rows, steps.start, to),
                12 => pack_panel::<12>(x, rows, steps.start, to),
                16 => pack_panel::<16>(x, rows, steps.start, to),
                _ => pack_panel::<32>(x, rows, steps.start, to),
            }
        }
    });
}

fn pack_panel<const W: usize>(x: Matrix, rows: Range<usize>, first_step: usize, to: &mut [f32]) {
    let to = to.as_chunks_mut::<W>().0;
    if rows.len() < W {
        to.fill([0.0; W]);
    }
    if x.row_stride == 1 {
        let mut from = rows.start + first_step * x.col_stride;
        for to in to {
            match x.data[from..].first_chunk::<W>() {
                Some(full) if rows.len() == W => *to = *full,
                _ => to[..rows.len()].copy_from_slice(&x.data[from..from + rows.len()]),
            }
            from += x.col_stride;
        }
        return;
    }
    // A few steps of all rows at a time: the lines of `to` are written while they are in the cache.
    for (block, to) in to.chunks_mut(16).enumerate() {
        for (i, row) in rows.clone().enumerate() {
            let from = &x.data[row * x.row_stride + (first_step + 16 * block) * x.col_stride..];
            for (to, from) in to.iter_mut().zip(from.iter().step_by(x.col_stride.max(1))) {
                to[i] = *from;
            }
        }
    }
}

/// As [`pack`] for the columns `cols` of a weight, whose rows are the steps.
pub(super) fn pack_weight(device: &CpuDevice, w: &CpuWeight, rows: Range<usize>, cols: Range<usize>, width: usize, to: &mut [f32]) {
    let panel = width * rows.len();
    let to = SharedMut::new(to);
    for_each_range(device, rows.len(), PACK_TASK.div_ceil(cols.len()), |steps| {
        let mut values = [0f32; COLS];
        for step in steps {
            dequantize_at(device.simd(), w.dtype, w.part(rows.start + step, cols.start, cols.end), &mut values[..cols.len()]);
            // What an earlier row left past the last column is never read: those sums are dropped.
            for (p, values) in values[..cols.len().next_multiple_of(width)].chunks_exact(width).enumerate() {
                // SAFETY: a step's part of a panel is one item's.
                unsafe { to.slice(p * panel + step * width..p * panel + (step + 1) * width) }.copy_from_slice(values);
            }
        }
    });
}

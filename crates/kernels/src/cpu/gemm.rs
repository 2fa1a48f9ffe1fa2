//! The matrix products of backward: `C (=|+=) A B`, f32, where B may be rows of a weight in any format.
//!
//! The order of every sum: the inner dimension is cut into blocks of [`DEPTH`] from its start, a block is a chain of fused
//! multiply-adds from 0 in ascending order, and the blocks are added to C one after the other. So an element depends on its row of
//! A, its column of B and what it was before, and on nothing else: not on how many rows or columns there are, not on threads,
//! tiles or SIMD level. Rows of a `dw` that arrive in parts cut at multiples of [`DEPTH`] give the bits of all at once.
//!
//! Both operands are packed into panels that a register tile reads from front to back, once each, by all threads; then all threads
//! take tiles of C. Inside [`for_each_range`] the call runs on its own thread.

mod pack;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;

use super::CpuDevice;
use super::lanes::{Lanes, Vector, multiversion};
use super::parallel::{SharedMut, for_each_range};
use super::simd::Level;
use crate::matmul::Output;
pub(crate) use pack::{Matrix, Right};
use pack::{pack, pack_weight};

/// Inner steps of a block: a panel of B stays in the L1 cache while panels of A pass.
pub(crate) const DEPTH: usize = 256;
/// Most columns of C that are packed at once: 4 MiB of B.
const COLS: usize = 4096;
/// Most rows of C that are packed at once: 1.1 MiB of A.
const ROWS: usize = 12 * TILE_ROWS;
/// Rows of a work item, whole panels at every level.
const TILE_ROWS: usize = 96;
/// Columns of a work item, whole panels at every level.
const TILE_COLS: usize = 128;
/// Multiply-adds that are worth handing to another thread.
const TASK: usize = 1 << 18;

/// `C (=|+=) A B` with A [m, k], B [k, n], C [m, n]; row i of C starts at `c[i * c_stride]`.
///
/// `shape` is [m, n, k]. Panics if an operand is smaller than that: ops check their tensors first.
pub(crate) fn gemm(device: &CpuDevice, shape: [usize; 3], a: Matrix, b: &Right, c: &mut [f32], c_stride: usize, output: Output) {
    // SAFETY: the only slices of `c` are this call's.
    unsafe { gemm_shared(device, shape, a, b, &SharedMut::new(c), 0, c_stride, output) }
}

/// As [`gemm`], into memory that other threads write other elements of: row i of C starts at `c[c_start + i * c_stride]`.
///
/// # Safety
/// While this runs nobody else may hold a slice of `c` that overlaps a row of C (n elements each; what lies between rows is free).
pub(crate) unsafe fn gemm_shared(
    device: &CpuDevice,
    [m, n, k]: [usize; 3],
    a: Matrix,
    b: &Right,
    c: &SharedMut<f32>,
    c_start: usize,
    c_stride: usize,
    output: Output,
) {
    assert!(a.holds(m, k) && b.holds(k, n), "an operand is smaller than [{m}, {n}, {k}] asks for");
    if k == 0 && output == Output::Store {
        for row in 0..m {
            let at = c_start + row * c_stride;
            // SAFETY: the caller's promise.
            unsafe { c.slice(at..at + n) }.fill(0.0);
        }
    }
    let (panel_rows, panel_cols) = panels(device.simd());
    let mut scratch = SCRATCH.take();
    for col in (0..if m == 0 { 0 } else { n }).step_by(COLS) {
        let cols = col..(col + COLS).min(n);
        for step in (0..k).step_by(DEPTH) {
            let steps = step..(step + DEPTH).min(k);
            let packed_b = at_least(&mut scratch.b, cols.len().div_ceil(panel_cols) * panel_cols / 16 * steps.len(), Lanes::ZERO);
            let to = bytemuck::cast_slice_mut(packed_b);
            match b {
                Right::Matrix(b) => pack(device, b.transposed(), cols.clone(), steps.clone(), panel_cols, to),
                Right::Weight(weight, rows) => {
                    pack_weight(device, weight, rows.start + steps.start..rows.start + steps.end, cols.clone(), panel_cols, to);
                }
            }
            for row in (0..m).step_by(ROWS) {
                let rows = row..(row + ROWS).min(m);
                let packed_a = at_least(&mut scratch.a, rows.len().next_multiple_of(panel_rows) * steps.len(), 0.0);
                pack(device, a, rows.clone(), steps.clone(), panel_rows, packed_a);
                let job = Job {
                    a: packed_a,
                    b: packed_b,
                    depth: steps.len(),
                    rows: rows.len(),
                    cols: cols.len(),
                    c,
                    start: c_start + row * c_stride + col,
                    stride: c_stride,
                    store: step == 0 && output == Output::Store,
                };
                let tiles = rows.len().div_ceil(TILE_ROWS) * cols.len().div_ceil(TILE_COLS);
                let per_tile = (rows.len() * cols.len() * steps.len()).div_ceil(tiles);
                for_each_range(device, tiles, TASK.div_ceil(per_tile), |tiles| multiply(device.simd(), &job, tiles));
            }
        }
    }
    SCRATCH.set(scratch);
}

/// Packed operands, kept between calls.
#[derive(Default)]
struct Scratch {
    a: Vec<f32>,
    b: Vec<Lanes>,
}

thread_local! {
    // Taken and put back, so that an unexpected nested use would only allocate anew.
    static SCRATCH: Cell<Scratch> = Cell::default();
}

fn at_least<T: Copy>(memory: &mut Vec<T>, len: usize, fill: T) -> &mut [T] {
    if memory.len() < len {
        memory.resize(len, fill);
    }
    &mut memory[..len]
}

/// Rows and columns of a register tile, which are the widths of the panels of A and B.
fn panels(level: Level) -> (usize, usize) {
    if level == Level::Avx512 { (12, 32) } else { (6, 16) }
}

/// One block of the inner dimension for some rows and columns of C.
struct Job<'a> {
    /// Panels of A: [p][depth][panel rows].
    a: &'a [f32],
    /// Panels of B: [p][depth][panel columns].
    b: &'a [Lanes],
    depth: usize,
    rows: usize,
    cols: usize,
    c: &'a SharedMut<'a, f32>,
    /// Where the first row begins in `c`.
    start: usize,
    stride: usize,
    /// The first block of a product that overwrites.
    store: bool,
}

multiversion! {
    /// Some tiles of C, numbered row by row.
    fn multiply(job: &Job, tiles: Range<usize>) {
        if V::WIDE { multiply_tiles::<V, 12, 2>(job, tiles) } else { multiply_tiles::<V, 6, 1>(job, tiles) }
    }
}

#[inline(always)]
fn multiply_tiles<V: Vector, const M: usize, const N: usize>(job: &Job, tiles: Range<usize>) {
    let tiles_a_row = job.cols.div_ceil(TILE_COLS);
    for tile in tiles {
        let (first_row, first_col) = (tile / tiles_a_row * TILE_ROWS, tile % tiles_a_row * TILE_COLS);
        for col in (first_col..(first_col + TILE_COLS).min(job.cols)).step_by(16 * N) {
            let b = &job.b[col / 16 * job.depth..][..N * job.depth];
            let width = (16 * N).min(job.cols - col);
            for row in (first_row..(first_row + TILE_ROWS).min(job.rows)).step_by(M) {
                let a = &job.a[row * job.depth..][..M * job.depth];
                let sums = register_tile::<V, M, N>(a, b);
                for (r, sums) in sums.iter().enumerate().take(job.rows - row) {
                    let at = job.start + (row + r) * job.stride + col;
                    // SAFETY: the caller of `gemm_shared` keeps others off C, and a tile of it is one item.
                    let c = unsafe { job.c.slice(at..at + width) };
                    let sums: &[f32] = bytemuck::cast_slice(sums);
                    if job.store {
                        c.copy_from_slice(&sums[..width]);
                    } else {
                        for (c, sum) in c.iter_mut().zip(sums) {
                            *c += sum;
                        }
                    }
                }
            }
        }
    }
}

/// The sums of M rows and 16 N columns over one block.
#[inline(always)]
fn register_tile<V: Vector, const M: usize, const N: usize>(a: &[f32], b: &[Lanes]) -> [[Lanes; N]; M] {
    let mut sums = [[V::splat(0.0); N]; M];
    for (a, b) in a.as_chunks::<M>().0.iter().zip(b.as_chunks::<N>().0) {
        let mut columns = [V::splat(0.0); N];
        for c in 0..N {
            columns[c] = V::load(&b[c]);
        }
        for r in 0..M {
            let x = V::splat(a[r]);
            for c in 0..N {
                sums[r][c] = sums[r][c].fma(x, columns[c]);
            }
        }
    }
    let mut out = [[Lanes::ZERO; N]; M];
    for r in 0..M {
        for c in 0..N {
            sums[r][c].store(&mut out[r][c]);
        }
    }
    out
}

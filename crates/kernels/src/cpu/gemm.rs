//! The matrix products of backward: `C (=|+=) A B`, f32, where B may be rows of a weight in any format.
//!
//! The order of every sum: the inner dimension is cut into blocks of [`DEPTH`] from its start, a block is a chain of fused
//! multiply-adds from 0 in ascending order, and the blocks are added to C one after the other. So an element depends on its row of
//! A, its column of B and what it was before, and on nothing else: not on how many rows or columns there are, not on threads,
//! tiles or SIMD level. Rows of a `dw` that arrive in parts cut at multiples of [`DEPTH`] give the bits of all at once.
//!
//! Both operands are packed into panels that a register tile reads from front to back, once each, by all threads; then all threads
//! take tiles of C. Inside [`for_each_range`] the call runs on its own thread.

use std::cell::Cell;
use std::ops::Range;

use super::dequant::dequantize_at;
use super::lanes::{Lanes, Vector, multiversion};
use super::parallel::{SharedMut, for_each_range};
use super::simd::Level;
use super::{CpuDevice, CpuWeight};
use crate::matmul::Output;

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
/// Multiply-adds, and elements to pack, that are worth handing to another thread.
const TASK: usize = 1 << 18;
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

    fn holds(&self, rows: usize, cols: usize) -> bool {
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
    fn holds(&self, rows: usize, cols: usize) -> bool {
        match self {
            Right::Matrix(matrix) => matrix.holds(rows, cols),
            Right::Weight(weight, range) => range.len() == rows && range.end <= weight.rows && cols == weight.cols,
        }
    }
}

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

/// Panels of `width` rows of `x`: row `rows.start + width p + i` at step s goes to `to[p][s][i]`, zeros past the last row.
fn pack(device: &CpuDevice, x: Matrix, rows: Range<usize>, steps: Range<usize>, width: usize, to: &mut [f32]) {
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
fn pack_weight(device: &CpuDevice, w: &CpuWeight, rows: Range<usize>, cols: Range<usize>, width: usize, to: &mut [f32]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Precision};

    fn device(threads: usize, level: Level) -> CpuDevice {
        CpuDevice::with_threads(Precision::Exact, threads).with_simd(level)
    }

    fn numbers(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// The module's definition of the sum.
    fn plain(a: &[f32], b: &[f32], old: &[f32], [m, n, k]: [usize; 3], output: Output) -> Vec<f32> {
        let mut c = if output == Output::Add { old.to_vec() } else { vec![0.0; m * n] };
        for (at, c) in c.iter_mut().enumerate() {
            for block in (0..k).step_by(DEPTH) {
                let mut sum = 0f32;
                for s in block..(block + DEPTH).min(k) {
                    sum = a[at / n * k + s].mul_add(b[s * n + at % n], sum);
                }
                *c = if block == 0 && output == Output::Store { sum } else { *c + sum };
            }
        }
        c
    }

    fn transpose(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
        (0..rows * cols).map(|i| x[i % rows * cols + i / rows]).collect()
    }

    #[test]
    fn every_layout_thread_count_and_level_gives_the_defined_bits() {
        for shape @ [m, n, k] in [[1, 1, 1], [7, 63, 65], [65, 7, 257], [13, 33, 0], [97, 130, 600], [2, 4100, 3], [1160, 5, 9]] {
            let (a, b, old) = (numbers(1, m * k), numbers(2, k * n), numbers(3, m * n));
            let (a_t, b_t) = (transpose(&a, m, k), transpose(&b, k, n));
            let bytes: Vec<u8> = b.iter().flat_map(|v| v.to_le_bytes()).collect();
            for output in [Output::Store, Output::Add] {
                let want = plain(&a, &b, &old, shape, output);
                for (threads, level) in [(1, Level::Portable), (2, Level::Avx2), (3, Level::Avx512)] {
                    let device = device(threads, level);
                    let w = CpuWeight::new(&device, k, n, DType::F32, bytes.clone().into()).unwrap();
                    let lefts = [Matrix::new(&a, k), Matrix::new(&a_t, m).transposed()];
                    let rights =
                        [Right::Matrix(Matrix::new(&b, n)), Right::Matrix(Matrix::new(&b_t, k).transposed()), Right::Weight(&w, 0..k)];
                    for (i, left) in lefts.into_iter().enumerate() {
                        for (j, right) in rights.iter().enumerate() {
                            // Rows of C two elements apart, which stay as they are.
                            let stride = n + 2;
                            let mut c = vec![9.5f32; m * stride];
                            for (c, old) in c.chunks_exact_mut(stride).zip(old.chunks_exact(n)) {
                                c[..n].copy_from_slice(old);
                            }
                            gemm(&device, shape, left, right, &mut c, stride, output);
                            for (row, c) in c.chunks_exact(stride).enumerate() {
                                let want = &want[row * n..(row + 1) * n];
                                assert!(c[..n] == *want, "{shape:?} {output:?} {level:?} layouts {i} {j}, row {row}");
                                assert!(c[n..] == [9.5, 9.5], "wrote past row {row}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_nan_stays_in_its_row_and_column() {
        let device = device(2, Level::Avx512);
        let (mut a, b) = (numbers(1, 5 * 40), numbers(2, 40 * 50));
        a[2 * 40 + 7] = f32::NAN;
        let mut c = vec![0.0; 5 * 50];
        gemm(&device, [5, 50, 40], Matrix::new(&a, 40), &Right::Matrix(Matrix::new(&b, 50)), &mut c, 50, Output::Store);
        assert!(c.iter().enumerate().all(|(i, c)| c.is_nan() == (i / 50 == 2)));
    }
}

//! The canonical sum of `matmul.rs`, blocked for caches and registers.
//!
//! Sixteen lanes run along K, so both operands are read as they lie in memory. A register tile is some rows of x times
//! some rows of W; between K blocks its lanes are kept in memory, not folded, so that blocking changes no bit.

use std::cell::Cell;
use std::ops::Range;

use super::CpuDevice;
use super::dequant::{CpuWeight, dequantize_at};
use super::parallel::for_each_range;
use super::simd::Level;
#[cfg(target_arch = "x86_64")]
use super::sixteen::{Avx2, Avx512};
use super::sixteen::{Lanes, Portable};
use crate::DType;

/// Columns per K block: a tile's part of x (6 rows) and of W (4 rows) stay in the L1 cache together.
const K_BLOCK: usize = 1024;
/// Most rows of x in a block: their lanes (`X_BLOCK · W_BLOCK · 64` bytes) share the L2 cache with the block of W.
pub(crate) const X_BLOCK: usize = 96;
/// Most rows of W in a block.
const W_BLOCK: usize = 32;
/// Rows of W per work item; a block is made of whole items.
const W_ITEM: usize = 4;
/// Multiply-adds that are worth handing to another thread (some 10 µs).
const TASK: usize = 1 << 18;

/// Per-thread memory, kept between calls.
#[derive(Default)]
struct Scratch {
    /// Dequantised W: up to `W_BLOCK` rows of `K_BLOCK`.
    w: Vec<f32>,
    /// Unfolded lanes.
    lanes: Vec<f32>,
    /// Outputs of a block.
    z: Vec<f32>,
}

thread_local! {
    // Taken and put back, so that an unexpected nested use would only allocate anew.
    static SCRATCH: Cell<Scratch> = Cell::default();
}

fn at_least(memory: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    &mut memory[..len]
}

/// Rows of x, each padded with zeros to whole lanes.
pub(crate) struct Operand<'a> {
    rows: Vec<&'a [f32]>,
}

impl<'a> Operand<'a> {
    /// The given rows of `x` [_, k]. `padded` is filled and used only if k is not a multiple of 16.
    pub(crate) fn new(x: &'a [f32], k: usize, rows: impl Iterator<Item = usize>, padded: &'a mut Vec<f32>) -> Self {
        let width = k.next_multiple_of(16);
        if width == k {
            return Self { rows: rows.map(|row| &x[row * k..(row + 1) * k]).collect() };
        }
        for row in rows {
            padded.extend_from_slice(&x[row * k..(row + 1) * k]);
            padded.resize(padded.len().next_multiple_of(width), 0.0);
        }
        Self { rows: padded.chunks_exact(width).collect() }
    }

    /// Row `i` with its padding.
    pub(super) fn row(&self, i: usize) -> &[f32] {
        self.rows[i]
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// `emit(i, n, values)` gets the outputs of row i for the rows `w_rows.start + n ..` of W, each once, from any thread.
pub(crate) fn product(device: &CpuDevice, x: &Operand, w: &CpuWeight, w_rows: Range<usize>, emit: impl Fn(usize, usize, &[f32]) + Sync) {
    if x.len() == 0 {
        return;
    }
    let per_item = (W_ITEM * x.len() * w.cols).max(1);
    for_each_range(device, w_rows.len().div_ceil(W_ITEM), TASK.div_ceil(per_item), |items| {
        let range = items.start * W_ITEM..(items.end * W_ITEM).min(w_rows.len());
        // With few rows of x the dequantised block should fit in L1.
        let block = if x.len() <= 6 { 2 * W_ITEM } else { W_BLOCK };
        for n in range.clone().step_by(block) {
            let part = n..(n + block).min(range.end);
            for i in (0..x.len()).step_by(X_BLOCK) {
                let rows = i..(i + X_BLOCK).min(x.len());
                with_block(device.simd(), x, rows, w, w_rows.start + part.start..w_rows.start + part.end, |z| {
                    for (r, z) in z.chunks_exact(part.len()).enumerate() {
                        emit(i + r, n, z);
                    }
                });
            }
        }
    });
}

/// On this thread: `then(z)` with z [rows, w_rows], the canonical sums. At most [`X_BLOCK`] rows of x; any number of W.
pub(crate) fn with_block(level: Level, x: &Operand, rows: Range<usize>, w: &CpuWeight, w_rows: Range<usize>, then: impl FnOnce(&[f32])) {
    let mut scratch = SCRATCH.take();
    let mut z = std::mem::take(&mut scratch.z);
    let len = rows.len() * w_rows.len();
    block_into(level, &x.rows[rows], w, w_rows, &mut scratch, at_least(&mut z, len));
    then(&z[..len]);
    scratch.z = z;
    SCRATCH.set(scratch);
}

fn block_into(level: Level, x: &[&[f32]], w: &CpuWeight, w_rows: Range<usize>, scratch: &mut Scratch, z: &mut [f32]) {
    let (width, stride) = (w.cols.next_multiple_of(16), w_rows.len());
    if width == 0 || x.is_empty() {
        return z.fill(0.0);
    }
    assert!(x.iter().all(|row| row.len() == width) && z.len() == x.len() * stride);
    // Rows of whole lanes that follow each other are read where they lie: f32 always, half precision when it is converted only once.
    let source = match w.dtype {
        _ if width != w.cols || cfg!(target_endian = "big") || !w.is_one_piece(&w_rows) => None,
        DType::F32 => Some(F32),
        DType::BF16 if x.len() <= 6 => Some(BF16),
        DType::F16 if x.len() <= 6 => Some(F16),
        _ => None,
    };
    // Even K blocks of whole quantisation blocks. A single pass over x in L1 needs none, and long streams prefetch better.
    let k_block = match source {
        Some(_) if x.len() <= 6 => width,
        _ => width.div_ceil(width.div_ceil(K_BLOCK)).next_multiple_of(256).min(width),
    };
    for start in (0..stride).step_by(W_BLOCK) {
        let count = W_BLOCK.min(stride - start);
        let lanes = if k_block < width { at_least(&mut scratch.lanes, x.len() * count * 16).as_mut_ptr() } else { std::ptr::null_mut() };
        for k in (0..width).step_by(k_block) {
            let depth = k_block.min(width - k);
            let (w_start, w_stride) = if source.is_some() {
                (w.part(w_rows.start + start, k, k + depth).as_ptr(), w.cols * w.dtype.block_bytes())
            } else {
                let memory = at_least(&mut scratch.w, count * depth);
                let stored = depth.min(w.cols - k);
                for (row, out) in memory.chunks_exact_mut(depth).enumerate() {
                    dequantize_at(level, w.dtype, w.part(w_rows.start + start + row, k, k + stored), &mut out[..stored]);
                    out[stored..].fill(0.0);
                }
                (memory.as_ptr().cast::<u8>(), 4 * depth)
            };
            let job = Job {
                x,
                k,
                depth,
                w: w_start,
                w_stride,
                count,
                lanes,
                first: k == 0,
                last: k + depth == width,
                z: z[start..].as_mut_ptr(),
                z_stride: stride,
            };
            // SAFETY: `level` is one the host has. x rows hold k + depth f32; `w` holds `count` rows of `depth` elements of `source`;
            // `lanes` (if k_block < width) x.len() · count · 16; z x.len() rows at `z_stride`, of which `count` from `start` on.
            unsafe {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => avx512(&job, source.unwrap_or(F32)),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => avx2(&job, source.unwrap_or(F32)),
                    _ => run::<Portable>(&job, source.unwrap_or(F32)),
                }
            }
        }
    }
}

/// What a register tile reads W as.
type Source = u8;
const F32: Source = 0;
const BF16: Source = 1;
const F16: Source = 2;

/// One K block of a block of outputs. Pointers, since weights may be mapped at any alignment.
struct Job<'a> {
    x: &'a [&'a [f32]],
    k: usize,
    depth: usize,
    w: *const u8,
    /// Bytes from one row of `w` to the next.
    w_stride: usize,
    count: usize,
    lanes: *mut f32,
    first: bool,
    last: bool,
    z: *mut f32,
    z_stride: usize,
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn avx512(job: &Job, source: Source) {
    // SAFETY: passed on.
    unsafe { run::<Avx512>(job, source) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2(job: &Job, source: Source) {
    // SAFETY: passed on.
    unsafe { run::<Avx2>(job, source) }
}

#[inline(always)]
unsafe fn run<V: Lanes>(job: &Job, source: Source) {
    // SAFETY: passed on.
    unsafe {
        match source {
            BF16 => tiles::<V, BF16>(job),
            F16 => tiles::<V, F16>(job),
            _ => tiles::<V, F32>(job),
        }
    }
}

/// All register tiles of a job. A tile's x stays in L1 while the tiles of W pass.
#[inline(always)]
unsafe fn tiles<V: Lanes, const S: Source>(job: &Job) {
    let (tile_x, tile_w) = V::TILE;
    let mut i = 0;
    while i < job.x.len() {
        let m = tile_x.min(job.x.len() - i);
        let mut n = 0;
        while n < job.count {
            // SAFETY: the tile lies within the job.
            unsafe {
                if n + tile_w > job.count {
                    by_rows::<V, S, 1>(job, i, n, m);
                    n += 1;
                } else if tile_w == 4 {
                    by_rows::<V, S, 4>(job, i, n, m);
                    n += 4;
                } else {
                    by_rows::<V, S, 2>(job, i, n, m);
                    n += 2;
                }
            }
        }
        i += m;
    }
}

#[inline(always)]
unsafe fn by_rows<V: Lanes, const S: Source, const N: usize>(job: &Job, i: usize, n: usize, m: usize) {
    // SAFETY: passed on.
    unsafe {
        match (m, V::TILE.0) {
            (2, 2..) => tile::<V, S, 2, N>(job, i, n),
            (3, 3..) => tile::<V, S, 3, N>(job, i, n),
            (4, 4..) => tile::<V, S, 4, N>(job, i, n),
            (5, 5..) => tile::<V, S, 5, N>(job, i, n),
            (6, 6..) => tile::<V, S, 6, N>(job, i, n),
            _ => tile::<V, S, 1, N>(job, i, n),
        }
    }
}

#[inline(always)]
unsafe fn tile<V: Lanes, const S: Source, const M: usize, const N: usize>(job: &Job, i: usize, n: usize) {
    // SAFETY: `Job` says how far each pointer reaches; i + M ≤ x.len(), n + N ≤ count.
    unsafe {
        let x: [*const f32; M] = std::array::from_fn(|r| job.x.get_unchecked(i + r).as_ptr().add(job.k));
        let w: [*const u8; N] = std::array::from_fn(|c| job.w.add((n + c) * job.w_stride));
        let mut sum = [[V::zero(); N]; M];
        let kept = |r: usize, c: usize| job.lanes.add(((i + r) * job.count + n + c) * 16);
        if !job.first {
            for r in 0..M {
                for c in 0..N {
                    sum[r][c] = V::load(kept(r, c));
                }
            }
        }
        let mut k = 0;
        while k < job.depth {
            // Loops, not closures: a closure may be compiled without the caller's instructions.
            let mut columns = [V::zero(); N];
            for c in 0..N {
                columns[c] = match S {
                    BF16 => V::load_bf16(w[c].add(2 * k)),
                    F16 => V::load_f16(w[c].add(2 * k)),
                    _ => V::load(w[c].add(4 * k).cast()),
                };
            }
            for r in 0..M {
                let x = V::load(x[r].add(k));
                for c in 0..N {
                    sum[r][c] = sum[r][c].fma(x, columns[c]);
                }
            }
            k += 16;
        }
        for r in 0..M {
            let z = job.z.add((i + r) * job.z_stride + n);
            if !job.last {
                for c in 0..N {
                    sum[r][c].store(kept(r, c));
                }
            } else if N == 4 {
                let four = V::fold4(std::array::from_fn(|c| sum[r][c % N]));
                z.cast::<[f32; 4]>().write_unaligned(four);
            } else {
                for c in 0..N {
                    z.add(c).write(sum[r][c].fold());
                }
            }
        }
    }
}

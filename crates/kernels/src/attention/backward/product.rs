//! Matrix products of small tiles on the CPU, for gradients: C (=|+=) A B with lanes along the columns.
//!
//! An output is one chain of fused multiply-adds in ascending depth, continued from what C holds when it is added to. So its bits
//! depend neither on how rows, columns or depth were cut into tiles, nor on threads or SIMD level.

use crate::cpu::lanes::{Lanes, Vector, multiversion};

/// Rows of a register tile, at most.
const ROWS: usize = 6;

/// A [rows, depth]: element (row, k) is `values[row · row_stride + k · k_stride]`, so a transposed matrix needs no copy.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub values: &'a [f32],
    pub row_stride: usize,
    pub k_stride: usize,
}

/// B [depth, 16 · vectors]: row k starts at `values[k · stride]`.
#[derive(Clone, Copy)]
pub struct Right<'a> {
    pub values: &'a [Lanes],
    pub stride: usize,
}

/// How much of the operands a product takes.
#[derive(Clone, Copy)]
pub struct Extent {
    pub rows: usize,
    pub depth: usize,
    pub vectors: usize,
    /// `c += a b`; otherwise `c = a b`.
    pub add: bool,
}

multiversion! {
    /// `c (=|+=) a b`; row r of c starts at `c[r · c_stride]`. Panics if an operand is smaller than `extent` says.
    pub fn product(a: Left<'_>, b: Right<'_>, c: &mut [Lanes], c_stride: usize, extent: Extent) {
        tiles::<V>(a, b, c, c_stride, extent)
    }
}

/// Runs `$tile` with the constants R and N.
macro_rules! by_rows {
    ($rows:expr, $n:literal, $tile:expr) => {
        match $rows {
            1 => tile::<V, 1, $n>($tile),
            2 => tile::<V, 2, $n>($tile),
            3 => tile::<V, 3, $n>($tile),
            4 => tile::<V, 4, $n>($tile),
            5 => tile::<V, 5, $n>($tile),
            _ => tile::<V, 6, $n>($tile),
        }
    };
}

#[inline(always)]
fn tiles<V: Vector>(a: Left<'_>, b: Right<'_>, c: &mut [Lanes], c_stride: usize, extent: Extent) {
    let Extent { rows, depth, vectors, add } = extent;
    if rows == 0 || vectors == 0 {
        return;
    }
    assert!(depth == 0 || (rows - 1) * a.row_stride + (depth - 1) * a.k_stride < a.values.len());
    assert!(depth == 0 || (depth - 1) * b.stride + vectors <= b.values.len());
    assert!((rows - 1) * c_stride + vectors <= c.len());
    let mut n = 0;
    while n < vectors {
        let columns = match vectors - n {
            4.. if V::WIDE => 4,
            2.. if V::WIDE => 2,
            _ => 1,
        };
        let mut row = 0;
        while row < rows {
            let count = ROWS.min(rows - row);
            // SAFETY: the tile's rows, columns and depth lie within what the assertions above checked.
            unsafe {
                let job = Tile {
                    a: a.values.as_ptr().wrapping_add(row * a.row_stride),
                    row_stride: a.row_stride,
                    k_stride: a.k_stride,
                    b: b.values.as_ptr().wrapping_add(n),
                    b_stride: b.stride,
                    c: c.as_mut_ptr().add(row * c_stride + n),
                    c_stride,
                    depth,
                    add,
                };
                match columns {
                    4 => by_rows!(count, 4, &job),
                    2 => by_rows!(count, 2, &job),
                    _ => by_rows!(count, 1, &job),
                }
            }
            row += count;
        }
        n += columns;
    }
}

struct Tile {
    a: *const f32,
    row_stride: usize,
    k_stride: usize,
    b: *const Lanes,
    b_stride: usize,
    c: *mut Lanes,
    c_stride: usize,
    depth: usize,
    add: bool,
}

/// R rows by N vectors in registers.
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const N: usize>(job: &Tile) {
    // Loops, not closures: a closure may be compiled without the caller's instructions.
    // SAFETY: `tiles` checked how far each pointer reaches.
    unsafe {
        let mut sum = [[V::splat(0.0); N]; R];
        if job.add {
            for r in 0..R {
                for n in 0..N {
                    sum[r][n] = V::load(&*job.c.add(r * job.c_stride + n));
                }
            }
        }
        let (mut a, mut b) = (job.a, job.b);
        for _ in 0..job.depth {
            let mut columns = [V::splat(0.0); N];
            for n in 0..N {
                columns[n] = V::load(&*b.add(n));
            }
            for r in 0..R {
                let a = V::splat(*a.add(r * job.row_stride));
                for n in 0..N {
                    sum[r][n] = sum[r][n].fma(a, columns[n]);
                }
            }
            // The last step leaves them past the end, where nothing is read.
            a = a.wrapping_add(job.k_stride);
            b = b.wrapping_add(job.b_stride);
        }
        for r in 0..R {
            for n in 0..N {
                sum[r][n].store(&mut *job.c.add(r * job.c_stride + n));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::Level;

    fn numbers(seed: u32, count: usize) -> Vec<f32> {
        (0..count as u32).map(|i| ((i.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 16) as f32 / 32_768.0) - 1.0).collect()
    }

    fn lanes(values: &[f32]) -> Vec<Lanes> {
        values.chunks_exact(16).map(|values| Lanes(std::array::from_fn(|i| values[i]))).collect()
    }

    /// Against the chain itself, at every level, transposed and not, stored and added.
    #[test]
    fn is_the_chain_to_the_bit() {
        let level = crate::cpu::simd::level();
        for (rows, depth, vectors) in [(1, 1, 1), (6, 7, 4), (7, 5, 5), (13, 64, 8), (20, 3, 3), (64, 80, 4), (5, 0, 2)] {
            let (a, b, old) = (numbers(1, rows * depth), numbers(2, depth * vectors * 16), numbers(3, rows * vectors * 16));
            let wide = lanes(&b);
            for (transposed, add) in [(false, false), (false, true), (true, false), (true, true)] {
                let (row_stride, k_stride) = if transposed { (1, rows) } else { (depth, 1) };
                for level in [Level::Portable, Level::Avx2.min(level), level] {
                    let mut c = lanes(&old);
                    let left = Left { values: &a, row_stride, k_stride };
                    let extent = Extent { rows, depth, vectors, add };
                    product(level, left, Right { values: &wide, stride: vectors }, &mut c, vectors, extent);
                    let got: &[f32] = bytemuck::cast_slice(&c);
                    for (i, got) in got.iter().enumerate() {
                        let (row, column) = (i / (16 * vectors), i % (16 * vectors));
                        let start = if add { old[i] } else { 0.0 };
                        let chain = |sum: f32, k: usize| a[row * row_stride + k * k_stride].mul_add(b[k * vectors * 16 + column], sum);
                        assert_eq!(got.to_bits(), (0..depth).fold(start, chain).to_bits(), "{rows} {depth} {vectors} {transposed} {add}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "values.len()")]
    fn refuses_what_is_too_small() {
        let extent = Extent { rows: 2, depth: 2, vectors: 1, add: false };
        let b = [Lanes::ZERO; 2];
        product(
            Level::Portable,
            Left { values: &[0.0; 3], row_stride: 2, k_stride: 1 },
            Right { values: &b, stride: 1 },
            &mut [Lanes::ZERO; 2],
            1,
            extent,
        );
    }
}

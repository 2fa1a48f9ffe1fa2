//! A tile of query rows against one chunk of widened keys and values.

use super::super::{CHUNK_TOKENS, PAGE_TOKENS};
use crate::cpu::exp::{exp, exp_lanes};
use crate::cpu::lanes::{Lanes, multiversion};

/// Rows of a tile, at most.
pub const ROWS: usize = 6;
/// Vectors of keys in a page.
pub const PAGE_VECTORS: usize = PAGE_TOKENS / 16;
/// Vectors of keys in a chunk.
pub const CHUNK_VECTORS: usize = CHUNK_TOKENS / 16;
/// Accumulators that a step of `scores` has, at most.
pub const ACCUMULATORS: usize = ROWS * PAGE_VECTORS;

/// Runs `$call` with the constant `R` equal to the row count.
macro_rules! by_rows {
    ($rows:expr, $call:ident::<R $(, $rest:tt)*>($($arg:expr),*)) => {
        match $rows {
            1 => $call::<1 $(, $rest)*>($($arg),*),
            2 => $call::<2 $(, $rest)*>($($arg),*),
            3 => $call::<3 $(, $rest)*>($($arg),*),
            4 => $call::<4 $(, $rest)*>($($arg),*),
            5 => $call::<5 $(, $rest)*>($($arg),*),
            6 => $call::<6 $(, $rest)*>($($arg),*),
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
}

multiversion! {
    /// s[r][j] = q_r · k_j for the keys of the first `pages` pages. q: [rows][Dp], k: [page][Dp][32], s: [rows][256].
    pub fn scores(q: &[Lanes], k: &[Lanes], vectors: usize, pages: usize, lanes: &mut [Lanes], s: &mut [Lanes]) {
        let q: &[f32] = bytemuck::cast_slice(q);
        by_rows!(q.len() / (16 * vectors), score_tile::<R>(q, k, vectors, pages, lanes, s))
    }
}

#[inline(always)]
fn score_tile<const R: usize>(q: &[f32], k: &[Lanes], vectors: usize, pages: usize, lanes: &mut [Lanes], s: &mut [Lanes]) {
    let padded = 16 * vectors;
    let rows: [&[f32]; R] = std::array::from_fn(|r| &q[r * padded..][..padded]);
    let lanes: &mut [[[Lanes; PAGE_VECTORS]; R]] = by_lane(lanes);
    for page in 0..pages {
        let k = &k[page * PAGE_VECTORS * padded..][..PAGE_VECTORS * padded];
        // Partial sum `lane` of every (row, key) pair of the page.
        for lane in 0..16 {
            let mut sums = [[Lanes::ZERO; PAGE_VECTORS]; R];
            for step in 0..vectors {
                let d = 16 * step + lane;
                let keys = &k[PAGE_VECTORS * d..][..PAGE_VECTORS];
                for r in 0..R {
                    let q = rows[r][d];
                    for v in 0..PAGE_VECTORS {
                        sums[r][v].fma_scalar(&keys[v], q);
                    }
                }
            }
            lanes[lane] = sums;
        }
        // The canonical fold, 16 keys at a time.
        for r in 0..R {
            for v in 0..PAGE_VECTORS {
                let mut fold: [Lanes; 8] = std::array::from_fn(|l| lanes[l][r][v].add(&lanes[l + 8][r][v]));
                for width in [4, 2, 1] {
                    for l in 0..width {
                        fold[l] = fold[l].add(&fold[l + width]);
                    }
                }
                s[r * CHUNK_VECTORS + page * PAGE_VECTORS + v] = fold[0];
            }
        }
    }
}

/// The scratch as 16 lanes of [rows][vectors].
#[inline(always)]
fn by_lane<const R: usize>(lanes: &mut [Lanes]) -> &mut [[[Lanes; PAGE_VECTORS]; R]] {
    bytemuck::cast_slice_mut::<Lanes, [[Lanes; PAGE_VECTORS]; R]>(&mut lanes[..16 * R * PAGE_VECTORS])
}

multiversion! {
    /// Turns the scores of each row's first `lengths[r]` keys into p = e^(s·scale - m), and gives m and l = Σ p.
    pub fn soften(s: &mut [Lanes], lengths: &[usize], scale: f32, m: &mut [f32], l: &mut [f32]) {
        for (r, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let row = &mut s[r * CHUNK_VECTORS..][..length.div_ceil(16)];
            // Keys past the row's end, at most 15 of them, weigh nothing.
            if let Some(last) = row.last_mut() {
                for lane in 0..16 {
                    last.0[lane] = if (length - 1) / 16 * 16 + lane < length { last.0[lane] } else { f32::NEG_INFINITY };
                }
            }
            let mut top = Lanes::splat(f32::NEG_INFINITY);
            for s in row.iter_mut() {
                for lane in 0..16 {
                    s.0[lane] *= scale;
                    top.0[lane] = if s.0[lane] > top.0[lane] { s.0[lane] } else { top.0[lane] };
                }
            }
            let top = top.0.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let mut sum = Lanes::ZERO;
            for s in row.iter_mut() {
                for lane in 0..16 {
                    s.0[lane] -= top;
                }
                *s = exp_lanes(s);
                sum = sum.add(s);
            }
            (m[r], l[r]) = (top, sum.fold());
        }
    }
}

multiversion! {
    /// o[r] = Σ p[r][j] v_j over each row's first `lengths[r]` keys, in ascending j. v: [256][Dp], o: [rows][Dp].
    pub fn weighted_sum(p: &[Lanes], v: &[Lanes], vectors: usize, lengths: &[usize], o: &mut [Lanes]) {
        let p: &[f32] = bytemuck::cast_slice(p);
        let mut column = 0;
        while column < vectors {
            if WIDE && vectors - column >= 4 {
                by_rows!(lengths.len(), sum_tile::<R, 4>(p, v, vectors, column, lengths, o));
                column += 4;
            } else {
                by_rows!(lengths.len(), sum_tile::<R, 1>(p, v, vectors, column, lengths, o));
                column += 1;
            }
        }
    }
}

#[inline(always)]
fn sum_tile<const R: usize, const C: usize>(p: &[f32], v: &[Lanes], vectors: usize, column: usize, lengths: &[usize], o: &mut [Lanes]) {
    let weights: [&[f32]; R] = std::array::from_fn(|r| &p[r * CHUNK_TOKENS..][..CHUNK_TOKENS]);
    let mut sums = [[Lanes::ZERO; C]; R];
    // Rows are in order of position, so all of them see the first one's keys.
    for j in 0..lengths[0] {
        let values = &v[j * vectors + column..][..C];
        for r in 0..R {
            for c in 0..C {
                sums[r][c].fma_scalar(&values[c], weights[r][j]);
            }
        }
    }
    for r in 0..R {
        for j in lengths[0]..lengths[r] {
            for c in 0..C {
                sums[r][c].fma_scalar(&v[j * vectors + column + c], weights[r][j]);
            }
        }
        o[r * vectors + column..][..C].copy_from_slice(&sums[r]);
    }
}

multiversion! {
    /// Merges a later chunk's partial (o, m, l) into a state.
    pub fn merge(o: &mut [Lanes], m: &mut f32, l: &mut f32, o_next: &[Lanes], m_next: f32, l_next: f32) {
        let top = if m_next > *m { m_next } else { *m };
        let (old, new) = (exp(*m - top), exp(m_next - top));
        for (o, next) in o.iter_mut().zip(o_next) {
            for lane in 0..16 {
                o.0[lane] = o.0[lane].mul_add(old, next.0[lane] * new);
            }
        }
        *l = l.mul_add(old, l_next * new);
        *m = top;
    }
}

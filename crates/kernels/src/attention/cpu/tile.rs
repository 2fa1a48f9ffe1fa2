//! A tile of query rows against one chunk of widened keys and values.

use super::super::{CHUNK_TOKENS, PAGE_TOKENS};
use crate::cpu::exp::{exp, exp_lanes};
use crate::cpu::lanes::{Lanes, Vector, multiversion};
use crate::cpu::simd::fused;

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
    ($rows:expr, $call:ident::<$v:ident, R $(, $rest:tt)*>($($arg:expr),*)) => {
        match $rows {
            1 => $call::<$v, 1 $(, $rest)*>($($arg),*),
            2 => $call::<$v, 2 $(, $rest)*>($($arg),*),
            3 => $call::<$v, 3 $(, $rest)*>($($arg),*),
            4 => $call::<$v, 4 $(, $rest)*>($($arg),*),
            5 => $call::<$v, 5 $(, $rest)*>($($arg),*),
            6 => $call::<$v, 6 $(, $rest)*>($($arg),*),
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
}

multiversion! {
    /// s[r][j] = q_r · k_j for the keys of the first `pages` pages. q: [rows][Dp], k: [page][Dp][32], s: [rows][256].
    pub fn scores(q: &[Lanes], k: &[Lanes], vectors: usize, pages: usize, lanes: &mut [Lanes], s: &mut [Lanes]) {
        let q: &[f32] = bytemuck::cast_slice(q);
        by_rows!(q.len() / (16 * vectors), score_tile::<V, R>(q, k, vectors, pages, lanes, s))
    }
}

#[inline(always)]
fn score_tile<V: Vector, const R: usize>(q: &[f32], k: &[Lanes], vectors: usize, pages: usize, lanes: &mut [Lanes], s: &mut [Lanes]) {
    // Slices of known lengths and plain loops: closures and bounds checks would keep the sums out of registers.
    let q: &[[f32; 16]] = bytemuck::cast_slice(q);
    let mut rows = [&q[..vectors]; R];
    for r in 0..R {
        rows[r] = &q[r * vectors..][..vectors];
    }
    let lanes: &mut [[[Lanes; PAGE_VECTORS]; R]] = bytemuck::cast_slice_mut(&mut lanes[..16 * R * PAGE_VECTORS]);
    let lanes: &mut [[[Lanes; PAGE_VECTORS]; R]; 16] = match lanes.first_chunk_mut() {
        Some(lanes) => lanes,
        None => return,
    };
    // Per page, per 16 of its columns d: the vectors of keys of each.
    let k: &[[[Lanes; PAGE_VECTORS]; 16]] = bytemuck::cast_slice(&k[..pages * vectors * 16 * PAGE_VECTORS]);
    for (page, k) in k.chunks_exact(vectors).enumerate() {
        // Partial sum `lane` of every (row, key) pair of the page.
        for lane in 0..16 {
            let mut sums = [[V::splat(0.0); PAGE_VECTORS]; R];
            for step in 0..vectors {
                let keys = [V::load(&k[step][lane][0]), V::load(&k[step][lane][1])];
                for r in 0..R {
                    let q = V::splat(rows[r][step][lane]);
                    for v in 0..PAGE_VECTORS {
                        sums[r][v] = sums[r][v].fma(keys[v], q);
                    }
                }
            }
            for r in 0..R {
                for v in 0..PAGE_VECTORS {
                    sums[r][v].store(&mut lanes[lane][r][v]);
                }
            }
        }
        // The canonical fold, 16 keys at a time.
        for r in 0..R {
            for v in 0..PAGE_VECTORS {
                let mut fold = [V::splat(0.0); 8];
                for l in 0..8 {
                    fold[l] = V::load(&lanes[l][r][v]).add(V::load(&lanes[l + 8][r][v]));
                }
                for l in 0..4 {
                    fold[l] = fold[l].add(fold[l + 4]);
                }
                for l in 0..2 {
                    fold[l] = fold[l].add(fold[l + 2]);
                }
                fold[0].add(fold[1]).store(&mut s[r * CHUNK_VECTORS + page * PAGE_VECTORS + v]);
            }
        }
    }
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
            let mut top = Lanes([f32::NEG_INFINITY; 16]);
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
                for lane in 0..16 {
                    sum.0[lane] += s.0[lane];
                }
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
            if V::WIDE && vectors - column >= 4 {
                by_rows!(lengths.len(), sum_tile::<V, R, 4>(p, v, vectors, column, lengths, o));
                column += 4;
            } else {
                by_rows!(lengths.len(), sum_tile::<V, R, 1>(p, v, vectors, column, lengths, o));
                column += 1;
            }
        }
    }
}

#[inline(always)]
fn sum_tile<V: Vector, const R: usize, const C: usize>(
    p: &[f32],
    v: &[Lanes],
    vectors: usize,
    column: usize,
    lengths: &[usize],
    o: &mut [Lanes],
) {
    let mut weights = [&p[..CHUNK_TOKENS]; R];
    for r in 0..R {
        weights[r] = &p[r * CHUNK_TOKENS..][..CHUNK_TOKENS];
    }
    let mut sums = [[V::splat(0.0); C]; R];
    // Rows are in order of position, so all of them see the first one's keys.
    let shared = lengths[0].min(CHUNK_TOKENS);
    for (j, row) in v.chunks_exact(vectors).take(shared).enumerate() {
        let row = &row[column..column + C];
        let mut values = [V::splat(0.0); C];
        for c in 0..C {
            values[c] = V::load(&row[c]);
        }
        for r in 0..R {
            let weight = V::splat(weights[r][j]);
            for c in 0..C {
                sums[r][c] = sums[r][c].fma(values[c], weight);
            }
        }
    }
    for r in 0..R {
        for j in shared..lengths[r].min(CHUNK_TOKENS) {
            let weight = V::splat(weights[r][j]);
            for c in 0..C {
                sums[r][c] = sums[r][c].fma(V::load(&v[j * vectors + column + c]), weight);
            }
        }
        for c in 0..C {
            sums[r][c].store(&mut o[r * vectors + column + c]);
        }
    }
}

multiversion! {
    /// Merges a later chunk's partial (o, m, l) into a state.
    pub fn merge(o: &mut [Lanes], m: &mut f32, l: &mut f32, o_next: &[Lanes], m_next: f32, l_next: f32) {
        let top = if m_next > *m { m_next } else { *m };
        let (old, new) = (exp(*m - top), exp(m_next - top));
        for (o, next) in o.iter_mut().zip(o_next) {
            V::load(next).mul(V::splat(new)).fma(V::load(o), V::splat(old)).store(o);
        }
        *l = fused(*l, old, l_next * new);
        *m = top;
    }
}

//! What a query tile and a key tile are to each other, elementwise: the running softmax sums, and P and dS.

use super::keys::KEYS;
use crate::cpu::exp::{exp, exp_lanes};
use crate::cpu::lanes::{Lanes, multiversion};

/// Vectors in a row of a tile.
pub const VECTORS: usize = KEYS / 16;

multiversion! {
    /// Takes a tile of scores [rows][KEYS] into the rows' m = max s and l = Σ e^(s-m); row r sees its first `seen[r]` keys.
    /// A row that starts has l = 0. The scores are scaled here.
    pub fn fold(s: &mut [Lanes], seen: &[usize], scale: f32, m: &mut [f32], l: &mut [f32]) {
        for ((s, &seen), (m, l)) in s.chunks_exact_mut(VECTORS).zip(seen).zip(m.iter_mut().zip(l)) {
            if seen == 0 {
                continue;
            }
            for s in s.iter_mut() {
                for lane in 0..16 {
                    s.0[lane] *= scale;
                }
            }
            hide(s, seen, f32::NEG_INFINITY);
            let mut top = Lanes([f32::NEG_INFINITY; 16]);
            for s in s.iter() {
                for lane in 0..16 {
                    // A NaN is passed over here and comes back through its exponential.
                    top.0[lane] = if s.0[lane] > top.0[lane] { s.0[lane] } else { top.0[lane] };
                }
            }
            let mut tile_m = f32::NEG_INFINITY;
            for lane in 0..16 {
                tile_m = if top.0[lane] > tile_m { top.0[lane] } else { tile_m };
            }
            let mut sum = Lanes::ZERO;
            for s in s.iter() {
                let mut x = *s;
                for lane in 0..16 {
                    x.0[lane] -= tile_m;
                }
                let e = exp_lanes(&x);
                for lane in 0..16 {
                    sum.0[lane] += e.0[lane];
                }
            }
            let tile_l = sum.fold();
            if *l == 0.0 {
                (*m, *l) = (tile_m, tile_l);
            } else {
                let both = if tile_m > *m { tile_m } else { *m };
                *l = l.mul_add(exp(*m - both), tile_l * exp(tile_m - both));
                *m = both;
            }
        }
    }
}

multiversion! {
    /// Scores become P = e^(s · scale - lse), and dP becomes dS · scale = P (dP - delta) · scale; 0 past the `seen[r]` keys of row r.
    pub fn gradients(s: &mut [Lanes], dp: &mut [Lanes], seen: &[usize], scale: f32, lse: &[f32], delta: &[f32]) {
        for (row, (s, dp)) in s.chunks_exact_mut(VECTORS).zip(dp.chunks_exact_mut(VECTORS)).take(seen.len()).enumerate() {
            let (lse, delta) = (lse[row], delta[row]);
            for (s, dp) in s.iter_mut().zip(dp.iter_mut()).take(seen[row].div_ceil(16)) {
                let mut x = *s;
                for lane in 0..16 {
                    x.0[lane] = s.0[lane].mul_add(scale, -lse);
                }
                let p = exp_lanes(&x);
                for lane in 0..16 {
                    dp.0[lane] = p.0[lane] * (dp.0[lane] - delta) * scale;
                }
                *s = p;
            }
            hide(s, seen[row], 0.0);
            hide(dp, seen[row], 0.0);
        }
    }
}

/// Overwrites the keys from `seen` on, whose contents may be anything.
#[inline(always)]
fn hide(row: &mut [Lanes], seen: usize, with: f32) {
    if seen < KEYS {
        bytemuck::cast_slice_mut::<_, f32>(row)[seen..].fill(with);
    }
}

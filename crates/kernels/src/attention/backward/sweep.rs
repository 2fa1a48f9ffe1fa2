//! One sweep over the key tiles of a (family, kv head).

use std::ops::Range;

use super::super::KvShape;
use super::super::cpu::Layer;
use super::cpu::Task;
use super::family::{Family, KeyTile};
use super::keys::{KEYS, Keys, pad, unpad};
use super::product::{Extent, Left, Right, product};
use super::tile::{VECTORS, fold, gradients};
use crate::cpu::lanes::Lanes;
use crate::cpu::parallel::SharedMut;
use crate::cpu::simd::Level;

/// What a sweep computes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    Lse,
    Dq,
    Dkv,
    All,
}

/// lse and delta [R, Hq]. During a sweep for them they hold m and l.
pub enum Statistics<'a> {
    /// Every task has its own (row, kv head) pairs.
    Shared(SharedMut<'a, f32>, SharedMut<'a, f32>),
    /// Only read, by any number of tasks.
    Known(&'a [f32], &'a [f32]),
}

impl Statistics<'_> {
    fn load(&self, place: Range<usize>, lse: &mut [f32], delta: &mut [f32]) {
        let (from_lse, from_delta) = match self {
            // SAFETY: no other task has this place.
            Self::Shared(lse, delta) => unsafe { (&*lse.slice(place.clone()), &*delta.slice(place)) },
            Self::Known(lse, delta) => (&lse[place.clone()], &delta[place]),
        };
        lse.copy_from_slice(from_lse);
        delta.copy_from_slice(from_delta);
    }

    fn save(&self, place: Range<usize>, from_lse: &[f32], from_delta: &[f32]) {
        if let Self::Shared(lse, delta) = self {
            // SAFETY: no other task has this place.
            unsafe {
                lse.slice(place.clone()).copy_from_slice(from_lse);
                delta.slice(place).copy_from_slice(from_delta);
            }
        }
    }
}

/// One call of `backward`.
pub struct Call<'a> {
    pub level: Level,
    pub q: &'a [f32],
    pub out: &'a [f32],
    pub dout: &'a [f32],
    pub layer: &'a Layer,
    pub shape: &'a KvShape,
    pub scale: f32,
    /// Hq · D.
    pub width: usize,
    /// Query heads of one kv head.
    pub group: usize,
    /// Vectors that hold D values.
    pub vectors: usize,
    /// Positions of a query tile.
    pub positions: usize,
    pub dq: SharedMut<'a, f32>,
    pub dk: SharedMut<'a, f32>,
    pub dv: SharedMut<'a, f32>,
}

impl Call<'_> {
    pub fn sweep(&self, task: &Task, family: &Family, goal: Goal, statistics: &Statistics<'_>, scratch: &mut Scratch) {
        scratch.resize(self.positions * self.group, self.vectors);
        for tile in &family.tiles[task.keys.clone()] {
            let end = tile.end.min(task.rows.end);
            if tile.first.max(task.rows.start) >= end {
                continue;
            }
            self.load_keys(task, tile, goal, &mut scratch.keys);
            // The first query tile whose last row sees the tile's first key.
            let skipped = tile.first.saturating_sub(task.rows.start) / self.positions * self.positions;
            for start in (task.rows.start + skipped..end).step_by(self.positions) {
                self.pair(task, family, start..(start + self.positions).min(end), tile, goal, statistics, scratch);
            }
            if matches!(goal, Goal::Dkv | Goal::All) {
                self.store_keys(task, family, tile, &scratch.keys);
            }
        }
        if goal == Goal::Lse {
            task.rows.clone().for_each(|row| self.finish(task, family, row, statistics, scratch));
        }
    }

    /// A query tile against a key tile.
    fn pair(
        &self,
        task: &Task,
        family: &Family,
        rows: Range<usize>,
        keys: &KeyTile,
        goal: Goal,
        statistics: &Statistics<'_>,
        scratch: &mut Scratch,
    ) {
        let (dim, vectors, count) = (self.shape.head_dim, self.vectors, rows.len() * self.group);
        let Scratch { q, dout, dq, s, dp, seen, lse, delta, keys: tile } = scratch;
        // A span's first key tile, or its stem's, is the first that a row sees.
        let begins = keys.first == 0;
        let visible = (keys.first + keys.count).min(rows.end) - keys.first;
        for (r, seen) in seen[..count].iter_mut().enumerate() {
            *seen = (rows.start + r / self.group + 1).saturating_sub(keys.first).min(visible);
        }
        for (row, (lse, delta)) in rows.clone().zip(lse.chunks_exact_mut(self.group).zip(delta.chunks_exact_mut(self.group))) {
            statistics.load(self.statistics(task, family, row), lse, delta);
        }
        let seen = &seen[..count];
        let columns = visible.div_ceil(16);
        let by_keys = |add| Extent { rows: count, depth: dim, vectors: columns, add };
        let rows_of = |values| Left { values: bytemuck::cast_slice(values), row_stride: vectors * 16, k_stride: 1 };
        let transposed = |values| Right { values, stride: VECTORS };

        self.load_rows(self.q, task, family, rows.clone(), q);
        product(self.level, rows_of(q), transposed(&tile.kt), s, VECTORS, by_keys(false));
        if goal == Goal::Lse {
            if begins {
                delta.fill(0.0);
            }
            // lse and delta hold m and l until the last key tile.
            fold(self.level, &mut s[..count * VECTORS], seen, self.scale, &mut lse[..count], &mut delta[..count]);
            for (row, (lse, delta)) in rows.zip(lse.chunks_exact(self.group).zip(delta.chunks_exact(self.group))) {
                statistics.save(self.statistics(task, family, row), lse, delta);
            }
            return;
        }
        self.load_rows(self.dout, task, family, rows.clone(), dout);
        product(self.level, rows_of(dout), transposed(&tile.vt), dp, VECTORS, by_keys(false));
        gradients(self.level, &mut s[..count * VECTORS], &mut dp[..count * VECTORS], seen, self.scale, lse, delta);
        let (p, ds): (&[f32], &[f32]) = (bytemuck::cast_slice(s), bytemuck::cast_slice(dp));
        let by_columns = |values| Right { values, stride: vectors };
        if goal != Goal::Dq {
            let extent = Extent { rows: visible, depth: count, vectors, add: true };
            let turned = |values| Left { values, row_stride: 1, k_stride: KEYS };
            product(self.level, turned(p), by_columns(dout), &mut tile.dv, vectors, extent);
            product(self.level, turned(ds), by_columns(q), &mut tile.dk, vectors, extent);
        }
        if goal != Goal::Dkv {
            if !begins {
                for (row, to) in rows.clone().zip(dq.chunks_exact_mut(self.group * vectors)) {
                    // SAFETY: (row, kv head) belongs to this task alone.
                    pad(unsafe { self.dq.slice(self.place(task, family, row)) }, dim, to, vectors);
                }
            }
            let extent = Extent { rows: count, depth: visible, vectors, add: !begins };
            product(self.level, Left { values: ds, row_stride: KEYS, k_stride: 1 }, by_columns(&tile.k), dq, vectors, extent);
            for (row, from) in rows.zip(dq.chunks_exact(self.group * vectors)) {
                // SAFETY: as above.
                unpad(from, vectors, unsafe { self.dq.slice(self.place(task, family, row)) }, dim);
            }
        }
    }

    /// Where the group of a position lies in q, out and their gradients.
    pub fn place(&self, task: &Task, family: &Family, row: usize) -> Range<usize> {
        let start = (family.row + row) * self.width + task.kv_head * self.group * self.shape.head_dim;
        start..start + self.group * self.shape.head_dim
    }

    /// Where the group of a position lies in lse and delta.
    fn statistics(&self, task: &Task, family: &Family, row: usize) -> Range<usize> {
        let start = (family.row + row) * (self.width / self.shape.head_dim) + task.kv_head * self.group;
        start..start + self.group
    }

    fn load_rows(&self, from: &[f32], task: &Task, family: &Family, rows: Range<usize>, to: &mut [Lanes]) {
        for (row, to) in rows.zip(to.chunks_exact_mut(self.group * self.vectors)) {
            pad(&from[self.place(task, family, row)], self.shape.head_dim, to, self.vectors);
        }
    }

    /// lse = m + log l, delta = ⟨dout, out⟩.
    fn finish(&self, task: &Task, family: &Family, row: usize, statistics: &Statistics<'_>, scratch: &mut Scratch) {
        let (lse, delta) = (&mut scratch.lse[..self.group], &mut scratch.delta[..self.group]);
        statistics.load(self.statistics(task, family, row), lse, delta);
        let (dim, place) = (self.shape.head_dim, self.place(task, family, row));
        let heads = self.out[place.clone()].chunks_exact(dim).zip(self.dout[place].chunks_exact(dim));
        for ((lse, delta), (out, dout)) in lse.iter_mut().zip(&mut *delta).zip(heads) {
            *lse = (f64::from(*lse) + f64::from(*delta).ln()) as f32;
            *delta = out.iter().zip(dout).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32;
        }
        statistics.save(self.statistics(task, family, row), lse, delta);
    }
}

/// A thread's working memory: tiles, their rows padded to whole lanes.
#[derive(Default)]
pub struct Scratch {
    /// [positions · group][vectors]
    q: Vec<Lanes>,
    dout: Vec<Lanes>,
    dq: Vec<Lanes>,
    /// [positions · group][KEYS]
    s: Vec<Lanes>,
    dp: Vec<Lanes>,
    /// Of every row: keys seen, lse, delta.
    seen: Vec<usize>,
    lse: Vec<f32>,
    delta: Vec<f32>,
    keys: Keys,
}

impl Scratch {
    fn resize(&mut self, rows: usize, vectors: usize) {
        for tile in [&mut self.q, &mut self.dout, &mut self.dq] {
            tile.clear(); // the padding of another width is not zero
            tile.resize(rows * vectors, Lanes::ZERO);
        }
        for tile in [&mut self.s, &mut self.dp] {
            tile.resize(rows * VECTORS, Lanes::ZERO);
        }
        self.seen.resize(rows, 0);
        self.lse.resize(rows, 0.0);
        self.delta.resize(rows, 0.0);
        self.keys.resize(vectors);
    }
}

//! A tile of keys and values out of the cache's pages, and its gradients.

use super::super::PAGE_TOKENS;
use super::cpu::Task;
use super::family::{Family, KeyTile};
use super::sweep::{Call, Goal};
use super::tile::VECTORS;
use crate::cpu::lanes::Lanes;

/// Keys of a tile: two pages.
pub const KEYS: usize = 2 * PAGE_TOKENS;

/// A tile of keys and values, zero past the span's end.
#[derive(Default)]
pub struct Keys {
    /// [D][KEYS]
    pub kt: Vec<Lanes>,
    pub vt: Vec<Lanes>,
    /// [KEYS][vectors]
    pub k: Vec<Lanes>,
    pub dk: Vec<Lanes>,
    pub dv: Vec<Lanes>,
    /// One page as the cache widens it: keys [D padded][32], values [32][D padded].
    page_k: Vec<Lanes>,
    page_v: Vec<Lanes>,
}

impl Keys {
    pub fn resize(&mut self, vectors: usize) {
        for tile in [&mut self.kt, &mut self.vt] {
            tile.resize(vectors * 16 * VECTORS, Lanes::ZERO);
        }
        self.k.clear(); // the padding of another width is not zero
        for tile in [&mut self.k, &mut self.dk, &mut self.dv] {
            tile.resize(KEYS * vectors, Lanes::ZERO);
        }
        for tile in [&mut self.page_k, &mut self.page_v] {
            tile.resize(PAGE_TOKENS * vectors, Lanes::ZERO);
        }
    }
}

impl Call<'_> {
    /// Widens the tile's pages into what `goal` needs of them.
    pub fn load_keys(&self, task: &Task, tile: &KeyTile, goal: Goal, keys: &mut Keys) {
        let (dim, vectors, count) = (self.shape.head_dim, self.vectors, tile.count);
        if count < KEYS {
            for part in [&mut keys.kt, &mut keys.vt, &mut keys.k] {
                part.fill(Lanes::ZERO);
            }
        }
        for (half, &page) in tile.pages.iter().enumerate() {
            self.layer.widen(self.level, page as usize * self.shape.kv_heads + task.kv_head, &mut keys.page_k, &mut keys.page_v);
            let (start, used) = (half * PAGE_TOKENS, (count - half * PAGE_TOKENS).min(PAGE_TOKENS));
            let page_k: &[f32] = bytemuck::cast_slice(&keys.page_k);
            let page_v: &[f32] = bytemuck::cast_slice(&keys.page_v);
            let kt: &mut [f32] = bytemuck::cast_slice_mut(&mut keys.kt);
            for d in 0..dim {
                kt[d * KEYS + start..][..used].copy_from_slice(&page_k[d * PAGE_TOKENS..][..used]);
            }
            if goal == Goal::Lse {
                continue;
            }
            let vt: &mut [f32] = bytemuck::cast_slice_mut(&mut keys.vt);
            for d in 0..dim {
                for j in 0..used {
                    vt[d * KEYS + start + j] = page_v[j * vectors * 16 + d];
                }
            }
            if goal != Goal::Dkv {
                let k: &mut [f32] = bytemuck::cast_slice_mut(&mut keys.k);
                for j in 0..used {
                    for d in 0..dim {
                        k[(start + j) * vectors * 16 + d] = page_k[d * PAGE_TOKENS + j];
                    }
                }
            }
        }
        keys.dk.fill(Lanes::ZERO);
        keys.dv.fill(Lanes::ZERO);
    }

    pub fn store_keys(&self, task: &Task, family: &Family, tile: &KeyTile, keys: &Keys) {
        let (dim, kv_heads) = (self.shape.head_dim, self.shape.kv_heads);
        for (i, row) in (tile.first..tile.first + tile.count).enumerate() {
            let start = ((family.row + row) * kv_heads + task.kv_head) * dim;
            for (from, to) in [(&keys.dk, &self.dk), (&keys.dv, &self.dv)] {
                // SAFETY: the key tile belongs to this task alone.
                unpad(&from[i * self.vectors..], self.vectors, unsafe { to.slice(start..start + dim) }, dim);
            }
        }
    }
}

/// Rows of `dim` values into rows of whole lanes, whose padding stays.
pub fn pad(from: &[f32], dim: usize, to: &mut [Lanes], vectors: usize) {
    for (from, to) in from.chunks_exact(dim).zip(to.chunks_exact_mut(vectors)) {
        bytemuck::cast_slice_mut::<_, f32>(to)[..dim].copy_from_slice(from);
    }
}

/// The way back.
pub fn unpad(from: &[Lanes], vectors: usize, to: &mut [f32], dim: usize) {
    for (from, to) in from.chunks_exact(vectors).zip(to.chunks_exact_mut(dim)) {
        to.copy_from_slice(&bytemuck::cast_slice::<_, f32>(from)[..dim]);
    }
}

//! The output head on the CPU: tiles of the vocabulary shared out to the threads, merged in order.

use crate::cpu::exact::{Operand, X_BLOCK, with_block};
use crate::cpu::exp::exp;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::simd::Level;
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{KernelError, Result, Tensor};

/// Vocabulary rows per tile. Fixed: it decides the order of the sums.
const TILE: usize = 512;
/// Rows whose partial results are kept at once (32 bytes for every tile of each).
const ROWS: usize = 5 * X_BLOCK;
/// Partial sums within a tile.
const LANES: usize = 8;

/// A stretch of the vocabulary: m = max z, s = Σ e^(z-m), u = Σ z e^(z-m), k = Σ e^(z-m) over the kept tokens: s where all are.
#[derive(Clone, Copy)]
struct Partial {
    m: f32,
    s: f64,
    u: f64,
    k: f64,
}

/// What a row says of its target, with everything kept and with what its cut leaves.
pub struct Distribution {
    pub logprob: f32,
    pub entropy: f32,
    pub lse: f32,
    pub kept_logprob: f32,
    pub kept_lse: f32,
    pub mass: f32,
    pub dropped: bool,
}

impl Partial {
    const EMPTY: Self = Self { m: f32::NEG_INFINITY, s: 0.0, u: 0.0, k: 0.0 };

    fn merge(self, other: Self) -> Self {
        if self.s == 0.0 {
            return other;
        }
        if other.s == 0.0 {
            return self;
        }
        let m = self.m.max(other.m);
        let (a, b) = (f64::from(self.m - m).exp(), f64::from(other.m - m).exp());
        Self { m, s: self.s * a + other.s * b, u: self.u * a + other.u * b, k: self.k * a + other.k * b }
    }

    /// The end of a row whose target has the logit `z`.
    fn finish(mut self, z: f32, temperature: f32, cut: f32) -> Distribution {
        let dropped = z < cut;
        let (z, m) = (f64::from(z / temperature), f64::from(self.m));
        if dropped {
            self.k += (z - m).exp();
        }
        let log_sum = m + self.s.ln();
        // Nothing is left where the target alone is kept, far below the others.
        let kept_log_sum = if self.k == 0.0 { z } else { m + self.k.ln() };
        Distribution {
            logprob: (z - log_sum) as f32,
            entropy: (log_sum - self.u / self.s) as f32,
            lse: log_sum as f32,
            kept_logprob: (z - kept_log_sum) as f32,
            kept_lse: kept_log_sum as f32,
            mass: (self.k / self.s) as f32,
            dropped,
        }
    }
}

/// What softmax(z/τ) of logits that are already there says of `target`: the head's own tiles and order, so that what sampling reports
/// is to the bit what the head recomputes.
pub fn distribution(level: Level, logits: &[f32], temperature: f32, cut: f32, target: usize) -> Distribution {
    let all = logits.chunks(TILE).fold(Partial::EMPTY, |sum, tile| sum.merge(reduce(level, tile, temperature, cut)));
    all.finish(logits[target], temperature, cut)
}

pub fn forward(
    device: &CpuDevice,
    x: &Tensor,
    w: &CpuWeight,
    targets: &Tensor,
    temperature: f32,
    cuts: Option<&Tensor>,
    out: &mut super::HeadOutput,
    rows: usize,
) -> Result<()> {
    const OP: &str = "head";
    let targets = &targets.u32s(OP)?[..rows];
    if let Some(row) = targets.iter().position(|&id| id as usize >= w.rows) {
        let message = format!("target {} of row {row} is out of range: the vocabulary has {} rows", targets[row], w.rows);
        return Err(KernelError::Value { op: OP, message });
    }
    let cuts = cuts.map(|cuts| cuts.f32s(OP)).transpose()?;
    if let Some(row) = cuts.and_then(|cuts| cuts[..rows].iter().position(|cut| cut.is_nan())) {
        return Err(KernelError::Value { op: OP, message: format!("the cut of row {row} is NaN") });
    }
    let cut = |row: usize| cuts.map_or(f32::MIN, |cuts| cuts[row]);
    let x = x.f32s(OP)?;
    let (logprob, entropy, lse) = (out.logprob.f32s_mut(OP)?, out.entropy.f32s_mut(OP)?, out.lse.f32s_mut(OP)?);
    let (kept_lse, mass, dropped) = (out.kept_lse.f32s_mut(OP)?, out.mass.f32s_mut(OP)?, out.dropped.u32s_mut(OP)?);
    let tiles = w.rows.div_ceil(TILE);
    for start in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - start);
        let targets = &targets[start..start + count];
        let mut padded = Vec::new();
        let operand = Operand::new(x, w.cols, start..start + count, &mut padded);
        let mut partials = vec![Partial::EMPTY; tiles * count];
        let mut target_z = vec![0f32; count];
        let (shared, shared_z) = (SharedMut::new(&mut partials), SharedMut::new(&mut target_z));
        for_each_range(device, tiles, 1, |range| {
            for tile in range {
                let vocabulary = tile * TILE..((tile + 1) * TILE).min(w.rows);
                // SAFETY: each tile is one item.
                let partials = unsafe { shared.slice(tile * count..(tile + 1) * count) };
                for i in (0..count).step_by(X_BLOCK) {
                    let block = i..(i + X_BLOCK).min(count);
                    with_block(device.simd(), &operand, block.clone(), w, vocabulary.clone(), |z| {
                        for (row, z) in block.zip(z.chunks_exact(vocabulary.len())) {
                            partials[row] = reduce(device.simd(), z, temperature, cut(start + row));
                            let target = targets[row] as usize;
                            if vocabulary.contains(&target) {
                                // SAFETY: a row's target is in one tile only.
                                let slot = unsafe { shared_z.slice(row..row + 1) };
                                slot[0] = z[target - vocabulary.start];
                            }
                        }
                    });
                }
            }
        });
        for row in 0..count {
            let all = (0..tiles).fold(Partial::EMPTY, |sum, tile| sum.merge(partials[tile * count + row]));
            let at = start + row;
            let said = all.finish(target_z[row], temperature, cut(at));
            (lse[at], entropy[at]) = (said.lse, said.entropy);
            logprob[at] = if cuts.is_some() { said.kept_logprob } else { said.logprob };
            if cuts.is_some() {
                (kept_lse[at], mass[at], dropped[at]) = (said.kept_lse, said.mass, u32::from(said.dropped));
            }
        }
    }
    Ok(())
}

/// A cut of `f32::MIN` keeps all and has the bits of a search for what is kept.
fn reduce(level: Level, z: &[f32], temperature: f32, cut: f32) -> Partial {
    match (level, cut > f32::MIN) {
        // SAFETY: a device's level is one the host has.
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, false) => unsafe { reduce_avx512::<false>(z, temperature, cut) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Level::Avx512, true) => unsafe { reduce_avx512::<true>(z, temperature, cut) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Level::Avx2, false) => unsafe { reduce_avx2::<false>(z, temperature, cut) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Level::Avx2, true) => unsafe { reduce_avx2::<true>(z, temperature, cut) },
        (_, false) => reduce_any::<false>(z, temperature, cut),
        (_, true) => reduce_any::<true>(z, temperature, cut),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn reduce_avx512<const CUT: bool>(z: &[f32], temperature: f32, cut: f32) -> Partial {
    reduce_any::<CUT>(z, temperature, cut)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn reduce_avx2<const CUT: bool>(z: &[f32], temperature: f32, cut: f32) -> Partial {
    reduce_any::<CUT>(z, temperature, cut)
}

/// One tile of one row, in independent lanes: the same bits however it is compiled.
#[inline(always)]
fn reduce_any<const CUT: bool>(z: &[f32], temperature: f32, cut: f32) -> Partial {
    let mut scaled = [f32::NEG_INFINITY; TILE];
    let mut maxima = [f32::NEG_INFINITY; LANES];
    let scaled = &mut scaled[..z.len()];
    for (to, z) in scaled.iter_mut().zip(z) {
        *to = z / temperature;
    }
    let (chunks, rest) = scaled.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            // A NaN is passed over here and comes back through its exponential.
            maxima[l] = if chunk[l] > maxima[l] { chunk[l] } else { maxima[l] };
        }
    }
    let m = maxima.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &z| m.max(z));
    if m == f32::NEG_INFINITY && scaled.iter().all(|z| *z == m) {
        return Partial::EMPTY; // a tile without mass; -∞ - -∞ would make it NaN
    }
    let (mut s, mut u, mut k) = ([0f64; LANES], [0f64; LANES], [0f64; LANES]);
    let (raw_chunks, raw_rest) = z.as_chunks::<LANES>();
    // Not "at least": a NaN is kept, and seen.
    let kept = |z: f32, e: f64| if z < cut { 0.0 } else { e };
    for (chunk, raw) in chunks.iter().zip(raw_chunks) {
        for l in 0..LANES {
            let e = f64::from(exp(chunk[l] - m));
            s[l] += e;
            // A logit of -∞ has no mass: 0 · -∞ must not count.
            u[l] += if e == 0.0 { 0.0 } else { f64::from(chunk[l]) * e };
            if CUT {
                k[l] += kept(raw[l], e);
            }
        }
    }
    for (l, (&z, &raw)) in rest.iter().zip(raw_rest).enumerate() {
        let e = f64::from(exp(z - m));
        s[l] += e;
        u[l] += if e == 0.0 { 0.0 } else { f64::from(z) * e };
        if CUT {
            k[l] += kept(raw, e);
        }
    }
    let whole = s.iter().sum();
    Partial { m, s: whole, u: u.iter().sum(), k: if CUT { k.iter().sum() } else { whole } }
}

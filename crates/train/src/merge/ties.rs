//! TIES: trim, elect a sign, merge (arXiv 2306.01708), as mergekit's `ties` computes it.
//!
//! With δ_m = model_m − base of a tensor: each model keeps its k = ⌊density · elements⌋ largest |δ| (one at least, unless the density is 0);
//! an element's sign is that of Σ_m w_m δ_m, + for 0; merged = base + Σ w δ over those w δ that have it, divided by their Σ w where
//! the merge is normalised.

use super::pieces::{Piece, Stack};
use super::sce::agrees;
use super::select::{Counted, Kept, largest};
use crate::export::Result;

pub(super) fn merge(
    stack: &Stack,
    weights: &[f64],
    density: &[f64],
    normalize: bool,
    take: impl FnMut(Vec<f32>) -> Result<()>,
) -> Result<()> {
    let kept = density.iter().enumerate().map(|(model, &density)| trim(&stack.only(model), density)).collect::<Result<Vec<_>>>()?;
    let weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
    stack.pass(|piece| merged(&weighted(piece, &kept, &weights), &weights, normalize), take)
}

/// What a model keeps of its deltas.
fn trim(stack: &Stack, density: f64) -> Result<Kept> {
    if density >= 1.0 {
        return Ok(Kept::ALL);
    }
    if density <= 0.0 {
        return Ok(Kept::NONE);
    }
    let size = |piece: Piece| piece.into_deltas().models.remove(0).into_iter().map(f32::abs).collect();
    largest(stack, size, |Counted { all, .. }| ((density * all as f64) as u64).max(1))
}

/// w δ, 0 where δ is not kept.
fn weighted(piece: Piece, kept: &[Kept], weights: &[f32]) -> Piece {
    let mut deltas = piece.into_deltas();
    let start = deltas.start;
    for ((model, kept), weight) in deltas.models.iter_mut().zip(kept).zip(weights) {
        for (at, delta) in model.iter_mut().enumerate() {
            *delta = if kept.keeps(delta.abs(), start + at) { *delta * weight } else { 0.0 };
        }
    }
    deltas
}

fn merged(deltas: &Piece, weights: &[f32], normalize: bool) -> Vec<f32> {
    let of = |at: usize| {
        let is_positive = deltas.of(at).sum::<f32>() >= 0.0;
        let (mut sum, mut divisor) = (0.0f32, 0.0f32);
        for (delta, weight) in deltas.of(at).zip(weights).filter(|(delta, _)| agrees(*delta, is_positive)) {
            sum += delta;
            divisor += weight;
        }
        deltas.base[at] + if normalize && divisor != 0.0 { sum / divisor } else { sum }
    };
    (0..deltas.base.len()).map(of).collect()
}

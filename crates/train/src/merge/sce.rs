//! SCE: select, calculate, erase (FuseChat, arXiv 2408.07990, §3.3), as mergekit's `sce` computes it.
//!
//! With δ_m = model_m − base of a tensor:
//! 1. select: the k elements whose δ vary most between the models, k = ⌊topk · elements with any variance⌋; the other δ are 0;
//! 2. calculate: w_m = mean δ_m² / Σ mean δ², one number for a model and tensor;
//! 3. erase: an element's sign is that of Σ_m δ_m, + for 0; δ of another sign, 0 included, do not count;
//! 4. merged = base + Σ w δ / Σ w over what counts.

use super::pieces::{Piece, Stack};
use super::select::{Kept, largest};
use crate::export::Result;

pub(super) fn merge(stack: &Stack, topk: f64, take: impl FnMut(Vec<f32>) -> Result<()>) -> Result<()> {
    let kept = match topk < 1.0 {
        true => largest(stack, |piece| variances(&piece.into_deltas().models), |counted| count(topk, counted.above_zero))?,
        false => Kept::ALL,
    };
    let mut squares = vec![0.0; stack.models.len()];
    stack.pass(
        |piece| squared(&selected(piece, kept)),
        |of_piece| {
            squares.iter_mut().zip(of_piece).for_each(|(sum, square)| *sum += square);
            Ok(())
        },
    )?;
    let elements = stack.elements().max(1) as f64;
    let weights = weights(&squares.iter().map(|sum| sum / elements).collect::<Vec<_>>());
    stack.pass(|piece| fused(&selected(piece, kept), &weights), take)
}

/// ⌊topk · count⌋. The product is rounded to f32, as mergekit's is: 0.29 of 100 are 29, not 28.
fn count(topk: f64, above_zero: u64) -> u64 {
    ((above_zero as f32 * topk as f32) as u64).min(above_zero)
}

/// Of every element the mean of (δ − mean δ)² over the models (population variance). `deltas`: each model's, all of one length.
pub fn variances(deltas: &[Vec<f32>]) -> Vec<f32> {
    let (elements, models) = (deltas.first().map_or(0, Vec::len), deltas.len() as f64);
    // Model by model rather than element by element: loops that vectorise.
    let (mut means, mut sums) = (vec![0.0f64; elements], vec![0.0f64; elements]);
    for model in deltas {
        means.iter_mut().zip(model).for_each(|(mean, delta)| *mean += f64::from(*delta));
    }
    means.iter_mut().for_each(|mean| *mean /= models);
    for model in deltas {
        let each = sums.iter_mut().zip(&means).zip(model);
        each.for_each(|((sum, mean), delta)| *sum += (f64::from(*delta) - mean) * (f64::from(*delta) - mean));
    }
    sums.into_iter().map(|sum| (sum / models) as f32).collect()
}

/// Deltas, 0 where they are not kept.
fn selected(piece: Piece, kept: Kept) -> Piece {
    let mut deltas = piece.into_deltas();
    if kept != Kept::ALL {
        let keeps: Vec<bool> =
            variances(&deltas.models).into_iter().enumerate().map(|(at, score)| kept.keeps(score, deltas.start + at)).collect();
        for model in &mut deltas.models {
            model.iter_mut().zip(&keeps).filter(|(_, keeps)| !**keeps).for_each(|(delta, _)| *delta = 0.0);
        }
    }
    deltas
}

/// Σ δ² of each model.
fn squared(deltas: &Piece) -> Vec<f64> {
    deltas.models.iter().map(|model| model.iter().map(|&delta| f64::from(delta).powi(2)).sum()).collect()
}

/// Weights that sum to 1, from each model's mean squared selected delta. However small those are they decide; only if their sum is
/// exactly 0, and there is nothing to merge, are the weights equal.
pub fn weights(mean_squares: &[f64]) -> Vec<f32> {
    let sum: f64 = mean_squares.iter().sum();
    let equal = 1.0 / mean_squares.len().max(1) as f64;
    mean_squares.iter().map(|square| if sum == 0.0 { equal } else { square / sum } as f32).collect()
}

fn fused(deltas: &Piece, weights: &[f32]) -> Vec<f32> {
    (0..deltas.base.len()).map(|at| deltas.base[at] + agreed(deltas.of(at), weights)).collect()
}

/// Σ w δ / Σ w over the deltas with the sign of Σ δ.
fn agreed(deltas: impl Iterator<Item = f32> + Clone, weights: &[f32]) -> f32 {
    let is_positive = deltas.clone().sum::<f32>() >= 0.0;
    let (mut sum, mut divisor) = (0.0f32, 0.0f32);
    for (delta, weight) in deltas.zip(weights).filter(|(delta, _)| agrees(*delta, is_positive)) {
        sum += weight * delta;
        divisor += weight;
    }
    sum / if divisor == 0.0 { 1.0 } else { divisor }
}

/// Whether a delta has the sign; 0 has none.
pub(super) fn agrees(delta: f32, is_positive: bool) -> bool {
    if is_positive { delta > 0.0 } else { delta < 0.0 }
}

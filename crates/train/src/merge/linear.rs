//! Σ w·model, divided by Σ w where the merge is normalised (model soups, arXiv 2203.05482), as mergekit's `linear` computes it.

use super::pieces::{Piece, Stack};
use crate::export::Result;

pub(super) fn merge(stack: &Stack, weights: &[f64], normalize: bool, take: impl FnMut(Vec<f32>) -> Result<()>) -> Result<()> {
    let weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
    let divisor: f32 = if normalize { weights.iter().sum() } else { 1.0 };
    let mean = |piece: Piece| {
        let of = |at: usize| piece.of(at).zip(&weights).fold(0.0f32, |sum, (value, weight)| sum + value * weight) / divisor;
        (0..piece.base.len()).map(of).collect()
    };
    stack.pass(mean, take)
}

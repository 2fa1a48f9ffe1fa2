//! What each token weighs in the loss (eq. 4): with one update a batch the ratio is 1, and the gradient that of
//!
//! ```text
//! L = − 1/groups · Σ_groups 1/(tokens of the group) · Σ_i A_i · Σ_t log π(y_i,t)     (Norm::Group)
//! L = − 1/(tokens of the batch) · Σ_i A_i · Σ_t log π(y_i,t)                         (Norm::Batch)
//! ```
//!
//! so ∂L/∂(log π of a token) is one number for all tokens of a row. The denominators are those of the whole batch, before anything is masked,
//! clipped or cut into micro-batches.

use std::collections::HashMap;

/// What a token's weight is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Norm {
    /// The tokens of its group, and the number of groups (the paper).
    #[default]
    Group,
    /// The tokens of the batch: verl's "token-mean", where a group with long rollouts counts more.
    Batch,
}

/// A rollout, or one turn of one: the turns of a trajectory are rows of the same group and advantage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Rollouts of one prompt.
    pub group: &'a str,
    /// 0 where it is masked or nothing sets it apart.
    pub advantage: f64,
    /// Its tokens that carry loss.
    pub tokens: usize,
}

/// ∂L/∂(log π) of every token of each row. `rows` are all of the batch, those of advantage 0 too: their tokens count in the denominators.
pub fn weights(rows: &[Row<'_>], norm: Norm) -> Vec<f64> {
    let mut tokens: HashMap<&str, usize> = HashMap::new();
    for row in rows {
        *tokens.entry(row.group).or_default() += row.tokens;
    }
    let (groups, all) = (tokens.len() as f64, tokens.values().sum::<usize>() as f64);
    let weight = |row: &Row<'_>| match norm {
        // No −0: what has no advantage is exactly 0. A row without tokens has none to weigh.
        _ if row.advantage == 0.0 || row.tokens == 0 => 0.0,
        Norm::Group => -row.advantage / tokens[row.group] as f64 / groups,
        Norm::Batch => -row.advantage / all,
    };
    rows.iter().map(weight).collect()
}

/// A row's weight for each of its tokens, 0 where [`clip`](super::clip) left one out.
pub fn spread(weight: f64, keep: &[bool]) -> Vec<f32> {
    keep.iter().map(|&keep| if keep { weight as f32 } else { 0.0 }).collect()
}

//! Which negative gradients are left out by their entropy: the study of §4.3.
//!
//! ```text
//! I(i, t) = 0  where  A_i < 0  and  H(t | i) > τ            (tokens)
//!                                or mean_t H(t | i) > τ     (sequences)
//! ```
//!
//! or below τ for the low-entropy side. The paper prints no τ; a quantile of the batch's own entropies needs none. Two controls say how much
//! of an effect is due to which gradients are left out rather than how many: as many at random, and all of them.

use crate::sft::random;

/// What is left out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Single tokens, by their entropy.
    Token,
    /// Whole sequences, by the mean entropy of their tokens.
    Sequence,
}

/// Where high ends and low begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// So many nats.
    Value(f64),
    /// The q-quantile, in [0, 1], of the units of this batch's negatives, interpolated linearly between neighbours (numpy's default): at
    /// 0.8 the high side is the fifth with the most entropy.
    Quantile(f64),
}

/// How many are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// This share of the negatives' units, in [0, 1], rounded to a whole number.
    Share(f64),
    /// So many, or all where there are fewer.
    Count(usize),
}

/// Which of the negatives' units are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    /// Those above the threshold.
    High(Threshold),
    /// Those below it.
    Low(Threshold),
    /// A control: some at random.
    Random(Amount),
    /// A control: all, so that only positives count.
    All,
}

/// The rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// What is left out together.
    pub unit: Unit,
    /// Which.
    pub which: Which,
}

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Clipped {
    /// For each sequence, whether each of its tokens counts. Those of sequences without a negative advantage all do.
    pub keep: Vec<Vec<bool>>,
    /// The threshold that was used, in nats; `None` where the rule has none, or the batch no negative to take a quantile of.
    pub threshold: Option<f64>,
    /// Units of negatives.
    pub negatives: usize,
    /// Those that were left out.
    pub clipped: usize,
}

impl Clip {
    /// The tokens of a batch that count. `entropies` holds one list for each advantage: of every token that carries loss, in nats, finite.
    /// A sequence without tokens is no unit. `seed` and `step` settle what the random control draws.
    pub fn keep(&self, advantages: &[f64], entropies: &[&[f32]], seed: u64, step: u64) -> Clipped {
        assert_eq!(advantages.len(), entropies.len(), "a list of entropies for each advantage");
        let negatives = (0..advantages.len()).filter(|&row| advantages[row] < 0.0);
        // (row, token or all of them, entropy)
        let units: Vec<(usize, Option<usize>, f64)> = match self.unit {
            Unit::Token => negatives
                .flat_map(|row| entropies[row].iter().enumerate().map(move |(token, &entropy)| (row, Some(token), f64::from(entropy))))
                .collect(),
            Unit::Sequence => negatives.filter(|&row| !entropies[row].is_empty()).map(|row| (row, None, mean(entropies[row]))).collect(),
        };
        let threshold = match self.which {
            Which::High(Threshold::Value(value)) | Which::Low(Threshold::Value(value)) => Some(value),
            Which::High(Threshold::Quantile(q)) | Which::Low(Threshold::Quantile(q)) => {
                quantile(units.iter().map(|&(.., entropy)| entropy).collect(), q)
            }
            Which::Random(_) | Which::All => None,
        };
        let drawn = match self.which {
            Which::Random(amount) => draw(units.len(), amount, seed, step),
            _ => Vec::new(),
        };
        let out = |at: usize, entropy: f64| match self.which {
            Which::High(_) => threshold.is_some_and(|threshold| entropy > threshold),
            Which::Low(_) => threshold.is_some_and(|threshold| entropy < threshold),
            Which::Random(_) => drawn[at],
            Which::All => true,
        };
        let mut keep: Vec<Vec<bool>> = entropies.iter().map(|tokens| vec![true; tokens.len()]).collect();
        let mut clipped = 0;
        for (at, &(row, token, entropy)) in units.iter().enumerate() {
            if out(at, entropy) {
                clipped += 1;
                match token {
                    Some(token) => keep[row][token] = false,
                    None => keep[row].fill(false),
                }
            }
        }
        Clipped { keep, threshold, negatives: units.len(), clipped }
    }
}

/// Of f32 values, summed in f64.
fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

/// The q-quantile, linear between neighbours; `None` of nothing.
fn quantile(mut values: Vec<f64>, q: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    values.sort_by(f64::total_cmp);
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(values[below] + (values[above] - values[below]) * (place - below as f64))
}

/// Which of `count` are drawn, each as likely as any other: the first steps of Fisher and Yates' shuffle.
fn draw(count: usize, amount: Amount, seed: u64, step: u64) -> Vec<bool> {
    let wanted = match amount {
        Amount::Share(share) => (share.clamp(0.0, 1.0) * count as f64).round() as usize,
        Amount::Count(wanted) => wanted.min(count),
    };
    let mut order: Vec<usize> = (0..count).collect();
    let mut drawn = vec![false; count];
    for at in 0..wanted {
        let rest = (count - at) as u128;
        let pick = at + ((u128::from(random(seed, step, at as u64)) * rest) >> 64) as usize;
        order.swap(at, pick);
        drawn[order[at]] = true;
    }
    drawn
}

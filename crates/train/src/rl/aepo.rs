//! Adaptive entropy-controlled policy optimization (§4.4): while the policy's entropy is too high, only positive advantages move it.
//!
//! ```text
//! H(π, B) = 1/|B| · Σ_i 1/|y_i| · Σ_t H(π(· | y_i,<t))                (eq. 11: a mean over sequences of mean token entropies)
//! H > high: negatives are masked, from this batch on, until H < low
//! ```
//!
//! So there is a state, one bit. The public repository's first code had none (it masked while low < H < high); [`Mode::Band`] keeps that
//! rule for comparison.

use data::AepoState;

/// Batches after which thresholds that were not given are set.
pub const SETTLING: usize = 10;

/// When negatives are masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// From a batch with H > high to the first with H < low (the paper).
    #[default]
    Latch,
    /// In batches with low < H < high, and rewards that are not positive as well: the public repository's first code.
    Band,
    /// Never.
    Off,
}

/// Both thresholds, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Below it masking ends.
    pub low: f64,
    /// Above it masking begins; not below `low`.
    pub high: f64,
}

/// How AEPO is run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Settings {
    /// When negatives are masked.
    pub mode: Mode,
    /// `None`: they follow from the first [`SETTLING`] batches, see [`Thresholds::of_start`].
    pub thresholds: Option<Thresholds>,
}

impl Thresholds {
    /// From the entropies of a run's first batches, with m their median (at least 0.01) and s their deviation:
    ///
    /// ```text
    /// low  = 1.05 · m
    /// high = max(1.7 · m, low + 4 · s)
    /// ```
    ///
    /// The paper prints no numbers. Its figure 11 starts at 0.123, masks from 0.28, 0.25 and about 0.19 on, and ends at 0.13 each time:
    /// low is 1.06 times the start, high 1.5 to 2.3 times. This rule gives 0.129 and 0.209 there. Where batches are so small that their
    /// entropy scatters, 4 s keeps chance from setting the latch. A policy of less than 0.01 nats is not what masking is for.
    pub fn of_start(entropies: &[f64]) -> Option<Self> {
        let mut sorted = entropies.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (count, middle) = (sorted.len(), sorted.len() / 2);
        let median = match count {
            0 => return None,
            _ if count % 2 == 1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        let mean = sorted.iter().sum::<f64>() / count as f64;
        let squares: f64 = sorted.iter().map(|entropy| (entropy - mean) * (entropy - mean)).sum();
        let deviation = (squares / (count.max(2) - 1) as f64).sqrt();
        let start = median.max(0.01);
        let low = 1.05 * start;
        Some(Self { low, high: (1.7 * start).max(low + 4.0 * deviation) })
    }
}

/// A kept state that does not fit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the kept state of AEPO cannot be gone on from: {0}")]
pub struct StateError(String);

/// The rule with its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Aepo {
    mode: Mode,
    state: AepoState,
}

/// A batch's advantages after masking.
#[derive(Clone, Debug, PartialEq)]
pub struct Masked {
    /// Which rows' advantages became 0.
    pub masked: Vec<bool>,
    /// No advantage other than 0 is left: there is nothing to learn from, and the optimizer step is not to be taken.
    pub skip: bool,
}

impl Aepo {
    /// Before the first batch.
    pub fn new(settings: &Settings) -> Self {
        let thresholds = settings.thresholds;
        let state = AepoState { low: thresholds.map(|t| t.low), high: thresholds.map(|t| t.high), ..AepoState::default() };
        Self { mode: settings.mode, state }
    }

    /// As it was left. Thresholds that the settings give replace kept ones.
    pub fn from_state(settings: &Settings, state: AepoState) -> Result<Self, StateError> {
        let refuse = |what: &str| Err(StateError(what.into()));
        if state.low.is_some() != state.high.is_some() {
            return refuse("it has one threshold of two");
        }
        let numbers = state.seen.iter().chain(&state.low).chain(&state.high);
        if numbers.into_iter().any(|number| !number.is_finite()) {
            return refuse("it has numbers that are not finite");
        }
        if state.low > state.high {
            return refuse("its low threshold is above its high one");
        }
        if state.seen.len() > SETTLING || (state.low.is_none() && state.seen.len() == SETTLING) {
            return refuse("its entropies do not go with its thresholds");
        }
        let mut aepo = Self { mode: settings.mode, state };
        if let Some(Thresholds { low, high }) = settings.thresholds {
            (aepo.state.low, aepo.state.high) = (Some(low), Some(high));
        }
        Ok(aepo)
    }

    /// What a checkpoint keeps.
    pub fn state(&self) -> AepoState {
        self.state.clone()
    }

    /// The thresholds, once there are any.
    pub fn thresholds(&self) -> Option<Thresholds> {
        Some(Thresholds { low: self.state.low?, high: self.state.high? })
    }

    /// Whether the negatives of the batch with this entropy (eq. 11) are masked; to be asked once a batch, before its update. The first
    /// [`SETTLING`] batches, from which thresholds follow, are not masked. An entropy that is not finite changes nothing.
    pub fn decide(&mut self, entropy: f64) -> bool {
        if self.mode == Mode::Off {
            return false;
        }
        if !entropy.is_finite() {
            return self.state.masking;
        }
        let Some(Thresholds { low, high }) = self.thresholds() else {
            self.state.seen.push(entropy);
            if self.state.seen.len() >= SETTLING
                && let Some(Thresholds { low, high }) = Thresholds::of_start(&self.state.seen)
            {
                (self.state.low, self.state.high) = (Some(low), Some(high));
            }
            return false;
        };
        self.state.masking = match self.mode {
            Mode::Latch if entropy > high => true,
            Mode::Latch if entropy < low => false,
            Mode::Latch => self.state.masking,
            Mode::Band => low < entropy && entropy < high,
            Mode::Off => false,
        };
        self.state.masking
    }

    /// Whether a masked batch loses this row. A row of advantage 0 has nothing to lose.
    pub fn masks(&self, advantage: f64, reward: f64) -> bool {
        advantage < 0.0 || (self.mode == Mode::Band && advantage > 0.0 && !(reward > 0.0))
    }

    /// Zeroes what a batch loses where `masking` is what [`decide`](Self::decide) said of it. The rows stay: they count in every
    /// denominator as before. `rewards` are as long as `advantages`.
    pub fn mask(&self, masking: bool, advantages: &mut [f64], rewards: &[f64]) -> Masked {
        assert_eq!(advantages.len(), rewards.len(), "a reward for each advantage");
        let masked: Vec<bool> = advantages.iter().zip(rewards).map(|(&a, &reward)| masking && self.masks(a, reward)).collect();
        for (advantage, _) in advantages.iter_mut().zip(&masked).filter(|(_, masked)| **masked) {
            *advantage = 0.0;
        }
        Masked { masked, skip: advantages.iter().all(|&advantage| advantage == 0.0) }
    }
}

/// H of a batch (eq. 11): the mean over sequences of their mean token entropies. `None` without a sequence.
pub fn batch_entropy(sequences: &[f64]) -> Option<f64> {
    (!sequences.is_empty()).then(|| sequences.iter().sum::<f64>() / sequences.len() as f64)
}

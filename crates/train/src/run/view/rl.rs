//! An update of reinforcement learning, as part of the line.

use std::fmt;

use data::{RlStep, TrainEvent};

/// What the line says of an update.
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// `None`: no rollout has one.
    reward: Option<f32>,
    entropy: f32,
    thresholds: Option<(f32, f32)>,
    masking: bool,
    /// Tokens of a completion.
    length: f64,
    /// What is told only when it happens: (name, share).
    shares: [(&'static str, f64); 4],
    skipped: bool,
    pub rollouts_share: Option<f64>,
}

impl Update {
    pub fn of(step: &RlStep) -> Self {
        let share = |count: u64, of: u64| count as f64 / of.max(1) as f64;
        let seconds = TrainEvent::Rl(RlStep { tasks: vec![], ..step.clone() }).seconds();
        Self {
            reward: (step.failed < step.rollouts).then_some(step.reward),
            entropy: step.entropy,
            thresholds: step.thresholds,
            masking: step.masking,
            length: share(step.completion_tokens, step.rollouts),
            shares: [
                ("masked", share(step.masked, step.rollouts)),
                ("zero-var", share(step.zero_variance, step.groups)),
                ("cut off", share(step.truncated, step.rollouts)),
                ("no reward", share(step.failed, step.rollouts)),
            ],
            skipped: step.skipped.is_some(),
            rollouts_share: (seconds > 0.0).then(|| f64::from(step.rollout_seconds) / seconds),
        }
    }

    pub fn write(&self, f: &mut fmt::Formatter, held_out: Option<f32>) -> fmt::Result {
        match self.reward {
            Some(reward) => write!(f, "  reward {reward:.3}")?,
            None => f.write_str("  reward ?")?,
        }
        if let Some(held_out) = held_out {
            write!(f, " (held-out {held_out:.3})")?;
        }
        write!(f, "  H {}", nats(self.entropy))?;
        if let Some((low, high)) = self.thresholds {
            write!(f, " [{}, {}]", nats(low), nats(high))?;
        }
        f.write_str(if self.masking { " masking" } else { "" })?;
        write!(f, "  len {:.0}", self.length)?;
        for (name, share) in self.shares.iter().filter(|(_, share)| *share > 0.0) {
            write!(f, "  {name} {}", percent(*share))?;
        }
        f.write_str(if self.skipped { "  nothing learnt" } else { "" })
    }
}

/// Two decimals, and more of little.
fn nats(entropy: f32) -> String {
    if entropy < 0.1 { format!("{entropy:.4}") } else { format!("{entropy:.2}") }
}

/// Tokens that the rollouts of a step drew in a second.
pub fn rollout_rate(step: &RlStep) -> Option<f32> {
    (step.rollout_seconds > 0.0).then(|| step.completion_tokens as f32 / step.rollout_seconds)
}

/// `12 %`, `0.4 %`; only nothing is `0 %`, and only all is `100 %`.
pub fn percent(share: f64) -> String {
    let hundredths = 100.0 * share;
    match hundredths {
        value if value > 0.0 && value < 0.1 => "<0.1 %".into(),
        value if value > 0.0 && value < 1.0 => format!("{value:.1} %"),
        value if value < 100.0 => format!("{:.0} %", value.min(99.0)),
        value => format!("{value:.0} %"),
    }
}

//! A run as one line that changes: what a terminal shows while it goes on. Values in, text out; the binary gives it to its progress bar, or
//! prints the events themselves (`--json`: [`super::events::line`]).

mod rl;

use std::fmt;

use data::TrainEvent;

use rl::Update;
pub use rl::{percent, rollout_rate};

/// Steps that time left is estimated from.
const RECENT: usize = 32;

/// The latest of a run: `step 120/1000  loss 2.314  validation 2.291  grad norm 0.82  1,840 tok/s  12m 05s left  3.1 GiB`; of reinforcement
/// learning `step 12/200  reward 0.412 (held-out 0.380)  H 0.31 [0.13, 0.28] masking  len 57  masked 12 %  zero-var 25 %  1,840 tok/s
/// rollouts 71 %  12m 05s left  3.1 GiB`, with the tokens that rollouts draw in a second and their share of the time.
#[derive(Clone, Debug, Default)]
pub struct Line {
    steps: u64,
    step: u64,
    loss: Option<f32>,
    grad_norm: Option<f32>,
    rate: Option<f32>,
    memory: u64,
    validation: Option<f32>,
    /// The latest update of reinforcement learning.
    rl: Option<Update>,
    held_out: Option<f32>,
    /// Seconds of the latest steps.
    recent: std::collections::VecDeque<f64>,
    /// Steps seen, and seconds of the validations and checkpoints since the first of them.
    seen: (u64, f64),
    /// Seconds of a validation before the first step, until another tells how often there is one: the last step has one at least.
    ahead: f64,
}

impl Line {
    /// Of a run of `steps` steps, of which `taken` are behind it.
    pub fn new(steps: u64, taken: u64) -> Self {
        Self { steps, step: taken, ..Self::default() }
    }

    /// Takes in an event.
    pub fn update(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Started(start) => self.steps = start.steps,
            TrainEvent::Step(step) => {
                (self.step, self.memory) = (step.step, step.peak_memory);
                (self.loss, self.grad_norm, self.rate) = (Some(step.loss), Some(step.grad_norm), Some(step.tokens_per_second));
            }
            TrainEvent::Rl(step) => {
                (self.step, self.memory) = (step.step, step.peak_memory);
                (self.rate, self.rl) = (rollout_rate(step), Some(Update::of(step)));
            }
            TrainEvent::Resumed { step, .. } => self.step = *step,
            TrainEvent::Validation { loss, .. } => self.validation = Some(*loss),
            TrainEvent::RlValidation(validation) => self.held_out = Some(validation.reward),
            _ => {}
        }
        self.count(event);
    }

    fn count(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Step(_) | TrainEvent::Rl(_) => {
                if self.recent.len() == RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back(event.seconds());
                self.seen.0 += 1;
            }
            _ if self.seen.0 > 0 => {
                self.seen.1 += event.seconds();
                if matches!(event, TrainEvent::Validation { .. } | TrainEvent::RlValidation(_)) {
                    self.ahead = 0.0;
                }
            }
            TrainEvent::Validation { .. } | TrainEvent::RlValidation(_) => self.ahead = event.seconds(),
            _ => {}
        }
    }

    /// Steps taken.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Estimated seconds until all steps are taken, validations and checkpoints included; `None` before the first.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.steps.saturating_sub(self.step);
        if self.recent.is_empty() {
            return None;
        }
        let step = self.recent.iter().sum::<f64>() / self.recent.len() as f64;
        let between = self.seen.1 / self.seen.0.max(1) as f64;
        Some(left as f64 * (step + between) + if left > 0 { self.ahead } else { 0.0 })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "step {}/{}", self.step, self.steps)?;
        match (&self.rl, self.held_out) {
            (Some(update), held_out) => update.write(f, held_out)?,
            (None, Some(held_out)) => write!(f, "  held-out {held_out:.3}")?,
            (None, None) => {}
        }
        for (name, value, decimals) in [("loss", self.loss, 3), ("validation", self.validation, 3), ("grad norm", self.grad_norm, 2)] {
            if let Some(value) = value {
                write!(f, "  {name} {value:.decimals$}")?;
            }
        }
        if let Some(rate) = self.rate {
            write!(f, "  {} tok/s", rate_text(rate))?;
        }
        if let Some(share) = self.rl.as_ref().and_then(|update| update.rollouts_share) {
            write!(f, "  rollouts {}", percent(share))?;
        }
        if let Some(left) = self.seconds_left() {
            write!(f, "  {} left", duration(left))?;
        }
        if self.memory > 0 {
            write!(f, "  {}", bytes(self.memory))?;
        }
        Ok(())
    }
}

/// A rate with as many digits as say something: `0.84`, `12.5`, `1,840`.
fn rate_text(rate: f32) -> String {
    match rate {
        rate if !rate.is_finite() => rate.to_string(),
        rate if rate < 10.0 => format!("{rate:.2}"),
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => grouped(rate.round() as u64),
    }
}

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `42s`, `3m 05s`, `2h 10m`, `3d 04h`; a time that is no number is `?`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    let all = seconds.round() as u64;
    let (days, hours, minutes) = (all / 86_400, all / 3600 % 24, all / 60 % 60);
    match all {
        0..60 => format!("{all}s"),
        60..3600 => format!("{minutes}m {:02}s", all % 60),
        3600..86_400 => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

/// `512 MiB`, `3.1 GiB`
pub fn bytes(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    if bytes >= GIB { format!("{:.1} GiB", bytes as f64 / GIB as f64) } else { format!("{} MiB", bytes.div_ceil(1 << 20)) }
}

#[cfg(test)]
mod tests {
    use data::{RlStep, TrainStep};

    use super::*;

    fn step(step: u64, seconds: f32) -> TrainEvent {
        TrainEvent::Step(TrainStep {
            step,
            loss: 2.3141,
            grad_norm: 0.818,
            lr: 1e-4,
            tokens: 100,
            loss_tokens: 50,
            seconds,
            tokens_per_second: 1840.3,
            peak_memory: 3_300_000_000,
            mfu: None,
        })
    }

    #[test]
    fn the_line_says_where_the_run_is() {
        let mut line = Line::new(1000, 118);
        assert_eq!(line.to_string(), "step 118/1000");
        line.update(&step(119, 0.5));
        line.update(&TrainEvent::Validation { step: 119, loss: 2.2905, tokens: 10, perplexity: 9.9, seconds: 0.2 });
        line.update(&step(120, 0.7));
        // Two steps and a validation took 1.4 s; 880 steps are left.
        assert!((line.seconds_left().unwrap() - 880.0 * 0.7).abs() < 1e-3);
        let said = "step 120/1000  loss 2.314  validation 2.290  grad norm 0.82  1,840 tok/s  10m 16s left  3.1 GiB";
        assert_eq!(line.to_string(), said);
    }

    #[test]
    fn old_steps_do_not_slow_the_estimate() {
        let mut line = Line::new(200, 0);
        (1..=100).for_each(|n| line.update(&step(n, if n <= 50 { 100.0 } else { 1.0 })));
        assert_eq!(line.seconds_left(), Some(100.0));
    }

    fn update(step: u64) -> RlStep {
        RlStep {
            step,
            reward: 0.4118,
            entropy: 0.312,
            thresholds: Some((0.131, 0.279)),
            masking: true,
            rollouts: 64,
            negatives: 30,
            masked: 8,
            groups: 8,
            zero_variance: 2,
            completion_tokens: 3648,
            rollout_seconds: 7.1,
            reward_seconds: 0.4,
            update_seconds: 2.5,
            peak_memory: 3_300_000_000,
            ..RlStep::default()
        }
    }

    fn held_out(step: u64, seconds: f32) -> TrainEvent {
        TrainEvent::RlValidation(data::RlValidation { step, reward: 0.38, seconds, ..Default::default() })
    }

    #[test]
    fn the_line_of_reinforcement_learning_says_what_matters() {
        let mut line = Line::new(200, 0);
        line.update(&held_out(0, 60.0));
        assert_eq!(line.to_string(), "step 0/200  held-out 0.380");
        line.update(&TrainEvent::Rl(update(1)));
        // Another validation is to come at the end, at least.
        assert_eq!(line.seconds_left(), Some(199.0 * 10.0 + 60.0));
        (2..=12).for_each(|n| line.update(&TrainEvent::Rl(update(n))));
        line.update(&held_out(12, 24.0));
        assert!((line.seconds_left().unwrap() - 188.0 * 12.0).abs() < 1e-3, "ten seconds a step, and two of validations");
        let said = "step 12/200  reward 0.412 (held-out 0.380)  H 0.31 [0.13, 0.28] masking  len 57  masked 12 %  zero-var 25 %  514 tok/s  \
                    rollouts 71 %  37m 36s left  3.1 GiB";
        assert_eq!(line.to_string(), said);
        let nothing = RlStep { skipped: Some("no rollout has a reward".into()), failed: 64, masked: 0, reward: 0.0, ..update(13) };
        let nothing =
            RlStep { entropy: 0.00123, thresholds: None, masking: false, zero_variance: 0, truncated: 1, rollout_seconds: 0.0, ..nothing };
        line.update(&TrainEvent::Rl(nothing));
        let said = line.to_string();
        let begins = "step 13/200  reward ? (held-out 0.380)  H 0.0012  len 57  cut off 2 %  no reward 100 %  nothing learnt  rollouts 0 %";
        assert!(said.starts_with(begins), "{said}");
    }

    #[test]
    fn numbers_are_said_shortly() {
        assert_eq!(
            [0.0, 0.0004, 0.004, 0.125, 0.996, 1.0, f64::NAN].map(percent),
            ["0 %", "<0.1 %", "0.4 %", "12 %", "99 %", "100 %", "NaN %"]
        );
        let said: Vec<String> = [0.4, 59.6, 185.0, 7800.0, 273_600.0, f64::NAN].into_iter().map(duration).collect();
        assert_eq!(said, ["0s", "1m 00s", "3m 05s", "2h 10m", "3d 04h", "?"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1, 1 << 29, 1 << 30].map(bytes), ["1 MiB", "512 MiB", "1.0 GiB"]);
        assert_eq!([0.5, 12.34, f32::NAN].map(rate_text), ["0.50", "12.3", "NaN"]);
    }
}

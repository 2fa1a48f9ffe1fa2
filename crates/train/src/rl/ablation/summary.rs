//! What an ablation says: means over seeds with intervals, differences between variants paired by seed, and what AEPO did.

use std::fmt::Write as _;

use data::{RlStep, RlValidation};
use serde_json::{Value, json};

use super::Ran;

/// Two-sided 95 % quantiles of Student's t, by degrees of freedom from 1.
const T: [f64; 12] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179];

/// A mean and half its 95 % interval (Student's t).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the interval; NaN of fewer than two values.
    pub margin: f64,
}

impl Estimate {
    /// Of independent values.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let t = values.len().checked_sub(2).map_or(f64::NAN, |at| T.get(at).copied().unwrap_or(1.96));
        Self { mean, margin: t * (variance / count).sqrt() }
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:+.1} ± {:.1}", 100.0 * self.mean, 100.0 * self.margin)
    }
}

impl Ran {
    /// Held-out reward at the end.
    pub fn reward(&self) -> f64 {
        self.held.last().map_or(f64::NAN, |held| f64::from(held.reward))
    }

    /// Times that AEPO began to mask and ended again.
    pub fn cycles(&self) -> usize {
        self.steps.windows(2).filter(|pair| pair[0].masking && !pair[1].masking).count()
    }

    /// Share of the negatives that were masked, over the whole run.
    pub fn masked(&self) -> f64 {
        let (masked, all) = self.steps.iter().fold((0, 0), |(masked, all), step| (masked + step.masked, all + step.negatives));
        masked as f64 / (all as f64).max(1.0)
    }

    /// Mean of `of` over the first or the last fifth of the steps.
    pub fn part(&self, last: bool, of: impl Fn(&RlStep) -> f64) -> f64 {
        let fifth = (self.steps.len() / 5).max(1).min(self.steps.len());
        let part = if last { &self.steps[self.steps.len() - fifth..] } else { &self.steps[..fifth] };
        part.iter().map(of).sum::<f64>() / fifth.max(1) as f64
    }

    /// As a line of a log.
    pub fn to_json(&self) -> Value {
        json!({"arm": self.arm, "seed": self.seed, "seconds": self.seconds, "held": self.held, "steps": self.steps})
    }

    /// From a line of a log; `None` if it is none.
    pub fn from_json(line: &str, arms: &[&'static str]) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let arm = arms.iter().copied().find(|arm| value["arm"] == *arm)?;
        let held: Vec<RlValidation> = serde_json::from_value(value["held"].clone()).ok()?;
        let steps: Vec<RlStep> = serde_json::from_value(value["steps"].clone()).ok()?;
        Some(Self { arm, seed: value["seed"].as_u64()?, steps, held, seconds: value["seconds"].as_f64()? })
    }
}

/// The table, as Markdown. Differences are to the variant `against`, paired by seed.
pub fn table(all: &[Ran], arms: &[&'static str], against: &str) -> String {
    let mut out = format!(
        "| variant | seeds | held-out reward, % | difference to {against}, points | entropy, first and last fifth | tokens | negatives masked | cycles |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    let of = |arm: &str| all.iter().filter(|ran| ran.arm == arm).collect::<Vec<_>>();
    for arm in arms {
        let runs = of(arm);
        if runs.is_empty() {
            continue;
        }
        let rewards: Vec<f64> = runs.iter().map(|ran| ran.reward()).collect();
        let pair = |ran: &&Ran| Some(ran.reward() - of(against).iter().find(|other| other.seed == ran.seed)?.reward());
        let pairs: Vec<f64> = runs.iter().filter_map(pair).collect();
        let mean = |value: &dyn Fn(&Ran) -> f64| runs.iter().map(|ran| value(ran)).sum::<f64>() / runs.len() as f64;
        let level = Estimate::of(&rewards);
        let difference = if *arm == against { "".to_string() } else { Estimate::of(&pairs).to_string() };
        let _ = write!(out, "| {arm} | {} | {:.1} ± {:.1} | {difference} ", runs.len(), 100.0 * level.mean, 100.0 * level.margin);
        if runs[0].steps.is_empty() {
            out.push_str("| | | | |\n");
            continue;
        }
        let tokens = |step: &RlStep| step.completion_tokens as f64 / step.rollouts as f64;
        let cycles: Vec<String> = runs.iter().map(|ran| ran.cycles().to_string()).collect();
        let _ = writeln!(
            out,
            "| {:.2}, {:.2} | {:.1} | {:.0} % | {} |",
            mean(&|ran| ran.part(false, |step| f64::from(step.entropy))),
            mean(&|ran| ran.part(true, |step| f64::from(step.entropy))),
            mean(&|ran| ran.part(true, tokens)),
            100.0 * mean(&Ran::masked),
            if cycles.iter().all(|count| count == "0") { String::new() } else { cycles.join(" ") },
        );
    }
    out
}

/// The held-out reward of each task at the end, as Markdown.
pub fn by_task(all: &[Ran], arms: &[&'static str]) -> String {
    let Some(last) = all.first().and_then(|ran| ran.held.last()) else { return String::new() };
    let names: Vec<&str> = last.tasks.iter().map(|task| task.task.as_str()).collect();
    let mut out = format!("| variant | {} |\n| --- |{}\n", names.join(" | "), " --- |".repeat(names.len()));
    for arm in arms {
        let runs: Vec<&Ran> = all.iter().filter(|ran| ran.arm == *arm).collect();
        if runs.is_empty() {
            continue;
        }
        let _ = write!(out, "| {arm} |");
        for name in &names {
            let reward = |ran: &&Ran| ran.held.last()?.tasks.iter().find(|task| task.task == *name).map(|task| f64::from(task.reward));
            let level = Estimate::of(&runs.iter().filter_map(reward).collect::<Vec<_>>());
            let _ = write!(out, " {:.1} ± {:.1} |", 100.0 * level.mean, 100.0 * level.margin);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_students() {
        // R: t.test(c(1, 2, 3, 4, 6)) gives 3.2, 0.811 to 5.589.
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 6.0]);
        assert!((estimate.mean - 3.2).abs() < 1e-12 && (estimate.margin - 2.3885).abs() < 1e-3, "{estimate:?}");
        assert!(Estimate::of(&[1.0]).margin.is_nan());
    }

    #[test]
    fn cycles_count_what_ended() {
        let step = |masking| RlStep { masking, negatives: 10, masked: if masking { 10 } else { 0 }, ..RlStep::default() };
        let steps = [false, true, true, false, true, false, true].map(step).to_vec();
        let ran = Ran { arm: "AEPO", seed: 0, steps, held: vec![], seconds: 0.0 };
        assert_eq!((ran.cycles(), ran.masked()), (2, 40.0 / 70.0));
        assert_eq!(Ran::from_json(&ran.to_json().to_string(), &["AEPO"]).unwrap().steps, ran.steps);
    }
}

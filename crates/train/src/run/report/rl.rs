//! What the page of a run of reinforcement learning shows.

mod tables;
mod told;

use data::{RlSample, RlStep, RlValidation, TaskStep, TrainEvent};
use serde_json::{Value, json};

use super::chart::{MANY, Points, series, single, smoothed, stacked, stairs};
use super::spread;
use crate::run::view::rollout_rate;
pub use told::{alarms, not_finite};

/// Steps that a figure at the beginning or at the end is a mean over.
const ENDS: usize = 10;
/// Colours of tasks.
const COLOURS: usize = 8;

/// The events of reinforcement learning in a log.
pub struct Rl<'a> {
    pub steps: Vec<&'a RlStep>,
    validations: Vec<&'a RlValidation>,
    tasks: Vec<&'a str>,
}

impl<'a> Rl<'a> {
    /// `None`: there are none.
    pub fn of(events: &'a [TrainEvent]) -> Option<Self> {
        let steps: Vec<&RlStep> =
            events.iter().filter_map(|event| if let TrainEvent::Rl(step) = event { Some(step) } else { None }).collect();
        let validation = |event: &'a TrainEvent| if let TrainEvent::RlValidation(validation) = event { Some(validation) } else { None };
        let validations: Vec<&RlValidation> = events.iter().filter_map(validation).collect();
        let mut tasks: Vec<&str> = vec![];
        for task in steps.iter().flat_map(|step| &step.tasks).chain(validations.iter().flat_map(|validation| &validation.tasks)) {
            if !tasks.contains(&task.task.as_str()) {
                tasks.push(&task.task);
            }
        }
        (!steps.is_empty() || !validations.is_empty()).then_some(Self { steps, validations, tasks })
    }

    /// Of every step that has one.
    fn points(&self, value: impl Fn(&RlStep) -> Option<f64>) -> Points {
        self.steps.iter().filter_map(|step| Some((step.step, value(step)?))).collect()
    }

    /// Of a task, at every step that drew something of it.
    fn of_task(&self, task: &str, value: fn(&TaskStep) -> f32) -> Points {
        let of = |step: &RlStep| step.tasks.iter().find(|of| of.task == task && of.rollouts > 0).map(|of| f64::from(value(of)));
        self.points(|step| of(step).filter(|_| reward(step).is_some()))
    }

    pub fn charts(&self) -> Value {
        let updated = |value: fn(&RlStep) -> f32| self.points(|step| step.skipped.is_none().then(|| f64::from(value(step))));
        let mut charts = vec![
            json!({"title": "Reward", "kind": "number", "series": self.rewards()}),
            self.entropy(),
            json!({"title": "Tokens of a completion", "kind": "count", "series": self.by_task(self.points(|step| share(step.completion_tokens, step.rollouts)), |task| task.tokens)}),
            json!({"title": if self.steps.len() >= MANY { "Shares, smoothed" } else { "Shares" }, "kind": "percent", "series": self.shares()}),
            single("Gradient norm", "number", &updated(|step| step.grad_norm)),
            single("Learning rate", "number", &self.points(|step| Some(f64::from(step.lr)))),
            self.seconds(),
            single("Tokens per second of rollouts", "count", &self.points(|step| rollout_rate(step).map(f64::from))),
            single("Mismatch", "number", &updated(|step| step.mismatch)),
            single("Peak memory", "bytes", &self.points(|step| Some(step.peak_memory as f64))),
        ];
        let clipped = self.points(|step| step.clip_threshold.map(f64::from));
        if !clipped.is_empty() {
            charts.insert(4, single("Clipping threshold", "number", &clipped));
        }
        charts.into()
    }

    /// All tasks together and, where there are several, each.
    fn by_task(&self, all: Points, value: fn(&TaskStep) -> f32) -> Vec<Value> {
        let many = all.len() >= MANY;
        let shown = |points: Points| if many { smoothed(&points) } else { points };
        let mut out = vec![];
        if many {
            out.push(series("each step", "faint", &all));
        }
        let several = self.tasks.len() > 1;
        if several {
            let one = |(n, task): (usize, &&str)| series(task, &format!("task{}", n % COLOURS), &shown(self.of_task(task, value)));
            out.extend(self.tasks.iter().enumerate().map(one));
        }
        let name = match (several, many) {
            (true, _) => "all",
            (false, true) => "smoothed",
            (false, false) => "each step",
        };
        out.push(series(name, "main", &shown(all)));
        out
    }

    fn rewards(&self) -> Vec<Value> {
        let mut out = self.by_task(self.points(reward), |task| task.reward);
        let held: Vec<Value> = self.validations.iter().map(|held| json!([held.step, held.reward, margin(held)])).collect();
        out.push(json!({"name": "held-out", "style": "dots", "points": held}));
        out
    }

    fn entropy(&self) -> Value {
        let entropy = self.points(|step| (step.rollouts > 0).then_some(f64::from(step.entropy)));
        let mut curves = vec![series("entropy", "main", &entropy)];
        let bound = |name, of: fn((f32, f32)) -> f32| stairs(name, "bound", &self.points(|step| Some(f64::from(of(step.thresholds?)))));
        if self.steps.iter().any(|step| step.thresholds.is_some()) {
            curves.extend([bound("low", |(low, _)| low), bound("high", |(_, high)| high)]);
        }
        let mut masking: Vec<(u64, u64)> = vec![];
        for step in self.steps.iter().filter(|step| step.masking) {
            match masking.last_mut() {
                Some((_, last)) if last.saturating_add(1) == step.step => *last = step.step,
                _ => masking.push((step.step, step.step)),
            }
        }
        let shade: Vec<Value> = masking.iter().map(|(first, last)| json!([first, last])).collect();
        json!({"title": "Entropy", "kind": "number", "series": curves, "shade": shade, "shaded": "negatives masked"})
    }

    fn shares(&self) -> Vec<Value> {
        let many = self.steps.len() >= MANY;
        let curve = |name, style, of: fn(&RlStep) -> Option<f64>| {
            let points = self.points(of);
            series(name, style, &if many { smoothed(&points) } else { points })
        };
        let mut out = vec![
            curve("rollouts masked", "main", |step| share(step.masked, step.rollouts)),
            curve("groups with one reward", "task0", |step| share(step.zero_variance, step.groups)),
            curve("rollouts cut off", "task1", |step| share(step.truncated, step.rollouts)),
        ];
        if self.steps.iter().any(|step| step.failed > 0) {
            // Rare, and not to be smoothed away.
            out.push(series("rollouts without a reward", "warn", &self.points(|step| share(step.failed, step.rollouts))));
        }
        out
    }

    fn seconds(&self) -> Value {
        let steps: Vec<u64> = self.steps.iter().map(|step| step.step).collect();
        let of = |value: fn(&RlStep) -> f32| self.steps.iter().map(|step| f64::from(value(step))).collect::<Vec<f64>>();
        let parts = [of(|step| step.rollout_seconds), of(|step| step.reward_seconds), of(|step| step.update_seconds)];
        let names = [("rollouts", "main"), ("rewards", "dots"), ("update", "task0")];
        json!({"title": "Seconds of a step", "kind": "seconds", "stack": true, "series": stacked(&names, &steps, &parts)})
    }
}

/// `[{step, rollouts: […]}]`: few enough steps, the first and the last among them.
pub fn rollouts(events: &[TrainEvent]) -> Value {
    let mut steps: Vec<(u64, Vec<&RlSample>)> = vec![];
    for event in events {
        let TrainEvent::RlSample(sample) = event else { continue };
        match steps.last_mut() {
            Some((step, samples)) if *step == sample.step => samples.push(sample),
            _ => steps.push((sample.step, vec![sample])),
        }
    }
    let one = |(step, samples): (u64, Vec<&RlSample>)| json!({"step": step, "rollouts": samples.into_iter().map(|sample| json!(sample)).collect::<Vec<_>>()});
    spread(&steps).into_iter().map(one).collect()
}

/// `None`: no rollout has one.
fn reward(step: &RlStep) -> Option<f64> {
    (step.failed < step.rollouts).then_some(f64::from(step.reward))
}

fn task_of<'a>(tasks: &'a [TaskStep], name: &str) -> Option<&'a TaskStep> {
    tasks.iter().find(|task| task.task == name && task.rollouts > 0)
}

fn share(count: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

fn margin(held: &RlValidation) -> Option<f32> {
    // Rewards that are all the same have one of rounding.
    Some(held.margin).filter(|margin| margin.is_finite() && *margin > 1e-6)
}

/// Of what is finite; `None` of nothing.
fn mean<'a>(points: impl Iterator<Item = &'a (u64, f64)>) -> Option<f64> {
    let (sum, count) = points.filter(|(_, value)| value.is_finite()).fold((0.0, 0u32), |(sum, count), (_, value)| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

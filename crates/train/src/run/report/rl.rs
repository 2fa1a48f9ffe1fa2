//! What the page of a run of reinforcement learning shows.

use data::{AlarmKind, RlSample, RlStep, RlValidation, TaskStep, TrainEvent};
use serde_json::{Value, json};

use super::chart::{MANY, Points, series, single, smoothed, stacked, stairs};
use super::spread;
use crate::run::view::{bytes, grouped, percent, rollout_rate};

/// Steps that a figure at the beginning or at the end is a mean over.
const ENDS: usize = 10;
/// Characters of somebody else's text among ours.
const QUOTED: usize = 300;
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

    /// (name, value)
    pub fn facts(&self, events: &[TrainEvent]) -> Vec<(&'static str, String)> {
        let mut facts = vec![];
        // Of equals the first.
        let better = |a: &&&RlValidation, b: &&&RlValidation| a.reward.total_cmp(&b.reward).then(b.step.cmp(&a.step));
        if let Some(best) = self.validations.iter().filter(|held| held.reward.is_finite()).max_by(better) {
            let first = self.validations.first().filter(|held| held.step == 0 && best.step > 0);
            let before = first.map_or(String::new(), |first| format!("; {} before training", with_margin(first)));
            facts.push(("Best held-out reward", format!("{} after step {}{before}", with_margin(best), grouped(best.step))));
        }
        let rewards = self.points(reward);
        if let (Some(first), Some(last)) = (mean(rewards.iter().take(ENDS)), mean(rewards.iter().rev().take(ENDS))) {
            let text = if rewards.len() > 2 * ENDS {
                format!("{last:.3} in the last {ENDS} steps; {first:.3} in the first {ENDS}")
            } else {
                format!("{last:.3} in the last steps")
            };
            facts.push(("Reward", text));
        }
        let sum = |of: fn(&RlStep) -> u64| self.steps.iter().map(|step| of(step)).fold(0, u64::saturating_add);
        let (rollouts, failed) = (sum(|step| step.rollouts), sum(|step| step.failed));
        let cut = share(sum(|step| step.truncated), rollouts).unwrap_or_default();
        facts.push(("Rollouts", format!("{}, {} of them cut off", grouped(rollouts), percent(cut))));
        let rate = sum(|step| step.completion_tokens) as f64 / self.steps.iter().map(|step| f64::from(step.rollout_seconds)).sum::<f64>();
        let rate = if rate.is_finite() { format!(" ({} a second)", grouped(rate.round() as u64)) } else { String::new() };
        let (drawn, read) = (grouped(sum(|step| step.completion_tokens)), grouped(sum(|step| step.prompt_tokens)));
        facts.push(("Tokens", format!("{drawn} drawn{rate}, {read} of prompts")));
        facts.extend(times(events).map(|times| ("Time went to", times)));
        if let Some(step) = self.steps.iter().find(|step| step.failed > 0) {
            let why = step.failure.as_deref().map_or("no reason was given".into(), quoted);
            facts.push((
                "Without a reward",
                format!("{} of {} rollouts; the first at step {}: {why}", grouped(failed), grouped(rollouts), grouped(step.step)),
            ));
        }
        facts.extend(self.skipped().map(|text| ("Steps that changed nothing", text)));
        let masking = self.steps.iter().filter(|step| step.masking).count() as u64;
        let (masked, negatives) = (sum(|step| step.masked), sum(|step| step.negatives));
        if masked > 0 || masking > 0 {
            let of_steps = format!("masking in {} of {} steps", grouped(masking), grouped(self.steps.len() as u64));
            facts.push(("Negatives masked", format!("{} of {}; {of_steps}", grouped(masked), grouped(negatives))));
        }
        facts.extend(self.steps.iter().map(|step| step.peak_memory).max().map(|peak| ("Peak memory", bytes(peak))));
        facts
    }

    /// How many, and of each reason how often.
    fn skipped(&self) -> Option<String> {
        let mut reasons: Vec<(&str, u64)> = vec![];
        for reason in self.steps.iter().filter_map(|step| step.skipped.as_deref()) {
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason, 1)),
            }
        }
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let all = reasons.iter().map(|(_, count)| count).sum();
        let said = reasons.iter().take(5).map(|(reason, count)| format!("{} ({})", quoted(reason), grouped(*count)));
        let steps = grouped(self.steps.len() as u64);
        (!reasons.is_empty()).then(|| format!("{} of {steps}: {}", grouped(all), said.collect::<Vec<_>>().join(", ")))
    }

    /// `{title, head, rows}`
    pub fn tables(&self) -> Value {
        let mut tables = vec![];
        if !self.tasks.is_empty() && !self.steps.is_empty() {
            let first = format!("reward in its first {ENDS} steps");
            let last = format!("in its last {ENDS}");
            let head = [
                "task",
                "rollouts",
                &first,
                &last,
                "held-out, first",
                "best",
                "last",
                "entropy",
                "tokens",
                "cut off",
                "one reward",
                "masked",
            ];
            tables.push(json!({"title": "Tasks", "head": head, "rows": self.tasks.iter().map(|task| self.row(task)).collect::<Vec<_>>(),
                "note": format!("Entropy and what stands after it: in its last {ENDS} steps. A task's steps are those that drew it.")}));
        }
        if !self.validations.is_empty() {
            let several = self.tasks.len() > 1;
            let names = self.tasks.iter().filter(|_| several).copied();
            let head: Vec<&str> = ["after step", "reward", "±", "prompts"].into_iter().chain(names).collect();
            let row = |held: &&RlValidation| {
                let of = |task: &&str| text(task_of(&held.tasks, task).map(|task| f64::from(task.reward)));
                let own =
                    [grouped(held.step), text(Some(f64::from(held.reward))), text(margin(held).map(f64::from)), grouped(held.prompts)];
                own.into_iter().chain(self.tasks.iter().filter(|_| several).map(of)).collect::<Vec<String>>()
            };
            let rows: Vec<Vec<String>> = self.validations.iter().map(row).collect();
            tables.push(json!({"title": "Held-out rewards", "head": head, "rows": rows,
                "note": "± is half the width of the 95 % interval of the mean over prompts."}));
        }
        tables.into()
    }

    fn row(&self, task: &str) -> Vec<String> {
        let of = |value: fn(&TaskStep) -> f32, last: bool| {
            let points = self.of_task(task, value);
            if last { mean(points.iter().rev().take(ENDS)) } else { mean(points.iter().take(ENDS)) }
        };
        let share = |value| of(value, true).map_or("–".into(), percent);
        let held: Vec<f64> = self.validations.iter().filter_map(|held| Some(f64::from(task_of(&held.tasks, task)?.reward))).collect();
        let rollouts =
            self.steps.iter().filter_map(|step| task_of(&step.tasks, task)).map(|task| task.rollouts).fold(0, u64::saturating_add);
        vec![
            task.to_string(),
            grouped(rollouts),
            text(of(|task| task.reward, false)),
            text(of(|task| task.reward, true)),
            text(held.first().copied()),
            text(held.iter().copied().filter(|reward| reward.is_finite()).max_by(f64::total_cmp)),
            text(held.last().copied()),
            text(of(|task| task.entropy, true)),
            of(|task| task.tokens, true).map_or("–".into(), |tokens| format!("{tokens:.0}")),
            share(|task| task.truncated),
            share(|task| task.zero_variance),
            share(|task| task.masked),
        ]
    }
}

/// Each kind once, as it first rang, and how often it did again.
pub fn alarms(events: &[TrainEvent]) -> Vec<String> {
    let mut kinds: Vec<(AlarmKind, Vec<(u64, &str)>)> = vec![];
    for event in events {
        let TrainEvent::Alarm { step, kind, message } = event else { continue };
        match kinds.iter_mut().find(|(known, _)| known == kind) {
            Some((_, rang)) => rang.push((*step, message)),
            None => kinds.push((*kind, vec![(*step, message)])),
        }
    }
    let said = |rang: &[(u64, &str)]| {
        let told = |(step, message): (u64, &str)| format!("step {}: {}.", grouped(step), quoted(message).trim_end_matches('.'));
        match rang {
            [] => String::new(),
            [only] => format!("At {}", told(*only)),
            [first, last] => format!("At {} It rang again at {}", told(*first), told(*last)),
            [first, again @ .., last] => {
                format!("At {} It rang {} times more, the last at {}", told(*first), again.len() + 1, told(*last))
            }
        }
    };
    kinds.iter().map(|(_, rang)| said(rang)).collect()
}

/// Steps of which a numeral is no number.
pub fn not_finite(step: &RlStep) -> bool {
    let rewarded = reward(step).is_none_or(f64::is_finite);
    !(rewarded && step.entropy.is_finite() && step.grad_norm.is_finite() && step.mismatch.is_finite())
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

/// Shares of the time that is told of, the largest first.
fn times(events: &[TrainEvent]) -> Option<String> {
    let mut kinds = [("rollouts", 0.0), ("rewards", 0.0), ("updates", 0.0), ("validations", 0.0), ("checkpoints", 0.0)];
    for event in events {
        let spent = match event {
            TrainEvent::Rl(step) => [step.rollout_seconds, step.reward_seconds, step.update_seconds, 0.0, 0.0],
            TrainEvent::RlValidation(held) => [0.0, 0.0, 0.0, held.seconds, 0.0],
            TrainEvent::Checkpoint { seconds, .. } => [0.0, 0.0, 0.0, 0.0, *seconds],
            _ => continue,
        };
        kinds.iter_mut().zip(spent).for_each(|(kind, seconds)| kind.1 += f64::from(seconds));
    }
    let all: f64 = kinds.iter().map(|kind| kind.1).sum();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let said = kinds.iter().filter(|kind| kind.1 > 0.0).map(|(name, seconds)| format!("{name} {}", percent(seconds / all)));
    (all > 0.0).then(|| said.collect::<Vec<_>>().join(", "))
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

fn with_margin(held: &RlValidation) -> String {
    let margin = margin(held).map_or(String::new(), |margin| format!(" ± {margin:.3}"));
    format!("{:.3}{margin}", held.reward)
}

fn text(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.3}"))
}

/// Of what is finite; `None` of nothing.
fn mean<'a>(points: impl Iterator<Item = &'a (u64, f64)>) -> Option<f64> {
    let (sum, count) = points.filter(|(_, value)| value.is_finite()).fold((0.0, 0u32), |(sum, count), (_, value)| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Somebody else's text in one line, shortened.
fn quoted(text: &str) -> String {
    // Marks that turn the direction of what follows would turn ours.
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line = text.replace(turns, " ").split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

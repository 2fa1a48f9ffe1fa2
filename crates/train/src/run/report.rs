//! A run's log as one page that loads nothing: what ran, how it went, what the model said on the way.

mod chart;
mod rl;

use std::path::{Path, PathBuf};

use agent::Piece;
use data::{StopCause, TrainEvent, TrainStep};
use serde_json::{Value, json};

use chart::{MANY, Points, series, single, smoothed};
use rl::Rl;

use super::error::Result;
use super::events;
use super::view::{Line, bytes, duration, grouped};

const PAGE: &str = include_str!("report.html");
/// The most completions that are shown of one prompt, and the most steps that rollouts are shown of.
const COMPLETIONS: usize = 60;

/// Writes `report.html` of the run in `folder`, from its log alone; where it is.
pub fn write(folder: &Path) -> Result<PathBuf> {
    let page = html(&events::read(&folder.join("events.jsonl"))?);
    let path = folder.join("report.html");
    super::write_whole(&path, page.as_bytes())?;
    Ok(path)
}

/// The page.
pub fn html(events: &[TrainEvent]) -> String {
    // Inside a script element only `</script` and `<!--` mean anything; JSON can say `<` otherwise.
    let data = data(events).to_string().replace('<', "\\u003c");
    PAGE.replacen("{{data}}", &data, 1)
}

fn data(events: &[TrainEvent]) -> Value {
    let start = events::start(events);
    let steps: Vec<&TrainStep> =
        events.iter().filter_map(|event| if let TrainEvent::Step(step) = event { Some(step) } else { None }).collect();
    let rl = Rl::of(events);
    let taken = |event: &&TrainEvent| matches!(event, TrainEvent::Step(_) | TrainEvent::Rl(_));
    let resumed = events.iter().filter(|event| matches!(event, TrainEvent::Resumed { .. })).map(TrainEvent::step);
    json!({
        "title": start.map_or("a run whose log has no beginning", |start| start.model.as_str()),
        "started": start.map(|start| start.time),
        "status": status(events),
        "steps": start.map_or(0, |start| start.steps),
        "taken": events.iter().rfind(taken).map_or(0, TrainEvent::step),
        "facts": facts(events, &steps, rl.as_ref()).into_iter().map(|(name, value)| json!([name, value])).collect::<Value>(),
        "warnings": warnings(events),
        "charts": rl.as_ref().map_or_else(|| charts(events, &steps), Rl::charts),
        "tables": rl.as_ref().map_or_else(|| json!([]), Rl::tables),
        "rollouts": rl::rollouts(events),
        "resumed": resumed.collect::<Vec<u64>>(),
        "validations": validations(events),
        "samples": samples(events),
        "config": start.map_or("", |start| start.config.as_str()),
    })
}

/// How the run stands, in words.
fn status(events: &[TrainEvent]) -> String {
    match events.last() {
        Some(TrainEvent::Stopped { reason, .. }) => match reason {
            StopCause::Finished => "finished".into(),
            StopCause::Interrupted => "stopped when asked to".into(),
            StopCause::OutOfTime => "stopped: its time was over".into(),
            StopCause::NoLongerBetter => "stopped: validation got no better".into(),
            StopCause::Diverged => "stopped: it diverged".into(),
            StopCause::Failed { error } => format!("failed: {error}"),
        },
        Some(_) => "running when this page was written, or killed".into(),
        None => "not begun".into(),
    }
}

/// What ran and how far it is: (name, value).
fn facts(events: &[TrainEvent], steps: &[&TrainStep], rl: Option<&Rl>) -> Vec<(&'static str, String)> {
    let mut facts = vec![];
    let mut line = Line::default();
    events.iter().for_each(|event| line.update(event));
    let lost: f64 =
        events.iter().map(|event| if let TrainEvent::Resumed { lost_seconds, .. } = event { f64::from(*lost_seconds) } else { 0.0 }).sum();
    let used = events.iter().map(TrainEvent::seconds).sum::<f64>() + lost;
    let again = if lost > 0.0 { format!(", {} of it lost to kills", duration(lost)) } else { String::new() };
    facts.push(("Time used", format!("{}{again}", duration(used))));
    if let Some(left) =
        line.seconds_left().filter(|_| !matches!(events.last(), Some(TrainEvent::Stopped { reason: StopCause::Finished, .. })))
    {
        facts.push(("Time left", format!("about {}", duration(left))));
    }
    facts.extend(rl.map_or_else(|| fine_tuning(events, steps), |rl| rl.facts(events)));
    let saved = events
        .iter()
        .rev()
        .find_map(|event| if let TrainEvent::Checkpoint { folder, bytes, .. } = event { Some((folder, *bytes)) } else { None });
    if let Some((folder, size)) = saved {
        facts.push(("Last checkpoint", format!("{folder}, {}", bytes(size))));
    }
    if let Some(start) = events::start(events) {
        facts.push(("Parameters", format!("{}, {} of them trained", grouped(start.parameters), grouped(start.trained))));
        let machine = &start.machine;
        let device = if machine.memory > 0 { format!("{} ({})", machine.device, bytes(machine.memory)) } else { machine.device.clone() };
        facts.push(("Machine", format!("{device}, {} threads, {}", machine.threads, machine.system)));
        facts.push(("Seed", start.seed.to_string()));
        facts.push(("Longhand", start.longhand.clone()));
    }
    facts
}

/// What there is to say of supervised fine-tuning.
fn fine_tuning(events: &[TrainEvent], steps: &[&TrainStep]) -> Vec<(&'static str, String)> {
    let mut facts = vec![];
    let sum = |of: fn(&TrainStep) -> u64| grouped(steps.iter().map(|step| of(step)).fold(0, u64::saturating_add));
    facts.push(("Tokens", format!("{}, {} of them with loss", sum(|step| step.tokens), sum(|step| step.loss_tokens))));
    if let Some(last) = steps.last() {
        facts.push(("Loss", format!("{:.4}", last.loss)));
    }
    let losses = || {
        events.iter().filter_map(|event| if let TrainEvent::Validation { step, loss, .. } = event { Some((*step, *loss)) } else { None })
    };
    if let Some((step, best)) = losses().filter(|(_, loss)| loss.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1)) {
        let from = losses().next().filter(|first| first.0 == 0).map_or(String::new(), |first| format!("; {:.4} before training", first.1));
        facts.push(("Best validation", format!("{best:.4} after step {}{from}", grouped(step))));
    }
    if let Some(peak) = steps.iter().map(|step| step.peak_memory).max() {
        facts.push(("Peak memory", bytes(peak)));
    }
    if let Some(mfu) = steps.iter().rev().find_map(|step| step.mfu) {
        facts.push(("MFU", format!("{:.1} %", 100.0 * mfu)));
    }
    facts
}

/// What a person should know before believing the curves.
fn warnings(events: &[TrainEvent]) -> Vec<String> {
    let mut warnings = rl::alarms(events);
    let wrong = |event: &&TrainEvent| match event {
        TrainEvent::Rl(step) => rl::not_finite(step),
        TrainEvent::RlValidation(held) => !held.reward.is_finite(),
        TrainEvent::Step(step) => !step.loss.is_finite() || !step.grad_norm.is_finite(),
        TrainEvent::Validation { loss, .. } => !loss.is_finite(),
        _ => false,
    };
    let what =
        if events.iter().any(|event| matches!(event, TrainEvent::Rl(_))) { "Reward, entropy or gradient" } else { "Loss or gradient" };
    let not_finite: Vec<u64> = events.iter().filter(wrong).map(TrainEvent::step).collect();
    match not_finite[..] {
        [] => {}
        [step] => warnings.push(format!("{what} is not finite at step {}.", grouped(step))),
        [first, ..] => {
            let count = grouped(not_finite.len() as u64);
            warnings.push(format!("{what} is not finite at {count} steps, the first of them {}.", grouped(first)));
        }
    }
    for event in events {
        if let TrainEvent::Resumed { step, lost_steps, machine, longhand, .. } = event {
            let again = if *lost_steps > 0 { format!("; {} steps were taken again", grouped(*lost_steps)) } else { String::new() };
            warnings.push(format!(
                "Resumed after step {} on \u{2068}{}\u{2069} with Longhand {longhand}{again}.",
                grouped(*step),
                machine.device
            ));
        }
    }
    warnings
}

fn charts(events: &[TrainEvent], steps: &[&TrainStep]) -> Value {
    let of = |value: fn(&TrainStep) -> f64| steps.iter().map(|step| (step.step, value(step))).collect::<Points>();
    let loss = of(|step| f64::from(step.loss));
    let validation = events
        .iter()
        .filter_map(|event| if let TrainEvent::Validation { step, loss, .. } = event { Some((*step, f64::from(*loss))) } else { None });
    let mut losses = vec![series("loss", if loss.len() >= MANY { "faint" } else { "main" }, &loss)];
    if loss.len() >= MANY {
        losses.push(series("loss, smoothed", "main", &smoothed(&loss)));
    }
    losses.push(series("validation", "dots", &validation.collect::<Points>()));
    json!([
        {"title": "Loss", "kind": "number", "log": true, "series": losses},
        single("Gradient norm", "number", &of(|step| f64::from(step.grad_norm))),
        single("Learning rate", "number", &of(|step| f64::from(step.lr))),
        single("Tokens per second", "count", &of(|step| f64::from(step.tokens_per_second))),
        single("Peak memory", "bytes", &of(|step| step.peak_memory as f64)),
    ])
}

/// `[step, loss, perplexity, tokens]` as text.
fn validations(events: &[TrainEvent]) -> Value {
    let row = |event: &TrainEvent| match event {
        TrainEvent::Validation { step, loss, tokens, perplexity, .. } => {
            Some(json!([grouped(*step), format!("{loss:.4}"), format!("{perplexity:.2}"), grouped(*tokens)]))
        }
        _ => None,
    };
    events.iter().filter_map(row).collect()
}

/// For each prompt its completions; each as pieces `[text, -1 | 0 | 1]` (dropped, kept, added) against the one before.
fn samples(events: &[TrainEvent]) -> Value {
    let mut prompts: Vec<(&str, Vec<(u64, &str)>)> = vec![];
    for event in events {
        let TrainEvent::Sample { step, prompt, completion } = event else { continue };
        match prompts.iter_mut().find(|(known, _)| known == prompt) {
            Some((_, completions)) => completions.push((*step, completion)),
            None => prompts.push((prompt, vec![(*step, completion)])),
        }
    }
    prompts.iter().map(|(prompt, completions)| json!({"prompt": prompt, "completions": compared(&spread(completions))})).collect()
}

/// At most [`COMPLETIONS`] of them, evenly, the first and the last among them.
fn spread<T: Clone>(all: &[(u64, T)]) -> Vec<(u64, T)> {
    let (completions, all, shown) = (all, all.len(), all.len().min(COMPLETIONS));
    (0..shown).map(|n| completions[if shown < 2 { 0 } else { n * (all - 1) / (shown - 1) }].clone()).collect()
}

fn compared(completions: &[(u64, &str)]) -> Value {
    let mut before = None;
    let mut out = vec![];
    for &(step, completion) in completions {
        let pieces: Vec<Value> = match before.replace(completion) {
            None => vec![json!([completion, 0])],
            Some(before) => agent::changes(before, completion)
                .iter()
                .flat_map(|change| &change.pieces)
                .map(|piece| match piece {
                    Piece::Kept(text) => json!([text, 0]),
                    Piece::Added(text) => json!([text, 1]),
                    Piece::Dropped(text) => json!([text, -1]),
                })
                .collect(),
        };
        out.push(json!({"step": step, "pieces": pieces}));
    }
    out.into()
}

//! Act 1: a few steps of reinforcement learning, live.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use data::TrainEvent;
use serde_json::{Value, json};
use train::rl::ladder::page::sparkline;
use world::{Split, Task, World, WorldSettings};

/// The run. Thresholds are those of the stages that made the model (configs/stages/tiny.toml).
const CONFIG: &str = r#"
[model]
path = "{model}"
[data]
file = "items.jsonl"
max_length = 512
[train]
steps = 12
batch = 16
lr = 2e-4
dtype = "f32"
[rl]
group = 8
max_new_tokens = 24
temperature = 1.0
top_p = 1.0
[aepo]
low = 0.45
high = 0.75
[validation]
every = 12
file = "held.jsonl"
[checkpoint]
every = 12
keep = 1
[device]
kind = "cpu"
"#;

/// Trains `model` in `folder`: what it says goes to the terminal, what it found is returned.
pub fn act(model: &str, folder: &Path, seed: u64, threads: Option<usize>) -> Result<Value> {
    let begun = Instant::now();
    items(&folder.join("items.jsonl"), 512, seed, Split::Train)?;
    items(&folder.join("held.jsonl"), 200, seed, Split::Held)?;
    let config = folder.join("learning.toml");
    let threads = threads.map_or(String::new(), |threads| format!("threads = {threads}\n"));
    // A folder here is one from anywhere; what is no folder is a name.
    let model = fs::canonicalize(model).map_or(model.to_string(), |path| path.display().to_string());
    let text = CONFIG
        .trim_start()
        .replace("{model}", &model.replace('\\', "/"))
        .replace("steps = 12\n", &format!("steps = 12\nseed = {}\n", seed % 1_000_000));
    fs::write(&config, text + &threads)?;

    let (mut rewards, mut held, mut mismatch, mut masked) = (Vec::new(), Vec::new(), 0f32, 0);
    eprintln!("  step  reward                 entropy  band 0.45 to 0.75");
    let mut see = |event: &TrainEvent| match event {
        TrainEvent::Rl(step) => {
            rewards.push(step.reward);
            mismatch = mismatch.max(step.mismatch);
            masked += u64::from(step.masking);
            let (low, high) = step.thresholds.unwrap_or_default();
            let mask = if step.masking { "  negatives masked" } else { "" };
            let bar = sparkline(&rewards, 16, 1.0);
            eprintln!("  {:>4}  {:.3} {bar:<16} {:.3}  {}{mask}", step.step, step.reward, step.entropy, band(step.entropy, low, high));
        }
        TrainEvent::RlValidation(found) => {
            held.push((found.reward, found.margin));
            eprintln!("  held-out items after {} steps: {:.3} ± {:.3} right", found.step, found.reward, found.margin);
        }
        TrainEvent::Alarm { message, .. } => eprintln!("  {message}"),
        _ => {}
    };
    crate::train::watched(&config, &folder.join("run"), &mut see)?;
    let (first, last) = (held.first().copied().unwrap_or_default(), held.last().copied().unwrap_or_default());
    eprintln!("  rollout and trainer differ by {mismatch}: each log-probability was computed twice, and is the same.");
    eprintln!("  curves: {}\n", folder.join("run/report.html").display());
    Ok(json!({
        "held_out_before": first.0, "held_out_after": last.0, "margin": last.1, "rewards": rewards, "mismatch": mismatch,
        "steps_masked": masked, "seconds": begun.elapsed().as_secs_f64(),
    }))
}

/// Where a value lies in 0 to twice the band's upper end: `···[··●]····`.
fn band(value: f32, low: f32, high: f32) -> String {
    const CELLS: usize = 24;
    let at = |value: f32| ((value / (2.0 * high).max(1e-6)) * CELLS as f32).clamp(0.0, CELLS as f32 - 1.0) as usize;
    (0..CELLS)
        .map(|cell| match cell {
            _ if cell == at(value) => '●',
            _ if cell == at(low) => '[',
            _ if cell == at(high) => ']',
            _ => '·',
        })
        .collect()
}

fn items(path: &Path, count: u64, seed: u64, split: Split) -> Result<()> {
    let tasks = vec![Task::MultiHop, Task::Reading];
    let settings = WorldSettings {
        words: [40, 80],
        names: 64,
        tasks,
        question_first: true,
        templates: Some(Split::Train),
        ..WorldSettings::tiny(seed ^ 0x6c65_6172, split)
    };
    let world = World::new(settings)?;
    let mut out = BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?);
    (0..count).try_for_each(|index| Ok::<_, anyhow::Error>(writeln!(out, "{}", serde_json::to_string(&world.item(index)?)?)?))?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::band;

    #[test]
    fn entropy_is_drawn_against_its_band() {
        let drawn = band(0.15, 0.1, 0.2);
        assert_eq!(drawn.chars().count(), 24);
        let at = |mark: char| drawn.chars().position(|c| c == mark).unwrap();
        assert!(at('[') < at('●') && at('●') < at(']'), "{drawn}");
        assert!(band(9.0, 0.1, 0.2).ends_with('●') && band(0.0, 0.1, 0.2).starts_with('●'));
    }
}

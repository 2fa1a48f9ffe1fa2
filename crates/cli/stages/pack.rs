//! `longhand stages --pack`: what is worth keeping of stages that are done: the last model and one to begin from, both as bf16, their logs, and
//! the hashes of every stage's weights.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use data::TrainEvent;
use train::run::events;

use super::Place;
use super::config::Stages;
use crate::fetch::sha256;

/// Steps of a log that are kept.
const STEPS: usize = 300;

/// Writes them into `to`, which is not there yet. `start`: the stage whose model is kept beside the last one.
pub fn pack(place: &Place, stages: &Stages, start: Option<&str>, to: &Path) -> Result<()> {
    ensure!(!to.exists(), "{} is there already: name another folder, or remove it", to.display());
    let model = |name: &str| place.out.join(name).join("model");
    let made: Vec<&str> = stages.stages.iter().map(|stage| stage.name.as_str()).filter(|name| model(name).is_dir()).collect();
    let last = made.last().context("no stage has made a model yet")?;
    if let Some(start) = start {
        ensure!(made.contains(&start), "no stage {start} has made a model: there are {}", made.join(", "));
    }
    let export = |name: &str, to: &Path| {
        let (from, to) = (model(name).display().to_string(), to.display().to_string());
        place.longhand(["export", &from, "--to", "safetensors", "--type", "bf16", "--out", &to].map(String::from))
    };
    export(last, to)?;
    if let Some(start) = start {
        let whole = to.join("whole");
        export(start, &whole)?;
        fs::create_dir_all(to.join("start"))?;
        fs::rename(whole.join("model.safetensors"), to.join("start/model.safetensors"))?;
        fs::remove_dir_all(whole)?;
    }
    let logs = to.join("logs");
    let mut hashes = String::new();
    for name in &made {
        let weights = model(name).join("model.safetensors");
        if weights.exists() {
            let _ = writeln!(hashes, "{}  {name}", sha256(&weights)?);
        }
        let path = place.out.join(name).join("run/events.jsonl");
        if path.exists() {
            fs::create_dir_all(logs.join(name))?;
            fs::write(logs.join(name).join("events.jsonl"), thinned(&events::read(&path)?)?)?;
        }
    }
    fs::create_dir_all(&logs)?;
    fs::write(logs.join("sha256.txt"), hashes)?;
    for name in ["stages.json", "stages.md"] {
        fs::copy(place.out.join(name), logs.join(name)).with_context(|| format!("cannot keep {name}"))?;
    }
    eprintln!("{}: the model of {last}, its logs, and hashes of {} stages", to.display(), made.len());
    Ok(())
}

/// Every so manieth step, and all that is not a step or a sample.
fn thinned(all: &[TrainEvent]) -> Result<String> {
    let steps = all.iter().filter(|event| matches!(event, TrainEvent::Step(_))).count();
    let (every, mut number, mut text) = (steps.div_ceil(STEPS).max(1), 0, String::new());
    for event in all {
        let keep = match event {
            TrainEvent::Step(_) => {
                number += 1;
                number == 1 || number % every == 0
            }
            TrainEvent::Sample { .. } | TrainEvent::RlSample(_) => false,
            _ => true,
        };
        if keep {
            text.push_str(&events::line(event)?);
            text.push('\n');
        }
    }
    Ok(text)
}

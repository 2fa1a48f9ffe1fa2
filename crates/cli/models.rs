//! `longhand models`: what `--model auto` chooses from, and which of it fits this machine.

use std::io::Write;

use anyhow::Result;
use kernels::DType;
use serde_json::json;

use crate::args::MachineArgs;
use crate::choose::{self, Candidate, Fit, Machine, Task};
use crate::hub::Hub;
use crate::load;

/// The published models that Longhand knows by name, your own, and what is already on this machine; biggest first.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand models\n  longhand read report.txt --ask \"What changed?\" --model qwenlong-l1.5\n\nAny of the names can be given to --model. Your own go into the directory that LONGHAND_MODELS names, with a models.toml beside them\nif you want them to have names and settings (its form: configs/models.toml)."
)]
pub struct ModelsArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// One JSON object a model.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &ModelsArgs) -> Result<()> {
    let device = load::device(&args.machine, kernels::Precision::Fast)?.describe();
    let all = choose::candidates(&Hub::from_env()?, &device)?;
    let dtypes: Vec<DType> = all.iter().map(|candidate| candidate.dtype).collect();
    let (machine, _) = Machine::here(&args.machine, &dtypes)?;
    machine.say_unknown(args.machine.device);
    let mut out = std::io::stdout().lock();
    if args.json {
        for candidate in &all {
            writeln!(out, "{}", object(candidate, &machine))?;
        }
        return Ok(());
    }
    let head = ["name", "licence", "parameters", "size", "window", "fits here", "here", "tokens/s read, written"].map(str::to_string);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(all.iter().map(|candidate| row(candidate, &machine))).collect();
    let widths: Vec<usize> = (0..8).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    writeln!(out, "\nDevice: {device}; {} of memory free.", machine.free.map_or("an unknown amount".into(), choose::bytes))?;
    writeln!(out, "Window: tokens of a call that memory allows. ≈: estimated from a short measurement of this machine; else measured.")?;
    Ok(())
}

fn row(candidate: &Candidate, machine: &Machine) -> [String; 8] {
    let judged = candidate.judge(machine, &Task::default());
    let (total, active) = parameters(candidate);
    let billions = |n: u64| format!("{:.1} B", n as f64 / 1e9);
    let (read, written) = candidate.rates(machine);
    let about = if candidate.record.is_some() { "" } else { "≈ " };
    [
        candidate.shown.clone(),
        licence(candidate),
        if active < total { format!("{}, {} active", billions(total), billions(active)) } else { billions(total) },
        format!("{:.2} GB {}", candidate.bytes as f64 / 1e9, candidate.dtype.name()),
        judged.window.to_string(),
        match judged.fit {
            Fit::Yes => "yes".into(),
            Fit::Experts => format!("experts from disk: needs {}", choose::bytes(judged.needs)),
            Fit::No | Fit::Window => format!("no: needs {}", choose::bytes(judged.needs)),
        },
        if candidate.here.is_some() { "yes" } else { "no" }.into(),
        format!("{about}{}, {}", rate(read), rate(written)),
    ]
}

fn object(candidate: &Candidate, machine: &Machine) -> serde_json::Value {
    let judged = candidate.judge(machine, &Task::default());
    let (total, active) = parameters(candidate);
    let (read, written) = candidate.rates(machine);
    let fit = match judged.fit {
        Fit::Yes => "yes",
        Fit::Experts => "experts from disk",
        Fit::No | Fit::Window => "no",
    };
    json!({"name": candidate.shown, "model": candidate.name, "licence": candidate.entry.map(|entry| &entry.licence),
        "parameters": total, "active_parameters": active, "bytes": candidate.bytes, "format": candidate.dtype.name(),
        "thinks": candidate.thinks, "window": judged.window, "needs": judged.needs, "free": machine.free, "fits": fit,
        "here": candidate.here, "prefill": read, "decode": written, "measured": candidate.record.is_some()})
}

fn licence(candidate: &Candidate) -> String {
    candidate.entry.map_or("not known".into(), |entry| entry.licence.clone())
}

fn parameters(candidate: &Candidate) -> (u64, u64) {
    (candidate.config.parameters(), candidate.config.active_parameters())
}

/// Three digits at most where there are enough.
fn rate(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

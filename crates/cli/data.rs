//! `longhand data`: what a file of training rows holds, before a training does.

mod copies;
mod hard;
mod join;
mod notes;
mod rate;
mod recall;
mod swap;
mod world;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use train::config::{DataSection, Duplicates, Format, Loss};
use train::sft::{ChatFormat, Report, RowError, Rows, Survey, survey};

use crate::load;

/// Training data: see what is in it, or make some.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand data check train.jsonl --model ./Qwen3-0.6B --max-length 8192")]
pub struct DataArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Rows, tokens, lengths, and what a training would leave out and why. A bad row makes the exit code 2.
    Check(CheckArgs),
    /// How often a model solves each item.
    Rate(rate::RateArgs),
    /// Items for a stage, by how often they are solved.
    Pick(rate::PickArgs),
    /// Items of the small world: documents of any length, questions with known answers and evidence.
    World(world::WorldArgs),
    /// The rows of several files as one.
    Join(join::JoinArgs),
    /// The rows whose replies a model finds least likely: what is left to learn.
    Hard(hard::HardArgs),
    /// Random words to be repeated: they teach a model made from nothing to look back.
    Copies(copies::CopiesArgs),
    /// Sentences of random words and questions about them: they teach a model made from nothing to find and to quote.
    Recall(recall::RecallArgs),
    /// Rows with other words for their numbers: they teach to copy what no lesson has.
    Swap(swap::SwapArgs),
    /// Lessons in reading with notes, from items whose evidence is known: a row for each turn of the agent.
    Notes(notes::NotesArgs),
}

#[derive(clap::Args)]
struct CheckArgs {
    /// JSONL or Parquet with `messages`, or `prompt` and `answer`.
    file: PathBuf,
    /// The model whose tokenizer and chat template count: a folder, a .gguf file, a name.
    #[arg(long, value_name = "M")]
    model: String,
    /// Tokens an example may have.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    max_length: usize,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Bad rows that are shown.
const SHOWN: usize = 20;
/// Letters of the longest bar.
const BAR: u64 = 40;

/// Runs the verb.
pub fn run(args: &DataArgs) -> Result<()> {
    match &args.what {
        What::Check(args) => check(args),
        What::Rate(args) => rate::rate(args),
        What::Pick(args) => rate::pick(args),
        What::World(args) => world::run(args),
        What::Join(args) => join::run(args),
        What::Hard(args) => hard::run(args),
        What::Copies(args) => copies::run(args),
        What::Recall(args) => recall::run(args),
        What::Swap(args) => swap::run(args),
        What::Notes(args) => notes::run(args),
    }
}

fn check(args: &CheckArgs) -> Result<()> {
    // The file first: a slip in its name should not wait for a model.
    let rows = Rows::open(&args.file, Format::Auto)?;
    let (checkpoint, path) = load::checkpoint(&args.model)?;
    let chat = ChatFormat::new(&checkpoint).with_context(|| format!("cannot use {} to make tokens", path.display()))?;
    let file = args.file.display().to_string();
    let data = DataSection {
        file: file.clone(),
        format: Format::Auto,
        max_length: args.max_length,
        duplicates: Duplicates::Drop,
        loss: Loss::Replies,
    };
    let bar = indicatif::ProgressBar::new_spinner();
    bar.set_message("reading rows");
    let found = survey(rows, &chat, &data, |rows| {
        bar.set_message(format!("{rows} rows"));
        bar.tick();
    });
    bar.finish_and_clear();

    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", object(&found, &file, args.max_length))?;
    } else {
        say(&mut out, &found.report, &file, args.max_length)?;
        for fault in found.faults.iter().take(SHOWN) {
            eprintln!("{fault}");
        }
    }
    out.flush()?;
    let Report { bad, examples, .. } = found.report;
    match found.faults.first() {
        Some(RowError::Row { .. }) => bail!("{bad} bad rows: a training would refuse the file"),
        Some(_) => bail!("{file} cannot be read to its end: a training would refuse it"),
        None if examples == 0 => bail!("nothing is left to train on"),
        None => Ok(()),
    }
}

fn say(out: &mut impl Write, report: &Report, file: &str, max_length: usize) -> std::io::Result<()> {
    writeln!(out, "{file}: {} rows, {} bad", report.rows, report.bad)?;
    writeln!(out, "examples     {}", report.examples)?;
    writeln!(out, "tokens       {}", report.tokens)?;
    let share = if report.tokens > 0 { 100.0 * report.loss_tokens as f64 / report.tokens as f64 } else { 0.0 };
    writeln!(out, "loss tokens  {} ({share:.0} %)", report.loss_tokens)?;
    let bins = report.histogram();
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1);
    if !bins.is_empty() {
        writeln!(out, "\nlength in tokens")?;
    }
    for bin in bins {
        let bar = "█".repeat((bin.count * BAR).div_ceil(most) as usize);
        let past = if bin.from > max_length { "  too long" } else { "" };
        writeln!(out, "{:>9} to {:<9} {:>8}  {bar}{past}", bin.from, bin.to, bin.count)?;
    }
    if !report.dropped.is_empty() {
        writeln!(out, "\nleft out")?;
    }
    for (reason, dropped) in &report.dropped {
        let lines: Vec<String> = dropped.lines.iter().map(u64::to_string).collect();
        let more = if dropped.count > dropped.lines.len() as u64 { ", …" } else { "" };
        let words = dropped.example.as_ref().map_or(String::new(), |words| format!(" ({words})"));
        writeln!(out, "{:>9}  {reason}{}: rows {}{more}{words}", dropped.count, bound(*reason, max_length), lines.join(", "))?;
    }
    let notes = [
        (report.rewritten, "replies have an example of their own: the template rewrites them for later turns"),
        (report.cut, "replies were encoded apart from their prompt, with which they would have shared a token"),
        (report.altered, "replies lose something in the template, or are written otherwise"),
        (report.trailing, "rows have turns after the last reply, which are left out"),
    ];
    if notes.iter().any(|&(count, _)| count > 0) || !report.ignored.is_empty() {
        writeln!(out, "\nworth knowing")?;
    }
    for (count, words) in notes.iter().filter(|&&(count, _)| count > 0) {
        writeln!(out, "{count:>9}  {words}")?;
    }
    for (column, row) in &report.ignored {
        writeln!(out, "           column {column:?} means nothing here (first in row {row})")?;
    }
    Ok(())
}

fn bound(reason: train::sft::Reason, max_length: usize) -> String {
    if reason == train::sft::Reason::TooLong { format!(" (more than {max_length} tokens)") } else { String::new() }
}

fn object(found: &Survey, file: &str, max_length: usize) -> Value {
    let report = &found.report;
    let dropped = report.dropped.iter().map(|(reason, dropped)| {
        (reason.name().to_string(), json!({"count": dropped.count, "rows": dropped.lines, "example": dropped.example}))
    });
    let lengths: Vec<Value> = report.histogram().iter().map(|bin| json!({"from": bin.from, "to": bin.to, "examples": bin.count})).collect();
    let faults: Vec<Value> = found
        .faults
        .iter()
        .map(|fault| match fault {
            RowError::Row { line, field, message, .. } => json!({"row": line, "field": field, "message": message}),
            other => json!({"row": null, "field": null, "message": other.to_string()}),
        })
        .collect();
    json!({"file": file, "max_length": max_length, "rows": report.rows, "bad": report.bad, "examples": report.examples,
        "tokens": report.tokens, "loss_tokens": report.loss_tokens, "lengths": lengths,
        "dropped": serde_json::Map::from_iter(dropped), "rewritten": report.rewritten, "cut": report.cut,
        "altered": report.altered, "trailing": report.trailing, "ignored_columns": report.ignored, "errors": faults})
}

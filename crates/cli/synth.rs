//! `longhand synth`: documents in, verified questions out.
//!
//! ```text
//! rows.jsonl       the dataset, a row a line: `longhand train` and `longhand score` take it as it is
//! rejects.jsonl    every candidate that was dropped, with the check and the reason
//! documents.jsonl  what was read: id, title, class, tokens, hash; and what was not, and why
//! report.json      counts of every stage, and the dataset's hash
//! README.md        a dataset card
//! synth.toml       the configuration it was made with
//! ```

mod audit;
mod calls;
pub mod config;
mod corpus;
mod dry;
mod earlier;
mod export;
mod extract;
mod files;
mod model;
mod page;
mod summary;
mod used;

use std::path::PathBuf;
use std::time::Instant;

use ::synth::{Ask, Call, Outcome, Tried, make};
use anyhow::{Result, anyhow, ensure};
use clap::Subcommand;
use data::ChatRequest;
use serde_json::json;
use train::run::view::duration;

use crate::args::MachineArgs;
use config::Config;
use corpus::Read;
use files::{Files, Writer};
use model::Asked;
use summary::Summary;

/// Verified long-context questions from your own documents.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand init synth --out synth.toml\n  longhand synth run synth.toml --out dataset\n  longhand synth check dataset/rows.jsonl"
)]
pub struct SynthArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a dataset.
    Run(RunArgs),
    /// Compute every row's derivation again: hashes, places, links, SQL results, answers. A row that does not hold makes the exit code 2.
    Check(audit::CheckArgs),
    /// A dataset as one self-contained page: what it holds, what was dropped and why, examples with their evidence.
    Report(page::ReportArgs),
    /// In the columns of other trainers (verl, TRL), as Parquet or JSON Lines.
    Export(export::ExportArgs),
}

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand synth run synth.toml --out dataset")]
struct RunArgs {
    /// What to read and what to ask: `longhand init synth` writes one.
    config: PathBuf,
    /// The dataset's folder.
    #[arg(long, value_name = "DIR", default_value = "dataset")]
    out: PathBuf,
    /// Read the documents, say what they give and what asking the model will take, and make no row.
    #[arg(long)]
    dry_run: bool,
    /// For --dry-run: an earlier dataset's folder, made by the same model. Its shares of candidates that passed, lengths of replies and
    /// speed are taken for the estimate (those of --out where that is one).
    #[arg(long, value_name = "DIR", requires = "dry_run")]
    like: Option<PathBuf>,
    /// Ask no model: of [model]'s calls take those that the folder keeps.
    #[arg(long)]
    replay: bool,
    /// The report as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// Runs the verb.
pub fn run(args: &SynthArgs) -> Result<()> {
    match &args.what {
        What::Run(args) => synthesise(args),
        What::Check(args) => audit::run(args),
        What::Report(args) => page::run(args),
        What::Export(args) => export::run(args),
    }
}

fn synthesise(args: &RunArgs) -> Result<()> {
    let (config, text) = Config::open(&args.config)?;
    let files = Files::new(&args.out, &text)?;
    if files.done() && !args.dry_run {
        eprintln!("{} is done: name another folder with --out, or remove it", args.out.display());
        return files.show(args.json);
    }
    let benchmarks = config.benchmarks()?;
    let mut read = Read::new(&config)?;
    read.show();
    if args.dry_run {
        let like = args.like.as_deref().or(files.done().then_some(&*args.out));
        return dry::run(&config, &read, &benchmarks, like, args.json);
    }
    ensure!(!read.corpus.sources.is_empty(), "no document was admitted: the reasons stand above, and [filters] sets the bounds");

    let begun = Instant::now();
    let asked = match &config.model {
        Some(settings) => Some(Asked::open(settings, &config.trial, &args.machine, &args.out, args.replay)?),
        None => None,
    };
    if let (Some(settings), Some(asked)) = (&config.extract, &asked) {
        extract::run(settings, &mut read, asked)?;
    }
    let ground = read.ground(&benchmarks);
    let mut writer = Writer::new(&files, &config)?;
    let mut failed = None;
    let mut ask = asked.as_ref().map(|asked| |tried: Tried| asked.ask(tried));
    let ask = ask.as_mut().map(|ask| ask as &mut Ask);
    let (bar, mut calls) = (writer.bar.clone(), 0);
    let mut call = asked.as_ref().map(|asked| {
        move |role: &'static str, requests: &[ChatRequest]| {
            calls += requests.len();
            bar.set_message(format!("making rows, {calls} calls of agents"));
            asked.call(role, requests)
        }
    });
    let call = call.as_mut().map(|call| call as &mut Call);
    let outcomes = make(&config.questions, &ground, config.checks.searchable, config.seed, ask, call, &mut |group, event| {
        failed = writer.take(&config.questions[group], event).err();
        failed.is_none()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let outcomes = outcomes.map_err(|error| anyhow!("{error}. What was asked is kept: the same command goes on"))?;
    let (summary, hash) = writer.finish()?;
    let mut report = report(&config, &read, &outcomes, &summary, &hash, begun.elapsed().as_secs_f64());
    if let Some(asked) = &asked {
        report["model"] = asked.meter.json();
        report["seconds"]["model"] = asked.meter.speeds();
    }
    files.finish(&read, &text, &report, &summary::card(&config, &read, &outcomes, &summary))?;
    for outcome in &outcomes {
        eprintln!("\n{}: {} of {} rows", outcome.name, outcome.kept, outcome.wanted);
        outcome.waterfall.lines().iter().for_each(|line| eprintln!("  {line}"));
        if !outcome.short.is_empty() {
            eprintln!("  fewer than wanted: {}", outcome.short);
        }
    }
    eprintln!("\n{} rows in {}, {}", summary.rows, args.out.display(), duration(begun.elapsed().as_secs_f64()));
    if args.json {
        println!("{report}");
    } else {
        summary.lines().iter().for_each(|line| println!("{line}"));
    }
    ensure!(summary.rows > 0, "not one row came out: the reasons stand above");
    Ok(())
}

fn report(config: &Config, read: &Read, outcomes: &[Outcome], summary: &Summary, hash: &str, seconds: f64) -> serde_json::Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "seed": config.seed,
        "tokenizer": config.tokenizer.as_ref().map_or("estimated".into(), |path| path.display().to_string()),
        "corpus": read.json(),
        "groups": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
        "rows": summary.json(),
        "sha256": hash,
        "seconds": {"reading": read.seconds, "making": seconds},
    })
}

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
mod export;
mod extract;
mod model;
mod page;
mod summary;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ::synth::{Ask, Benchmarks, Call, Candidate, Event, Group, Maker, Outcome, Reject, Tried, agent_cost, make};
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Subcommand;
use data::{ChatRequest, Item};
use indicatif::ProgressBar;
use serde_json::json;
use sha2::{Digest, Sha256};
use train::run::view::duration;

use crate::args::MachineArgs;
use config::Config;
use corpus::Read;
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
    /// Read the documents and say what they give, and make no row.
    #[arg(long)]
    dry_run: bool,
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
        return dry(&config, &read, &benchmarks, args.json);
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
        move |requests: &[ChatRequest]| {
            calls += requests.len();
            bar.set_message(format!("making rows, {calls} calls of agents"));
            asked.call(requests)
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
    let report = report(&config, &read, &outcomes, &summary, &hash, begun.elapsed().as_secs_f64());
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

/// What the documents give, and no row.
fn dry(config: &Config, read: &Read, benchmarks: &Benchmarks, as_json: bool) -> Result<()> {
    let plans: Vec<_> = config.questions.iter().map(|group| (group, read.feasible(group))).collect();
    let (mut calls, mut prompts, mut replies) = (0usize, 0usize, 0usize);
    if config.model.is_some() {
        // Every prompt as it would be sent, if nothing were dropped.
        let mut count = |tried: Tried| {
            let lengths: Vec<usize> = tried.contexts.iter().map(|context| context.tokens).collect();
            let question = read.tokenizer.count(&tried.candidate.question).unwrap_or(0);
            let (asked, answered) = config.trial.cost(question, tried.evidence.tokens, &lengths);
            calls += answered / config.trial.reply;
            (prompts, replies) = (prompts + asked, replies + answered);
            Ok(())
        };
        let ground = read.ground(benchmarks);
        // Agents' questions are not there before a model proposed them: what they cost is counted apart.
        make(&config.questions, &ground, config.checks.searchable, config.seed, Some(&mut count), None, &mut |_, _| true)
            .map_err(anyhow::Error::msg)?;
        for (number, group) in config.questions.iter().enumerate().filter(|(_, group)| group.engine == Maker::Agents) {
            let cost = agent_cost(group, number, &ground, config.seed).map_err(anyhow::Error::msg)?;
            (calls, prompts, replies) = (calls + cost.calls, prompts + cost.prompts, replies + cost.replies);
            for (question, own, lengths) in cost.rows {
                let (asked, answered) = config.trial.cost(question, own, &lengths);
                (calls, prompts, replies) = (calls + answered / config.trial.reply, prompts + asked, replies + answered);
            }
        }
    }
    let facts = extract::cost(config, read)?;
    // A malformed reply is asked for once more.
    (calls, prompts, replies) = (calls + 2 * facts.calls, prompts + 2 * facts.prompt_tokens, replies + 2 * facts.reply_tokens);
    if as_json {
        let plans: Vec<_> = plans.iter().map(|(group, says)| json!({"name": group.name(), "wanted": group.count, "says": says})).collect();
        println!(
            "{}",
            json!({"corpus": read.json(), "questions": plans, "at_most": {"calls": calls, "prompt_tokens": prompts, "reply_tokens": replies}})
        );
        return Ok(());
    }
    for (group, says) in plans {
        println!("{:<18} {:>6} wanted; {says}", group.name(), group.count);
    }
    if facts.calls > 0 {
        println!(
            "{} calls, {} tokens of prompts, for facts of documents that state none outright, and as many again if all replies are malformed; what questions of those facts take is not known before",
            facts.calls, facts.prompt_tokens
        );
    }
    match config.model {
        None => println!("no model is asked: 0 calls, 0 tokens"),
        Some(_) => println!(
            "at most {calls} calls, {prompts} tokens of prompts and {replies} of replies: as if each reply were as long as may be, and nothing were dropped on the way"
        ),
    }
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

/// The files of a dataset's folder.
struct Files {
    out: PathBuf,
}

impl Files {
    /// # Errors
    /// A folder that holds a dataset of another configuration, or other things.
    fn new(out: &Path, config: &str) -> Result<Self> {
        let files = Self { out: out.into() };
        if let Ok(before) = fs::read_to_string(out.join("synth.toml")) {
            ensure!(before == config, "{} holds a dataset of another configuration: name another folder with --out", out.display());
        } else if fs::read_dir(out).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|e| !unfinished(&e.path())))) {
            bail!("{} holds something else: name a new folder with --out", out.display());
        }
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        Ok(files)
    }

    fn done(&self) -> bool {
        self.out.join("report.json").is_file()
    }

    fn show(&self, as_json: bool) -> Result<()> {
        let path = self.out.join("report.json");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if as_json {
            println!("{}", text.trim());
        }
        Ok(())
    }

    /// A file that gets its name when it is whole.
    fn create(&self, name: &str) -> Result<BufWriter<File>> {
        let path = self.out.join(format!("{name}.part"));
        Ok(BufWriter::new(File::create(&path).with_context(|| format!("cannot write {}", path.display()))?))
    }

    fn keep(&self, name: &str) -> Result<()> {
        let (part, whole) = (self.out.join(format!("{name}.part")), self.out.join(name));
        fs::rename(&part, &whole).with_context(|| format!("cannot write {}", whole.display()))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let mut file = self.create(name)?;
        file.write_all(text.as_bytes())?;
        file.into_inner()?.sync_all()?;
        self.keep(name)
    }

    /// Everything but the rows; the report last, which says that all is there.
    fn finish(&self, read: &Read, config: &str, report: &serde_json::Value, card: &str) -> Result<()> {
        let mut file = self.create("documents.jsonl")?;
        read.list(&mut file)?;
        file.into_inner()?.sync_all()?;
        self.keep("documents.jsonl")?;
        self.keep("rejects.jsonl")?;
        self.keep("rows.jsonl")?;
        self.write("README.md", card)?;
        self.write("synth.toml", config)?;
        self.write("report.json", &format!("{report:#}\n"))
    }
}

/// What a killed run leaves: made again from the beginning, which costs no call of a model.
fn unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "part") || path.file_name().is_some_and(|name| name == model::CALLS)
}

/// Rows and rejects as they come.
struct Writer {
    rows: BufWriter<File>,
    rejects: BufWriter<File>,
    hash: Sha256,
    summary: Summary,
    bar: ProgressBar,
}

impl Writer {
    fn new(files: &Files, config: &Config) -> Result<Self> {
        let wanted: usize = config.questions.iter().map(|group| group.count).sum();
        let bar = crate::progress::rows(wanted as u64, "making rows");
        Ok(Self {
            rows: files.create("rows.jsonl")?,
            rejects: files.create("rejects.jsonl")?,
            hash: Sha256::new(),
            summary: Summary::default(),
            bar,
        })
    }

    fn take(&mut self, group: &Group, event: Event) -> Result<()> {
        match event {
            Event::Row(row) => self.row(row),
            Event::Dropped(candidate, reject) => self.reject(group, Some(candidate), reject),
            Event::Tried(reject) => self.reject(group, None, reject),
        }
    }

    fn row(&mut self, row: &Item) -> Result<()> {
        let mut line = serde_json::to_string(row)?;
        line.push('\n');
        self.hash.update(line.as_bytes());
        self.rows.write_all(line.as_bytes()).context("cannot write the rows")?;
        self.summary.add(row);
        self.bar.inc(1);
        Ok(())
    }

    fn reject(&mut self, group: &Group, candidate: Option<&Candidate>, reject: &Reject) -> Result<()> {
        let mut line = json!({"questions": group.name(), "check": reject.check, "reason": reject.reason});
        if let Some(candidate) = candidate {
            line["question"] = candidate.question.clone().into();
            line["answers"] = json!(candidate.answers);
            line["gold"] = json!(candidate.gold);
        }
        writeln!(self.rejects, "{line}").context("cannot write the rejects")
    }

    fn finish(self) -> Result<(Summary, String)> {
        self.bar.finish_and_clear();
        self.rows.into_inner()?.sync_all()?;
        self.rejects.into_inner()?.sync_all()?;
        Ok((self.summary, format!("{:x}", self.hash.finalize())))
    }
}

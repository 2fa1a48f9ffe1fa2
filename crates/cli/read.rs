//! `longhand read`: documents in, an answer out, with everything in between to be seen.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use agent::{Mode, Progress, ReadSettings, Reading};
use anyhow::{Context, Result};
use data::{Document, MemoryOutcome, ReadEvent, Span};
use indicatif::ProgressBar;
use serde_json::json;

use crate::args::ModelArgs;
use crate::cited::Cited;
use crate::generate::SamplingArgs;
use crate::mind::Mind;
use crate::{documents, export, log, mind, progress};

/// Whole or through memory.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum ReadMode {
    /// One pass if everything fits, memory otherwise.
    Auto,
    /// One pass or an error.
    Single,
    /// Memory even if it would fit.
    Memory,
    /// Baseline: beginning and end of the documents, one pass.
    Truncate,
    /// Baseline: the passages keyword search (BM25) finds, one pass.
    Retrieve,
    /// Baseline: MemAgent's prompt.
    Memagent,
}

/// Reads files and folders (text, Markdown, HTML, PDF, DOCX, EPUB, CSV, XLSX, JSON, source code) and answers a question from them.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand read annual-report.txt --ask \"How much was spent on research?\"\n  longhand read ./my-project --ask \"Where are sessions closed?\" --model openai:http://127.0.0.1:8080/v1#qwen3-4b\n\nThe same command again resumes a read that was stopped, re-reading at most one chunk."
)]
pub struct ReadArgs {
    /// Files or folders to read, in order. In a folder .gitignore holds.
    #[arg(required = true, value_name = "DOC")]
    documents: Vec<PathBuf>,
    /// The question. Closing sentences such as "Answer with one word." are kept for the end.
    #[arg(long, value_name = "Q")]
    ask: String,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    options: ReadOptions,
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// Sizes and places.
#[derive(clap::Args, Clone, Debug)]
pub struct ReadOptions {
    /// Tokens of one call (prompt and reply); what fits this machine unless told otherwise.
    #[arg(long, value_name = "N")]
    pub window: Option<usize>,
    /// Tokens read per turn; 25 % of the window, at most 32K.
    #[arg(long, value_name = "N")]
    pub chunk: Option<usize>,
    /// Tokens of memory; 12 % of the window, at most 15K.
    #[arg(long, value_name = "N")]
    pub memory: Option<usize>,
    /// Whole or through memory.
    #[arg(long, value_enum, default_value = "auto")]
    pub mode: ReadMode,
    /// Ask for one verbatim quote with each note.
    #[arg(long)]
    pub quotes: bool,
    /// Tokens of room for thinking before each reply; as the model's template says unless told otherwise.
    #[arg(long, value_name = "N")]
    pub thinking: Option<usize>,
    /// Directory of the run's log; derived from the inputs unless told otherwise.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Keep the read with its documents in this directory, for `longhand export`.
    #[arg(long, value_name = "DIR", conflicts_with = "run")]
    pub save: Option<PathBuf>,
    /// Start over even if the run's log exists.
    #[arg(long)]
    pub fresh: bool,
    /// Print every event and the answer as JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// Runs the verb.
pub fn run(args: &ReadArgs) -> Result<()> {
    let documents = documents::open(&args.documents)?;
    let opened = mind::open_for(&args.model, &args.options, &documents)?;
    let mind = opened.mind();
    read(&mind, &documents, &args.ask, &args.options, args.sampling.sampling(mind.entry))?;
    opened.say_spent();
    Ok(())
}

/// Reads with a model that is already there. Shared with `demo`.
pub fn read(mind: &Mind<'_>, documents: &[Document], question: &str, options: &ReadOptions, sampling: data::Sampling) -> Result<Reading> {
    let model = mind.model;
    let mut settings = mind.settings();
    settings.sampling = sampling;
    settings.quotes = options.quotes;
    settings.begin = mind.begin;
    settings.thinking = options.thinking.unwrap_or(settings.thinking);
    settings.chunk = options.chunk.unwrap_or(settings.chunk);
    settings.memory = options.memory.unwrap_or(settings.memory);
    settings.mode = match options.mode {
        ReadMode::Auto => Mode::Auto,
        ReadMode::Single => Mode::Single,
        ReadMode::Memory => Mode::Memory,
        ReadMode::Truncate => Mode::Truncate,
        ReadMode::Retrieve => Mode::Retrieve,
        ReadMode::Memagent => Mode::MemAgent,
    };
    let directory =
        options.save.clone().or_else(|| options.run.clone()).unwrap_or_else(|| default_run(documents, question, &model.name(), &settings));
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make the run's directory {}", directory.display()))?;
    let path = directory.join("events.jsonl");
    if options.fresh && path.exists() {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let (mut sink, past) = log::open(&path)?;
    if options.save.is_some() {
        export::keep(&directory, documents)?;
    }
    eprintln!("model   {}", model.name());
    eprintln!(
        "window  {} tokens, chunk {}, memory {}, thinking {}, answer {}",
        settings.window, settings.chunk, settings.memory, settings.thinking, settings.answer
    );
    eprintln!("log     {}", path.display());
    let mut watcher = Watcher::new(options.json, documents);
    past.iter().for_each(|event| watcher.note(event));
    let reading = {
        let mut watch = |progress: Progress<'_>| watcher.see(progress);
        pollster::block_on(agent::read(model, mind.tokenizer, documents, question, &settings, &past, &mut sink, &mut watch))
    };
    watcher.bar.finish_and_clear();
    let reading = reading.with_context(|| format!("the read stopped; run the same command again to go on from {}", path.display()))?;
    let (covered, total) = reading.coverage;
    eprintln!("coverage {:.1} % ({covered} of {total} bytes)", 100.0 * covered as f64 / total.max(1) as f64);
    for span in &reading.skipped {
        eprintln!("  not read: {} bytes {}..{}", span.doc, span.start, span.end);
    }
    let mut cited = watcher.cited;
    let skipped = |document: &Document| reading.skipped.iter().any(|span| span.doc == document.id);
    if !documents.iter().any(skipped) {
        cited.add_all();
    }
    let citations = cited.cite(&reading.answer);
    if options.json {
        let done = json!({"event": "done", "answer": reading.answer, "covered": covered, "bytes": total, "skipped": reading.skipped,
            "citations": cited.json(&citations)});
        println!("{done}");
    } else {
        println!("{}", cited.marked(&reading.answer, &citations));
        let sources = cited.sources(&reading.answer, &citations);
        if !sources.is_empty() {
            eprintln!("\nSources");
            sources.iter().for_each(|source| eprintln!("  {source}"));
        }
    }
    Ok(reading)
}

/// Shows the read as it goes.
struct Watcher<'a> {
    cited: Cited<'a>,
    json: bool,
    bar: ProgressBar,
    chunks: usize,
    since: Instant,
    chunk_tokens: usize,
    live: bool,
}

impl<'a> Watcher<'a> {
    fn new(json: bool, documents: &'a [Document]) -> Self {
        let live = std::io::stderr().is_terminal() && !json;
        Self { cited: Cited::new(documents), json, bar: ProgressBar::hidden(), chunks: 0, since: Instant::now(), chunk_tokens: 0, live }
    }

    fn see(&mut self, event: Progress<'_>) {
        match event {
            Progress::Planned { chunks: 0, tokens, .. } => eprintln!("the document fits the window: one pass over {tokens} tokens"),
            Progress::Planned { chunks, resumed, tokens } => {
                eprintln!(
                    "{tokens} tokens in {chunks} chunks{}",
                    if resumed > 0 { format!(", {resumed} read before") } else { String::new() }
                );
                self.chunks = chunks;
                if self.live {
                    self.bar = progress::tokens(tokens as u64, "reading");
                }
            }
            Progress::Chunk { tokens, .. } => {
                self.since = Instant::now();
                self.chunk_tokens = tokens;
            }
            Progress::Text(_) => self.bar.tick(),
            Progress::Event(event) => {
                if self.json
                    && let Ok(line) = serde_json::to_string(event)
                {
                    println!("{line}");
                    let _ = std::io::stdout().flush();
                }
                self.show(event);
            }
        }
    }

    /// What an event says was read may be cited.
    fn note(&mut self, event: &ReadEvent) {
        match event {
            ReadEvent::Selected { spans } => self.cited.add(spans.iter().cloned()),
            ReadEvent::Chunk { doc, start, end, .. } => self.cited.add([Span { doc: doc.clone(), start: *start, end: *end }]),
            _ => {}
        }
    }

    fn show(&mut self, event: &ReadEvent) {
        self.note(event);
        let ReadEvent::Chunk { index, tokens, memory, plan, outcome, usage, .. } = event else { return };
        let citations = self.cited.memory(memory).to_vec();
        self.bar.inc(*tokens as u64);
        let seconds = self.since.elapsed().as_secs_f64();
        let left = seconds * (self.chunks - index - 1) as f64;
        let rate = (usage.prompt_tokens + usage.completion_tokens) as f64 / seconds.max(1e-9);
        let remark = match outcome {
            MemoryOutcome::Updated => String::new(),
            MemoryOutcome::Unchanged => " (memory unchanged)".into(),
            MemoryOutcome::MissingTags => " (no <memory> tags: the whole reply was taken)".into(),
            MemoryOutcome::KeptPrevious => " (empty reply: the memory was kept)".into(),
            MemoryOutcome::Collapsed { removed } => format!(" ({removed} repeated lines dropped)"),
            MemoryOutcome::Truncated { tokens } => format!(" (memory of {tokens} tokens cut to its budget)"),
        };
        let text = format!(
            "\n[{}/{}] {rate:.0} tokens/s, {left:.0} s left{remark}\n{}\nplan: {}",
            index + 1,
            self.chunks,
            indent(&self.cited.marked(memory, &citations)),
            plan.replace('\n', " ")
        );
        if self.live { self.bar.println(text) } else { eprintln!("{text}") }
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// A directory name that the same inputs always give.
fn default_run(documents: &[Document], question: &str, model: &str, settings: &ReadSettings) -> PathBuf {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in documents.iter().map(|d| &*d.text).chain([question, model, &format!("{settings:?}")]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: String = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let stem = Path::new(&documents[0].source).file_stem().map_or("read".into(), |stem| stem.to_string_lossy().into_owned());
    PathBuf::from("longhand-runs").join(format!("{stem}-{digest}"))
}

//! `longhand read`: documents in, an answer out, with everything in between to be seen.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use agent::report::{Cited, quotes_json};
use agent::{Ask, Mode, Progress, ReadSettings, Reading};
use anyhow::{Context, Result, ensure};
use data::{Document, MemoryOutcome, ReadEvent, Span};
use indicatif::ProgressBar;
use serde_json::json;

use crate::args::ModelArgs;
use crate::generate::SamplingArgs;
use crate::mind::Mind;
use crate::{documents, kept, log, mind, progress};

/// Bytes of text whose cutting into chunks takes long enough to be said.
const LARGE: usize = 16 << 20;

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

/// Reads files and folders (text, Markdown, HTML, PDF, DOCX, EPUB, CSV, XLSX, JSON, source code) and answers questions from them;
/// without a question, outlines them.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand read annual-report.pdf --ask \"How much was spent on research?\" --ask \"Who audits?\"\n  longhand read ./my-project --ask \"Where are sessions closed?\" --model openai:http://127.0.0.1:8080/v1#qwen3-4b\n  longhand read novel.epub --save novel\n\nThe same command again resumes a read that was stopped, re-reading at most one chunk a question. A read kept with --save can be\nexported (`longhand export`) and asked further (`longhand ask`)."
)]
pub struct ReadArgs {
    /// Files or folders to read, in order. In a folder .gitignore holds.
    #[arg(required = true, value_name = "DOC")]
    documents: Vec<PathBuf>,
    /// A question; may repeat: the documents are read once, with a memory and a call a section for each. Closing sentences such as
    /// "Answer with one word." are kept for the end. Without a question: an outline.
    #[arg(long, value_name = "Q")]
    ask: Vec<String>,
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
    /// Ask for one verbatim quote with each note, and drop notes whose quote does not stand there. With --short: drop new notes whose names
    /// and numbers no sentence of the section has, and those that share no name with the question or the notes before.
    #[arg(long)]
    pub quotes: bool,
    /// Prompts of a few words, for small models that were trained on them.
    #[arg(long)]
    pub short: bool,
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
    let outline = args.ask.is_empty();
    ensure!(!(outline && args.options.quotes), "--quotes is for questions: an outline quotes nothing");
    ensure!(!(outline && args.options.short), "--short is for questions: an outline has prompts of its own");
    ensure!(
        !outline || matches!(args.options.mode, ReadMode::Auto | ReadMode::Memory),
        "an outline has no such mode: give a question with --ask, or leave --mode out"
    );
    let documents = documents::open(&args.documents)?;
    let opened = mind::open_for(&args.model, &args.options, &documents, args.ask.len())?;
    let mind = opened.mind();
    let questions: Vec<&str> = args.ask.iter().map(String::as_str).collect();
    read(&mind, &documents, &questions, &args.options, args.sampling.sampling(mind.entry))?;
    opened.say_spent();
    Ok(())
}

/// Reads with a model that is already there; no question is an outline. Shared with `demo`.
pub fn read(
    mind: &Mind<'_>,
    documents: &[Document],
    questions: &[&str],
    options: &ReadOptions,
    sampling: data::Sampling,
) -> Result<Vec<Reading>> {
    let model = mind.model;
    let settings = settings(mind, options, sampling, questions.is_empty());
    let questions = if questions.is_empty() { &[""] } else { questions };
    let directory =
        options.save.clone().or_else(|| options.run.clone()).unwrap_or_else(|| default_run(documents, questions, &model.name(), &settings));
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make the run's directory {}", directory.display()))?;
    if options.fresh {
        kept::clear(&directory)?;
    }
    let mut logs = Vec::new();
    for number in 0..questions.len() {
        logs.push(log::open(&kept::log_path(&directory, number))?);
    }
    if options.save.is_some() {
        kept::keep(&directory, documents)?;
    }
    eprintln!("model   {}", model.name());
    eprintln!(
        "window  {} tokens, chunk {}, memory {}, thinking {}, answer {}",
        settings.window, settings.chunk, settings.memory, settings.thinking, settings.answer
    );
    let shown = if questions.len() == 1 { kept::log_path(&directory, 0) } else { directory.clone() };
    eprintln!("log     {}", shown.display());
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    if bytes > LARGE {
        eprintln!("cutting {} MB into chunks, which takes a while…", bytes / 1_000_000);
    }
    let asks = logs.iter_mut().zip(questions).map(|((sink, past), question)| Ask::new(question, past, sink)).collect();
    let (readings, watcher) = run_all(mind, documents, asks, &settings, options.json)
        .with_context(|| format!("the read stopped; run the same command again to go on from {}", shown.display()))?;
    for (number, (reading, question)) in readings.iter().zip(questions).enumerate() {
        if questions.len() > 1 && !options.json {
            println!("{}# {question}\n", if number > 0 { "\n" } else { "" });
        }
        watcher.say(number, reading, documents);
    }
    Ok(readings)
}

/// The settings that options, model and sampling make.
fn settings(mind: &Mind<'_>, options: &ReadOptions, sampling: data::Sampling, outline: bool) -> ReadSettings {
    let mut settings = mind.settings();
    settings.sampling = sampling;
    settings.quotes = options.quotes;
    settings.begin = mind.begin;
    settings.short = options.short;
    settings.thinking = options.thinking.unwrap_or(settings.thinking);
    settings.chunk = options.chunk.unwrap_or(settings.chunk);
    settings.memory = options.memory.unwrap_or(settings.memory);
    settings.mode = match options.mode {
        _ if outline => Mode::Outline,
        ReadMode::Auto => Mode::Auto,
        ReadMode::Single => Mode::Single,
        ReadMode::Memory => Mode::Memory,
        ReadMode::Truncate => Mode::Truncate,
        ReadMode::Retrieve => Mode::Retrieve,
        ReadMode::Memagent => Mode::MemAgent,
    };
    settings
}

/// Runs the asks, shown as they go. Shared with `ask`.
pub fn run_all<'d>(
    mind: &Mind<'_>,
    documents: &'d [Document],
    asks: Vec<Ask<'_>>,
    settings: &ReadSettings,
    json: bool,
) -> Result<(Vec<Reading>, Watcher<'d>)> {
    let mut watcher = Watcher::new(json, documents, asks.len(), settings);
    for (number, ask) in asks.iter().enumerate() {
        ask.past.iter().for_each(|event| watcher.note(number, event));
    }
    let readings = {
        let mut watch = |progress: Progress<'_>| watcher.see(progress);
        pollster::block_on(agent::read_all(mind.model, mind.tokenizer, documents, asks, settings, &mut watch))
    };
    watcher.bar.finish_and_clear();
    Ok((readings?, watcher))
}

/// Shows reads as they go.
pub struct Watcher<'a> {
    documents: &'a [Document],
    /// What each question's read may cite.
    pub cited: Vec<Cited<'a>>,
    json: bool,
    bar: ProgressBar,
    chunks: usize,
    since: Instant,
    /// Turns since `since`, and what they took.
    turns: usize,
    live: bool,
    outline: bool,
}

impl<'a> Watcher<'a> {
    fn new(json: bool, documents: &'a [Document], questions: usize, settings: &ReadSettings) -> Self {
        let live = std::io::stderr().is_terminal() && !json;
        let index = Cited::new(documents);
        let outline = settings.mode == Mode::Outline;
        let each = || index.afresh().with_quotes(settings.quotes && !settings.short).with_outline(outline).with_short(settings.short);
        let cited = (0..questions).map(|_| each()).collect();
        Self { documents, cited, json, bar: ProgressBar::hidden(), chunks: 0, since: Instant::now(), turns: 0, live, outline }
    }

    fn see(&mut self, event: Progress<'_>) {
        match event {
            Progress::Planned { chunks: 0, tokens, .. } => eprintln!("one pass over {tokens} tokens"),
            Progress::Planned { chunks, resumed, tokens } => {
                let questions = self.cited.len();
                eprintln!(
                    "{tokens} tokens in {chunks} chunks{}{}",
                    if questions > 1 {
                        format!(", each read once for {questions} questions: {} calls", (chunks + 1) * questions)
                    } else {
                        String::new()
                    },
                    if resumed > 0 { format!("; {resumed} read before") } else { String::new() }
                );
                self.chunks = chunks;
                self.since = Instant::now();
                if self.live {
                    self.bar = progress::tokens((tokens * questions) as u64, "reading");
                }
            }
            Progress::Chunk { .. } => {}
            Progress::Text(_) => self.bar.tick(),
            Progress::Event { question, event } => {
                if self.json
                    && let Ok(mut line) = serde_json::to_value(event)
                {
                    if let Some(fields) = line.as_object_mut().filter(|_| self.cited.len() > 1) {
                        fields.insert("question_number".into(), (question + 1).into());
                    }
                    println!("{line}");
                    let _ = std::io::stdout().flush();
                }
                self.show(question, event);
            }
        }
    }

    /// What an event says was read may be cited.
    pub fn note(&mut self, question: usize, event: &ReadEvent) {
        match event {
            ReadEvent::Selected { spans } => self.cited[question].add(spans.iter().cloned()),
            ReadEvent::Chunk { doc, start, end, .. } => self.cited[question].add([Span { doc: doc.clone(), start: *start, end: *end }]),
            _ => {}
        }
    }

    fn show(&mut self, question: usize, event: &ReadEvent) {
        self.note(question, event);
        let ReadEvent::Chunk { index, tokens, memory, plan, outcome, usage, .. } = event else { return };
        let questions = self.cited.len();
        let cited = &mut self.cited[question];
        let citations = if self.outline { cited.cite(memory) } else { cited.memory(memory).to_vec() };
        if self.json && !cited.quotes().is_empty() {
            println!("{}", json!({"event": "quotes", "index": index, "quotes": quotes_json(self.documents, cited.quotes())}));
        }
        self.bar.inc(*tokens as u64);
        self.turns += 1;
        let seconds = self.since.elapsed().as_secs_f64() / self.turns as f64;
        let left = seconds * ((self.chunks - index - 1) * questions + (questions - 1 - question)) as f64;
        let rate = (usage.prompt_tokens + usage.completion_tokens) as f64 / seconds.max(1e-9);
        let remark = match outcome {
            MemoryOutcome::Updated => String::new(),
            MemoryOutcome::Unchanged => " (memory unchanged)".into(),
            MemoryOutcome::MissingTags => " (not in the form asked for: the whole reply was taken)".into(),
            MemoryOutcome::KeptPrevious => " (empty reply: the memory was kept)".into(),
            MemoryOutcome::Collapsed { removed } => format!(" ({removed} repeated lines dropped)"),
            MemoryOutcome::Unproven { removed } => format!(" ({removed} notes dropped: what they say does not stand here)"),
            MemoryOutcome::RanOn { tokens } => {
                format!(" (a memory of {tokens} tokens without an end: only what the question names was added)")
            }
            MemoryOutcome::Truncated { tokens } => format!(" (memory of {tokens} tokens cut to its budget)"),
        };
        let mut text = format!(
            "\n[{}/{}]{} {rate:.0} tokens/s, {left:.0} s left{remark}\n{}",
            index + 1,
            self.chunks,
            if questions > 1 { format!(" question {}", question + 1) } else { String::new() },
            indent(&cited.marked(memory, &citations)),
        );
        if !plan.is_empty() {
            text.push_str(&format!("\nplan: {}", plan.replace('\n', " ")));
        }
        if self.live { self.bar.println(text) } else { eprintln!("{text}") }
    }

    /// The answer of a question, with its coverage and sources.
    pub fn say(&self, question: usize, reading: &Reading, documents: &[Document]) {
        let mut read = None;
        let skipped = |document: &Document| reading.skipped.iter().any(|span| span.doc == document.id);
        if !documents.iter().any(skipped) {
            let mut cited = self.cited[question].afresh().with_outline(self.outline);
            cited.add_all();
            read = Some(cited);
        }
        let cited = read.as_ref().unwrap_or(&self.cited[question]);
        let (covered, total) = reading.coverage;
        eprintln!("coverage {:.1} % ({covered} of {total} bytes)", 100.0 * covered as f64 / total.max(1) as f64);
        for span in &reading.skipped {
            eprintln!("  not read: {} bytes {}..{}", span.doc, span.start, span.end);
        }
        let citations = cited.cite(&reading.answer);
        if self.json {
            let mut done = json!({"event": "done", "answer": reading.answer, "covered": covered, "bytes": total, "skipped": reading.skipped,
                "citations": cited.json(&citations)});
            if self.cited.len() > 1 {
                done["question_number"] = (question + 1).into();
            }
            println!("{done}");
            return;
        }
        println!("{}", cited.marked(&reading.answer, &citations));
        let sources = cited.sources(&reading.answer, &citations);
        if !sources.is_empty() && !self.outline {
            eprintln!("\nSources");
            sources.iter().for_each(|source| eprintln!("  {source}"));
        }
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// A directory name that the same inputs always give.
fn default_run(documents: &[Document], questions: &[&str], model: &str, settings: &ReadSettings) -> PathBuf {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    let settings = format!("{settings:?}");
    for part in documents.iter().map(|d| &*d.text).chain(questions.iter().copied()).chain([model, &settings]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: String = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let stem = Path::new(&documents[0].source).file_stem().map_or("read".into(), |stem| stem.to_string_lossy().into_owned());
    PathBuf::from("longhand-runs").join(format!("{stem}-{digest}"))
}

//! Who reads: from `--model` to a model that is loaded or a server that answers.

use agent::ReadSettings;
use anyhow::{Result, ensure};
use data::{ChatModel, Document};
use server::Client;
use tokenizer::Tokenizer;

use crate::args::ModelArgs;
use crate::catalog::Entry;
use crate::choose::{self, Candidate, Fit, Machine, Task};
use crate::read::ReadOptions;
use crate::speeds::{self, Timed};
use crate::{load, speeds::Record};

/// Bytes of a document whose tokens are counted; the rest is taken to be like them.
const COUNTED: usize = 256 * 1024;

/// A model on this machine, or a server's.
#[allow(clippy::large_enum_variant)]
pub enum Opened {
    /// The local engine, and the entry it is, if any.
    Local(Timed, Option<&'static Entry>),
    /// An OpenAI-compatible server.
    Server(Client),
}

/// Who reads.
pub struct Mind<'a> {
    /// The local engine or a server.
    pub model: &'a dyn ChatModel,
    /// What counts its tokens.
    pub tokenizer: &'a Tokenizer,
    /// Whether it may think before it replies.
    pub thinks: bool,
    /// Whether it is given the first words of its updates.
    pub begin: bool,
    /// The entry of `configs/models.toml` it is, whose sampling and sizes are then the defaults.
    pub entry: Option<&'static Entry>,
}

impl Mind<'_> {
    /// The reader's settings where nothing else is said.
    pub fn settings(&self) -> ReadSettings {
        match self.entry {
            Some(entry) => entry.settings(self.model.window(), self.thinks),
            None => ReadSettings::for_window(self.model.window(), self.thinks),
        }
    }
}

/// Opens what `--model` names or chooses, for calls of up to `window` tokens (`None`: what fits this machine).
pub fn open(args: &ModelArgs, window: Option<usize>) -> Result<Opened> {
    open_task(args, &Task { window, ..Task::default() })
}

/// As [`open`], for reading `documents` for so many questions: the time that takes is estimated and said, and counts when a model is
/// chosen.
pub fn open_for(args: &ModelArgs, options: &ReadOptions, documents: &[Document], questions: usize) -> Result<Opened> {
    let tokens = if args.model.starts_with("openai:") { None } else { Some(count(documents)? * questions.max(1)) };
    let ReadOptions { window, chunk, memory, thinking, .. } = *options;
    open_task(args, &Task { tokens, window, chunk, memory, thinking, questions: questions.max(1) })
}

fn open_task(args: &ModelArgs, task: &Task) -> Result<Opened> {
    if args.model.starts_with("openai:") {
        ensure!(
            args.machine.is_default(),
            "--device, --adapter, --threads, --exact and --kv are for models on this machine; the server decides about its own"
        );
        let client = load::client(&args.model, task.window)?;
        if client.tokenizer().is_approximate() {
            eprintln!("tokens are estimated: the server's tokenizer is not here");
        }
        return Ok(Opened::Server(client));
    }
    let auto = args.model == "auto";
    let name = if auto { choose::auto(&args.machine, task, args.yes)? } else { args.model.clone() };
    let (checkpoint, path) = load::checkpoint(&name)?;
    let mut candidate = Candidate::checkpoint(&name, &path, &checkpoint)?;
    let window = task.window.unwrap_or_else(|| candidate.window(load::free_memory(), args.machine.kv));
    if !auto && task.tokens.is_some() {
        let (machine, device) = Machine::here(&args.machine, &[candidate.dtype])?;
        candidate.record = find(&candidate, &device);
        let judged = candidate.judge(&machine, &Task { window: Some(window), ..*task });
        choose::say_time(&candidate, &judged, task);
        match judged.fit {
            Fit::Experts => eprintln!(
                "        {} of memory are needed and fewer are free; slower: experts are read from disk",
                choose::bytes(judged.needs)
            ),
            Fit::No => eprintln!(
                "        {} of memory are needed and fewer are free: it may be very slow, or stop. `longhand models` shows what fits",
                choose::bytes(judged.needs)
            ),
            Fit::Yes | Fit::Window => {}
        }
    }
    drop(checkpoint);
    let device = load::device(&args.machine, kernels::Precision::Fast)?.describe();
    let engine = load::chat(&name, &args.machine, Some(window), task.questions)?;
    Ok(Opened::Local(Timed::new(engine, (candidate.key, candidate.bytes, device)), candidate.entry))
}

fn find(candidate: &Candidate, device: &str) -> Option<Record> {
    speeds::kept().into_iter().find(|record| record.is_of(&candidate.key, candidate.bytes, device))
}

/// Tokens of all documents, about: before a model is there, its tokenizer is not known.
fn count(documents: &[Document]) -> Result<usize> {
    let tokenizer = Tokenizer::approximate();
    let mut total = 0.0;
    for document in documents {
        let text = &*document.text;
        let end = (0..=text.len().min(COUNTED)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        total += tokenizer.count(&text[..end])? as f64 * text.len() as f64 / end.max(1) as f64;
    }
    Ok(total as usize)
}

impl Opened {
    /// As the reader takes it.
    pub fn mind(&self) -> Mind<'_> {
        match self {
            Self::Local(model, entry) => {
                let engine = &model.engine;
                Mind { model, tokenizer: engine.tokenizer(), thinks: engine.thinks(), begin: true, entry: *entry }
            }
            // What a server's model does before it answers is not known: room for thinking unless told otherwise.
            Self::Server(client) => Mind { model: client, tokenizer: client.tokenizer(), thinks: true, begin: true, entry: None },
        }
    }

    /// When the work is done: says what a server was asked for; keeps how fast a local model was.
    pub fn say_spent(&self) {
        let client = match self {
            Self::Local(model, _) => return model.record().into_iter().for_each(speeds::keep),
            Self::Server(client) => client,
        };
        let spent = client.totals();
        eprintln!(
            "{} calls, {} from the cache, {} prompt and {} completion tokens{}",
            spent.calls,
            spent.cached,
            spent.prompt_tokens,
            spent.completion_tokens,
            if spent.estimated > 0 { " (estimated)" } else { "" }
        );
    }
}

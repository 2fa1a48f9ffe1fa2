//! `longhand demo`: a small published model reads a bundled speech through a window that the speech does not fit.

use anyhow::Result;
use data::{Document, Sampling};

use crate::args::MachineArgs;
use crate::mind::Mind;
use crate::read::ReadOptions;
use crate::{fetch, load, read};

const TEXT: &str = include_str!("../../../tests/documents/demo.txt");
const QUESTION: &str = include_str!("../../../tests/documents/demo.question.txt");

#[derive(clap::Args)]
pub struct SpeechArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// Another question about the bundled speech.
    #[arg(long, value_name = "Q")]
    ask: Option<String>,
    #[command(flatten)]
    options: ReadOptions,
}

/// Runs it.
pub fn run(args: &SpeechArgs) -> Result<()> {
    let path = fetch::demo_model()?;
    let window = args.options.window.unwrap_or(2048);
    let model = load::chat(&path.display().to_string(), &args.machine, Some(window), 1)?;
    let document = Document::plain("demo", "demo.txt", TEXT);
    let question = args.ask.as_deref().unwrap_or(QUESTION).trim();
    eprintln!("A demonstration: a 135-million-parameter model reads {} bytes through a window of {window} tokens.", TEXT.len());
    eprintln!("It shows the machinery; a model this small is often wrong. question: {question}\n");
    let mind = Mind { model: &model, tokenizer: model.tokenizer(), thinks: model.thinks(), begin: false, entry: None };
    read::read(&mind, &[document], &[question], &args.options, Sampling::GREEDY).map(drop)
}

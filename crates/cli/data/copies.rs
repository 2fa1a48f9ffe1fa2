//! `longhand data copies`: rows that ask a model to repeat random words. A model made from nothing learns to look back by them within minutes;
//! from natural sentences, whose words can mostly be guessed, it takes many times as long (EXPERIMENTS.md).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokenizer::Tokenizer;
use train::sft::random;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand data copies --tokenizer tokenizer.json --items 20000 --out copies.jsonl")]
pub struct CopiesArgs {
    /// Whose words: a tokenizer.json.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// How many rows.
    #[arg(long, value_name = "N")]
    items: u64,
    /// Words of a row, from and to.
    #[arg(long, value_name = "N-M", default_value = "6-30")]
    words: String,
    /// Another seed, other words.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The file, a row a line; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &CopiesArgs) -> Result<()> {
    let [from, to] = super::world::range(&args.words).context("--words")?;
    ensure!(from > 0, "--words begins at 1");
    let name = args.tokenizer.display().to_string();
    let tokenizer = Tokenizer::from_json(&std::fs::read(&args.tokenizer).with_context(|| format!("cannot read {name}"))?)?;
    let words: Vec<String> = (0..tokenizer.vocab_size() as u32).filter_map(|id| word(&tokenizer, id)).collect();
    ensure!(words.len() > 1, "{name} has no tokens that are a word and the space before it");
    let file = File::options().write(true).create_new(true).open(&args.out);
    let mut out = BufWriter::new(file.with_context(|| format!("cannot write {}: name another with --out", args.out.display()))?);
    for row in 0..args.items {
        let draw = |number: u64, below: usize| (random(args.seed, row, number) % below as u64) as usize;
        let count = from + draw(0, to - from + 1);
        let text = (1..=count as u64).map(|number| words[draw(number, words.len())].as_str()).collect::<Vec<_>>().join(" ");
        writeln!(out, "{}", json!({"prompt": text, "answer": text}))?;
    }
    out.flush()?;
    eprintln!("{}: {} rows of {} different words", args.out.display(), args.items, words.len());
    Ok(())
}

/// The word of a token that is a space and letters.
fn word(tokenizer: &Tokenizer, id: u32) -> Option<String> {
    let text = tokenizer.decode(&[id], false).ok()?;
    let word = text.strip_prefix(' ')?;
    (!word.is_empty() && word.chars().all(char::is_alphabetic)).then(|| word.to_string())
}

//! `longhand init`: what to start from: a configuration, a tokenizer, a model of random weights.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Subcommand, ValueEnum};
use kernels::DType;
use tokenizer::{Parts, Tokenizer, train_bpe};
use train::Config;
use train::export::{Fresh, fresh};
use train::rl::recipe::Recipe;

/// What to start from: a configuration with every key at its default, explained; a tokenizer of your own texts; a new model.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand init train --out my-training.toml\n  longhand init rl --out my-run.toml\n  longhand init synth --out synth.toml\n  longhand init tokenizer --text rows.jsonl --size 2048 --out tokenizer.json\n  longhand init model --config config.json --tokenizer tokenizer.json --out new-model"
)]
pub struct InitArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Of a training.
    Train {
        /// Where it goes; what is there stays.
        #[arg(long, value_name = "FILE", default_value = "train.toml")]
        out: PathBuf,
    },
    /// Of a reinforcement-learning run.
    Rl {
        /// Where it goes; what is there stays.
        #[arg(long, value_name = "FILE", default_value = "rl.toml")]
        out: PathBuf,
    },
    /// Of a dataset from your documents.
    Synth {
        /// Where it goes; what is there stays.
        #[arg(long, value_name = "FILE", default_value = "synth.toml")]
        out: PathBuf,
    },
    /// A byte-level BPE vocabulary of your own texts.
    Tokenizer(TokenizerArgs),
    /// A model of random weights, with ChatML as its template.
    Model(ModelArgs),
}

#[derive(clap::Args)]
struct TokenizerArgs {
    /// Texts to make it from. Of a .jsonl file every string of every row counts.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    text: Vec<PathBuf>,
    /// Tokens in all, at least 260.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    size: usize,
    /// Numbers are parts like words, not digit by digit: a small model copies them better, and cannot calculate with them.
    #[arg(long)]
    numbers: bool,
    /// Numbers in twos of digits: a year is two parts, as a name is.
    #[arg(long, conflicts_with = "numbers")]
    pairs: bool,
    /// Where it goes; what is there stays.
    #[arg(long, value_name = "FILE", default_value = "tokenizer.json")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct ModelArgs {
    /// config.json as Transformers writes it; `vocab_size` may be left out.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// tokenizer.json with <|im_end|> and <|pad|>: `longhand init tokenizer` makes one.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// Format of the weights.
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value = "f32")]
    kind: Kind,
    /// Another seed, other weights.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A new or empty folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// `--type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    F32,
    F16,
    Bf16,
}

/// Runs the verb.
pub fn run(args: &InitArgs) -> Result<()> {
    let (out, text, needed) = match &args.what {
        What::Tokenizer(args) => return make_tokenizer(args),
        What::Model(args) => return make_model(args),
        What::Train { out } => (out, Config::TEMPLATE, "model.path and data.file"),
        What::Rl { out } => (out, Recipe::TEMPLATE, "model.path, data.file and train.steps"),
        What::Synth { out } => (out, crate::synth::config::Config::TEMPLATE, "documents.paths"),
    };
    write_new(out, text)?;
    eprintln!("wrote {}: set {needed}, the rest may stay", out.display());
    Ok(())
}

/// Writes a file that is not there yet.
fn write_new(out: &Path, text: &str) -> Result<()> {
    let cannot = || format!("cannot write {}", out.display());
    let mut file = match OpenOptions::new().write(true).create_new(true).open(out) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already, and is kept: name another with --out, or remove it", out.display())
        }
        opened => opened.with_context(cannot)?,
    };
    file.write_all(text.as_bytes()).with_context(cannot)
}

fn make_tokenizer(args: &TokenizerArgs) -> Result<()> {
    // What is there stays: said before the work.
    ensure!(!args.out.exists(), "{} is there already, and is kept: name another with --out, or remove it", args.out.display());
    let mut texts = Vec::new();
    for file in &args.text {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        if file.extension().is_some_and(|end| end == "jsonl") {
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let row = serde_json::from_str(line).with_context(|| format!("{}, line {} is no JSON", file.display(), number + 1))?;
                strings(row, &mut texts);
            }
        } else {
            texts.push(text);
        }
    }
    ensure!(texts.iter().any(|text| !text.trim().is_empty()), "there is no text in {} files", args.text.len());
    let parts = match (args.numbers, args.pairs) {
        (true, _) => Parts::Numbers,
        (_, true) => Parts::Pairs,
        _ => Parts::Digits,
    };
    let json = train_bpe(texts.iter(), parts, args.size, &[world::PAD, world::IM_START, world::IM_END])?;
    write_new(&args.out, &json)?;
    let tokenizer = Tokenizer::from_json(json.as_bytes())?;
    let sample: String = texts.iter().flat_map(|text| [text.as_str(), "\n"]).collect::<String>().chars().take(100_000).collect();
    let letters = sample.len() as f64 / tokenizer.count(&sample)?.max(1) as f64;
    eprintln!("wrote {}: {} tokens, {letters:.1} bytes each in these texts", args.out.display(), tokenizer.vocab_size());
    Ok(())
}

/// Every string in a row.
fn strings(value: serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => out.push(text),
        serde_json::Value::Array(all) => all.into_iter().for_each(|value| strings(value, out)),
        serde_json::Value::Object(all) => all.into_iter().for_each(|(_, value)| strings(value, out)),
        _ => {}
    }
}

fn make_model(args: &ModelArgs) -> Result<()> {
    let read = |file: &PathBuf| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    let (config, json) = (read(&args.config)?, read(&args.tokenizer)?);
    let tokenizer = Tokenizer::from_json(json.as_bytes())?;
    for token in [world::PAD, world::IM_START, world::IM_END] {
        ensure!(
            tokenizer.id(token).is_some(),
            "{} has no token {token}: `longhand init tokenizer` makes one that does",
            args.tokenizer.display()
        );
    }
    let mut config: serde_json::Value = serde_json::from_str(&config).with_context(|| format!("{} is no JSON", args.config.display()))?;
    let map = config.as_object_mut().with_context(|| format!("{} is no JSON object", args.config.display()))?;
    map.entry("eos_token_id").or_insert(tokenizer.id(world::IM_END).into());
    map.entry("pad_token_id").or_insert(tokenizer.id(world::PAD).into());
    let window = map.get("max_position_embeddings").and_then(serde_json::Value::as_u64).unwrap_or(0) as usize;
    let beside = tokenizer::tokenizer_config(tokenizer::SPACED_CHATML, world::IM_END, world::PAD, window);
    let dtype = match args.kind {
        Kind::F32 => DType::F32,
        Kind::F16 => DType::F16,
        Kind::Bf16 => DType::BF16,
    };
    let config = config.to_string();
    let job = Fresh { config: config.as_bytes(), tokenizer: (&json, &beside), dtype, seed: args.seed };
    let parameters = fresh(&job, &args.out)?;
    eprintln!("wrote {}: {parameters} parameters, random (seed {})", args.out.display(), args.seed);
    Ok(())
}

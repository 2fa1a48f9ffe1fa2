//! `longhand data notes`: rows that teach a model to read with notes, from items whose evidence is known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use data::Item;
use indicatif::ProgressBar;
use serde_json::json;
use train::notes::{lessons, thin};
use train::rl::memory::Memory;
use train::sft::ChatFormat;

use crate::load;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand data world --items 2000 --words 400-1200 --tiny --ordered --out items.jsonl\n  longhand data notes items.jsonl --model ./new-model --chunk 256 --memory 96 --out lessons.jsonl"
)]
pub struct NotesArgs {
    /// Items with their document and evidence, as `longhand data world` writes them.
    items: PathBuf,
    /// The model whose tokens count: a folder, a .gguf file, a name.
    #[arg(long, value_name = "M")]
    model: String,
    /// Tokens of a section.
    #[arg(long, value_name = "N", default_value_t = 256)]
    chunk: usize,
    /// Tokens of the notes.
    #[arg(long, value_name = "N", default_value_t = 96)]
    memory: usize,
    /// About the share of turns that bring nothing; of more, some are left out.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    same: f64,
    /// A row for each item that asks about the whole document, too.
    #[arg(long)]
    whole: bool,
    /// Which turns are left out.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The file, a row a line; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &NotesArgs) -> Result<()> {
    ensure!((0.0..=1.0).contains(&args.same), "--same is a share, from 0 to 1, not {}", args.same);
    let (checkpoint, path) = load::checkpoint(&args.model)?;
    let chat = ChatFormat::new(&checkpoint).with_context(|| format!("cannot use {} to make tokens", path.display()))?;
    let memory = Memory { chunk: args.chunk, memory: args.memory, plan: 0, short: true, quotes: false };
    let name = args.items.display().to_string();
    let bytes = File::open(&args.items).with_context(|| format!("cannot read {name}"))?;
    let file = File::options().write(true).create_new(true).open(&args.out);
    let mut out = BufWriter::new(file.with_context(|| format!("cannot write {}: name another with --out", args.out.display()))?);
    let bar = ProgressBar::new_spinner();
    let (mut items, mut rows, mut left_out) = (0, 0, BTreeMap::<String, usize>::new());
    for (number, line) in BufReader::new(bytes).lines().enumerate() {
        let line = line.with_context(|| format!("{name}, line {}", number + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let item: Item = serde_json::from_str(&line).with_context(|| format!("{name}, line {} is no item", number + 1))?;
        items += 1;
        match lessons(&item, &memory, &chat) {
            Ok(all) => {
                for lesson in thin(all, args.same, args.seed) {
                    let row = json!({"prompt": lesson.prompt, "answer": lesson.answer, "id": lesson.id, "turn": lesson.turn});
                    writeln!(out, "{row}")?;
                    rows += 1;
                }
            }
            Err(why) => *left_out.entry(why.to_string()).or_default() += 1,
        }
        if args.whole {
            let row = json!({"prompt": item.prompt, "answer": item.answers.first(), "id": item.id});
            writeln!(out, "{row}")?;
            rows += 1;
        }
        bar.set_message(format!("{items} items"));
        bar.tick();
    }
    out.flush()?;
    bar.finish_and_clear();
    for (why, count) in &left_out {
        eprintln!("{count} items left out: {why}");
    }
    ensure!(rows > 0, "no item of {name} gives a lesson");
    eprintln!("{}: {rows} rows of {items} items", args.out.display());
    Ok(())
}

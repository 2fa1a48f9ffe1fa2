//! `longhand data world`: items of the small world, for training and for measuring.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use world::{Split, Task, World, WorldSettings};

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand data world --items 2000 --words 2000-8000 --out train.jsonl\n  longhand data world --items 4 --words 3000000 --hops 1-2 --split held --out four-million-tokens.jsonl"
)]
pub struct WorldArgs {
    /// How many items; tasks take turns.
    #[arg(long, value_name = "N")]
    items: u64,
    /// Words of a document, or from how many to how many; from 20 on.
    #[arg(long, value_name = "N[-M]", default_value = "2000-8000")]
    words: String,
    /// Links of a question.
    #[arg(long, value_name = "N[-M]", default_value = "1-4")]
    hops: String,
    /// multiple_choice, multi_hop, reading, dialogue, numeric; all unless told otherwise.
    #[arg(long, value_name = "TASK,…", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Look-alikes of each question.
    #[arg(long, value_name = "N")]
    distractors: Option<usize>,
    /// Names, years and sentence templates to train on (train), or that no training has (held).
    #[arg(long, value_name = "SPLIT", default_value = "train")]
    split: String,
    /// Few names, short prompts and bare answers, for models of under a few million parameters.
    #[arg(long)]
    tiny: bool,
    /// Another seed, other documents.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The file, an item a line; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &WorldArgs) -> Result<()> {
    let split = match args.split.as_str() {
        "train" => Split::Train,
        "held" => Split::Held,
        other => bail!("--split is train or held, not {other}"),
    };
    let mut settings = if args.tiny {
        WorldSettings::tiny(args.seed, split)
    } else {
        WorldSettings { seed: args.seed, split, ..WorldSettings::default() }
    };
    settings.words = range(&args.words).context("--words")?;
    let hops = range(&args.hops).context("--hops")?;
    settings.hops = [hops[0].min(255) as u8, hops[1].min(255) as u8];
    settings.distractors = args.distractors.unwrap_or(settings.distractors);
    if !args.tasks.is_empty() {
        let named = |name: &String| {
            Task::ALL.into_iter().find(|task| task.name() == name).with_context(|| {
                let names: Vec<&str> = Task::ALL.into_iter().map(Task::name).collect();
                format!("there is no task {name}: there are {}", names.join(", "))
            })
        };
        settings.tasks = args.tasks.iter().map(named).collect::<Result<_>>()?;
    }
    let world = World::new(settings)?;
    let file = File::options().write(true).create_new(true).open(&args.out);
    let mut out = BufWriter::new(file.with_context(|| format!("cannot write {}: name another with --out", args.out.display()))?);
    let bar = ProgressBar::new(args.items);
    for index in 0..args.items {
        writeln!(out, "{}", serde_json::to_string(&world.item(index)?)?)?;
        bar.inc(1);
    }
    out.flush()?;
    bar.finish_and_clear();
    eprintln!("{}: {} items; `longhand train` with [rl] learns from them", args.out.display(), args.items);
    Ok(())
}

/// `5` or `2-8`.
fn range(text: &str) -> Result<[usize; 2]> {
    let number = |text: &str| text.trim().parse::<usize>().with_context(|| format!("{text:?} is no whole number, nor a range like 2-8"));
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        bail!("{text} ends before it begins");
    }
    Ok([from, to])
}

//! `longhand data rate` and `longhand data pick`: how often a model solves each item, and which items a stage trains on.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use data::Item;
use indicatif::{ProgressBar, ProgressStyle};
use kernels::Precision;
use model::source::free_memory;
use reward::{RewardSettings, Rewarder, Source};
use serde_json::json;
use train::rl::bins::{Weight, again, uniform};
use train::rl::environment::Environment;
use train::rl::items::{Form, Items};
use train::rl::recipe::{LogprobSpace, PromptTemplate};
use train::rl::rollout::{Drawing, Prompt};
use train::sft::ChatFormat;

use crate::args::MachineArgs;
use crate::load;

/// The column of a row that holds its pass rate.
const RATE: &str = "pass_rate";
/// Prompts whose rates are written together.
const TOGETHER: usize = 16;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand data rate prompts.jsonl --model ./Qwen3-0.6B --samples 8 --out rated.jsonl")]
pub struct RateArgs {
    /// Items, a line each.
    file: PathBuf,
    /// Who tries: a folder, a .gguf file, a name.
    #[arg(long, value_name = "M")]
    model: String,
    #[command(flatten)]
    machine: MachineArgs,
    /// Tries of each.
    #[arg(long, value_name = "K", default_value_t = 8)]
    samples: usize,
    /// Tokens a reply may have.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_new_tokens: usize,
    /// τ
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    temperature: f32,
    /// Nucleus.
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    top_p: f32,
    /// What scores: `rule`, a rule's name, exec:COMMAND, http://ADDRESS.
    #[arg(long, value_name = "SOURCE", default_value = "rule")]
    reward: String,
    /// Prompts as they are, without the chat template.
    #[arg(long)]
    plain: bool,
    /// Another seed, other tries.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The rows with their mean reward as `pass_rate`. Rows that are there already are not tried again.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand data pick rated.jsonl --bins 9 --out stage1.jsonl\n  longhand data pick rated.jsonl --again difficulty --count 500 --stage 2 --out stage2.jsonl"
)]
pub struct PickArgs {
    /// What `data rate` wrote.
    file: PathBuf,
    /// As many of each of so many equal ranges of pass rates (§4.2 of the paper: before training).
    #[arg(long, value_name = "N", conflicts_with = "again")]
    bins: Option<usize>,
    /// How many of each; as many as the smallest has unless told otherwise.
    #[arg(long, value_name = "N", requires = "bins")]
    each: Option<usize>,
    /// For a later stage: difficulty (the harder, the likelier) or signal (those that are sometimes solved).
    #[arg(long, value_name = "WEIGHT", requires = "count")]
    again: Option<String>,
    /// How many.
    #[arg(long, value_name = "N", requires = "again")]
    count: Option<usize>,
    /// The stage they are for: another stage, other items.
    #[arg(long, value_name = "N", default_value_t = 2)]
    stage: u64,
    /// Of every random choice.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The rows; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs `data rate`.
pub fn rate(args: &RateArgs) -> Result<()> {
    ensure!(args.samples > 0 && args.temperature > 0.0, "--samples and --temperature are above 0");
    let all = rows(&args.file)?;
    cut_torn(&args.out)?;
    let done: HashSet<String> = if args.out.metadata().is_ok_and(|meta| meta.len() > 0) {
        rows(&args.out)?.into_iter().map(|item| item.id).collect()
    } else {
        HashSet::new()
    };
    let left: Vec<Item> = all.iter().filter(|item| !done.contains(&item.id)).cloned().collect();
    if left.is_empty() {
        eprintln!("{}: all {} items are rated already", args.out.display(), all.len());
        return Ok(());
    }
    let (model, checkpoint, kv) = load::model(&args.model, &args.machine, Precision::Exact, None)?;
    let chat = ChatFormat::new(&checkpoint)?;
    let source: Source = args.reward.parse()?;
    let rewarder = Rewarder::new(source, RewardSettings::default());
    let template = if args.plain { PromptTemplate::Plain } else { PromptTemplate::Chat };
    let mut items = Items::new(left, &chat, Form { template, most: usize::MAX, memory: None }, rewarder).map_err(anyhow::Error::msg)?;
    let drawing = Drawing {
        samples: args.samples,
        max_new_tokens: args.max_new_tokens,
        temperature: args.temperature,
        top_p: args.top_p,
        space: LogprobSpace::Full,
        stop_ids: chat.stop_ids().to_vec(),
        kv,
        sequences: 64,
        cache_bytes: free_memory().map_or(1 << 30, |free| free / 4),
        step_rows: 512,
    };
    let mut out =
        File::options().create(true).append(true).open(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    let tasks = items.tasks();
    let every: Vec<(usize, usize)> =
        tasks.iter().enumerate().flat_map(|(task, (_, count))| (0..*count).map(move |at| (task, at))).collect();
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} items  {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(every.len() as u64).with_style(style);
    let (mut sum, mut failed) = (0.0, 0);
    for (step, some) in every.chunks(TOGETHER).enumerate() {
        let prompts: Vec<Prompt> = some.iter().map(|&(task, at)| items.prompt(task, at)).collect();
        if let Some(prompt) = prompts.iter().find(|prompt| prompt.ids.len() + args.max_new_tokens > model.max_positions) {
            let id = &items.item(prompt.task, prompt.item).id;
            bail!(
                "item {id} has {} tokens; with {} new ones it is past the model's {} positions",
                prompt.ids.len(),
                args.max_new_tokens,
                model.max_positions
            );
        }
        let rollouts = pollster::block_on(drawing.draw(&Arc::clone(&model), &prompts, (args.seed, step as u64), || bar.tick()))?;
        let scores = pollster::block_on(items.score(&prompts, &rollouts.iter().collect::<Vec<_>>()));
        for (group, prompt) in prompts.iter().enumerate() {
            let mine = rollouts.iter().zip(&scores).filter(|(rollout, _)| rollout.group == group);
            let known: Vec<f64> = mine.filter_map(|(_, score)| score.as_ref().ok().copied()).collect();
            if known.is_empty() {
                failed += 1;
                continue;
            }
            let mut item = items.item(prompt.task, prompt.item).clone();
            let rate = known.iter().sum::<f64>() / known.len() as f64;
            sum += rate;
            item.extra.insert(RATE.into(), json!(rate));
            writeln!(out, "{}", serde_json::to_string(&item)?)?;
        }
        bar.inc(prompts.len() as u64);
    }
    bar.finish_and_clear();
    let rated = every.len() - failed;
    eprintln!("{}: {rated} items rated, {:.3} on average; {} were there", args.out.display(), sum / rated.max(1) as f64, done.len());
    ensure!(failed == 0, "{failed} items have no reward, and are not written: mend the reward and run this again");
    Ok(())
}

/// Runs `data pick`.
pub fn pick(args: &PickArgs) -> Result<()> {
    let items = rows(&args.file)?;
    let rate = |(at, item): (usize, &Item)| {
        let known = item.extra.get(RATE).and_then(serde_json::Value::as_f64).filter(|rate| (0.0..=1.0).contains(rate));
        known.with_context(|| {
            format!("{}, item {} ({}): it has no {RATE} from 0 to 1; `longhand data rate` gives one", args.file.display(), at + 1, item.id)
        })
    };
    let rates: Vec<f64> = items.iter().enumerate().map(rate).collect::<Result<_>>()?;
    let drawn = match (&args.again, args.count) {
        (Some(weight), Some(count)) => {
            let weight = match weight.as_str() {
                "difficulty" => Weight::Difficulty,
                "signal" => Weight::Signal,
                other => bail!("--again is difficulty or signal, not {other}"),
            };
            again(&rates, weight, count, args.seed, args.stage)
        }
        _ => {
            let drawn = uniform(&rates, args.bins.unwrap_or(9), args.each, args.seed);
            for bin in &drawn.bins {
                eprintln!("pass rate {:.2} to {:.2}: {} of {} items", bin.from, bin.to, bin.drawn, bin.there);
            }
            drawn.prompts
        }
    };
    ensure!(!drawn.is_empty(), "nothing is left to pick: every item is always solved, or never");
    let file = File::options().write(true).create_new(true).open(&args.out);
    let mut out = std::io::BufWriter::new(file.with_context(|| format!("cannot write {}: name another with --out", args.out.display()))?);
    for &number in &drawn {
        writeln!(out, "{}", serde_json::to_string(&items[number])?)?;
    }
    out.flush()?;
    eprintln!("{}: {} of {} items", args.out.display(), drawn.len(), items.len());
    Ok(())
}

/// Takes away what a kill left of a last line.
fn cut_torn(file: &Path) -> Result<()> {
    let Ok(bytes) = std::fs::read(file) else { return Ok(()) };
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() {
        File::options().write(true).open(file)?.set_len(whole as u64)?;
    }
    Ok(())
}

fn rows(file: &Path) -> Result<Vec<Item>> {
    let reader = BufReader::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?);
    let mut items = Vec::new();
    for (number, line) in reader.lines().enumerate() {
        let line = line.with_context(|| format!("{}, line {}", file.display(), number + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        items.push(serde_json::from_str(&line).with_context(|| format!("{}, line {}: this is no item", file.display(), number + 1))?);
    }
    ensure!(!items.is_empty(), "{} has no items", file.display());
    Ok(items)
}

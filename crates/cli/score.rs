//! `longhand score`: the share of items that a model answers rightly, in one of four ways to read.

pub mod loss;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use data::{Document, Item};
use indicatif::{ProgressBar, ProgressStyle};
use kernels::Precision;
use kernels::attention::KvDType;
use model::Model;
use model::source::free_memory;
use reward::{RewardSettings, Rewarder, Source};
use serde_json::{Value, json};
use train::rl::items::{Form, Items};
use train::rl::memory::{Memory, parts};
use train::rl::recipe::{LogprobSpace, PromptTemplate};
use train::rl::rollout::Drawing;
use train::rl::score::{Scored, score, wilson};
use train::sft::ChatFormat;

use crate::args::MachineArgs;
use crate::load;

/// What a model makes of items with known answers: one greedy reply to each.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand data world --items 200 --words 3000 --split held --out held.jsonl\n  longhand score held.jsonl --model ./mine --read notes --chunk 1024 --memory 256\n  longhand score validation.jsonl --model ./mine --loss"
)]
pub struct ScoreArgs {
    /// Items, a line each.
    items: PathBuf,
    /// Who answers: a folder, a .gguf file, a name.
    #[arg(long, value_name = "M")]
    model: String,
    #[command(flatten)]
    machine: MachineArgs,
    /// How documents are read.
    #[arg(long, value_enum, value_name = "WAY", default_value = "whole")]
    read: Way,
    /// Tokens of a section (notes), or of the document's part that is read (truncated, search).
    #[arg(long, value_name = "N", default_value_t = 1024)]
    chunk: usize,
    /// Tokens of the notes.
    #[arg(long, value_name = "N", default_value_t = 256)]
    memory: usize,
    /// Tokens of the plan beside the notes.
    #[arg(long, value_name = "N", default_value_t = 128)]
    plan: usize,
    /// Prompts of a few words, for models that were trained on them.
    #[arg(long)]
    short: bool,
    /// Notes must be proven by the section they come from (`longhand read --quotes`).
    #[arg(long)]
    quotes: bool,
    /// Tokens an answer may have.
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_new_tokens: usize,
    /// Items at once.
    #[arg(long, value_name = "N", default_value_t = 32)]
    together: usize,
    /// Not replies of its own: what the replies of rows (as a training takes them) cost it, in nats a token.
    #[arg(long, conflicts_with_all = ["read", "short", "quotes", "out"])]
    loss: bool,
    /// Every item with its reply and reward, a JSON object a line.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The summary as JSON.
    #[arg(long)]
    json: bool,
}

/// How a document is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// As the item's prompt has it.
    Whole,
    /// In sections, with notes from one to the next.
    Notes,
    /// Its first and last part.
    Truncated,
    /// The passages that a keyword search finds (BM25).
    Search,
}

/// Right and all, for one kind of item.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    right: f64,
    all: usize,
}

impl Share {
    fn add(&mut self, reward: f64) {
        self.right += reward;
        self.all += 1;
    }

    fn json(self) -> Value {
        let (low, high) = wilson(self.right, self.all);
        json!({"items": self.all, "accuracy": self.right / self.all.max(1) as f64, "low": low, "high": high})
    }
}

/// Runs the verb.
pub fn run(args: &ScoreArgs) -> Result<()> {
    if args.loss {
        let cost = loss::costs(&args.items, &args.model, &args.machine)?;
        match args.json {
            true => println!("{}", cost.json()),
            false => cost.say(),
        }
        return Ok(());
    }
    let (scored, seconds) = answer(args)?;
    let found = Found::of(&scored, seconds);
    if args.json {
        println!("{}", found.json());
    } else {
        found.say();
    }
    found.whole()
}

/// What the verb finds when it is called with these words, the first one `score`.
pub fn of(words: &[String]) -> Result<Value> {
    let args = Alone::try_parse_from(words)?.args;
    if args.loss {
        return Ok(loss::costs(&args.items, &args.model, &args.machine)?.json());
    }
    let (scored, seconds) = answer(&args)?;
    let found = Found::of(&scored, seconds);
    found.whole()?;
    Ok(found.json())
}

#[derive(clap::Parser)]
struct Alone {
    #[command(flatten)]
    args: ScoreArgs,
}

/// Who answers, and how.
pub struct Reader<'a> {
    pub model: &'a Arc<Model>,
    pub chat: &'a ChatFormat,
    pub kv: KvDType,
    pub way: Way,
    /// Sections and notes; the section is also how much of a document is read by [`Way::Truncated`] and [`Way::Search`].
    pub memory: Memory,
    /// Tokens an answer may have.
    pub max_new_tokens: usize,
    /// Items at once.
    pub together: usize,
}

impl Reader<'_> {
    /// A greedy reply to each item and what it is worth. `see` hears of every token, `done` of every item.
    pub fn answer(&self, mut all: Vec<Item>, see: impl FnMut(), done: impl FnMut(&Scored)) -> Result<Vec<Scored>> {
        if matches!(self.way, Way::Truncated | Way::Search) {
            all = all.into_iter().map(|item| part(item, self.way, self.memory.chunk, self.chat)).collect::<Result<_>>()?;
        }
        let notes = (self.way == Way::Notes).then_some((self.max_new_tokens, self.memory));
        let most = self.model.config.max_positions.min(self.model.max_positions).saturating_sub(self.max_new_tokens);
        let rewarder = Rewarder::new(Source::Own, RewardSettings::default());
        let form = Form { template: PromptTemplate::Chat, most, memory: notes };
        let mut items = Items::new(all, self.chat, form, rewarder).map_err(anyhow::Error::msg)?;
        let drawing = Drawing {
            samples: 1,
            max_new_tokens: self.max_new_tokens,
            temperature: 0.0,
            top_p: 1.0,
            space: LogprobSpace::Full,
            stop_ids: self.chat.stop_ids().to_vec(),
            kv: self.kv,
            sequences: 64,
            cache_bytes: free_memory().map_or(1 << 30, |free| free / 4),
            step_rows: 1024,
        };
        Ok(pollster::block_on(score(self.model, &mut items, &drawing, self.together, see, done))?)
    }
}

fn answer(args: &ScoreArgs) -> Result<(Vec<Scored>, f64)> {
    ensure!(args.together > 0 && args.max_new_tokens > 0, "--together and --max-new-tokens are above 0");
    let (model, checkpoint, kv) = load::model(&args.model, &args.machine, Precision::Exact, None)?;
    let chat = ChatFormat::new(&checkpoint)?;
    let plan = if args.short { 0 } else { args.plan };
    let memory = Memory { chunk: args.chunk, memory: args.memory, plan, short: args.short, quotes: args.quotes };
    let (way, max_new_tokens, together) = (args.read, args.max_new_tokens, args.together);
    let reader = Reader { model: &model, chat: &chat, kv, way, memory, max_new_tokens, together };
    let all = read(&args.items)?;
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} items  {msg}  {eta} left");
    let bar = ProgressBar::new(all.len() as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut out = args.out.as_deref().map(create).transpose()?;
    let (mut right, mut failure) = (0.0, None);
    let done = |one: &Scored| {
        right += one.reward.as_ref().copied().unwrap_or(0.0);
        bar.inc(1);
        bar.set_message(format!("{:.3} right", right / bar.position() as f64));
        if let Some(out) = &mut out
            && let Err(error) = writeln!(out, "{}", row(one))
        {
            failure = Some(error);
        }
    };
    let begun = std::time::Instant::now();
    let scored = reader.answer(all, || bar.tick(), done)?;
    bar.finish_and_clear();
    if let Some(mut out) = out {
        out.flush()?;
    }
    if let Some(error) = failure {
        return Err(error).context("the rows could not be written");
    }
    Ok((scored, begun.elapsed().as_secs_f64()))
}

/// Shares by task and by links.
struct Found {
    all: Share,
    tasks: BTreeMap<String, Share>,
    hops: BTreeMap<u8, Share>,
    turns: usize,
    broken: usize,
    seconds: f64,
    /// Items without a reward, and why the first has none.
    failed: (usize, String),
}

impl Found {
    fn of(scored: &[Scored], seconds: f64) -> Self {
        let (tasks, hops) = (BTreeMap::new(), BTreeMap::new());
        let mut found = Self { all: Share::default(), tasks, hops, turns: 0, broken: 0, seconds, failed: (0, String::new()) };
        for one in scored {
            found.turns += one.turns;
            found.broken += one.broken;
            match &one.reward {
                Ok(reward) => {
                    found.all.add(*reward);
                    found.tasks.entry(one.task.clone()).or_default().add(*reward);
                    found.hops.entry(one.hops).or_default().add(*reward);
                }
                Err(why) if found.failed.0 == 0 => found.failed = (1, why.clone()),
                Err(_) => found.failed.0 += 1,
            }
        }
        found
    }

    fn json(&self) -> Value {
        let tasks: BTreeMap<_, _> = self.tasks.iter().map(|(name, share)| (name, share.json())).collect();
        let hops: BTreeMap<_, _> = self.hops.iter().map(|(count, share)| (count.to_string(), share.json())).collect();
        let mut object = self.all.json();
        object["tasks"] = json!(tasks);
        object["hops"] = json!(hops);
        object["failed"] = json!(self.failed.0);
        object["turns"] = json!(self.turns);
        object["broken"] = json!(self.broken);
        object["seconds"] = json!(self.seconds);
        object
    }

    fn say(&self) {
        let line = |name: &str, share: &Share| {
            let (low, high) = wilson(share.right, share.all);
            let mean = share.right / share.all.max(1) as f64;
            println!("{name:<18} {:>5.1} %  ({:.1} to {:.1})  {} items", 100.0 * mean, 100.0 * low, 100.0 * high, share.all);
        };
        line("all", &self.all);
        self.tasks.iter().for_each(|(name, share)| line(name, share));
        if self.hops.len() > 1 {
            self.hops.iter().for_each(|(count, share)| line(&format!("{count} links"), share));
        }
        println!("{} turns, {} of them without the form they were asked for; {:.1} s", self.turns, self.broken, self.seconds);
    }

    /// An error where items were not counted.
    fn whole(&self) -> Result<()> {
        let (failed, why) = &self.failed;
        ensure!(*failed == 0, "{failed} items have no reward, and are not counted: {why}");
        Ok(())
    }
}

fn row(one: &Scored) -> Value {
    let reward = one.reward.as_ref().ok();
    json!({"id": one.id, "task": one.task, "hops": one.hops, "reward": reward, "reply": one.reply, "turns": one.turns, "broken": one.broken})
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::options().write(true).create_new(true).open(path);
    Ok(BufWriter::new(file.with_context(|| format!("cannot write {}: name another with --out", path.display()))?))
}

/// Items of a file; an error names the line.
pub fn read(path: &Path) -> Result<Vec<Item>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let item = |(number, line)| serde_json::from_str(line).with_context(|| format!("{}, line {} is no item", path.display(), number + 1));
    let items: Vec<Item> = lines.map(item).collect::<Result<_>>()?;
    ensure!(!items.is_empty(), "{} has no items", path.display());
    Ok(items)
}

/// The item with a part of its document in place of the whole.
fn part(item: Item, way: Way, budget: usize, chat: &ChatFormat) -> Result<Item> {
    let wrong = |message: String| anyhow::anyhow!("item {}: {message}", item.id);
    let (text, ask) = parts(&item).map_err(wrong)?;
    let document = [Document::plain(item.id.clone(), item.id.clone(), text)];
    let spans = match way {
        Way::Search => agent::retrieve(&document, &ask, budget, chat.tokenizer())?,
        _ => agent::truncate(&document, budget, chat.tokenizer())?,
    };
    let kept: Vec<&str> = spans.iter().map(|span| &text[span.start..span.end]).collect();
    let kept = kept.join(" ");
    let place = item.extra.get("document").and_then(Value::as_array);
    let at = |number: usize| place.and_then(|place| place.get(number)).and_then(Value::as_u64).map(|at| at as usize);
    let prompt = match (at(0), at(1)) {
        (Some(start), Some(end)) => [&item.prompt[..start], &kept, &item.prompt[end..]].concat(),
        // The document stands beside the prompt.
        _ => format!("{kept}\n{}", item.prompt),
    };
    Ok(Item { prompt, ..item })
}

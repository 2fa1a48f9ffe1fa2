//! `longhand data world`: items of the small world, for training and for measuring.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde_json::json;
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
    /// The facts of a question in the order of its links: a reader that goes through the document once can see that each matters.
    #[arg(long)]
    ordered: bool,
    /// Ask before the document as well as after it: small models learn it in a fraction of the time.
    #[arg(long)]
    question_first: bool,
    /// No other sentence has a word of a name that a question leads through: one word tells who is meant. Easier.
    #[arg(long)]
    distinct: bool,
    /// Rows say what each sentence of their evidence says, in the question's words, and `data notes` makes those the ideal notes.
    #[arg(long)]
    stated: bool,
    /// Sentence templates of this split: held-out names in sentences as in training with `--split held --templates train`.
    #[arg(long, value_name = "SPLIT")]
    templates: Option<String>,
    /// How many first names, family names and so on are used, 8 to 64: fewer are easier.
    #[arg(long, value_name = "N")]
    names: Option<usize>,
    /// The share of facts among the sentences that no question needs, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    facts: Option<f64>,
    /// Rows for supervised training instead of items: a conversation of so many questions about each document.
    #[arg(long, value_name = "N")]
    lessons: Option<usize>,
    /// Rows for supervised training instead of items: a document is to be repeated, in one line. Keeps copying alive while other things are
    /// learnt.
    #[arg(long, conflicts_with_all = ["lessons", "ordered", "question_first"])]
    repeat: bool,
    /// Rows for supervised training instead of items: at most so many names, each of which one sentence of the document has, and that
    /// sentence for a reply.
    #[arg(long, value_name = "N", conflicts_with_all = ["lessons", "ordered", "question_first", "repeat"])]
    find: Option<usize>,
    /// Of those sentences only the first words: what is hard about them, without what is copied.
    #[arg(long, value_name = "N", requires = "find")]
    begin: Option<usize>,
    /// Ask for sentences with invented names instead, one an item, among others like it ("Mara Voss sold the mill in 1931"; who did?).
    #[arg(long, conflicts_with_all = ["tasks", "hops", "lessons", "ordered", "repeat", "find"])]
    planted: bool,
    /// Another seed, other documents.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The file, an item a line; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &WorldArgs) -> Result<()> {
    let named = |option: &str, name: &str| match name {
        "train" => Ok(Split::Train),
        "held" => Ok(Split::Held),
        other => bail!("{option} is train or held, not {other}"),
    };
    let split = named("--split", &args.split)?;
    let mut settings = if args.tiny {
        WorldSettings::tiny(args.seed, split)
    } else {
        WorldSettings { seed: args.seed, split, ..WorldSettings::default() }
    };
    settings.words = range(&args.words).context("--words")?;
    let hops = range(&args.hops).context("--hops")?;
    settings.hops = [hops[0].min(255) as u8, hops[1].min(255) as u8];
    settings.distractors = args.distractors.unwrap_or(settings.distractors);
    settings.names = args.names.unwrap_or(settings.names);
    settings.facts = args.facts.unwrap_or(settings.facts);
    settings.ordered = args.ordered;
    settings.question_first = args.question_first;
    settings.distinct = args.distinct;
    settings.stated = args.stated;
    settings.templates = args.templates.as_deref().map(|name| named("--templates", name)).transpose()?;
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
        match args.lessons {
            Some(questions) => writeln!(out, "{}", lesson(&world.conversation(index, questions)?))?,
            None if args.find.is_some() => {
                let turns = world.finding(index, args.find.unwrap_or(1), args.begin)?;
                if !turns.is_empty() {
                    writeln!(out, "{}", lesson(&turns))?;
                }
            }
            None if args.repeat => {
                let text = world.item_story(index)?.0.text.replace('\n', " ");
                writeln!(out, "{}", json!({"prompt": text, "answer": text}))?;
            }
            None if args.planted => writeln!(out, "{}", serde_json::to_string(&world.planted_item(index)?)?)?,
            None => writeln!(out, "{}", serde_json::to_string(&world.item(index)?)?)?,
        }
        bar.inc(1);
    }
    out.flush()?;
    bar.finish_and_clear();
    let learns = if args.lessons.is_some() || args.repeat || args.find.is_some() { "" } else { " with [rl]" };
    eprintln!("{}: {} items; `longhand train`{learns} learns from them", args.out.display(), args.items);
    Ok(())
}

fn lesson(turns: &[(String, String)]) -> serde_json::Value {
    let message = |role: &str, content: &String| json!({"role": role, "content": content});
    let messages: Vec<_> = turns.iter().flat_map(|(asked, reply)| [message("user", asked), message("assistant", reply)]).collect();
    json!({"messages": messages})
}

/// `5` or `2-8`.
pub fn range(text: &str) -> Result<[usize; 2]> {
    let number = |text: &str| text.trim().parse::<usize>().with_context(|| format!("{text:?} is no whole number, nor a range like 2-8"));
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        bail!("{text} ends before it begins");
    }
    Ok([from, to])
}

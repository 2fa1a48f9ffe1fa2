//! `longhand demo`: what a model of the stages has learnt, on documents that are made now. Nothing is downloaded.

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use kernels::{DType, Precision};
use serde_json::json;
use train::rl::memory::Memory;
use train::run::view::{duration, grouped};
use train::sft::ChatFormat;
use world::Planted;

use super::reading::Loaded;
use super::{embedded, learning, reading};
use crate::args::MachineArgs;
use crate::choose::{self, Candidate, Machine, Task};
use crate::fetch::cache_home;
use crate::hub::Hub;
use crate::load;

#[derive(clap::Args)]
pub struct ActsArgs {
    /// Another trained model than the one in the program.
    #[arg(long, value_name = "M", requires = "start")]
    model: Option<String>,
    /// What it was before reinforcement learning.
    #[arg(long, value_name = "M", requires = "model")]
    start: Option<String>,
    /// Tokens of a section.
    #[arg(long, value_name = "N", default_value_t = 192)]
    chunk: usize,
    /// Tokens of the notes.
    #[arg(long, value_name = "N", default_value_t = 112)]
    memory: usize,
    /// Tokens of a document that are read as a whole: what the model was trained with.
    #[arg(long, value_name = "N", default_value_t = 448)]
    window: usize,
    /// Other documents and questions; a fresh one each time unless told otherwise.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// A fact of your own, put somewhere into the long document, and asked for.
    #[arg(long, value_name = "SENTENCE")]
    plant: Option<String>,
    /// The question about it, where it is not who did it.
    #[arg(long, value_name = "Q", requires_all = ["plant", "answer"])]
    ask: Option<String>,
    /// The right answer to --ask.
    #[arg(long, value_name = "A", requires = "ask")]
    answer: Option<String>,
    /// Only these acts.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,2,3")]
    acts: Vec<u8>,
    /// Words of the long document.
    #[arg(long, value_name = "N", default_value_t = 24_000)]
    words: usize,
    /// Where the learning run goes, with its report; longhand-runs/demo-SEED unless told otherwise.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What was found as JSON, in the last line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// Words of each document of the third act.
const WORDS: usize = 2_000;
const QUESTIONS: u64 = 20;
/// Tokens of a question, twice, and its answer.
const ROOM: usize = 256;

/// Runs the verb.
pub fn run(args: &ActsArgs) -> Result<()> {
    ensure!(args.acts.iter().all(|act| (1..=3).contains(act)) && !args.acts.is_empty(), "--acts are 1, 2 and 3");
    ensure!((200..=8_000_000).contains(&args.words), "--words is from 200 to 8000000");
    let planted = args.plant.as_deref().map(|sentence| planted(args, sentence)).transpose()?;
    let begun = Instant::now();
    let seed = args.seed.unwrap_or_else(fresh);
    let [model, before] = match (&args.model, &args.start) {
        (Some(model), Some(start)) => [model.clone(), start.clone()],
        _ => embedded::folders(&cache_home()?)?.map(|folder| folder.display().to_string()),
    };
    let (trained, start) = (loaded(args, &model)?, loaded(args, &before)?);
    let parameters = trained.checkpoint.config().parameters();
    match &args.model {
        Some(_) => eprintln!("{model}, of {} parameters, beside {before}.", grouped(parameters)),
        None => eprintln!(
            "A model of {:.1} million parameters, trained by this repository alone on a generated world (configs/stages/tiny.toml), beside itself before \
             reinforcement learning. It is asked about names: years and amounts that it never heard it mostly gets wrong.",
            parameters as f64 / 1e6
        ),
    }
    eprintln!("Nothing is downloaded. Documents and questions are made now, from seed {seed} (--seed {seed} repeats them).\n");
    let mut found = json!({"seed": seed, "parameters": parameters});
    let acts = |act: u8| args.acts.contains(&act);
    if acts(1) {
        eprintln!("1  It learns from rewards: twelve steps from the checkpoint before reinforcement learning.");
        let out = args.out.clone().unwrap_or_else(|| PathBuf::from("longhand-runs").join(format!("demo-{seed}")));
        ensure!(!out.join("run").exists(), "{} holds a demonstration already: another --seed or --out, or remove it", out.display());
        std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}: name another with --out", out.display()))?;
        found["learning"] = learning::act(&before, &out, seed, args.machine.threads)?;
    }
    if acts(2) {
        let what = if planted.is_some() { "your fact somewhere in it" } else { "its question answered somewhere in it" };
        eprintln!("2  One long document, {what}, three readers.");
        let item = reading::document(seed, 0, args.words, planted.as_ref().map(|planted| (planted, seed)))?;
        found["document"] = reading::one(&item, &start, &trained)?;
    }
    if acts(3) {
        eprintln!("3  Twenty questions, a fresh document each.");
        found["questions"] = reading::many(seed, QUESTIONS, WORDS, &start, &trained)?;
    }
    found["seconds"] = json!(begun.elapsed().as_secs_f64());
    eprintln!("{} in all.", duration(begun.elapsed().as_secs_f64()));
    yours(args)?;
    if args.json {
        println!("{found}");
    }
    Ok(())
}

fn loaded(args: &ActsArgs, name: &str) -> Result<Loaded> {
    let (model, checkpoint, kv) = load::model(name, &args.machine, Precision::Exact, None)?;
    let chat = ChatFormat::new(&checkpoint)?;
    let memory = Memory { chunk: args.chunk, memory: args.memory, plan: 0, short: true, quotes: true };
    let room = model.config.max_positions.saturating_sub(args.window.max(args.chunk + 2 * args.memory));
    ensure!(
        room >= ROOM,
        "{name} has {} positions: too few for --window {} or --chunk {}",
        model.config.max_positions,
        args.window,
        args.chunk
    );
    Ok(Loaded { model, checkpoint, chat, kv, memory, window: args.window })
}

/// The viewer's fact.
fn planted(args: &ActsArgs, sentence: &str) -> Result<Planted> {
    if let (Some(question), Some(answer)) = (&args.ask, &args.answer) {
        let sentence = format!("{}.", sentence.trim().trim_end_matches('.'));
        return Ok(Planted { sentence, question: question.clone(), answer: answer.clone() });
    }
    Planted::of(sentence).with_context(|| {
        format!("{sentence:?} does not say what somebody did: begin with a name (\"Mara Voss sold the mill in 1931\"), or give --ask and --answer")
    })
}

/// A seed from the clock.
fn fresh() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64 % 1_000_000_007)
}

/// What to do with a document of one's own.
fn yours(args: &ActsArgs) -> Result<()> {
    let hub = Hub::from_env()?;
    let task = Task { tokens: Some(100_000), questions: 1, ..Task::default() };
    let device = load::device(&args.machine, Precision::Fast)?.describe();
    let all = choose::candidates(&hub, &device)?;
    let dtypes: Vec<DType> = all.iter().map(|candidate: &Candidate| candidate.dtype).collect();
    let (machine, _) = Machine::here(&args.machine, &dtypes)?;
    eprintln!("\nA model of the small world knows nothing else. For a file of yours:");
    match choose::select(&all, &machine, &task) {
        Some((at, judged)) => {
            let candidate = &all[at];
            eprintln!("  longhand read report.txt --ask \"What changed in 2019?\" --model {}", candidate.shown);
            let there = match &candidate.here {
                Some(path) => format!("here already: {}", path.display()),
                None => format!("{:.2} GB to download", candidate.bytes as f64 / 1e9),
            };
            eprintln!("  {there}; about {} for 100,000 tokens on this machine", choose::duration(judged.seconds));
        }
        None => eprintln!("  longhand models   # no model that it knows fits this machine's memory"),
    }
    Ok(())
}

//! `longhand generate` and `longhand chat`.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use data::{ChatRequest, Message, Sampling, StopReason};
use kernels::Precision;
use model::{Constraint, Engine, EngineSettings, Request, Vocabulary};
use serde_json::json;

use crate::args::{Case, ModelArgs, NamedArgs};
use crate::catalog::Entry;
use crate::{catalog, load, mind};

/// How tokens are chosen.
#[derive(clap::Args, Clone, Debug)]
pub struct SamplingArgs {
    /// Always the most likely token; ties go to the lowest id.
    #[arg(long)]
    pub greedy: bool,
    /// Sampling temperature; the model's own where `longhand models` knows it, else 0.7.
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
    /// Keep the smallest set of tokens that reaches this probability; the model's own, else 0.95.
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Keep the K most likely tokens; 0 keeps all; the model's own, else 0.
    #[arg(long, value_name = "K")]
    pub top_k: Option<u32>,
    /// Drop tokens below this share of the most likely one.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f32,
    /// Same seed, same text.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl SamplingArgs {
    /// As the engine takes it. What is not said is `entry`'s, else the paper's.
    pub fn sampling(&self, entry: Option<&Entry>) -> Sampling {
        if self.greedy {
            return Sampling::GREEDY;
        }
        let own = entry.map_or(Sampling::PAPER, |entry| entry.sampling);
        Sampling {
            temperature: self.temperature.unwrap_or(own.temperature),
            top_k: self.top_k.unwrap_or(own.top_k),
            top_p: self.top_p.unwrap_or(own.top_p),
            min_p: self.min_p,
            seed: self.seed,
        }
    }
}

/// Continues token ids (only config.json and weights are needed) or a text.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand generate --model ./Qwen3-0.6B --ids case.json --greedy --max-new-tokens 32 --json\n  longhand generate --model ./Qwen3-0.6B --prompt \"The capital of France is\"\n  longhand generate --model ./Qwen3-0.6B --prompt \"The largest city of Japan and its people: \" --json-schema city.json\n\nwith city.json:\n  {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\", \"maxLength\": 40}, \"people\": {\"type\": \"integer\"}},\n   \"required\": [\"city\", \"people\"], \"additionalProperties\": false}"
)]
pub struct GenerateArgs {
    #[command(flatten)]
    model: NamedArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// {"ids": [...]}: continue these tokens, no BOS added.
    #[arg(long, value_name = "CASE.json", conflicts_with = "prompt", required_unless_present = "prompt")]
    ids: Option<PathBuf>,
    /// Continue this text (no chat template).
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Stop after this many tokens.
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_new_tokens: usize,
    /// Do not stop at the end-of-text tokens.
    #[arg(long)]
    ignore_eos: bool,
    /// One line {"ids": [...], "stop": "length|eos"}.
    #[arg(long)]
    json: bool,
    /// Rows per forward pass while the prompt is read; the result does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 512)]
    step_rows: usize,
    /// Recompute the whole sequence for every token instead of caching keys and values.
    #[arg(long)]
    no_cache: bool,
    /// Hold the reply to JSON of this JSON Schema: object (`properties` in their order, `required`, `additionalProperties`), array (`items`,
    /// `minItems`, `maxItems`), string (`minLength`, `maxLength`), number, integer, boolean, null, `enum`, `const`, `anyOf`, `oneOf`,
    /// `$ref`. Another keyword is an error. The reply is whole unless --max-new-tokens cuts it.
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["ignore_eos", "no_cache"])]
    json_schema: Option<PathBuf>,
}

/// Runs `generate`.
pub fn run(args: &GenerateArgs) -> Result<()> {
    let case = args.ids.as_ref().map(Case::read).transpose()?;
    let (checkpoint, path) = load::checkpoint(&args.model.model)?;
    let entry = catalog::identify(&args.model.model, &path, checkpoint.config())?;
    let tokenizer = || model::TextParts::new(&checkpoint).map(|parts| parts.tokenizer);
    let text_tokenizer = match &args.prompt {
        Some(_) => Some(tokenizer().context("a text prompt needs the model's tokenizer; --ids does not")?),
        None => None,
    };
    let constraint = match &args.json_schema {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let schema = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
            let tokenizer = tokenizer().context("--json-schema needs the model's tokenizer")?;
            let vocabulary = Vocabulary::new(&tokenizer, checkpoint.config().vocab)?;
            Some(Constraint::new(vocabulary.into(), &schema).with_context(|| format!("cannot hold a reply to {}", path.display()))?)
        }
        None => None,
    };
    let prompt = match (&case, &args.prompt, &text_tokenizer) {
        (Some(case), ..) => case.ids.clone(),
        (None, Some(text), Some(tokenizer)) => tokenizer.encode(text)?,
        _ => anyhow::bail!("give --ids or --prompt"),
    };
    let window = prompt.len() + args.max_new_tokens;
    let (model, checkpoint, kv) = load::model(&args.model.model, &args.model.machine, Precision::Exact, Some(window))?;
    let settings = EngineSettings { step_rows: args.step_rows.clamp(1, window), ..EngineSettings::single(window, kv) };
    let mut engine = Engine::new(model, settings)?;
    let stop_ids = if args.ignore_eos { vec![] } else { checkpoint.config().eos.clone() };
    let sampling = args.sampling.sampling(entry);
    let mut decoder = text_tokenizer.as_ref().filter(|_| !args.json).map(|tokenizer| tokenizer.decoder());
    let mut out = std::io::stdout().lock();
    let mut show = |id: u32| -> Result<()> {
        if let Some(decoder) = &mut decoder {
            write!(out, "{}", decoder.push(id)?)?;
            out.flush()?;
        }
        Ok(())
    };
    let (ids, stop) = if args.no_cache {
        without_cache(&mut engine, prompt, args.max_new_tokens, sampling, &stop_ids)?
    } else {
        let request = Request { prompt, max_new_tokens: args.max_new_tokens, sampling, stop_ids };
        let mut shown = Ok(());
        let generated = pollster::block_on(engine.generate_constrained(vec![(request, constraint)], |_, token| {
            if token.stop != Some(StopReason::Eos) && shown.is_ok() {
                shown = show(token.id);
            }
        }))?;
        shown?;
        let generated = generated.into_iter().next().unwrap_or_default();
        (generated.ids, generated.stop.unwrap_or(StopReason::Length))
    };
    if args.json || text_tokenizer.is_none() {
        writeln!(std::io::stdout(), "{}", json!({"ids": ids, "stop": stop}))?;
    } else {
        println!();
    }
    Ok(())
}

/// Every token from a fresh pass over the whole sequence: the check that caching changes nothing.
fn without_cache(
    engine: &mut Engine,
    mut tokens: Vec<u32>,
    max_new: usize,
    sampling: Sampling,
    stop_ids: &[u32],
) -> Result<(Vec<u32>, StopReason)> {
    let settings = *engine.settings();
    let mut ids = Vec::new();
    while ids.len() < max_new {
        let mut fresh = Engine::new(engine.model.clone(), EngineSettings { step_rows: tokens.len(), ..settings })?;
        // The random stream goes on where the last token left it.
        let sampling = Sampling { seed: sampling.seed.wrapping_add(ids.len() as u64), ..sampling };
        let request = Request { prompt: tokens.clone(), max_new_tokens: 1, sampling, stop_ids: stop_ids.to_vec() };
        let next = pollster::block_on(fresh.generate(request, |_| {}))?;
        let Some(&id) = next.ids.first() else { return Ok((ids, StopReason::Eos)) };
        ids.push(id);
        tokens.push(id);
    }
    Ok((ids, StopReason::Length))
}

/// A conversation on the terminal.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand chat\n  longhand chat --model ./Qwen3-0.6B")]
pub struct ChatArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Tokens of the whole conversation.
    #[arg(long, value_name = "N")]
    window: Option<usize>,
    /// Standing instructions.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Longest reply.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_new_tokens: usize,
}

/// Runs `chat`.
pub fn chat(args: &ChatArgs) -> Result<()> {
    let opened = mind::open(&args.model, args.window)?;
    let mind = opened.mind();
    let model = mind.model;
    eprintln!("{}, window {} tokens. An empty line or end of input leaves.", model.name(), model.window());
    let mut messages: Vec<Message> = args.system.iter().map(Message::system).collect();
    let mut lines = std::io::stdin().lock().lines();
    loop {
        eprint!("> ");
        let Some(line) = lines.next().transpose()? else { break };
        if line.trim().is_empty() {
            break;
        }
        messages.push(Message::user(line));
        let room = model.window().saturating_sub(model.count_prompt(&messages)?);
        if room == 0 {
            eprintln!("The window of {} tokens is full; start a new chat.", model.window());
            break;
        }
        let request = ChatRequest::new(messages.clone(), args.sampling.sampling(mind.entry), args.max_new_tokens.min(room));
        let mut print = |text: &str| {
            print!("{text}");
            let _ = std::io::stdout().flush();
        };
        let reply = pollster::block_on(model.chat(&request, &mut print))?;
        println!();
        messages.push(Message::assistant(reply.text));
    }
    opened.say_spent();
    Ok(())
}

//! `longhand bench`: how fast this machine is, as a model and op by op.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use kernels::{DType, Precision};
use model::random::RandomWeights;
use model::{Engine, EngineSettings, Model, ModelConfig, Request};
use serde_json::json;

use crate::args::MachineArgs;
use crate::choose::Candidate;
use crate::mapped::First;
use crate::speeds::{self, Record};
use crate::{bench_ops, cubed, load};

/// Prefill and decode of a model (or of a shape with random weights), or every op alone.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand bench --model SmolLM2-135M-Instruct.Q4_1.gguf\n  longhand bench --model SmolLM2-135M-Instruct.Q4_1.gguf --together 48\n  longhand bench --random qwen3-0.6b --dtype bf16 --device gpu\n  longhand bench --model Qwen3-30B-A3B-Q4_K_M.gguf --first --decode 16\n  longhand bench --ops\n  longhand bench --ops --device gpu --size 256 --rows 64"
)]
pub struct BenchArgs {
    /// A model to measure.
    #[arg(long, value_name = "M", conflicts_with_all = ["random", "ops"])]
    model: Option<String>,
    /// A published shape with random weights: qwen3-0.6b, qwen3-1.7b, qwen3-4b, qwen3-8b, qwen3-30b-a3b.
    #[arg(long, value_name = "SHAPE", conflicts_with = "ops")]
    random: Option<String>,
    /// Use only this many layers of the shape.
    #[arg(long, value_name = "N", requires = "random")]
    layers: Option<usize>,
    /// Format of random weights.
    #[arg(long, value_name = "DTYPE", default_value = "q4_k")]
    dtype: String,
    /// Every op alone, matmul in every weight format, beside a plain copy.
    #[arg(long)]
    ops: bool,
    #[command(flatten)]
    machine: MachineArgs,
    /// Prompt tokens of the prefill measurement.
    #[arg(long, value_name = "N", default_value_t = 512)]
    prefill: usize,
    /// Tokens of the decode measurement, after a prompt of as many.
    #[arg(long, value_name = "N", default_value_t = 64)]
    decode: usize,
    /// Also decode N sequences of one prompt at once, as rollouts do.
    #[arg(long, value_name = "N", conflicts_with_all = ["ops", "first"])]
    together: Option<usize>,
    /// Runs; the median and the best are printed.
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Measure the first use after loading, once, and the memory it takes: load, first token, decode.
    #[arg(long, conflicts_with = "ops")]
    first: bool,
    /// Hidden size of the op measurement: a multiple of 256.
    #[arg(long, value_name = "N", default_value_t = 1536)]
    size: usize,
    /// Rows of the op measurement (and 1 row, as in decoding).
    #[arg(long, value_name = "N", default_value_t = 512)]
    rows: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &BenchArgs) -> Result<()> {
    anyhow::ensure!(args.runs > 0 && args.prefill > 0 && args.decode > 0, "--runs, --prefill and --decode must be at least 1");
    if args.ops {
        return bench_ops::run(&args.machine, args.size, args.rows, args.runs, args.json);
    }
    let window = args.prefill.max(2 * args.decode) + 1;
    let mut identity = None;
    let loading = Instant::now();
    let (model, kv, name) = match (&args.model, &args.random) {
        (Some(path), _) => {
            let (model, checkpoint, kv) = load::model(path, &args.machine, Precision::Fast, Some(window))?;
            identity = Some(Candidate::checkpoint(path, Path::new(checkpoint.name()), &checkpoint)?);
            (model, kv, path.clone())
        }
        (None, Some(shape)) => {
            let mut config =
                ModelConfig::known(shape).with_context(|| format!("`{shape}` is not a known shape; see `longhand bench --help`"))?;
            config.layers = args.layers.unwrap_or(config.layers).clamp(1, config.layers);
            let dtype = dtype(&args.dtype)?;
            let device = load::device(&args.machine, Precision::Fast)?;
            cubed::say(&device, Some(dtype));
            let model = Model::load(&RandomWeights::new(config, dtype, 1)?, device, window, |_, _| {})?;
            (Arc::new(model), args.machine.kv_dtype(dtype == DType::F32), format!("{shape} ({}, random)", dtype.name()))
        }
        _ => anyhow::bail!("give --model, --random or --ops"),
    };
    let device = cubed::describe(&model.device);
    let settings = EngineSettings::single(window, kv);
    let mut engine = Engine::new(model.clone(), settings)?;
    let vocab = model.config.vocab as u32;
    // A different prompt each run, so that no page is shared with the run before.
    let prompt = |run: usize, len: usize| (0..len as u32).map(|i| (i * 7919 + 13 + 101 * run as u32) % vocab).collect::<Vec<_>>();
    let request = |prompt, max_new_tokens| Request { prompt, max_new_tokens, sampling: data::Sampling::GREEDY, stop_ids: vec![] };
    if args.first {
        First::measure(&mut engine, loading, prompt(0, args.decode), args.decode)?.print(&name, &device, args.json);
        return Ok(());
    }
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for run in 0..=args.runs {
        let started = Instant::now();
        pollster::block_on(engine.generate(request(prompt(2 * run, args.prefill), 1), |_| {}))?;
        let prefill_rate = args.prefill as f64 / started.elapsed().as_secs_f64();
        let mut first = None;
        pollster::block_on(engine.generate(request(prompt(2 * run + 1, args.decode), args.decode + 1), |_| {
            first.get_or_insert_with(Instant::now);
        }))?;
        let seconds = first.map_or(f64::NAN, |first| first.elapsed().as_secs_f64());
        // The first run warms caches, clocks and pipelines.
        if run > 0 {
            prefill.push(prefill_rate);
            decode.push(args.decode as f64 / seconds);
        }
    }
    let (prefill, decode) = (Spread::of(prefill), Spread::of(decode));
    let together = match args.together {
        Some(count) => {
            drop(engine);
            let requests = |run| vec![request(prompt(run, args.decode), args.decode + 1); count];
            Some((count, together(&model, kv, args, count, requests)?))
        }
        None => None,
    };
    if let Some(Candidate { key, bytes, .. }) = identity.filter(|_| !args.machine.exact && !args.machine.cube) {
        // After `decode` tokens of prompt, as many again.
        let (prompt, context) = (args.prefill as f64, 1.5 * args.decode as f64);
        let device = device.clone();
        speeds::keep(Record { model: key, bytes, device, prompt, prefill: prefill.median, context, decode: decode.median });
    }
    if args.json {
        let mut line = json!({"model": name, "device": device, "prefill_tokens": args.prefill, "prefill_median": prefill.median, "prefill_best": prefill.best, "decode_tokens": args.decode, "decode_median": decode.median, "decode_best": decode.best});
        if let Some((count, rates)) = together {
            (line["together"], line["together_median"], line["together_best"]) = (json!(count), json!(rates.median), json!(rates.best));
        }
        println!("{line}");
    } else {
        println!("{name} on {device}");
        println!("prefill {:8.1} tokens/s median, {:8.1} best ({} tokens)", prefill.median, prefill.best, args.prefill);
        println!("decode  {:8.1} tokens/s median, {:8.1} best ({} tokens after {})", decode.median, decode.best, args.decode, args.decode);
        if let Some((count, Spread { median, best })) = together {
            println!(
                "decode  {median:8.1} tokens/s median, {best:8.1} best ({count} sequences at once, {0} tokens each after {0})",
                args.decode
            );
        }
    }
    Ok(())
}

/// Tokens a second of `count` sequences that decode at once: from when all have their first token until all have their last.
fn together(
    model: &Arc<Model>,
    kv: kernels::attention::KvDType,
    args: &BenchArgs,
    count: usize,
    requests: impl Fn(usize) -> Vec<Request>,
) -> Result<Spread> {
    anyhow::ensure!(count > 0, "--together must be at least 1");
    let window = 2 * args.decode + 1;
    let single = EngineSettings::single(window, kv);
    // A page more each: the last token may begin one.
    let pages = window.div_ceil(kernels::attention::PAGE_TOKENS) + 1;
    let settings = EngineSettings {
        max_sequences: count,
        cache_positions: count * pages * kernels::attention::PAGE_TOKENS,
        step_rows: single.step_rows.max(count),
        ..single
    };
    let mut rates = vec![];
    for run in 0..=args.runs {
        let mut engine = Engine::new(model.clone(), settings)?;
        let (mut tokens, mut begun) = (vec![0; count], None);
        pollster::block_on(engine.generate_all(requests(run), |number, _| {
            tokens[number] += 1;
            if begun.is_none() && tokens.iter().all(|&tokens| tokens > 0) {
                begun = Some((Instant::now(), tokens.iter().sum::<usize>()));
            }
        }))?;
        let Some((begun, before)) = begun else { anyhow::bail!("no token was drawn") };
        if run > 0 {
            rates.push((tokens.iter().sum::<usize>() - before) as f64 / begun.elapsed().as_secs_f64());
        }
    }
    Ok(Spread::of(rates))
}

struct Spread {
    median: f64,
    best: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { median: values[values.len() / 2], best: values[values.len() - 1] }
    }
}

fn dtype(name: &str) -> Result<DType> {
    let found = DType::WEIGHTS.into_iter().find(|dtype| dtype.name() == name.to_lowercase());
    found.with_context(|| format!("`{name}` is not a weight format: {}", DType::WEIGHTS.map(DType::name).join(", ")))
}

//! `longhand bench`: how fast this machine is, as a model and op by op.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use kernels::matmul::{self, Output};
use kernels::{Bytes, DType, Device, Precision, Weight};
use model::random::RandomWeights;
use model::{Engine, EngineSettings, Model, ModelConfig, Request};
use serde_json::json;

use crate::args::{MachineArgs, ModelArgs};
use crate::load;

/// Prefill and decode of a model (or of a shape with random weights), or matmuls alone.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand bench --model SmolLM2-135M-Instruct.Q4_1.gguf\n  longhand bench --random qwen3-0.6b --dtype bf16 --device gpu\n  longhand bench --ops"
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
    /// Matmuls alone, every format.
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
    /// Runs; the median and the best are printed.
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Rows and columns of the op measurement.
    #[arg(long, value_name = "N", default_value_t = 1536)]
    size: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &BenchArgs) -> Result<()> {
    anyhow::ensure!(args.runs > 0 && args.prefill > 0 && args.decode > 0, "--runs, --prefill and --decode must be at least 1");
    if args.ops {
        return ops(args);
    }
    let window = args.prefill.max(2 * args.decode) + 1;
    let (model, kv, name) = match (&args.model, &args.random) {
        (Some(path), _) => {
            let model_args = ModelArgs { model: path.clone(), machine: args.machine.clone() };
            let (model, _, kv) = load::model(&model_args, Precision::Fast, Some(window))?;
            (model, kv, path.clone())
        }
        (None, Some(shape)) => {
            let mut config =
                ModelConfig::known(shape).with_context(|| format!("`{shape}` is not a known shape; see `longhand bench --help`"))?;
            config.layers = args.layers.unwrap_or(config.layers).clamp(1, config.layers);
            let dtype = dtype(&args.dtype)?;
            let device = load::device(&args.machine, Precision::Fast)?;
            let model = Model::load(&RandomWeights::new(config, dtype, 1)?, device, window, |_, _| {})?;
            (Arc::new(model), args.machine.kv_dtype(dtype == DType::F32), format!("{shape} ({}, random)", dtype.name()))
        }
        _ => anyhow::bail!("give --model, --random or --ops"),
    };
    let device = model.device.describe();
    let settings = EngineSettings::single(window, kv);
    let mut engine = Engine::new(model.clone(), settings)?;
    let vocab = model.config.vocab as u32;
    // A different prompt each run, so that no page is shared with the run before.
    let prompt = |run: usize, len: usize| (0..len as u32).map(|i| (i * 7919 + 13 + 101 * run as u32) % vocab).collect::<Vec<_>>();
    let request = |prompt, max_new_tokens| Request { prompt, max_new_tokens, sampling: data::Sampling::GREEDY, stop_ids: vec![] };
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
    if args.json {
        println!(
            "{}",
            json!({"model": name, "device": device, "prefill_tokens": args.prefill, "prefill_median": prefill.median, "prefill_best": prefill.best, "decode_tokens": args.decode, "decode_median": decode.median, "decode_best": decode.best})
        );
    } else {
        println!("{name} on {device}");
        println!("prefill {:8.1} tokens/s median, {:8.1} best ({} tokens)", prefill.median, prefill.best, args.prefill);
        println!("decode  {:8.1} tokens/s median, {:8.1} best ({} tokens after {})", decode.median, decode.best, args.decode, args.decode);
    }
    Ok(())
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

/// Square matmuls of every format at 1, 8 and 512 rows: GFLOP/s, and the rate at which weights are read.
fn ops(args: &BenchArgs) -> Result<()> {
    let device = load::device(&args.machine, Precision::Fast)?;
    let size = args.size;
    if !args.json {
        println!("matmul [R, {size}] × [{size}, {size}]ᵀ on {}", device.describe());
        println!("{:6} {:>5} {:>10} {:>10}", "format", "rows", "GFLOP/s", "GB/s");
    }
    for dtype in DType::WEIGHTS {
        let Some(row_bytes) = dtype.row_bytes(size) else { continue };
        let bytes: Bytes = model::random::weight_bytes(dtype, size * size, 7).into();
        let weight = Weight::new(&device, size, size, dtype, 1, bytes)?;
        for rows in [1, 8, 512] {
            let seconds = pollster::block_on(time_matmul(&device, &weight, rows, args.runs))?;
            let gflops = 2.0 * (rows * size * size) as f64 / seconds / 1e9;
            let gbytes = (size * row_bytes) as f64 / seconds / 1e9;
            if args.json {
                println!(
                    "{}",
                    json!({"op": "matmul", "format": dtype.name(), "rows": rows, "size": size, "gflops": gflops, "gbytes_per_s": gbytes, "device": device.describe()})
                );
            } else {
                println!("{:6} {rows:5} {gflops:10.2} {gbytes:10.2}", dtype.name());
            }
        }
    }
    Ok(())
}

/// Median seconds of one matmul; on a GPU the repetitions share one submission, so that launching is not what is measured.
async fn time_matmul(device: &Device, weight: &Weight, rows: usize, runs: usize) -> Result<f64> {
    let x = device.f32_tensor(&[rows, weight.cols], &vec![0.5; rows * weight.cols])?;
    let mut y = device.zeros(&[rows, weight.rows], DType::F32)?;
    matmul::forward(device, &x, weight, None, &mut y, rows, Output::Store)?;
    device.read_f32(&y, 1).await?;
    // As many repetitions as take about a tenth of a second.
    let once = Instant::now();
    matmul::forward(device, &x, weight, None, &mut y, rows, Output::Store)?;
    device.read_f32(&y, 1).await?;
    let repetitions = (0.1 / once.elapsed().as_secs_f64().max(1e-6)).clamp(1.0, 1000.0) as usize;
    let mut seconds = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        for _ in 0..repetitions {
            matmul::forward(device, &x, weight, None, &mut y, rows, Output::Store)?;
        }
        device.read_f32(&y, 1).await?;
        seconds.push(started.elapsed().as_secs_f64() / repetitions as f64);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

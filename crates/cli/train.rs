//! `longhand train`: a fine-tuning from a configuration, or what it would take.

mod learn;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use data::{StopCause, TrainEvent};
use indicatif::{ProgressBar, ProgressStyle};
use kernels::gpu::GpuOptions;
use kernels::{Device, Precision, Tensor, Weight};
use model::ModelConfig;
use model::source::free_memory;
use model::train::{LoraShape, TrainSpaceShape};
use serde_json::json;
use train::config::{Config, DeviceKind, Length};
use train::finetune::{self, Finetune, Room, Summary, Trained};
use train::plan::{self, Plan, Rates, Work};
use train::run::{events, view};
use train::sft::{ChatFormat, Dataset, Example};

use crate::{load, progress};

/// Tokens of a pass where memory allows more: beyond, a CPU gains nothing.
const ROWS: usize = 4096;
/// Share of the free memory that a run may plan with.
const USABLE: f64 = 0.9;

/// Trains as the file says. Killed at any moment, the same command with --resume goes on from the newest checkpoint.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand init train --out train.toml\n  longhand train train.toml --plan\n  longhand train train.toml\n  longhand export longhand-runs/train --to gguf --type q8_0 --out mine.gguf"
)]
pub struct TrainArgs {
    /// The configuration: `longhand init train` writes one.
    config: PathBuf,
    /// The run's folder; longhand-runs and the configuration's name unless told otherwise.
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Go on with the run that is there.
    #[arg(long)]
    resume: bool,
    /// Say what it would take, and train nothing.
    #[arg(long)]
    plan: bool,
    /// Plan for so many GiB of memory instead of what is free here.
    #[arg(long, value_name = "GIB")]
    memory: Option<f64>,
    /// Plan memory alone, without measuring speed on this machine.
    #[arg(long, requires = "plan")]
    no_measure: bool,
    /// Part of a GPU adapter's name.
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Print events as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &TrainArgs) -> Result<()> {
    let text = std::fs::read_to_string(&args.config).with_context(|| format!("cannot read {}", args.config.display()))?;
    let config = Config::parse(&text, &args.config)?;
    if args.plan {
        return plan_only(args, &config);
    }
    let folder = args.run.clone().unwrap_or_else(|| {
        PathBuf::from("longhand-runs").join(args.config.file_stem().map_or("train".into(), |stem| stem.to_string_lossy().into_owned()))
    });
    let begun = folder.join("events.jsonl").exists();
    ensure!(!begun || args.resume, "{} holds a run already: --resume goes on with it, --run DIR begins another", folder.display());
    ensure!(begun || !args.resume, "{} holds no run to go on with; leave --resume out to begin one", folder.display());
    if let Some(recipe) = config.rl.clone() {
        stop_on_ctrl_c();
        return learn::run(args, config, &recipe, &text, &folder, None);
    }
    let (base, path) = load::checkpoint(&config.model_name())?;
    let chat = ChatFormat::new(&base).with_context(|| format!("cannot use {} to make tokens", path.display()))?;
    let (data, validation) = datasets(&config, &chat, base.config())?;
    let device = device(&config, args.adapter.as_deref())?;
    let longest = longest(&data, validation.as_ref());
    let wanted = work(&config, base.config(), Some(base.total_bytes()), Some((&data, validation.as_ref())));
    let work = chosen(&wanted, longest, args.memory, &device)?;
    let peak = peak_flops(&device)?;
    let bar = progress::bytes(base.total_bytes(), "loading");
    let model = finetune::load(&config, &base, device, longest + 64, |done, _| bar.set_position(done))?;
    bar.finish_and_clear();
    let fingerprint = train::adapter::fingerprint(&base)?;
    let room = Room { rows: work.pass.rows, keep: work.pass.keep };
    // The run keeps the configuration with paths that lead to the same files from anywhere.
    let kept = absolute(&text, &config, &args.config)?;
    let mut run = Finetune::open((config, &kept), (model, &fingerprint), (data, validation), &folder, room, Some(peak))?;
    run.skipped().iter().for_each(|why| eprintln!("passed over: {why}"));
    let (steps, taken) = run.progress();
    if !args.json {
        eprintln!("{}: {} steps, {} taken; {} tokens a pass, {} layers kept", folder.display(), steps, taken, room.rows, room.keep);
    }
    let stop = &STOP;
    stop_on_ctrl_c();
    let live = Live::new(steps, taken, args.json);
    let summary = pollster::block_on(run.train(|| stop.load(Ordering::Relaxed), |ids| chat.text(ids), |event| live.see(event)))?;
    live.bar.finish_and_clear();
    if summary.step > 0 {
        let trained = Trained::open(&folder, false, base.config())?;
        if let Some(adapter) = trained.adapter(&base)? {
            adapter.save(folder.join("adapter")).context("the adapter could not be written; the checkpoint is whole")?;
        }
    }
    if !args.json {
        say(&summary, steps, &folder);
    }
    Ok(())
}

/// A run of reinforcement learning whose events go to `see` instead of the terminal.
pub fn watched(config: &Path, folder: &Path, see: &mut dyn FnMut(&TrainEvent)) -> Result<()> {
    let text = std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
    let (parsed, path) = (Config::parse(&text, config)?, config.to_path_buf());
    let recipe = parsed.rl.clone().context("a run without [rl] cannot be watched")?;
    let args =
        TrainArgs { config: path, run: None, resume: false, plan: false, memory: None, no_measure: false, adapter: None, json: false };
    learn::run(&args, parsed, &recipe, &text, folder, Some(see))
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Whether a person stopped the training.
pub fn interrupted() -> bool {
    STOP.load(Ordering::Relaxed)
}

fn stop_on_ctrl_c() {
    let _ = ctrlc::set_handler(|| {
        // A second Ctrl-C does not wait for the step to end; the newest checkpoint is what is left.
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
}

fn datasets(config: &Config, chat: &ChatFormat, shape: &ModelConfig) -> Result<(Dataset, Option<Dataset>)> {
    let read = |file: &str| {
        let bar = ProgressBar::new_spinner();
        let path = config.path(file);
        let data = Dataset::read(&path, chat, &config.data, |rows| bar.set_message(format!("{file}: {rows} rows")));
        bar.finish_and_clear();
        // Its sources are in its words.
        data.map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("cannot train on {}; `longhand data check {} --model M` says more", path.display(), path.display()))
    };
    let most = config.data.max_length;
    ensure!(most <= shape.max_positions, "data.max_length {most} is past the model's {} positions", shape.max_positions);
    Ok((read(&config.data.file)?, config.validation.file.as_deref().map(read).transpose()?))
}

fn longest(data: &Dataset, validation: Option<&Dataset>) -> usize {
    data.lengths().into_iter().chain(validation.into_iter().flat_map(Dataset::lengths)).max().unwrap_or(1)
}

/// `auto` is a GPU only where there is real hardware: software adapters are far slower than the CPU itself.
fn device(config: &Config, adapter: Option<&str>) -> Result<Device> {
    let cpu = || match config.device.threads {
        Some(threads) => Device::Cpu(kernels::cpu::CpuDevice::with_threads(Precision::Exact, threads)),
        None => Device::cpu(Precision::Exact),
    };
    let options = GpuOptions { adapter: adapter.map(Into::into), precision: Precision::Exact, ..GpuOptions::default() };
    let gpu = || pollster::block_on(Device::gpu(&options)).context("no GPU adapter to train on; `longhand doctor` shows what is there");
    match config.device.kind {
        DeviceKind::Cpu => Ok(cpu()),
        DeviceKind::Gpu => gpu(),
        DeviceKind::Auto => {
            let hardware = pollster::block_on(kernels::gpu::list_adapters())
                .iter()
                .any(|adapter| adapter.kind != "software" && adapter.unusable.is_none());
            if hardware || adapter.is_some() { gpu() } else { Ok(cpu()) }
        }
    }
}

/// The work of a configuration. Without data a step is guessed from `data.max_length`: half of it an example, half of that predicted.
fn work(config: &Config, shape: &ModelConfig, stored: Option<u64>, data: Option<(&Dataset, Option<&Dataset>)>) -> Work {
    let (mut length, mut loss_share, mut longest_of, mut shortest) = (config.data.max_length / 2, 0.5, config.data.max_length, 16);
    let (mut steps, mut validation) = (if let Length::Steps(steps) = config.train.length { steps } else { 0 }, (0.0, 0));
    if let Some((data, held)) = data {
        let tokens: usize = data.lengths().iter().sum();
        let loss: usize = data.examples.iter().map(Example::loss_tokens).sum();
        (length, loss_share) = (tokens / data.examples.len().max(1), loss as f64 / tokens.max(1) as f64);
        longest_of = longest(data, held);
        shortest = data.lengths().into_iter().min().unwrap_or(1).max(1);
        steps = finetune::steps_of(config, data.lengths());
        if let Some(held) = held {
            validation = (held.lengths().iter().sum::<usize>() as f64, steps / config.validation.every.max(1) + 2);
        }
    }
    let step_tokens = match config.train.batch {
        train::config::StepSize::Examples(count) => (count * length) as f64,
        train::config::StepSize::Tokens(tokens) => tokens as f64,
    };
    let rows = config.train.micro_batch_tokens.unwrap_or(ROWS.min(step_tokens as usize)).max(longest_of);
    let lora = config.lora.as_ref().map(|lora| (LoraShape { rank: lora.rank, alpha: lora.alpha as f32 }, finetune::roles(lora.targets)));
    let kv = finetune::kv_dtype(if lora.is_some() { kernels::DType::BF16 } else { config.train.dtype });
    Work {
        config: shape.clone(),
        dtype: config.train.dtype,
        stored: stored.filter(|_| lora.is_some()),
        lora,
        pass: TrainSpaceShape { rows, sequences: rows.div_ceil(shortest), loss_rows: rows, kv, keep: 1 },
        lanes: config.device.lanes,
        length: length.max(2),
        loss_share,
        step_tokens,
        steps,
        validation,
        checkpoints: config.checkpoint.keep as u64 + 2,
        rollouts: None,
    }
}

/// The work that fits; an error says what would.
fn chosen(work: &Work, longest: usize, memory: Option<f64>, device: &Device) -> Result<Work> {
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let available = match (memory, device) {
        (Some(gib), _) => Some((gib * (1u64 << 30) as f64) as u64),
        (None, Device::Cpu(_)) => free_memory().map(|free| (free as f64 * USABLE) as u64),
        // A GPU does not say how much it has.
        (None, Device::Gpu(_)) => None,
    };
    let Some(available) = available else { return Ok(work.clone()) };
    plan::fitting(work, available, longest).with_context(|| {
        let needed = work.memory();
        let adapters = if work.lora.is_none() { " Adapters ([lora]) need a fraction of it;" } else { "" };
        let names = needed.parts().map(|(name, bytes)| format!("{name} {:.1}", gib(bytes))).join(", ");
        format!(
            "it needs {:.1} GiB ({names}), {:.1} are there.{adapters} a shorter data.max_length or a smaller model does too",
            gib(needed.total()),
            gib(available)
        )
    })
}

fn plan_only(args: &TrainArgs, config: &Config) -> Result<()> {
    let name = config.model_name();
    let here = Path::new(&name).exists();
    let (shape, stored, base) = match (here, published(&name)) {
        (false, Some((shape, stored))) => (shape, stored, None),
        _ => {
            let (base, _) = load::checkpoint(&name)?;
            (base.config().clone(), Some(base.total_bytes()), Some(base))
        }
    };
    if let Some(recipe) = &config.rl {
        return learn::plan(args, config, recipe, (&shape, stored, base.as_ref()));
    }
    let mut data = None;
    if let (Some(base), true) = (&base, config.path(&config.data.file).exists()) {
        let chat = ChatFormat::new(base)?;
        data = Some(datasets(config, &chat, &shape)?);
    }
    let wanted = work(config, &shape, stored, data.as_ref().map(|(data, held)| (data, held.as_ref())));
    let longest = data.as_ref().map_or(config.data.max_length, |(data, held)| longest(data, held.as_ref()));
    say_plan(args, config, &wanted, longest, data.is_some())
}

/// Chooses what fits, measures it, and prints the plan.
fn say_plan(args: &TrainArgs, config: &Config, wanted: &Work, longest: usize, data: bool) -> Result<()> {
    let device = device(config, args.adapter.as_deref())?;
    let what = device.describe();
    let work = chosen(wanted, longest, args.memory, &device)?;
    let rates = if args.no_measure { None } else { Some(pollster::block_on(work.measure(device, Duration::from_secs(8)))?.0) };
    let plan = work.plan(&rates.unwrap_or_default());
    if args.json {
        println!("{}", plan_json(&work, &plan, rates.as_ref(), data));
    } else {
        print_plan(&work, &plan, rates.is_some(), data, &what);
    }
    Ok(())
}

/// Shape and bytes of a published model that is not here: `Qwen/Qwen3-4B`, `Qwen/Qwen3-30B-A3B-GGUF:Qwen3-30B-A3B-Q4_K_M.gguf`.
fn published(name: &str) -> Option<(ModelConfig, Option<u64>)> {
    let (id, file) = name.split_once(':').unwrap_or((name, ""));
    let shape = ModelConfig::known(id.strip_suffix("-GGUF").unwrap_or(id))?;
    let file = file.to_ascii_lowercase();
    let formats =
        [("q4_k", kernels::DType::Q4_K), ("q5_k", kernels::DType::Q5_K), ("q6_k", kernels::DType::Q6_K), ("q8_0", kernels::DType::Q8_0)];
    let format = formats.into_iter().find(|(word, _)| file.contains(word)).map(|(_, dtype)| dtype);
    let stored = format.map(|dtype| shape.parameters() * dtype.block_bytes() as u64 / dtype.block_len() as u64);
    Some((shape, stored))
}

fn plan_json(work: &Work, plan: &Plan, rates: Option<&Rates>, data: bool) -> serde_json::Value {
    let memory: serde_json::Map<_, _> = plan.memory.parts().iter().map(|(name, bytes)| (name.to_string(), json!(bytes))).collect();
    json!({
        "parameters": plan.parameters.0, "trained": plan.parameters.1, "memory": memory, "peak_memory": plan.memory.total(),
        "micro_batch_tokens": work.pass.rows, "layers_kept": work.pass.keep, "step_tokens": work.step_tokens,
        "steps": work.steps, "data_seen": data,
        "seconds_per_step": rates.map(|_| plan.seconds_per_step), "rollout_seconds": rates.map(|_| plan.rollout_seconds), "seconds": rates.map(|_| plan.seconds),
        "tokens_per_second": rates.map(|_| plan.tokens_per_second(work)), "disk": plan.disk, "flops_per_step": plan.flops_per_step,
    })
}

fn print_plan(work: &Work, plan: &Plan, measured: bool, data: bool, device: &str) {
    println!("{} parameters, {} of them trained", view::grouped(plan.parameters.0), view::grouped(plan.parameters.1));
    println!("memory at the peak: {}", view::bytes(plan.memory.total()));
    for (name, bytes) in plan.memory.parts() {
        println!("  {:<22}{:>12}", name, view::bytes(bytes));
    }
    println!("passes of {} tokens, the last {} of {} layers not recomputed", work.pass.rows, work.pass.keep, work.config.layers);
    if !data {
        println!("(the data is not here: it is taken to be half of data.max_length long)");
    }
    if measured {
        println!(
            "a step of {:.0} tokens: {:.2} s on {device} ({:.0} tokens/s)",
            work.step_tokens,
            plan.seconds_per_step,
            plan.tokens_per_second(work)
        );
        if let Some(rollouts) = &work.rollouts {
            let count = rollouts.prompts * rollouts.group;
            let turns = if rollouts.turns > 1 { format!("{} turns of ", rollouts.turns) } else { String::new() };
            println!("and {count} rollouts before it, {:.2} s if each has {turns}{} tokens", plan.rollout_seconds, rollouts.reply);
        }
        if work.steps > 0 {
            println!("{} steps: {}", work.steps, view::duration(plan.seconds));
        }
    }
    println!("disk for checkpoints: {}", view::bytes(plan.disk));
}

/// Floating-point operations a second of this device's own f32 matrix product, the yardstick of MFU.
fn peak_flops(device: &Device) -> Result<f64> {
    let n = if matches!(device, Device::Cpu(_)) { 1024 } else { 2048 };
    let zeros = || device.zeros(&[n, n], kernels::DType::F32);
    let (dy, mut dx): (Tensor, Tensor) = (zeros()?, zeros()?);
    let w = Weight::new(device, n, n, kernels::DType::F32, 1, vec![0u8; 4 * n * n].into())?;
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let begun = Instant::now();
        kernels::matmul::backward_x(device, &dy, &w, &mut dx, n, kernels::matmul::Output::Store)?;
        pollster::block_on(device.read_f32(&dx, 1))?;
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok(2.0 * (n * n * n) as f64 / best)
}

/// The configuration's text with the files' full paths, so that the run folder can be used from anywhere.
fn absolute(text: &str, config: &Config, file: &Path) -> Result<String> {
    let mut table: toml::Table = text.parse().with_context(|| format!("{} is not TOML", file.display()))?;
    let full = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string());
    let mut set = |section: &str, key: &str, value: String| {
        if let Some(toml::Value::Table(section)) = table.get_mut(section) {
            section.insert(key.into(), toml::Value::String(value));
        }
    };
    let name = config.model_name();
    if Path::new(&name).exists() {
        set("model", "path", full(Path::new(&name))?);
    }
    set("data", "file", full(&config.path(&config.data.file))?);
    if let Some(held) = &config.validation.file {
        set("validation", "file", full(&config.path(held))?);
    }
    Ok(toml::to_string(&table)?)
}

/// What the terminal shows while it trains.
struct Live {
    bar: ProgressBar,
    line: std::cell::RefCell<view::Line>,
    /// Tokens drawn since the last event.
    drawn: std::cell::Cell<u64>,
    json: bool,
}

impl Live {
    fn new(steps: u64, taken: u64, json: bool) -> Self {
        let style = ProgressStyle::with_template("{bar:24} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(steps).with_style(style) };
        Self { bar, line: std::cell::RefCell::new(view::Line::new(steps, taken)), drawn: Default::default(), json }
    }

    fn see(&self, event: &TrainEvent) {
        if self.json {
            if let Ok(line) = events::line(event) {
                println!("{line}");
            }
            return;
        }
        self.drawn.set(0);
        let mut line = self.line.borrow_mut();
        line.update(event);
        self.bar.set_position(line.step());
        self.bar.set_message(line.to_string());
        match event {
            TrainEvent::Validation { step, loss, perplexity, .. } => {
                self.say(format!("step {step}: validation loss {loss:.4}, perplexity {perplexity:.2}"));
            }
            TrainEvent::RlValidation(validation) => {
                let data::RlValidation { step, reward, margin, .. } = validation;
                self.say(format!("step {step}: held-out reward {reward:.3} ± {margin:.3}"));
            }
            TrainEvent::Alarm { step, message, .. } => self.say(format!("step {step}: {message}")),
            TrainEvent::Rl(_) if self.bar.is_hidden() => self.say(line.to_string()),
            TrainEvent::Step(step) if self.bar.is_hidden() => {
                self.say(format!("{line} (lr {:.2e})", step.lr));
            }
            _ => {}
        }
    }

    /// A token was drawn.
    fn tick(&self) {
        let drawn = self.drawn.get() + 1;
        self.drawn.set(drawn);
        if drawn.is_multiple_of(64) {
            self.bar.set_message(format!("{}  {drawn} tokens drawn", self.line.borrow()));
        }
    }

    fn say(&self, line: String) {
        if self.bar.is_hidden() { eprintln!("{line}") } else { self.bar.println(line) }
    }
}

fn say(summary: &Summary, steps: u64, folder: &Path) {
    let shown = folder.display();
    match summary.cause {
        StopCause::Finished => eprintln!("{steps} steps done"),
        _ => eprintln!("stopped after {} of {steps} steps; `--resume` goes on", summary.step),
    }
    if let Some((first, last, best)) = summary.validation {
        eprintln!("validation loss {first:.4} at first, {last:.4} now, {best:.4} at best");
    }
    eprintln!("report: {shown}/report.html\nuse it: longhand export {shown} --to gguf --type q8_0 --out mine.gguf");
}

//! Supervised fine-tuning from a configuration to a run folder: order, packs, steps, validation, checkpoints, resume.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use data::{BestValidation, DataCursor, Machine, StopCause, TrainEvent, TrainStart, TrainState, TrainStep};
use kernels::attention::KvDType;
use kernels::{DType, Device};
use model::source::{Checkpoint as Base, Converted, Role};
use model::train::{LoraShape, Part, Slot, TrainSpaceShape};
use model::{Engine, EngineSettings, Model, ModelConfig, Request};

use crate::adapter::{Adapter, Pair, Place};
use crate::config::{Config, Length, Schedule, Targets};
use crate::error::{Result, TrainError};
use crate::export::Overrides;
use crate::run::checkpoint::{Checkpoint, Keep, TensorSpec, Writer};
use crate::run::{Identity, Run, now};
use crate::sft::{Cursor, Dataset, Example, Order, Pack, pack, spread};
use crate::trainer::{Hyper, Sequence, Trainer};

/// Keys that may change between the parts of one run.
const FREE: [&str; 6] = ["device.threads", "device.lanes", "validation", "checkpoint", "train.micro_batch_tokens", "device.kind"];
/// Files of a checkpoint.
const FILES: [&str; 3] = ["masters", "adam_m", "adam_v"];
/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 64;

/// A fine-tuning that is ready to begin or go on.
pub struct Finetune {
    config: Config,
    trainer: Trainer,
    data: Dataset,
    validation: Option<Dataset>,
    order: Order,
    run: Run,
    rows: usize,
    steps: u64,
    state: TrainState,
    started: bool,
    /// Steps and seconds that a kill took back from the log.
    lost: (u64, f32),
    skipped: Vec<String>,
    start: TrainStart,
    /// Floating-point operations of a token, and the device's peak a second where it is known.
    arithmetic: (f64, Option<f64>),
}

/// What decides memory and speed, worked out before the model is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Tokens of a pass.
    pub rows: usize,
    /// Layers that keep their inside.
    pub keep: usize,
}

/// What a run ended with.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps taken in all.
    pub step: u64,
    /// Validation loss at the beginning, now, and the best.
    pub validation: Option<(f32, f32, f32)>,
    /// Why it stopped.
    pub cause: StopCause,
}

/// What keys and values are rounded to beside weights of this format: as rollouts do.
pub fn kv_dtype(dtype: DType) -> KvDType {
    if dtype == DType::F32 { KvDType::F32 } else { KvDType::F16 }
}

/// What keys and values are rounded to in a run of `config`.
pub fn kv_of(config: &Config) -> KvDType {
    kv_dtype(if config.lora.is_some() { DType::BF16 } else { config.train.dtype })
}

/// The roles that adapters of `targets` stand beside.
pub fn roles(targets: Targets) -> Vec<Role> {
    let attention = [Role::Q, Role::K, Role::V, Role::O];
    let (mlp, experts) = ([Role::Gate, Role::Up, Role::Down], [Role::ExpertGate, Role::ExpertUp, Role::ExpertDown]);
    let chosen = [(targets.attention, &attention[..]), (targets.mlp, &mlp[..]), (targets.experts, &experts[..])];
    chosen.into_iter().filter(|(wanted, _)| *wanted).flat_map(|(_, roles)| roles.iter().copied()).collect()
}

/// The learning rate of step `step` (from 1) of `steps`.
pub fn learning_rate(config: &Config, step: u64, steps: u64) -> f32 {
    let train = &config.train;
    let warmup = train.warmup.steps(steps);
    if step <= warmup {
        return (train.lr * step as f64 / warmup.max(1) as f64) as f32;
    }
    let way = (step - warmup) as f64 / (steps.saturating_sub(warmup)).max(1) as f64;
    let factor = match train.schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - way,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * way).cos()),
    };
    (train.lr * factor) as f32
}

/// Steps of a run over examples of these lengths.
pub fn steps_of(config: &Config, lengths: Vec<usize>) -> u64 {
    match config.train.length {
        Length::Steps(steps) => steps,
        Length::Epochs(epochs) => Order::new(lengths, config.train.seed).steps(config.train.batch, epochs),
    }
}

/// The model as it is trained: converted to the configured format, or as stored with adapters beside it.
pub fn load(config: &Config, base: &Base, device: Device, positions: usize, progress: impl FnMut(u64, u64)) -> Result<Model> {
    let Some(lora) = &config.lora else {
        return Ok(Model::load(&Converted::new(base, config.train.dtype)?, device, positions, progress)?);
    };
    let mut model = Model::load(base, device, positions, progress)?;
    model.adapt(LoraShape { rank: lora.rank, alpha: lora.alpha as f32 }, &roles(lora.targets), config.train.seed)?;
    if model.adapter_slots().is_empty() {
        return Err(TrainError::NothingToTrain(config.model.path.clone()));
    }
    Ok(model)
}

/// The tensors of `model` that `config` trains.
pub fn slots(config: &Config, model: &Model) -> Vec<Slot> {
    if config.lora.is_some() { model.adapter_slots() } else { Model::slots(&model.config) }
}

pub(crate) fn hyper(config: &Config) -> Hyper {
    let train = &config.train;
    Hyper {
        beta1: train.betas[0] as f32,
        beta2: train.betas[1] as f32,
        eps: train.eps as f32,
        weight_decay: train.weight_decay as f32,
        decay_vectors: false,
        max_grad_norm: train.max_grad_norm as f32,
    }
}

/// What a log begins with: what was asked for and where it runs. What is trained and how long is the caller's to say.
pub(crate) fn start(config: &Config, text: &str, model: &Model) -> TrainStart {
    TrainStart {
        version: TrainEvent::VERSION,
        time: now() as u64,
        longhand: env!("CARGO_PKG_VERSION").into(),
        config: text.to_string(),
        seed: config.train.seed,
        machine: Machine {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            device: model.device.describe(),
            threads: config.device.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get())) as u32,
            memory: total_memory(),
        },
        model: config.model.path.clone(),
        parameters: model.config.parameters(),
        trained: 0,
        steps: 0,
    }
}

impl Finetune {
    /// Opens the run in `folder`, or begins one. `text` is the configuration as written, `base` the base's fingerprint.
    ///
    /// Errors when the folder holds a run of another configuration, base or data; nothing of it is changed then.
    pub fn open(
        (config, text): (Config, &str),
        (model, base): (Model, &str),
        (data, validation): (Dataset, Option<Dataset>),
        folder: &Path,
        room: Room,
        peak_flops: Option<f64>,
    ) -> Result<Self> {
        let mut free = FREE.to_vec();
        if config.train.steps_do_not_depend_on_the_length() {
            free.extend(["train.steps", "train.epochs"]);
        }
        let identity = Identity::new(text, &format!("{base} on {}", hex(&data.hash())), &free)?;
        let keep = Keep { last: config.checkpoint.keep, best: true, every: None };
        let (run, resumption) = Run::open(folder, identity, keep)?;
        let kv = kv_of(&config);
        let longest = data.lengths().into_iter().chain(validation.iter().flat_map(Dataset::lengths)).max().unwrap_or(1);
        let rows = room.rows.max(longest);
        let shortest = data.lengths().into_iter().chain(validation.iter().flat_map(Dataset::lengths)).min().unwrap_or(1).max(1);
        let shape = TrainSpaceShape { rows, sequences: rows.div_ceil(shortest), loss_rows: rows, kv, keep: room.keep };
        let slots = slots(&config, &model);
        let start = start(&config, text, &model);
        let mut trainer = Trainer::new(model, &slots, shape, hyper(&config))?.with_lanes(config.device.lanes)?;
        let mut state = TrainState { version: TrainState::VERSION, ..TrainState::default() };
        if let Some(checkpoint) = &resumption.checkpoint {
            state = checkpoint.state().clone();
            restore(&mut trainer, checkpoint, state.step)?;
        }
        let steps = steps_of(&config, data.lengths());
        let trained: usize = trainer.gradients().iter().map(|(_, tensor)| tensor.len()).sum();
        let start = TrainStart { trained: trained as u64, steps, ..start };
        let flops = flops_per_token(&config, &trainer.model().config, &data);
        let order = Order::new(data.lengths(), config.train.seed);
        let started = !resumption.events.is_empty();
        let lost = (resumption.cut.steps, resumption.cut.seconds as f32);
        let skipped = resumption.skipped.iter().map(ToString::to_string).collect();
        Ok(Self {
            config,
            trainer,
            data,
            validation,
            order,
            run,
            rows,
            steps,
            state,
            started,
            lost,
            skipped,
            start,
            arithmetic: (flops, peak_flops),
        })
    }

    /// Steps of the whole run, and those taken.
    pub fn progress(&self) -> (u64, u64) {
        (self.steps, self.state.step)
    }

    /// Checkpoints that are not whole and were passed over, and why.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The model as it is now.
    pub fn trainer(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// Trains until the last step, or until `stop` says so between two. `see` hears every event as it is written.
    /// `text` turns ids into text, for samples.
    pub async fn train(
        &mut self,
        mut stop: impl FnMut() -> bool,
        text: impl Fn(&[u32]) -> String,
        mut see: impl FnMut(&TrainEvent),
    ) -> Result<Summary> {
        let first = match self.started {
            false => TrainEvent::Started(self.start.clone()),
            true => TrainEvent::Resumed {
                step: self.state.step,
                time: now() as u64,
                longhand: self.start.longhand.clone(),
                machine: self.start.machine.clone(),
                lost_steps: self.lost.0,
                lost_seconds: self.lost.1,
            },
        };
        self.record(first, &mut see)?;
        let mut validation = None;
        if self.state.step == 0 {
            validation = self.validate(&mut see).await?.map(|loss| (loss, loss, loss));
            self.sample(&text, &mut see).await?;
        }
        let mut cause = StopCause::Finished;
        while self.state.step < self.steps {
            if stop() {
                cause = StopCause::Interrupted;
                break;
            }
            if let Err(error) = self.step(&mut see).await {
                let diverged = matches!(error, TrainError::NotFinite { .. });
                let reason = if diverged { StopCause::Diverged } else { StopCause::Failed { error: error.to_string() } };
                self.record(TrainEvent::Stopped { step: self.state.step, reason, time: now() as u64 }, &mut see)?;
                return Err(error);
            }
            let last = self.state.step == self.steps;
            if last || self.state.step.is_multiple_of(self.config.validation.every.max(1)) {
                if let Some(loss) = self.validate(&mut see).await? {
                    let (first, _, best) = validation.unwrap_or((loss, loss, loss));
                    validation = Some((first, loss, best.min(loss)));
                }
                self.sample(&text, &mut see).await?;
            }
            if last || self.state.step.is_multiple_of(self.config.checkpoint.every.max(1)) {
                self.save(&mut see).await?;
            }
        }
        if cause == StopCause::Interrupted && !self.state.step.is_multiple_of(self.config.checkpoint.every.max(1)) {
            self.save(&mut see).await?;
        }
        self.record(TrainEvent::Stopped { step: self.state.step, reason: cause.clone(), time: now() as u64 }, &mut see)?;
        self.run.report()?;
        Ok(Summary { step: self.state.step, validation, cause })
    }

    /// What the model says now, greedily, where the first validation example (else the first of all) has its first answer.
    pub async fn sample(&mut self, text: impl Fn(&[u32]) -> String, see: &mut impl FnMut(&TrainEvent)) -> Result<()> {
        let example = self.validation.as_ref().unwrap_or(&self.data).examples.first();
        let Some((example, first)) = example.and_then(|e| Some((e, e.loss_mask.iter().position(|&counts| counts)?))) else { return Ok(()) };
        let prompt = example.ids[..first].to_vec();
        let model = self.trainer.model().clone();
        let window = (first + SAMPLE_TOKENS).min(model.max_positions);
        let kv = kv_of(&self.config);
        let settings = EngineSettings { window, cache_positions: window + 32, step_rows: 256, max_sequences: 1, kv, record_routes: false };
        let stop_ids = model.config.eos.clone();
        let request =
            Request { prompt: prompt.clone(), max_new_tokens: window.saturating_sub(first), sampling: data::Sampling::GREEDY, stop_ids };
        let said = Engine::new(model, settings)?.generate(request, |_| {}).await?;
        let event = TrainEvent::Sample { step: self.state.step, prompt: text(&prompt), completion: text(&said.ids) };
        self.record(event, see)
    }

    /// Writes an event of the caller's, such as a sample.
    pub fn record(&mut self, event: TrainEvent, see: &mut impl FnMut(&TrainEvent)) -> Result<()> {
        self.run.record(&event)?;
        see(&event);
        Ok(())
    }

    async fn step(&mut self, see: &mut impl FnMut(&TrainEvent)) -> Result<()> {
        let begun = Instant::now();
        let epochs = match self.config.train.length {
            Length::Epochs(epochs) => Some(epochs),
            Length::Steps(_) => None,
        };
        let mut cursor = Cursor { epoch: self.state.cursor.epoch, index: self.state.cursor.position };
        let taken = self.order.step(&mut cursor, self.config.train.batch, epochs);
        let examples: Vec<&Example> = taken.iter().map(|&number| &self.data.examples[number]).collect();
        let loss_tokens: usize = examples.iter().map(|example| example.loss_tokens()).sum();
        // Fixed before the first micro-batch.
        let weight = 1.0 / loss_tokens.max(1) as f64;
        let packs = spread(&examples, self.rows, self.trainer.lanes())?;
        let sequences = |pack: &Pack| pack.examples.iter().map(|&number| sequence(examples[number])).collect();
        let passes: Vec<Vec<Sequence>> = packs.iter().map(sequences).collect();
        let tokens = packs.iter().map(Pack::rows).sum::<usize>();
        self.trainer.accumulate_all(&passes, weight).await?;
        let lr = learning_rate(&self.config, self.state.step + 1, self.steps);
        let outcome = self.trainer.step(lr).await?;
        self.trainer.settle().await?;
        let seconds = begun.elapsed().as_secs_f64();
        self.state.step += 1;
        self.state.cursor = DataCursor { epoch: cursor.epoch, position: cursor.index };
        self.state.tokens += tokens as u64;
        self.state.seconds += seconds;
        self.state.validation = None;
        let event = TrainEvent::Step(TrainStep {
            step: self.state.step,
            loss: outcome.loss as f32,
            grad_norm: outcome.grad_norm,
            lr,
            tokens: tokens as u64,
            loss_tokens: outcome.loss_tokens as u64,
            seconds: seconds as f32,
            tokens_per_second: (tokens as f64 / seconds) as f32,
            peak_memory: peak_memory(),
            mfu: self.arithmetic.1.map(|peak| (self.arithmetic.0 * tokens as f64 / seconds / peak) as f32),
        });
        self.record(event, see)
    }

    async fn validate(&mut self, see: &mut impl FnMut(&TrainEvent)) -> Result<Option<f32>> {
        let Some(validation) = &self.validation else { return Ok(None) };
        let begun = Instant::now();
        let examples: Vec<&Example> = validation.examples.iter().collect();
        let (mut sum, mut count) = (0.0, 0);
        for pack in pack(&examples, self.rows)? {
            let sequences: Vec<Sequence> = pack.examples.iter().map(|&number| sequence(examples[number])).collect();
            let (loss, tokens) = self.trainer.evaluate(&sequences).await?;
            (sum, count) = (sum + loss, count + tokens);
        }
        let loss = (sum / count.max(1) as f64) as f32;
        self.state.validation = Some(loss);
        if self.state.best.as_ref().is_none_or(|best| loss < best.loss) {
            self.state.best = Some(BestValidation { step: self.state.step, loss });
        }
        let seconds = begun.elapsed().as_secs_f64();
        let event =
            TrainEvent::Validation { step: self.state.step, loss, tokens: count as u64, perplexity: loss.exp(), seconds: seconds as f32 };
        self.record(event, see)?;
        Ok(Some(loss))
    }

    async fn save(&mut self, see: &mut impl FnMut(&TrainEvent)) -> Result<()> {
        let trainer = &mut self.trainer;
        let (_, event) = self.run.save(self.state.clone(), |writer| write(trainer, writer))?;
        see(&event);
        Ok(())
    }
}

fn sequence(example: &Example) -> Sequence<'_> {
    Sequence { ids: &example.ids, loss_mask: &example.loss_mask }
}

/// Masters and moments of a trainer, as a checkpoint's files.
pub(crate) fn write(trainer: &mut Trainer, writer: &mut Writer) -> Result<()> {
    let slots: Vec<(Slot, Vec<usize>)> = trainer.gradients().iter().map(|(slot, t)| (slot, t.shape().to_vec())).collect();
    for (number, file) in FILES.into_iter().enumerate() {
        let specs: Vec<TensorSpec> = slots.iter().map(|(slot, shape)| TensorSpec::f32(slot.name(), shape)).collect();
        let mut out = writer.tensors(file, &specs)?;
        for (slot, _) in &slots {
            let values = pollster::block_on(trainer.state_of(*slot, number))?;
            out.push_f32(&slot.name(), &values)?;
        }
        out.finish()?;
    }
    Ok(())
}

pub(crate) fn restore(trainer: &mut Trainer, checkpoint: &Checkpoint, updates: u64) -> Result<()> {
    let shapes: std::collections::HashMap<Slot, Vec<usize>> =
        trainer.gradients().iter().map(|(slot, t)| (slot, t.shape().to_vec())).collect();
    trainer.restore(updates as u32, |slot| {
        let read = |file: &str| checkpoint.f32s(file, &slot.name(), &shapes[&slot]);
        Ok([read(FILES[0])?, read(FILES[1])?, read(FILES[2])?])
    })
}

/// As `plan` counts them.
fn flops_per_token(config: &Config, model: &ModelConfig, data: &Dataset) -> f64 {
    let tokens: usize = data.lengths().iter().sum();
    let loss: usize = data.examples.iter().map(Example::loss_tokens).sum();
    let lora = config.lora.as_ref().map(|lora| (LoraShape { rank: lora.rank, alpha: lora.alpha as f32 }, roles(lora.targets)));
    let work = crate::plan::Work {
        config: model.clone(),
        dtype: config.train.dtype,
        stored: None,
        lora,
        pass: TrainSpaceShape { rows: 1, sequences: 1, loss_rows: 1, kv: KvDType::F32, keep: 1 },
        lanes: 1,
        length: tokens / data.examples.len().max(1),
        loss_share: loss as f64 / tokens.max(1) as f64,
        step_tokens: 1.0,
        steps: 1,
        validation: (0.0, 0),
        checkpoints: 1,
        rollouts: None,
    };
    work.flops_per_token()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most memory this process has had, in bytes; 0 where the system does not say.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

/// Bytes of this machine's memory; 0 where the system does not say.
fn total_memory() -> u64 {
    let about = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = about.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

/// What a run has made so far, read from one of its checkpoints.
pub struct Trained {
    /// The run's configuration.
    pub config: Config,
    /// Step of the checkpoint.
    pub step: u64,
    /// Its validation loss, where it was measured.
    pub validation: Option<f32>,
    checkpoint: Checkpoint,
    model: ModelConfig,
}

impl Trained {
    /// Whether `folder` is a training run.
    pub fn is_run(folder: &Path) -> bool {
        folder.join("config.toml").is_file() && folder.join("checkpoint").is_dir()
    }

    /// The configuration a run was made with.
    pub fn config_of(run: &Path) -> Result<Config> {
        Ok(Config::load(&run.join("config.toml"))?)
    }

    /// From the checkpoint with the lowest validation loss where one was measured and `last` does not ask for the newest, else the newest.
    pub fn open(run: &Path, last: bool, model: &ModelConfig) -> Result<Self> {
        let config = Self::config_of(run)?;
        let scan = crate::run::checkpoint::Store::new(run.join("checkpoint")).scan()?;
        let best = if last { None } else { scan.best() };
        let listed = best.or(scan.newest()).ok_or_else(|| TrainError::NoCheckpoint(run.display().to_string()))?;
        let checkpoint = Checkpoint::look(&listed.path)?;
        Ok(Self { config, step: listed.step, validation: listed.validation, checkpoint, model: model.clone() })
    }

    /// The files its weights are in.
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        vec![self.checkpoint.path().join(format!("{}.safetensors", FILES[0]))]
    }

    /// For a model card: how it was trained, a line each.
    pub fn told(&self) -> Vec<String> {
        let train = &self.config.train;
        let what = match &self.config.lora {
            Some(lora) => format!("LoRA, rank {}, alpha {}, merged", lora.rank, lora.alpha),
            None => "all weights".to_string(),
        };
        let mut lines = vec![
            format!("Supervised fine-tuning with Longhand {}: {what}", env!("CARGO_PKG_VERSION")),
            format!(
                "Step {}, learning rate {} ({:?}), weight decay {}, seed {}",
                self.step, train.lr, train.schedule, train.weight_decay, train.seed
            ),
        ];
        lines.extend(self.validation.map(|loss| format!("Validation loss {loss:.4}")));
        lines
    }

    /// The adapter it trained; `None` if it trained the whole model.
    pub fn adapter(&self, base: &Base) -> Result<Option<Adapter>> {
        let Some(lora) = &self.config.lora else { return Ok(None) };
        let mut pairs = std::collections::BTreeMap::new();
        for layer in 0..self.model.layers {
            for role in roles(lora.targets).into_iter().filter(|role| role.exists(&self.model, layer)) {
                let (experts, n, k) = match role.shape(&self.model)[..] {
                    [experts, n, k] => (experts, n, k),
                    [n, k] => (1, n, k),
                    _ => continue,
                };
                let read = |part, rows: usize, cols: usize| {
                    self.checkpoint.f32s(FILES[0], &Slot { layer, role, part }.name(), &[experts * rows, cols])
                };
                let (a, b) = (read(Part::LoraA, lora.rank, k)?, read(Part::LoraB, n, lora.rank)?);
                for (expert, (a, b)) in a.chunks_exact(lora.rank * k).zip(b.chunks_exact(n * lora.rank)).enumerate() {
                    let place = Place { role, layer, expert: role.is_expert().then_some(expert) };
                    pairs.insert(place, Pair { a: a.to_vec(), b: b.to_vec() });
                }
            }
        }
        let base_name = self.config.model.path.clone();
        let base = Some(crate::adapter::fingerprint(base)?);
        Ok(Some(Adapter { rank: lora.rank, alpha: lora.alpha as f32, base_name, base, pairs }))
    }
}

impl Overrides for Trained {
    fn values(&self, role: Role, layer: usize) -> std::result::Result<Option<Cow<'_, [f32]>>, Box<dyn std::error::Error + Send + Sync>> {
        if self.config.lora.is_some() {
            return Ok(None);
        }
        let shape = match role.shape(&self.model)[..] {
            [experts, n, k] => vec![experts * n, k],
            ref shape => shape.to_vec(),
        };
        Ok(Some(Cow::Owned(self.checkpoint.f32s(FILES[0], &Slot::whole(role, layer).name(), &shape)?)))
    }
}

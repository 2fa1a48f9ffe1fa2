//! The paper's ablation (tables 2 and 3, figure 8) at small scale: one base policy for each seed, trained further on the small world by each
//! variant of the recipe, everything else being equal.

mod lessons;
pub mod page;
pub mod summary;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use data::{RlStep, RlValidation};
use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::{DType, Device, Precision};
use model::random::RandomWeights;
use model::train::{Slot, TrainSpaceShape};
use model::{Model, ModelConfig};
use safetensors::tensor::TensorView;

use super::advantage::{self, Center, Scale};
use super::aepo::{self, Mode, Thresholds};
use super::clip::{Amount, Clip, Threshold, Unit, Which};
use super::ladder::qwen3;
use super::recipe::Recipe;
use super::reinforce::{Batch, Reinforce};
use super::sampler::Balance;
use crate::error::Result;
use crate::trainer::{Hyper, Sequence, Trainer};
pub use lessons::Lessons;

/// How large the ablation is.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// Supervised steps of the base.
    pub warmup: u64,
    /// Sequences of such a step.
    pub sequences: usize,
    /// Their learning rate.
    pub warmup_lr: f32,
    /// The share of its lessons that have a wrong reply, so that it can do more than it mostly says: rewards have something to bring out.
    pub slips: f64,
    /// Updates of each variant.
    pub steps: u64,
    /// Prompts of an update.
    pub prompts: usize,
    /// Rollouts of a prompt.
    pub group: usize,
    /// Learning rate of the updates.
    pub lr: f32,
    /// Items that prompts are drawn from.
    pub items: usize,
    /// Items that are not trained on.
    pub held: usize,
    /// Samples of each of them at a validation, at temperature 1.
    pub samples: usize,
    /// Steps between two validations.
    pub every: u64,
    /// AEPO's thresholds; `None`: they follow from the first steps.
    pub thresholds: Option<Thresholds>,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            warmup: 4000,
            sequences: 32,
            warmup_lr: 4e-3,
            slips: 0.4,
            steps: 120,
            prompts: 30,
            group: 8,
            lr: 1e-3,
            items: 20_000,
            held: 250,
            samples: 4,
            every: 20,
            thresholds: None,
        }
    }
}

/// A variant of the recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// As in the tables.
    pub name: &'static str,
    /// The recipe; `None`: the base as it is.
    pub recipe: Option<Recipe>,
}

/// What became of a variant.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its name.
    pub arm: &'static str,
    /// Of every random choice.
    pub seed: u64,
    /// Every update.
    pub steps: Vec<RlStep>,
    /// Rewards of items that were not trained on.
    pub held: Vec<RlValidation>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// The variants, in the order of the paper's tables, then the controls. `aepo`: the thresholds; `share`: of the negatives that the random
/// control masks, to be that of AEPO.
pub fn arms(scope: &Scope, aepo: Option<Thresholds>, share: f64) -> Vec<Arm> {
    let plain = Recipe {
        group: scope.group,
        max_new_tokens: 24,
        temperature: 1.0,
        top_p: 1.0,
        balance: Balance::None,
        advantage: advantage::Settings { center: Center::Group, scale: Scale::Group },
        aepo: aepo::Settings { mode: Mode::Off, thresholds: None },
        ..Recipe::default()
    };
    let balanced = Recipe { balance: Balance::Task, ..plain.clone() };
    let scaled = |scale| Recipe { advantage: advantage::Settings { center: Center::Group, scale }, ..balanced.clone() };
    let task = scaled(Scale::Task);
    let clip = |unit, which| Recipe { clip: Some(Clip { unit, which }), ..task.clone() };
    let (high, low) = (Which::High(Threshold::Quantile(0.8)), Which::Low(Threshold::Quantile(0.2)));
    let arm = |name, recipe| Arm { name, recipe: Some(recipe) };
    vec![
        Arm { name: "base", recipe: None },
        arm("GRPO", plain.clone()),
        arm("+ task-balanced", balanced.clone()),
        arm("+ batch std", scaled(Scale::Batch)),
        arm("+ task std", task.clone()),
        arm("clip high (tokens)", clip(Unit::Token, high)),
        arm("clip low (tokens)", clip(Unit::Token, low)),
        arm("clip high (sequences)", clip(Unit::Sequence, high)),
        arm("clip low (sequences)", clip(Unit::Sequence, low)),
        arm("AEPO", Recipe { aepo: aepo::Settings { mode: Mode::Latch, thresholds: aepo }, ..task.clone() }),
        arm("random masked", clip(Unit::Sequence, Which::Random(Amount::Share(share)))),
        arm("positives only", clip(Unit::Sequence, Which::All)),
    ]
}

/// A policy that has learnt a little: its weights by tensor.
pub type Base = BTreeMap<Slot, Vec<f32>>;

/// Writes a base to `file`.
pub fn save(base: &Base, file: &Path) -> std::io::Result<()> {
    let views = base.iter().map(|(slot, values)| {
        Ok((slot.name(), TensorView::new(safetensors::Dtype::F32, vec![values.len()], bytemuck::cast_slice(values))?))
    });
    let views: Vec<(String, TensorView)> =
        views.collect::<std::result::Result<_, safetensors::SafeTensorError>>().map_err(std::io::Error::other)?;
    safetensors::serialize_to_file(views, None, file).map_err(std::io::Error::other)
}

/// Reads what [`save`] wrote; `None` where there is none, or one of another model.
pub fn load(file: &Path) -> Option<Base> {
    let bytes = std::fs::read(file).ok()?;
    let tensors = safetensors::SafeTensors::deserialize(&bytes).ok()?;
    let config = model(Lessons::training(0, 1).vocab());
    let one = |slot: Slot| Some((slot, bytemuck::pod_collect_to_vec(tensors.tensor(&slot.name()).ok()?.data())));
    Model::slots(&config).into_iter().map(one).collect()
}

/// The model that learns: three layers, about 0.16 million parameters.
pub fn model(vocab: usize) -> ModelConfig {
    qwen3(vocab, 64, 3, 512)
}

/// Supervised steps on lessons of the world; `see` hears of the loss.
pub async fn base(scope: &Scope, seed: u64, mut see: impl FnMut(u64, f64)) -> Result<Base> {
    let lessons = Lessons::training(seed, scope.items);
    let mut trainer = trainer(&lessons, seed, scope)?;
    let mut order = crate::sft::Order::new(vec![1; lessons.len()], seed);
    let mut cursor = crate::sft::Cursor::default();
    for step in 0..scope.warmup {
        let taken = order.step(&mut cursor, crate::config::StepSize::Examples(scope.sequences), None);
        // First everything, so that names that come back teach a small model to look back; then only replies.
        let all = step < scope.warmup * 3 / 5;
        let rows: Vec<(Vec<u32>, Vec<bool>)> = taken.iter().map(|&number| lessons.lesson(number, all, scope.slips)).collect();
        let targets = rows.iter().flat_map(|(_, mask)| mask).filter(|&&target| target).count();
        for rows in rows.chunks(8) {
            let sequences: Vec<Sequence> = rows.iter().map(|(ids, loss_mask)| Sequence { ids, loss_mask }).collect();
            trainer.accumulate(&sequences, 1.0 / targets as f64).await?;
        }
        let way = (step + 1) as f32 / scope.warmup as f32;
        let outcome = trainer.step(scope.warmup_lr * (20.0 * way).min(1.0) * (1.0 - 0.9 * way)).await?;
        see(step + 1, outcome.loss);
    }
    let mut base = Base::new();
    for slot in trainer.moments().keys().copied().collect::<Vec<_>>() {
        base.insert(slot, trainer.master(slot).await?);
    }
    Ok(base)
}

/// Trains a variant from `base`.
pub async fn run(scope: &Scope, arm: &Arm, base: &Base, seed: u64, mut see: impl FnMut(&RlStep)) -> Result<Ran> {
    let begun = Instant::now();
    let lessons = Lessons::training(seed, scope.items);
    let mut held = Lessons::held(seed, scope.held);
    let mut trainer = trainer(&lessons, seed, scope)?;
    trainer.restore(0, |slot| {
        let values = base[&slot].clone();
        let zeros = vec![0.0; values.len()];
        Ok([values, zeros.clone(), zeros])
    })?;
    let recipe = arm.recipe.clone().unwrap_or_else(|| arms(scope, None, 0.0)[1].recipe.clone().unwrap_or_default());
    let rows = rows(&lessons, scope);
    let batch = Batch { prompts: scope.prompts, rows, kv: KvDType::F32, sequences: 256, cache_bytes: 256 << 20, seed };
    let stop = lessons.stop();
    let mut policy = Reinforce::new(trainer, lessons, recipe, vec![stop], batch)?;
    let (mut steps, mut validations) = (vec![], vec![policy.validate_at(&mut held, (scope.samples, 1.0), || ()).await?.0]);
    if arm.recipe.is_some() {
        for step in 1..=scope.steps {
            let (done, ..) = policy.update(scope.lr, || ()).await?;
            see(&done);
            steps.push(done);
            if step.is_multiple_of(scope.every) || step == scope.steps {
                validations.push(policy.validate_at(&mut held, (scope.samples, 1.0), || ()).await?.0);
            }
        }
    }
    Ok(Ran { arm: arm.name, seed, steps, held: validations, seconds: begun.elapsed().as_secs_f64() })
}

fn rows(lessons: &Lessons, scope: &Scope) -> usize {
    (lessons.longest() + 16).max(2048).min((lessons.longest() + 16) * scope.prompts * scope.group)
}

fn trainer(lessons: &Lessons, seed: u64, scope: &Scope) -> Result<Trainer> {
    let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 1));
    let config = model(lessons.vocab());
    let positions = config.max_positions;
    let model = Model::load(&RandomWeights::new(config.clone(), DType::F32, seed)?, device, positions, |_, _| {})?;
    let rows = rows(lessons, scope);
    let shape = TrainSpaceShape { rows, sequences: rows / 16, loss_rows: rows, kv: KvDType::F32, keep: config.layers };
    let hyper = Hyper { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, decay_vectors: false, max_grad_norm: 1.0 };
    Trainer::new(model, &Model::slots(&config), shape, hyper)
}

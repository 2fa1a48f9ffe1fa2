//! One run: a model from a seed, a warm-up, updates, validations, and what its weights hash to.

use std::time::Instant;

use data::RlValidation;
use kernels::attention::KvDType;
use kernels::{DType, Device};
use model::Model;
use model::random::RandomWeights;
use model::train::TrainSpaceShape;
use sha2::{Digest, Sha256};

use super::super::environment::Environment;
use super::super::reinforce::{Batch, Reinforce};
use super::Arm;
use super::toys::Toy;
use super::warmup::warm;
use crate::error::Result;
use crate::trainer::{Hyper, Trainer};

/// Rows of a pass at most: what fits a cache is faster than what does not.
const ROWS: usize = 2048;

/// What a run did.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its arm.
    pub arm: &'static str,
    /// Of every random choice.
    pub seed: u64,
    /// Supervised steps before.
    pub warmup: u64,
    /// Mean reward of each step's rollouts.
    pub rewards: Vec<f32>,
    /// Their mean entropy (eq. 11), nats.
    pub entropies: Vec<f32>,
    /// Steps on which AEPO masked.
    pub masked: Vec<bool>,
    /// AEPO's thresholds, once there were some.
    pub thresholds: Option<(f32, f32)>,
    /// Held-out rewards, of greedy completions: before the first step, on the way, and after the last.
    pub held: Vec<RlValidation>,
    /// Largest difference between a rollout's log-probability and the trainer's: of the first step, and of all.
    pub mismatch: (f32, f32),
    /// SHA-256 of all weights at the end.
    pub sha256: String,
    /// Parameters.
    pub parameters: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl Run {
    /// Mean training reward of the last `steps` steps.
    pub fn sampled(&self, steps: usize) -> f64 {
        let last = &self.rewards[self.rewards.len().saturating_sub(steps)..];
        last.iter().map(|&reward| f64::from(reward)).sum::<f64>() / last.len().max(1) as f64
    }

    /// Held-out reward before the first step and after the last.
    pub fn held_out(&self) -> (f64, f64) {
        let of = |validation: Option<&RlValidation>| validation.map_or(0.0, |validation| f64::from(validation.reward));
        (of(self.held.first()), of(self.held.last()))
    }

    /// The lowest held-out reward of a task at the end.
    pub fn worst_task(&self) -> f64 {
        let tasks = self.held.last().map(|validation| &validation.tasks[..]).unwrap_or_default();
        tasks.iter().map(|task| f64::from(task.reward)).fold(f64::INFINITY, f64::min)
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Supervised steps taken, the held-out reward then, and the loss of the last.
    Warmup(u64, f64, f64),
    /// Updates, reward and entropy of the last.
    Step(u64, f32, f32),
    /// Updates, and the held-out reward then.
    Held(u64, f32),
}

/// Runs `arm` from `seed`. `wrap` may stand between the policy and the rewards it is trained on; held-out rewards are the task's own.
pub async fn climb<E: Environment>(
    arm: &Arm,
    seed: u64,
    device: Device,
    wrap: impl FnOnce(Toy) -> E,
    mut see: impl FnMut(Progress),
) -> Result<Run> {
    let begun = Instant::now();
    let training = || Toy::training((arm.tasks)(), arm.items.0);
    let (lessons, mut held) = (training(), Toy::held_out((arm.tasks)(), arm.items.1));
    let mut policy = policy(arm, seed, device, wrap(training()))?;
    let warmup = match &arm.warmup {
        Some(warmup) => {
            warm(&mut policy, (&lessons, &mut held), warmup, seed, |step, reward, loss| see(Progress::Warmup(step, reward, loss))).await?
        }
        None => 0,
    };
    let (mut rewards, mut entropies, mut masked, mut thresholds) = (vec![], vec![], vec![], None);
    let mut mismatch = (0.0, 0.0f32);
    let mut validations = vec![];
    for step in 0..=arm.steps {
        if step.is_multiple_of(arm.every) || step == arm.steps {
            let (validation, _) = policy.validate(&mut held, || ()).await?;
            see(Progress::Held(step, validation.reward));
            validations.push(validation);
        }
        if step == arm.steps {
            break;
        }
        let way = step as f32 / (arm.steps - 1).max(1) as f32;
        let (done, ..) = policy.update(arm.lr * (1.0 - (1.0 - arm.last) * way), || ()).await?;
        rewards.push(done.reward);
        entropies.push(done.entropy);
        masked.push(done.masking);
        thresholds = done.thresholds.or(thresholds);
        mismatch = (if step == 0 { done.mismatch } else { mismatch.0 }, mismatch.1.max(done.mismatch));
        see(Progress::Step(step + 1, done.reward, done.entropy));
    }
    Ok(Run {
        arm: arm.name,
        seed,
        warmup,
        rewards,
        entropies,
        masked,
        thresholds,
        held: validations,
        mismatch,
        sha256: hash(&mut policy.trainer).await?,
        parameters: arm.model.parameters(),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn policy<E: Environment>(arm: &Arm, seed: u64, device: Device, environment: E) -> Result<Reinforce<E>> {
    let length = arm.model.max_positions.min(environment.longest_prompt() + arm.recipe.max_new_tokens);
    let model = Model::load(&RandomWeights::new(arm.model.clone(), DType::F32, seed)?, device, arm.model.max_positions, |_, _| {})?;
    let slots = Model::slots(&arm.model);
    // Warm-up lessons may fill the context.
    let lessons = arm.warmup.map_or(0, |warmup| warmup.sequences * arm.model.max_positions);
    let rows = (arm.prompts * arm.recipe.group * length).clamp(length, ROWS).max(lessons);
    let shape = TrainSpaceShape { rows, sequences: rows, loss_rows: rows, kv: KvDType::F32, keep: arm.model.layers };
    let hyper = Hyper { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, decay_vectors: false, max_grad_norm: 1.0 };
    let trainer = Trainer::new(model, &slots, shape, hyper)?;
    let batch = Batch { prompts: arm.prompts, rows: rows.min(ROWS), kv: KvDType::F32, sequences: 256, cache_bytes: 256 << 20, seed };
    Reinforce::new(trainer, environment, arm.recipe.clone(), arm.stop.into_iter().collect(), batch)
}

/// SHA-256 of all weights, in the order of their slots.
async fn hash(trainer: &mut Trainer) -> Result<String> {
    let slots: Vec<_> = trainer.moments().keys().copied().collect();
    let mut hash = Sha256::new();
    for slot in slots {
        let values = trainer.master(slot).await?;
        hash.update(slot.name());
        hash.update(bytemuck::cast_slice(&values));
    }
    Ok(format!("{:x}", hash.finalize()))
}

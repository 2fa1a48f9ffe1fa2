//! What a run will take, before it runs: memory, time and disk, from the shapes and a short measurement on this machine.
//!
//! Memory is counted from the very shapes that are allocated. Time comes from training passes of two tiny models of random weights with
//! the real widths, one layer and two: their difference is a layer, the rest the head. A pass of the run is as many layers and a head.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernels::attention::KvDType;
use kernels::{DType, Device};
use model::random::RandomWeights;
use model::source::Role;
use model::train::{LoraShape, Slot, TrainSpace, TrainSpaceShape};
use model::{Model, ModelConfig};

use crate::error::Result;
use crate::rl::recipe::LogprobSpace;
use crate::rl::reinforce::STEP_ROWS;
use crate::rl::rollout::{Drawing, Prompt};
use crate::trainer::{Hyper, Sequence, Trainer, shared_rows};

/// What is to be planned.
#[derive(Clone, Debug)]
pub struct Work {
    /// The model's shape.
    pub config: ModelConfig,
    /// How its matrices are stored.
    pub dtype: DType,
    /// Adapters and the roles they stand beside; without, every tensor is trained.
    pub lora: Option<(LoraShape, Vec<Role>)>,
    /// Bytes of the model's tensors where a checkpoint is at hand; counted from `dtype` otherwise.
    pub stored: Option<u64>,
    /// Room of a pass.
    pub pass: TrainSpaceShape,
    /// Passes side by side.
    pub lanes: usize,
    /// Tokens of a sequence, on average.
    pub length: usize,
    /// Share of tokens that are predicted.
    pub loss_share: f64,
    /// Tokens of an optimizer step, on average.
    pub step_tokens: f64,
    /// Steps of the run.
    pub steps: u64,
    /// Tokens of each validation, and how many validations.
    pub validation: (f64, u64),
    /// Checkpoints on the disk at once, the one being written included.
    pub checkpoints: u64,
    /// With reinforcement learning: what is drawn before each step.
    pub rollouts: Option<RolloutWork>,
}

/// What reinforcement learning draws before each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RolloutWork {
    /// Prompts of a step.
    pub prompts: usize,
    /// Rollouts of a prompt.
    pub group: usize,
    /// Turns of a rollout, on average: 1 where documents are read whole.
    pub turns: usize,
    /// Tokens of a turn's prompt, on average.
    pub prompt: usize,
    /// Tokens of a turn's reply; all that it may have, if nothing else is known.
    pub reply: usize,
    /// Sequences that are drawn at once.
    pub together: usize,
    /// Bytes of their keys and values.
    pub cache: u64,
}

impl RolloutWork {
    /// Rows of the update: what a prompt's rollouts share of it once, the rest for each. Later turns have notes of their own.
    pub fn update_rows(&self) -> usize {
        let shared = if self.group > 1 { shared_rows(self.prompt) } else { 0 };
        let turn = self.prompt + self.reply - 1;
        self.prompts * (shared + self.group * (turn - shared + (self.turns - 1) * turn))
    }

    /// Rows of prompts that rollouts compute: the first turn's once, those of later turns for each.
    fn prompt_rows(&self) -> usize {
        self.prompts * self.prompt * (1 + self.group * (self.turns - 1))
    }
}

/// Where memory goes, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The model's tensors as stored.
    pub weights: u64,
    /// f32 masters.
    pub masters: u64,
    /// AdamW's two moments.
    pub moments: u64,
    /// Gradients.
    pub gradients: u64,
    /// Activations of a pass, and the kept input of each layer.
    pub activations: u64,
    /// Rotary tables and the kernels' scratch.
    pub scratch: u64,
    /// Keys and values of rollouts.
    pub rollouts: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Labels and bytes, for a table.
    pub fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("weights", self.weights),
            ("masters (f32)", self.masters),
            ("AdamW moments (f32)", self.moments),
            ("gradients (f32)", self.gradients),
            ("activations", self.activations),
            ("scratch", self.scratch),
            ("rollouts' keys, values", self.rollouts),
        ]
    }
}

/// What was measured, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// A layer's forward, recomputation and backward, per token.
    pub layer: f64,
    /// A layer's forward alone, per token.
    pub layer_forward: f64,
    /// The head's forward and backward, per loss token.
    pub head: f64,
    /// Clipping, AdamW and rounding, per trained parameter.
    pub optimizer: f64,
    /// A layer, and the head with sampling, of one token of all rollouts that are drawn at once; 0 without reinforcement learning.
    pub decode: (f64, f64),
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// At the peak.
    pub memory: Memory,
    /// Parameters of the model, and those trained.
    pub parameters: (u64, u64),
    /// One optimizer step, without rollouts.
    pub seconds_per_step: f64,
    /// The rollouts of a step.
    pub rollout_seconds: f64,
    /// The whole run, validation included.
    pub seconds: f64,
    /// Checkpoints at their most.
    pub disk: u64,
    /// Floating-point operations of a step (a multiply-add counts two; recomputation is not counted).
    pub flops_per_step: f64,
}

impl Work {
    /// The tensors this work trains, with their shapes (experts stacked).
    pub fn trained(&self) -> Vec<(Slot, Vec<usize>)> {
        let flat = |shape: Vec<usize>| match shape[..] {
            [experts, n, k] => vec![experts * n, k],
            _ => shape,
        };
        let Some((lora, roles)) = &self.lora else {
            return Model::slots(&self.config).into_iter().map(|slot| (slot, flat(slot.role.shape(&self.config)))).collect();
        };
        let mut out = Vec::new();
        for layer in 0..self.config.layers {
            for &role in roles.iter().filter(|role| role.exists(&self.config, layer)) {
                let (experts, n, k) = match role.shape(&self.config)[..] {
                    [experts, n, k] => (experts, n, k),
                    [n, k] => (1, n, k),
                    _ => continue,
                };
                let slot = |part| Slot { layer, role, part };
                out.push((slot(model::train::Part::LoraA), vec![experts * lora.rank, k]));
                out.push((slot(model::train::Part::LoraB), vec![experts * n, lora.rank]));
            }
        }
        out
    }

    /// Memory at the peak, counted.
    pub fn memory(&self) -> Memory {
        let trained = self.trained();
        let count = |vectors: bool| -> u64 {
            let of_kind = trained.iter().filter(|(_, shape)| vectors || shape.len() > 1);
            of_kind.map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
        };
        let (all, matrices) = (count(true), count(false));
        let parameters = self.config.parameters();
        let counted = (parameters as f64 * self.dtype.block_bytes() as f64 / self.dtype.block_len() as f64) as u64;
        let stored = self.stored.unwrap_or(counted);
        let rank = self.lora.as_ref().map_or(0, |(shape, _)| shape.rank);
        let adapters = if self.lora.is_some() { 4 * matrices } else { 0 };
        Memory {
            weights: stored + adapters,
            masters: 4 * matrices,
            moments: 8 * all,
            gradients: 4 * all * self.lanes as u64,
            activations: TrainSpace::bytes(&self.config, self.pass, rank) * self.lanes as u64,
            scratch: (64 << 20) + 4 * (self.length.max(self.pass.rows) * self.config.head_dim) as u64,
            rollouts: self.rollouts.map_or(0, |rollouts| rollouts.cache),
        }
    }

    /// Floating-point operations of one token's forward and backward, recomputation not counted: 6 a parameter that works on it (4 where
    /// the parameter is frozen), and attention's products.
    pub fn flops_per_token(&self) -> f64 {
        let config = &self.config;
        let active: f64 = Model::slots(config)
            .iter()
            .filter(|slot| !slot.role.is_vector() && slot.role != Role::Embedding)
            .map(|slot| match slot.role.shape(config)[..] {
                [_, n, k] => (n * k * config.moe.as_ref().map_or(1, |moe| moe.top_k)) as f64,
                [n, k] => (n * k) as f64,
                _ => 0.0,
            })
            .sum();
        let head = (config.vocab * config.hidden) as f64;
        let body = active - if config.tie_embeddings { 0.0 } else { head };
        let factor = if self.lora.is_some() { 4.0 } else { 6.0 };
        // Each query meets half the sequence; forward two products, backward five, of which the recomputed scores are not counted.
        let attention = 12.0 * (config.layers * config.heads * config.head_dim) as f64 * self.length as f64 / 2.0;
        factor * (body + head * self.loss_share) + attention
    }

    /// Times two tiny models on `device`, which is given back; about `budget` at the most for each of a few passes.
    pub async fn measure(&self, mut device: Device, budget: Duration) -> Result<(Rates, Device)> {
        let mut timed = Vec::new();
        for layers in [1, 2] {
            let (seconds, back) = self.time_layers(layers, device, budget).await?;
            device = back;
            timed.push(seconds);
        }
        let [one, two] = [timed[0], timed[1]];
        let layer = (two.pass - one.pass).max(two.pass * 0.05);
        let layer_forward = (two.forward - one.forward).max(two.forward * 0.05);
        let head = (one.pass - layer).max(0.0) / one.loss_tokens * self.config.vocab as f64 / one.vocab;
        let decode_layer = (two.decode - one.decode).max(two.decode * 0.05);
        let decode_head = (one.decode - decode_layer).max(0.0) * self.config.vocab as f64 / one.vocab;
        let rates = Rates {
            layer: layer / one.tokens,
            layer_forward: layer_forward / one.tokens,
            head,
            optimizer: two.step / two.trained,
            decode: (decode_layer, decode_head),
        };
        Ok((rates, device))
    }

    /// Puts the pieces together.
    pub fn plan(&self, rates: &Rates) -> Plan {
        let trained: u64 = self.trained().iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
        let layers = self.config.layers as f64;
        // Layers that keep their inside are not run forward a second time.
        let kept = self.pass.keep.clamp(1, self.config.layers.max(1)) as f64;
        let body = layers * rates.layer - kept * rates.layer_forward;
        let pass = |tokens: f64| tokens * (body + self.loss_share * rates.head);
        let step = pass(self.step_tokens) + trained as f64 * rates.optimizer;
        let validation = self.validation.0 * (layers * rates.layer_forward + self.loss_share * rates.head / 3.0);
        let state = self.checkpoint_bytes();
        let drawn = |rollouts: RolloutWork| {
            let waves = (rollouts.prompts * rollouts.group).div_ceil(rollouts.together.max(1)) as f64;
            let prompts = rollouts.prompt_rows() as f64 * layers * rates.layer_forward;
            prompts + waves * (rollouts.turns * rollouts.reply) as f64 * (layers * rates.decode.0 + rates.decode.1)
        };
        let rollout_seconds = self.rollouts.map_or(0.0, drawn);
        Plan {
            memory: self.memory(),
            parameters: (self.config.parameters(), trained),
            seconds_per_step: step,
            rollout_seconds,
            seconds: (step + rollout_seconds) * self.steps as f64 + validation * self.validation.1 as f64,
            disk: state * self.checkpoints,
            flops_per_step: self.flops_per_token() * self.step_tokens,
        }
    }

    /// Masters and moments as a checkpoint holds them.
    pub fn checkpoint_bytes(&self) -> u64 {
        let memory = self.memory();
        let vectors = memory.moments / 2 - memory.masters;
        memory.masters + vectors + memory.moments
    }

    async fn time_layers(&self, layers: usize, device: Device, budget: Duration) -> Result<(Timed, Device)> {
        let mut config = self.config.clone();
        config.layers = layers;
        config.vocab = config.vocab.min(MOST_VOCAB);
        if let Some(moe) = &mut config.moe {
            moe.dense_layers.retain(|&layer| layer < layers);
        }
        let work = Self { config: config.clone(), ..self.clone() };
        let length = self.length.clamp(2, self.pass.rows);
        let sequences = (self.pass.rows / length).clamp(1, self.pass.sequences.max(1));
        let positions = length.max(self.rollouts.map_or(0, |rollouts| rollouts.prompt + DECODED + 1));
        let mut model = Model::load(&RandomWeights::new(config.clone(), self.dtype, 1)?, device, positions, |_, _| {})?;
        if let Some((shape, roles)) = &self.lora {
            model.adapt(*shape, roles, 1)?;
        }
        let slots: Vec<Slot> = work.trained().into_iter().map(|(slot, _)| slot).collect();
        let trained = work.trained().iter().map(|(_, shape)| shape.iter().product::<usize>() as f64).sum();
        let rows = length * sequences;
        let pass = TrainSpaceShape { rows, sequences, loss_rows: rows, kv: self.pass.kv, keep: 1 };
        let hyper = Hyper { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, decay_vectors: false, max_grad_norm: f32::INFINITY };
        let mut trainer = Trainer::new(model, &slots, pass, hyper)?;
        let ids: Vec<u32> = (0..length).map(|i| ((i * 7919 + 13) % config.vocab) as u32).collect();
        let predicted = ((length as f64 * self.loss_share) as usize).clamp(1, length - 1);
        let mask: Vec<bool> = (0..length).map(|i| i >= length - predicted).collect();
        let all: Vec<Sequence> = (0..sequences).map(|_| Sequence { ids: &ids, loss_mask: &mask }).collect();
        let (mut pass, mut forward, mut step) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        let begun = Instant::now();
        // The first round warms up: memory is touched, pipelines are made.
        for round in 0..ROUNDS {
            let started = Instant::now();
            trainer.evaluate(&all).await?;
            let evaluated = started.elapsed().as_secs_f64();
            let started = Instant::now();
            trainer.accumulate(&all, 1e-6).await?;
            let accumulated = started.elapsed().as_secs_f64();
            let started = Instant::now();
            trainer.step(1e-6).await?;
            trainer.settle().await?;
            let stepped = started.elapsed().as_secs_f64();
            if round > 0 || begun.elapsed() > budget {
                (forward, pass, step) = (forward.min(evaluated), pass.min(accumulated), step.min(stepped));
            }
            if begun.elapsed() > budget {
                break;
            }
        }
        let decode = match &self.rollouts {
            Some(rollouts) => time_decode(trainer.model(), rollouts, self.pass.kv, budget).await?,
            None => 0.0,
        };
        let timed = Timed {
            pass,
            forward,
            step,
            decode,
            tokens: rows as f64,
            loss_tokens: (predicted * sequences) as f64,
            vocab: config.vocab as f64,
            trained,
        };
        let Some(model) = trainer.into_model() else { return Err(crate::TrainError::InUse) };
        Ok((timed, model.device))
    }
}

/// Seconds of one token of all rollouts that are drawn at once.
async fn time_decode(model: &Arc<Model>, rollouts: &RolloutWork, kv: KvDType, budget: Duration) -> Result<f64> {
    let drawing = |max_new_tokens| Drawing {
        samples: rollouts.group,
        max_new_tokens,
        temperature: 1.0,
        top_p: 1.0,
        space: LogprobSpace::Full,
        stop_ids: vec![],
        kv,
        sequences: rollouts.together,
        cache_bytes: u64::MAX,
        step_rows: STEP_ROWS,
    };
    let prompts = (rollouts.together / rollouts.group.max(1)).clamp(1, rollouts.prompts);
    let ids = |item: usize| (0..rollouts.prompt.max(1)).map(|i| ((i * 7919 + 101 * item + 13) % model.config.vocab) as u32).collect();
    let prompts: Vec<Prompt> = (0..prompts).map(|item| Prompt { task: 0, item, ids: ids(item) }).collect();
    let (mut first, mut all) = (f64::INFINITY, f64::INFINITY);
    let begun = Instant::now();
    for round in 0..ROUNDS {
        for (tokens, best) in [(1, &mut first), (1 + DECODED, &mut all)] {
            let started = Instant::now();
            drawing(tokens).draw(model, &prompts, (0, round as u64), || ()).await?;
            *best = best.min(started.elapsed().as_secs_f64());
        }
        if begun.elapsed() > budget {
            break;
        }
    }
    Ok((all - first).max(0.0) / DECODED as f64)
}

/// Tokens that are drawn to time them.
const DECODED: usize = 8;

/// The head's time grows with the vocabulary, so a part of it is enough to measure.
const MOST_VOCAB: usize = 32_768;
const ROUNDS: usize = 4;

#[derive(Clone, Copy)]
struct Timed {
    pass: f64,
    forward: f64,
    step: f64,
    decode: f64,
    tokens: f64,
    loss_tokens: f64,
    vocab: f64,
    trained: f64,
}

impl Plan {
    /// Tokens a second of training, without validation.
    pub fn tokens_per_second(&self, work: &Work) -> f64 {
        work.step_tokens / self.seconds_per_step
    }
}

/// The largest pass that fits `available` bytes, from the wanted one down in steps of an eighth, and then as many layers that keep their
/// inside as fit. Neither changes what is learned (beyond rounding), only how long it takes. `None` if not even the longest sequence fits.
pub fn fitting(work: &Work, available: u64, longest: usize) -> Option<Work> {
    let step = (work.pass.rows / 8).max(1);
    let mut rows = work.pass.rows.max(longest);
    loop {
        let pass = TrainSpaceShape { rows, loss_rows: work.pass.loss_rows.min(rows), ..work.pass };
        let smaller = Work { pass, ..work.clone() };
        if smaller.memory().total() <= available {
            let keeping = |keep: usize| Work { pass: TrainSpaceShape { keep, ..smaller.pass }, ..smaller.clone() };
            let fits = |keep: &usize| keeping(*keep).memory().total() <= available;
            return Some(keeping((1..=work.config.layers.max(1)).rev().find(fits).unwrap_or(1)));
        }
        if rows == longest {
            return None;
        }
        rows = rows.saturating_sub(step).max(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_turns_share_nothing() {
        let one = RolloutWork { prompts: 2, group: 4, turns: 1, prompt: 100, reply: 11, together: 8, cache: 0 };
        // 96 of the 100 rows are whole pages.
        assert_eq!(one.update_rows(), 2 * (96 + 4 * 14));
        assert_eq!(one.prompt_rows(), 200);
        let three = RolloutWork { turns: 3, ..one };
        assert_eq!(three.update_rows() - one.update_rows(), 2 * 4 * 2 * 110);
        assert_eq!(three.prompt_rows(), 200 + 2 * 4 * 2 * 100);
    }
}

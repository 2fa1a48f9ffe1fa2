//! Rollouts: G samples of each prompt in one continuous batch, with everything the update needs recorded as it was drawn.

use std::sync::Arc;

use data::{Sampling, StopReason};
use kernels::attention::{KvDType, PAGE_TOKENS};
use model::{Engine, EngineSettings, Model, ModelConfig, Request};

use super::recipe::LogprobSpace;
use crate::error::Result;
use crate::sft::random;

/// A prompt of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Number of its task.
    pub task: usize,
    /// Number of the item within the task.
    pub item: usize,
    /// Token ids, at least one.
    pub ids: Vec<u32>,
}

/// A completion and what was recorded of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// Number of its prompt within the batch: its group.
    pub group: usize,
    /// Prompt and completion; with its stop token, where it ended with one.
    pub ids: Vec<u32>,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Log-probability of each completion token, of softmax(z/τ) over the full vocabulary, or over what sampling kept.
    pub logprobs: Vec<f32>,
    /// In nucleus space: the smallest logit that was kept, of each token; else empty.
    pub cuts: Vec<f32>,
    /// Mean share of the full distribution that sampling kept; 1 in full space.
    pub mass: f32,
    /// Entropy of each distribution, nats.
    pub entropies: Vec<f32>,
    /// Experts by layer, [tokens - 1, k]; empty for dense models.
    pub routes: Vec<Vec<u16>>,
    /// Whether it was cut off at the token bound.
    pub truncated: bool,
}

impl Rollout {
    /// The completion, its stop token included.
    pub fn completion(&self) -> &[u32] {
        &self.ids[self.prompt..]
    }

    /// The completion as it is read: without its stop token.
    pub fn reply(&self) -> &[u32] {
        let completion = self.completion();
        if self.truncated { completion } else { &completion[..completion.len().saturating_sub(1)] }
    }

    /// Mean entropy of its tokens, nats.
    pub fn entropy(&self) -> f64 {
        self.entropies.iter().map(|&h| f64::from(h)).sum::<f64>() / self.entropies.len().max(1) as f64
    }
}

/// How completions are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Samples of each prompt.
    pub samples: usize,
    /// Tokens a completion may have.
    pub max_new_tokens: usize,
    /// τ; 0 is greedy.
    pub temperature: f32,
    /// Nucleus.
    pub top_p: f32,
    /// What log-probabilities are of.
    pub space: LogprobSpace,
    /// Tokens that end a completion.
    pub stop_ids: Vec<u32>,
    /// What keys and values are rounded to.
    pub kv: KvDType,
    /// Sequences that may run at once.
    pub sequences: usize,
    /// Bytes of keys and values there may be.
    pub cache_bytes: u64,
    /// Rows that a step of theirs computes at most.
    pub step_rows: usize,
}

impl Drawing {
    /// Draws completions for `prompts` from `model`. Each follows from (`seed`, `step`, prompt, sample) alone: neither the batch nor its
    /// order changes a token (exact mode on the CPU). `see` hears of every token drawn.
    pub async fn draw(
        &self,
        model: &Arc<Model>,
        prompts: &[Prompt],
        (seed, step): (u64, u64),
        mut see: impl FnMut(),
    ) -> Result<Vec<Rollout>> {
        let longest = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or(1);
        let window = longest + self.max_new_tokens;
        let mut rollouts = Vec::new();
        let mut requests = Vec::new();
        for (group, prompt) in prompts.iter().enumerate() {
            for sample in 0..self.samples {
                let seed = random(seed ^ 0x524f_4c4c, step, ((group as u64) << 20) | sample as u64);
                let sampling = Sampling { temperature: self.temperature, top_p: self.top_p, seed, ..Sampling::GREEDY };
                let stop_ids = self.stop_ids.clone();
                requests.push(Request { prompt: prompt.ids.clone(), max_new_tokens: self.max_new_tokens, sampling, stop_ids });
                rollouts.push(Rollout { group, ids: prompt.ids.clone(), prompt: prompt.ids.len(), mass: 1.0, ..Rollout::default() });
            }
        }
        let nucleus = self.space == LogprobSpace::Nucleus;
        let mut engine = Engine::new(model.clone(), self.engine(model, window, rollouts.len()))?;
        let generated = engine.generate_all(requests, |number, token| {
            let rollout: &mut Rollout = &mut rollouts[number];
            rollout.ids.push(token.id);
            match nucleus {
                true => {
                    rollout.logprobs.push(token.nucleus_logprob);
                    rollout.cuts.push(token.cut);
                    let count = rollout.cuts.len() as f32;
                    rollout.mass += (token.mass - rollout.mass) / count;
                }
                false => rollout.logprobs.push(token.logprob),
            }
            rollout.entropies.push(token.entropy);
            rollout.truncated = token.stop == Some(StopReason::Length);
            see();
        });
        let generated = generated.await?;
        for (rollout, generated) in rollouts.iter_mut().zip(generated) {
            rollout.routes = generated.routes;
        }
        Ok(rollouts)
    }

    /// How many of `total` sequences of at most `window` tokens `bytes` of keys and values have room for, at least 1, and what those take.
    pub fn room(config: &ModelConfig, kv: KvDType, window: usize, total: usize, bytes: u64) -> (usize, u64) {
        let positions = window.div_ceil(PAGE_TOKENS) * PAGE_TOKENS;
        let sequence = (config.layers * kv.bytes_per_position(config.kv_heads, config.head_dim) * positions) as u64;
        let affordable = usize::try_from(bytes / sequence.max(1)).unwrap_or(usize::MAX);
        let sequences = total.min(affordable).max(1);
        (sequences, sequences as u64 * sequence)
    }

    /// An engine for `total` sequences of at most `window` tokens, as many of them at once as there may be.
    fn engine(&self, model: &Model, window: usize, total: usize) -> EngineSettings {
        let (sequences, _) = Self::room(&model.config, self.kv, window, total.min(self.sequences), self.cache_bytes);
        EngineSettings {
            window,
            cache_positions: sequences * window.div_ceil(PAGE_TOKENS) * PAGE_TOKENS,
            step_rows: self.step_rows.max(sequences),
            max_sequences: sequences,
            kv: self.kv,
            record_routes: model.config.moe.is_some(),
        }
    }
}

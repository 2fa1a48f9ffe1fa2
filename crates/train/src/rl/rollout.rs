//! Rollouts: G samples of each prompt in one continuous batch, with everything the update needs recorded as it was drawn.
//!
//! Where a prompt has a [`Course`] a sample is a trajectory of several turns (§3.3). Trajectories are read in step: a turn of all that still
//! go on is one batch, and its keys and values are freed before the next, so that memory does not grow with the turns.

use std::sync::Arc;

use data::{Sampling, StopReason};
use kernels::attention::{KvDType, PAGE_TOKENS};
use model::{Engine, EngineSettings, Model, ModelConfig, Request};

use super::environment::{Course, Environment, Next, Turn};
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

/// A completion and what was recorded of it: a sample of a prompt, or one turn of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// Number of its prompt within the batch: its group.
    pub group: usize,
    /// Number within the group: turns of one trajectory have the same.
    pub sample: usize,
    /// From 0.
    pub turn: usize,
    /// Whether another turn follows.
    pub goes_on: bool,
    /// Whether it had not the form it was asked for, and the next turn was told something else.
    pub broken: bool,
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

/// A completion to be drawn.
struct Ask {
    group: usize,
    sample: usize,
    turn: usize,
    ids: Vec<u32>,
    most: usize,
}

impl Drawing {
    /// Draws completions for `prompts` from `model`, one turn each. Each follows from (`seed`, `step`, prompt, sample) alone: neither the
    /// batch nor its order changes a token (exact mode on the CPU). `see` hears of every token drawn.
    pub async fn draw(&self, model: &Arc<Model>, prompts: &[Prompt], random: (u64, u64), see: impl FnMut()) -> Result<Vec<Rollout>> {
        let ask = |(group, sample)| Ask { group, sample, turn: 0, ids: prompts[group].ids.clone(), most: self.max_new_tokens };
        let asks = (0..prompts.len()).flat_map(|group| (0..self.samples).map(move |sample| (group, sample))).map(ask);
        self.turn(model, asks.collect(), random, see).await
    }

    /// Draws trajectories for `prompts` of `environment`: as [`Self::draw`] where they have one turn. By group, then turn, then sample, so
    /// that what has a prompt in common stands together.
    pub async fn trajectories(
        &self,
        model: &Arc<Model>,
        (environment, prompts): (&impl Environment, &[Prompt]),
        random: (u64, u64),
        see: impl FnMut(),
    ) -> Result<Vec<Rollout>> {
        self.courses(model, (environment, prompts), random, see, false).await
    }

    /// As [`Self::trajectories`], but only last turns keep their tokens, for who asks for answers alone: of thousands of turns of a long
    /// document nothing stays but that they were.
    pub async fn answers(
        &self,
        model: &Arc<Model>,
        (environment, prompts): (&impl Environment, &[Prompt]),
        random: (u64, u64),
        see: impl FnMut(),
    ) -> Result<Vec<Rollout>> {
        self.courses(model, (environment, prompts), random, see, true).await
    }

    async fn courses(
        &self,
        model: &Arc<Model>,
        (environment, prompts): (&impl Environment, &[Prompt]),
        random: (u64, u64),
        mut see: impl FnMut(),
        answers: bool,
    ) -> Result<Vec<Rollout>> {
        let asked = (0..prompts.len()).flat_map(|group| (0..self.samples).map(move |sample| (group, sample)));
        let (mut asks, mut courses) = (Vec::new(), Vec::new());
        for (group, sample) in asked {
            let course: Option<Box<dyn Course + '_>> = environment.course(&prompts[group]);
            let most = course.as_ref().map_or(self.max_new_tokens, |course| course.first_limit());
            asks.push(Ask { group, sample, turn: 0, ids: prompts[group].ids.clone(), most });
            courses.push(course);
        }
        let mut drawn = self.turn(model, asks, random, &mut see).await?;
        // Which of the courses each rollout of the latest turn belongs to.
        let mut of: Vec<usize> = (0..courses.len()).collect();
        let mut latest = 0;
        for turn in 1.. {
            let (mut asks, mut going) = (Vec::new(), Vec::new());
            for (at, &course) in (latest..drawn.len()).zip(&of) {
                let Some(course_of) = &mut courses[course] else { continue };
                let Next { turn: next, broken } = course_of.next(&drawn[at])?;
                drawn[at].broken = broken;
                let Some(Turn { ids, max_new_tokens }) = next else { continue };
                let Rollout { group, sample, turn: past, truncated, .. } = drawn[at];
                drawn[at].goes_on = true;
                if answers {
                    drawn[at] = Rollout { group, sample, turn: past, truncated, broken, goes_on: true, ..Rollout::default() };
                }
                asks.push(Ask { group, sample, turn, ids, most: max_new_tokens });
                going.push(course);
            }
            if asks.is_empty() {
                break;
            }
            (of, latest) = (going, drawn.len());
            drawn.extend(self.turn(model, asks, random, &mut see).await?);
        }
        drawn.sort_by_key(|rollout| (rollout.group, rollout.turn, rollout.sample));
        Ok(drawn)
    }

    /// A turn of each that is asked, in their order.
    async fn turn(&self, model: &Arc<Model>, asks: Vec<Ask>, (seed, step): (u64, u64), mut see: impl FnMut()) -> Result<Vec<Rollout>> {
        let window = asks.iter().map(|ask| ask.ids.len() + ask.most).max().unwrap_or(1);
        let (mut rollouts, mut requests) = (Vec::new(), Vec::new());
        for Ask { group, sample, turn, ids, most } in asks {
            let seed = random(seed ^ 0x524f_4c4c, step, ((turn as u64) << 40) ^ ((group as u64) << 20) | sample as u64);
            let sampling = Sampling { temperature: self.temperature, top_p: self.top_p, seed, ..Sampling::GREEDY };
            requests.push(Request { prompt: ids.clone(), max_new_tokens: most, sampling, stop_ids: self.stop_ids.clone() });
            rollouts.push(Rollout { group, sample, turn, prompt: ids.len(), ids, mass: 1.0, ..Rollout::default() });
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

//! The loop of the paper: rollouts of the policy as it is, rewards, advantages per task, AEPO, one update (§4.1–4.4).
//!
//! Exactly on-policy: rollouts read the buffers that the update writes, every batch is used once, and the ratio of the objective is 1 in
//! value (eq. 4). Nothing is clipped, there is no KL term.

use std::time::Instant;

use data::{RlState, RlStep, RlValidation, TaskStep};
use kernels::attention::KvDType;

use super::advantage::{Row, advantages};
use super::aepo::{Aepo, batch_entropy};
use super::environment::Environment;
use super::loss::{self, spread, weights};
use super::passes::passes;
use super::recipe::{Credit, LogprobSpace, Recipe};
use super::rollout::{Drawing, Prompt, Rollout};
use super::sampler::Sampler;
use super::turns::Turns;
use crate::error::Result;
use crate::trainer::{PolicySequence, Trainer};

/// Rows that a step of the rollouts computes at most.
pub const STEP_ROWS: usize = 512;

/// A policy in training.
pub struct Reinforce<E> {
    /// The model and its optimizer.
    pub trainer: Trainer,
    /// What it is trained on.
    pub environment: E,
    recipe: Recipe,
    drawing: Drawing,
    /// (task, item) of each prompt, by the sampler's numbers.
    places: Vec<(usize, usize)>,
    /// Rows of a pass.
    rows: usize,
    seed: u64,
    sampler: Sampler,
    aepo: Aepo,
    step: u64,
}

/// What a policy is trained with, beside its recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// Prompts of a step.
    pub prompts: usize,
    /// Rows of a training pass.
    pub rows: usize,
    /// What keys and values are rounded to, in rollouts and passes alike.
    pub kv: KvDType,
    /// Sequences that rollouts run at once.
    pub sequences: usize,
    /// Bytes of keys and values that rollouts may have.
    pub cache_bytes: u64,
    /// Of every random choice.
    pub seed: u64,
}

impl<E: Environment> Reinforce<E> {
    /// Begins with the trainer's model. Errors when a task has no items.
    pub fn new(trainer: Trainer, environment: E, recipe: Recipe, stop_ids: Vec<u32>, batch: Batch) -> Result<Self> {
        let (mut places, mut pools) = (Vec::new(), Vec::new());
        for (task, (name, items)) in environment.tasks().into_iter().enumerate() {
            pools.push((name, (places.len()..places.len() + items).collect()));
            places.extend((0..items).map(|item| (task, item)));
        }
        let sampler = Sampler::new(pools, batch.prompts, recipe.balance, batch.seed)?;
        let drawing = Drawing {
            samples: recipe.group,
            max_new_tokens: recipe.max_new_tokens,
            temperature: recipe.temperature as f32,
            top_p: recipe.top_p as f32,
            space: recipe.logprob_space,
            stop_ids,
            kv: batch.kv,
            sequences: batch.sequences,
            cache_bytes: batch.cache_bytes,
            step_rows: STEP_ROWS,
        };
        let aepo = Aepo::new(&recipe.aepo);
        Ok(Self { trainer, environment, recipe, drawing, places, rows: batch.rows, seed: batch.seed, sampler, aepo, step: 0 })
    }

    /// Updates made or skipped.
    pub fn step_number(&self) -> u64 {
        self.step
    }

    /// What to go on from, beside the trainer's tensors.
    pub fn state(&self) -> RlState {
        RlState { updates: u64::from(self.trainer.steps()), sampler: self.sampler.state(), aepo: self.aepo.state() }
    }

    /// Goes on after `step` updates.
    pub fn restore(&mut self, step: u64, state: &RlState) -> Result<()> {
        self.sampler.restore(&state.sampler)?;
        self.aepo = Aepo::from_state(&self.recipe.aepo, state.aepo.clone())?;
        self.step = step;
        Ok(())
    }

    /// Rollouts of a fresh batch of prompts, all their turns. `see` hears of every token drawn.
    pub async fn rollouts(&mut self, see: impl FnMut()) -> Result<(Vec<Prompt>, Vec<Rollout>)> {
        let picked = self.sampler.batch().into_iter().map(|number| self.places[number]);
        let prompts: Vec<Prompt> = picked.map(|(task, item)| self.environment.prompt(task, item)).collect();
        let asked = (&self.environment, &prompts[..]);
        let rollouts = self.drawing.trajectories(self.trainer.model(), asked, (self.seed, self.step), see).await?;
        Ok((prompts, rollouts))
    }

    /// One update: a batch drawn, scored and learnt from. A batch from which nothing can be learnt is counted, and changes nothing.
    pub async fn update(&mut self, lr: f32, see: impl FnMut()) -> Result<(RlStep, Vec<Prompt>, Vec<Rollout>, Vec<Option<f64>>)> {
        let begun = Instant::now();
        let (prompts, rollouts) = self.rollouts(see).await?;
        let rollout_seconds = begun.elapsed().as_secs_f32();
        let begun = Instant::now();
        let turns = Turns::of(&rollouts);
        let scores = self.environment.score(&prompts, &turns.last(&rollouts)).await;
        let failure = scores.iter().find_map(|score| score.as_ref().err().cloned());
        let mut rewards: Vec<Option<f64>> = scores.into_iter().map(|score| score.ok()).collect();
        let failed = rewards.iter().filter(|reward| reward.is_none()).count() as u64;
        if self.recipe.skip_truncated {
            rewards.iter_mut().zip(&turns.cut).filter(|(_, cut)| **cut).for_each(|(reward, _)| *reward = None);
        }
        let rewards = turns.spread(&rewards);
        let reward_seconds = begun.elapsed().as_secs_f32();
        let begun = Instant::now();

        let tasks = self.environment.tasks();
        let credited = |rollout: &Rollout| self.recipe.credit == Credit::Trajectory || !rollout.goes_on;
        let judged: Vec<usize> = (0..rollouts.len()).filter(|&i| rewards[i].is_some() && credited(&rollouts[i])).collect();
        let groups: Vec<String> = (0..prompts.len()).map(|group| group.to_string()).collect();
        let samples: Vec<String> = (0..self.recipe.group).map(|sample| sample.to_string()).collect();
        let row = |&i: &usize| Row {
            group: &groups[rollouts[i].group],
            task: &tasks[prompts[rollouts[i].group].task].0,
            reward: rewards[i].unwrap_or_default(),
            trajectory: Some(&samples[rollouts[i].sample]),
        };
        let found = advantages(&judged.iter().map(row).collect::<Vec<_>>(), &self.recipe.advantage);
        let mut before = vec![0.0; rollouts.len()];
        judged.iter().zip(&found.values).for_each(|(&i, &value)| before[i] = value);

        let entropy = batch_entropy(&rollouts.iter().map(Rollout::entropy).collect::<Vec<_>>()).unwrap_or_default();
        let masking = self.aepo.decide(entropy);
        let mut after = before.clone();
        let known: Vec<f64> = rewards.iter().map(|reward| reward.unwrap_or_default()).collect();
        self.aepo.mask(masking, &mut after, &known);
        let entropies: Vec<&[f32]> = rollouts.iter().map(|rollout| &rollout.entropies[..]).collect();
        let clipped = self.recipe.clip.as_ref().map(|clip| clip.keep(&after, &entropies, self.seed, self.step));
        let lengths: Vec<usize> = rollouts.iter().map(|rollout| rollout.logprobs.len()).collect();
        let row = |&i: &usize| loss::Row { group: &groups[rollouts[i].group], advantage: after[i], tokens: lengths[i] };
        let per_token = weights(&judged.iter().map(row).collect::<Vec<_>>(), self.recipe.loss_norm);
        let mut weights: Vec<Vec<f32>> = lengths.iter().map(|&length| vec![0.0; length]).collect();
        for (&i, &weight) in judged.iter().zip(&per_token) {
            weights[i] = match &clipped {
                Some(clipped) => spread(weight, &clipped.keep[i]),
                None => vec![weight as f32; lengths[i]],
            };
        }
        let partly = |i: usize| clipped.as_ref().is_some_and(|clipped| clipped.keep[i].iter().any(|keep| !keep));
        let masked: Vec<bool> = (0..rollouts.len()).map(|i| before[i] != 0.0 && (after[i] == 0.0 || partly(i))).collect();

        let mut step = RlStep { step: self.step + 1, lr, failure, ..RlStep::default() };
        step.entropy = entropy as f32;
        step.masking = masking;
        step.thresholds = self.aepo.thresholds().map(|thresholds| (thresholds.low as f32, thresholds.high as f32));
        step.clip_threshold = clipped.as_ref().and_then(|clipped| clipped.threshold).map(|threshold| threshold as f32);
        let of_ends = |is: &dyn Fn(usize) -> bool| turns.ends.iter().filter(|&&i| is(i)).count() as u64;
        step.rollouts = turns.ends.len() as u64;
        step.turns = if rollouts.len() > turns.ends.len() { rollouts.len() as u64 } else { 0 };
        step.broken = rollouts.iter().filter(|rollout| rollout.broken).count() as u64;
        step.negatives = of_ends(&|i| before[i] < 0.0);
        step.masked = of_ends(&|i| masked[i]);
        step.groups = prompts.len() as u64;
        step.zero_variance = found.zero_variance_groups as u64;
        step.truncated = turns.cut.iter().filter(|cut| **cut).count() as u64;
        step.failed = failed;
        let later = rollouts.iter().filter(|rollout| rollout.turn > 0).map(|rollout| rollout.prompt as u64).sum::<u64>();
        step.prompt_tokens = prompts.iter().map(|prompt| prompt.ids.len() as u64).sum::<u64>() + later;
        step.completion_tokens = lengths.iter().map(|&length| length as u64).sum();
        step.reward = mean(turns.ends.iter().filter_map(|&i| rewards[i])) as f32;
        let batch = Drawn { prompts: &prompts, rollouts: &rollouts, turns: &turns, rewards: &rewards, masked: Some(&masked) };
        step.tasks = (0..tasks.len()).map(|task| batch.summary(task, &tasks[task].0)).collect();
        let used: Vec<usize> = (0..rollouts.len()).filter(|&i| weights[i].iter().any(|&weight| weight != 0.0)).collect();
        if used.is_empty() {
            step.skipped = Some(match () {
                () if judged.is_empty() && step.failed < step.rollouts => "every rollout was cut off".into(),
                () if judged.is_empty() => "no rollout has a reward".into(),
                () if step.negatives > 0 && masking => "every advantage was masked".into(),
                () => "no group has rewards that differ".into(),
            });
        } else {
            let packs = passes(&rollouts, &used, (self.rows, self.trainer.room().1), self.trainer.lanes())?;
            let sequence = |&i: &usize| PolicySequence {
                ids: &rollouts[i].ids,
                prompt: rollouts[i].prompt,
                weights: &weights[i],
                routes: &rollouts[i].routes,
                cuts: &rollouts[i].cuts,
            };
            let policies: Vec<Vec<PolicySequence>> = packs.iter().map(|pack| pack.iter().map(sequence).collect()).collect();
            let recomputed = self.trainer.accumulate_policies(&policies, self.drawing.temperature).await?;
            for (&i, recomputed) in packs.iter().flatten().zip(recomputed.iter().flatten()) {
                let pairs = rollouts[i].logprobs.iter().zip(&recomputed.logprobs);
                step.mismatch = pairs.fold(step.mismatch, |most, (a, b)| most.max((a - b).abs()));
            }
            step.grad_norm = self.trainer.step(lr).await?.grad_norm;
            self.trainer.settle().await?;
        }
        self.step += 1;
        (step.rollout_seconds, step.reward_seconds) = (rollout_seconds, reward_seconds);
        step.update_seconds = begun.elapsed().as_secs_f32();
        step.peak_memory = crate::finetune::peak_memory();
        Ok((step, prompts, rollouts, rewards))
    }

    /// Rewards of one greedy completion of every prompt of `held`.
    pub async fn validate(&self, held: &mut impl Environment, see: impl FnMut()) -> Result<(RlValidation, Vec<Option<f64>>)> {
        self.validate_at(held, (1, 0.0), see).await
    }

    /// Rewards of so many completions of every prompt of `held` at this temperature, of the whole distribution. The margin is of the
    /// prompts' means.
    pub async fn validate_at(
        &self,
        held: &mut impl Environment,
        (samples, temperature): (usize, f32),
        see: impl FnMut(),
    ) -> Result<(RlValidation, Vec<Option<f64>>)> {
        let begun = Instant::now();
        let tasks = held.tasks();
        let all = tasks.iter().enumerate().flat_map(|(task, (_, items))| (0..*items).map(move |item| (task, item)));
        let prompts: Vec<Prompt> = all.map(|(task, item)| held.prompt(task, item)).collect();
        let drawing = Drawing { samples, temperature, top_p: 1.0, space: LogprobSpace::Full, ..self.drawing.clone() };
        // Other random numbers than those of any step's rollouts, the same at every validation.
        let random = (self.seed, u64::MAX);
        let rollouts = drawing.trajectories(self.trainer.model(), (&*held, &prompts), random, see).await?;
        let turns = Turns::of(&rollouts);
        let scores = held.score(&prompts, &turns.last(&rollouts)).await;
        let rewards: Vec<Option<f64>> = scores.into_iter().map(|score| score.ok()).collect();
        let spread = turns.spread(&rewards);
        let batch = Drawn { prompts: &prompts, rollouts: &rollouts, turns: &turns, rewards: &spread, masked: None };
        let tasks: Vec<TaskStep> = (0..tasks.len()).map(|task| batch.summary(task, &tasks[task].0)).collect();
        let of_prompt = |rewards: &[Option<f64>]| Some(mean(rewards.iter().flatten().copied())).filter(|mean| mean.is_finite());
        let known: Vec<f64> = rewards.chunks(samples.max(1)).filter_map(of_prompt).collect();
        let validation = RlValidation {
            step: self.step,
            reward: mean(tasks.iter().map(|task| f64::from(task.reward)).filter(|reward| reward.is_finite())) as f32,
            prompts: prompts.len() as u64,
            margin: (1.96 * deviation(&known) / (known.len().max(1) as f64).sqrt()) as f32,
            tasks,
            seconds: begun.elapsed().as_secs_f32(),
        };
        Ok((validation, rewards))
    }
}

/// A batch and what became of it, a row for each turn.
struct Drawn<'a> {
    prompts: &'a [Prompt],
    rollouts: &'a [Rollout],
    turns: &'a Turns,
    rewards: &'a [Option<f64>],
    masked: Option<&'a [bool]>,
}

impl Drawn<'_> {
    /// A task's share of it.
    fn summary(&self, task: usize, name: &str) -> TaskStep {
        let Self { prompts, rollouts, turns, rewards, masked } = *self;
        let mine = |&i: &usize| prompts[rollouts[i].group].task == task;
        let rows: Vec<usize> = (0..rollouts.len()).filter(mine).collect();
        let ends: Vec<usize> = turns.ends.iter().copied().filter(mine).collect();
        let known: Vec<f64> = ends.iter().filter_map(|&i| rewards[i]).collect();
        let share = |count: usize, of: usize| count as f32 / of.max(1) as f32;
        let mut groups: Vec<usize> = ends.iter().map(|&i| rollouts[i].group).collect();
        groups.dedup();
        let same = |&group: &usize| {
            let mut of = ends.iter().filter(|&&i| rollouts[i].group == group).filter_map(|&i| rewards[i]);
            let first = of.next();
            of.all(|reward| Some(reward) == first)
        };
        let of_ends = |is: &dyn Fn(usize) -> bool| share(ends.iter().filter(|&&i| is(i)).count(), ends.len());
        TaskStep {
            task: name.to_string(),
            rollouts: ends.len() as u64,
            reward: mean(known.iter().copied()) as f32,
            deviation: deviation(&known) as f32,
            entropy: mean(rows.iter().map(|&i| rollouts[i].entropy())) as f32,
            tokens: mean(rows.iter().map(|&i| rollouts[i].logprobs.len() as f64)) as f32,
            zero_variance: share(groups.iter().filter(|group| same(group)).count(), groups.len()),
            truncated: of_ends(&|i| turns.cut[turns.end_of[i]]),
            masked: of_ends(&|i| masked.is_some_and(|masked| masked[i])),
        }
    }
}

/// NaN of nothing: a reward that nothing has is not 0.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    sum / count as f64
}

/// Unbiased; 0 of fewer than two.
fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let middle = mean(values.iter().copied());
    (values.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

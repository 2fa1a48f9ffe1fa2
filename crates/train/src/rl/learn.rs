//! Reinforcement learning as a run: a folder with events and checkpoints, validation from step 0, alarms, resume.

use std::path::Path;

use data::{AlarmKind, RlSample, SampleRank, StopCause, TrainEvent, TrainStart, TrainState};
use model::Model;
use model::train::TrainSpaceShape;

use super::alarms::Alarms;
use super::environment::Environment;
use super::recipe::Recipe;
use super::reinforce::{Batch, Reinforce};
use super::rollout::{Prompt, Rollout};
use crate::config::{Config, Length, StepSize};
use crate::error::{Result, TrainError};
use crate::finetune::{self, Room, hex};
use crate::run::checkpoint::Keep;
use crate::run::{Identity, Run, now};
use crate::trainer::Trainer;

/// Keys that may change between the parts of one run.
const FREE: [&str; 7] = ["device.threads", "device.lanes", "validation", "checkpoint", "device.kind", "alarms", "train.steps"];
/// Steps in a row without a reward for anything, after which a run stops: it can be resumed when the cause is mended.
const PATIENCE: u32 = 3;
/// Characters of a sample that are kept.
const SHOWN: usize = 1200;
/// Sequences that rollouts run at once at most; a CPU gains nothing beyond.
pub const SEQUENCES: usize = 256;

/// Branches of a pass that its cache has pages for: rollouts add a few rows each to the prompt that they share.
pub fn branches(rows: usize) -> usize {
    rows.div_ceil(8)
}

/// A reinforcement learning that is ready to begin or go on.
pub struct Learn<E> {
    config: Config,
    reinforce: Reinforce<E>,
    held: Option<E>,
    run: Run,
    alarms: Alarms,
    steps: u64,
    state: TrainState,
    started: bool,
    lost: (u64, f32),
    skipped: Vec<String>,
    start: TrainStart,
    unrewarded: u32,
}

/// What a run ended with.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Steps taken in all.
    pub step: u64,
    /// Reward of held-out prompts at the beginning of this part, now, and the best.
    pub validation: Option<(f32, f32, f32)>,
    /// Alarms that were raised.
    pub alarms: Vec<AlarmKind>,
    /// Why it stopped.
    pub cause: StopCause,
}

impl<E: Environment> Learn<E> {
    /// Opens the run in `folder`, or begins one. `text` is the configuration as written, `base` the fingerprint of base and data.
    ///
    /// Errors when the folder holds a run of another configuration, base or data; nothing of it is changed then.
    pub fn open(
        (config, text): (Config, &str),
        (model, base): (Model, &str),
        (environment, held): (E, Option<E>),
        stop_ids: Vec<u32>,
        folder: &Path,
        room: Room,
        cache_bytes: u64,
    ) -> Result<Self> {
        let recipe: Recipe = config.rl.clone().ok_or_else(|| TrainError::NoRecipe(config.model.path.clone()))?;
        let StepSize::Examples(prompts) = config.train.batch else { return Err(TrainError::NoRecipe("train.batch_tokens".into())) };
        let Length::Steps(steps) = config.train.length else { return Err(TrainError::NoRecipe("train.epochs".into())) };
        let identity = Identity::new(text, base, &FREE)?;
        let keep = Keep { last: config.checkpoint.keep, best: false, every: None };
        let (run, resumption) = Run::open(folder, identity, keep)?;
        let kv = finetune::kv_of(&config);
        let longest = environment.longest_prompt().max(held.as_ref().map_or(0, E::longest_prompt));
        let longest = longest + recipe.memory.map_or(0, |memory| memory.limit()).max(recipe.max_new_tokens);
        let rows = room.rows.max(longest);
        let shape = TrainSpaceShape { rows, sequences: branches(rows), loss_rows: rows, kv, keep: room.keep };
        let slots = finetune::slots(&config, &model);
        let start = finetune::start(&config, text, &model);
        let trainer = Trainer::new(model, &slots, shape, finetune::hyper(&config))?.with_lanes(config.device.lanes)?;
        let trained: usize = trainer.moments().values().map(|moments| moments.m.len()).sum();
        let start = TrainStart { trained: trained as u64, steps, ..start };
        let batch = Batch { prompts, rows, kv, sequences: SEQUENCES, cache_bytes, seed: config.train.seed };
        let mut reinforce = Reinforce::new(trainer, environment, recipe.clone(), stop_ids, batch)?;
        let mut state = TrainState { version: TrainState::VERSION, ..TrainState::default() };
        if let Some(checkpoint) = &resumption.checkpoint {
            state = checkpoint.state().clone();
            let rl = state.rl.as_ref().ok_or_else(|| TrainError::NoRecipe(folder.display().to_string()))?;
            finetune::restore(&mut reinforce.trainer, checkpoint, rl.updates)?;
            reinforce.restore(state.step, rl)?;
        }
        let mut alarms = Alarms::new(recipe.alarms.into());
        resumption.events.iter().for_each(|event| alarms.replay(event));
        Ok(Self {
            steps,
            config,
            reinforce,
            held,
            run,
            alarms,
            state,
            started: !resumption.events.is_empty(),
            lost: (resumption.cut.steps, resumption.cut.seconds as f32),
            skipped: resumption.skipped.iter().map(ToString::to_string).collect(),
            start,
            unrewarded: 0,
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

    /// The policy and its environment.
    pub fn policy(&mut self) -> &mut Reinforce<E> {
        &mut self.reinforce
    }

    /// Learns until the last step, or until `stop` says so between two. `see` hears every event as it is written, `token` of every token.
    pub async fn learn(
        &mut self,
        mut stop: impl FnMut() -> bool,
        mut see: impl FnMut(&TrainEvent),
        mut token: impl FnMut(),
    ) -> Result<Outcome> {
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
        let mut outcome = Outcome { step: 0, validation: None, alarms: vec![], cause: StopCause::Finished };
        self.record(first, &mut see)?;
        if self.state.step == 0 {
            self.validate(&mut outcome, &mut see, &mut token).await?;
        }
        while self.state.step < self.steps {
            if stop() {
                outcome.cause = StopCause::Interrupted;
                break;
            }
            if let Err(error) = self.step(&mut outcome, &mut see, &mut token).await {
                let diverged = matches!(error, TrainError::NotFinite { .. });
                let reason = if diverged { StopCause::Diverged } else { StopCause::Failed { error: error.to_string() } };
                self.record(TrainEvent::Stopped { step: self.state.step, reason, time: now() as u64 }, &mut see)?;
                self.run.report()?;
                return Err(error);
            }
            let last = self.state.step == self.steps;
            if last || self.state.step.is_multiple_of(self.config.validation.every.max(1)) {
                self.validate(&mut outcome, &mut see, &mut token).await?;
            }
            if last || self.state.step.is_multiple_of(self.config.checkpoint.every.max(1)) {
                self.save(&mut see)?;
            }
        }
        if outcome.cause == StopCause::Interrupted && !self.state.step.is_multiple_of(self.config.checkpoint.every.max(1)) {
            self.save(&mut see)?;
        }
        outcome.step = self.state.step;
        self.record(TrainEvent::Stopped { step: self.state.step, reason: outcome.cause.clone(), time: now() as u64 }, &mut see)?;
        self.run.report()?;
        Ok(outcome)
    }

    async fn step(&mut self, outcome: &mut Outcome, see: &mut impl FnMut(&TrainEvent), token: &mut impl FnMut()) -> Result<()> {
        let lr = finetune::learning_rate(&self.config, self.state.step + 1, self.steps);
        let (step, prompts, rollouts, rewards) = self.reinforce.update(lr, &mut *token).await?;
        self.state.step = step.step;
        self.state.tokens += step.completion_tokens;
        self.state.seconds += f64::from(step.rollout_seconds + step.reward_seconds + step.update_seconds);
        self.state.validation = None;
        self.unrewarded = if step.failed == step.rollouts { self.unrewarded + 1 } else { 0 };
        let raised = self.alarms.step(&step);
        let (every, failure) = (self.config.validation.every.max(1), step.failure.clone());
        let tell = step.step == 1 || step.step.is_multiple_of(every);
        self.record(TrainEvent::Rl(step), see)?;
        self.raise(raised, outcome, see)?;
        if tell {
            self.samples(&prompts, &rollouts, &rewards, see)?;
        }
        if self.unrewarded >= PATIENCE {
            return Err(TrainError::NoReward { steps: PATIENCE, why: failure.unwrap_or_default() });
        }
        Ok(())
    }

    /// The best and the worst rollout of the batch.
    fn samples(
        &mut self,
        prompts: &[Prompt],
        rollouts: &[Rollout],
        rewards: &[Option<f64>],
        see: &mut impl FnMut(&TrainEvent),
    ) -> Result<()> {
        let mut known: Vec<usize> = (0..rollouts.len()).filter(|&i| rewards[i].is_some() && !rollouts[i].goes_on).collect();
        known.sort_by(|&a, &b| rewards[b].unwrap_or_default().total_cmp(&rewards[a].unwrap_or_default()).then(a.cmp(&b)));
        let (Some(&best), Some(&worst)) = (known.first(), known.last()) else { return Ok(()) };
        let shown = if best == worst { vec![best] } else { vec![best, worst] };
        let tasks = self.reinforce.environment.tasks();
        for (i, rank) in shown.into_iter().zip([SampleRank::Best, SampleRank::Worst]) {
            let environment = &self.reinforce.environment;
            let (prompt, rollout) = (&prompts[rollouts[i].group], &rollouts[i]);
            let sample = RlSample {
                step: self.state.step,
                rank,
                task: tasks[prompt.task].0.clone(),
                prompt: shortened(&environment.text(&prompt.ids)),
                completion: shortened(&environment.text(rollout.reply())),
                reward: rewards[i].unwrap_or_default() as f32,
                tokens: rollout.logprobs.len() as u64,
                truncated: rollout.truncated,
            };
            self.record(TrainEvent::RlSample(sample), see)?;
        }
        Ok(())
    }

    async fn validate(&mut self, outcome: &mut Outcome, see: &mut impl FnMut(&TrainEvent), token: &mut impl FnMut()) -> Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let (validation, _) = self.reinforce.validate(held, &mut *token).await?;
        let reward = validation.reward;
        let (first, _, best) = outcome.validation.unwrap_or((reward, reward, reward));
        outcome.validation = Some((first, reward, best.max(reward)));
        let raised = self.alarms.validation(&validation);
        self.record(TrainEvent::RlValidation(validation), see)?;
        self.raise(raised, outcome, see)
    }

    fn raise(&mut self, raised: Vec<(AlarmKind, String)>, outcome: &mut Outcome, see: &mut impl FnMut(&TrainEvent)) -> Result<()> {
        for (kind, message) in raised {
            outcome.alarms.push(kind);
            self.record(TrainEvent::Alarm { step: self.state.step, kind, message }, see)?;
        }
        Ok(())
    }

    fn record(&mut self, event: TrainEvent, see: &mut impl FnMut(&TrainEvent)) -> Result<()> {
        self.run.record(&event)?;
        see(&event);
        Ok(())
    }

    fn save(&mut self, see: &mut impl FnMut(&TrainEvent)) -> Result<()> {
        self.state.rl = Some(self.reinforce.state());
        let trainer = &mut self.reinforce.trainer;
        let (_, event) = self.run.save(self.state.clone(), |writer| finetune::write(trainer, writer))?;
        see(&event);
        Ok(())
    }
}

/// A text with the middle of a long one left out.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= SHOWN {
        return text.to_string();
    }
    let half = |letters: std::iter::Take<std::str::Chars>| letters.collect::<String>();
    let end: String = text.chars().skip(count - SHOWN / 2).collect();
    format!("{} […] {end}", half(text.chars().take(SHOWN / 2)))
}

/// The fingerprint of what a run starts from: the base model and its items.
pub fn identity(base: &str, items: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    format!("{base} on {}", hex(&Sha256::digest(items)))
}

//! What a person should look at before believing in a run. Each alarm is raised once for a stretch of steps, and again only after the
//! run was well for a while.

use std::collections::{BTreeMap, VecDeque};

use data::{AlarmKind, RlStep, RlValidation, TrainEvent};

use super::recipe;

/// Steps that the beginning is measured over, and at most that a share is taken over.
const WINDOW: usize = 10;
/// Steps in a row without its cause after which an alarm may ring again.
const CALM: u32 = 5;
/// Rollouts, and groups, that a share can be taken of before there are [`WINDOW`] steps.
const ENOUGH: (u64, u64) = (100, 30);
/// Entropy, nats, below which samples of a prompt are all but the same, whatever it began at.
const NO_ENTROPY: f32 = 1e-3;
/// The least entropy, nats, that a run is taken to begin at: one that has next to none does not run away by having some.
const LEAST_BEGINNING: f32 = 0.05;
/// A difference of log-probabilities beyond which rollout and trainer no longer compute the same model.
const MISMATCH: f32 = 1e-2;
/// Share of turns without their form, beyond which a trajectory learns little of its notes.
const BROKEN: f64 = 0.5;
/// Characters of somebody else's text.
const QUOTED: usize = 200;

/// When each alarm rings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlarmSettings {
    /// Entropy above so many times that of the start.
    pub entropy_high: f64,
    /// Entropy below this part of the start's.
    pub entropy_low: f64,
    /// Share of rollouts that are cut off.
    pub truncated: f64,
    /// Share of groups whose rewards are all the same.
    pub zero_variance: f64,
    /// Share of rollouts without a reward.
    pub failed: f64,
    /// Validations in a row that fall while the training reward rises; 0: never.
    pub falls: usize,
}

impl From<recipe::Alarms> for AlarmSettings {
    fn from(alarms: recipe::Alarms) -> Self {
        let recipe::Alarms { entropy_high, entropy_low, truncated, gap } = alarms;
        Self { entropy_high, entropy_low, truncated, zero_variance: 0.9, failed: 0.1, falls: gap as usize }
    }
}

/// Watches the steps and validations of a run.
#[derive(Clone, Debug)]
pub struct Alarms {
    settings: AlarmSettings,
    /// Entropies of the first steps.
    beginning: Vec<f32>,
    recent: VecDeque<Seen>,
    /// Why a rollout has no reward, of the latest that has none.
    failure: String,
    validations: Vec<Held>,
    /// Those that ring, each with the steps it has still to be well for.
    ringing: BTreeMap<AlarmKind, u32>,
}

/// What is kept of a step.
#[derive(Clone, Copy, Debug)]
struct Seen {
    reward: f32,
    entropy: f32,
    rollouts: u64,
    truncated: u64,
    failed: u64,
    groups: u64,
    zero_variance: u64,
    turns: u64,
    broken: u64,
}

/// What is kept of a validation: the training reward when it was made, and its own.
#[derive(Clone, Copy, Debug)]
struct Held {
    step: u64,
    training: f32,
    reward: f32,
}

impl Alarms {
    /// Nothing was seen yet.
    pub fn new(settings: AlarmSettings) -> Self {
        let (beginning, recent, validations) = (vec![], VecDeque::new(), vec![]);
        Self { settings, beginning, recent, failure: String::new(), validations, ringing: BTreeMap::new() }
    }

    /// Takes in an event of the log that a run goes on from. What was told there is not told again as long as it lasts; what was not, under
    /// other settings for one, may be told at the next step.
    pub fn replay(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Rl(step) => {
                for (kind, _) in self.step(step) {
                    self.ringing.remove(&kind);
                }
            }
            TrainEvent::RlValidation(validation) => {
                for (kind, _) in self.validation(validation) {
                    self.ringing.remove(&kind);
                }
            }
            TrainEvent::Alarm { kind, .. } => {
                self.ringing.insert(*kind, calm(*kind));
            }
            _ => {}
        }
    }

    /// The alarms that a step raises, in words.
    pub fn step(&mut self, step: &RlStep) -> Vec<(AlarmKind, String)> {
        if step.rollouts == 0 {
            return vec![];
        }
        if self.beginning.len() < WINDOW && step.entropy.is_finite() {
            self.beginning.push(step.entropy);
        }
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(Seen::of(step));
        if let Some(failure) = &step.failure {
            self.failure = quoted(failure);
        }
        let checks = self.entropy(step).into_iter().chain(self.shares(step));
        let mismatch = Check {
            kind: AlarmKind::Mismatch,
            // A step that was skipped compared nothing.
            wrong: step.skipped.is_none().then_some(!(step.mismatch <= MISMATCH)),
            message: format!(
                "rollout and trainer differ by {:.2e} in a log-probability: the update is not of the policy that was sampled",
                step.mismatch
            ),
        };
        let checks: Vec<Check> = checks.chain([mismatch]).collect();
        checks.into_iter().filter_map(|check| self.ring(check)).collect()
    }

    fn entropy(&self, step: &RlStep) -> [Check; 2] {
        let start = mean(self.beginning.iter().copied()).unwrap_or_default();
        let now = mean(self.recent.iter().map(|seen| seen.entropy).filter(|entropy| entropy.is_finite()));
        let now = now.filter(|_| self.beginning.len() == WINDOW);
        let high = self.settings.entropy_high as f32 * start.max(LEAST_BEGINNING);
        let low = (self.settings.entropy_low as f32 * start).max(NO_ENTROPY);
        let said = now.unwrap_or_default();
        let (kind, cure) = (AlarmKind::EntropyHigh, "AEPO (`[aepo]`) or a lower learning rate holds it");
        let high = match step.entropy.is_finite() {
            true => Check {
                kind,
                wrong: now.map(|now| now > high),
                message: format!("entropy is {said:.3}, it began at {start:.3}: the policy runs away. {cure}"),
            },
            false => {
                Check { kind, wrong: Some(true), message: format!("entropy is {}: the model computes what is no number", step.entropy) }
            }
        };
        let low = Check {
            kind: AlarmKind::EntropyLow,
            wrong: now.map(|now| now < low),
            message: format!("entropy is {said:.4}, it began at {start:.3}: the policy collapses to one answer and stops exploring"),
        };
        [high, low]
    }

    fn shares(&self, step: &RlStep) -> [Check; 4] {
        let sum = |of: fn(&Seen) -> u64| self.recent.iter().map(of).fold(0, u64::saturating_add);
        let share = |count: u64, of: u64| count as f64 / of.max(1) as f64;
        let full = self.recent.len() == WINDOW;
        let (rollouts, groups) = (sum(|seen| seen.rollouts), sum(|seen| seen.groups));
        let (some_rollouts, some_groups) = (full || rollouts >= ENOUGH.0, groups > 0 && (full || groups >= ENOUGH.1));
        let truncated = share(sum(|seen| seen.truncated), rollouts);
        let same = share(sum(|seen| seen.zero_variance), groups);
        let failed = share(sum(|seen| seen.failed), rollouts);
        let turns = sum(|seen| seen.turns);
        let broken = share(sum(|seen| seen.broken), turns);
        let all_failed = step.failed >= step.rollouts;
        let reason = if self.failure.is_empty() { "no reason was given" } else { &self.failure };
        let failures = if all_failed { (step.failed, step.rollouts) } else { (sum(|seen| seen.failed), rollouts) };
        [
            Check {
                kind: AlarmKind::Truncation,
                wrong: some_rollouts.then_some(truncated > self.settings.truncated),
                message: format!("{:.0} % of the rollouts are cut off at rl.max_new_tokens: their rewards say little", 100.0 * truncated),
            },
            Check {
                kind: AlarmKind::NothingToLearn,
                wrong: some_groups.then_some(same > self.settings.zero_variance),
                message: format!(
                    "{:.0} % of the groups have rewards that are all the same: the items are too easy or too hard",
                    100.0 * same
                ),
            },
            Check {
                kind: AlarmKind::NoReward,
                wrong: (some_rollouts || all_failed).then_some(all_failed || failed > self.settings.failed),
                message: format!("{} of {} rollouts have no reward: {reason}", failures.0, failures.1),
            },
            Check {
                kind: AlarmKind::BrokenNotes,
                wrong: (turns > 0 && some_rollouts).then_some(broken > BROKEN),
                message: format!(
                    "{:.0} % of the turns have notes without the form they are asked for, which are not taken: teach it first (`longhand data notes`)",
                    100.0 * broken
                ),
            },
        ]
    }

    /// The alarms that a validation raises, in words.
    pub fn validation(&mut self, validation: &RlValidation) -> Vec<(AlarmKind, String)> {
        // Before the first step nothing is known of the training reward.
        let Some(training) = mean(self.recent.iter().filter(|seen| seen.failed < seen.rollouts).map(|seen| seen.reward)) else {
            return vec![];
        };
        self.validations.retain(|held| held.step != validation.step);
        self.validations.push(Held { step: validation.step, training, reward: validation.reward });
        let falls = self.settings.falls;
        if falls == 0 {
            return vec![];
        }
        let Some(first) = self.validations.len().checked_sub(falls + 1) else { return vec![] };
        let last = &self.validations[first..];
        let (from, to) = (last[0], last[falls]);
        // Small falls in a row happen by chance; together they must be more than the measure's own.
        let margin = if validation.margin.is_finite() { validation.margin } else { 0.0 };
        let falling = last.windows(2).all(|pair| pair[1].reward < pair[0].reward) && from.reward - to.reward > margin;
        let check = Check {
            kind: AlarmKind::Overfitting,
            wrong: Some(falling && to.training > from.training),
            message: format!(
                "held-out reward fell {falls} times in a row ({:.3} to {:.3}) while the training reward rose ({:.3} to {:.3}): what is learnt is the reward, not the task",
                from.reward, to.reward, from.training, to.training
            ),
        };
        self.ring(check).into_iter().collect()
    }

    /// What is said, if it begins to ring.
    fn ring(&mut self, check: Check) -> Option<(AlarmKind, String)> {
        let Check { kind, wrong, message } = check;
        let calm = calm(kind);
        match (wrong, self.ringing.get_mut(&kind)) {
            (Some(true), Some(left)) => *left = calm,
            (Some(true), None) => {
                self.ringing.insert(kind, calm);
                return Some((kind, message));
            }
            (Some(false), Some(left)) => {
                *left -= 1;
                if *left == 0 {
                    self.ringing.remove(&kind);
                }
            }
            (None, _) | (Some(false), None) => {}
        }
        None
    }
}

/// Checks in a row that find it well, after which an alarm may ring again.
fn calm(kind: AlarmKind) -> u32 {
    if kind == AlarmKind::Overfitting { 1 } else { CALM }
}

/// Whether something is wrong, where that can be said, and how it is told.
struct Check {
    kind: AlarmKind,
    wrong: Option<bool>,
    message: String,
}

impl Seen {
    fn of(step: &RlStep) -> Self {
        let RlStep { reward, entropy, rollouts, truncated, failed, groups, zero_variance, turns, broken, .. } = *step;
        Self { reward, entropy, rollouts, truncated, failed, groups, zero_variance, turns, broken }
    }
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f32)
}

/// The first line of somebody else's text, shortened.
fn quoted(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_string(),
    }
}

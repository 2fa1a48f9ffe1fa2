//! Which prompts a batch has (§4.2): as many of each task.
//!
//! A batch of B prompts has ⌊B / tasks⌋ of each; the remainder is handed out one by one in the tasks' order. Each task has its prompts in an
//! order that is a shuffle by (seed, task, refill). When it is used up the next refill begins, in the middle of a batch if need be, so that
//! each prompt is taken once before any is taken twice. (The public code shuffles anew as soon as fewer than needed are left, and drops
//! those; up to a batch's share of a small task is then not seen in a pass.) Where a batch goes over from one refill to the next, a prompt
//! that it has already is passed over and comes first in the next batch: two groups of one batch never have the same prompt, but for
//! a task with fewer prompts than its share.

use std::collections::{HashMap, HashSet};

use data::{SamplerState, TaskCursor};
use sha2::{Digest, Sha256};

use crate::sft::{permutation, random};

/// How a batch is put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// As many prompts of each task.
    #[default]
    Task,
    /// Prompts as they come, whatever their task: the ablation's plain shuffling.
    None,
}

/// Prompts that cannot be drawn from, or a state that is not theirs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SamplerError {
    /// No prompts at all.
    #[error("there are no prompts to draw from")]
    NoPrompts,
    /// A task without prompts.
    #[error("task {0:?} has no prompts: give it some, or leave it out")]
    EmptyTask(String),
    /// A task twice.
    #[error("task {0:?} is listed twice")]
    SameTask(String),
    /// Some tasks would never be drawn.
    #[error("a batch of {batch} prompts has none for some of the {tasks} tasks: make it {tasks} at least, or do not balance tasks")]
    SmallBatch {
        /// Prompts of a batch.
        batch: usize,
        /// Tasks.
        tasks: usize,
    },
    /// A state of other prompts.
    #[error("the kept place among the prompts is not one of these: {0}")]
    OtherPrompts(String),
}

/// Draws batches without end.
#[derive(Clone, Debug)]
pub struct Sampler {
    pools: Vec<Pool>,
    counts: Vec<usize>,
    seed: u64,
    batches: u64,
}

/// One task's prompts.
#[derive(Clone, Debug)]
struct Pool {
    prompts: Vec<usize>,
    /// Of the generator, by seed and task.
    key: u64,
    cursor: TaskCursor,
    /// Of refill `cursor.refill`.
    order: Vec<usize>,
}

/// Prompts by task, from the task of each: tasks in order of appearance.
pub fn by_task<'a>(tasks: impl IntoIterator<Item = &'a str>) -> Vec<(String, Vec<usize>)> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut out: Vec<(String, Vec<usize>)> = Vec::new();
    for (prompt, task) in tasks.into_iter().enumerate() {
        let at = *known.entry(task).or_insert(out.len());
        if at == out.len() {
            out.push((task.to_string(), Vec::new()));
        }
        out[at].1.push(prompt);
    }
    out
}

impl Sampler {
    /// Before the first batch of `batch` prompts. `tasks` are names and prompts, any numbers that name them.
    pub fn new(tasks: Vec<(String, Vec<usize>)>, batch: usize, balance: Balance, seed: u64) -> Result<Self, SamplerError> {
        let mut names = HashSet::new();
        for (task, prompts) in &tasks {
            if prompts.is_empty() {
                return Err(SamplerError::EmptyTask(task.clone()));
            }
            if !names.insert(task) {
                return Err(SamplerError::SameTask(task.clone()));
            }
        }
        let pools: Vec<Pool> = match balance {
            _ if tasks.is_empty() => return Err(SamplerError::NoPrompts),
            Balance::Task if batch < tasks.len() => return Err(SamplerError::SmallBatch { batch, tasks: tasks.len() }),
            Balance::Task => tasks.into_iter().map(|(task, prompts)| Pool::new(task, prompts, seed)).collect(),
            Balance::None => {
                let mut prompts: Vec<usize> = tasks.into_iter().flat_map(|(_, prompts)| prompts).collect();
                // The order of the data, so that it is the same however tasks are grouped.
                prompts.sort_unstable();
                vec![Pool::new("all tasks".into(), prompts, seed)]
            }
        };
        let (share, rest) = (batch / pools.len(), batch % pools.len());
        let counts = (0..pools.len()).map(|at| share + usize::from(at < rest)).collect();
        Ok(Self { pools, counts, seed, batches: 0 })
    }

    /// How many prompts of each task a batch has, in the tasks' order.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.pools.iter().zip(&self.counts).map(|(pool, &count)| (pool.cursor.task.as_str(), count))
    }

    /// The prompts of the next batch, shuffled.
    pub fn batch(&mut self) -> Vec<usize> {
        let drawn: Vec<usize> = self.pools.iter_mut().zip(&self.counts).flat_map(|(pool, &count)| pool.take(count)).collect();
        let order = permutation(drawn.len(), random(self.seed, 0, 0), self.batches);
        self.batches += 1;
        order.into_iter().map(|at| drawn[at]).collect()
    }

    /// What a checkpoint keeps.
    pub fn state(&self) -> SamplerState {
        SamplerState { batches: self.batches, tasks: self.pools.iter().map(|pool| pool.cursor.clone()).collect() }
    }

    /// Goes on from a kept state: the batches that follow are those that followed it. On an error nothing is changed.
    pub fn restore(&mut self, state: &SamplerState) -> Result<(), SamplerError> {
        let refuse = |what: String| Err(SamplerError::OtherPrompts(what));
        if state.tasks.len() != self.pools.len() {
            return refuse(format!("it is of {} tasks, here are {}", state.tasks.len(), self.pools.len()));
        }
        for (pool, kept) in self.pools.iter().zip(&state.tasks) {
            let (task, prompts) = (&pool.cursor.task, pool.cursor.prompts);
            if kept.task != *task || kept.prompts != prompts {
                return refuse(format!("it is of {} prompts of {:?}, here are {prompts} of {task:?}", kept.prompts, kept.task));
            }
            let passed = kept.deferred.iter().all(|&place| place < kept.used);
            let distinct = kept.deferred.iter().collect::<HashSet<_>>().len() == kept.deferred.len();
            if kept.used > prompts || !passed || !distinct {
                return refuse(format!("its place among the prompts of {task:?} is none"));
            }
        }
        for (pool, kept) in self.pools.iter_mut().zip(&state.tasks) {
            pool.cursor = kept.clone();
            pool.order = pool.shuffled();
        }
        self.batches = state.batches;
        Ok(())
    }
}

impl Pool {
    fn new(task: String, prompts: Vec<usize>, seed: u64) -> Self {
        // By the name, so that a task's order does not depend on the others.
        let name = Sha256::digest(task.as_bytes());
        let words = name[..8].try_into().map_or(0, u64::from_le_bytes);
        let cursor = TaskCursor { task, prompts: prompts.len() as u64, ..TaskCursor::default() };
        let mut pool = Self { prompts, key: random(seed, words, 1), cursor, order: Vec::new() };
        pool.order = pool.shuffled();
        pool
    }

    fn shuffled(&self) -> Vec<usize> {
        permutation(self.prompts.len(), self.key, self.cursor.refill)
    }

    /// The next `count` prompts.
    fn take(&mut self, count: usize) -> Vec<usize> {
        // More than there are: some must come twice.
        let apart = count <= self.order.len();
        let mut taken = Vec::with_capacity(count);
        let mut there = HashSet::new();
        let deferred = std::mem::take(&mut self.cursor.deferred);
        let mut waiting = deferred.into_iter();
        while taken.len() < count {
            let place = match waiting.next() {
                Some(place) => place,
                None => {
                    if self.cursor.used as usize == self.order.len() {
                        self.cursor.refill += 1;
                        self.cursor.used = 0;
                        self.order = self.shuffled();
                    }
                    self.cursor.used += 1;
                    self.cursor.used - 1
                }
            };
            let prompt = self.order[place as usize];
            if apart && !there.insert(prompt) {
                self.cursor.deferred.push(place);
            } else {
                taken.push(self.prompts[prompt]);
            }
        }
        self.cursor.deferred.extend(waiting);
        taken
    }
}

//! The toy tasks: prompts and completions of a few token ids, rewards that a line computes.

use sha2::{Digest, Sha256};

use super::super::environment::{Course, Environment};
use super::super::rollout::{Prompt, Rollout};
use crate::sft::random;

/// The stream that prompts are drawn from, the same for every seed of a run: all seeds learn the same task.
const PROMPTS: u64 = 0x6c61_6464_6572;
/// Draws without a new prompt after which a task has no more.
const TRIES: u64 = 5_000;

/// A task over token ids.
pub trait Task {
    /// Its name.
    fn name(&self) -> &'static str;
    /// A prompt, drawn by `dice`.
    fn prompt(&self, dice: &mut Dice) -> Vec<u32>;
    /// The right completion, which also says how long completions are.
    fn answer(&self, prompt: &[u32]) -> Vec<u32>;
    /// What a completion is worth, 0 to 1.
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64;
    /// Whether a prompt is held out: one in four, unless a task knows better. `None`: there is only one prompt.
    fn held(&self, prompt: &[u32]) -> Option<bool> {
        let hash = Sha256::digest(prompt.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>());
        Some(hash[0].is_multiple_of(4))
    }
    /// Ids for a supervised step, and which of them are to be predicted.
    fn lesson(&self, prompt: &[u32], _dice: &mut Dice) -> (Vec<u32>, Vec<bool>) {
        let answer = self.answer(prompt);
        let mask = (0..prompt.len() + answer.len()).map(|at| at >= prompt.len()).collect();
        ([prompt, &answer].concat(), mask)
    }
    /// What is asked first: the whole prompt, unless it is read in several turns.
    fn opening(&self, prompt: &[u32]) -> Vec<u32> {
        prompt.to_vec()
    }
    /// What follows, where a prompt is read in several turns.
    fn course(&self, _prompt: &[u32]) -> Option<Box<dyn Course + '_>> {
        None
    }
    /// Tokens by which a later turn's prompt may be longer than the first one's.
    fn memory(&self) -> usize {
        0
    }
    /// What training is told of a completion that is worth `reward`: the same, unless the task's grader is not exact.
    fn told(&self, reward: f64, _completion: &[u32]) -> f64 {
        reward
    }
}

/// Random numbers by counter.
pub struct Dice {
    seed: u64,
    stream: u64,
    count: u64,
}

impl Dice {
    /// The numbers of (`seed`, `stream`).
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, count: 0 }
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.count += 1;
        ((u128::from(random(self.seed, self.stream, self.count)) * u128::from(bound)) >> 64) as u32
    }

    /// In [-1, 1).
    pub fn symmetric(&mut self) -> f64 {
        f64::from(self.below(1 << 24)) / f64::from(1 << 23) - 1.0
    }

    /// 0 to `count`, shuffled.
    pub fn shuffled(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last as usize, self.below(last + 1) as usize);
        }
        order
    }
}

/// A task and its prompts.
type Pool = (Box<dyn Task>, Vec<Vec<u32>>);

/// Tasks with their prompts: those to train on, or those held out.
pub struct Toy {
    tasks: Vec<Pool>,
    /// Whether rewards are what the tasks' graders tell.
    told: bool,
}

impl Toy {
    /// Prompts to train on, with rewards as graders tell them.
    pub fn training(tasks: Vec<Box<dyn Task>>, items: usize) -> Self {
        Self { tasks: tasks.into_iter().map(|task| with_prompts(task, items, false)).collect(), told: true }
    }

    /// Held-out prompts, none of which is in [`Self::training`]. Rewards are what completions are worth.
    pub fn held_out(tasks: Vec<Box<dyn Task>>, items: usize) -> Self {
        Self { tasks: tasks.into_iter().map(|task| with_prompts(task, items, true)).collect(), told: false }
    }

    /// A prompt's lesson.
    pub fn lesson(&self, dice: &mut Dice) -> (Vec<u32>, Vec<bool>) {
        let (task, prompts) = &self.tasks[dice.below(self.tasks.len() as u32) as usize];
        task.lesson(&prompts[dice.below(prompts.len() as u32) as usize], dice)
    }

    /// All prompts.
    pub fn prompts(&self) -> impl Iterator<Item = &[u32]> {
        self.tasks.iter().flat_map(|(_, prompts)| prompts).map(|prompt| &prompt[..])
    }
}

/// At most `count` different prompts.
fn with_prompts(task: Box<dyn Task>, count: usize, held: bool) -> Pool {
    let mut dice = Dice::new(PROMPTS, u64::from(held));
    let mut seen = std::collections::HashSet::new();
    let (mut prompts, mut tries) = (vec![], 0);
    while prompts.len() < count && tries < TRIES {
        let prompt = task.prompt(&mut dice);
        tries += 1;
        if task.held(&prompt).is_none_or(|out| out == held) && seen.insert(prompt.clone()) {
            prompts.push(prompt);
            tries = 0;
        }
    }
    (task, prompts)
}

impl Environment for Toy {
    fn tasks(&self) -> Vec<(String, usize)> {
        self.tasks.iter().map(|(task, prompts)| (task.name().to_string(), prompts.len())).collect()
    }

    fn prompt(&self, task: usize, item: usize) -> Prompt {
        let (of, prompts) = &self.tasks[task];
        Prompt { task, item, ids: of.opening(&prompts[item]) }
    }

    fn course(&self, prompt: &Prompt) -> Option<Box<dyn Course + '_>> {
        let (task, prompts) = &self.tasks[prompt.task];
        task.course(&prompts[prompt.item])
    }

    async fn score(&mut self, prompts: &[Prompt], rollouts: &[&Rollout]) -> Vec<Result<f64, String>> {
        let score = |rollout: &&Rollout| {
            let prompt = &prompts[rollout.group];
            let (task, all) = &self.tasks[prompt.task];
            let reward = task.reward(&all[prompt.item], rollout.completion());
            Ok(if self.told { task.told(reward, rollout.completion()) } else { reward })
        };
        rollouts.iter().map(score).collect()
    }

    fn longest_prompt(&self) -> usize {
        let longest = |(task, prompts): &Pool| prompts.iter().map(|prompt| task.opening(prompt).len() + task.memory()).max();
        self.tasks.iter().filter_map(longest).max().unwrap_or(1)
    }

    fn text(&self, ids: &[u32]) -> String {
        ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
    }
}

/// The share of `answer` that a completion has right before its first error.
pub fn prefix(completion: &[u32], answer: &[u32]) -> f64 {
    completion.iter().zip(answer).take_while(|(a, b)| a == b).count() as f64 / answer.len() as f64
}

/// 1 where all is right.
pub fn exact(completion: &[u32], answer: &[u32]) -> f64 {
    if completion == answer { 1.0 } else { 0.0 }
}

//! The ladder: toy tasks on which reinforcement learning has to work, each within minutes on a CPU, before it is worth a large model.
//!
//! A rung is a task, a model made from a seed, and a bar. Several arms of a rung differ in one thing of the recipe and are compared seed by
//! seed. A rung passes when it passes on every seed; the same seed gives the same weights, bit by bit.

mod climb;
pub mod memory;
pub mod page;
mod rungs;
pub mod tasks;
pub mod toys;
mod warmup;

pub use climb::{Progress, Run, climb};
pub use rungs::{held_out, qwen3, recipe, rungs};
pub use warmup::Warmup;

use kernels::Device;
use model::ModelConfig;

use super::recipe::Recipe;
use crate::error::Result;
use toys::{Task, Toy};

/// A task with its bar.
pub struct Rung {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is learnt, in a sentence.
    pub about: &'static str,
    /// What it has to reach, in words.
    pub bar: &'static str,
    /// What is run: one, or several that are compared.
    pub arms: Vec<Arm>,
    /// The verdict on one seed's runs, in the order of the arms.
    pub judge: fn(&[Run]) -> Verdict,
}

/// One way to train.
#[derive(Clone)]
pub struct Arm {
    /// What sets it apart from the others.
    pub name: &'static str,
    /// The policy's shape.
    pub model: ModelConfig,
    /// What it is trained on.
    pub tasks: fn() -> Vec<Box<dyn Task>>,
    /// Prompts of each task: to train on, and held out.
    pub items: (usize, usize),
    /// Token that ends a completion; without one it is as long as the answer.
    pub stop: Option<u32>,
    /// Supervised steps before.
    pub warmup: Option<Warmup>,
    /// The recipe.
    pub recipe: Recipe,
    /// Prompts of a step.
    pub prompts: usize,
    /// Updates.
    pub steps: u64,
    /// Learning rate of the first step.
    pub lr: f32,
    /// The part of it that the last step has; between them it falls in a line.
    pub last: f32,
    /// Steps between validations.
    pub every: u64,
    /// What a run took on the machine of EXPERIMENTS.md, seconds.
    pub seconds: f64,
}

/// How a seed did.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What the bar is about, before reinforcement learning (for compared arms: the other arm's).
    pub start: f64,
    /// And at the end.
    pub end: f64,
    /// Whether it is over the bar.
    pub pass: bool,
    /// In words, where there is more to say.
    pub said: String,
}

/// A rung on one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Of every random choice.
    pub seed: u64,
    /// A run for each arm.
    pub runs: Vec<Run>,
    /// What they come to.
    pub verdict: Verdict,
}

impl Rung {
    /// Runs every arm on one seed.
    pub async fn run(&self, seed: u64, device: impl Fn() -> Device, mut see: impl FnMut(&Arm, Progress)) -> Result<Outcome> {
        let mut runs = vec![];
        for arm in &self.arms {
            runs.push(climb(arm, seed, device(), |toy: Toy| toy, |progress| see(arm, progress)).await?);
        }
        let verdict = (self.judge)(&runs);
        Ok(Outcome { seed, runs, verdict })
    }

    /// Seconds of one seed on the machine of EXPERIMENTS.md.
    pub fn seconds(&self) -> f64 {
        self.arms.iter().map(|arm| arm.seconds).sum()
    }
}

/// How long this machine takes for what the machine of EXPERIMENTS.md does in a second.
pub async fn pace(device: Device) -> Result<f64> {
    let bandit = &rungs()[0].arms[0];
    let run = climb(bandit, 0, device, |toy: Toy| toy, |_| ()).await?;
    Ok(run.seconds / bandit.seconds)
}

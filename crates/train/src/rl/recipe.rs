//! What a reinforcement-learning run is asked to do: the tables `[rl]`, `[memory]`, `[advantage]`, `[aepo]`, `[clip]`, `[judge]` and `[alarms]` of its
//! configuration. `config/rl_template.toml` explains every key.

use std::path::Path;

use super::{advantage, aepo, clip::Clip, loss::Norm, memory::Memory, sampler::Balance};
use crate::config::ConfigError;

/// How rollouts are made, rewarded and learned from. The default is the paper's (§4).
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Rollouts of each prompt.
    pub group: usize,
    /// Tokens a rollout may have.
    pub max_new_tokens: usize,
    /// Of sampling, and of every log-probability and entropy.
    pub temperature: f64,
    /// Nucleus sampling's p, in (0, 1].
    pub top_p: f64,
    /// What log-probabilities are normalised over.
    pub logprob_space: LogprobSpace,
    /// The loss's denominators.
    pub loss_norm: Norm,
    /// What scores a rollout.
    pub reward: RewardSource,
    /// Seconds that one scoring may take.
    pub reward_seconds: u64,
    /// Which turns of a trajectory learn from its reward.
    pub credit: Credit,
    /// How prompts are drawn.
    pub balance: Balance,
    /// How a prompt becomes text.
    pub prompt_template: PromptTemplate,
    /// Whether rollouts that were cut at `max_new_tokens` are left out of what is learned; else they keep their reward as scored.
    pub skip_truncated: bool,
    /// `[memory]`: documents are read in chunks; `None`: prompts are put whole.
    pub memory: Option<Memory>,
    /// `[advantage]`
    pub advantage: advantage::Settings,
    /// `[aepo]`
    pub aepo: aepo::Settings,
    /// `[clip]`; `None`: off.
    pub clip: Option<Clip>,
    /// `[judge]`: the model that is asked where the rule fails, as `--model` takes it.
    pub judge: Option<String>,
    /// `[alarms]`
    pub alarms: Alarms,
}

/// The tokens over which a log-probability is normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogprobSpace {
    /// The whole vocabulary: softmax(z / temperature), whatever was sampled from. What the paper's framework does.
    #[default]
    Full,
    /// The nucleus that was sampled from: the distribution the rollout really followed.
    Nucleus,
}

/// Where a reward comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RewardSource {
    /// The rule that each prompt names.
    #[default]
    OfPrompt,
    /// This rule for all.
    Rule(String),
    /// A command that reads rollouts and writes rewards.
    Command(String),
    /// A server that does.
    Server(String),
}

/// Which turns of a trajectory learn from its reward, where it has several (§3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credit {
    /// All of them: each is a row with the trajectory's advantage.
    #[default]
    Trajectory,
    /// The last: what notes were taken is not learnt. To compare with.
    Final,
}

/// How a prompt becomes text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptTemplate {
    /// By the model's chat template.
    #[default]
    Chat,
    /// As it is.
    Plain,
}

/// When a run speaks up. Alarms change nothing it learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarms {
    /// Entropy above so many times that of the start.
    pub entropy_high: f64,
    /// Entropy below this part of the start's.
    pub entropy_low: f64,
    /// Share of rollouts that are cut at `max_new_tokens` above this.
    pub truncated: f64,
    /// The reward rose and validation fell so many validations in a row; 0: never.
    pub gap: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            group: 8,
            max_new_tokens: 1024,
            temperature: 0.7,
            top_p: 0.95,
            logprob_space: LogprobSpace::default(),
            loss_norm: Norm::default(),
            reward: RewardSource::default(),
            reward_seconds: 60,
            credit: Credit::default(),
            balance: Balance::default(),
            prompt_template: PromptTemplate::default(),
            skip_truncated: false,
            memory: None,
            advantage: advantage::Settings::default(),
            aepo: aepo::Settings::default(),
            clip: None,
            judge: None,
            alarms: Alarms::default(),
        }
    }
}

impl Default for Alarms {
    fn default() -> Self {
        Self { entropy_high: 3.0, entropy_low: 0.2, truncated: 0.5, gap: 3 }
    }
}

impl Recipe {
    /// A run's file with every key at its default, explained: what `longhand init rl` writes.
    pub const TEMPLATE: &str = include_str!("../config/rl_template.toml");

    /// Reads the recipe's tables of a file, which may have no others: a run's configuration, or `[advantage]` and `[aepo]` alone.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Io { file: file.display().to_string(), source })?;
        Self::parse(&text, file)
    }

    /// Reads the text of `file`, which names it in errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        crate::config::recipe(text, file)
    }
}

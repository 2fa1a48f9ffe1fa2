//! What an answer is worth: rules, a judge, a command or a server of one's own. Shared by training and evaluation.
//!
//! - [`Rule`] scores one reply against its gold answers, in [0, 1]; a dense rule or all or nothing.
//! - [`Source`] says where rewards come from: each item's own rule, one rule for all, `exec:CMD`, or a server.
//! - [`Rewarder`] scores many replies, one result each. A judge (any `data::ChatModel`) is asked where a rule found no match, and the
//!   larger of both is the reward (§4.2 of the paper).
//!
//! Rules and judge run in a browser; commands and servers do not. A reward that could not be had is a [`Failure`], never a zero.

mod failure;
mod judge;
mod rewarder;
mod rules;
mod source;

#[cfg(not(target_arch = "wasm32"))]
mod exec;
#[cfg(not(target_arch = "wasm32"))]
mod http;
#[cfg(not(target_arch = "wasm32"))]
mod wire;

use serde_json::{Map, Value};

pub use failure::Failure;
pub use judge::same_answer;
pub use rewarder::{RewardCounts, RewardSettings, Rewarder};
pub use rules::{Rule, UnknownRule, final_answer, sequence_ratio};
pub use source::{Source, SourceError};

/// One reply to be scored.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The row's; replies of one group share it.
    pub id: &'a str,
    /// The task's name.
    pub task: &'a str,
    /// What the model was asked.
    pub prompt: &'a str,
    /// What it said, thinking included.
    pub reply: &'a str,
    /// The gold answers; any of them is right.
    pub answers: &'a [String],
    /// The rule's name, as in the row.
    pub rule: Option<&'a str>,
    /// Whether the reply was cut at its token bound.
    pub truncated: bool,
    /// The row's other columns: handed to commands and servers. `question` is shown to the judge in the prompt's place;
    /// `random_string_to_prepend` is the prefix that [`Rule::Mrcr`] asks for.
    pub extra: Option<&'a Map<String, Value>>,
}

/// A reward, and whose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// In the range of [`RewardSettings::range`]; rules and judge give [0, 1].
    pub reward: f64,
    /// Who gave it.
    pub by: By,
}

/// Who gave a reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// A rule.
    Rule,
    /// The judge, where the rule gave less.
    Judge,
    /// The command of `exec:`.
    Command,
    /// The server.
    Server,
}

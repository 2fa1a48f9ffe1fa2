//! What a policy is trained on: prompts by task, what follows a reply, and what replies are worth.

use super::rollout::{Prompt, Rollout};
use crate::error::Result;

/// Prompts of several tasks, and their rewards.
#[allow(async_fn_in_trait)] // used with concrete types alone
pub trait Environment {
    /// Names of the tasks, each with its items.
    fn tasks(&self) -> Vec<(String, usize)>;

    /// The prompt of an item.
    fn prompt(&self, task: usize, item: usize) -> Prompt;

    /// What a prompt of several turns goes on with: for each trajectory one. `None`: the first reply is the last.
    fn course(&self, _prompt: &Prompt) -> Option<Box<dyn Course + '_>> {
        None
    }

    /// The reward of each trajectory, by its last turn; `prompts[rollout.group]` is what it answers. A trajectory without a reward says
    /// why, and counts nowhere.
    async fn score(&mut self, prompts: &[Prompt], rollouts: &[&Rollout]) -> Vec<std::result::Result<f64, String>>;

    /// What ids say, for samples and people.
    fn text(&self, ids: &[u32]) -> String;

    /// Tokens of the longest prompt of any turn.
    fn longest_prompt(&self) -> usize {
        let tasks = self.tasks();
        let all = tasks.iter().enumerate().flat_map(|(task, (_, items))| (0..*items).map(move |item| (task, item)));
        all.map(|(task, item)| self.prompt(task, item).ids.len()).max().unwrap_or(1)
    }
}

/// A trajectory on its way: what it remembers is all that the next turn knows of those before.
pub trait Course {
    /// What follows a turn.
    fn next(&mut self, last: &Rollout) -> Result<Next>;

    /// Tokens that the first turn's reply may have, where that is not the answer's bound.
    fn first_limit(&self) -> usize;
}

/// What follows a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// The next turn. `None`: that one was the last.
    pub turn: Option<Turn>,
    /// Whether the reply had not the form it was asked for.
    pub broken: bool,
}

/// What a model is asked in a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Token ids, at least one.
    pub ids: Vec<u32>,
    /// Tokens its reply may have.
    pub max_new_tokens: usize,
}

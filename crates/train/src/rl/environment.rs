//! What a policy is trained on: prompts by task, and what replies to them are worth.

use super::rollout::{Prompt, Rollout};

/// Prompts of several tasks, and their rewards.
#[allow(async_fn_in_trait)] // used with concrete types alone
pub trait Environment {
    /// Names of the tasks, each with its items.
    fn tasks(&self) -> Vec<(String, usize)>;

    /// The prompt of an item.
    fn prompt(&self, task: usize, item: usize) -> Prompt;

    /// The reward of each rollout, in their order; `prompts[rollout.group]` is what it answers. A rollout without a reward says why, and
    /// counts nowhere.
    async fn score(&mut self, prompts: &[Prompt], rollouts: &[Rollout]) -> Vec<Result<f64, String>>;

    /// What ids say, for samples and people.
    fn text(&self, ids: &[u32]) -> String;
}

/// The longest prompt of all.
pub fn longest_prompt(environment: &impl Environment) -> usize {
    let tasks = environment.tasks();
    let all = tasks.iter().enumerate().flat_map(|(task, (_, items))| (0..*items).map(move |item| (task, item)));
    all.map(|(task, item)| environment.prompt(task, item).ids.len()).max().unwrap_or(1)
}

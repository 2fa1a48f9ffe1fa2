//! What a model is worth on items: one greedy reply to each, whole or through notes, and the share that is right with its interval.

use std::sync::Arc;

use model::Model;

use super::environment::Environment;
use super::items::Items;
use super::rollout::{Drawing, Prompt};
use super::turns::Turns;
use crate::error::Result;

/// An item and what its reply was worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The item's id.
    pub id: String,
    /// Its task.
    pub task: String,
    /// Its links; 0 is not known.
    pub hops: u8,
    /// The reward, or why there is none.
    pub reward: std::result::Result<f64, String>,
    /// The answer as it was given.
    pub reply: String,
    /// Turns it took.
    pub turns: usize,
    /// Turns whose reply had not the form it was asked for.
    pub broken: usize,
}

/// Scores every item, `together` at a time. `see` hears of every turn's token, `done` of every item.
pub async fn score(
    model: &Arc<Model>,
    items: &mut Items,
    drawing: &Drawing,
    together: usize,
    mut see: impl FnMut(),
    mut done: impl FnMut(&Scored),
) -> Result<Vec<Scored>> {
    let tasks = items.tasks();
    let all: Vec<(usize, usize)> = tasks.iter().enumerate().flat_map(|(task, (_, count))| (0..*count).map(move |at| (task, at))).collect();
    let drawing = Drawing { samples: 1, temperature: 0.0, ..drawing.clone() };
    let mut scored = Vec::with_capacity(all.len());
    for (step, some) in all.chunks(together.max(1)).enumerate() {
        let prompts: Vec<Prompt> = some.iter().map(|&(task, at)| items.prompt(task, at)).collect();
        let rollouts = drawing.answers(model, (&*items, &prompts), (0, step as u64), &mut see).await?;
        let turns = Turns::of(&rollouts);
        let last = turns.last(&rollouts);
        let rewards = items.score(&prompts, &last).await;
        for (rollout, reward) in last.iter().zip(rewards) {
            let prompt = &prompts[rollout.group];
            let item = items.item(prompt.task, prompt.item);
            let mine = || rollouts.iter().filter(|other| other.group == rollout.group);
            scored.push(Scored {
                id: item.id.clone(),
                task: item.task.clone(),
                hops: item.hops,
                reward,
                reply: items.text(rollout.reply()),
                turns: mine().count(),
                broken: mine().filter(|rollout| rollout.broken).count(),
            });
            done(&scored[scored.len() - 1]);
        }
    }
    Ok(scored)
}

/// Wilson's interval of a share at 95 %: (lower, upper) for `right` of `all`. (Wilson, Probable inference, 1927.)
pub fn wilson(right: f64, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (all as f64, 1.959_964);
    let share = right / n;
    let middle = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::wilson;

    /// Figures of SciPy's `binomtest(k, n).proportion_ci(method="wilson")`.
    #[test]
    fn intervals_are_wilson_s() {
        for (right, all, low, high) in [(8.0, 10, 0.490_162, 0.943_318), (0.0, 24, 0.0, 0.137_977), (180.0, 200, 0.850_594, 0.934_330)] {
            let (lower, upper) = wilson(right, all);
            assert!((lower - low).abs() < 1e-5 && (upper - high).abs() < 1e-5, "{right} of {all}: {lower} to {upper}");
        }
    }
}

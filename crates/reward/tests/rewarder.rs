//! Judges, commands and servers as they really are: right, wrong, slow, dead and talkative.

#[cfg(unix)]
#[path = "rewarder/command.rs"]
mod command;
#[path = "rewarder/guide.rs"]
mod guide;
#[path = "rewarder/judge.rs"]
mod judge;
#[path = "rewarder/server.rs"]
mod server;

use std::time::Duration;

use reward::{Failure, Item, RewardSettings, Rewarder, Scored};

/// Rows `r0`, `r1`, … whose replies are `0`, `1`, ….
pub struct Rows {
    ids: Vec<String>,
    replies: Vec<String>,
    answers: Vec<String>,
}

impl Rows {
    /// So many.
    pub fn new(count: usize) -> Self {
        let name = |prefix: &str| (0..count).map(|at| format!("{prefix}{at}")).collect();
        Self { ids: name("r"), replies: name(""), answers: vec!["0".into()] }
    }

    /// As items.
    pub fn items(&self) -> Vec<Item<'_>> {
        self.ids.iter().zip(&self.replies).map(|(id, reply)| item(id, reply, &self.answers)).collect()
    }
}

/// A row whose rule is `exact`.
pub fn item<'a>(id: &'a str, reply: &'a str, answers: &'a [String]) -> Item<'a> {
    Item { id, task: "t", prompt: "How many?", reply, answers, rule: Some("exact"), truncated: false, extra: None }
}

/// The defaults with this time limit.
pub fn settings(seconds: f64) -> RewardSettings {
    RewardSettings { time_limit: Duration::from_secs_f64(seconds), ..RewardSettings::default() }
}

/// Rewards from a source as it is written.
pub fn rewarder(source: &str, settings: RewardSettings) -> Rewarder {
    Rewarder::new(source.parse().unwrap(), settings)
}

/// Rewards, and failures by kind.
pub fn kinds(results: &[Result<Scored, Failure>]) -> Vec<Result<f64, &'static str>> {
    results.iter().map(|result| result.as_ref().map(|scored| scored.reward).map_err(Failure::kind)).collect()
}

/// One result for each item.
pub fn run(rewarder: &mut Rewarder, items: &[Item<'_>]) -> Vec<Result<Scored, Failure>> {
    let results = pollster::block_on(rewarder.score(items));
    assert_eq!(results.len(), items.len());
    results
}

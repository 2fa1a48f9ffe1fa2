//! What is asked for.

use serde::Deserialize;

use crate::agents::AgentSettings;

/// Questions of one kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What makes them.
    pub engine: Maker,
    /// How many rows.
    pub count: usize,
    /// The least and the greatest length of a context in tokens. Lengths between are drawn so that each factor of two is as likely as
    /// another; a question whose own documents need more gets more.
    #[serde(default = "lengths")]
    pub lengths: (usize, usize),
    /// `graph`, `choice`: links between documents. With one the task is `reading`, from two on `multi_hop`.
    #[serde(default = "two")]
    pub hops: u8,
    /// `graph`, `choice`: what the documents are about, as a question calls it: `country`.
    #[serde(default = "document")]
    pub noun: String,
    /// `table`: the least and the most documents that a question compares.
    #[serde(default = "rows")]
    pub rows: (usize, usize),
    /// `dialogue`: the least and the greatest length of a conversation in tokens.
    #[serde(default = "talk")]
    pub talk: (usize, usize),
    /// `agents`: what proposer, solvers and verifiers are asked for.
    #[serde(default)]
    pub agents: AgentSettings,
}

fn lengths() -> (usize, usize) {
    (4_096, 122_880)
}
fn two() -> u8 {
    2
}
fn document() -> String {
    "document".into()
}
fn rows() -> (usize, usize) {
    (3, 8)
}
fn talk() -> (usize, usize) {
    (1_500, 4_000)
}

/// What makes a group's questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// Walks over a graph of facts.
    Graph,
    /// The same with four options.
    Choice,
    /// SQL over a table of many documents' numbers.
    Table,
    /// A conversation to be quoted from.
    Dialogue,
    /// Models that propose, solve and verify.
    Agents,
}

impl Group {
    /// In a few words: `graph, 3 links`.
    pub fn name(&self) -> String {
        match self.engine {
            Maker::Graph if self.hops == 1 => "graph, 1 link".into(),
            Maker::Graph => format!("graph, {} links", self.hops),
            Maker::Choice if self.hops == 1 => "choice, 1 link".into(),
            Maker::Choice => format!("choice, {} links", self.hops),
            Maker::Table => "table".into(),
            Maker::Dialogue => "dialogue".into(),
            Maker::Agents => format!("agents, {}", self.agents.name()),
        }
    }

    /// What is wrong with it, before anything is made.
    pub fn check(&self) -> Result<(), String> {
        let name = self.name();
        let order = |what: &str, (least, most): (usize, usize), from: usize| match least < from || most < least {
            true => Err(format!("{name}: {what} = [{least}, {most}] is no range from {from} on")),
            false => Ok(()),
        };
        if self.count == 0 {
            return Err(format!("{name}: count = 0 asks for nothing"));
        }
        order("lengths", self.lengths, 256)?;
        match self.engine {
            Maker::Graph | Maker::Choice if self.hops == 0 || self.hops > 9 => Err(format!("{name}: hops is 1 to 9")),
            Maker::Graph | Maker::Choice if self.noun.trim().is_empty() => Err(format!("{name}: noun is empty")),
            Maker::Table if !cfg!(feature = "sql") => Err(format!("{name}: this program was built without SQLite")),
            Maker::Table => order("rows", self.rows, 2),
            Maker::Dialogue => order("talk", self.talk, 200),
            Maker::Agents => self.agents.check().map_err(|why| format!("{name}: {why}")),
            _ => Ok(()),
        }
    }
}

//! What proposer, solvers and verifier are asked for.

use serde::Deserialize;

/// What proposer, solvers and verifier are asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Documents of a cluster's first visit, and new ones of each later visit (SPELL: 5).
    pub documents: usize,
    /// Which documents are a cluster.
    pub cluster: Choice,
    /// What is asked for: clusters take these by turns.
    pub tasks: Vec<Task>,
    /// A kind of question in words, within the tasks: `viewpoint analysis: who holds what, and how they differ`. Empty: any.
    pub kind: String,
    /// Visits of a cluster; each is to give one question.
    pub rounds: usize,
    /// Questions that a cluster's buffer holds (SPELL: 3).
    pub history: usize,
    /// The least and the greatest share of right solvers with which a question enters the buffer (SPELL: 0.01 and 1).
    pub band: (f64, f64),
    /// Solvers of a question. It is kept if more than half of them come to the proposer's answer.
    pub tries: usize,
    /// Verifiers of each answer that the rule finds wrong (SPELL: 8).
    pub votes: usize,
    /// Tokens of an answer, at most (SPELL: 20).
    pub answer: usize,
    /// Tokens of a proposal's and of a solver's reply.
    pub reply: usize,
    /// Tokens of a verifier's reply.
    pub verdict: usize,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            documents: 5,
            cluster: Choice::Near,
            tasks: vec![Task::MultiHop],
            kind: String::new(),
            rounds: 3,
            history: 3,
            band: (0.01, 1.0),
            tries: 5,
            votes: 8,
            answer: 20,
            reply: 4_096,
            verdict: 512,
        }
    }
}

/// Which documents are a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// One, and those that a search for its title and beginning finds.
    Near,
    /// Any.
    Random,
}

/// What a proposer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Several steps through several documents.
    MultiHop,
    /// Understanding what documents say together.
    Reading,
    /// Calculation with figures of the documents.
    Numeric,
    /// One of four options.
    MultipleChoice,
}

impl Task {
    /// As rows call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MultiHop => "multi_hop",
            Self::Reading => "reading",
            Self::Numeric => "numeric",
            Self::MultipleChoice => "multiple_choice",
        }
    }

    /// The rule of its answers in words; a choice's letter has its own.
    pub(super) fn rule(self) -> &'static str {
        if self == Self::Numeric { "numeric" } else { "contain" }
    }

    /// As derivations call it, where no kind is given.
    pub(super) fn paradigm(self) -> &'static str {
        match self {
            Self::MultiHop => "multi_fact",
            Self::Reading => "reading",
            Self::Numeric => "calculation",
            Self::MultipleChoice => "choice",
        }
    }

    /// As the proposer is told.
    pub(super) fn asks(self) -> &'static str {
        match self {
            Self::MultiHop => {
                "a question that takes several steps: what one document says leads to another, until the last step gives the answer."
            }
            Self::Reading => {
                "a question whose answer shows what the documents mean together: why something is so, what follows from it, how they differ or what changed."
            }
            Self::Numeric => {
                "a question that takes calculation with figures of the documents: sums, differences, shares, growth, means or ranks."
            }
            Self::MultipleChoice => {
                "a question of several steps through the documents, with one right answer and three wrong ones that look like it."
            }
        }
    }

    /// What an answer is, as the proposer is told.
    pub(super) fn form(self) -> &'static str {
        match self {
            Self::Numeric => "one number, with its unit if it has one",
            _ => "a name, a date, a figure or a few words",
        }
    }
}

impl AgentSettings {
    /// What is wrong with it, before anything is asked.
    pub fn check(&self) -> Result<(), String> {
        let least = [
            ("documents", self.documents),
            ("tasks", self.tasks.len()),
            ("rounds", self.rounds),
            ("history", self.history),
            ("tries", self.tries),
            ("votes", self.votes),
            ("answer", self.answer),
            ("reply", self.reply),
            ("verdict", self.verdict),
        ];
        if let Some((name, _)) = least.into_iter().find(|(_, value)| *value == 0) {
            return Err(format!("agents.{name} is at least 1"));
        }
        let (least, most) = self.band;
        if !(0.0..=1.0).contains(&least) || !(least..=1.0).contains(&most) {
            return Err(format!("agents.band = [{least}, {most}] is no range within 0 to 1"));
        }
        Ok(())
    }

    /// Tasks and kind in a few words.
    pub fn name(&self) -> String {
        let tasks: Vec<&str> = self.tasks.iter().map(|task| task.name()).collect();
        let kind = self.kind.split([':', '.', ',', ';']).next().unwrap_or_default().trim();
        format!("{}{}", tasks.join(" and "), if kind.is_empty() { String::new() } else { format!(" ({kind})") })
    }
}

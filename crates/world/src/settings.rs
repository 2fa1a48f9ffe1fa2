//! What kind of documents and questions a world makes.

use serde::Deserialize;

use crate::names::{Names, Split};
use crate::question::Task;

/// What a world is made by. The same settings make the same documents everywhere.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldSettings {
    /// Another seed, other documents.
    pub seed: u64,
    /// Whose names, years and sentence templates.
    pub split: Split,
    /// The tasks, which items take by turns.
    pub tasks: Vec<Task>,
    /// The least and the most links of a question; what a task cannot have is left out.
    pub hops: [u8; 2],
    /// The least and the most words of an item's document; drawn so that each doubling is as likely as the next. From 20 on.
    pub words: [usize; 2],
    /// Look-alikes of each question: chains of the same links from a name that shares a word with the question's, or other facts of the
    /// same entity.
    pub distractors: usize,
    /// The share of facts among the sentences that no question needs.
    pub facts: f64,
    /// How many first names, family names and so on are used, from 8 to 64: fewer names are easier.
    pub names: usize,
    /// The largest amount, at least 20.
    pub amounts: u32,
    /// Short prompts, short quotes, bare answers: for models of under a few million parameters.
    pub short: bool,
    /// The facts of a question stand in the order of its links, still anywhere in the document: a reader that goes through it once can
    /// see that each matters when it comes.
    pub ordered: bool,
    /// A prompt says what is asked before the document as well as after it.
    pub question_first: bool,
    /// No sentence but the planned ones has a name with a word of a name that a question leads through, its landmark or trade aside: then
    /// one word tells who is meant. As far as there are other names.
    pub distinct: bool,
    /// Rows say what each sentence of their evidence says, in the question's words: `the founder of Hale Tiles is Otto Reed.` Nothing
    /// for one that is to be quoted, added or counted.
    pub stated: bool,
    /// Whose sentence templates, where not the split's own.
    pub templates: Option<Split>,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            split: Split::Train,
            tasks: Task::ALL.to_vec(),
            hops: [1, 4],
            words: [2_000, 8_000],
            distractors: 4,
            facts: 0.4,
            names: 64,
            amounts: 9_999,
            short: false,
            ordered: false,
            question_first: false,
            distinct: false,
            stated: false,
            templates: None,
        }
    }
}

impl WorldSettings {
    /// For models of 0.1 to 4 million parameters: 40 to 120 words, one or two links, few names, amounts of two digits.
    pub fn tiny(seed: u64, split: Split) -> Self {
        Self {
            seed,
            split,
            hops: [1, 2],
            words: [40, 120],
            distractors: 1,
            facts: 0.3,
            names: 16,
            amounts: 99,
            short: true,
            ..Self::default()
        }
    }

    /// Documents of so many words for models of a few million parameters that read with notes: names that no training has in sentences as
    /// in training, facts in the order of their links, one word of a name enough to know it. Questions of one or more links.
    pub fn told_apart(seed: u64, words: usize) -> Self {
        Self {
            words: [words, words],
            hops: [1, 4],
            names: 64,
            tasks: vec![Task::MultiHop, Task::Reading],
            distractors: 0,
            distinct: true,
            ordered: true,
            question_first: true,
            templates: Some(Split::Train),
            ..Self::tiny(seed, Split::Held)
        }
    }

    /// The split whose sentence templates documents are written with.
    pub(crate) fn templates(&self) -> Split {
        self.templates.unwrap_or(self.split)
    }

    /// The least and the most links for a task.
    pub(crate) fn hops_of(&self, task: Task) -> (u8, u8) {
        let (least, most) = task.hops();
        (least.max(self.hops[0]), most.min(self.hops[1]))
    }

    pub(crate) fn check(&self) -> Result<(), WorldError> {
        let range = |name, least: f64, most: f64, value: f64| {
            if (least..=most).contains(&value) { Ok(()) } else { Err(WorldError::Range { name, least, most, value }) }
        };
        range("names", Names::LEAST as f64, 64.0, self.names as f64)?;
        range("amounts", 20.0, 1e8, f64::from(self.amounts))?;
        range("facts", 0.0, 1.0, self.facts)?;
        range("the least of words", 20.0, self.words[1] as f64, self.words[0] as f64)?;
        range("distractors", 0.0, 64.0, self.distractors as f64)?;
        if self.tasks.is_empty() {
            return Err(WorldError::NoTask);
        }
        match self.tasks.iter().find(|task| self.hops_of(**task).0 > self.hops_of(**task).1) {
            Some(&task) => Err(WorldError::Hops { task: task.name(), least: task.hops().0, most: task.hops().1, hops: self.hops }),
            None => Ok(()),
        }
    }
}

/// What cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WorldError {
    /// A setting out of its range.
    #[error("{name} is {value}: it goes from {least} to {most}")]
    Range {
        /// The setting.
        name: &'static str,
        /// Its least value.
        least: f64,
        /// Its largest.
        most: f64,
        /// What was given.
        value: f64,
    },
    /// Nothing to ask.
    #[error("there is no task: name one of multiple_choice, multi_hop, reading, dialogue, numeric")]
    NoTask,
    /// A task that has no question of these lengths.
    #[error("{task} has questions of {least} to {most} links, and hops is {hops:?}: widen hops or leave the task out")]
    Hops {
        /// Its name.
        task: &'static str,
        /// Its least links.
        least: u8,
        /// Its most.
        most: u8,
        /// What was asked for.
        hops: [u8; 2],
    },
    /// So many questions about one document that their facts would contradict each other.
    #[error("no room for another {task} question in this document: ask for fewer, or raise names")]
    Full {
        /// Its task.
        task: &'static str,
    },
}

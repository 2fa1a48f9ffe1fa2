//! Items of the small world as token ids: a word is a token.

use std::collections::HashMap;

use data::Item;
use reward::Rule;
use world::{Split, World, WorldSettings};

use super::super::environment::Environment;
use super::super::rollout::{Prompt, Rollout};
use crate::sft::random;

/// Where items that are not trained on begin.
const HELD: u64 = 1 << 32;
/// The seed of slips.
const SLIPS: u64 = 0x736c_6970;

/// Documents and questions, with their answers.
pub struct Lessons {
    tasks: Vec<(String, Vec<usize>)>,
    rows: Vec<Row>,
    words: Vec<String>,
    stop: u32,
}

struct Row {
    item: Item,
    prompt: Vec<u32>,
    reply: Vec<u32>,
}

impl Lessons {
    /// Items to train on.
    pub fn training(seed: u64, count: usize) -> Self {
        Self::new(seed, 0, count)
    }

    /// Items of the same world that no training has.
    pub fn held(seed: u64, count: usize) -> Self {
        Self::new(seed, HELD, count)
    }

    fn new(seed: u64, first: u64, count: usize) -> Self {
        let settings = WorldSettings { words: [20, 40], names: 8, distractors: 0, amounts: 20, ..WorldSettings::tiny(seed, Split::Train) };
        let world = World::new(settings).expect("the preset is a world");
        let words: Vec<String> = world::vocabulary().iter().map(|word| word.to_string()).collect();
        let number: HashMap<&str, u32> = words.iter().enumerate().map(|(id, word)| (word.as_str(), id as u32)).collect();
        let stop = number[world::IM_END];
        let ids = |text: &str| world::words(text).into_iter().map(|word| number[word]).collect::<Vec<u32>>();
        let row = |index| {
            let (story, length) = world.item_story(index).expect("items of the preset can be made");
            let item = world.row(&story, 0, length);
            let mut reply = ids(&world.reply(&story.questions[0]));
            reply.push(stop);
            Row { prompt: ids(&item.prompt), reply, item }
        };
        let rows: Vec<Row> = (first..first + count as u64).map(row).collect();
        let mut tasks: Vec<(String, Vec<usize>)> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            match tasks.iter_mut().find(|(task, _)| *task == row.item.task) {
                Some((_, items)) => items.push(at),
                None => tasks.push((row.item.task.clone(), vec![at])),
            }
        }
        Self { tasks, rows, words, stop }
    }

    /// Items.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Words there are.
    pub fn vocab(&self) -> usize {
        self.words.len()
    }

    /// The token that ends a reply.
    pub fn stop(&self) -> u32 {
        self.stop
    }

    /// Prompt and reply of an item; the reply is to be predicted, or `all` of it. A share `slips` of the lessons have the reply to another
    /// item of the task: who learns from them knows more than it says.
    pub fn lesson(&self, number: usize, all: bool, slips: f64) -> (Vec<u32>, Vec<bool>) {
        let Row { prompt, item, reply } = &self.rows[number];
        let mut reply = reply;
        if (random(SLIPS, number as u64, 0) as f64) < slips * u64::MAX as f64 {
            let same = self.tasks.iter().find(|(task, _)| *task == item.task).map_or(&[][..], |(_, items)| items);
            let other = random(SLIPS, number as u64, 1) as usize % same.len().max(1);
            reply = same.get(other).map_or(reply, |&other| &self.rows[other].reply);
        }
        let mask = (0..prompt.len() + reply.len()).map(|at| all || at >= prompt.len()).collect();
        ([prompt.as_slice(), reply].concat(), mask)
    }

    /// The longest prompt and reply.
    pub fn longest(&self) -> usize {
        self.rows.iter().map(|row| row.prompt.len() + row.reply.len()).max().unwrap_or(0)
    }
}

impl Environment for Lessons {
    fn tasks(&self) -> Vec<(String, usize)> {
        self.tasks.iter().map(|(task, items)| (task.clone(), items.len())).collect()
    }

    fn prompt(&self, task: usize, item: usize) -> Prompt {
        Prompt { task, item, ids: self.rows[self.tasks[task].1[item]].prompt.clone() }
    }

    async fn score(&mut self, prompts: &[Prompt], rollouts: &[&Rollout]) -> Vec<Result<f64, String>> {
        let score = |rollout: &&Rollout| {
            let prompt = &prompts[rollout.group];
            let item = &self.rows[self.tasks[prompt.task].1[prompt.item]].item;
            let rule: Rule = item.rule.parse().map_err(|error| format!("{error}"))?;
            Ok(rule.score(&self.text(rollout.reply()), &item.answers))
        };
        rollouts.iter().map(score).collect()
    }

    fn text(&self, ids: &[u32]) -> String {
        let words: Vec<&str> = ids.iter().map(|&id| self.words.get(id as usize).map_or("", String::as_str)).collect();
        world::join(&words)
    }
}

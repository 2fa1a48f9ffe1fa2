//! Rows of a file as what a policy is trained on: `{"id", "task", "prompt", "answers", "rule", …}`, a JSON object a line.

use std::path::Path;

use data::Item;
use reward::Rewarder;

use super::environment::Environment;
use super::recipe::PromptTemplate;
use super::rollout::{Prompt, Rollout};
use crate::sft::ChatFormat;

/// Prompts that were read, by task, with their rewards.
pub struct Items {
    tasks: Vec<(String, Vec<Row>)>,
    chat: ChatFormat,
    rewarder: Rewarder,
}

struct Row {
    item: Item,
    ids: Vec<u32>,
}

/// What is wrong with a file of items.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// It cannot be read.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no item.
    #[error(
        "{file}, line {line}: {message}. A line is like {{\"id\": \"7\", \"task\": \"mc\", \"prompt\": \"…\", \"answers\": [\"B\"], \"rule\": \"letter\"}}"
    )]
    Line {
        /// The file.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// There is none.
    #[error("{0} has no items")]
    Empty(String),
}

impl Items {
    /// Reads a file. Items longer than `most` tokens are an error that names them: a prompt is never cut.
    pub fn read(file: &Path, chat: &ChatFormat, template: PromptTemplate, most: usize, rewarder: Rewarder) -> Result<Self, ItemError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| ItemError::Io { file: name.clone(), source })?;
        let mut items = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |message: String| ItemError::Line { file: name.clone(), line: number + 1, message };
            let item: Item = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            let ids = encode(&item, chat, template).map_err(|error| wrong(error.to_string()))?;
            if ids.is_empty() || ids.len() > most {
                return Err(wrong(format!("its prompt has {} tokens; 1 to {most} are possible (data.max_length)", ids.len())));
            }
            items.push(Row { item, ids });
        }
        if items.is_empty() { Err(ItemError::Empty(name)) } else { Ok(Self::from_rows(items, chat.clone(), rewarder)) }
    }

    /// Of items that were made.
    pub fn new(
        items: Vec<Item>,
        chat: &ChatFormat,
        template: PromptTemplate,
        rewarder: Rewarder,
    ) -> Result<Self, tokenizer::TokenizerError> {
        let row = |item: Item| Ok(Row { ids: encode(&item, chat, template)?, item });
        Ok(Self::from_rows(items.into_iter().map(row).collect::<Result<_, _>>()?, chat.clone(), rewarder))
    }

    /// Tasks stand in the order of their names, so that two files of the same tasks number them alike.
    fn from_rows(rows: Vec<Row>, chat: ChatFormat, rewarder: Rewarder) -> Self {
        let mut tasks: std::collections::BTreeMap<String, Vec<Row>> = Default::default();
        rows.into_iter().for_each(|row| tasks.entry(row.item.task.clone()).or_default().push(row));
        Self { tasks: tasks.into_iter().collect(), chat, rewarder }
    }

    /// An item.
    pub fn item(&self, task: usize, item: usize) -> &Item {
        &self.tasks[task].1[item].item
    }

    /// What scored, and how often it failed.
    pub fn rewarder(&self) -> &Rewarder {
        &self.rewarder
    }
}

fn encode(item: &Item, chat: &ChatFormat, template: PromptTemplate) -> Result<Vec<u32>, tokenizer::TokenizerError> {
    match template {
        PromptTemplate::Chat => chat.prompt(&[data::Message::user(item.prompt.clone())]),
        PromptTemplate::Plain => chat.plain(&item.prompt),
    }
}

impl Environment for Items {
    fn tasks(&self) -> Vec<(String, usize)> {
        self.tasks.iter().map(|(name, rows)| (name.clone(), rows.len())).collect()
    }

    fn prompt(&self, task: usize, item: usize) -> Prompt {
        Prompt { task, item, ids: self.tasks[task].1[item].ids.clone() }
    }

    async fn score(&mut self, prompts: &[Prompt], rollouts: &[Rollout]) -> Vec<Result<f64, String>> {
        let replies: Vec<String> = rollouts.iter().map(|rollout| self.chat.text(rollout.reply())).collect();
        let item = |(rollout, reply)| {
            let (rollout, reply): (&Rollout, &String) = (rollout, reply);
            let prompt = &prompts[rollout.group];
            let item = &self.tasks[prompt.task].1[prompt.item].item;
            reward::Item {
                id: &item.id,
                task: &item.task,
                prompt: &item.prompt,
                reply,
                answers: &item.answers,
                rule: Some(&item.rule).filter(|rule| !rule.is_empty()).map(String::as_str),
                truncated: rollout.truncated,
                extra: Some(&item.extra),
            }
        };
        let items: Vec<reward::Item> = rollouts.iter().zip(&replies).map(item).collect();
        let scored = self.rewarder.score(&items).await;
        scored.into_iter().map(|score| score.map(|score| score.reward).map_err(|failure| failure.to_string())).collect()
    }

    fn text(&self, ids: &[u32]) -> String {
        self.chat.text(ids)
    }
}

//! Rows of a file as what a policy is trained on: `{"id", "task", "prompt", "answers", "rule", …}`, a JSON object a line.

use std::path::Path;

use data::Item;
use reward::Rewarder;

use super::environment::{Course, Environment};
use super::memory::{Memory, Opened, Reading};
use super::recipe::PromptTemplate;
use super::rollout::{Prompt, Rollout};
use crate::sft::ChatFormat;

/// Prompts that were read, by task, with their rewards.
pub struct Items {
    tasks: Vec<(String, Vec<Row>)>,
    chat: ChatFormat,
    rewarder: Rewarder,
    /// Tokens of an answer, and how documents are read, where they are not read whole.
    memory: Option<(usize, Memory)>,
}

struct Row {
    item: Item,
    /// The first turn's prompt.
    ids: Vec<u32>,
    /// Tokens of a turn's prompt, at most.
    longest: usize,
    /// The document cut up, where it is read in chunks.
    opened: Option<Opened>,
}

/// How items become prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// How a prompt becomes text, where it is put as a whole.
    pub template: PromptTemplate,
    /// Tokens that a prompt may have.
    pub most: usize,
    /// Tokens of an answer, and how documents are read in chunks with notes.
    pub memory: Option<(usize, Memory)>,
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
    /// Reads a file. Items with prompts longer than the form's are an error that names them: a prompt is never cut.
    pub fn read(file: &Path, chat: &ChatFormat, form: Form, rewarder: Rewarder) -> Result<Self, ItemError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| ItemError::Io { file: name.clone(), source })?;
        let mut items = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |message: String| ItemError::Line { file: name.clone(), line: number + 1, message };
            let item: Item = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            items.push(Row::new(item, chat, form).map_err(wrong)?);
        }
        if items.is_empty() { Err(ItemError::Empty(name)) } else { Ok(Self::from_rows(items, chat.clone(), form, rewarder)) }
    }

    /// Of items that were made. Errors name the item.
    pub fn new(items: Vec<Item>, chat: &ChatFormat, form: Form, rewarder: Rewarder) -> Result<Self, String> {
        let row = |item: Item| {
            let id = item.id.clone();
            Row::new(item, chat, form).map_err(|message| format!("item {id}: {message}"))
        };
        Ok(Self::from_rows(items.into_iter().map(row).collect::<Result<_, _>>()?, chat.clone(), form, rewarder))
    }

    /// Tasks stand in the order of their names, so that two files of the same tasks number them alike.
    fn from_rows(rows: Vec<Row>, chat: ChatFormat, form: Form, rewarder: Rewarder) -> Self {
        let mut tasks: std::collections::BTreeMap<String, Vec<Row>> = Default::default();
        rows.into_iter().for_each(|row| tasks.entry(row.item.task.clone()).or_default().push(row));
        Self { tasks: tasks.into_iter().collect(), chat, rewarder, memory: form.memory }
    }

    /// An item.
    pub fn item(&self, task: usize, item: usize) -> &Item {
        &self.tasks[task].1[item].item
    }

    /// Sections of the document that has most; 0 where documents are read whole.
    pub fn sections(&self) -> usize {
        let rows = self.tasks.iter().flat_map(|(_, rows)| rows);
        rows.filter_map(|row| row.opened.as_ref()).map(|opened| opened.chunks.len()).max().unwrap_or(0)
    }

    /// Turns of an item on average, at least 1.
    pub fn turns(&self) -> usize {
        let rows: Vec<usize> = self
            .tasks
            .iter()
            .flat_map(|(_, rows)| rows)
            .map(|row| 1 + row.opened.as_ref().map_or(0, |opened| opened.chunks.len()))
            .collect();
        rows.iter().sum::<usize>().div_ceil(rows.len().max(1)).max(1)
    }

    /// What scored, and how often it failed.
    pub fn rewarder(&self) -> &Rewarder {
        &self.rewarder
    }
}

impl Row {
    fn new(item: Item, chat: &ChatFormat, form: Form) -> Result<Self, String> {
        let (ids, longest, opened) = match form.memory {
            Some((answer, memory)) => {
                let opened = Opened::new(&item, &memory, answer, chat)?;
                let ids = opened.first(&item, chat)?;
                let longest = opened.longest(ids.len(), &memory);
                (ids, longest, Some(opened))
            }
            None => {
                let ids = encode(&item, chat, form.template).map_err(|error| error.to_string())?;
                let length = ids.len();
                (ids, length, None)
            }
        };
        if ids.is_empty() || longest > form.most {
            return Err(format!("its prompt has {longest} tokens; 1 to {} are possible (data.max_length)", form.most));
        }
        Ok(Self { item, ids, longest, opened })
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

    fn course(&self, prompt: &Prompt) -> Option<Box<dyn Course + '_>> {
        let Row { item, opened, .. } = &self.tasks[prompt.task].1[prompt.item];
        let (Opened { chunks, trail }, (answer, _)) = (opened.as_ref()?, self.memory?);
        Some(Box::new(Reading { item, chat: &self.chat, chunks, trail: trail.clone(), read: 0, again: None, answer }))
    }

    fn longest_prompt(&self) -> usize {
        self.tasks.iter().flat_map(|(_, rows)| rows).map(|row| row.longest).max().unwrap_or(1)
    }

    async fn score(&mut self, prompts: &[Prompt], rollouts: &[&Rollout]) -> Vec<Result<f64, String>> {
        let replies: Vec<String> = rollouts.iter().map(|rollout| self.chat.text(rollout.reply())).collect();
        let item = |(rollout, reply)| {
            let (rollout, reply): (&&Rollout, &String) = (rollout, reply);
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

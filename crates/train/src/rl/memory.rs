//! Items that are read as the agent of this project reads (§3): a document in chunks, notes from one to the next, an answer from the notes.
//!
//! Each turn is a row of its own; all share the reward of the answer. Nothing of a turn but its notes is there in the next.

use agent::{Mode, ReadSettings, Trail};
use data::{Item, MemoryOutcome, Message};
use tokenizer::Chunk;

use super::environment::{Course, Next, Turn};
use super::rollout::Rollout;
use crate::error::Result;
use crate::sft::ChatFormat;

/// Joined texts can take a few tokens more than their sum.
const JOINS: usize = 32;

/// How documents are read: the table `[memory]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Tokens of a chunk.
    pub chunk: usize,
    /// Tokens of the notes.
    pub memory: usize,
    /// Tokens of the plan.
    pub plan: usize,
    /// Prompts of a few words, without a plan: for small models.
    pub short: bool,
    /// Notes must be proven: [`ReadSettings::quotes`].
    pub quotes: bool,
}

impl Default for Memory {
    /// The paper's (§2.6, §3).
    fn default() -> Self {
        Self { chunk: 32 * 1024, memory: 15 * 1024, plan: 1024, short: false, quotes: false }
    }
}

impl Memory {
    /// As the agent takes it. `answer`: tokens of the answer.
    pub fn settings(&self, answer: usize) -> ReadSettings {
        let Self { chunk, memory, plan, short, quotes } = *self;
        let window = chunk + 2 * (memory + plan) + answer;
        // A window that holds a turn; training counts its own rows.
        ReadSettings {
            chunk,
            memory,
            plan,
            answer,
            short,
            quotes,
            mode: Mode::Memory,
            thinking: 0,
            ..ReadSettings::for_window(window, false)
        }
    }

    /// Tokens that the reply of a turn may have.
    pub fn limit(&self) -> usize {
        agent::update_limit(&self.settings(0))
    }
}

/// An item's document and what is asked of it. `extra.document` is the text, or where it stands in the prompt (`[start, end]`, bytes);
/// `extra.ask` what is asked: else the prompt without its document.
pub fn parts(item: &Item) -> std::result::Result<(&str, String), String> {
    let document = item.extra.get("document").ok_or(
        "[memory] reads documents: a row needs \"document\", the text or where it stands in the prompt ([start, end], in bytes); \
         `longhand data world` writes it",
    )?;
    let ask = item.extra.get("ask").and_then(|ask| ask.as_str()).map(str::to_string);
    if let Some(text) = document.as_str() {
        return Ok((text, ask.unwrap_or_else(|| item.prompt.clone())));
    }
    let place = |at: usize| document.get(at).and_then(serde_json::Value::as_u64).and_then(|at| usize::try_from(at).ok());
    let (start, end) = place(0).zip(place(1)).ok_or("\"document\" is neither a text nor [start, end]")?;
    let text = item.prompt.get(start..end).filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| format!("\"document\" is [{start}, {end}], and the prompt has no text there"))?;
    Ok((text, ask.unwrap_or_else(|| [&item.prompt[..start], &item.prompt[end..]].concat().trim().to_string())))
}

/// A document cut up, and its question on the way.
pub(crate) struct Opened {
    pub chunks: Vec<Chunk>,
    pub trail: Trail,
}

impl Opened {
    pub fn new(item: &Item, memory: &Memory, answer: usize, chat: &ChatFormat) -> std::result::Result<Self, String> {
        let (document, ask) = parts(item)?;
        let chunks = tokenizer::chunks(chat.tokenizer(), document, memory.chunk).map_err(|error| error.to_string())?;
        Ok(Self { chunks, trail: Trail::new(&ask, memory.settings(answer), chat.tokenizer()) })
    }

    /// The first turn's prompt.
    pub fn first(&self, item: &Item, chat: &ChatFormat) -> std::result::Result<Vec<u32>, String> {
        let (document, _) = parts(item)?;
        let chunk = self.chunks.first().ok_or("its document is empty")?;
        asked(&self.trail, &document[chunk.start..chunk.end], chat).map_err(|error| error.to_string())
    }

    /// Tokens that a turn's prompt may have, where the first one's has `first`.
    pub fn longest(&self, first: usize, memory: &Memory) -> usize {
        let tokens = |chunk: Option<&Chunk>| chunk.map_or(0, |chunk| chunk.tokens);
        let most = self.chunks.iter().map(|chunk| chunk.tokens).max().unwrap_or(0);
        first - tokens(self.chunks.first()).min(first) + most + memory.memory + memory.plan + JOINS
    }
}

fn asked(trail: &Trail, section: &str, chat: &ChatFormat) -> Result<Vec<u32>> {
    let (prompt, begun) = trail.ask(section);
    let mut ids = chat.prompt(&[Message::user(prompt)])?;
    if !begun.is_empty() {
        ids.extend(chat.plain(begun)?);
    }
    Ok(ids)
}

/// An item on its way through its chunks.
pub(super) struct Reading<'a> {
    pub item: &'a Item,
    pub chat: &'a ChatFormat,
    pub chunks: &'a [Chunk],
    pub trail: Trail,
    /// Chunks behind it.
    pub read: usize,
    /// The part of the chunk before that is looked at once more, after a note was refused.
    pub again: Option<String>,
    /// Tokens of the answer.
    pub answer: usize,
}

impl Reading<'_> {
    fn section(&self, number: usize) -> Option<&str> {
        let chunk = self.chunks.get(number)?;
        parts(self.item).ok().map(|(document, _)| &document[chunk.start..chunk.end])
    }
}

impl Course for Reading<'_> {
    fn next(&mut self, last: &Rollout) -> Result<Next> {
        let looked = self.again.take();
        let Some(section) = looked.clone().or_else(|| self.section(self.read).map(str::to_string)) else { return Ok(Next::default()) };
        let outcome = self.trail.take(&section, &self.chat.text(last.reply()), last.truncated)?;
        let broken = matches!(outcome, MemoryOutcome::MissingTags | MemoryOutcome::KeptPrevious | MemoryOutcome::RanOn { .. });
        if looked.is_none() {
            self.again = self.trail.again(&section, &outcome);
        }
        if let Some(part) = &self.again {
            let turn = Turn { ids: asked(&self.trail, part, self.chat)?, max_new_tokens: self.trail.limit() };
            return Ok(Next { turn: Some(turn), broken });
        }
        self.read += 1;
        let turn = match self.section(self.read) {
            Some(section) => Turn { ids: asked(&self.trail, section, self.chat)?, max_new_tokens: self.trail.limit() },
            None => Turn { ids: self.chat.prompt(&[Message::user(self.trail.conclude())])?, max_new_tokens: self.answer },
        };
        Ok(Next { turn: Some(turn), broken })
    }

    fn first_limit(&self) -> usize {
        self.trail.limit()
    }
}

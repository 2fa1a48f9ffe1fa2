//! Acts 2 and 3: three readers of documents that are longer than the window.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use data::{ChatModel, ChatRequest, Item, MemoryOutcome, Message, Sampling, StopReason};
use indicatif::{ProgressBar, ProgressStyle};
use kernels::attention::KvDType;
use model::source::Checkpoint;
use model::{ChatEngine, EngineSettings, Model};
use reward::Rule;
use serde_json::{Value, json};
use train::rl::memory::{Memory, parts};
use train::rl::score::{Scored, wilson};
use train::sft::ChatFormat;
use world::{Planted, World, WorldSettings, plant};

use crate::reproduce::length::TOKENS_OF_A_WORD;
use crate::score::{Reader, Way};

/// Changes of notes that are shown of a reader.
const SHOWN: usize = 12;

/// Tokens of an answer.
const ANSWER: usize = 24;

/// A model that was loaded, and how it reads.
pub struct Loaded {
    pub model: Arc<Model>,
    pub checkpoint: Checkpoint,
    pub chat: ChatFormat,
    pub kv: KvDType,
    /// Sections and notes.
    pub memory: Memory,
    /// Tokens of a document that it reads as a whole.
    pub window: usize,
}

/// The readers in the order of the tables.
pub const READERS: [&str; 3] = ["window alone", "agent before", "agent after"];

/// Documents that are looked at for one with a question about names.
const LOOKED_AT: u64 = 64;

/// A document of about so many words, with a question or with a sentence put in. The question is about names: years and amounts of the
/// held-out half are single tokens that no lesson had, and three in four of such questions are answered wrongly (EXPERIMENTS.md).
pub fn document(seed: u64, index: u64, words: usize, planted: Option<(&Planted, u64)>) -> Result<Item> {
    let world = World::new(WorldSettings { hops: [1, 2], ..WorldSettings::told_apart(seed, words) })?;
    let names = |item: &Item| {
        let ask = parts(item).map_or(String::new(), |(_, ask)| ask);
        !ask.contains(|c: char| c.is_ascii_digit()) && !item.answers.iter().any(|answer| answer.contains(|c: char| c.is_ascii_digit()))
    };
    let mut item = world.item(index * LOOKED_AT)?;
    for other in 1..LOOKED_AT {
        if names(&item) {
            break;
        }
        item = world.item(index * LOOKED_AT + other)?;
    }
    if let Some((planted, place)) = planted {
        let (text, _) = plant(parts(&item).map_err(anyhow::Error::msg)?.0, &[&planted.sentence], place);
        let before = format!("{}\n<text>\n", planted.question);
        item.extra.insert("document".into(), vec![before.len(), before.len() + text.len()].into());
        item.extra.insert("ask".into(), planted.question.clone().into());
        item.prompt = format!("{before}{text}\n</text>\n{}", planted.question);
        (item.answers, item.rule, item.hops) = (vec![planted.answer.clone()], "contain".into(), 1);
    }
    Ok(item)
}

/// How long a text is, in three measures.
pub fn lengths(text: &str) -> String {
    let words = text.split_whitespace().count();
    format!("{} bytes, {words} words, about {:.0} tokens of Qwen3", text.len(), words as f64 * TOKENS_OF_A_WORD)
}

/// One document, read by all three; the notes are shown as they change.
pub fn one(item: &Item, start: &Loaded, trained: &Loaded) -> Result<Value> {
    let begun = Instant::now();
    let (text, ask) = parts(item).map_err(anyhow::Error::msg)?;
    let answer = item.answers.first().map_or("", String::as_str);
    eprintln!("  {}; the window takes {} tokens", lengths(text), trained.window);
    eprintln!("  question: {ask}");
    let window = single(item, Way::Truncated, trained)?;
    let chunks = tokenizer::chunks(trained.chat.tokenizer(), text, trained.memory.chunk)?;
    let style =
        ProgressStyle::with_template("  {bar:24} section {pos} of {len}, {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(chunks.len() as u64).with_style(style);
    let mut agents = [Agent::new("before", start, &ask)?, Agent::new("after", trained, &ask)?];
    for (number, chunk) in chunks.iter().enumerate() {
        for agent in &mut agents {
            agent.section(&text[chunk.start..chunk.end], (number + 1, chunks.len()), &bar)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let [before, after] = agents.each_mut().map(|agent| agent.conclude());
    let replies = [window, before?, after?];
    let rule: Rule = item.rule.parse()?;
    let mut right = Vec::new();
    for (name, reply) in READERS.iter().zip(&replies) {
        let is_right = rule.score(reply, &item.answers) >= 1.0;
        right.push(is_right);
        eprintln!("  {name:<16} {}  {}", if is_right { "right" } else { "wrong" }, reply.replace('\n', " "));
    }
    eprintln!("  in the text: {answer}\n");
    Ok(json!({
        "bytes": text.len(), "words": text.split_whitespace().count(), "sections": chunks.len(), "question": ask, "answer": answer,
        "replies": replies, "right": right, "notes": agents[1].trail.memory(), "seconds": begun.elapsed().as_secs_f64(),
    }))
}

fn single(item: &Item, way: Way, reader: &Loaded) -> Result<String> {
    let scored = several(vec![item.clone()], way, reader, |_| {})?;
    Ok(scored.into_iter().next().map(|one| one.reply).unwrap_or_default())
}

fn several(items: Vec<Item>, way: Way, reader: &Loaded, done: impl FnMut(&Scored)) -> Result<Vec<Scored>> {
    let memory = if way == Way::Notes { reader.memory } else { Memory { chunk: reader.window, ..reader.memory } };
    let Loaded { model, chat, kv, .. } = reader;
    Reader { model, chat, kv: *kv, way, memory, max_new_tokens: ANSWER, together: 32 }.answer(items, || {}, done)
}

/// Twenty fresh documents, a question each, by all three readers.
pub fn many(seed: u64, count: u64, words: usize, start: &Loaded, trained: &Loaded) -> Result<Value> {
    let begun = Instant::now();
    let items: Vec<Item> = (0..count).map(|index| document(seed ^ 0x6d61_6e79, index, words, None)).collect::<Result<_>>()?;
    let text: usize = items.iter().map(|item| item.prompt.len()).sum();
    eprintln!("  {count} documents of {words} words, {} KB together, with names that no training has", text / 1000);
    let mut found = Vec::new();
    for (name, (way, reader)) in READERS.iter().zip([(Way::Truncated, trained), (Way::Notes, start), (Way::Notes, trained)]) {
        let bar = ProgressBar::new(count);
        let scored = several(items.clone(), way, reader, |_| bar.inc(1))?;
        bar.finish_and_clear();
        ensure!(scored.iter().all(|one| one.reward.is_ok()), "a question has no reward");
        let right: f64 = scored.iter().filter_map(|one| one.reward.as_ref().ok()).sum();
        let (low, high) = wilson(right, scored.len());
        eprintln!(
            "  {name:<16} {right:>2.0} of {count}   {:>3.0} % ({:.0} to {:.0})",
            100.0 * right / count as f64,
            100.0 * low,
            100.0 * high
        );
        found.push(json!({"reader": name, "right": right, "low": low, "high": high}));
    }
    eprintln!();
    Ok(json!({"documents": count, "words": words, "readers": found, "seconds": begun.elapsed().as_secs_f64()}))
}

/// A reader with notes, section by section.
struct Agent {
    name: &'static str,
    engine: ChatEngine,
    trail: agent::Trail,
    changes: usize,
}

impl Agent {
    fn new(name: &'static str, loaded: &Loaded, ask: &str) -> Result<Self> {
        let settings = EngineSettings::single(loaded.model.max_positions, loaded.kv);
        let engine = ChatEngine::new(loaded.model.clone(), &loaded.checkpoint, settings, name.into())?;
        Ok(Self { name, engine, trail: agent::Trail::new(ask, loaded.memory.settings(ANSWER), loaded.chat.tokenizer()), changes: 0 })
    }

    fn reply(&self, prompt: String, limit: usize) -> Result<data::ChatReply> {
        let request = ChatRequest::new(vec![Message::user(prompt)], Sampling::GREEDY, limit);
        Ok(pollster::block_on(self.engine.chat(&request, &mut |_| {}))?)
    }

    fn turn(&mut self, text: &str) -> Result<MemoryOutcome> {
        let (prompt, _) = self.trail.ask(text);
        let reply = self.reply(prompt, self.trail.limit())?;
        Ok(self.trail.take(text, &reply.text, reply.stop == StopReason::Length)?)
    }

    fn section(&mut self, text: &str, (number, all): (usize, usize), bar: &ProgressBar) -> Result<()> {
        let before = self.trail.memory().to_string();
        let outcome = self.turn(text)?;
        if let Some(part) = self.trail.again(text, &outcome) {
            self.turn(&part)?;
        }
        let after = self.trail.memory();
        if after != before {
            self.changes += 1;
            let line = match self.changes {
                n if n <= SHOWN => format!("  {number:>4}/{all} {:<6} {}", self.name, after.replace('\n', " ")),
                n if n == SHOWN + 1 => format!("  {number:>4}/{all} {:<6} … and so on", self.name),
                _ => return Ok(()),
            };
            match bar.is_hidden() {
                true => eprintln!("{line}"),
                false => bar.println(line),
            }
        }
        Ok(())
    }

    fn conclude(&mut self) -> Result<String> {
        Ok(self.reply(self.trail.conclude(), ANSWER)?.text)
    }
}

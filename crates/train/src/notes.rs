//! Lessons in reading with notes: for an item whose evidence is known, every turn of the agent with the reply an ideal reader gives.
//!
//! An ideal reader's notes are the sentences of the evidence that it has come past, in the order of the document; where a section brings
//! none, it keeps what it has. Where a row has `stated`, what each of them says in the question's words, it notes that instead: a small
//! model that has to find the beginning of a sentence by what stands at its end mistakes it for another. That supposes that each sentence can be seen to matter when it comes ([`world::WorldSettings::ordered`]).

use data::Item;

use crate::rl::memory::{Memory, Opened, parts};
use crate::sft::{ChatFormat, random};

/// One turn: a row of supervised training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// What the agent asks.
    pub prompt: String,
    /// What an ideal reader replies.
    pub answer: String,
    /// The item.
    pub id: String,
    /// The turn, from 0; the last one answers.
    pub turn: usize,
    /// Whether it brings something: the others keep the notes.
    pub brings: bool,
}

/// Why an item gives no lessons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unteachable {
    /// The row lacks something, or cannot be cut up.
    #[error("{0}")]
    Row(String),
    /// It has no evidence.
    #[error("it has no evidence: its ideal notes are not known")]
    NoEvidence,
    /// A section ends inside a sentence of the evidence.
    #[error("a section ends inside a sentence of its evidence")]
    Cut,
    /// The evidence does not fit the notes.
    #[error("its evidence takes more than the {0} tokens of the notes")]
    Long(usize),
}

/// The turns of an item. `memory.short` must be set: replies are in few words.
pub fn lessons(item: &Item, memory: &Memory, chat: &ChatFormat) -> Result<Vec<Lesson>, Unteachable> {
    if !memory.short {
        return Err(Unteachable::Row("ideal notes are written in few words: set short".into()));
    }
    let Opened { chunks, mut trail } = Opened::new(item, memory, memory.memory, chat).map_err(Unteachable::Row)?;
    let (document, _) = parts(item).map_err(Unteachable::Row)?;
    let stated = stated(item)?;
    let said = |(at, span): (usize, &data::Span)| {
        let said = stated
            .get(at)
            .filter(|said| !said.is_empty())
            .cloned()
            .or_else(|| document.get(span.start..span.end).map(str::to_string))
            .unwrap_or_default();
        (span.start, span.end, said)
    };
    let mut evidence: Vec<(usize, usize, String)> = item.evidence.iter().enumerate().map(said).collect();
    evidence.sort_unstable();
    evidence.dedup();
    if evidence.is_empty() {
        return Err(Unteachable::NoEvidence);
    }
    if let Some((start, end, _)) = evidence.iter().find(|(start, end, _)| document.get(*start..*end).is_none_or(str::is_empty)) {
        return Err(Unteachable::Row(format!("its evidence [{start}, {end}] is not in its document")));
    }
    let row = |error: tokenizer::TokenizerError| Unteachable::Row(error.to_string());
    let (mut lessons, mut notes, mut seen) = (Vec::new(), String::new(), 0);
    for (turn, chunk) in chunks.iter().enumerate() {
        let (prompt, begun) = trail.ask(&document[chunk.start..chunk.end]);
        debug_assert!(begun.is_empty());
        let before = seen;
        while let Some((start, _, said)) = evidence.get(seen).filter(|(_, end, _)| *end <= chunk.end) {
            if *start < chunk.start {
                return Err(Unteachable::Cut);
            }
            if !notes.is_empty() {
                notes.push(' ');
            }
            notes.push_str(said);
            seen += 1;
        }
        if chat.tokenizer().count(&notes).map_err(row)? > memory.memory {
            return Err(Unteachable::Long(memory.memory));
        }
        let brings = seen > before;
        let answer = if brings { notes.clone() } else { agent::SAME.to_string() };
        trail.take(&document[chunk.start..chunk.end], &answer, false).map_err(row)?;
        debug_assert_eq!(trail.memory(), notes);
        lessons.push(Lesson { prompt, answer, id: item.id.clone(), turn, brings });
    }
    let answer = item.answers.first().cloned().unwrap_or_default();
    lessons.push(Lesson { prompt: trail.conclude(), answer, id: item.id.clone(), turn: chunks.len(), brings: true });
    Ok(lessons)
}

/// What a row says that its evidence says; empty where it does not.
fn stated(item: &Item) -> Result<Vec<String>, Unteachable> {
    let Some(said) = item.extra.get("stated") else { return Ok(Vec::new()) };
    let said: Option<Vec<String>> = said.as_array().and_then(|said| said.iter().map(|one| one.as_str().map(str::to_string)).collect());
    said.filter(|said| said.len() == item.evidence.len())
        .ok_or_else(|| Unteachable::Row("its `stated` is no list of a text for each sentence of its evidence".into()))
}

/// Of the turns that keep the notes so many that they are about `share` of what is left, drawn from the seed and the item's id. Turns
/// that bring something all stay.
pub fn thin(lessons: Vec<Lesson>, share: f64, seed: u64) -> Vec<Lesson> {
    let brings = lessons.iter().filter(|lesson| lesson.brings).count() as f64;
    let keeps = lessons.len() as f64 - brings;
    let chance = if share >= 1.0 { 1.0 } else { (brings * share / (1.0 - share) / keeps.max(1.0)).min(1.0) };
    let drawn = |lesson: &Lesson| {
        let name = lesson.id.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        (random(name, 1, lesson.turn as u64) >> 11) as f64 / (1u64 << 53) as f64
    };
    lessons.into_iter().filter(|lesson| lesson.brings || drawn(lesson) < chance).collect()
}

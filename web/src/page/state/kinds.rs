//! The values that a reader's signals hold.

use agent::edits::Edits;
use data::{Citation, ReadEvent, Span};

use crate::protocol::{KeptModel, KeptRead, ModelChoice, Sharing};

/// What this browser has.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The WebGPU adapter.
    pub adapter: Option<String>,
    /// Bytes that may be kept, and those that are.
    pub quota: Option<(f64, f64)>,
    /// Kept models.
    pub models: Vec<KeptModel>,
    /// Kept reads, latest first.
    pub reads: Vec<KeptRead>,
    /// Who shares the engine.
    pub sharing: Sharing,
}

/// A section's turn.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The log's line: [`ReadEvent::Chunk`].
    pub line: ReadEvent,
    /// Of its memory.
    pub citations: Vec<Citation>,
    /// What a person made of its memory, change by change, with their citations.
    pub edits: Vec<(String, Vec<Citation>)>,
}

impl Turn {
    /// The notes after it, as a person left them.
    pub fn memory(&self) -> &str {
        if let Some((memory, _)) = self.edits.last() {
            return memory;
        }
        if let ReadEvent::Chunk { memory, .. } = &self.line { memory } else { "" }
    }

    /// Of these notes.
    pub fn citations(&self) -> &[Citation] {
        self.edits.last().map_or(&self.citations, |(_, citations)| citations)
    }

    /// Whether the notes are a person's.
    pub fn is_edited(&self) -> bool {
        !self.edits.is_empty()
    }

    /// The plan after it.
    pub fn plan(&self) -> &str {
        if let ReadEvent::Chunk { plan, .. } = &self.line { plan } else { "" }
    }

    /// The section.
    pub fn span(&self) -> Option<Span> {
        match &self.line {
            ReadEvent::Chunk { doc, start, end, .. } => Some(Span { doc: doc.clone(), start: *start, end: *end }),
            _ => None,
        }
    }
}

/// An answer and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The answer.
    pub text: String,
    /// What the documents say to it.
    pub citations: Vec<Citation>,
    /// Who answered, where that is another than who read.
    pub model: Option<String>,
    /// The changes that stood in the notes it was given from.
    pub from: Edits,
}

/// A question on its way.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// As asked; empty for an outline.
    pub text: String,
    /// Who reads, by the log's first line; empty before that.
    pub model: String,
    /// The log's own word for how it is read.
    pub style: String,
    /// Sections read, in order.
    pub turns: Vec<Turn>,
    /// The answer, when there is one.
    pub answer: Option<Answer>,
    /// All that were given, in order; [`Question::answer`] is the one that counts.
    pub answers: Vec<Answer>,
    /// What a person changed in its notes.
    pub edits: Edits,
    /// Of a question asked later: the changes that stood in the notes it was given, as [`agent::edits::fingerprint`] says them.
    pub given: String,
    /// Sections to read.
    pub planned: usize,
    /// Bytes read, all bytes.
    pub coverage: Option<(usize, usize)>,
    /// What was not read, once the read is over.
    pub skipped: Vec<Span>,
}

impl Question {
    /// Asked when the read was over: answered from the notes, or by reading sections again.
    pub fn is_later(&self) -> bool {
        self.is_from_notes() || self.style.ends_with("reread")
    }

    /// Answered from the notes alone.
    pub fn is_from_notes(&self) -> bool {
        self.style.ends_with("ask")
    }

    /// Each section's notes are its own.
    pub fn is_outline(&self) -> bool {
        self.style == "outline"
    }

    /// The answer that counts: the last one that was given from the notes as they are, or the last one of all.
    pub fn settle(&mut self) {
        let fitting = self.answers.iter().rev().find(|answer| self.is_later() || answer.from.is_same(&self.edits));
        self.answer = fitting.or(self.answers.last()).cloned();
    }

    /// Why its answer no longer goes with the notes. `edits` is the fingerprint of all that was changed in this read.
    pub fn stale(&self, edits: &str) -> Option<&'static str> {
        let answer = self.answer.as_ref()?;
        let (changed, undone) = match self.is_later() {
            true => (self.given != edits, edits.is_empty()),
            false => (!answer.from.is_same(&self.edits), !self.edits.goes_on_from(&answer.from)),
        };
        changed.then_some(match undone {
            true => "Given from the notes with an edit that you took back.",
            false => "Given from the notes before your edit.",
        })
    }

    /// What a person calls it.
    pub fn name(&self) -> String {
        if self.text.trim().is_empty() { "An outline of the document".into() } else { self.text.clone() }
    }
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// A model is loaded.
    Loading,
    /// A document is opened.
    Opening,
    /// The documents are read.
    Reading,
    /// A further question is answered, or one again.
    Asking,
    /// Notes are changed.
    Editing,
}

/// Sections that a further question would have read again.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// As asked.
    pub question: String,
    /// How much of what it names the notes name.
    pub share: f32,
    /// The sections.
    pub sections: Vec<Span>,
}

/// What can be tried again.
#[derive(Clone, Debug, PartialEq)]
pub enum Retry {
    /// A model.
    Load(ModelChoice),
    /// A sample of this seed and length.
    Sample(u64, usize),
    /// A kept read.
    Kept(String),
    /// A read, from where it stopped.
    Read(Vec<String>),
    /// A further question, with the sections read again or not.
    Ask(String, bool),
    /// A question again, by its number.
    Again(usize),
}

/// A host that something was asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// With its port.
    pub host: String,
    /// What for.
    pub why: Why,
}

/// What a host was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A model's files.
    Weights,
    /// To read: sections, notes and questions go there.
    Reads,
}

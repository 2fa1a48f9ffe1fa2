//! What the log of an earlier run says.

use data::ReadEvent;

use super::ReadError;
use crate::edits::{Edits, answered, is_later};

/// The log of an earlier run, taken apart.
#[derive(Default)]
pub struct Past {
    /// The planned number of chunks; `None` where there was no run.
    pub chunks: Option<usize>,
    /// (start, end, memory, plan) of each chunk that was read, the memory as a person left it.
    pub read: Vec<(usize, usize, String, String)>,
    /// Whether the last memory is a person's.
    pub edited: bool,
    /// The answer from these notes, where the run came to it.
    pub answer: Option<String>,
    /// Of a question asked later: the changes that stood in the notes it was given.
    pub edits: String,
    /// Who read.
    pub model: Option<String>,
}

impl Past {
    /// Takes the log of a read apart; refuses what is none.
    pub fn new(log: &[ReadEvent]) -> Result<Self, ReadError> {
        let Some((first, rest)) = log.split_first() else { return Ok(Self::default()) };
        let ReadEvent::Started { chunks, model, .. } = first else { return Err(ReadError::OtherRead("its first line")) };
        let mut out = Self { chunks: Some(*chunks), model: Some(model.clone()), ..Self::default() };
        let later = is_later(log);
        let mut edits = Edits::default();
        // What stood when each answer was given.
        let mut answers: Vec<Edits> = Vec::new();
        for event in rest {
            let fits = match event {
                ReadEvent::Chunk { index, start, end, memory, plan, .. }
                    if *index == out.read.len() && *index < *chunks && answers.is_empty() =>
                {
                    out.read.push((*start, *end, memory.clone(), plan.clone()));
                    true
                }
                ReadEvent::Selected { .. } => out.read.is_empty() && answers.is_empty(),
                ReadEvent::Answer { .. } if !answers.iter().any(|from| from.is_same(&edits)) => {
                    answers.push(edits.clone());
                    true
                }
                ReadEvent::Given { edits } if later => {
                    (out.read, out.edits) = (Vec::new(), edits.clone());
                    answers.clear();
                    true
                }
                ReadEvent::Edited { .. } | ReadEvent::Undone => !later,
                _ => false,
            };
            if !edits.take(event) || !fits {
                return Err(ReadError::OtherRead("the order of its lines"));
            }
        }
        for (index, (_, _, memory, _)) in out.read.iter_mut().enumerate() {
            if let Some(edited) = edits.after(index) {
                *memory = edited.into();
            }
        }
        out.edited = edits.can_undo();
        out.answer = answered(log, &out.edits).filter(|answered| !answered.stale).and_then(|answered| match &log[answered.line] {
            ReadEvent::Answer { text, .. } => Some(text.clone()),
            _ => None,
        });
        Ok(out)
    }
}

//! What a person made of the notes: a log's changes that stand, as its lines go by.
//!
//! Only the notes after the last section that was read can be changed, and only such a change can be taken back: later notes are made
//! from it.

use data::ReadEvent;

use crate::tags::neutralise;

/// The changes of one log that stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// The section that was read last, from 0.
    last: Option<usize>,
    /// (section, its notes), the last made last.
    standing: Vec<(usize, String)>,
}

impl Edits {
    /// Those of a whole log.
    pub fn of<'a>(log: impl IntoIterator<Item = &'a ReadEvent>) -> Self {
        let mut edits = Self::default();
        for event in log {
            edits.take(event);
        }
        edits
    }

    /// Takes the next line in; `false` for a change of notes that are not the last ones, or one taken back that was never made.
    pub fn take(&mut self, event: &ReadEvent) -> bool {
        match event {
            ReadEvent::Started { .. } | ReadEvent::Given { .. } => *self = Self::default(),
            ReadEvent::Chunk { index, .. } => self.last = Some(*index),
            ReadEvent::Edited { index, memory } if Some(*index) == self.last => self.standing.push((*index, memory.clone())),
            ReadEvent::Undone if self.can_undo() => drop(self.standing.pop()),
            ReadEvent::Edited { .. } | ReadEvent::Undone => return false,
            ReadEvent::Selected { .. } | ReadEvent::Answer { .. } => {}
        }
        true
    }

    /// The notes after a section, where a person changed them.
    pub fn after(&self, section: usize) -> Option<&str> {
        self.standing.iter().rev().find(|(index, _)| *index == section).map(|(_, memory)| memory.as_str())
    }

    /// Whether the last notes are a person's, so that there is something to take back.
    pub fn can_undo(&self) -> bool {
        self.standing.last().is_some_and(|(index, _)| Some(*index) == self.last)
    }

    /// Whether no change stands.
    pub fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    /// Whether the same changes stand.
    pub fn is_same(&self, other: &Self) -> bool {
        self.standing == other.standing
    }

    /// Whether all changes of `other` stand here too: nothing was taken back since.
    pub fn goes_on_from(&self, other: &Self) -> bool {
        self.standing.starts_with(&other.standing)
    }
}

/// The line that makes `memory` the last notes of a log; `None` where they are that already, or there are none. The prompt's own tags get
/// square brackets, as those of a document do.
pub fn edit(log: &[ReadEvent], memory: &str) -> Option<ReadEvent> {
    let memory = neutralise(memory.trim());
    let last =
        log.iter().rev().find_map(|event| if let ReadEvent::Chunk { index, memory, .. } = event { Some((*index, memory)) } else { None });
    let (index, own) = last?;
    let now = Edits::of(log);
    (now.after(index).unwrap_or(own) != memory).then_some(ReadEvent::Edited { index, memory })
}

/// Whether a log is of a question asked later, by its first line.
pub fn is_later(log: &[ReadEvent]) -> bool {
    matches!(log.first(), Some(ReadEvent::Started { style, .. }) if style.ends_with("ask") || style.ends_with("reread"))
}

/// A fingerprint of what stands in all logs of a read, in their order; empty where nothing does.
pub fn fingerprint<'a>(all: impl IntoIterator<Item = &'a Edits>) -> String {
    let mut hash = crate::reader::Fnv::default();
    let mut none = true;
    for (number, edits) in all.into_iter().enumerate() {
        for (index, memory) in &edits.standing {
            none = false;
            hash.add(format!("{number} {index} {} ", memory.len()).bytes());
            hash.add(memory.bytes());
        }
    }
    if none { String::new() } else { hash.hex() }
}

/// As [`fingerprint`], of the logs of a read and of the questions asked later, which have no changes of their own.
pub fn standing<'a>(logs: impl IntoIterator<Item = &'a [ReadEvent]>) -> String {
    let own: Vec<Edits> = logs.into_iter().filter(|log| !is_later(log)).map(Edits::of).collect();
    fingerprint(&own)
}

/// The answer of a log that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its line, from 0.
    pub line: usize,
    /// The notes that it was given from are not those there are now.
    pub stale: bool,
}

/// The last answer that was given from the notes as they are now; where none was, the last one, which is stale. `edits` is [`standing`] of
/// all logs.
pub fn answered(log: &[ReadEvent], edits: &str) -> Option<Answered> {
    let mut now = Edits::default();
    let mut given = "";
    let mut answers: Vec<(usize, Edits)> = Vec::new();
    for (line, event) in log.iter().enumerate() {
        now.take(event);
        match event {
            ReadEvent::Given { edits } => {
                given = edits;
                answers.clear();
            }
            ReadEvent::Answer { .. } => answers.push((line, now.clone())),
            _ => {}
        }
    }
    let (last, _) = answers.last()?;
    if is_later(log) {
        return Some(Answered { line: *last, stale: given != edits });
    }
    let fitting = answers.iter().rev().find(|(_, from)| from.is_same(&now));
    Some(fitting.map_or(Answered { line: *last, stale: true }, |(line, _)| Answered { line: *line, stale: false }))
}

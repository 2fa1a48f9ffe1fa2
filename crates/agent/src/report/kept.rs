//! What a read leaves behind: its documents, a log for each question, and what was asked later.

use data::{Document, ReadEvent, Span};

use super::whole;
use crate::edits::{Edits, is_later, standing};

/// A kept read. No model is needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What was read.
    pub documents: Vec<Document>,
    /// Each question's log, in the order they were asked; later questions last. Never empty.
    pub logs: Vec<Log>,
}

/// A question's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `events.jsonl`, `events-2.jsonl`, `asks/….jsonl`: its file inside the run's folder, with `/`.
    pub name: String,
    /// Asked when the read was over.
    pub later: bool,
    /// Its lines; at least the first.
    pub events: Vec<ReadEvent>,
}

/// Why documents and logs are no kept read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// Nothing was read.
    #[error("there is no log with a line in it: this is no kept read")]
    NoLog,
    /// A log does not begin as the log of a read does.
    #[error("{log} holds no read")]
    NoRead {
        /// Its name.
        log: String,
    },
    /// A log names other documents, or other lengths of them.
    #[error("{log} was made from other documents than these")]
    OtherDocuments {
        /// Its name.
        log: String,
    },
    /// A log says that something was read which does not stand in its documents.
    #[error("{log}, line {line}: bytes {}..{} are no part of the document {}", span.start, span.end, span.doc)]
    Outside {
        /// Its name.
        log: String,
        /// From 1.
        line: usize,
        /// What it names.
        span: Span,
    },
    /// A log says that notes were changed, and has no such notes there.
    #[error("{log}, line {line}: a change of notes that are not there")]
    NoNotes {
        /// Its name.
        log: String,
        /// From 1.
        line: usize,
    },
}

impl Kept {
    /// Documents and logs, once it is certain that they belong together. Logs without a line are left out: their reads never began.
    pub fn new(documents: Vec<Document>, mut logs: Vec<Log>) -> Result<Self, KeptError> {
        logs.retain(|log| !log.events.is_empty());
        logs.iter().try_for_each(|log| log.check(&documents))?;
        if logs.is_empty() { Err(KeptError::NoLog) } else { Ok(Self { documents, logs }) }
    }

    /// Every event of every log.
    pub fn events(&self) -> impl Iterator<Item = &ReadEvent> {
        self.logs.iter().flat_map(|log| &log.events)
    }

    /// The chunks of the first log that has any, in order.
    pub fn chunks(&self) -> Vec<Span> {
        let spans = |log: &Log| -> Vec<Span> { log.events.iter().filter_map(chunk).collect() };
        self.logs.iter().map(spans).find(|spans| !spans.is_empty()).unwrap_or_default()
    }

    /// What was read of the documents, over all logs.
    pub fn read(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for log in &self.logs {
            let log = &log.events;
            let Some(ReadEvent::Started { chunks, style, .. }) = log.first() else { continue };
            let ended = log.iter().any(|event| matches!(event, ReadEvent::Answer { .. }));
            let parts = log.iter().any(|event| matches!(event, ReadEvent::Selected { .. }));
            if *chunks == 0 && ended && !parts && style != "ask" {
                spans.extend(whole(&self.documents));
            }
            for event in log {
                match event {
                    ReadEvent::Selected { spans: seen } if *chunks == 0 => spans.extend(seen.iter().cloned()),
                    _ => spans.extend(chunk(event)),
                }
            }
        }
        spans
    }

    /// What a person changed in the notes and did not take back, as one word; empty where nothing was changed.
    pub fn edits(&self) -> String {
        standing(self.logs.iter().map(|log| log.events.as_slice()))
    }

    /// Seconds a token of a chunk's turn took, where the logs say.
    pub fn seconds_per_token(&self) -> Option<f64> {
        let (mut seconds, mut tokens) = (0.0, 0_usize);
        for event in self.events() {
            if let ReadEvent::Chunk { seconds: Some(took), tokens: read, .. } = event {
                seconds += f64::from(*took);
                tokens = tokens.saturating_add(*read);
            }
        }
        (tokens > 0).then(|| seconds / tokens as f64)
    }
}

impl Log {
    /// Whether it begins as a read does, of these documents, and nothing was read that does not stand in them.
    fn check(&self, documents: &[Document]) -> Result<(), KeptError> {
        let log = || self.name.clone();
        let Some(ReadEvent::Started { documents: named, .. }) = self.events.first() else {
            return Err(KeptError::NoRead { log: log() });
        };
        let there = documents.iter().map(|document| (&document.id, document.text.len()));
        if !named.iter().map(|(id, _, bytes)| (id, *bytes)).eq(there) {
            return Err(KeptError::OtherDocuments { log: log() });
        }
        let (mut edits, later) = (Edits::default(), is_later(&self.events));
        for (number, event) in self.events.iter().enumerate() {
            let changes = matches!(event, ReadEvent::Edited { .. } | ReadEvent::Undone);
            if !edits.take(event) || (changes && later) {
                return Err(KeptError::NoNotes { log: log(), line: number + 1 });
            }
            let selected = if let ReadEvent::Selected { spans } = event { spans.as_slice() } else { &[] };
            let outside = |span: &Span| {
                let document = documents.iter().find(|document| document.id == span.doc);
                document.and_then(|document| document.text.get(span.start..span.end)).is_none()
            };
            if let Some(span) = chunk(event).into_iter().chain(selected.iter().cloned()).find(outside) {
                return Err(KeptError::Outside { log: log(), line: number + 1, span });
            }
        }
        Ok(())
    }
}

/// The section that was read.
fn chunk(event: &ReadEvent) -> Option<Span> {
    match event {
        ReadEvent::Chunk { doc, start, end, .. } => Some(Span { doc: doc.clone(), start: *start, end: *end }),
        _ => None,
    }
}

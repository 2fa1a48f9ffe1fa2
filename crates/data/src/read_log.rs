use serde::{Deserialize, Serialize};

use crate::{Sampling, Span, Usage};

/// What became of a model's memory reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum MemoryOutcome {
    /// Taken as it was.
    Updated,
    /// The same as before.
    Unchanged,
    /// No complete `<memory>` tags: the text there was is the memory.
    MissingTags,
    /// Empty: the previous memory stays.
    KeptPrevious,
    /// Lines said over and over, or an ending in circles, were kept once.
    Collapsed {
        /// Lines and rounds dropped.
        removed: usize,
    },
    /// A read that asks for quotes: notes whose quotes do not stand in what was read were dropped.
    Unproven {
        /// Notes dropped.
        removed: usize,
    },
    /// Over budget and cut off: the notes before, and the new sentences that name what the question names.
    RanOn {
        /// The length of what was said, in tokens.
        tokens: usize,
    },
    /// Over budget: cut at a sentence.
    Truncated {
        /// Its length before, in tokens.
        tokens: usize,
    },
}

/// One line of a read's append-only log (`events.jsonl`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum ReadEvent {
    /// The first line: everything the result depends on.
    Started {
        /// [`ReadEvent::VERSION`].
        version: u32,
        /// The model's name.
        model: String,
        /// As asked.
        question: String,
        /// (id, hash of the text as the model sees it, bytes).
        documents: Vec<(String, String, usize)>,
        /// Tokens.
        window: usize,
        /// Tokens.
        chunk: usize,
        /// Tokens.
        memory: usize,
        /// Tokens.
        plan: usize,
        /// Tokens.
        thinking: usize,
        /// Tokens.
        answer: usize,
        /// Chunks to read; 0 for a single pass.
        chunks: usize,
        /// How tokens are chosen.
        sampling: Sampling,
        /// Empty for the paper's way; else `quotes`, `memagent`, `truncate`, `retrieve`,
        /// `outline` (each chunk's memory is its own notes), `ask` (answered from notes) or `reread` (only the selected spans were read).
        #[serde(default, skip_serializing_if = "String::is_empty")]
        style: String,
    },
    /// What a read of a part of the documents sees.
    Selected {
        /// In the documents' order.
        spans: Vec<Span>,
    },
    /// A chunk was read.
    Chunk {
        /// 0-based.
        index: usize,
        /// Document id.
        doc: String,
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
        /// Document tokens.
        tokens: usize,
        /// The model's whole reply.
        reply: String,
        /// The memory now.
        memory: String,
        /// The plan now.
        plan: String,
        /// What was done to the reply.
        outcome: MemoryOutcome,
        /// Tokens of the call.
        usage: Usage,
        /// Wall-clock seconds of the turn, where the log's keeper took the time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f32>,
    },
    /// The answer.
    Answer {
        /// Thinking stripped.
        text: String,
        /// The model's whole reply.
        reply: String,
        /// Tokens of the call.
        usage: Usage,
        /// Wall-clock seconds of the turn, where the log's keeper took the time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f32>,
        /// The model's name, where it is another than the first line's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// A person changed the notes after the last section that was read. What follows is made from the changed notes; an answer before it was
    /// given from the notes as they were.
    Edited {
        /// The section's number, 0-based.
        index: usize,
        /// The notes now.
        memory: String,
    },
    /// The last [`ReadEvent::Edited`] that stands after the same section is taken back.
    Undone,
    /// Of a question asked later: from here on it is answered from notes that a person changed. What the log has before counts no more.
    Given {
        /// Fingerprint of the changes that stood then; empty where none did.
        edits: String,
    },
}

impl ReadEvent {
    /// The schema's version.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_a_round_trip_and_old_lines_keep_their_meaning() {
        let line = r#"{"event":"chunk","index":3,"doc":"a","start":10,"end":20,"tokens":4,"reply":"r","memory":"m","plan":"p","outcome":{"kind":"truncated","tokens":900},"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        let event: ReadEvent = serde_json::from_str(line).unwrap();
        assert!(matches!(&event, ReadEvent::Chunk { index: 3, outcome: MemoryOutcome::Truncated { tokens: 900 }, .. }));
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        let line = r#"{"event":"answer","text":"t","reply":"r","usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        let event: ReadEvent = serde_json::from_str(line).unwrap();
        assert!(matches!(&event, ReadEvent::Answer { model: None, seconds: None, .. }));
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }

    #[test]
    fn a_persons_lines_are_read_as_they_were_written() {
        let lines = [r#"{"event":"edited","index":2,"memory":"m"}"#, r#"{"event":"undone"}"#, r#"{"event":"given","edits":"00ff"}"#];
        for line in lines {
            let event: ReadEvent = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), line);
        }
        // Planted: lines that lack what they need, and a kind of a time to come.
        for line in
            [r#"{"event":"edited","memory":"m"}"#, r#"{"event":"edited","index":2}"#, r#"{"event":"given"}"#, r#"{"event":"redone"}"#]
        {
            assert!(serde_json::from_str::<ReadEvent>(line).is_err(), "{line}");
        }
    }
}

//! A kept read in one file, `my-read.longhand`: JSON lines.
//!
//! ```text
//! {"longhand":"read","version":1,"lines":5}      lines that follow: a file that was cut off is noticed
//! {"document":{"id":"a","source":"a.txt",…}}     the documents
//! {"log":"events.jsonl","later":false}           a log, and its lines as they stand in the run's folder
//! {"event":"started",…}
//! {"event":"chunk",…}
//! {"event":"answer",…}
//! ```

use data::Document;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Kept, KeptError, Log};

/// The version of the form that [`pack`] writes.
pub const VERSION: u64 = 1;

/// Why a text is no kept read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// Something else than a packed read.
    #[error("this is no kept read: its first line is not {{\"longhand\":\"read\",…}}")]
    NoRead,
    /// Written by a later Longhand.
    #[error("this kept read is of version {version}, and this Longhand knows version {VERSION}: open it with a newer one")]
    Newer {
        /// The file's.
        version: u64,
    },
    /// Fewer or more lines than the first line says.
    #[error("the file has {found} lines after its first, and not {expected}: it was cut off, or joined with another")]
    Lines {
        /// As the first line says.
        expected: u64,
        /// As there are.
        found: u64,
    },
    /// A line that does not belong there.
    #[error("line {line}: {problem}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// No log has a line.
    #[error("the file holds documents, and no read of them")]
    NoLog,
}

/// The kept read as the text of one file.
pub fn pack(kept: &Kept) -> String {
    let mut lines: Vec<String> = kept.documents.iter().map(|document| format!("{{\"document\":{}}}", line(document))).collect();
    for log in &kept.logs {
        lines.push(json!({"log": log.name, "later": log.later}).to_string());
        lines.extend(log.events.iter().map(line));
    }
    let first = json!({"longhand": "read", "version": VERSION, "lines": lines.len()}).to_string();
    std::iter::once(&first).chain(&lines).flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// A record as one line, numbers as a log has them.
fn line(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("records have names for keys, and no other kind of value fails")
}

/// The kept read in a file's text, whoever wrote it.
pub fn unpack(text: &str) -> Result<Kept, UnpackError> {
    let mut lines = text.lines().enumerate();
    let first = lines.next().map_or("", |(_, line)| line);
    let header: Map<String, Value> = serde_json::from_str(first).map_err(|_| UnpackError::NoRead)?;
    let version = header.get("version").and_then(Value::as_u64).filter(|_| header.get("longhand") == Some(&json!("read")));
    match version.ok_or(UnpackError::NoRead)? {
        VERSION => {}
        version if version > VERSION => return Err(UnpackError::Newer { version }),
        _ => return Err(UnpackError::NoRead),
    }
    // Before the lines: of a file that was cut off that is what its reader has to know.
    let found = lines.clone().count() as u64;
    if let Some(expected) = header.get("lines").and_then(Value::as_u64).filter(|&expected| expected != found) {
        return Err(UnpackError::Lines { expected, found });
    }
    let mut parts = Parts::default();
    for (number, line) in lines {
        parts.add(number + 1, line).map_err(|problem| UnpackError::Line { line: number + 1, problem })?;
    }
    parts.kept()
}

/// What was unpacked so far.
#[derive(Default)]
struct Parts {
    documents: Vec<Document>,
    logs: Vec<Log>,
    /// The line at which each log begins.
    begins: Vec<usize>,
}

impl Parts {
    fn add(&mut self, number: usize, line: &str) -> Result<(), String> {
        let mut fields: Map<String, Value> = serde_json::from_str(line).map_err(|error| without_place(&error))?;
        if fields.contains_key("event") {
            let log = self.logs.last_mut().ok_or("an event before the log that it is of")?;
            log.events.push(record(fields.into())?);
        } else if let Some(document) = fields.remove("document") {
            if !self.logs.is_empty() {
                return Err("a document after a log: documents come first".into());
            }
            self.documents.push(record(document)?);
        } else if let Some(name) = fields.remove("log") {
            let name: String = record(name)?;
            if self.logs.iter().any(|log| log.name == name) {
                return Err(format!("a second log with the name {name}"));
            }
            let later = fields.get("later").and_then(Value::as_bool).ok_or("a log that does not say whether it was asked later")?;
            self.logs.push(Log { name, later, events: Vec::new() });
            self.begins.push(number);
        } else {
            return Err("neither a document, a log nor an event".into());
        }
        Ok(())
    }

    fn kept(self) -> Result<Kept, UnpackError> {
        let begins: Vec<(String, usize)> = self.logs.iter().map(|log| log.name.clone()).zip(self.begins).collect();
        Kept::new(self.documents, self.logs).map_err(|error| {
            let (log, line) = match &error {
                KeptError::NoLog => return UnpackError::NoLog,
                KeptError::NoRead { log } | KeptError::OtherDocuments { log } => (log, 1),
                KeptError::Outside { log, line, .. } | KeptError::NoNotes { log, line } => (log, *line),
            };
            let begin = begins.iter().find(|(name, _)| name == log).map_or(0, |(_, begin)| *begin);
            let problem = match &error {
                KeptError::Outside { span, .. } => {
                    format!("bytes {}..{} are no part of the document {}", span.start, span.end, span.doc)
                }
                KeptError::NoNotes { .. } => "a change of notes that are not there".into(),
                error => error.to_string(),
            };
            UnpackError::Line { line: begin + line, problem }
        })
    }
}

fn record<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The error without its line, which counts from the line that was parsed.
fn without_place(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    format!("{}, at column {}", said.strip_suffix(&place).unwrap_or(&said), error.column())
}

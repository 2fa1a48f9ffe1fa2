//! A file of rows: JSONL or Parquet, each row a conversation.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use data::{Message, Role};
use serde_json::Value;

use super::parquet::ParquetRows;
use crate::config::Format;

/// A conversation as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Line of a JSONL file, row of a Parquet file; from 1.
    pub line: u64,
    /// Its turns; at least one.
    pub messages: Vec<Message>,
    /// The first turn that may count: 0 of `messages`; the answer's of `prompt` and `answer`, whose earlier turns are all question.
    pub from: usize,
}

/// What is wrong with a file of rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// It cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// Path.
        file: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// It is of another form.
    #[error("{file}: {message}")]
    Form {
        /// Path.
        file: String,
        /// What it is, and what to do.
        message: String,
    },
    /// A row does not say what it should.
    #[error("{file}:{line}: {}{message}", named(.field))]
    Row {
        /// Path.
        file: String,
        /// Line of a JSONL file, row of a Parquet file; from 1.
        line: u64,
        /// Column and what is inside, as `messages[1].role`; empty for the row as a whole.
        field: String,
        /// What is wrong with it.
        message: String,
    },
}

fn named(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("`{field}` ") }
}

/// A field and what is wrong with it.
pub(super) type Fault = (String, String);

/// The rows of a file, in its order. A bad row is an error and the rows after it follow; after the file's own errors nothing does.
pub struct Rows {
    file: String,
    source: Source,
    ignored: BTreeMap<String, u64>,
}

enum Source {
    Jsonl { reader: BufReader<File>, line: u64 },
    Parquet(Box<ParquetRows>),
    Ended,
}

impl Rows {
    /// Opens a file.
    pub fn open(path: &Path, format: Format) -> Result<Self, RowError> {
        let name = path.display().to_string();
        let io = |source| RowError::Io { file: name.clone(), source };
        let mut file = File::open(path).map_err(io)?;
        let mut head = Vec::new();
        file.by_ref().take(4).read_to_end(&mut head).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let is_parquet = head == b"PAR1";
        let form = |message: &str| RowError::Form { file: name.clone(), message: message.into() };
        let source = match (format, is_parquet) {
            (Format::Jsonl, true) => return Err(form("is Parquet: set the format to parquet or auto")),
            (Format::Parquet, false) => return Err(form("is not Parquet, which begins with PAR1: set the format to jsonl or auto")),
            (_, true) => {
                Source::Parquet(Box::new(ParquetRows::open(file).map_err(|message| RowError::Form { file: name.clone(), message })?))
            }
            (_, false) => Source::Jsonl { reader: BufReader::with_capacity(1 << 16, file), line: 0 },
        };
        let mut rows = Self { file: name, source, ignored: BTreeMap::new() };
        if let Source::Parquet(parquet) = &rows.source {
            rows.ignored.extend(parquet.ignored.iter().map(|column| (column.clone(), 1)));
        }
        Ok(rows)
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Columns met so far that mean nothing here, each with the first row that has it. Fields of messages are `messages[].name`.
    pub fn ignored(&self) -> &BTreeMap<String, u64> {
        &self.ignored
    }

    /// The next line that holds something, without its end.
    fn next_line(&mut self) -> Option<Result<(u64, Vec<u8>), RowError>> {
        let Source::Jsonl { reader, line } = &mut self.source else { return None };
        loop {
            let mut bytes = Vec::new();
            match reader.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(_) => *line += 1,
                Err(source) => {
                    self.source = Source::Ended;
                    return Some(Err(RowError::Io { file: self.file.clone(), source }));
                }
            }
            if *line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
            if !bytes.trim_ascii().is_empty() {
                return Some(Ok((*line, bytes)));
            }
        }
    }

    fn row(&mut self, line: u64, value: Result<Value, Fault>) -> Result<Row, RowError> {
        let ignored = &mut self.ignored;
        let mut note = |column| {
            ignored.entry(column).or_insert(line);
        };
        let read = value.and_then(|value| conversation(&value, &mut note));
        match read {
            Ok((messages, from)) => Ok(Row { line, messages, from }),
            Err((field, message)) => Err(RowError::Row { file: self.file.clone(), line, field, message }),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Ended => None,
            Source::Parquet(parquet) => match parquet.next()? {
                Ok((line, value)) => Some(self.row(line, Ok(value))),
                Err(message) => {
                    self.source = Source::Ended;
                    Some(Err(RowError::Form { file: self.file.clone(), message }))
                }
            },
            Source::Jsonl { .. } => {
                let (line, bytes) = match self.next_line()? {
                    Ok(found) => found,
                    Err(error) => return Some(Err(error)),
                };
                if line == 1 && bytes.trim_ascii().starts_with(b"[") {
                    self.source = Source::Ended;
                    let message = "begins with `[`: one JSON object a line is wanted, not a list of them".to_string();
                    return Some(Err(RowError::Form { file: self.file.clone(), message }));
                }
                let value = serde_json::from_slice(bytes.trim_ascii_end()).map_err(|error| (String::new(), json_message(&error, &bytes)));
                Some(self.row(line, value))
            }
        }
    }
}

/// The parser's words, with the column instead of its line 1.
fn json_message(error: &serde_json::Error, bytes: &[u8]) -> String {
    if let Err(utf8) = std::str::from_utf8(bytes) {
        return format!("is not UTF-8 at byte {} of the line: write the file as UTF-8", utf8.valid_up_to() + 1);
    }
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or(&text);
    format!("is not JSON at column {}: {words}; one whole object a line is wanted", error.column())
}

/// A row's turns, and the first that may count. `ignored` hears of every column that means nothing here.
pub fn conversation(row: &Value, ignored: &mut dyn FnMut(String)) -> Result<(Vec<Message>, usize), Fault> {
    let whole = |message: String| (String::new(), message);
    let columns = row.as_object().ok_or_else(|| whole(format!("is {}, not an object: {WANTED} is wanted", kind(row))))?;
    let column = |name: &str| columns.get(name).filter(|value| !value.is_null());
    let used: &[&str] = if column("messages").is_some() { &["messages"] } else { &["prompt", "answer"] };
    for name in columns.keys().filter(|name| !used.contains(&name.as_str())) {
        ignored(name.clone());
    }
    if let Some(value) = column("messages") {
        // Both would be two conversations, and one of them lost.
        if column("prompt").is_some() && column("answer").is_some() {
            return Err(whole("has `messages` and also `prompt` and `answer`: keep one form".into()));
        }
        return Ok((messages(value, "messages", ignored)?, 0));
    }
    match (column("prompt"), column("answer")) {
        (Some(prompt), Some(answer)) => {
            let mut turns = match prompt {
                Value::String(text) => vec![Message::user(text.clone())],
                list => messages(list, "prompt", ignored)?,
            };
            let text = answer.as_str().ok_or_else(|| ("answer".to_string(), format!("is {}, not a text", kind(answer))))?;
            turns.push(Message::assistant(text));
            let from = turns.len() - 1;
            Ok((turns, from))
        }
        (Some(_), None) => Err(("answer".into(), "is missing beside `prompt`".into())),
        (None, Some(_)) => Err(("prompt".into(), "is missing beside `answer`".into())),
        (None, None) => {
            let names: Vec<String> = columns.keys().take(8).map(|name| format!("{name:?}")).collect();
            let there = if names.is_empty() { "no column".into() } else { names.join(", ") };
            Err(whole(format!("has {there}: {WANTED} is wanted")))
        }
    }
}

const WANTED: &str = "`messages`, or `prompt` and `answer`,";

fn messages(value: &Value, at: &str, ignored: &mut dyn FnMut(String)) -> Result<Vec<Message>, Fault> {
    let wrong = |value: &Value| (at.to_string(), format!("is {}, not a list of {{\"role\", \"content\"}}", kind(value)));
    let list = value.as_array().ok_or_else(|| wrong(value))?;
    if list.is_empty() {
        return Err((at.into(), "is an empty list".into()));
    }
    list.iter().enumerate().map(|(number, turn)| message(turn, &format!("{at}[{number}]"), at, ignored)).collect()
}

fn message(turn: &Value, at: &str, list: &str, ignored: &mut dyn FnMut(String)) -> Result<Message, Fault> {
    let keys = turn.as_object().ok_or_else(|| (at.to_string(), format!("is {}, not an object with `role` and `content`", kind(turn))))?;
    for (key, value) in keys.iter().filter(|(key, value)| !["role", "content"].contains(&key.as_str()) && !value.is_null()) {
        // Half of a turn is not a turn to learn from.
        let lost = match key.as_str() {
            "tool_calls" | "function_call" if !is_empty(value) => "cannot be trained on: tools are not supported",
            "reasoning_content" | "thinking" if !is_empty(value) => {
                "would be lost: put it into `content`, as the model writes it (<think>…</think>)"
            }
            _ => {
                ignored(format!("{list}[].{key}"));
                continue;
            }
        };
        return Err((format!("{at}.{key}"), lost.into()));
    }
    let text = |key: &str| -> Result<&str, Fault> {
        let missing = || (format!("{at}.{key}"), "is missing".to_string());
        let value = keys.get(key).filter(|value| !value.is_null()).ok_or_else(missing)?;
        value.as_str().ok_or_else(|| (format!("{at}.{key}"), format!("is {}, not a text", kind(value))))
    };
    let role = match text("role")? {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let shown: String = other.chars().take(40).collect();
            return Err((format!("{at}.role"), format!("is {shown:?}; \"system\", \"user\" and \"assistant\" are known")));
        }
    };
    Ok(Message { role, content: text("content")?.to_string() })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(keys) => keys.is_empty(),
        _ => false,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

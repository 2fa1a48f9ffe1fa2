//! What a run's directory holds: the documents, a log for each question, and what was asked later.
//!
//! ```text
//! documents.jsonl   one document a line (only with `read --save`)
//! events.jsonl      the first question's log; events-2.jsonl, events-3.jsonl … those of the others
//! asks/*.jsonl      later questions (`longhand ask`)
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use data::{Document, ReadEvent, Span};

use crate::log;

/// Where a kept read has its documents.
pub const DOCUMENTS: &str = "documents.jsonl";

/// A run's directory, opened. No model is needed.
pub struct Kept {
    /// What was read.
    pub documents: Vec<Document>,
    /// Each question's log, in the order they were asked; later questions last. Never empty.
    pub logs: Vec<Log>,
}

/// A question's log.
pub struct Log {
    /// The file.
    pub path: PathBuf,
    /// Asked when the read was over.
    pub later: bool,
    /// Its lines; at least the first.
    pub events: Vec<ReadEvent>,
}

impl Kept {
    /// Opens a directory that `read --save` filled, and checks that logs and documents belong together.
    pub fn open(run: &Path) -> Result<Self> {
        let path = run.join(DOCUMENTS);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} is missing: only a read with `--save DIR` can be exported or asked further", path.display()))?;
        let documents = text
            .lines()
            .enumerate()
            .map(|(line, text)| serde_json::from_str(text).with_context(|| format!("{}, line {}", path.display(), line + 1)))
            .collect::<Result<Vec<Document>>>()?;
        let mut logs = Vec::new();
        for (log, later) in self::logs(run)? {
            let (_, events) = log::open(&log)?;
            let named = match events.first() {
                None => continue,
                Some(ReadEvent::Started { documents, .. }) => documents,
                Some(_) => bail!("{} holds no read", log.display()),
            };
            let same = named.iter().map(|(id, _, bytes)| (id.as_str(), *bytes)).eq(documents.iter().map(|d| (d.id.as_str(), d.text.len())));
            ensure!(same, "{} holds other documents than {} was made from", path.display(), log.display());
            logs.push(Log { path: log, later, events });
        }
        ensure!(!logs.is_empty(), "{} is missing: this is no kept read", run.join("events.jsonl").display());
        Ok(Self { documents, logs })
    }

    /// Every event of every log.
    pub fn events(&self) -> impl Iterator<Item = &ReadEvent> {
        self.logs.iter().flat_map(|log| &log.events)
    }

    /// The chunks of the first log that has any, in order.
    pub fn chunks(&self) -> Vec<Span> {
        let spans = |log: &Log| -> Vec<Span> {
            log.events
                .iter()
                .filter_map(|event| match event {
                    ReadEvent::Chunk { doc, start, end, .. } => Some(Span { doc: doc.clone(), start: *start, end: *end }),
                    _ => None,
                })
                .collect()
        };
        self.logs.iter().map(spans).find(|spans| !spans.is_empty()).unwrap_or_default()
    }

    /// What was read of the documents, over all logs.
    pub fn read(&self) -> Vec<Span> {
        let all = || self.documents.iter().map(|d| Span { doc: d.id.clone(), start: 0, end: d.text.len() });
        let mut spans = Vec::new();
        for log in &self.logs {
            let log = &log.events;
            let Some(ReadEvent::Started { chunks, style, .. }) = log.first() else { continue };
            let ended = log.iter().any(|event| matches!(event, ReadEvent::Answer { .. }));
            let parts = log.iter().any(|event| matches!(event, ReadEvent::Selected { .. }));
            if *chunks == 0 && ended && !parts && style != "ask" {
                spans.extend(all());
            }
            for event in log {
                match event {
                    ReadEvent::Chunk { doc, start, end, .. } => spans.push(Span { doc: doc.clone(), start: *start, end: *end }),
                    ReadEvent::Selected { spans: seen } if *chunks == 0 => spans.extend(seen.iter().cloned()),
                    _ => {}
                }
            }
        }
        spans
    }

    /// Seconds a token of a chunk's turn took, where the logs say.
    pub fn seconds_per_token(&self) -> Option<f64> {
        let (mut seconds, mut tokens) = (0.0, 0);
        for event in self.events() {
            if let ReadEvent::Chunk { seconds: Some(took), tokens: read, .. } = event {
                seconds += f64::from(*took);
                tokens += read;
            }
        }
        (tokens > 0).then(|| seconds / tokens as f64)
    }
}

/// The log of question `number`, from 0.
pub fn log_path(run: &Path, number: usize) -> PathBuf {
    run.join(if number == 0 { "events.jsonl".into() } else { format!("events-{}.jsonl", number + 1) })
}

/// The logs that are there, and whether they were asked later: questions in order, then later ones, `2` before `10`.
fn logs(run: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let question = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "events.jsonl" || name.starts_with("events-")
    };
    let first = jsonl_files(run)?.into_iter().filter(question).map(|path| (path, false));
    Ok(first.chain(jsonl_files(&run.join("asks"))?.into_iter().map(|path| (path, true))).collect())
}

fn jsonl_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    found.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(found)
}

/// Removes the logs of an earlier run.
pub fn clear(run: &Path) -> Result<()> {
    for (path, _) in logs(run)? {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Keeps the documents of a read beside its logs.
pub fn keep(run: &Path, documents: &[Document]) -> Result<()> {
    let mut lines = String::new();
    for document in documents {
        lines.push_str(&serde_json::to_string(document)?);
        lines.push('\n');
    }
    let path = run.join(DOCUMENTS);
    std::fs::write(&path, lines).with_context(|| format!("cannot keep the documents in {}", path.display()))
}

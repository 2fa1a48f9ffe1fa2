//! What a run's directory holds: the documents, a log for each question, and what was asked later.
//!
//! ```text
//! documents.jsonl   one document a line (only with `read --save`)
//! events.jsonl      the first question's log; events-2.jsonl, events-3.jsonl … those of the others
//! asks/*.jsonl      later questions (`longhand ask`)
//! ```
//!
//! A packed read (`my-read.longhand`) is one file with the same in it.

use std::path::{Path, PathBuf};

use agent::EventSink;
use agent::report::{Kept, KeptError, Log, pack, unpack};
use anyhow::{Context, Result, anyhow};
use data::{Document, ReadEvent};

use crate::log;

/// Where a kept read has its documents.
pub const DOCUMENTS: &str = "documents.jsonl";

/// Opens a directory that `read --save` filled, or a packed read, and checks that logs and documents belong together.
pub fn open(run: &Path) -> Result<Kept> {
    if run.is_file() {
        let text = std::fs::read_to_string(run).with_context(|| format!("cannot read {}", run.display()))?;
        return unpack(&text).with_context(|| run.display().to_string());
    }
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
        let name = log.strip_prefix(run).unwrap_or(&log).to_string_lossy().replace('\\', "/");
        logs.push(Log { name, later, events });
    }
    Kept::new(documents, logs).map_err(|error| match error {
        KeptError::NoLog => anyhow!("{} is missing: this is no kept read", run.join("events.jsonl").display()),
        KeptError::OtherDocuments { log } => {
            anyhow!("{} holds other documents than {} was made from", path.display(), run.join(log).display())
        }
        KeptError::NoRead { log } => anyhow!("{} holds no read", run.join(log).display()),
        KeptError::Outside { .. } | KeptError::NoNotes { .. } => anyhow!("{}: {error}", run.display()),
    })
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

/// Writes a packed read. The file appears whole or not at all.
pub fn write_packed(path: &Path, kept: &Kept) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, pack(kept))
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The log of a question that is asked later: a file of the run's directory, or a log of a packed read, which is written anew at each event.
pub struct LaterLog {
    file: Option<log::FileLog>,
    /// The file of the log, or the packed read.
    path: PathBuf,
    /// As the packed read was without this question.
    others: Kept,
    log: Log,
}

/// Opens the log of a later question in a kept read, and what is in it.
pub fn later(run: &Path, kept: &Kept, name: String) -> Result<(LaterLog, Vec<ReadEvent>)> {
    let mut others = Kept { documents: kept.documents.clone(), logs: Vec::new() };
    if !run.is_file() {
        let path = run.join(&name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let (file, past) = log::open(&path)?;
        return Ok((LaterLog { file: Some(file), path, others, log: Log { name, later: true, events: Vec::new() } }, past));
    }
    others.logs = kept.logs.iter().filter(|log| log.name != name).cloned().collect();
    let past = kept.logs.iter().find(|log| log.name == name).map_or(Vec::new(), |log| log.events.clone());
    Ok((LaterLog { file: None, path: run.to_path_buf(), others, log: Log { name, later: true, events: past.clone() } }, past))
}

impl LaterLog {
    /// The file it is in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the question out of the kept read.
    pub fn forget(self) -> Result<()> {
        let Self { file, path, others, .. } = self;
        match file {
            None => write_packed(&path, &others),
            Some(file) => {
                drop(file);
                std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
            }
        }
    }
}

impl EventSink for LaterLog {
    fn append(&mut self, event: &ReadEvent) -> Result<(), String> {
        if let Some(file) = &mut self.file {
            return file.append(event);
        }
        self.log.events.push(event.clone());
        self.others.logs.push(self.log.clone());
        let written = write_packed(&self.path, &self.others);
        self.others.logs.pop();
        written.map_err(|error| format!("{error:#}"))
    }
}

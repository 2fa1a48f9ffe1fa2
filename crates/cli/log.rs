//! A read's log as a file: one JSON line per event, on the disk before the next turn begins.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use agent::EventSink;
use anyhow::{Context, Result, bail};
use data::ReadEvent;

/// An append-only `events.jsonl`. While it is open no other Longhand writes to it.
pub struct FileLog {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    length: u64,
}

/// When the last event of any log of this process was written, or a log opened: turns are timed from it, so that the seconds of all logs
/// of a run add up to its time.
static LAST: Mutex<Option<Instant>> = Mutex::new(None);

/// Seconds since the last time it was asked.
fn lap() -> Option<f32> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    last.replace(now).map(|before| (now - before).as_secs_f32())
}

/// Opens or makes the log at `path` and reads what is in it. A last line that was torn by a kill is cut off, and that is said.
pub fn open(path: &Path) -> Result<(FileLog, Vec<ReadEvent>)> {
    let shown = path.display();
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("cannot open the log {shown}: is the directory there, and may it be written to?"))?;
    if !file.metadata().with_context(|| format!("cannot look at the log {shown}"))?.is_file() {
        bail!("the log {shown} is not a regular file: choose another with --run");
    }
    // Where a file system knows no locks, the log still works; only the guard is missing.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        bail!("another longhand is writing the log {shown}: wait for it, or choose another log with --run");
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| format!("cannot read the log {shown}"))?;
    let (events, whole) = parse(&bytes).with_context(|| {
        format!("{shown} is not a log this version can go on from: choose another with --run, or start over with --fresh")
    })?;
    if whole < bytes.len() {
        eprintln!(
            "{shown}: the last line was cut off by an earlier stop ({} bytes); it is dropped and its chunk read again",
            bytes.len() - whole
        );
        file.set_len(whole as u64).with_context(|| format!("cannot cut the torn last line off {shown}"))?;
    }
    lap();
    Ok((FileLog::new(file, path, whole as u64), events))
}

impl FileLog {
    /// Appends to `file`, whose first `length` bytes are whole lines.
    pub fn new(file: File, path: &Path, length: u64) -> Self {
        Self { file, path: path.to_path_buf(), length }
    }
}

impl EventSink for FileLog {
    fn append(&mut self, event: &ReadEvent) -> Result<(), String> {
        let mut event = event.clone();
        match &mut event {
            ReadEvent::Chunk { seconds, .. } | ReadEvent::Answer { seconds, .. } => *seconds = seconds.or(lap()),
            // The time before the first turn is the model's loading, not a turn's.
            ReadEvent::Started { .. } | ReadEvent::Selected { .. } | ReadEvent::Given { .. } => drop(lap()),
            // A person takes the time that it takes.
            ReadEvent::Edited { .. } | ReadEvent::Undone => drop(lap()),
        }
        let mut line = serde_json::to_vec(&event).map_err(|error| error.to_string())?;
        line.push(b'\n');
        // One write, then wait for the disk: a kill leaves whole lines and at most one torn one.
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line may have found room; take it back. If that fails too, the next `open` does it.
            let _ = self.file.set_len(self.length);
            let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
            let advice = if full { "; make room on that disk and run the same command again" } else { "" };
            return Err(format!("{}: {error}{advice}", self.path.display()));
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// The events, and the bytes of whole lines. Only a last line may be unreadable, and only if it looks like a torn event.
fn parse(bytes: &[u8]) -> Result<(Vec<ReadEvent>, usize)> {
    let mut events = Vec::new();
    let mut at = 0;
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let last = at + line.len() == bytes.len();
        match (serde_json::from_slice(line), line.ends_with(b"\n")) {
            (Ok(event), true) => events.push(event),
            _ if last && is_torn(line, number == 0) => return Ok((events, at)),
            (Err(error), _) => return Err(error).with_context(|| format!("line {}", number + 1)),
            (Ok(_), false) => return Ok((events, at)),
        }
        at += line.len();
    }
    Ok((events, at))
}

/// A line an interrupted write leaves: the beginning of an event, or the zeros of blocks that were never filled. A whole JSON value
/// that is no event is somebody else's file.
fn is_torn(line: &[u8], first: bool) -> bool {
    const START: &[u8] = br#"{"event":""#;
    let compared = line.len().min(START.len());
    let begins = line[..compared] == START[..compared] || line.iter().all(|&byte| byte == 0 || byte == b'\n');
    let whole = serde_json::from_slice::<serde_json::Value>(line).is_ok();
    (begins || !first) && !whole
}

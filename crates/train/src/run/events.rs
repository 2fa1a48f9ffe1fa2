//! A run's log, `events.jsonl`: one JSON line per event, appended and never rewritten, but for what a resumed run takes back.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use data::{TrainEvent, TrainStart};
use serde_json::Value;

use super::error::{Result, RunError};

/// An append-only log. While it is open no other Longhand writes to it.
pub struct EventLog {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    length: u64,
    /// Held for as long as the log is open. Not the log itself: Windows lets nobody read what is locked, and reports do.
    _lock: File,
}

/// An event, and where in the log its line begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// The event.
    pub event: TrainEvent,
    /// Byte of the log.
    pub at: u64,
}

/// What was taken back when a run went on from a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cut {
    /// Steps that are to be taken again.
    pub steps: u64,
    /// Wall-clock seconds of what was taken back.
    pub seconds: f64,
    /// Steps that the checkpoint has and the log has not: lines that never reached the disk.
    pub missing: u64,
}

impl EventLog {
    /// Opens or makes the log at `path`; the events in it. A last line that a kill tore is cut off.
    pub fn open(path: &Path) -> Result<(Self, Vec<Logged>)> {
        let io = RunError::io(path);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(&io)?;
        if !file.metadata().map_err(&io)?.is_file() {
            return Err(RunError::format(path, "is not a regular file: choose another folder for the run"));
        }
        let beside = path.with_extension("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&beside).map_err(RunError::io(&beside))?;
        // Where a file system knows no locks, the log still works; only the guard is missing.
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(RunError::Busy { path: path.to_path_buf() });
        }
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).map_err(&io)?;
        let (events, whole) = parse(path, &bytes)?;
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(&io)?;
        }
        Ok((Self { file, path: path.to_path_buf(), length: whole as u64, _lock: lock }, events))
    }

    /// Appends an event. A kill of the process afterwards does not take it back; [`EventLog::sync`] makes that true of the machine.
    pub fn append(&mut self, event: &TrainEvent) -> Result<()> {
        let mut line = line(event).map_err(|error| RunError::format(&self.path, error.to_string()))?.into_bytes();
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line may have found room; take it back. If that fails too, the next `open` does it.
            let _ = self.file.set_len(self.length);
            return Err(RunError::io(&self.path)(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Waits until all events are on the disk.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(RunError::io(&self.path))
    }

    /// Takes back every event after step `step`; `None`: all of them, the run begins anew. `events` are those of the log.
    ///
    /// Validations and samples of the step itself stay: the trainer makes them before it saves.
    pub fn cut(&mut self, events: &mut Vec<Logged>, step: Option<u64>) -> Result<Cut> {
        let keep = events.iter().position(|logged| step.is_none_or(|step| logged.event.step() > step)).unwrap_or(events.len());
        let gone = events.split_off(keep);
        let is_step = |logged: &&Logged| matches!(logged.event, TrainEvent::Step(_) | TrainEvent::Rl(_));
        let last = events.iter().rfind(is_step).map_or(0, |logged| logged.event.step());
        if let Some(first) = gone.first() {
            self.file.set_len(first.at).map_err(RunError::io(&self.path))?;
            self.length = first.at;
            self.sync()?;
        }
        Ok(Cut {
            steps: gone.iter().filter(is_step).count() as u64,
            seconds: gone.iter().map(|logged| logged.event.seconds()).sum(),
            missing: step.unwrap_or(0).saturating_sub(last),
        })
    }
}

/// An event as a line of the log, without its end; `--json` prints the same.
pub fn line(event: &TrainEvent) -> serde_json::Result<String> {
    serde_json::to_string(event)
}

/// The events of a log that may still be written to; a torn last line is left out.
pub fn read(path: &Path) -> Result<Vec<TrainEvent>> {
    let bytes = std::fs::read(path).map_err(RunError::io(path))?;
    Ok(parse(path, &bytes)?.0.into_iter().map(|logged| logged.event).collect())
}

/// The events, and the bytes of whole lines. Only a last line may be unreadable, and only if it looks like a torn event.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Logged>, usize)> {
    let mut events: Vec<Logged> = vec![];
    let mut at = 0;
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let last = at + line.len() == bytes.len();
        if number == 0 {
            check_version(path, line)?;
        }
        match (serde_json::from_slice::<TrainEvent>(line), line.ends_with(b"\n")) {
            (Ok(event), true) if matches!(event, TrainEvent::Started(_)) == (number == 0) => events.push(Logged { event, at: at as u64 }),
            (Ok(_), true) => return Err(other(path, number, "a log begins with `started`, once")),
            (Ok(_), false) => return Ok((events, at)),
            _ if last && is_torn(line) => return Ok((events, at)),
            (Err(error), _) => return Err(other(path, number, &error.to_string())),
        }
        at += line.len();
    }
    Ok((events, at))
}

fn other(path: &Path, number: usize, message: &str) -> RunError {
    let what = "this is not a log that a run can go on from; choose another folder for the run";
    RunError::format(path, format!("line {}: {message}: {what}", number + 1))
}

/// A first line of a version that this Longhand does not know is refused as that, and not for a field it lacks.
fn check_version(path: &Path, line: &[u8]) -> Result<()> {
    let Ok(Value::Object(first)) = serde_json::from_slice(line) else { return Ok(()) };
    match first.get("version").and_then(Value::as_u64) {
        Some(version) if version > u64::from(TrainEvent::VERSION) => {
            let known = TrainEvent::VERSION;
            Err(RunError::format(
                path,
                format!("has version {version}, this Longhand knows versions up to {known}: use the newer Longhand that wrote it"),
            ))
        }
        _ => Ok(()),
    }
}

/// A line that an interrupted write leaves: the beginning of an event, or the zeros of blocks that were never filled. A whole JSON value
/// that is no event is somebody else's file.
fn is_torn(line: &[u8]) -> bool {
    const START: &[u8] = br#"{"event":""#;
    let compared = line.len().min(START.len());
    let begins = line[..compared] == START[..compared] || line.iter().all(|&byte| byte == 0 || byte == b'\n');
    begins && serde_json::from_slice::<Value>(line).is_err()
}

/// How the run began: its first event.
pub fn start(events: &[TrainEvent]) -> Option<&TrainStart> {
    match events.first() {
        Some(TrainEvent::Started(start)) => Some(start),
        _ => None,
    }
}

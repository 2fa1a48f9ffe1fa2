//! Reads in this browser's storage: logs that grow line by line, the list of them, and how they are found again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use agent::report::{Kept, Log};
use agent::{EventSink, ReadSettings};
use async_lock::{Mutex, MutexGuardArc};
use data::{Document, ReadEvent};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Say;
use crate::protocol::{Event, KeptRead, Problem, ProblemKind};
use crate::worker::store::{self, File};
use crate::worker::weights::hex;

/// A read in the list.
#[derive(Serialize, Deserialize)]
pub(super) struct Listed {
    pub name: String,
    pub questions: Vec<String>,
    pub read: usize,
    pub chunks: usize,
    pub changed: f64,
}

/// A log in this browser's storage, or in memory alone where nothing can be kept.
pub(super) struct Sink {
    pub file: Option<File>,
    pub events: Rc<RefCell<Vec<ReadEvent>>>,
    /// When the last line was written: turns are timed from it.
    pub last: f64,
}

impl EventSink for Sink {
    fn append(&mut self, event: &ReadEvent) -> Result<(), String> {
        let mut event = event.clone();
        let now = js_sys::Date::now();
        if let ReadEvent::Chunk { seconds, .. } | ReadEvent::Answer { seconds, .. } = &mut event {
            *seconds = seconds.or(Some(((now - self.last) / 1000.0) as f32));
        }
        self.last = now;
        if let Some(file) = &self.file {
            let mut line = serde_json::to_vec(&event).map_err(|problem| problem.to_string())?;
            line.push(b'\n');
            file.append(&line).and_then(|()| file.flush()).map_err(|problem| problem.message)?;
        }
        self.events.borrow_mut().push(event);
        Ok(())
    }
}

/// The lines of a log that are whole.
pub(super) fn parse(bytes: &[u8]) -> Vec<ReadEvent> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let lines = bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map_while(|line| serde_json::from_slice(line).ok()).collect()
}

pub(super) fn folder(key: &str) -> String {
    format!("reads/{key}")
}

pub(super) fn log_name(number: usize) -> String {
    if number == 0 { "events.jsonl".into() } else { format!("events-{}.jsonl", number + 1) }
}

thread_local! {
    /// Reads that someone is at, by their key.
    static BUSY: RefCell<HashMap<String, Weak<Mutex<()>>>> = RefCell::default();
}

/// Waits until no other reader of this engine is at that read: two at once would write one log. Says so where it has to wait.
pub(super) async fn alone(key: &str, say: &Say) -> MutexGuardArc<()> {
    let lock = BUSY.with_borrow_mut(|busy| {
        busy.retain(|_, lock| lock.strong_count() > 0);
        let known = busy.get(key).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let lock = Arc::new(Mutex::new(()));
            busy.insert(key.into(), Arc::downgrade(&lock));
            lock
        })
    });
    match lock.try_lock_arc() {
        Some(guard) => guard,
        None => {
            say(Event::Waits);
            lock.lock_arc().await
        }
    }
}

/// A name for the log of a later question that no other has.
pub(super) async fn free_name(key: &str, first: usize) -> Result<String, Problem> {
    let there = store::list(&folder(key)).await?;
    let mut names = (first..).map(|number| format!("asks-{number}.jsonl"));
    Ok(names.find(|name| there.iter().all(|entry| entry.name != *name)).unwrap_or_default())
}

/// The same read has the same key: documents, questions, model and sizes.
pub(super) fn key_of(documents: &[Document], questions: &[String], model: &str, settings: &ReadSettings) -> String {
    let mut hash = Sha256::new();
    let settings = format!("{settings:?}");
    let texts = documents.iter().map(|document| &*document.text).chain(questions.iter().map(String::as_str));
    for part in texts.chain([model, settings.as_str()]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())[..12].to_string()
}

/// The reads that are here, latest first.
pub async fn kept() -> Vec<KeptRead> {
    let mut reads = Vec::new();
    for entry in store::list("reads").await.unwrap_or_default() {
        let read = store::read(&format!("{}/read.json", folder(&entry.name))).await.ok().flatten();
        let Some(listed) = read.and_then(|bytes| serde_json::from_slice::<Listed>(&bytes).ok()) else { continue };
        let Listed { name, questions, read, chunks, changed } = listed;
        let bytes = store::list(&folder(&entry.name)).await.unwrap_or_default().iter().filter_map(|file| file.bytes).sum();
        reads.push(KeptRead { key: entry.name, name, questions, read: (read, chunks), changed, bytes });
    }
    reads.sort_by(|a, b| b.changed.total_cmp(&a.changed));
    reads
}

/// A read of this browser's, as it stands.
pub async fn open_kept(key: &str) -> Result<Kept, Problem> {
    let gone = |what: &str| Problem { kind: ProblemKind::Storage, message: format!("This browser no longer keeps {what} of that read.") };
    let bytes = store::read(&format!("{}/documents.jsonl", folder(key))).await?.ok_or_else(|| gone("the documents"))?;
    let text = String::from_utf8_lossy(&bytes);
    let documents = text.lines().map(serde_json::from_str).collect::<Result<Vec<Document>, _>>().map_err(|_| gone("sound documents"))?;
    let mut names: Vec<String> = store::list(&folder(key))
        .await?
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name.starts_with("events") || name.starts_with("asks"))
        .collect();
    names.sort_by_key(|name| (name.starts_with("asks"), name.len(), name.clone()));
    let mut logs = Vec::new();
    for name in names {
        let events = store::read(&format!("{}/{name}", folder(key))).await?.map(|bytes| parse(&bytes)).unwrap_or_default();
        if !events.is_empty() {
            logs.push(Log { later: name.starts_with("asks"), name, events });
        }
    }
    if logs.is_empty() {
        return Err(gone("the notes"));
    }
    Ok(Kept { documents, logs })
}

/// Lets a read go.
pub async fn delete(key: &str) -> Result<(), Problem> {
    store::remove(&folder(key)).await
}

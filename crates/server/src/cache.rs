//! Replies kept by what was asked, so that no call is paid for twice.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Message, OnToken};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ServerError;

/// Goes into every key and file: another number makes old files unknown.
const VERSION: u32 = 1;

/// A folder of replies, one file per call, named by the SHA-256 of the model's name and the whole request: messages, sampling,
/// bound and schema. Where the model runs and with whose key plays no part, so a run can move between servers of one model.
///
/// - A file appears whole or not at all, and is on the disk before it is used; two processes may share a folder.
/// - What cannot be read, or was changed since, counts as absent and is written anew.
/// - Errors, replies that broke off and empty replies are never kept.
///
/// Cheap to clone; clones share what is under way.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    under_way: Mutex<HashMap<Key, Shared>>,
    trouble: Mutex<Option<String>>,
}

/// What calls that wait for the same reply look at: its place, and a channel that closes when it is there.
#[derive(Clone)]
struct Shared {
    outcome: Arc<Mutex<Option<Result<ChatReply, ChatError>>>>,
    ended: async_channel::Receiver<()>,
}

/// What a reply is kept under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of `request` to the model called `model`.
    pub fn new(model: &str, request: &ChatRequest) -> Self {
        let mut hash = Sha256::new();
        // Lengths first, so that no two pairs of name and request run together.
        hash.update(format!("longhand-reply-{VERSION}\n{}\n{model}", model.len()));
        // A request is made of strings, numbers and JSON values: writing it cannot fail.
        hash.update(serde_json::to_vec(request).unwrap_or_default());
        Self(hash.finalize().into())
    }

    /// The key that [`Display`](std::fmt::Display) writes: 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        bytes.try_into().ok().filter(|_| digits.len() == 64).map(Self)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Cache {
    /// Opens a folder, which is made if need be. Fails if nothing can be written there: better now than after the first paid call.
    pub fn open(folder: &Path) -> Result<Self, ServerError> {
        let wrong = |error: io::Error| ServerError::Cache { path: folder.display().to_string(), why: error.to_string() };
        fs::create_dir_all(folder).map_err(wrong)?;
        tempfile::NamedTempFile::new_in(folder).map_err(wrong)?;
        Ok(Self(Arc::new(Inner { folder: folder.to_path_buf(), under_way: Mutex::default(), trouble: Mutex::default() })))
    }

    /// The reply kept under `key`.
    pub fn get(&self, key: &Key) -> Option<ChatReply> {
        read(&self.path(key), key)
    }

    /// Keeps a reply. An empty one is not kept: it is more often a server's failure than an answer.
    pub fn put(&self, key: &Key, model: &str, reply: &ChatReply) -> io::Result<()> {
        if reply.text.trim().is_empty() {
            return Ok(());
        }
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.0.folder);
        fs::create_dir_all(folder)?;
        let reply = serde_json::to_value(reply)?;
        let record =
            json!({"version": VERSION, "key": key.to_string(), "model": model, "sha256": checksum(&reply.to_string()), "reply": reply});
        let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
        file.write_all(record.to_string().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        // The name is on the disk when its folder is; not every system can sync one.
        #[cfg(unix)]
        fs::File::open(folder)?.sync_all()?;
        Ok(())
    }

    /// The reply kept under `key`, else what `call` gives, which is kept if it is a reply. `true` if `call` was not run.
    ///
    /// Calls with the same key at the same time share one run and its outcome, good or bad. If the call that runs is dropped, one of
    /// those that wait runs its own.
    pub async fn fetch<F>(&self, key: Key, model: &str, call: F) -> (Result<ChatReply, ChatError>, bool)
    where
        F: Future<Output = Result<ChatReply, ChatError>>,
    {
        let leader = loop {
            if let Some(reply) = self.get(&key) {
                return (Ok(reply), true);
            }
            let shared = {
                let mut under_way = self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner);
                match under_way.get(&key) {
                    Some(shared) => shared.clone(),
                    None => {
                        let (open, ended) = async_channel::bounded(1);
                        let outcome = Arc::default();
                        under_way.insert(key, Shared { outcome: Arc::clone(&outcome), ended });
                        break Leader { cache: self, key, outcome, _open: open };
                    }
                }
            };
            // Closed, never sent to.
            let _ = shared.ended.recv().await;
            let outcome = locked(&shared.outcome).clone();
            if let Some(outcome) = outcome {
                return (outcome, true);
            }
        };
        // It may have been kept between the look and the lead.
        if let Some(reply) = self.get(&key) {
            *locked(&leader.outcome) = Some(Ok(reply.clone()));
            return (Ok(reply), true);
        }
        let outcome = call.await;
        if let Ok(reply) = &outcome
            && let Err(error) = self.put(&key, model, reply)
        {
            // The reply is paid for: give it out, and let the person know that it is not kept.
            *locked(&self.0.trouble) = Some(format!("a reply could not be kept in {}: {error}", self.0.folder.display()));
        }
        *locked(&leader.outcome) = Some(outcome.clone());
        (outcome, false)
    }

    /// Why the last reply that was not kept was not; `None` if all were.
    pub fn trouble(&self) -> Option<String> {
        locked(&self.0.trouble).clone()
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = key.to_string();
        self.0.folder.join(&name[..2]).join(format!("{name}.json"))
    }
}

/// The call that runs for all that wait.
struct Leader<'a> {
    cache: &'a Cache,
    key: Key,
    outcome: Arc<Mutex<Option<Result<ChatReply, ChatError>>>>,
    _open: async_channel::Sender<()>,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.cache.0.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path, key: &Key) -> Option<ChatReply> {
    let text = fs::read_to_string(path).ok()?;
    let mut record: Value = serde_json::from_str(&text).ok()?;
    // The bytes as they were written: a number that is read and written again may end in another digit.
    let written = text.split_once("\"reply\":")?.1.strip_suffix('}')?;
    let whole = record["version"] == VERSION && record["key"] == key.to_string() && record["sha256"] == checksum(written);
    if whole { serde_json::from_value(record.get_mut("reply")?.take()).ok() } else { None }
}

fn checksum(reply: &str) -> String {
    hex(&Sha256::digest(reply))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A model whose replies are kept.
pub struct Cached<M> {
    model: M,
    cache: Cache,
    hits: std::sync::atomic::AtomicU64,
}

impl<M: ChatModel> Cached<M> {
    /// `model` behind `cache`. Do not put a model's name on another model: the name is what tells their replies apart.
    pub fn new(model: M, cache: Cache) -> Self {
        Self { model, cache, hits: Default::default() }
    }

    /// Calls that the model did not see.
    pub fn hits(&self) -> u64 {
        self.hits.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The model.
    pub fn inner(&self) -> &M {
        &self.model
    }
}

impl<M: ChatModel> ChatModel for Cached<M> {
    fn name(&self) -> String {
        self.model.name()
    }

    fn window(&self) -> usize {
        self.model.window()
    }

    fn count_prompt(&self, messages: &[Message]) -> Result<usize, ChatError> {
        self.model.count_prompt(messages)
    }

    fn chat<'a>(&'a self, request: &'a ChatRequest, on_text: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
        Box::pin(async move {
            let name = self.model.name();
            let call = self.model.chat(request, &mut *on_text);
            let (outcome, shared) = self.cache.fetch(Key::new(&name, request), &name, call).await;
            if shared && let Ok(reply) = &outcome {
                self.hits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                on_text(&reply.text);
            }
            outcome
        })
    }
}

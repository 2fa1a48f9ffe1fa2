//! The loop: chunk by chunk, `m_t, p_t ~ π(· | m_{t-1}, p_{t-1}, x_t, q_core)`, then `y ~ π(· | m_K, q_core, q_inst)` (§3.1).

mod past;
mod thread;
mod together;

use std::sync::{Mutex, PoisonError};

use data::{ChatError, ChatModel, Document, MaybeSend, ReadEvent, Span};
use tokenizer::{Tokenizer, TokenizerError};

pub(crate) use self::thread::Plan;
use self::thread::Thread;
pub use self::together::together;
use crate::settings::{Mode, ReadSettings};
use crate::tags::{first_tag, neutralise};

/// The fewest tokens a section, a memory or a plan is worth having with.
const LEAST: usize = 16;

/// Keeps the event log. An error stops the read; what was appended before stays valid.
pub trait EventSink: MaybeSend {
    /// Appends one event durably.
    fn append(&mut self, event: &ReadEvent) -> Result<(), String>;
}

impl EventSink for Vec<ReadEvent> {
    fn append(&mut self, event: &ReadEvent) -> Result<(), String> {
        self.push(event.clone());
        Ok(())
    }
}

/// What a person watching is told.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Chunks are known. `resumed` of them were read before.
    Planned {
        /// All chunks; 0 for a single pass.
        chunks: usize,
        /// Already read in the log.
        resumed: usize,
        /// Document tokens in all.
        tokens: usize,
    },
    /// A chunk's turn begins.
    Chunk {
        /// Which question, 0-based.
        question: usize,
        /// 0-based.
        index: usize,
        /// Its document tokens.
        tokens: usize,
    },
    /// New text of the current reply.
    Text(&'a str),
    /// A turn is over and logged.
    Event {
        /// Which question, 0-based.
        question: usize,
        /// Its outcome.
        event: &'a ReadEvent,
    },
}

/// Why a read stopped. The log holds everything up to it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing to read.
    #[error("{0} is empty: there is nothing to read")]
    Empty(String),
    /// No question.
    #[error("the question is empty")]
    NoQuestion,
    /// The window cannot hold the parts of one turn.
    #[error("a window of {window} tokens is too small: {needed} are needed for question, instructions, memory, a section and the reply")]
    WindowTooSmall {
        /// The window.
        window: usize,
        /// What one turn needs at least.
        needed: usize,
    },
    /// The model cannot take that much.
    #[error("a window of {window} tokens was asked for, but the model's is {most}")]
    WindowTooLarge {
        /// The window.
        window: usize,
        /// The model's own.
        most: usize,
    },
    /// A section larger than the window.
    #[error("a chunk of {chunk} tokens does not fit a window of {window}: at most {room} do, beside question, memory and reply")]
    ChunkTooLarge {
        /// As set.
        chunk: usize,
        /// The window.
        window: usize,
        /// What would fit.
        room: usize,
    },
    /// A budget nothing can be done with.
    #[error("a {name} of {tokens} tokens is too small: give it at least {LEAST}")]
    TooSmall {
        /// The setting.
        name: &'static str,
        /// As set.
        tokens: usize,
    },
    /// `Mode::Single` on a document that does not fit.
    #[error("the document takes {tokens} tokens, the window holds {window}: read it with memory, or with a larger window")]
    DoesNotFit {
        /// Prompt and reply.
        tokens: usize,
        /// The window.
        window: usize,
    },
    /// As before; so much that it was not counted.
    #[error("the document takes more than the {window} tokens of the window: read it with memory, or with a larger window")]
    FarTooLong {
        /// The window.
        window: usize,
    },
    /// The log belongs to another read.
    #[error("the log is of another read: {0} differs; choose another log or the same inputs as then")]
    OtherRead(&'static str),
    /// Only the last turn is wished, and there are no last notes.
    #[error("the read has not come to its last section: go on with it first")]
    Unfinished,
    /// A person's notes that leave no room.
    #[error("the edited notes take {tokens} tokens, and this read has room for {most}: shorten them")]
    NotesTooLong {
        /// Their length.
        tokens: usize,
        /// The memory's.
        most: usize,
    },
    /// The log could not be written.
    #[error("the log could not be written: {0}; everything before this turn is kept")]
    Log(String),
    /// The model failed.
    #[error("the model failed: {0}")]
    Model(ChatError),
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

// Not its source: the message above says it already.
impl From<ChatError> for ReadError {
    fn from(error: ChatError) -> Self {
        Self::Model(error)
    }
}

/// The outcome of a read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The answer, thinking stripped.
    pub answer: String,
    /// The last memory; empty after a single pass.
    pub memory: String,
    /// The last plan.
    pub plan: String,
    /// Bytes read and all bytes.
    pub coverage: (usize, usize),
    /// What was not read.
    pub skipped: Vec<Span>,
}

/// One question on its way through the documents.
pub struct Ask<'a> {
    /// As asked; ignored by [`Mode::Outline`].
    pub question: &'a str,
    /// The log of an earlier, unfinished run of the same read; empty for a new one. Its chunks are not read again.
    pub past: &'a [ReadEvent],
    /// Where this question's log goes: a complete one of its own.
    pub sink: &'a mut dyn EventSink,
    /// Read only these parts, in this order; empty for everything.
    pub sections: &'a [Span],
    /// The memory to begin with; empty for none. Notes without `sections` are answered from alone: nothing is read.
    pub notes: &'a str,
    /// What a person changed in these notes, as [`crate::edits::standing`] gives it. Where `past` was given other notes, the question is
    /// put anew.
    pub edits: &'a str,
    /// Only the last turn, from the notes as they are after the last section: `past` has to be a read to its end, but may be another model's.
    pub again: bool,
}

impl<'a> Ask<'a> {
    /// A question to all of the documents.
    pub fn new(question: &'a str, past: &'a [ReadEvent], sink: &'a mut dyn EventSink) -> Self {
        Self { question, past, sink, sections: &[], notes: "", edits: "", again: false }
    }
}

/// Reads `documents` to answer one `question`; see [`read_all`].
pub async fn read(
    model: &dyn ChatModel,
    tokenizer: &Tokenizer,
    documents: &[Document],
    question: &str,
    settings: &ReadSettings,
    past: &[ReadEvent],
    sink: &mut dyn EventSink,
    progress: &mut (dyn for<'a> FnMut(Progress<'a>) + MaybeSendFn),
) -> Result<Reading, ReadError> {
    let mut readings = read_all(model, tokenizer, documents, vec![Ask::new(question, past, sink)], settings, progress).await?;
    readings.pop().ok_or(ReadError::NoQuestion)
}

/// Reads `documents` once to answer every question: in one call each if they fit, through one memory each otherwise ([`Mode`]).
///
/// All questions see a chunk before any sees the next; their calls are made together, which a server can use. Each has its own log,
/// the same that reading for it alone would write. A document is data: the prompt's own tags in it reach the model with square brackets
/// (`[/section]`). Every setting is checked before the first turn, so that a long read does not fail at its end. If a question's turn
/// fails, those of the others are still logged.
pub async fn read_all(
    model: &dyn ChatModel,
    tokenizer: &Tokenizer,
    documents: &[Document],
    mut asks: Vec<Ask<'_>>,
    settings: &ReadSettings,
    progress: &mut (dyn for<'a> FnMut(Progress<'a>) + MaybeSendFn),
) -> Result<Vec<Reading>, ReadError> {
    if asks.is_empty() {
        return Err(ReadError::NoQuestion);
    }
    if documents.is_empty() {
        return Err(ReadError::Empty("the list of documents".into()));
    }
    if let Some(document) = documents.iter().find(|document| document.text.trim().is_empty()) {
        return Err(ReadError::Empty(document.source.clone()));
    }
    check_settings(settings, model.window())?;
    // What the prompts are made of: the same bytes at the same places, without our own tags.
    let shown: Vec<Document> = documents.iter().map(shown).collect();
    let fingerprints: Vec<String> = shown.iter().map(|document| fingerprint(document, shown.len())).collect();
    let progress = Mutex::new(progress);
    let see = |event: Progress<'_>| (*progress.lock().unwrap_or_else(PoisonError::into_inner))(event);
    let mut threads = Vec::new();
    for (number, ask) in asks.iter_mut().enumerate() {
        // Borrowed anew, for as long as the threads live.
        let Ask { question, past, sections, notes, edits, again, .. } = *ask;
        let ask = Ask { question, past, sink: &mut *ask.sink, sections, notes, edits, again };
        threads.push(Thread::new(number, ask, model, tokenizer, settings, &fingerprints, &see)?);
    }
    if threads.iter().any(Thread::answers_again) {
        let mut readings = Vec::new();
        for thread in &mut threads {
            readings.push(thread.answer_again(&shown).await?);
        }
        return Ok(readings);
    }
    if threads.iter().any(Thread::asks_notes) {
        let mut readings = Vec::new();
        for thread in &mut threads {
            readings.push(thread.ask_notes(&shown).await?);
        }
        return Ok(readings);
    }
    match way(&threads, &shown, settings)? {
        Way::Part => {
            let mut readings = Vec::new();
            for thread in &mut threads {
                readings.push(thread.read_a_part(&shown).await?);
            }
            Ok(readings)
        }
        Way::Whole => {
            let whole: String = shown.iter().map(|document| section(document, 0, document.text.len(), shown.len())).collect();
            all(together(threads.iter_mut().map(|thread| thread.read_whole(&shown, &whole)).collect()).await)
        }
        Way::Chunks => read_in_chunks(&mut threads, &shown, &see).await,
    }
}

/// How a read goes through the documents.
enum Way {
    /// One call over all of them.
    Whole,
    /// One call over what truncation or retrieval leaves.
    Part,
    /// A memory through chunks.
    Chunks,
}

/// The way that is asked for, that the logs began, or that fits the window; one for all questions.
fn way(threads: &[Thread<'_>], shown: &[Document], settings: &ReadSettings) -> Result<Way, ReadError> {
    let begun: Vec<usize> = threads.iter().filter_map(|thread| thread.past.chunks).collect();
    let in_one = match (settings.mode, begun.first()) {
        (Mode::Truncate | Mode::Retrieve | Mode::Single, _) => true,
        (Mode::Memory | Mode::MemAgent | Mode::Outline, _) => false,
        _ if threads.iter().any(Thread::has_sections) => false,
        (Mode::Auto, Some(&chunks)) => chunks == 0,
        (Mode::Auto, None) => {
            let mut fit = true;
            for thread in threads {
                fit = fit && thread.fits_whole(shown)?;
            }
            fit
        }
    };
    if begun.iter().any(|&chunks| (chunks == 0) != in_one) {
        return Err(ReadError::OtherRead("the mode"));
    }
    Ok(match settings.mode {
        Mode::Truncate | Mode::Retrieve => Way::Part,
        _ if in_one => Way::Whole,
        _ => Way::Chunks,
    })
}

async fn read_in_chunks(threads: &mut [Thread<'_>], documents: &[Document], see: &See<'_>) -> Result<Vec<Reading>, ReadError> {
    // One room for all, so that every question has the same chunks. Parts are chosen for one question at a time.
    let mut room = usize::MAX;
    for thread in threads.iter() {
        room = room.min(thread.room(documents)?);
    }
    let mut plans = Vec::new();
    for thread in threads.iter_mut() {
        let plan = match plans.first() {
            Some(plan) if !thread.has_sections() => Vec::clone(plan),
            _ => thread.cut(documents, room)?,
        };
        thread.begin(documents, &plan)?;
        plans.push(plan);
    }
    let most = plans.iter().map(Vec::len).max().unwrap_or(0);
    let tokens = plans.iter().map(|plan| plan.iter().map(|(_, chunk)| chunk.tokens).sum()).max().unwrap_or(0);
    let resumed = threads.iter().map(Thread::done).min().unwrap_or(0);
    see(Progress::Planned { chunks: most, resumed, tokens });
    for index in 0..most {
        let turns = threads.iter_mut().zip(&plans).filter(|(thread, _)| thread.done() <= index);
        let turns = turns.filter_map(|(thread, plan)| Some((thread, plan.get(index)?)));
        all(together(turns.map(|(thread, (number, chunk))| thread.turn(index, documents, *number, chunk)).collect()).await)?;
    }
    all(together(threads.iter_mut().zip(&plans).map(|(thread, plan)| thread.end(documents, plan)).collect()).await)
}

/// The first error, once all have come to their end.
fn all<T>(results: Vec<Result<T, ReadError>>) -> Result<Vec<T>, ReadError> {
    results.into_iter().collect()
}

fn check_settings(settings: &ReadSettings, most: usize) -> Result<(), ReadError> {
    if settings.window > most {
        return Err(ReadError::WindowTooLarge { window: settings.window, most });
    }
    let budgets = [("chunk", settings.chunk), ("memory", settings.memory), ("plan", settings.plan), ("answer", settings.answer)];
    match budgets.into_iter().find(|(_, tokens)| *tokens < LEAST) {
        Some((name, tokens)) => Err(ReadError::TooSmall { name, tokens }),
        None => Ok(()),
    }
}

/// `Send` where futures must be.
#[cfg(not(target_arch = "wasm32"))]
pub use std::marker::Send as MaybeSendFn;
/// Nothing on wasm: an auto trait that every type has.
#[cfg(target_arch = "wasm32")]
pub use std::marker::Unpin as MaybeSendFn;

/// `Sync` where futures must be `Send`.
#[cfg(not(target_arch = "wasm32"))]
use std::marker::Sync as MaybeSyncFn;
#[cfg(target_arch = "wasm32")]
use std::marker::Unpin as MaybeSyncFn;

/// Tells the person who watches; several turns may at once.
type See<'a> = dyn for<'p> Fn(Progress<'p>) + MaybeSyncFn + 'a;

/// A part of a document as the model sees it; with several documents each part says whose it is.
fn section(document: &Document, start: usize, end: usize, documents: usize) -> String {
    let text = &document.text[start..end];
    if documents == 1 {
        return text.to_string();
    }
    // A file's name is data as well: one line, none of our tags.
    let name = neutralise(&document.source).replace(char::is_control, " ");
    format!("[{name}]\n{text}\n")
}

/// Bytes covered by spans (document number, start, end), all bytes, and the gaps.
pub fn coverage(documents: &[Document], spans: impl IntoIterator<Item = (usize, usize, usize)>) -> ((usize, usize), Vec<Span>) {
    let mut spans: Vec<_> = spans.into_iter().collect();
    spans.sort_unstable();
    let (mut covered, mut skipped) = (0, Vec::new());
    for (number, document) in documents.iter().enumerate() {
        let mut at = 0;
        for &(_, start, end) in spans.iter().filter(|(n, ..)| *n == number) {
            if start > at {
                skipped.push(Span { doc: document.id.clone(), start: at, end: start });
            }
            covered += end.saturating_sub(start.max(at));
            at = at.max(end);
        }
        if at < document.text.len() {
            skipped.push(Span { doc: document.id.clone(), start: at, end: document.text.len() });
        }
    }
    ((covered, documents.iter().map(|d| d.text.len()).sum()), skipped)
}

/// The document without our own tags. Texts may be large: one that has none is shared, not copied.
fn shown(document: &Document) -> Document {
    match first_tag(&document.text) < document.text.len() {
        true => Document { text: neutralise(&document.text).into(), ..document.clone() },
        false => document.clone(),
    }
}

/// 128 bits of FNV-1a over the text as the model sees it, in hex: tells a changed document from the one a log was made with.
fn fingerprint(document: &Document, documents: usize) -> String {
    let empty = section(document, 0, 0, documents);
    let (before, after) = empty.split_at(empty.len().saturating_sub(1));
    let mut hash = Fnv::default();
    hash.add(before.bytes().chain(document.text.bytes()).chain(after.bytes()));
    hash.hex()
}

/// 128 bits of FNV-1a.
pub(crate) struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    pub(crate) fn add(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    pub(crate) fn hex(&self) -> String {
        format!("{:032x}", self.0)
    }
}

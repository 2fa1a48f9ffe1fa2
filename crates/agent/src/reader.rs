//! The loop: chunk by chunk, `m_t, p_t ~ π(· | m_{t-1}, p_{t-1}, x_t, q_core)`, then `y ~ π(· | m_K, q_core, q_inst)` (§3.1).

use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Document, MaybeSend, Message, ReadEvent, Span};
use tokenizer::{Chunk, Tokenizer, TokenizerError};

use crate::prompts;
use crate::reply::{read_update, strip_thinking};
use crate::settings::{Mode, ReadSettings};

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
        /// 0-based.
        index: usize,
        /// Its document tokens.
        tokens: usize,
    },
    /// New text of the current reply.
    Text(&'a str),
    /// A turn is over and logged.
    Event(&'a ReadEvent),
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
    /// `Mode::Single` on a document that does not fit.
    #[error("the document takes {tokens} tokens, the window holds {window}: read it with memory, or with a larger window")]
    DoesNotFit {
        /// Prompt and reply.
        tokens: usize,
        /// The window.
        window: usize,
    },
    /// The log belongs to another read.
    #[error("the log is of another read: {0} differs; choose another log or the same inputs")]
    OtherRead(&'static str),
    /// The log could not be written.
    #[error("the log could not be written: {0}; everything before this turn is kept")]
    Log(String),
    /// The model failed.
    #[error("the model failed: {0}")]
    Model(#[from] ChatError),
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
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

/// Reads `documents` to answer `question`. `past` is the log of an earlier, unfinished run of the same read (empty for a new
/// one): its chunks are not read again.
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
    let (core, instruction) = prompts::split_question(question);
    if core.is_empty() {
        return Err(ReadError::NoQuestion);
    }
    for document in documents {
        if document.text.trim().is_empty() {
            return Err(ReadError::Empty(document.source.clone()));
        }
    }
    if documents.is_empty() {
        return Err(ReadError::Empty("the list of documents".into()));
    }
    let mut run = Run { model, tokenizer, settings, core, instruction, sink, progress, fingerprints: vec![] };
    run.fingerprints = documents.iter().map(|document| fingerprint(&document.text)).collect();
    run.check_past(past, question)?;
    let finished = past.iter().find_map(|event| match event {
        ReadEvent::Answer { text, .. } => Some(text.clone()),
        _ => None,
    });
    let whole: String = documents.iter().map(|document| section(document, 0, document.text.len(), documents.len())).collect();
    let single = prompts::single(&run.core, &whole, &run.instruction);
    let needed = model.count_prompt(&[Message::user(&*single)])? + settings.thinking + settings.answer;
    let started = past.iter().any(|event| matches!(event, ReadEvent::Chunk { .. }));
    if !started && (settings.mode == Mode::Single || settings.mode == Mode::Auto && needed <= settings.window) {
        if needed > settings.window {
            return Err(ReadError::DoesNotFit { tokens: needed, window: settings.window });
        }
        let total = documents.iter().map(|d| d.text.len()).sum();
        (run.progress)(Progress::Planned { chunks: 0, resumed: 0, tokens: needed });
        if past.is_empty() {
            run.start(documents, question, 0)?;
        }
        let answer = match finished {
            Some(answer) => answer,
            None => run.answer(single, u64::MAX).await?,
        };
        return Ok(Reading { answer, memory: String::new(), plan: String::new(), coverage: (total, total), skipped: vec![] });
    }
    run.read_in_chunks(documents, question, past, finished).await
}

/// `Send` where futures must be.
#[cfg(not(target_arch = "wasm32"))]
pub use std::marker::Send as MaybeSendFn;
/// Nothing on wasm: an auto trait that every type has.
#[cfg(target_arch = "wasm32")]
pub use std::marker::Unpin as MaybeSendFn;

struct Run<'a> {
    model: &'a dyn ChatModel,
    tokenizer: &'a Tokenizer,
    settings: &'a ReadSettings,
    core: String,
    instruction: String,
    sink: &'a mut dyn EventSink,
    progress: &'a mut (dyn for<'p> FnMut(Progress<'p>) + MaybeSendFn),
    fingerprints: Vec<String>,
}

impl Run<'_> {
    async fn read_in_chunks(
        &mut self,
        documents: &[Document],
        question: &str,
        past: &[ReadEvent],
        finished: Option<String>,
    ) -> Result<Reading, ReadError> {
        let settings = self.settings;
        let empty = self.model.count_prompt(&[Message::user(prompts::update(&self.core, "", "", ""))])?;
        let fixed = empty + settings.memory + 2 * settings.plan + settings.thinking + settings.memory;
        // Joining texts can cost a few tokens more than their sum.
        let slack = 32;
        let room = settings.window.saturating_sub(fixed + slack);
        if room < 16 {
            return Err(ReadError::WindowTooSmall { window: settings.window, needed: fixed + slack + 16 });
        }
        let size = settings.chunk.min(room);
        let mut plan: Vec<(usize, Chunk)> = Vec::new();
        for (index, document) in documents.iter().enumerate() {
            let header = if documents.len() > 1 { self.tokenizer.count(&section(document, 0, 0, 2))? } else { 0 };
            let chunks = tokenizer::chunks(self.tokenizer, &document.text, size.saturating_sub(header).max(1))?;
            plan.extend(chunks.into_iter().map(|chunk| (index, chunk)));
        }
        let tokens = plan.iter().map(|(_, chunk)| chunk.tokens).sum();
        if past.is_empty() {
            self.start(documents, question, plan.len())?;
        }
        let (mut memory, mut guide, mut done) = (String::new(), String::new(), 0);
        for event in past {
            if let ReadEvent::Chunk { index, start, end, memory: m, plan: p, .. } = event {
                let same = plan.get(*index).is_some_and(|(_, chunk)| (chunk.start, chunk.end) == (*start, *end));
                if *index != done || !same {
                    return Err(ReadError::OtherRead("the cutting into chunks"));
                }
                (memory, guide, done) = (m.clone(), p.clone(), index + 1);
            }
        }
        (self.progress)(Progress::Planned { chunks: plan.len(), resumed: done, tokens });
        for (index, (number, chunk)) in plan.iter().enumerate().skip(done) {
            (self.progress)(Progress::Chunk { index, tokens: chunk.tokens });
            let document = &documents[*number];
            let text = section(document, chunk.start, chunk.end, documents.len());
            let prompt = prompts::update(&self.core, &memory, &guide, &text);
            let limit = settings.memory + settings.plan + 32 + settings.thinking;
            let reply = self.chat(prompt, limit, index as u64).await?;
            let next = read_update(&reply.text, (&memory, &guide), settings.memory, self.tokenizer)?;
            memory = next.memory;
            guide = shorten(next.plan, settings.plan, self.tokenizer)?;
            self.log(ReadEvent::Chunk {
                index,
                doc: document.id.clone(),
                start: chunk.start,
                end: chunk.end,
                tokens: chunk.tokens,
                reply: reply.text,
                memory: memory.clone(),
                plan: guide.clone(),
                outcome: next.outcome,
                usage: reply.usage,
            })?;
        }
        let answer = match finished {
            Some(answer) => answer,
            None => self.answer(prompts::answer(&self.core, &memory, &self.instruction), u64::MAX).await?,
        };
        let spans = plan.iter().map(|(number, chunk)| (*number, chunk.start, chunk.end));
        let (coverage, skipped) = coverage(documents, spans);
        Ok(Reading { answer, memory, plan: guide, coverage, skipped })
    }

    async fn answer(&mut self, prompt: String, turn: u64) -> Result<String, ReadError> {
        let reply = self.chat(prompt, self.settings.answer + self.settings.thinking, turn).await?;
        let text = strip_thinking(&reply.text).to_string();
        self.log(ReadEvent::Answer { text: text.clone(), reply: reply.text, usage: reply.usage })?;
        Ok(text)
    }

    /// One call. Its seed depends on the turn, not on what ran before, so a resumed read goes on as it would have.
    fn chat<'b>(&'b mut self, prompt: String, limit: usize, turn: u64) -> BoxFuture<'b, Result<ChatReply, ReadError>> {
        Box::pin(async move {
            let messages = vec![Message::user(prompt)];
            let used = self.model.count_prompt(&messages)?;
            let max_tokens = limit.min(self.settings.window.saturating_sub(used));
            if max_tokens == 0 {
                return Err(ReadError::WindowTooSmall { window: self.settings.window, needed: used + 1 });
            }
            let mut sampling = self.settings.sampling;
            sampling.seed = sampling.seed.wrapping_add(turn.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let request = ChatRequest { messages, sampling, max_tokens };
            let progress = &mut *self.progress;
            let mut on_text = |text: &str| progress(Progress::Text(text));
            Ok(self.model.chat(&request, &mut on_text).await?)
        })
    }

    fn start(&mut self, documents: &[Document], question: &str, chunks: usize) -> Result<(), ReadError> {
        let settings = self.settings;
        let event = ReadEvent::Started {
            version: ReadEvent::VERSION,
            model: self.model.name(),
            question: question.to_string(),
            documents: documents.iter().zip(&self.fingerprints).map(|(d, f)| (d.id.clone(), f.clone(), d.text.len())).collect(),
            window: settings.window,
            chunk: settings.chunk,
            memory: settings.memory,
            chunks,
            sampling: settings.sampling,
        };
        self.log(event)
    }

    fn check_past(&self, past: &[ReadEvent], asked: &str) -> Result<(), ReadError> {
        let Some(first) = past.first() else { return Ok(()) };
        let ReadEvent::Started { version, model, question, documents, window, chunk, memory, sampling, .. } = first else {
            return Err(ReadError::OtherRead("its first line"));
        };
        let settings = self.settings;
        let fingerprints: Vec<&String> = documents.iter().map(|(_, fingerprint, _)| fingerprint).collect();
        let checks = [
            (*version == ReadEvent::VERSION, "the log's version"),
            (*model == self.model.name(), "the model"),
            (question == asked, "the question"),
            (fingerprints == self.fingerprints.iter().collect::<Vec<_>>(), "a document"),
            ((*window, *chunk, *memory) == (settings.window, settings.chunk, settings.memory), "a size (window, chunk or memory)"),
            (*sampling == settings.sampling, "the sampling"),
        ];
        match checks.iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(ReadError::OtherRead(what)),
            None => Ok(()),
        }
    }

    fn log(&mut self, event: ReadEvent) -> Result<(), ReadError> {
        self.sink.append(&event).map_err(ReadError::Log)?;
        (self.progress)(Progress::Event(&event));
        Ok(())
    }
}

/// A part of a document as the model sees it; with several documents each part says whose it is.
fn section(document: &Document, start: usize, end: usize, documents: usize) -> String {
    let text = &document.text[start..end];
    if documents > 1 { format!("[{}]\n{text}\n", document.source) } else { text.to_string() }
}

fn shorten(text: String, budget: usize, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
    if tokenizer.count(&text)? <= budget {
        return Ok(text);
    }
    let mut ids = tokenizer.encode(&text)?;
    ids.truncate(budget);
    Ok(tokenizer.decode(&ids, true)?.trim_end_matches('\u{FFFD}').trim().to_string())
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

/// 128 bits of FNV-1a over the text, in hex: tells a changed document from the one a log was made with.
fn fingerprint(text: &str) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in text.bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

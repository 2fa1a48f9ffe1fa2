//! The loop: chunk by chunk, `m_t, p_t ~ π(· | m_{t-1}, p_{t-1}, x_t, q_core)`, then `y ~ π(· | m_K, q_core, q_inst)` (§3.1).

use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Document, MaybeSend, Message, ReadEvent, Span, StopReason};
use tokenizer::{Chunk, Tokenizer, TokenizerError};

use crate::prompts;
use crate::reply::{cut_to, read_memory, read_update, spoken};
use crate::select;
use crate::settings::{Mode, ReadSettings};
use crate::tags::neutralise;

/// The fewest tokens a section, a memory or a plan is worth having with.
const LEAST: usize = 16;
/// What the form of an update reply takes beside memory and plan.
const FORM: usize = 32;
/// Joined texts can take a few tokens more than their sum.
const JOINS: usize = 32;

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
    /// The log belongs to another read.
    #[error("the log is of another read: {0} differs; choose another log or the same inputs as then")]
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

/// Reads `documents` to answer `question`: in one pass if they fit, through memory otherwise ([`Mode`]).
///
/// A document is data: the prompt's own tags in it reach the model with square brackets (`[/section]`). Every setting is checked
/// before the first turn, so that a long read does not fail at its end. `past` is the log of an earlier, unfinished run of the same read (empty for a new
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
    if documents.is_empty() {
        return Err(ReadError::Empty("the list of documents".into()));
    }
    if let Some(document) = documents.iter().find(|document| document.text.trim().is_empty()) {
        return Err(ReadError::Empty(document.source.clone()));
    }
    check_settings(settings, model.window())?;
    // What the prompts are made of: the same bytes at the same places, without our own tags.
    let shown: Vec<Document> =
        documents.iter().map(|document| Document { text: neutralise(&document.text).into(), ..document.clone() }).collect();
    let sections = shown.iter().map(|document| section(document, 0, document.text.len(), shown.len()));
    let whole: String = sections.clone().collect();
    let fingerprints = sections.map(|text| fingerprint(&text)).collect();
    let mut run = Run { model, tokenizer, settings, core, instruction, sink, progress, fingerprints };
    let past = run.check_past(past, question)?;
    if let (Mode::Truncate | Mode::Retrieve, None | Some(0)) = (settings.mode, past.chunks) {
        return run.read_a_part(&shown, question, past).await;
    }
    let single = prompts::single(&run.core, &whole, &run.instruction);
    let needed = model.count_prompt(&[Message::user(&*single)])? + settings.thinking + settings.answer;
    let in_one = match (past.chunks, settings.mode) {
        (Some(chunks), Mode::Auto) => chunks == 0,
        (Some(chunks), mode) if (chunks == 0) != matches!(mode, Mode::Single | Mode::Truncate | Mode::Retrieve) => {
            return Err(ReadError::OtherRead("the mode"));
        }
        (_, Mode::Single) => true,
        (_, Mode::Memory | Mode::MemAgent) => false,
        (_, Mode::Truncate | Mode::Retrieve) => return Err(ReadError::OtherRead("the mode")),
        (None, Mode::Auto) => needed <= settings.window,
    };
    if !in_one {
        return run.read_in_chunks(&shown, question, past).await;
    }
    if needed > settings.window {
        return Err(ReadError::DoesNotFit { tokens: needed, window: settings.window });
    }
    (run.progress)(Progress::Planned { chunks: 0, resumed: 0, tokens: needed });
    if past.chunks.is_none() {
        run.start(documents, question, 0)?;
    }
    let answer = match past.answer {
        Some(answer) => answer,
        None => run.answer(single, u64::MAX).await?,
    };
    let total = documents.iter().map(|document| document.text.len()).sum();
    Ok(Reading { answer, memory: String::new(), plan: String::new(), coverage: (total, total), skipped: vec![] })
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

/// What the log of an earlier run says.
#[derive(Default)]
struct Past {
    /// The planned number of chunks; `None` where there was no run.
    chunks: Option<usize>,
    /// (start, end, memory, plan) of each chunk that was read.
    read: Vec<(usize, usize, String, String)>,
    answer: Option<String>,
}

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
    async fn read_in_chunks(&mut self, documents: &[Document], question: &str, past: Past) -> Result<Reading, ReadError> {
        let plan = self.cut(documents)?;
        let tokens = plan.iter().map(|(_, chunk)| chunk.tokens).sum();
        if past.chunks.is_none() {
            self.start(documents, question, plan.len())?;
        } else {
            let same = past.read.iter().zip(&plan).all(|((start, end, ..), (_, chunk))| (*start, *end) == (chunk.start, chunk.end));
            if !same || past.chunks != Some(plan.len()) {
                return Err(ReadError::OtherRead("the cutting into chunks"));
            }
            if past.answer.is_some() && past.read.len() != plan.len() {
                return Err(ReadError::OtherRead("the number of chunks before the answer"));
            }
        }
        let done = past.read.len();
        let (mut memory, mut guide) =
            past.read.into_iter().next_back().map_or_else(Default::default, |(_, _, memory, plan)| (memory, plan));
        (self.progress)(Progress::Planned { chunks: plan.len(), resumed: done, tokens });
        let settings = self.settings;
        for (index, (number, chunk)) in plan.iter().enumerate().skip(done) {
            (self.progress)(Progress::Chunk { index, tokens: chunk.tokens });
            let document = &documents[*number];
            let text = section(document, chunk.start, chunk.end, documents.len());
            let memagent = settings.mode == Mode::MemAgent;
            let prompt = match memagent {
                true => prompts::memagent_update(&self.core, &memory, &text),
                false => prompts::update(&self.core, &memory, &guide, &text, settings.quotes),
            };
            let limit = settings.memory + settings.plan + FORM + settings.thinking;
            // Small models lose the form otherwise, or repeat the prompt.
            let begun =
                if settings.begin && settings.thinking == 0 && !memagent && self.model.continues() { prompts::UPDATE_BEGINS } else { "" };
            let stop = if settings.thinking == 0 && !memagent { vec![prompts::UPDATE_ENDS.to_string()] } else { vec![] };
            let mut reply = self.chat(prompt, limit, index as u64, begun, stop).await?;
            reply.text.insert_str(0, begun);
            let said = spoken(&reply.text, settings.thinking > 0, reply.stop == StopReason::Length);
            let next = match memagent {
                true => read_memory(said, &memory, settings.memory, self.tokenizer)?,
                false => read_update(said, (&memory, &guide), settings.memory, self.tokenizer)?,
            };
            memory = next.memory;
            guide = cut_to(&next.plan, settings.plan, self.tokenizer)?;
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
        let answer = match past.answer {
            Some(answer) => answer,
            None => self.answer(self.last_prompt(&memory), u64::MAX).await?,
        };
        let spans = plan.iter().map(|(number, chunk)| (*number, chunk.start, chunk.end));
        let (coverage, skipped) = coverage(documents, spans);
        Ok(Reading { answer, memory, plan: guide, coverage, skipped })
    }

    fn last_prompt(&self, memory: &str) -> String {
        match self.settings.mode {
            Mode::MemAgent => prompts::memagent_answer(&self.core, memory, &self.instruction),
            _ => prompts::answer(&self.core, memory, &self.instruction),
        }
    }

    /// One pass over what truncation or retrieval leaves of the documents.
    async fn read_a_part(&mut self, documents: &[Document], question: &str, past: Past) -> Result<Reading, ReadError> {
        let settings = self.settings;
        let form = self.model.count_prompt(&[Message::user(prompts::single(&self.core, "", &self.instruction))])?;
        let named = |document: &Document| section(document, 0, 0, documents.len());
        let mut needed = form + settings.thinking + settings.answer + JOINS + self.tokenizer.count(select::GAP)?;
        for document in documents {
            needed += self.tokenizer.count(&named(document))?;
        }
        if needed + LEAST > settings.window {
            return Err(ReadError::WindowTooSmall { window: settings.window, needed: needed + LEAST });
        }
        let budget = settings.window - needed;
        let spans = match settings.mode {
            Mode::Truncate => select::truncate(documents, budget, self.tokenizer)?,
            _ => select::retrieve(documents, &self.core, budget, self.tokenizer)?,
        };
        (self.progress)(Progress::Planned { chunks: 0, resumed: 0, tokens: budget });
        if past.chunks.is_none() {
            self.start(documents, question, 0)?;
            self.log(ReadEvent::Selected { spans: spans.clone() })?;
        }
        let answer = match past.answer {
            Some(answer) => answer,
            None => {
                let text = select::joined(documents, &spans, named);
                self.answer(prompts::single(&self.core, &text, &self.instruction), u64::MAX).await?
            }
        };
        let number = |span: &Span| documents.iter().position(|document| document.id == span.doc).unwrap_or(0);
        let (coverage, skipped) = coverage(documents, spans.iter().map(|span| (number(span), span.start, span.end)));
        Ok(Reading { answer, memory: String::new(), plan: String::new(), coverage, skipped })
    }

    /// Empty for the paper's way.
    fn style(&self) -> &'static str {
        match (self.settings.mode, self.settings.quotes) {
            (Mode::MemAgent, _) => "memagent",
            (Mode::Truncate, _) => "truncate",
            (Mode::Retrieve, _) => "retrieve",
            (_, true) => "quotes",
            (_, false) => "",
        }
    }

    /// The documents' chunks, each with the number of its document.
    fn cut(&self, documents: &[Document]) -> Result<Vec<(usize, Chunk)>, ReadError> {
        let settings = self.settings;
        let window = settings.window;
        let count = |prompt: String| self.model.count_prompt(&[Message::user(prompt)]);
        let update = count(prompts::update(&self.core, "", "", "", settings.quotes))?
            + 2 * (settings.memory + settings.plan)
            + FORM
            + settings.thinking
            + JOINS;
        let last = count(self.last_prompt(""))? + settings.memory + settings.answer + settings.thinking + JOINS;
        let mut header = 0;
        for document in documents {
            header = header.max(self.tokenizer.count(&section(document, 0, 0, documents.len()))?);
        }
        // The last turn is checked first of all: a read that cannot end must not begin.
        let needed = last.max(update + header + LEAST);
        if window < needed {
            return Err(ReadError::WindowTooSmall { window, needed });
        }
        let room = window - update - header;
        if settings.chunk >= window {
            return Err(ReadError::ChunkTooLarge { chunk: settings.chunk, window, room });
        }
        let mut plan = Vec::new();
        for (number, document) in documents.iter().enumerate() {
            let chunks = tokenizer::chunks_at(self.tokenizer, &document.text, &document.cuts, settings.chunk.min(room))?;
            plan.extend(chunks.into_iter().map(|chunk| (number, chunk)));
        }
        Ok(plan)
    }

    async fn answer(&mut self, prompt: String, turn: u64) -> Result<String, ReadError> {
        let reply = self.chat(prompt, self.settings.answer + self.settings.thinking, turn, "", vec![]).await?;
        let text = spoken(&reply.text, self.settings.thinking > 0, reply.stop == StopReason::Length).to_string();
        self.log(ReadEvent::Answer { text: text.clone(), reply: reply.text, usage: reply.usage })?;
        Ok(text)
    }

    /// One call; the reply continues `begun` and ends before any of `stop`. Its seed depends on the turn, not on what ran before, so
    /// a resumed read goes on as it would have.
    fn chat<'b>(
        &'b mut self,
        prompt: String,
        limit: usize,
        turn: u64,
        begun: &'static str,
        stop: Vec<String>,
    ) -> BoxFuture<'b, Result<ChatReply, ReadError>> {
        Box::pin(async move {
            let mut messages = vec![Message::user(prompt)];
            if !begun.is_empty() {
                messages.push(Message::assistant(begun));
            }
            let used = self.model.count_prompt(&messages)?;
            let max_tokens = limit.min(self.settings.window.saturating_sub(used));
            if max_tokens == 0 {
                return Err(ReadError::WindowTooSmall { window: self.settings.window, needed: used + 1 });
            }
            let mut sampling = self.settings.sampling;
            sampling.seed = sampling.seed.wrapping_add(turn.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let request = ChatRequest { stop, ..ChatRequest::new(messages, sampling, max_tokens) };
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
            plan: settings.plan,
            thinking: settings.thinking,
            answer: settings.answer,
            chunks,
            sampling: settings.sampling,
            style: self.style().into(),
        };
        self.log(event)
    }

    /// Takes a log of the same read apart; refuses any other.
    fn check_past(&self, past: &[ReadEvent], asked: &str) -> Result<Past, ReadError> {
        let Some((first, rest)) = past.split_first() else { return Ok(Past::default()) };
        let ReadEvent::Started {
            version,
            model,
            question,
            documents,
            window,
            chunk,
            memory,
            plan,
            thinking,
            answer,
            chunks,
            sampling,
            style,
        } = first
        else {
            return Err(ReadError::OtherRead("its first line"));
        };
        let set = self.settings;
        let checks = [
            (*version == ReadEvent::VERSION, "the log's version"),
            (*model == self.model.name(), "the model"),
            (question == asked, "the question"),
            (documents.iter().map(|(_, fingerprint, _)| fingerprint).eq(&self.fingerprints), "a document"),
            ((*window, *chunk, *memory) == (set.window, set.chunk, set.memory), "a size (window, chunk or memory)"),
            ((*plan, *thinking, *answer) == (set.plan, set.thinking, set.answer), "a budget (plan, thinking or answer)"),
            (*sampling == set.sampling, "the sampling"),
            (style == self.style(), "the mode"),
        ];
        if let Some((_, what)) = checks.iter().find(|(same, _)| !same) {
            return Err(ReadError::OtherRead(what));
        }
        let mut out = Past { chunks: Some(*chunks), ..Past::default() };
        for event in rest {
            match event {
                ReadEvent::Chunk { index, start, end, memory, plan, .. }
                    if *index == out.read.len() && *index < *chunks && out.answer.is_none() =>
                {
                    out.read.push((*start, *end, memory.clone(), plan.clone()));
                }
                ReadEvent::Selected { .. } if *chunks == 0 && out.answer.is_none() => {}
                ReadEvent::Answer { text, .. } if out.answer.is_none() => out.answer = Some(text.clone()),
                _ => return Err(ReadError::OtherRead("the order of its lines")),
            }
        }
        Ok(out)
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

/// 128 bits of FNV-1a over the text as the model sees it, in hex: tells a changed document from the one a log was made with.
fn fingerprint(text: &str) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in text.bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

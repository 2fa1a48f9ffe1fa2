//! One question on its way through the documents: its memory, its log, its calls.

use data::{BoxFuture, ChatModel, ChatReply, ChatRequest, Document, MemoryOutcome, Message, ReadEvent, Span, StopReason, Usage};
use tokenizer::{Chunk, Tokenizer};

use super::past::Past;
use super::{Ask, EventSink, LEAST, Progress, ReadError, Reading, See, coverage, section};
use crate::reply::{NextState, cut_to, spoken};
use crate::settings::{Mode, ReadSettings};
use crate::turn::FORM;
use crate::{outline, prompts, select, turn};

/// Joined texts can take a few tokens more than their sum.
const JOINS: usize = 32;

/// A question, and where it stands.
pub struct Thread<'a> {
    number: usize,
    model: &'a dyn ChatModel,
    tokenizer: &'a Tokenizer,
    settings: &'a ReadSettings,
    question: &'a str,
    core: String,
    instruction: String,
    sink: &'a mut dyn EventSink,
    see: &'a See<'a>,
    sections: &'a [Span],
    fingerprints: &'a [String],
    /// Whether the question is put to notes alone.
    from_notes: bool,
    edits: &'a str,
    again: bool,
    /// What an earlier run did.
    pub past: Past,
    memory: String,
    guide: String,
    /// Chunks behind it.
    done: usize,
    /// Each section's own notes (outline only).
    notes: Vec<String>,
}

/// The documents' chunks, each with the number of its document.
pub type Plan = Vec<(usize, Chunk)>;

impl<'a> Thread<'a> {
    /// A question at its beginning, or where its log leaves it. Refuses an empty one, and the log of another read.
    pub fn new(
        number: usize,
        ask: Ask<'a>,
        model: &'a dyn ChatModel,
        tokenizer: &'a Tokenizer,
        settings: &'a ReadSettings,
        fingerprints: &'a [String],
        see: &'a See<'a>,
    ) -> Result<Self, ReadError> {
        let Ask { question, past: log, sink, sections, notes, edits, again } = ask;
        let (core, instruction) = prompts::split_question(question);
        if core.is_empty() && settings.mode != Mode::Outline {
            return Err(ReadError::NoQuestion);
        }
        let mut thread = Self {
            number,
            model,
            tokenizer,
            settings,
            question,
            core,
            instruction,
            sink,
            see,
            sections,
            fingerprints,
            from_notes: sections.is_empty() && !notes.trim().is_empty(),
            edits,
            again,
            past: Past::default(),
            memory: cut_to(notes, settings.memory, tokenizer)?,
            guide: String::new(),
            done: 0,
            notes: Vec::new(),
        };
        thread.past = Past::new(log)?;
        if let Some(first) = log.first() {
            thread.check_same(first)?;
        }
        Ok(thread)
    }

    /// Whether only parts are to be read.
    pub fn has_sections(&self) -> bool {
        !self.sections.is_empty()
    }

    /// Whether the question is put to notes alone.
    pub fn asks_notes(&self) -> bool {
        self.from_notes
    }

    /// One call over the notes.
    pub async fn ask_notes(&mut self, documents: &[Document]) -> Result<Reading, ReadError> {
        let prompt = prompts::ask(&self.core, &self.memory, &self.instruction);
        self.has_room(prompt.clone())?;
        if self.past.chunks.is_none() {
            self.start(documents, 0)?;
        }
        self.give()?;
        let answer = self.answer(prompt).await?;
        let (coverage, skipped) = coverage(documents, []);
        Ok(Reading { answer, memory: self.memory.clone(), plan: String::new(), coverage, skipped })
    }

    /// Whether only the last turn is wished.
    pub fn answers_again(&self) -> bool {
        self.again
    }

    /// The last turn of a read that came to its end, from its notes as they are.
    pub async fn answer_again(&mut self, documents: &[Document]) -> Result<Reading, ReadError> {
        let whole = self.past.chunks == Some(self.past.read.len()) && self.settings.mode != Mode::Outline;
        let (_, _, memory, plan) = self.past.read.last().filter(|_| whole).cloned().ok_or(ReadError::Unfinished)?;
        let prompt = self.last_prompt(&memory);
        self.has_room(prompt.clone())?;
        let answer = self.answer(prompt).await?;
        let (coverage, skipped) = coverage(documents, []);
        Ok(Reading { answer, memory, plan, coverage, skipped })
    }

    fn has_room(&self, prompt: String) -> Result<(), ReadError> {
        let (needed, window) = (self.call_tokens(prompt)?, self.settings.window);
        if needed > window { Err(ReadError::WindowTooSmall { window, needed }) } else { Ok(()) }
    }

    /// Says in the log what a person changed in the notes that it is given; `true` where the log was given others, and counts no more.
    fn give(&mut self) -> Result<bool, ReadError> {
        if self.past.edits == self.edits {
            return Ok(false);
        }
        (self.past.read, self.past.answer, self.past.edits) = (Vec::new(), None, self.edits.into());
        self.log(ReadEvent::Given { edits: self.edits.into() })?;
        Ok(true)
    }

    /// Chunks behind it.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Whether one call has room for everything, and the reply.
    pub fn fits_whole(&self, documents: &[Document]) -> Result<bool, ReadError> {
        let window = self.settings.window;
        for document in documents {
            // Far too much need not be counted.
            if tokenizer::exceeds(self.tokenizer, &document.text, window)? {
                return Ok(false);
            }
        }
        let whole: String = documents.iter().map(|document| section(document, 0, document.text.len(), documents.len())).collect();
        if tokenizer::exceeds(self.tokenizer, &whole, window)? {
            return Ok(false);
        }
        Ok(self.call_tokens(turn::single(self.settings, &self.core, &whole, &self.instruction))? <= window)
    }

    fn call_tokens(&self, prompt: String) -> Result<usize, ReadError> {
        Ok(self.model.count_prompt(&[Message::user(prompt)])? + self.settings.thinking + self.settings.answer)
    }

    /// One call over everything.
    pub fn read_whole<'b>(&'b mut self, documents: &'b [Document], whole: &'b str) -> BoxFuture<'b, Result<Reading, ReadError>> {
        Box::pin(async move {
            let window = self.settings.window;
            if tokenizer::exceeds(self.tokenizer, whole, window)? {
                return Err(ReadError::FarTooLong { window });
            }
            let prompt = turn::single(self.settings, &self.core, whole, &self.instruction);
            let needed = self.call_tokens(prompt.clone())?;
            if needed > window {
                return Err(ReadError::DoesNotFit { tokens: needed, window });
            }
            (self.see)(Progress::Planned { chunks: 0, resumed: 0, tokens: needed });
            if self.past.chunks.is_none() {
                self.start(documents, 0)?;
            }
            let answer = self.answer(prompt).await?;
            let total = documents.iter().map(|document| document.text.len()).sum();
            Ok(Reading { answer, memory: String::new(), plan: String::new(), coverage: (total, total), skipped: vec![] })
        })
    }

    /// One call over what truncation or retrieval leaves of the documents.
    pub async fn read_a_part(&mut self, documents: &[Document]) -> Result<Reading, ReadError> {
        let settings = self.settings;
        let form = self.call_tokens(turn::single(settings, &self.core, "", &self.instruction))?;
        let named = |document: &Document| section(document, 0, 0, documents.len());
        let mut needed = form + JOINS + self.tokenizer.count(select::GAP)?;
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
        (self.see)(Progress::Planned { chunks: 0, resumed: 0, tokens: budget });
        if self.past.chunks.is_none() {
            self.start(documents, 0)?;
            self.log(ReadEvent::Selected { spans: spans.clone() })?;
        }
        let text = select::joined(documents, &spans, named);
        let answer = self.answer(turn::single(settings, &self.core, &text, &self.instruction)).await?;
        let number = |span: &Span| documents.iter().position(|document| document.id == span.doc).unwrap_or(0);
        let (coverage, skipped) = coverage(documents, spans.iter().map(|span| (number(span), span.start, span.end)));
        Ok(Reading { answer, memory: String::new(), plan: String::new(), coverage, skipped })
    }

    /// The most document tokens one turn has room for. Errors when the window cannot hold a turn.
    pub fn room(&self, documents: &[Document]) -> Result<usize, ReadError> {
        let settings = self.settings;
        let window = settings.window;
        let count = |prompt: String| self.model.count_prompt(&[Message::user(prompt)]);
        let (update, last) = match settings.mode {
            Mode::Outline => (
                count(prompts::outline(""))? + settings.memory + FORM + settings.thinking + JOINS,
                count(prompts::outline_whole(""))? + settings.answer + settings.thinking + JOINS + LEAST,
            ),
            _ => (
                count(turn::prompt(settings, &self.core, ("", ""), ""))? + settings.memory + settings.plan + turn::limit(settings) + JOINS,
                count(self.last_prompt(""))? + settings.memory + settings.answer + settings.thinking + JOINS,
            ),
        };
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
        Ok(room)
    }

    /// The chunks to read, of at most `room` tokens.
    pub fn cut(&self, documents: &[Document], room: usize) -> Result<Plan, ReadError> {
        let most = self.settings.chunk.min(room);
        let mut plan = Vec::new();
        if self.has_sections() {
            for span in self.sections {
                let found = documents.iter().enumerate().find(|(_, document)| document.id == span.doc);
                let (number, document) = found.ok_or(ReadError::OtherRead("a document"))?;
                let text = document.text.get(span.start..span.end).ok_or(ReadError::OtherRead("a document"))?;
                let cuts: Vec<usize> =
                    document.cuts.iter().filter(|&&cut| cut > span.start && cut < span.end).map(|cut| cut - span.start).collect();
                let chunks = tokenizer::chunks_at(self.tokenizer, text, &cuts, most)?;
                plan.extend(chunks.into_iter().map(|c| (number, Chunk { start: c.start + span.start, end: c.end + span.start, ..c })));
            }
            return Ok(plan);
        }
        for (number, document) in documents.iter().enumerate() {
            let chunks = tokenizer::chunks_at(self.tokenizer, &document.text, &document.cuts, most)?;
            plan.extend(chunks.into_iter().map(|chunk| (number, chunk)));
        }
        Ok(plan)
    }

    /// Writes the log's first line, or takes up where an earlier run stopped.
    pub fn begin(&mut self, documents: &[Document], plan: &Plan) -> Result<(), ReadError> {
        if self.past.chunks.is_none() {
            self.start(documents, plan.len())?;
            self.give()?;
            return self.select();
        }
        if self.give()? {
            self.select()?;
        }
        let past = &mut self.past;
        let same = past.read.iter().zip(plan).all(|((start, end, ..), (_, chunk))| (*start, *end) == (chunk.start, chunk.end));
        if !same || past.chunks != Some(plan.len()) {
            return Err(ReadError::OtherRead("the cutting into chunks"));
        }
        if past.answer.is_some() && past.read.len() != plan.len() {
            return Err(ReadError::OtherRead("the number of chunks before the answer"));
        }
        self.done = past.read.len();
        self.notes = past.read.iter().map(|(_, _, memory, _)| memory.clone()).collect();
        if let Some((_, _, memory, plan)) = past.read.pop() {
            (self.memory, self.guide) = (memory, plan);
            // A model's notes are cut to their room; a person's are not.
            let (tokens, most) = (self.tokenizer.count(&self.memory)?, self.settings.memory);
            if self.past.edited && tokens > most {
                return Err(ReadError::NotesTooLong { tokens, most });
            }
        }
        Ok(())
    }

    fn select(&mut self) -> Result<(), ReadError> {
        if self.has_sections() { self.log(ReadEvent::Selected { spans: self.sections.to_vec() }) } else { Ok(()) }
    }

    /// Reads a chunk.
    pub fn turn<'b>(
        &'b mut self,
        index: usize,
        documents: &'b [Document],
        number: usize,
        chunk: &'b Chunk,
    ) -> BoxFuture<'b, Result<(), ReadError>> {
        Box::pin(async move {
            (self.see)(Progress::Chunk { question: self.number, index, tokens: chunk.tokens });
            let settings = self.settings;
            let document = &documents[number];
            let text = section(document, chunk.start, chunk.end, documents.len());
            let (reply, next) = match settings.mode {
                Mode::Outline => self.notes_of(index, &text, &document.text[chunk.start..chunk.end]).await?,
                _ => self.update(index, &text).await?,
            };
            self.memory = next.memory;
            self.guide = next.plan;
            self.notes.push(self.memory.clone());
            self.done = index + 1;
            self.log(ReadEvent::Chunk {
                index,
                doc: document.id.clone(),
                start: chunk.start,
                end: chunk.end,
                tokens: chunk.tokens,
                reply: reply.text,
                memory: self.memory.clone(),
                plan: self.guide.clone(),
                outcome: next.outcome,
                usage: reply.usage,
                seconds: None,
            })
        })
    }

    /// The next memory and plan. Where notes must be proven and one was refused, what leads on is looked at once more.
    async fn update(&mut self, index: usize, text: &str) -> Result<(ChatReply, NextState), ReadError> {
        let (memory, plan) = (self.memory.clone(), self.guide.clone());
        let (reply, next) = self.look(index, text, (&memory, &plan)).await?;
        let Some(part) = turn::again(self.settings, &self.core, &next.memory, text, &next.outcome) else { return Ok((reply, next)) };
        let (mut second, after) = self.look(index, &part, (&next.memory, &next.plan)).await?;
        second.usage.prompt_tokens += reply.usage.prompt_tokens;
        second.usage.completion_tokens += reply.usage.completion_tokens;
        // Nothing more was found: what was refused stays told of.
        let outcome = if after.outcome == MemoryOutcome::Unchanged { next.outcome } else { after.outcome };
        Ok((second, NextState { outcome, ..after }))
    }

    /// One call over a text.
    async fn look(&mut self, index: usize, text: &str, state: (&str, &str)) -> Result<(ChatReply, NextState), ReadError> {
        let settings = self.settings;
        let prompt = turn::prompt(settings, &self.core, state, text);
        let (begun, stop) = turn::frame(settings, self.model.continues());
        let mut reply = self.chat(prompt, turn::limit(settings), index as u64, begun.into(), stop).await?;
        reply.text.insert_str(0, begun);
        let said = (&*reply.text, reply.stop == StopReason::Length);
        let next = turn::next(settings, &self.core, state, text, said, self.tokenizer)?;
        Ok((reply, next))
    }

    /// A section's own notes. A model that continues its reply is given one label of the form after the other, each in a call that shares
    /// all of its prompt with the one before: small models leave lines out otherwise, or put them into one.
    async fn notes_of(&mut self, index: usize, text: &str, section: &str) -> Result<(ChatReply, NextState), ReadError> {
        let settings = self.settings;
        let prompt = prompts::outline(text);
        let limit = settings.memory + FORM + settings.thinking;
        let mut reply =
            ChatReply { text: String::new(), token_ids: vec![], logprobs: vec![], stop: StopReason::Eos, usage: Usage::default() };
        if self.begins() {
            for label in outline::LABELS {
                if !reply.text.is_empty() {
                    reply.text.push('\n');
                }
                reply.text.push_str(&format!("{label}:"));
                let stop = vec!["\n".to_string()];
                let line = self.chat(prompt.clone(), limit / outline::LABELS.len(), index as u64, reply.text.clone(), stop).await?;
                reply.text.push_str(line.text.trim_end());
                reply.usage.prompt_tokens += line.usage.prompt_tokens;
                reply.usage.completion_tokens += line.usage.completion_tokens;
            }
        } else {
            reply = self.chat(prompt, limit, index as u64, String::new(), vec![]).await?;
        }
        let said = spoken(&reply.text, settings.thinking > 0, reply.stop == StopReason::Length);
        let next = outline::read_notes(said, section, settings.memory, self.tokenizer)?;
        Ok((reply, next))
    }

    /// Whether replies are begun for the model.
    fn begins(&self) -> bool {
        self.settings.thinking == 0 && self.settings.begin && self.model.continues()
    }

    /// Answers from the last memory.
    pub fn end<'b>(&'b mut self, documents: &'b [Document], plan: &'b Plan) -> BoxFuture<'b, Result<Reading, ReadError>> {
        Box::pin(async move {
            let answer = match self.settings.mode {
                Mode::Outline => self.outline(documents, plan).await?,
                _ => self.answer(self.last_prompt(&self.memory)).await?,
            };
            let (coverage, skipped) = coverage(documents, plan.iter().map(|(number, chunk)| (*number, chunk.start, chunk.end)));
            let memory = if self.settings.mode == Mode::Outline { self.notes.join("\n\n") } else { self.memory.clone() };
            Ok(Reading { answer, memory, plan: self.guide.clone(), coverage, skipped })
        })
    }

    fn last_prompt(&self, memory: &str) -> String {
        turn::last_prompt(self.settings, &self.core, memory, &self.instruction)
    }

    /// The model says what the whole is; the rest is put together from the sections' notes.
    async fn outline(&mut self, documents: &[Document], plan: &Plan) -> Result<String, ReadError> {
        if let Some(answer) = self.past.answer.take() {
            return Ok(answer);
        }
        let settings = self.settings;
        let form = self.model.count_prompt(&[Message::user(prompts::outline_whole(""))])?;
        let room = settings.window.saturating_sub(form + settings.answer + settings.thinking + JOINS);
        let summaries = outline::summaries(&self.notes, room, self.tokenizer)?;
        let reply =
            self.chat(prompts::outline_whole(&summaries), settings.answer + settings.thinking, u64::MAX, String::new(), vec![]).await?;
        let whole = spoken(&reply.text, settings.thinking > 0, reply.stop == StopReason::Length).to_string();
        let text = outline::compose(&whole, documents, plan, &self.notes);
        self.log_answer(&text, reply)?;
        Ok(text)
    }

    async fn answer(&mut self, prompt: String) -> Result<String, ReadError> {
        if let Some(answer) = self.past.answer.take() {
            return Ok(answer);
        }
        let reply = self.chat(prompt, self.settings.answer + self.settings.thinking, u64::MAX, String::new(), vec![]).await?;
        let text = spoken(&reply.text, self.settings.thinking > 0, reply.stop == StopReason::Length).to_string();
        self.log_answer(&text, reply)?;
        Ok(text)
    }

    fn log_answer(&mut self, text: &str, reply: ChatReply) -> Result<(), ReadError> {
        let name = self.model.name();
        let model = self.past.model.as_ref().is_some_and(|begun| *begun != name).then_some(name);
        self.log(ReadEvent::Answer { text: text.into(), reply: reply.text, usage: reply.usage, seconds: None, model })
    }

    /// One call; the reply continues `begun` and ends before any of `stop`. Its seed depends on the turn, not on what ran before, so
    /// a resumed read goes on as it would have.
    fn chat<'b>(
        &'b self,
        prompt: String,
        limit: usize,
        turn: u64,
        begun: String,
        stop: Vec<String>,
    ) -> impl Future<Output = Result<ChatReply, ReadError>> + use<'a> {
        let (model, settings, see) = (self.model, self.settings, self.see);
        async move {
            let mut messages = vec![Message::user(prompt)];
            if !begun.is_empty() {
                messages.push(Message::assistant(begun));
            }
            let used = model.count_prompt(&messages)?;
            let max_tokens = limit.min(settings.window.saturating_sub(used));
            if max_tokens == 0 {
                return Err(ReadError::WindowTooSmall { window: settings.window, needed: used + 1 });
            }
            let mut sampling = settings.sampling;
            sampling.seed = sampling.seed.wrapping_add(turn.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let request = ChatRequest { stop, ..ChatRequest::new(messages, sampling, max_tokens) };
            let mut on_text = |text: &str| see(Progress::Text(text));
            Ok(model.chat(&request, &mut on_text).await?)
        }
    }

    fn start(&mut self, documents: &[Document], chunks: usize) -> Result<(), ReadError> {
        let settings = self.settings;
        let event = ReadEvent::Started {
            version: ReadEvent::VERSION,
            model: self.model.name(),
            question: self.question.to_string(),
            documents: documents.iter().zip(self.fingerprints).map(|(d, f)| (d.id.clone(), f.clone(), d.text.len())).collect(),
            window: settings.window,
            chunk: settings.chunk,
            memory: settings.memory,
            plan: settings.plan,
            thinking: settings.thinking,
            answer: settings.answer,
            chunks,
            sampling: settings.sampling,
            style: self.style(),
        };
        self.log(event)
    }

    /// Empty for the paper's way.
    fn style(&self) -> String {
        let way = match (self.settings.mode, self.settings.quotes) {
            _ if self.has_sections() => "reread",
            _ if self.from_notes => "ask",
            (Mode::Outline, _) => "outline",
            (Mode::MemAgent, _) => "memagent",
            (Mode::Truncate, _) => "truncate",
            (Mode::Retrieve, _) => "retrieve",
            (_, true) => "quotes",
            (_, false) => "",
        };
        if self.settings.short { ["short ", way].concat().trim_end().into() } else { way.into() }
    }

    /// Refuses the log of another read by its first line.
    fn check_same(&self, first: &ReadEvent) -> Result<(), ReadError> {
        let ReadEvent::Started {
            version, model, question, documents, window, chunk, memory, plan, thinking, answer, sampling, style, ..
        } = first
        else {
            return Err(ReadError::OtherRead("its first line"));
        };
        let set = self.settings;
        let checks = [
            (*version == ReadEvent::VERSION, "the log's version"),
            (question == self.question, "the question"),
            (documents.iter().map(|(_, fingerprint, _)| fingerprint).eq(self.fingerprints), "a document"),
            (*style == self.style(), "the mode"),
            (*model == self.model.name(), "the model"),
            ((*window, *chunk, *memory) == (set.window, set.chunk, set.memory), "a size (window, chunk or memory)"),
            ((*plan, *thinking, *answer) == (set.plan, set.thinking, set.answer), "a budget (plan, thinking or answer)"),
            (*sampling == set.sampling, "the sampling"),
        ];
        // Who read, and in which sizes, does not matter for an answer from its notes alone.
        let answers = self.again || (self.from_notes && self.past.edits != self.edits);
        let counts = if answers { 4 } else { checks.len() };
        match checks[..counts].iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(ReadError::OtherRead(what)),
            None => Ok(()),
        }
    }

    fn log(&mut self, event: ReadEvent) -> Result<(), ReadError> {
        self.sink.append(&event).map_err(ReadError::Log)?;
        (self.see)(Progress::Event { question: self.number, event: &event });
        Ok(())
    }
}

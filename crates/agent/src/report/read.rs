//! A kept read with its citations.

use data::{Citation, Document, ReadEvent, Span, Support};

use super::{Cited, Kept, Log, place};
use crate::edits::{Edits, answered};
use crate::{Change, ChangeKind, CheckedQuote};

/// A kept read, cited.
pub struct Report<'a> {
    /// As they were read.
    pub documents: &'a [Document],
    /// One for each question: those of the read, then those asked later.
    pub reads: Vec<Read>,
}

/// A question and what came of it.
pub struct Read {
    /// The log: its file inside the folder.
    pub log: String,
    /// Asked of the notes when the read was over.
    pub later: bool,
    /// How it was read; the log's word, empty for the paper's way.
    pub style: String,
    /// The model's name.
    pub model: String,
    /// As asked.
    pub question: String,
    /// Sections there were to read; 0 for a single pass.
    pub planned: usize,
    /// Sections that were read.
    pub turns: Vec<Turn>,
    /// `None` while it is not there yet.
    pub answer: Option<(String, Vec<Citation>)>,
    /// A person changed the notes since the answer was given.
    pub stale: bool,
    /// Who answered, where that is another than who read.
    pub answered_by: Option<String>,
    /// What the notes and the answer come from. For a question asked later, that is what was read for the notes as well.
    pub seen: Vec<Span>,
    /// What was read for this question itself.
    pub own: Vec<Span>,
}

/// A section that was read.
pub struct Turn {
    /// The section.
    pub span: Span,
    /// Its length.
    pub tokens: usize,
    /// The notes after it; of an outline, the notes of this section alone.
    pub memory: String,
    /// The model's own notes, where a person changed them.
    pub unedited: Option<String>,
    /// What to look for next.
    pub plan: String,
    /// The notes' citations.
    pub citations: Vec<Citation>,
    /// The notes' own quotes, in a read of style `quotes`.
    pub quotes: Vec<CheckedQuote>,
}

impl Turn {
    /// The notes are a person's now, or the model's own again.
    fn change(&mut self, edited: Option<&str>, cited: &mut Cited) {
        let own = self.unedited.take().unwrap_or_else(|| std::mem::take(&mut self.memory));
        (self.memory, self.unedited) = match edited {
            Some(edited) => (edited.into(), Some(own)),
            None => (own, None),
        };
        self.citations = cited.memory(&self.memory).to_vec();
        self.quotes = cited.quotes().to_vec();
    }
}

impl<'a> Report<'a> {
    /// Cites everything, which takes a pass over the documents and milliseconds for each sentence.
    pub fn of(kept: &'a Kept) -> Self {
        let index = Cited::new(&kept.documents);
        let (mut reads, mut seen): (Vec<Read>, Vec<Span>) = (Vec::new(), Vec::new());
        let edits = kept.edits();
        for log in &kept.logs {
            let Some(read) = Read::new(log, &index, &seen, &edits) else { continue };
            // What was read for the notes, questions asked later may speak of.
            if !log.later {
                seen.extend(read.seen.iter().filter(|span| !seen.contains(span)).cloned().collect::<Vec<_>>());
            }
            reads.push(read);
        }
        Self { documents: &kept.documents, reads }
    }

    /// (bytes, all bytes, what is not in them).
    pub fn coverage(&self, spans: &[Span]) -> ((usize, usize), Vec<Span>) {
        let number = |span: &Span| self.documents.iter().position(|document| document.id == span.doc);
        crate::coverage(self.documents, spans.iter().filter_map(|span| Some((number(span)?, span.start, span.end))))
    }

    /// Where a person would look for the citation's passage.
    pub fn place(&self, citation: &Citation) -> Option<String> {
        place(self.documents, &citation.source.as_ref()?.span)
    }
}

impl Read {
    /// `notes`: what was read for the notes, in case the question was asked later. Nothing for a log that does not begin as one of a read.
    fn new(log: &Log, index: &Cited, notes: &[Span], edits: &str) -> Option<Self> {
        let Log { name, later, events } = log;
        let ReadEvent::Started { model, question, chunks: planned, style, .. } = events.first()? else { return None };
        let mut read = Self {
            log: name.clone(),
            later: *later,
            style: style.clone(),
            model: model.clone(),
            question: question.clone(),
            planned: *planned,
            turns: Vec::new(),
            answer: None,
            stale: false,
            answered_by: None,
            seen: Vec::new(),
            own: Vec::new(),
        };
        let mut cited =
            index.afresh().with_quotes(read.style == "quotes").with_outline(read.outline()).with_short(read.style.starts_with("short"));
        if *later {
            cited.add(notes.iter().cloned());
        }
        read.cite(events, edits, &mut cited);
        read.seen = cited.read().to_vec();
        Some(read)
    }

    /// Citations as they were shown: each from what had been read by then.
    fn cite(&mut self, events: &[ReadEvent], edits: &str, cited: &mut Cited) {
        let counts = answered(events, edits);
        let mut changed = Edits::default();
        for (line, event) in events.iter().enumerate() {
            let takes = changed.take(event);
            match event {
                ReadEvent::Chunk { doc, start, end, tokens, memory, plan, .. } => {
                    let span = Span { doc: doc.clone(), start: *start, end: *end };
                    cited.add([span.clone()]);
                    self.own.push(span.clone());
                    let citations = cited.memory(memory).to_vec();
                    let quotes = cited.quotes().to_vec();
                    let (memory, plan) = (memory.clone(), plan.clone());
                    self.turns.push(Turn { span, tokens: *tokens, memory, unedited: None, plan, citations, quotes });
                }
                ReadEvent::Selected { spans } => {
                    cited.add(spans.iter().cloned());
                    self.own.extend(spans.iter().cloned());
                }
                ReadEvent::Answer { text, model, .. } if counts.is_some_and(|counts| counts.line == line) => {
                    if self.planned == 0 && self.own.is_empty() && !self.later {
                        cited.add_all();
                        self.own = cited.read().to_vec();
                    }
                    self.answer = Some((text.clone(), cited.cite(text)));
                    self.answered_by = model.clone();
                    self.stale = counts.is_some_and(|counts| counts.stale);
                }
                ReadEvent::Edited { .. } | ReadEvent::Undone if takes => {
                    let number = self.turns.len().saturating_sub(1);
                    if let Some(turn) = self.turns.last_mut() {
                        turn.change(changed.after(number), cited);
                    }
                }
                ReadEvent::Given { .. } => (self.turns, self.own) = (Vec::new(), Vec::new()),
                ReadEvent::Started { .. } | ReadEvent::Answer { .. } | ReadEvent::Edited { .. } | ReadEvent::Undone => {}
            }
        }
    }

    /// Each section's notes stand for themselves.
    pub fn outline(&self) -> bool {
        self.style == "outline"
    }

    /// In words, if it was asked later or read in a way of its own.
    pub fn kind(&self) -> Option<String> {
        match (self.later, &*self.style) {
            (true, "ask") => Some("asked later, from the notes".into()),
            (true, "reread") => Some("asked later, sections re-read".into()),
            (true, "") => Some("asked later".into()),
            (true, style) => Some(format!("asked later, {style}")),
            (false, "") => None,
            (false, style) => Some(format!("mode {style}")),
        }
    }

    /// What became of the notes at a turn. Empty for an outline, whose sections have no notes before them.
    pub fn changes(&self, turn: usize) -> Vec<Change<'_>> {
        let Some(now) = self.turns.get(turn).filter(|_| !self.outline()) else { return Vec::new() };
        let before = turn.checked_sub(1).map_or("", |before| &self.turns[before].memory);
        crate::changes(before, &now.memory)
    }
}

/// How many items of the notes were added, changed, dropped and kept.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// New.
    pub added: usize,
    /// With other words than before.
    pub changed: usize,
    /// Gone.
    pub dropped: usize,
    /// As they were.
    pub kept: usize,
}

impl Counts {
    /// Counts items that say something.
    pub fn of(changes: &[Change]) -> Self {
        let mut counts = Self::default();
        for change in changes {
            match change.kind {
                ChangeKind::Added => counts.added += 1,
                ChangeKind::Changed => counts.changed += 1,
                ChangeKind::Dropped => counts.dropped += 1,
                ChangeKind::Kept => counts.kept += 1,
            }
        }
        counts
    }
}

/// `3 added, 1 changed, 2 dropped`, or `nothing changed`.
impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = [(self.added, "added"), (self.changed, "changed"), (self.dropped, "dropped")];
        let said: Vec<String> = counted.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        f.write_str(if said.is_empty() { "nothing changed".into() } else { said.join(", ") }.as_str())
    }
}

/// How far the sentences of a text are carried: (quoted, supported, without a source).
pub fn carried(citations: &[Citation]) -> (usize, usize, usize) {
    let count = |is: fn(&Support) -> bool| citations.iter().filter(|citation| is(&citation.support)).count();
    (
        count(|support| *support == Support::Quoted),
        count(|support| matches!(support, Support::Supported { .. })),
        count(|support| *support == Support::NotFound),
    )
}

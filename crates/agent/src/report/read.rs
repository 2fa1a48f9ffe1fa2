//! A kept read with its citations.

use data::{Citation, Document, ReadEvent, Span, Support};

use super::{Cited, Kept, Log, place};
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
    /// What to look for next.
    pub plan: String,
    /// The notes' citations.
    pub citations: Vec<Citation>,
    /// The notes' own quotes, in a read of style `quotes`.
    pub quotes: Vec<CheckedQuote>,
}

impl<'a> Report<'a> {
    /// Cites everything, which takes a pass over the documents and milliseconds for each sentence.
    pub fn of(kept: &'a Kept) -> Self {
        let index = Cited::new(&kept.documents);
        let (mut reads, mut seen): (Vec<Read>, Vec<Span>) = (Vec::new(), Vec::new());
        for log in &kept.logs {
            let Some(read) = Read::new(log, &index, &seen) else { continue };
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
    fn new(log: &Log, index: &Cited, notes: &[Span]) -> Option<Self> {
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
            seen: Vec::new(),
            own: Vec::new(),
        };
        let mut cited =
            index.afresh().with_quotes(read.style == "quotes").with_outline(read.outline()).with_short(read.style.starts_with("short"));
        if *later {
            cited.add(notes.iter().cloned());
        }
        read.cite(events, &mut cited);
        read.seen = cited.read().to_vec();
        Some(read)
    }

    /// Citations as they were shown: each from what had been read by then.
    fn cite(&mut self, events: &[ReadEvent], cited: &mut Cited) {
        for event in events {
            match event {
                ReadEvent::Chunk { doc, start, end, tokens, memory, plan, .. } => {
                    let span = Span { doc: doc.clone(), start: *start, end: *end };
                    cited.add([span.clone()]);
                    self.own.push(span.clone());
                    let citations = cited.memory(memory).to_vec();
                    let quotes = cited.quotes().to_vec();
                    self.turns.push(Turn { span, tokens: *tokens, memory: memory.clone(), plan: plan.clone(), citations, quotes });
                }
                ReadEvent::Selected { spans } => {
                    cited.add(spans.iter().cloned());
                    self.own.extend(spans.iter().cloned());
                }
                ReadEvent::Answer { text, .. } => {
                    if self.planned == 0 && self.own.is_empty() && !self.later {
                        cited.add_all();
                        self.own = cited.read().to_vec();
                    }
                    self.answer = Some((text.clone(), cited.cite(text)));
                }
                ReadEvent::Started { .. } => {}
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

//! Citations: every sentence of a memory or an answer traced to the documents, and never shown as more than it is.
//!
//! [`Sources`] finds the passages that share rare words, or a run of six words, with a sentence (`cite/index.rs`); `cite/judge.rs` holds
//! the rules by which one of them carries it; `cite/words.rs` says what is the same word.

mod index;
mod judge;
mod numbers;
mod passage;
mod quotes;
mod roles;
mod sentences;
pub(crate) mod words;

use std::collections::HashMap;

use data::{Citation, Document, Source, Span, Support};

use self::index::{Index, Read};
use self::judge::{Claim, ENOUGH, Verdict, same_words};
use self::passage::{Passage, Spelled};
pub use self::quotes::{CheckedQuote, NoteQuote, QuoteFound, note_quotes};
use self::sentences::Lines;
pub(crate) use self::sentences::{Lines as SentenceLines, sentences as split_sentences};
use self::words::{Kind, tokens};

/// Passages that are looked at closely for one sentence.
const CLOSE: usize = 12;
/// How much better a longer passage has to be.
const LONGER: f32 = 0.02;
/// The most characters of a quote that [`describe`] shows.
const SHOWN: usize = 240;

/// What became of a sentence, and the passage.
type Traced = (Support, Option<Source>);

/// Documents as something to cite.
///
/// Building takes time linear in their text and about one and a half bytes of memory per byte of English text; a search takes
/// milliseconds whatever the size. Sentences are numbered in 32 bits.
pub struct Sources {
    index: Index,
}

impl Sources {
    /// Indexes the documents. Their texts are shared, not copied. Ids should be unique: spans name documents by them.
    pub fn new(documents: &[Document]) -> Self {
        Self { index: Index::new(documents) }
    }

    /// Whether a word's stem stands in the documents.
    pub(crate) fn has(&self, stem: u64) -> bool {
        !self.index.postings(stem).is_empty()
    }

    /// How rare a stem is in the documents.
    pub(crate) fn weight(&self, stem: u64) -> f32 {
        self.index.weight(stem)
    }

    /// Bytes of memory beside the documents' text.
    pub fn bytes(&self) -> usize {
        self.index.bytes()
    }

    /// One citation for each sentence, list item or line of a table of `text`, in order.
    pub fn cite(&self, text: &str) -> Vec<Citation> {
        self.cite_from((text, None), &|_| None)
    }

    /// As [`cite`](Self::cite), from the part of the documents that was read: sentences of theirs that end beyond it are not there.
    pub fn cite_read(&self, text: &str, read: &[Span]) -> Vec<Citation> {
        self.cite_from((text, Some(read)), &|_| None)
    }

    /// Citations of a memory that was rewritten. Sentences that stand as they did in the `earlier` text keep their support and span
    /// without a new search; what had no source is searched again, because more may have been read since. `read` as in
    /// [`cite_read`](Self::cite_read); `None` is everything.
    pub fn recite(&self, earlier: (&str, &[Citation]), text: &str, read: Option<&[Span]>) -> Vec<Citation> {
        let kept: HashMap<u64, &Citation> = earlier
            .1
            .iter()
            .filter(|citation| citation.support != Support::NotFound)
            .filter_map(|citation| Some((same_words(earlier.0.get(citation.start..citation.end)?), citation)))
            .collect();
        self.cite_from((text, read), &|sentence| kept.get(&same_words(sentence)).map(|kept| (kept.support, kept.source.clone())))
    }

    fn cite_from(&self, (text, read): (&str, Option<&[Span]>), known: &dyn Fn(&str) -> Option<Traced>) -> Vec<Citation> {
        let read = Read::new(&self.index, read);
        let cite = |(start, end): (usize, usize)| {
            let sentence = &text[start..end];
            let (support, source) = known(sentence).unwrap_or_else(|| self.trace(sentence, &read));
            Citation { start, end, support, source }
        };
        sentences::sentences(text, Lines::Ends)
            .into_iter()
            .filter(|&(start, end)| text[start..end].contains(char::is_alphanumeric))
            .map(cite)
            .collect()
    }

    /// The passage that carries a sentence best.
    fn trace(&self, sentence: &str, read: &Read) -> Traced {
        if is_small_number(sentence) {
            return (Support::NotFound, None);
        }
        let claim = Claim::new(sentence, &self.index);
        let mut spelled: HashMap<u32, Spelled> = HashMap::new();
        let mut best: Option<(Verdict, (u32, u32))> = None;
        for middle in self.index.candidates(&claim.words.tokens, read, CLOSE) {
            for (before, after) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)] {
                let Some(first) = middle.checked_sub(before) else { continue };
                let last = middle + after;
                if !self.readable(first, last, read) {
                    continue;
                }
                for number in first..=last {
                    spelled.entry(number).or_insert_with(|| {
                        let (document, start, end) = self.index.place(number);
                        Spelled::new(&self.index.documents[document].text[start..end], start)
                    });
                }
                let parts: Vec<&Spelled> = (first..=last).map(|number| &spelled[&number]).collect();
                let verdict = claim.judge(&Passage::new(&parts));
                let better = best.is_none_or(|(best, (from, to))| {
                    let margin = if last - first > to - from { LONGER } else { 0.0 };
                    (verdict.quoted, verdict.score) > (best.quoted, best.score + margin)
                });
                if better {
                    best = Some((verdict, (first, last)));
                }
            }
        }
        match best {
            Some((Verdict { quoted: true, .. }, place)) => (Support::Quoted, Some(self.source(place))),
            _ if claim.empty => (Support::NoClaim, None),
            Some((Verdict { score, .. }, place)) if score >= ENOUGH => (Support::Supported { score }, Some(self.source(place))),
            _ => (Support::NotFound, None),
        }
    }

    /// Whether the sentences are of one document and read, and of code have no blank or closing line between them.
    fn readable(&self, first: u32, last: u32, read: &Read) -> bool {
        last < self.index.len()
            && (first..=last).all(|number| read.has(self.index.place(number)))
            && self.index.place(first).0 == self.index.place(last).0
            && (first..last).all(|number| self.index.goes_on(number))
    }

    fn source(&self, (first, last): (u32, u32)) -> Source {
        let (document, start, _) = self.index.place(first);
        let (_, _, end) = self.index.place(last);
        self.source_of(document, start, end)
    }

    fn source_of(&self, document: usize, start: usize, end: usize) -> Source {
        let document = &self.index.documents[document];
        Source { span: Span { doc: document.id.clone(), start, end }, quote: document.text[start..end].to_string() }
    }
}

/// A number of one or two digits and nothing else: it stands everywhere, and says nothing of what it counts.
fn is_small_number(sentence: &str) -> bool {
    let mut words = Vec::new();
    tokens(sentence, &mut words);
    matches!(&words[..], [only] if only.word.kind == Kind::Number && sentence[only.word.start..only.word.end].len() <= 2)
}

/// A citation in words: `report.pdf, page 12, “…the words of the report…”`, of source code `src/main.rs:40, “…”`. A passage that only agrees says so (`see …, agreement
/// 0.71`); without one it is `no source found`, and nothing for what claims nothing. `document` is the one the source names.
pub fn describe(citation: &Citation, document: &Document) -> String {
    let Some(source) = &citation.source else {
        return if citation.support == Support::NoClaim { String::new() } else { "no source found".into() };
    };
    // Of source code the whole path: a tree has many a `mod.rs`.
    let last = document.source.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next();
    let name = last.filter(|_| !document.code).unwrap_or(&document.source);
    let said = format!("{}, “{}”", document.place(name, source.span.start), shortened(&source.quote));
    match citation.support {
        Support::Supported { score } => format!("see {said}, agreement {score:.2}"),
        _ => said,
    }
}

/// On one line, at most [`SHOWN`] characters, cut at a word.
fn shortened(quote: &str) -> String {
    let line = quote.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((most, _)) = line.char_indices().nth(SHOWN) else { return line };
    let cut = line[..most].rfind(' ').filter(|&cut| cut * 2 > most).unwrap_or(most);
    format!("{}…", &line[..cut])
}

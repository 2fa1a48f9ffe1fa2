//! Notes that bring their own quotes: `- “quote”: note`, `- note “quote”` or `- note [quote: "…"]`, each quote checked against the documents.

use data::{Source, Span};

use super::Sources;
use super::index::Read;
use super::sentences::marker;
use super::words::{Kind, Token, terms, tokens};

/// One note of a memory and the quote that stands with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteQuote {
    /// First byte of the note's line, without its list marker.
    pub start: usize,
    /// One past the last byte of the line.
    pub end: usize,
    /// The note, without the quote. A note that is nothing but its quote is both.
    pub note: String,
    /// The quote, without its quotation marks. `None` where the note has none.
    pub quote: Option<String>,
}

/// A note whose quote was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedQuote {
    /// As written.
    pub note: NoteQuote,
    /// What the documents have of the quote.
    pub found: QuoteFound,
}

/// What became of a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuoteFound {
    /// It stands there, word for word but for case, white space and typesetting. The first place, in the documents' order.
    There(Source),
    /// It does not.
    NotFound,
    /// The note has no quote.
    NoQuote,
    /// Fewer than two words: it would be found anywhere.
    TooShort,
}

/// The notes of a memory, one per line that has words. Quotes stand in `[quote: …]`, or at the line's end in quotation marks (straight,
/// curly, «», 「」), or at its beginning with a colon or dash behind; a quote in the middle of a note is a part of the note.
pub fn note_quotes(text: &str) -> Vec<NoteQuote> {
    let mut out = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let from = at + marker(line);
        let rest = &text[from.min(at + line.len())..at + line.len()];
        let said = rest.trim();
        // White space of every kind in front of the note, not only what `marker` takes.
        let from = from + (rest.len() - rest.trim_start().len());
        at += line.len();
        if !said.contains(char::is_alphanumeric) {
            continue;
        }
        let end = from + said.len();
        let found = bracketed(said).or_else(|| opening(said)).or_else(|| closing(said));
        let (note, quote) = match found {
            Some(("", quote)) => (said, Some(quote.to_string()).filter(|quote| quote.contains(char::is_alphanumeric))),
            Some((note, quote)) => (note, Some(quote.to_string()).filter(|quote| quote.contains(char::is_alphanumeric))),
            None => (said, None),
        };
        out.push(NoteQuote { start: from, end, note: note.trim().to_string(), quote });
    }
    out
}

/// `note [quote: "…"]`.
fn bracketed(line: &str) -> Option<(&str, &str)> {
    let quotes = |at: usize| line[at + 1..].trim_start().get(..5).is_some_and(|word| word.eq_ignore_ascii_case("quote"));
    let open = line.rmatch_indices('[').map(|(at, _)| at).find(|&at| quotes(at))?;
    let inner = line[open + 1..].trim_start()[5..].trim_start().strip_prefix([':', '：'])?;
    let inner = inner.rfind(']').map_or(inner, |close| &inner[..close]);
    Some((&line[..open], inner.trim().trim_matches(QUOTES).trim()))
}

const QUOTES: [char; 9] = ['"', '“', '”', '„', '«', '»', '「', '」', '＂'];

/// `“quote”: note`, or with a dash.
fn opening(line: &str) -> Option<(&str, &str)> {
    let open = line.chars().next()?;
    let inner = &line[open.len_utf8()..];
    let close = match open {
        '"' => '"',
        '“' => '”',
        '„' => '“',
        '«' => '»',
        '「' => '」',
        _ => return None,
    };
    let (quote, rest) = inner.split_once(close)?;
    let note = rest.trim_start().trim_start_matches(['.', ',']);
    let note = note.strip_prefix([':', '-', '–', '—', '：'])?.trim_start();
    Some((note, quote.trim()))
}

/// `note “quote”`, perhaps with a full stop after it.
fn closing(line: &str) -> Option<(&str, &str)> {
    let end = line.trim_end_matches(['.', ',', ';', '。', ')', ' ']);
    let close = end.chars().next_back()?;
    let inner = &end[..end.len() - close.len_utf8()];
    let open = match close {
        '"' => inner.rfind('"'),
        '”' => inner.rfind(['“', '„', '”']),
        '“' => inner.rfind('„'),
        '»' => inner.rfind('«'),
        '«' => inner.rfind('»'),
        '」' => inner.find('「'),
        _ => None,
    }?;
    let width = inner[open..].chars().next()?.len_utf8();
    Some((line[..open].trim_end_matches([' ', ':', '-', '–', '—', '(']), inner[open + width..].trim()))
}

impl Sources {
    /// Reads notes with quotes and looks each quote up ([`note_quotes`]), in the part `read` of the documents or in all of them.
    pub fn check_quotes(&self, text: &str, read: Option<&[Span]>) -> Vec<CheckedQuote> {
        let read = Read::new(&self.index, read);
        let check = |note: NoteQuote| {
            let found = match &note.quote {
                None => QuoteFound::NoQuote,
                Some(quote) => self.find(quote, &read),
            };
            CheckedQuote { note, found }
        };
        note_quotes(text).into_iter().map(check).collect()
    }

    /// The first place where the words of `quote` stand one after the other.
    fn find(&self, quote: &str, read: &Read) -> QuoteFound {
        let mut wanted = Vec::new();
        tokens(quote, &mut wanted);
        let unspaced = wanted.iter().filter(|word| word.word.kind == Kind::Unspaced).count();
        if wanted.len() < 2 || unspaced == wanted.len() && unspaced < 4 {
            return QuoteFound::TooShort;
        }
        // The rarest term that lies inside the quote, and the word it begins with.
        let mut rarest: Option<(usize, u64, usize)> = None;
        terms(
            &wanted,
            |word| word.stem,
            |term, at| {
                let count = self.index.postings(term).len();
                if rarest.is_none_or(|(least, ..)| count < least) {
                    rarest = Some((count, term, at));
                }
            },
        );
        let Some((_, term, at)) = rarest else { return QuoteFound::NotFound };
        let found = self.index.postings(term).iter().find_map(|&sentence| self.find_around(&wanted, at, sentence, read));
        found.map_or(QuoteFound::NotFound, QuoteFound::There)
    }

    /// The quote where its word number `at` stands in `sentence`. It may begin in sentences before and end in sentences after.
    fn find_around(&self, wanted: &[Token], at: usize, sentence: u32, read: &Read) -> Option<Source> {
        let (document, ..) = self.index.place(sentence);
        let text = &self.index.documents[document].text;
        let words_of = |number: u32| {
            let (_, start, end) = self.index.place(number);
            let mut words = Vec::new();
            tokens(&text[start..end], &mut words);
            for word in &mut words {
                word.word.start += start;
                word.word.end += start;
            }
            words
        };
        let inside = |number: u32| number < self.index.len() && self.index.place(number).0 == document;
        let middle = words_of(sentence);
        let mut places = (0..middle.len()).filter(|&place| middle[place].exact == wanted[at].exact).peekable();
        places.peek()?;
        // As many words before and after as the quote may reach.
        let (mut words, mut first) = (middle.clone(), sentence);
        let mut before = 0;
        while before < at && first > 0 && inside(first - 1) {
            first -= 1;
            let mut more = words_of(first);
            before += more.len();
            more.append(&mut words);
            words = more;
        }
        let (mut last, mut after) = (sentence, 0);
        while after < wanted.len() - at && inside(last + 1) {
            last += 1;
            let more = words_of(last);
            after += more.len();
            words.extend(more);
        }
        let (from, to) = places.find_map(|place| {
            let from = (before + place).checked_sub(at)?;
            let there = words.get(from..from + wanted.len())?;
            there.iter().zip(wanted).all(|(a, b)| a.exact == b.exact).then(|| (there[0].word.start, there[there.len() - 1].word.end))
        })?;
        read.has((document, from, to)).then(|| self.source_of(document, from, to))
    }
}

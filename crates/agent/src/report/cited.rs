//! Text with where it comes from: each sentence marked as quoted, supported or without a source, and never as more than it is. Notes
//! that bring quotes are cited for their own words, and each quote is checked by itself.

use std::sync::Arc;

use data::{Citation, Document, Span, Support};
use serde_json::{Value, json};

use crate::{CheckedQuote, QuoteFound, Sources};

/// The documents, indexed, and what was read of them so far.
pub struct Cited<'a> {
    documents: &'a [Document],
    sources: Arc<Sources>,
    read: Vec<Span>,
    /// Notes bring quotes.
    quoting: bool,
    /// Texts are of an outline.
    outline: bool,
    /// Notes are in short form.
    short: bool,
    /// The memory that was cited last: sentences that stand keep their source.
    last: Notes,
}

/// A memory and what the documents say to it.
#[derive(Clone, Default)]
struct Notes {
    text: String,
    citations: Vec<Citation>,
    quotes: Vec<CheckedQuote>,
}

impl<'a> Cited<'a> {
    /// Indexes the documents.
    pub fn new(documents: &'a [Document]) -> Self {
        Self {
            documents,
            sources: Arc::new(Sources::new(documents)),
            read: Vec::new(),
            quoting: false,
            outline: false,
            short: false,
            last: Notes::default(),
        }
    }

    /// The same documents, nothing of them read yet.
    pub fn afresh(&self) -> Self {
        Self {
            documents: self.documents,
            sources: self.sources.clone(),
            read: Vec::new(),
            quoting: false,
            outline: false,
            short: false,
            last: Notes::default(),
        }
    }

    /// Whether each note of a memory brings a quote (a read of style `quotes`): [`memory`](Self::memory) then cites notes without their
    /// quotes, and [`marked`](Self::marked) says of each quote of that memory whether it stands in what was read.
    pub fn with_quotes(mut self, quoting: bool) -> Self {
        self.quoting = quoting;
        self
    }

    /// Whether texts are of an outline: the places and labels in them claim nothing.
    pub fn with_outline(mut self, outline: bool) -> Self {
        self.outline = outline;
        self
    }

    /// Whether notes are in short form (a read whose style begins with `short`): small models write their sentences without capitals, and each
    /// is cited for itself all the same.
    pub fn with_short(mut self, short: bool) -> Self {
        self.short = short;
        self
    }

    /// More of the documents was read.
    pub fn add(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.read.extend(spans);
    }

    /// Everything was read.
    pub fn add_all(&mut self) {
        self.read = whole(self.documents);
    }

    /// What was read.
    pub fn read(&self) -> &[Span] {
        &self.read
    }

    /// The memory's citations; sentences that stood in the memory before keep theirs.
    pub fn memory(&mut self, text: &str) -> &[Citation] {
        let read = Some(&*self.read);
        let quotes = if self.quoting { self.sources.check_quotes(text, read) } else { Vec::new() };
        let (mut before, mut now) = (without_quotes(&self.last.text, &self.last.quotes), without_quotes(text, &quotes));
        if self.short {
            (before, now) = (capitalised(&before), capitalised(&now));
        }
        let mut citations = self.sources.recite((&before, &self.last.citations), &now, read);
        without_headings(text, &mut citations);
        self.last = Notes { text: text.to_string(), citations, quotes };
        &self.last.citations
    }

    /// The quotes of the memory that was cited last, a note each. Empty unless notes bring quotes.
    pub fn quotes(&self) -> &[CheckedQuote] {
        &self.last.quotes
    }

    /// A text's citations.
    pub fn cite(&self, text: &str) -> Vec<Citation> {
        let claims = if self.outline { crate::claims_of(text) } else { text.into() };
        let mut citations = self.sources.cite_read(&claims, &self.read);
        without_headings(text, &mut citations);
        citations
    }

    /// The text with a mark after each sentence that claims something, and after each quote of the memory that was cited last.
    pub fn marked(&self, text: &str, citations: &[Citation]) -> String {
        let claims = citations.iter().filter(|citation| citation.support != Support::NoClaim);
        let mut marks: Vec<(usize, String)> = claims.map(|citation| (citation.end, self.mark(citation))).collect();
        let quotes = if text == self.last.text { self.quotes() } else { &[] };
        let said = quotes.iter().filter_map(|checked| Some((checked.note.end, self.quote_mark(checked, citations)?)));
        marks.extend(said);
        marks.sort_by_key(|mark| mark.0);
        let mut out = String::new();
        let mut at = 0;
        for (end, mark) in marks {
            out.push_str(&text[at..end]);
            out.push_str(&format!(" [{mark}]"));
            at = end;
        }
        out.push_str(&text[at..]);
        out
    }

    /// `quoted: a.txt, line 3`, `supported 0.71: a.txt, line 3`, `no source found`.
    fn mark(&self, citation: &Citation) -> String {
        let place = citation.source.as_ref().and_then(|source| place(self.documents, &source.span));
        match (citation.support, place) {
            (Support::Quoted, Some(place)) => format!("quoted: {place}"),
            (Support::Supported { score }, Some(place)) => format!("supported {score:.2}: {place}"),
            _ => "no source found".into(),
        }
    }

    /// `quote stands in line 3`, `quote NOT FOUND`…; nothing for a note that claims nothing.
    fn quote_mark(&self, checked: &CheckedQuote, citations: &[Citation]) -> Option<String> {
        Some(match &checked.found {
            QuoteFound::There(source) => format!("quote stands in {}", place(self.documents, &source.span)?),
            QuoteFound::NotFound => "quote NOT FOUND".into(),
            QuoteFound::TooShort => "quote too short to look up".into(),
            QuoteFound::NoQuote => "no quote".to_string(),
        })
        .filter(|_| checked.found != QuoteFound::NoQuote || claims(checked, citations))
    }

    /// The sources of a text, a line each, with the document's own words.
    pub fn sources(&self, text: &str, citations: &[Citation]) -> Vec<String> {
        let quote = |citation: &Citation| {
            let source = citation.source.as_ref()?;
            let document = self.documents.iter().find(|document| document.id == source.span.doc)?;
            let sentence = text.get(citation.start..citation.end)?.trim();
            Some(format!("{sentence}\n    {} {}", self.class(citation), crate::describe(citation, document)))
        };
        citations.iter().filter_map(quote).collect()
    }

    fn class(&self, citation: &Citation) -> String {
        match citation.support {
            Support::Quoted => "quoted:".into(),
            Support::Supported { score } => format!("supported ({score:.2}):"),
            Support::NotFound | Support::NoClaim => String::new(),
        }
    }

    /// As JSON: the record, and the places a person would look for.
    pub fn json(&self, citations: &[Citation]) -> Value {
        let places = |citation: &Citation| {
            let source = citation.source.as_ref()?;
            let document = self.documents.iter().find(|document| document.id == source.span.doc)?;
            Some(document.places(source.span.start).iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        citations.iter().map(|citation| json!({"citation": citation, "places": places(citation).unwrap_or_default()})).collect()
    }
}

/// The documents from end to end.
pub fn whole(documents: &[Document]) -> Vec<Span> {
    documents.iter().map(|document| Span { doc: document.id.clone(), start: 0, end: document.text.len() }).collect()
}

/// Where a person would look for the span: `page 3`, `line 40`; with the document's name where there are several or it has no places.
pub fn place(documents: &[Document], span: &Span) -> Option<String> {
    let document = documents.iter().find(|document| document.id == span.doc)?;
    let whole = document.place(&document.source, span.start);
    // The name of the only document goes without saying, but for `path:line`.
    let alone = documents.len() == 1 && !document.code && !document.places(span.start).is_empty();
    Some(if alone { whole[document.source.len()..].trim_start_matches(", ").to_string() } else { whole })
}

/// Whether something of a note claims something.
pub fn claims(checked: &CheckedQuote, citations: &[Citation]) -> bool {
    let note = checked.note.start..checked.note.end;
    citations.iter().any(|citation| note.contains(&citation.start) && citation.support != Support::NoClaim)
}

/// The quotes of notes as JSON: byte offsets of the note, what was found (`there`, `not_found`, `too_short`, `no_quote`), and where.
pub fn quotes_json(documents: &[Document], quotes: &[CheckedQuote]) -> Value {
    let one = |checked: &CheckedQuote| {
        let (found, source) = match &checked.found {
            QuoteFound::There(source) => ("there", Some(source)),
            QuoteFound::NotFound => ("not_found", None),
            QuoteFound::TooShort => ("too_short", None),
            QuoteFound::NoQuote => ("no_quote", None),
        };
        let note = &checked.note;
        let place = source.and_then(|source| place(documents, &source.span));
        json!({"start": note.start, "end": note.end, "note": note.note, "quote": note.quote, "found": found, "source": source, "place": place})
    };
    quotes.iter().map(one).collect()
}

/// Markdown's headings and blocks of code claim nothing; a heading that gives a number or a year does.
fn without_headings(text: &str, citations: &mut [Citation]) {
    let (mut at, mut fenced) = (0, false);
    let mut citations = citations.iter_mut().peekable();
    for line in text.split_inclusive('\n') {
        at += line.len();
        let said = line.trim();
        let fence = said.starts_with("```") || said.starts_with("~~~");
        let level = said.bytes().take_while(|&byte| byte == b'#').count();
        let title = said[level..].trim_start().trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ')'));
        let heading = (1..=6).contains(&level) && said[level..].starts_with([' ', '\t']) && !title.contains(|c: char| c.is_numeric());
        while let Some(citation) = citations.next_if(|citation| citation.start < at) {
            if fenced || fence || heading {
                (citation.support, citation.source) = (Support::NoClaim, None);
            }
        }
        fenced ^= fence;
    }
}

/// The text with a capital after each full stop, so that its sentences are seen as such. No offset changes.
fn capitalised(text: &str) -> String {
    let mut before = ['.', ' '];
    let capital = |letter: char| {
        let begins = before == ['.', ' '];
        before = [before[1], letter];
        if begins { letter.to_ascii_uppercase() } else { letter }
    };
    text.chars().map(capital).collect()
}

/// The text with spaces in place of its notes' quotes, so that a note is cited for what it says itself. No offset changes.
fn without_quotes(text: &str, quotes: &[CheckedQuote]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for note in quotes.iter().map(|checked| &checked.note).filter(|note| note.quote.is_some()) {
        // The note's own words begin its line or end it; if they did neither, there would be nothing to leave.
        let line = &text[note.start..note.end];
        let quote = match (line.starts_with(&*note.note), line.ends_with(&*note.note)) {
            (true, _) => note.start + note.note.len()..note.end,
            (_, true) => note.start..note.end - note.note.len(),
            _ => note.start..note.end,
        };
        out.push_str(&text[at..quote.start]);
        out.extend(std::iter::repeat_n(' ', quote.len()));
        out.push_str(&text[quote.end..note.end]);
        at = note.end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "About 1,600 marines remain in Nicaragua at the request of that government.\nThe mill was sold in 1931.\n";

    #[test]
    fn a_quote_is_checked_by_itself_and_makes_no_note_quoted() {
        let documents = [Document::plain("a", "a.txt", TEXT)];
        let mut cited = Cited::new(&documents).with_quotes(true);
        cited.add_all();
        let notes = "- There are 9,000 soldiers abroad “About 1,600 marines remain in Nicaragua”\n- The mill was sold in 1931. “sold to Mara Voss of Ely in 1931”\n- Nothing else";
        let citations = cited.memory(notes).to_vec();
        let marked = cited.marked(notes, &citations);
        let lines: Vec<&str> = marked.lines().collect();
        assert_eq!(
            lines[0],
            "- There are 9,000 soldiers abroad [no source found] “About 1,600 marines remain in Nicaragua” [quote stands in line 1]"
        );
        assert_eq!(lines[1], "- The mill was sold in 1931. [quoted: line 2] “sold to Mara Voss of Ely in 1931” [quote NOT FOUND]");
        assert!(marked.ends_with("[no quote]") || marked.ends_with("- Nothing else"), "{marked}");
        let json = quotes_json(&documents, cited.quotes());
        assert_eq!((json[0]["found"].as_str(), json[1]["found"].as_str()), (Some("there"), Some("not_found")));
        assert_eq!((json[0]["source"]["span"]["start"].as_u64(), json[0]["place"].as_str()), (Some(0), Some("line 1")));
        // The same notes without the check are what they always were.
        let mut plain = Cited::new(&documents);
        plain.add_all();
        plain.memory(notes);
        assert!(plain.quotes().is_empty());
        // What was not read yet is not there to be quoted.
        let mut early = Cited::new(&documents).with_quotes(true);
        early.add([Span { doc: "a".into(), start: 75, end: TEXT.len() }]);
        early.memory(notes);
        assert_eq!(early.quotes()[0].found, QuoteFound::NotFound);
    }

    #[test]
    fn sentences_without_capitals_are_cited_one_by_one() {
        let text =
            "All say that the employer of Bruno Cole is Wade Clocks.\nIt rained.\nOf old the founder of Wade Clocks is Isaac Hayes.\n";
        let documents = [Document::plain("a", "a.txt", text)];
        let notes = "the employer of Bruno Cole is Wade Clocks. the founder of Wade Clocks is Isaac Hayes.";
        let cited = |short: bool| {
            let mut cited = Cited::new(&documents).with_short(short);
            cited.add_all();
            cited.memory(notes).to_vec()
        };
        let found: Vec<&str> = cited(true).iter().filter(|c| c.source.is_some()).map(|c| &notes[c.start..c.end]).collect();
        assert_eq!(found, ["the employer of Bruno Cole is Wade Clocks.", "the founder of Wade Clocks is Isaac Hayes."]);
        assert!(cited(false).len() < cited(true).len());
    }

    #[test]
    fn headings_and_code_claim_nothing_but_numbers_do() {
        let documents = [Document::plain("a", "a.txt", TEXT)];
        let mut cited = Cited::new(&documents);
        cited.add_all();
        let text = "# The mill sold\n\n## 2. Marines in Nicaragua\n\n### Sold in 1999\n\nThe mill was sold in 1999.\n```\nlet sold = 1999;\n```\nIt cost 900 pounds.";
        let claims = |citations: &[Citation]| -> Vec<String> {
            citations.iter().filter(|c| c.support != Support::NoClaim).map(|c| text[c.start..c.end].to_string()).collect()
        };
        let expected = ["Sold in 1999", "The mill was sold in 1999.", "It cost 900 pounds."];
        assert_eq!(claims(&cited.cite(text)), expected);
        assert_eq!(claims(cited.memory(text)), expected);
        assert!(cited.cite(text).iter().all(|citation| citation.source.is_none()));
    }

    #[test]
    fn no_offset_changes_when_quotes_are_left_out() {
        let documents = [Document::plain("a", "a.txt", TEXT)];
        for text in [
            "“only a quote of it”\n",
            "- é 汉字 「汉字汉字」。\n- b [quote: \"c d e\"]",
            "",
            "“”",
            "- note  “a b”",
            "* “a” “b c”.",
            "\u{a0}note “c d ”\n\u{2028}\u{a0} x “é é”",
        ] {
            let mut cited = Cited::new(&documents).with_quotes(true);
            for citation in cited.memory(text).to_vec() {
                assert!(text.get(citation.start..citation.end).is_some());
            }
            let left = without_quotes(text, cited.quotes());
            assert_eq!(left.len(), text.len());
            let kept = |(a, b): (u8, u8)| a == b || a == b' ';
            assert!(left.bytes().zip(text.bytes()).all(kept), "{left:?}");
        }
    }
}

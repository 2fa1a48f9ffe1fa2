//! A kept read as one page that loads nothing: texts are cut here at every place something points to or changed, so that no offsets and
//! no comparing are left for JavaScript.

use std::collections::{BTreeSet, HashMap};

use data::{Citation, Document, Span, Support};
use serde_json::{Value, json};

use super::{Counts, Read, Report, Turn, carried, claims, place};
use crate::{CheckedQuote, Piece, QuoteFound};

const PAGE: &str = include_str!("page.html");

/// The page.
pub fn html(kept: &Report) -> String {
    // Inside a script element only `</script` and `<!--` mean anything; JSON can say `<` otherwise.
    let data = data(kept).to_string().replace('<', "\\u003c");
    PAGE.replacen("{{data}}", &data, 1)
}

/// Cited passages, numbered.
#[derive(Default)]
struct Marks {
    numbers: HashMap<Span, usize>,
    spans: Vec<(Span, String)>,
}

impl Marks {
    fn number(&mut self, kept: &Report, span: &Span) -> usize {
        *self.numbers.entry(span.clone()).or_insert_with(|| {
            self.spans.push((span.clone(), place(kept.documents, span).unwrap_or_default()));
            self.spans.len() - 1
        })
    }
}

fn data(kept: &Report) -> Value {
    let mut marks = Marks::default();
    let mut reads: Vec<Value> = kept.reads.iter().map(|of| read(kept, of, &mut marks)).collect();
    let pieces: Vec<Vec<(usize, usize)>> = kept.documents.iter().map(|document| cut(kept, document, &marks)).collect();
    for (value, read) in reads.iter_mut().zip(&kept.reads) {
        let state = |(document, pieces): (&Document, &Vec<(usize, usize)>)| states(read, document, pieces);
        value["states"] = kept.documents.iter().zip(&pieces).map(state).collect();
    }
    let document = |(document, pieces): (&Document, &Vec<(usize, usize)>)| {
        let inside = of_document(document, marks.spans.iter().map(|(span, _)| span));
        let part = |&(start, end): &(usize, usize)| {
            let marks: Vec<usize> = inside.iter().filter(|(_, span)| span.start <= start && start < span.end).map(|&(n, _)| n).collect();
            json!({"text": document.text.get(start..end).unwrap_or_default(), "marks": marks})
        };
        json!({"name": document.source, "parts": pieces.iter().map(part).collect::<Value>()})
    };
    json!({
        "reads": reads,
        "places": marks.spans.iter().map(|(_, place)| place.as_str()).collect::<Value>(),
        "documents": kept.documents.iter().zip(&pieces).map(document).collect::<Value>(),
    })
}

fn read(kept: &Report, read: &Read, marks: &mut Marks) -> Value {
    let ((covered, bytes), _) = kept.coverage(&read.seen);
    let ((again, _), _) = kept.coverage(&read.own);
    let turns: Vec<Value> = (0..read.turns.len()).map(|number| turn(kept, read, number, marks)).collect();
    let answer = read.answer.as_ref().map(|(text, citations)| {
        let (quoted, supported, none) = carried(citations);
        json!({
            "blocks": blocks(kept, text, citations, marks),
            "sources": sources(kept, text, citations, marks),
            "quoted": quoted, "supported": supported, "none": none, "stale": read.stale,
        })
    });
    json!({
        "question": read.question,
        "kind": read.kind(),
        "model": read.answered_by.as_ref().map_or(read.model.clone(), |other| format!("{}; answered by {other}", read.model)),
        "outline": read.outline(),
        "answer": answer,
        "turns": turns,
        "planned": read.planned,
        "covered": covered,
        "bytes": bytes,
        "again": if read.later { Some(again) } else { None },
    })
}

fn turn(kept: &Report, read: &Read, number: usize, marks: &mut Marks) -> Value {
    let turn: &Turn = &read.turns[number];
    let changes = read.changes(number);
    let mut pieces: Vec<Piece> = changes.iter().flat_map(|change| change.pieces.iter().copied()).collect();
    if read.outline() {
        pieces = vec![Piece::Kept(&turn.memory)];
    }
    json!({
        "notes": groups(kept, turn, &pieces, marks),
        "edited": turn.unedited.is_some(),
        "changed": if read.outline() { None } else { Some(Counts::of(&changes).to_string()) },
        "place": place(kept.documents, &turn.span),
        "plan": turn.plan,
        "tokens": turn.tokens,
    })
}

/// A sentence's class, score and passage.
fn cited(kept: &Report, citation: &Citation, marks: &mut Marks) -> Value {
    let mark = citation.source.as_ref().map(|source| marks.number(kept, &source.span));
    match citation.support {
        Support::Quoted => json!({"class": "quoted", "mark": mark}),
        Support::Supported { score } => json!({"class": "supported", "score": score, "mark": mark}),
        Support::NotFound => json!({"class": "none"}),
        Support::NoClaim => json!({}),
    }
}

/// The notes before and now in one: groups of pieces `[text, -1 | 0 | 1]` (dropped, kept, added), a group for each cited sentence and for
/// what stands between; `quote` is what became of the quote that a group ends with.
fn groups(kept: &Report, turn: &Turn, pieces: &[Piece], marks: &mut Marks) -> Value {
    let mut groups = Groups::default();
    let mut quotes = turn.quotes.iter().peekable();
    let (mut at, mut next) = (0, 0);
    for piece in pieces {
        let (mut text, sign) = match *piece {
            Piece::Dropped(text) => {
                let inside = turn.citations.get(next).is_some_and(|citation| citation.start < at && at < citation.end);
                groups.push(text, -1, Some(next).filter(|_| inside), |number| cited(kept, &turn.citations[number], marks));
                continue;
            }
            Piece::Kept(text) => (text, 0),
            Piece::Added(text) => (text, 1),
        };
        while !text.is_empty() {
            while turn.citations.get(next).is_some_and(|citation| citation.end <= at) {
                next += 1;
            }
            let (citation, border) = match turn.citations.get(next) {
                Some(citation) if citation.start <= at => (Some(next), citation.end),
                Some(citation) => (None, citation.start),
                None => (None, usize::MAX),
            };
            let stop = quotes.peek().map_or(usize::MAX, |checked| checked.note.end.max(at + 1));
            let (now, rest) = text.split_at_checked(border.min(stop) - at).unwrap_or((text, ""));
            groups.push(now, sign, citation, |number| cited(kept, &turn.citations[number], marks));
            (at, text) = (at + now.len(), rest);
            while let Some(checked) = quotes.next_if(|checked| checked.note.end <= at) {
                groups.end(quote_of(kept, turn, checked, marks));
            }
        }
    }
    groups.all.into()
}

/// Groups as they grow.
#[derive(Default)]
struct Groups {
    all: Vec<Value>,
    /// What the last one is of, while it can still grow.
    open: Option<Option<usize>>,
}

impl Groups {
    fn push(&mut self, text: &str, sign: i8, citation: Option<usize>, cited: impl FnOnce(usize) -> Value) {
        if self.open != Some(citation) {
            let mut group = citation.map_or_else(|| json!({}), cited);
            group["pieces"] = json!([]);
            self.all.push(group);
            self.open = Some(citation);
        }
        if let Some(pieces) = self.all.last_mut().and_then(|group| group["pieces"].as_array_mut()) {
            pieces.push(json!([text, sign]));
        }
    }

    /// The last group ends with a quote.
    fn end(&mut self, quote: Option<Value>) {
        if let (Some(quote), Some(group)) = (quote, self.all.last_mut()) {
            group["quote"] = quote;
            self.open = None;
        }
    }
}

fn quote_of(kept: &Report, turn: &Turn, checked: &CheckedQuote, marks: &mut Marks) -> Option<Value> {
    match &checked.found {
        QuoteFound::There(source) => Some(json!({"found": "there", "mark": marks.number(kept, &source.span)})),
        QuoteFound::NotFound => Some(json!({"found": "not_found"})),
        QuoteFound::TooShort => Some(json!({"found": "too_short"})),
        QuoteFound::NoQuote => Some(json!({"found": "no_quote"})).filter(|_| claims(checked, &turn.citations)),
    }
}

/// The answer's blocks: headings, list items and paragraphs as Markdown marks them, each with its parts.
fn blocks(kept: &Report, text: &str, citations: &[Citation], marks: &mut Marks) -> Value {
    let mut out: Vec<Value> = Vec::new();
    let mut at = 0;
    let (mut fenced, mut open) = (false, false);
    for line in text.split_inclusive('\n') {
        let (start, end) = (at, at + line.len());
        at = end;
        let said = line.trim();
        let fence = said.starts_with("```") || said.starts_with("~~~");
        if said.is_empty() && !fenced {
            open = false;
            continue;
        }
        let kind = if fenced || fence { Block::Code } else { Block::of(line) };
        fenced ^= fence;
        let trimmed = start + line.trim_end().len();
        let (value, from) = match kind {
            Block::Heading { level, marker } => (json!({"kind": "heading", "level": level}), start + marker),
            Block::Item { depth, sign, marker } => (json!({"kind": "item", "depth": depth, "sign": sign}), start + marker),
            Block::Code => (json!({"kind": "code"}), start),
            Block::Text => (json!({"kind": "text"}), start),
        };
        // Lines of a paragraph, of code, and those that go on an item are one block.
        let same = out.last().is_some_and(|last| last["kind"] == value["kind"]);
        let goes_on = open && matches!(kind, Block::Text | Block::Code) && same;
        if !goes_on {
            let mut value = value;
            value["parts"] = json!([]);
            out.push(value);
        }
        if let Some(parts) = out.last_mut().and_then(|block| block["parts"].as_array_mut()) {
            if goes_on {
                parts.push(json!({"text": "\n"}));
            }
            parts.extend(parts_of(kept, text, (from.min(trimmed), trimmed), citations, marks));
        }
        open = true;
    }
    out.into()
}

/// What a line of Markdown is.
enum Block<'a> {
    Heading { level: usize, marker: usize },
    Item { depth: usize, sign: &'a str, marker: usize },
    Code,
    Text,
}

impl<'a> Block<'a> {
    fn of(line: &'a str) -> Self {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let rest = &line[indent..];
        let signs = rest.bytes().take_while(|&byte| byte == b'#').count();
        let blank = |at: usize| rest[at..].starts_with([' ', '\t']);
        if (1..=6).contains(&signs) && blank(signs) {
            return Self::Heading { level: signs, marker: line.len() - rest[signs..].trim_start().len() };
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let sign = match rest.chars().next() {
            Some(sign @ ('-' | '*' | '+' | '•')) => sign.len_utf8(),
            _ if (1..=9).contains(&digits) && rest[digits..].starts_with(['.', ')']) => digits + 1,
            _ => return Self::Text,
        };
        if !blank(sign) {
            return Self::Text;
        }
        let width: usize = line[..indent].chars().map(|c| if c == '\t' { 4 } else { 1 }).sum();
        let sign_text = if digits > 0 { &rest[..sign] } else { "•" };
        Self::Item { depth: (width / 2).min(6), sign: sign_text, marker: line.len() - rest[sign..].trim_start().len() }
    }
}

/// `text[start..end]` cut at citations.
fn parts_of(kept: &Report, text: &str, (start, end): (usize, usize), citations: &[Citation], marks: &mut Marks) -> Vec<Value> {
    let mut out = Vec::new();
    let mut at = start;
    let mut push = |from: usize, to: usize, mut value: Value| {
        if let Some(text) = text.get(from..to).filter(|text| !text.is_empty()) {
            value["text"] = json!(text);
            out.push(value);
        }
    };
    for citation in citations.iter().filter(|citation| citation.end > start && citation.start < end) {
        let (from, to) = (citation.start.max(at), citation.end.min(end));
        push(at, from, json!({}));
        push(from, to, cited(kept, citation, marks));
        at = to.max(at);
    }
    push(at, end, json!({}));
    out
}

/// The answer's sentences with the documents' own words.
fn sources(kept: &Report, text: &str, citations: &[Citation], marks: &mut Marks) -> Value {
    let claims = citations.iter().filter(|citation| citation.support != Support::NoClaim);
    claims
        .map(|citation| {
            let mut value = cited(kept, citation, marks);
            value["text"] = json!(text.get(citation.start..citation.end).unwrap_or_default());
            value["quote"] = json!(citation.source.as_ref().map(|source| source.quote.split_whitespace().collect::<Vec<_>>().join(" ")));
            value
        })
        .collect()
}

/// Those of the spans that are in the document, with their numbers.
fn of_document<'a>(document: &Document, spans: impl Iterator<Item = &'a Span>) -> Vec<(usize, &'a Span)> {
    spans.enumerate().filter(|(_, span)| span.doc == document.id).collect()
}

/// A document cut at sections, cited passages and gaps of every read.
fn cut(kept: &Report, document: &Document, marks: &Marks) -> Vec<(usize, usize)> {
    let turns = kept.reads.iter().flat_map(|read| read.turns.iter().map(|turn| &turn.span));
    let read = kept.reads.iter().flat_map(|read| read.seen.iter().chain(&read.own));
    let spans = marks.spans.iter().map(|(span, _)| span).chain(turns).chain(read);
    let mut borders: BTreeSet<usize> = [0, document.text.len()].into();
    borders.extend(of_document(document, spans).iter().flat_map(|(_, span)| [span.start, span.end]));
    borders.retain(|&at| document.text.is_char_boundary(at));
    let borders: Vec<usize> = borders.into_iter().collect();
    borders.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// For each piece of a document: the section it was read in (its number from 0), -1 if it was read otherwise, -2 if it was not read.
fn states(read: &Read, document: &Document, pieces: &[(usize, usize)]) -> Vec<i64> {
    let turns = of_document(document, read.turns.iter().map(|turn| &turn.span));
    let seen = of_document(document, read.seen.iter());
    let inside = |spans: &[(usize, &Span)], at: usize| spans.iter().find(|(_, span)| span.start <= at && at < span.end).map(|&(n, _)| n);
    let state = |&(start, _): &(usize, usize)| match inside(&turns, start) {
        Some(section) => section as i64,
        None if inside(&seen, start).is_some() => -1,
        None => -2,
    };
    pieces.iter().map(state).collect()
}

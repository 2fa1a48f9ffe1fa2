//! Long documents in parts, so that short contexts have room for several of them.

use data::{Document, Mark, Place};
use tokenizer::{Tokenizer, TokenizerError};

/// Ranks of places to cut at, behind those of structure: a page, a blank line, a line.
const PAGE: usize = 100;
const PARAGRAPH: usize = 101;
const LINE: usize = 102;

/// The document in parts of at most `tokens` each, cut where its structure is coarsest: between top-level keys, sections, rows, paragraphs;
/// deeper only within what is too long alone. A single line may be longer. A part begins with the keys or headings that it stands under,
/// so that what it says is said of the same. Its id is the document's with `#` and its number. The document itself where it is short.
///
/// Nothing is cut within a list: its elements are only told apart together.
pub fn parts(document: Document, tokens: usize, tokenizer: &Tokenizer) -> Result<Vec<Document>, TokenizerError> {
    let text: &str = &document.text;
    if tokenizer.count(text)? <= tokens {
        return Ok(vec![document]);
    }
    let places = places(&document);
    let mut cutter = Cutter { text, places: &places, tokens, tokenizer, out: Vec::new() };
    cutter.cut(0, text.len())?;
    let ranges = cutter.out;
    if ranges.len() < 2 {
        return Ok(vec![document]);
    }
    Ok(ranges.into_iter().enumerate().map(|(at, (from, to))| part(&document, at + 1, from, to)).collect())
}

/// Bytes at which the document can be cut, ascending, with their rank: the lowest is cut at first.
fn places(document: &Document) -> Vec<(usize, usize)> {
    let text: &str = &document.text;
    let mut out: Vec<(usize, usize)> = Vec::new();
    let line = |at: usize| text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    for mark in &document.marks {
        let rank = match &mark.place {
            Place::Pointer { pointer } if in_list(pointer) => continue,
            Place::Pointer { pointer } => pointer.matches('/').count(),
            Place::Heading { path } => path.len(),
            Place::Cell { .. } => PAGE - 1,
            Place::Page { .. } => PAGE,
            Place::Line { .. } => continue,
        };
        out.push((line(mark.start), rank));
    }
    if !document.marks.iter().any(|mark| matches!(mark.place, Place::Pointer { .. } | Place::Cell { .. })) {
        let mut blank = false;
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            out.push((start, if blank { PARAGRAPH } else { LINE }));
            blank = line.trim().is_empty();
            start += line.len();
        }
    }
    out.sort_unstable();
    out.dedup_by_key(|(at, _)| *at);
    out
}

fn in_list(pointer: &str) -> bool {
    pointer.split('/').skip(1).any(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()))
}

struct Cutter<'a> {
    text: &'a str,
    places: &'a [(usize, usize)],
    tokens: usize,
    tokenizer: &'a Tokenizer,
    out: Vec<(usize, usize)>,
}

impl Cutter<'_> {
    fn count(&self, from: usize, to: usize) -> Result<usize, TokenizerError> {
        self.tokenizer.count(self.text.get(from..to).unwrap_or(""))
    }

    fn cut(&mut self, from: usize, to: usize) -> Result<(), TokenizerError> {
        if self.count(from, to)? <= self.tokens {
            self.out.push((from, to));
            return Ok(());
        }
        let first = self.places.partition_point(|(at, _)| *at <= from);
        let last = self.places.partition_point(|(at, _)| *at < to);
        let inside = self.places.get(first..last).unwrap_or(&[]);
        let Some(rank) = inside.iter().map(|(_, rank)| *rank).min() else {
            self.out.push((from, to));
            return Ok(());
        };
        let bounds: Vec<usize> = inside.iter().filter(|(_, other)| *other == rank).map(|(at, _)| *at).chain([to]).collect();
        // Neighbours share a part as long as they fit.
        let (mut start, mut end, mut used) = (from, from, 0);
        for bound in bounds {
            let more = self.count(end, bound)?;
            if used > 0 && used + more > self.tokens {
                self.piece(start, end, used)?;
                (start, used) = (end, 0);
            }
            (end, used) = (bound, used + more);
        }
        self.piece(start, end, used)
    }

    fn piece(&mut self, from: usize, to: usize, used: usize) -> Result<(), TokenizerError> {
        if used > self.tokens {
            return self.cut(from, to);
        }
        self.out.push((from, to));
        Ok(())
    }
}

/// A part as a document of its own.
fn part(document: &Document, number: usize, from: usize, to: usize) -> Document {
    let whole: &str = &document.text;
    let (mut text, mut marks) = (String::new(), Vec::new());
    for above in above(document, from) {
        let line = whole.get(above.start..).and_then(|rest| rest.lines().next()).unwrap_or("");
        let indent = whole.get(..above.start).map_or(0, |before| before.len() - before.rfind('\n').map_or(0, |end| end + 1));
        text.push_str(whole.get(above.start - indent..above.start).unwrap_or(""));
        marks.push(Mark { start: text.len(), place: above.place.clone() });
        text.push_str(line);
        text.push('\n');
    }
    let before = text.len();
    text.push_str(whole.get(from..to).unwrap_or("").trim_end());
    marks.extend(
        (document.marks.iter().filter(|mark| (from..to).contains(&mark.start)))
            .map(|mark| Mark { start: mark.start - from + before, place: mark.place.clone() }),
    );
    let mut out = Document::plain(format!("{}#{number}", document.id), document.source.clone(), text);
    // A line's number would be another than the source's.
    (out.marks, out.code, out.lines) = (marks, document.code, false);
    out
}

/// The marks of the keys or headings that stand over a byte, from the outermost.
fn above(document: &Document, at: usize) -> Vec<&Mark> {
    let marks = &document.marks;
    let line_end = document.text.get(at..).and_then(|rest| rest.find('\n')).map_or(document.text.len(), |end| at + end);
    let Some(first) = marks.iter().find(|mark| mark.start >= at && mark.start <= line_end) else {
        // In the middle of a section.
        let last = marks.iter().rev().find(|mark| mark.start < at && matches!(mark.place, Place::Heading { .. }));
        return last.map_or_else(Vec::new, |last| headings(document, last, true));
    };
    match &first.place {
        Place::Pointer { pointer } => {
            let over = |other: &str| !other.is_empty() && pointer.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
            marks.iter().filter(|mark| mark.start < at && matches!(&mark.place, Place::Pointer { pointer } if over(pointer))).collect()
        }
        Place::Heading { .. } => headings(document, first, false),
        _ => Vec::new(),
    }
}

/// The headings over a heading; itself as well where `own`.
fn headings<'a>(document: &'a Document, heading: &'a Mark, own: bool) -> Vec<&'a Mark> {
    let Place::Heading { path } = &heading.place else { return Vec::new() };
    let last = path.len() + usize::from(own);
    let over = |depth: usize| {
        let is = |mark: &&Mark| {
            mark.start <= heading.start && matches!(&mark.place, Place::Heading { path: other } if other[..] == path[..depth])
        };
        document.marks.iter().rev().find(is)
    };
    (1..last).filter_map(over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Class, Corpus, Filters};
    use crate::fact::facts;
    use proptest::prelude::*;

    fn cut(name: &str, text: &str, tokens: usize) -> Vec<Document> {
        let document =
            documents::convert(name, text.as_bytes()).map_or_else(|_| Document::plain(name, name, text), |converted| converted.document);
        parts(Document { id: name.into(), ..document }, tokens, &Tokenizer::approximate()).unwrap()
    }

    fn said(documents: &[Document]) -> Vec<String> {
        let mut corpus = Corpus::default();
        let filters = Filters { near_duplicate: 2.0, max_repeated_lines: 1.0, max_repeated_words: 1.0, ..Filters::default() };
        for (at, document) in documents.iter().enumerate() {
            corpus
                .add_part(document.clone(), &format!("T, part {}", at + 1), "T", Class::General, &filters, &Tokenizer::approximate())
                .unwrap();
        }
        let facts = corpus.sources.iter().flat_map(|source| {
            let found = facts(source);
            assert!(found.iter().all(|fact| source.document.text[fact.span.start..fact.span.end] == fact.value));
            found
        });
        facts.map(|fact| format!("{}; {} = {}", fact.subject, fact.relation, fact.value)).collect()
    }

    const LAND: &str = r#"{"Land": {"Area": {"total": "9 sq km", "dry": "8 sq km"}, "Hills": {"highest": "Mont A", "lowest": "the sea"}, "Towns": ["Aab", "Bec"]},
        "People": {"count": "5 million", "old": "12%"}, "Rule": {"head": "Ann Lee", "since": 1990}}"#;

    #[test]
    fn what_parts_say_is_what_the_whole_says() {
        let whole = cut("x.json", LAND, 10_000);
        assert_eq!((whole.len(), whole[0].id.as_str()), (1, "x.json"));
        let parts = cut("x.json", LAND, 30);
        assert!(parts.len() >= 3, "{parts:#?}");
        assert!(parts.iter().any(|part| part.text.starts_with("Land:\n")) && parts[1].id == "x.json#2", "{parts:#?}");
        assert_eq!(said(&parts), said(&whole));
        // Between top-level keys where that is enough.
        let parts = cut("x.json", LAND, 60);
        let first = |part: &Document| part.text.lines().next().unwrap_or("").to_string();
        assert_eq!(parts.iter().map(first).collect::<Vec<_>>(), ["Land:", "People:"]);
    }

    #[test]
    fn sections_and_paragraphs_are_cut_under_their_headings() {
        let text = format!("# A\n\nOne.\n\n## B\n\n{}\n\n## C\n\nkey: value here\nother: thing there\n", "A few words more. ".repeat(20));
        let parts = cut("x.md", &text, 60);
        assert!(parts.len() >= 3);
        assert!(parts.last().unwrap().text.starts_with("# A\n## C\n"), "{:?}", parts.last().unwrap().text);
        assert_eq!(said(&parts), said(&cut("x.md", &text, 10_000)));
        let prose = (0..40).map(|at| format!("This is paragraph {at} of many.\n\n")).collect::<String>();
        let parts = cut("x.txt", &prose, 50);
        let joined: Vec<&str> = parts.iter().flat_map(|part| part.text.split("\n\n")).map(str::trim).collect();
        assert_eq!(joined, prose.trim().split("\n\n").collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn no_text_and_no_marks_break_it(text in "(#|## |é|a b|\n|: |\\{\"|\"\\}|, |\\[|\\]|1){0,80}", ending in "json|md|txt|csv", tokens in 1..20_usize) {
            for part in cut(&format!("x.{ending}"), &text, tokens) {
                prop_assert!(part.marks.iter().all(|mark| part.text.get(mark.start..).is_some()));
            }
        }
    }
}

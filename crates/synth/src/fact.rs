//! What structured sources say outright: JSON objects, tables, lists of keys and values. No model is asked.

mod lines;
mod outline;
mod table;

use std::ops::Range;

use data::{Fact, Place, Span};

use crate::corpus::Source;
use crate::hash;

/// A longer value is prose.
const MAX_VALUE: usize = 300;
/// Between the steps of a relation.
const STEP: &str = " › ";

/// The facts of a document, in the order in which they stand; none where it is prose or source code.
///
/// - JSON (pointer marks): the subject is the title, or, inside a list of objects, the object's first scalar where it names one of them
///   only. The relation is the path of keys. A key that stands as the lone scalar of most of the document's objects (`text`, `value`)
///   says nothing and is left out. A list of scalars gives a fact each with the same relation.
/// - Tables (cell marks): the subject is the cell of the first column of which at least nine in ten cells are there and each only once,
///   of words rather than of numbers if there is such a column; the relation is the column's name, after the sheet's where there are
///   several sheets.
/// - Other text: lines `key: value` of which at least two stand one after the other, under the headings they stand under. A relation
///   that stands in the document twice is none.
///
/// Values are single lines of at most 300 bytes that stand in the text as they are. Empty ones and `null` are no facts.
pub fn facts(source: &Source) -> Vec<Fact> {
    let document = &source.document;
    if document.code {
        return Vec::new();
    }
    let marked = |is: fn(&Place) -> bool| document.marks.iter().any(|mark| is(&mark.place));
    let found = if marked(|place| matches!(place, Place::Pointer { .. })) {
        outline::read(document, source.subject())
    } else if marked(|place| matches!(place, Place::Cell { .. })) {
        table::read(document)
    } else {
        lines::read(document, source.subject())
    };
    found.into_iter().filter_map(|said| said.fact(source)).collect()
}

/// A fact before it has an id.
struct Said {
    subject: String,
    /// The relation's steps.
    path: Vec<String>,
    /// The value's bytes in the text.
    at: Range<usize>,
}

impl Said {
    fn fact(self, source: &Source) -> Option<Fact> {
        let document = &source.document;
        let value = document.text.get(self.at.clone())?;
        let (subject, relation) = (one_line(&self.subject), self.path.iter().map(|step| one_line(step)).collect::<Vec<_>>().join(STEP));
        let said = !value.is_empty() && value != "\"\"" && value != "null" && value != "{}" && value != "[]";
        if !said || value.len() > MAX_VALUE || value.contains('\n') || subject.is_empty() || relation.is_empty() {
            return None;
        }
        let id = hash::id("fact", [document.id.as_str(), &relation, value, &self.at.start.to_string()]);
        let span = Span { doc: document.id.clone(), start: self.at.start, end: self.at.end };
        Some(Fact { id, subject, relation, value: value.to_string(), span, call: None })
    }
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The bytes between `from` and `to` without the spaces and line ends around them. `0..0` where the text has no such bytes: marks may
/// come from elsewhere.
fn trimmed(text: &str, from: usize, to: usize) -> Range<usize> {
    let Some(slice) = text.get(from..to) else { return 0..0 };
    let start = from + slice.len() - slice.trim_start().len();
    start..start + slice.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Class;
    use data::{Document, Mark};
    use proptest::prelude::*;

    fn source(name: &str, title: &str, text: &str) -> Source {
        let document =
            documents::convert(name, text.as_bytes()).map_or_else(|_| Document::plain(name, name, text), |converted| converted.document);
        Source { document, title: title.into(), class: Class::General, tokens: 0, sha256: String::new(), whole: None }
    }

    /// Every fact's span holds its value, spans do not overlap, and ids are unique.
    fn said(source: &Source) -> Vec<String> {
        let found = facts(source);
        let mut ends = 0;
        for fact in &found {
            assert_eq!(&source.document.text[fact.span.start..fact.span.end], fact.value);
            assert!(fact.span.start >= ends, "{fact:?}");
            ends = fact.span.end;
        }
        assert_eq!(found.iter().map(|fact| &fact.id).collect::<std::collections::BTreeSet<_>>().len(), found.len());
        found.into_iter().map(|fact| format!("{}; {} = {}", fact.subject, fact.relation, fact.value)).collect()
    }

    #[test]
    fn json_says_its_facts() {
        let text = r#"{"Land": {"Area": {"total": {"text": "9 sq km; 4 sq km"}, "note": {"text": null}}, "Rivers": {"text": "Aa, Bee", "a/b": {"text": "l1\nl2"}, "c/d~": {"text": "is"}}},
            "Hills": ["Mont A", "Mont B, the lower"], "Open": true, "Empty": {}, "Said": {"text": ""}}"#;
        assert_eq!(
            said(&source("x.json", "Arland", text)),
            [
                "Arland; Land › Area › total = 9 sq km; 4 sq km",
                "Arland; Land › Rivers = Aa, Bee",
                "Arland; Land › Rivers › c/d~ = is",
                "Arland; Hills = Mont A",
                "Arland; Hills = Mont B, the lower",
                "Arland; Open = true"
            ]
        );
    }

    #[test]
    fn lists_of_objects_are_about_the_objects() {
        let text = r#"{"towns": [{"name": "Aab", "born": 1815, "in": {"hill": "Mont A", "lake": "none"}}, {"name": "Bec", "born": 1820}], "year": 7}"#;
        assert_eq!(
            said(&source("x.json", "Arland", text)),
            [
                "Aab; towns › born = 1815",
                "Aab; towns › in › hill = Mont A",
                "Aab; towns › in › lake = none",
                "Bec; towns › born = 1820",
                "Arland; year = 7"
            ]
        );
        assert_eq!(said(&source("x.json", "T", r#"[{"of": "Aab", "n": 1}, {"of": "Aab", "n": 2}]"#)), [""; 0]);
    }

    #[test]
    fn a_key_that_says_something_stays() {
        let text = r#"{"a": {"name": "Ann", "age": 3}, "b": {"name": "Ben", "age": 4}, "c": {"name": "Cid", "age": 5}}"#;
        assert_eq!(said(&source("x.json", "T", text))[..2], ["T; a › name = Ann", "T; a › age = 3"]);
        assert_eq!(said(&source("x.json", "T", r#"{"a": {"capital": "Rome"}}"#)), ["T; a › capital = Rome"]);
        // Three objects have it alone, but most have other things.
        let text = r#"{"a": {"t": 1}, "b": {"t": 2}, "c": {"t": 3}, "d": {"u": 1, "v": 2}, "e": {"u": 1, "v": 2}, "f": {"u": 1, "v": 2}}"#;
        assert_eq!(said(&source("x.json", "T", text))[0], "T; a › t = 1");
    }

    #[test]
    fn tables_say_their_rows() {
        let text = "no,name,born,note\n1,Ada,1815,\"x | born: 3\"\n2,Emmy,1882,\n3,Ada L,,y\n";
        assert_eq!(
            said(&source("x.csv", "T", text)),
            [
                "Ada; no = 1",
                "Ada; born = 1815",
                "Ada; note = x | born: 3",
                "Emmy; no = 2",
                "Emmy; born = 1882",
                "Ada L; no = 3",
                "Ada L; note = y"
            ]
        );
        assert_eq!(said(&source("x.csv", "T", "year,sum\n1990,4\n1991,5\n")), ["1990; sum = 4", "1991; sum = 5"]);
        assert_eq!(said(&source("x.csv", "T", "town,year\nRome,1990\nRome,1990\n")), [""; 0]);
        let mut rows: String = ('a'..='s').map(|town| format!("{town},1\n")).collect();
        rows.push_str("b,2\n");
        let found = said(&source("x.csv", "T", &format!("town,year\n{rows}")));
        assert_eq!((found.len(), &found[0], &found[1]), (18, &"a; year = 1".to_string(), &"c; year = 1".to_string()));
        assert_eq!(said(&source("x.csv", "T", "1,2\n3,4\n")), [""; 0]);
    }

    #[test]
    fn keys_in_text_say_theirs_where_they_are_clear() {
        let text = "# Arland\n\nIt is flat: very flat.\n\n## Land\n\n- **Area:** 5 sq km\n- **Hills**: none\n\n## People\n\nHeads: 7\nArea: 3\n\nNote: this stands alone.\n\nSee: https://a.b\nSee: c\n";
        assert_eq!(
            said(&source("x.md", "Arland", text)),
            ["Arland; Land › Area = 5 sq km", "Arland; Land › Hills = none", "Arland; People › Heads = 7", "Arland; People › Area = 3"]
        );
        assert_eq!(said(&source("x.txt", "T", "Ann: Hello.\nBen: Hello.\nAnn: Yes.\nBen: No.\n")), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(\\{\"|\"\\}|\": \"|\", \"|[a-c]|\\[|\\]|/|~|é|, |\n|: |- |\\| |# |\\*\\*|null){0,60}", name in "x\\.(json|csv|md|txt)") {
            said(&source(&name, "T", &text));
        }

        #[test]
        fn no_marks_break_it(text in "[a: |\n-é]{0,30}", marks in proptest::collection::vec((0..40_usize, 0..3_u32, 0..3_u32, "(/[a01]{0,2}){0,3}"), 0..8), json: bool) {
            let mut source = source("x.txt", "T", &text);
            source.document.marks = marks
                .into_iter()
                .map(|(start, row, column, pointer)| {
                    let place = if json { Place::Pointer { pointer } } else { Place::Cell { sheet: String::new(), row, column } };
                    Mark { start, place }
                })
                .collect();
            for fact in facts(&source) {
                prop_assert_eq!(&source.document.text[fact.span.start..fact.span.end], fact.value);
            }
        }

        #[test]
        fn no_json_breaks_it(keys in proptest::collection::vec(("[a/~é: \n-]{0,4}", "[a: \n\"é-]{0,6}"), 0..6)) {
            let object: serde_json::Map<String, serde_json::Value> = keys.into_iter().map(|(key, value)| (key, serde_json::json!({"t": value, "l": [value]}))).collect();
            said(&source("x.json", "T", &serde_json::Value::Object(object).to_string()));
        }
    }
}

//! Citations against notes labelled by hand, random text, and the documents' own words.

use std::collections::BTreeMap;

use agent::{QuoteFound, Sources, describe};
use data::{Citation, Document, Mark, Place, Span, Support};
use proptest::prelude::*;

fn document(name: &str) -> Document {
    let path = format!("{}/../../tests/documents/{name}", env!("CARGO_MANIFEST_DIR"));
    Document::plain(name, name, std::fs::read_to_string(path).unwrap())
}

#[derive(serde::Deserialize)]
struct Note {
    document: String,
    note: String,
    class: String,
    how: String,
    #[serde(default)]
    evidence: String,
}

fn class(citation: &Citation) -> &'static str {
    match citation.support {
        Support::Quoted => "quoted",
        Support::Supported { .. } => "supported",
        Support::NotFound => "none",
        Support::NoClaim => "no_claim",
    }
}

/// What is quoted must be so in 95 of 100 cases, what is supported in 70, in both documents, and the passage must be the right one.
#[test]
fn notes_are_not_shown_as_more_than_they_are() {
    let notes: Vec<Note> = serde_json::from_str(include_str!("cite/notes.json")).unwrap();
    let documents = [document("demo.txt"), document("hoover-1929.txt")];
    let sources = Sources::new(&documents);
    for name in ["demo.txt", "hoover-1929.txt"] {
        let mut table: BTreeMap<(String, &str), usize> = BTreeMap::new();
        let (mut quoted, mut supported) = ((0, 0), (0, 0));
        for note in notes.iter().filter(|note| note.document == name) {
            let citations = sources.cite(&note.note);
            assert_eq!(citations.len(), 1, "{}", note.note);
            let given = class(&citations[0]);
            *table.entry((note.class.clone(), given)).or_default() += 1;
            let right_place = citations[0].source.as_ref().is_some_and(|source| !note.evidence.is_empty() && source.quote.contains(&note.evidence));
            match given {
                "quoted" => quoted = (quoted.0 + usize::from(note.class == "quoted" && right_place), quoted.1 + 1),
                "supported" => supported = (supported.0 + usize::from(right_place), supported.1 + 1),
                _ => {}
            }
            if name == "demo.txt" && std::env::var("SHOW").is_ok() { println!("  {:9} {:?} {}", note.class, citations[0].support, note.note); }
            if given != note.class || (!note.evidence.is_empty() && given != "none" && !right_place) {
                println!("{name}: {} → {:?} ({}): {} ⇒ {:?}", note.class, citations[0].support, note.how, note.note, citations[0].source.as_ref().map(|s| &s.quote));
            }
        }
        println!("{name}: (by hand, given): {table:?}\n{name}: quoted {quoted:?}, supported {supported:?}");
        assert!(quoted.0 * 100 >= quoted.1 * 95 && quoted.1 >= 7, "{name}: of {} quoted, {} are", quoted.1, quoted.0);
        assert!(supported.0 * 100 >= supported.1 * 70 && supported.1 >= 5, "{name}: of {} supported, {} are", supported.1, supported.0);
    }
}

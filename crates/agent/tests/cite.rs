//! Citations against notes labelled by hand, random text, and the documents' own words.

use std::collections::BTreeMap;

use agent::{CheckedQuote, QuoteFound, Sources, describe, note_quotes};
use data::{Citation, Document, Mark, Place, Span, Support};
use proptest::prelude::*;

fn document(name: &str) -> Document {
    let folder = if name == "reagan-1986.txt" { "tests/cite" } else { "../../tests/documents" };
    let path = format!("{}/{folder}/{name}", env!("CARGO_MANIFEST_DIR"));
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
    let names = ["demo.txt", "hoover-1929.txt", "reagan-1986.txt"];
    let sources = Sources::new(&names.map(document));
    for name in names {
        let mut table: BTreeMap<(String, &str), usize> = BTreeMap::new();
        let (mut quoted, mut supported) = ((0, 0), (0, 0));
        for note in notes.iter().filter(|note| note.document == name) {
            let citations = sources.cite(&note.note);
            assert_eq!(citations.len(), 1, "{}", note.note);
            let given = class(&citations[0]);
            *table.entry((note.class.clone(), given)).or_default() += 1;
            let right_place =
                citations[0].source.as_ref().is_some_and(|source| !note.evidence.is_empty() && source.quote.contains(&note.evidence));
            match given {
                "quoted" => quoted = (quoted.0 + usize::from(note.class == "quoted" && right_place), quoted.1 + 1),
                "supported" => supported = (supported.0 + usize::from(right_place), supported.1 + 1),
                _ => {}
            }
            if given != note.class || (!note.evidence.is_empty() && given != "none" && !right_place) {
                println!(
                    "{name}: {} → {:?} ({}): {} ⇒ {:?}",
                    note.class,
                    citations[0].support,
                    note.how,
                    note.note,
                    citations[0].source.as_ref().map(|s| &s.quote)
                );
            }
        }
        println!("{name}: (by hand, given): {table:?}\n{name}: quoted {quoted:?}, supported {supported:?}");
        assert!(quoted.0 * 100 >= quoted.1 * 95 && quoted.1 >= 7, "{name}: of {} quoted, {} are", quoted.1, quoted.0);
        assert!(supported.0 * 100 >= supported.1 * 70 && supported.1 >= 5, "{name}: of {} supported, {} are", supported.1, supported.0);
    }
}

/// What a small model gets wrong most: each number of each sentence of the speeches with another digit, a "not" put before a verb, a
/// name exchanged. None of it may be quoted. The sentences as they stand are.
#[test]
fn altered_sentences_are_never_quoted() {
    let documents = [document("demo.txt"), document("hoover-1929.txt")];
    let sources = Sources::new(&documents);
    let (mut verbatim, mut numbers, mut negated, mut names) = ((0, 0), (0, 0), (0, 0), (0, 0));
    for document in &documents {
        for line in document.text.lines().filter(|line| line.len() > 60).step_by(2) {
            for citation in sources.cite(line) {
                let sentence = &line[citation.start..citation.end];
                if sentence.split_whitespace().count() < 8 || citation.support == Support::NoClaim {
                    continue;
                }
                let quoted = |text: &str| sources.cite(text).iter().filter(|c| c.support == Support::Quoted).count();
                verbatim = (verbatim.0 + usize::from(citation.support == Support::Quoted), verbatim.1 + 1);
                if verbatim.1 % 3 != 0 {
                    continue;
                }
                if let Some(at) = sentence.find(|c: char| c.is_ascii_digit()) {
                    let digit = (sentence.as_bytes()[at] - b'0' + 3) % 10;
                    let altered = format!("{}{digit}{}", &sentence[..at], &sentence[at + 1..]);
                    numbers = (numbers.0 + quoted(&altered), numbers.1 + 1);
                }
                for verb in [" is ", " are ", " was ", " were ", " have ", " has ", " will "] {
                    if let Some(at) = sentence.find(verb).filter(|at| !sentence[at + verb.len()..].starts_with("not ")) {
                        let at = at + verb.len();
                        negated = (negated.0 + quoted(&format!("{}not {}", &sentence[..at], &sentence[at..])), negated.1 + 1);
                        break;
                    }
                }
                for (name, other) in [("Congress", "Parliament"), ("America", "Australia"), ("Federal", "Imperial"), ("Nation", "Province")]
                {
                    if sentence.contains(name) {
                        names = (names.0 + quoted(&sentence.replace(name, other)), names.1 + 1);
                        break;
                    }
                }
            }
        }
    }
    println!("quoted: as they stand {verbatim:?}, other digit {numbers:?}, negated {negated:?}, other name {names:?}");
    assert!(verbatim.0 * 100 >= verbatim.1 * 95 && verbatim.1 > 200, "{verbatim:?}");
    assert!(numbers.0 == 0 && numbers.1 > 10, "{numbers:?}");
    assert!(negated.0 == 0 && negated.1 > 50, "{negated:?}");
    assert!(names.0 == 0 && names.1 > 15, "{names:?}");
}

fn plain(text: &str) -> Document {
    Document::plain("d", "d.txt", text)
}

fn supports(document: &str, text: &str) -> Vec<&'static str> {
    Sources::new(&[plain(document)]).cite(text).iter().map(class).collect()
}

#[test]
fn typesetting_and_scripts_without_spaces() {
    let source = "The com-\nmittee’s “ﬁnal” re\u{ad}port of 12 May 1962 cost\n$1.5 million in all. Others follow here.";
    assert_eq!(supports(source, "* The committee's \"final\" report of 12 May 1962 cost $1.5 million in all"), ["quoted"]);
    assert_eq!(supports(source, "The committee's final report of 12 May 1962 cost $1.6 million in all."), ["none"]);
    let chinese = "会议于1962年在北京举行，共有一百五十名代表参加了这次重要的会议。后来他们回家了。";
    assert_eq!(supports(chinese, "1. 共有一百五十名代表参加了这次重要的会议。\n2. 没有找到"), ["quoted", "no_claim"]);
    assert_eq!(supports(chinese, "会议于1963年在北京举行，共有一百五十名代表参加了这次重要的会议。"), ["none"]);
    assert_eq!(supports(chinese, "这次重要的会议没有代表参加。天气很好，我们都去了海边游泳。"), ["none", "none"]);
    assert_eq!(supports("", "Anything at all was said here."), ["none"]);
    assert_eq!(supports("text", ""), [""; 0]);
}

#[test]
fn only_what_was_read_is_cited() {
    let document = document("demo.txt");
    let sources = Sources::new(std::slice::from_ref(&document));
    let note = "155,000 members of the Reserve and National Guard were activated.";
    let at = document.text.find("155,000 members").unwrap();
    let read = |start, end| class(&sources.cite_read(note, &[Span { doc: "demo.txt".into(), start, end }])[0]);
    assert_eq!(read(0, at), "none");
    assert_eq!(read(0, at + 20), "none");
    assert_eq!(read(0, document.text.len()), "quoted");
    // Chunks that touch are one part.
    let parts = [(at + 30, document.text.len()), (0, at + 30), (7, 9)].map(|(start, end)| Span { doc: "demo.txt".into(), start, end });
    assert_eq!(class(&sources.cite_read(note, &parts)[0]), "quoted");
    assert_eq!(class(&sources.cite_read(note, &[])[0]), "none");
    assert_eq!(class(&sources.cite_read(note, &[Span { doc: "other".into(), start: 9, end: 2 }])[0]), "none");
}

#[test]
fn sentences_that_stand_keep_their_citation() {
    let document = document("demo.txt");
    let sources = Sources::new(std::slice::from_ref(&document));
    let earlier = "- 155,000 members of the Reserve and National Guard were activated.\n- Exports to Mars doubled in 1961.";
    let mut cited = sources.cite(earlier);
    assert_eq!(cited.iter().map(class).collect::<Vec<_>>(), ["quoted", "none"]);
    // A mark by which the kept one is known.
    cited[0].source.as_mut().unwrap().span.start += 1;
    let later = "Exports to Mars doubled in 1961. New: 155,000 men.\n3. 155,000 members of the Reserve and National Guard were activated.";
    let again = sources.recite((earlier, &cited), later, Some(&[]));
    assert_eq!(again.iter().map(class).collect::<Vec<_>>(), ["none", "none", "quoted"]);
    assert_eq!(again[2].source, cited[0].source);
    assert_eq!(&later[again[2].start..again[2].end], "155,000 members of the Reserve and National Guard were activated.");
    // Citations of another text are no citations.
    let wrong = [Citation { start: 3, end: 9_999, ..cited[0].clone() }, Citation { start: 9, end: 2, ..cited[0].clone() }];
    assert_eq!(sources.recite((earlier, &wrong), later, Some(&[])).iter().map(class).collect::<Vec<_>>(), ["none"; 3]);
}

#[test]
fn citations_are_described_by_their_place() {
    let text = "Some words first.\nThe fleet has 70 vessels and 12 wings in all.";
    let document = Document {
        lines: false,
        marks: vec![Mark { start: 0, place: Place::Page { page: 11 } }, Mark { start: 18, place: Place::Page { page: 12 } }],
        ..Document::plain("d", "shelf/report.pdf", text)
    };
    let sources = Sources::new(std::slice::from_ref(&document));
    let said = |note| describe(&sources.cite(note)[0], &document);
    assert_eq!(said("The fleet has 70 vessels and 12 wings."), "report.pdf, page 12, “The fleet has 70 vessels and 12 wings in all.”");
    assert!(
        said("Their fleet: 70 vessels, 12 wings, blue").starts_with("see report.pdf, page 12, “The fleet"),
        "{}",
        said("Their fleet: 70 vessels, 12 wings, blue")
    );
    assert_eq!(said("The fleet has 71 vessels."), "no source found");
    let code = Document { code: true, ..Document::plain("d", "src/fleet.rs", text) };
    let cited = Sources::new(std::slice::from_ref(&code)).cite("The fleet has 70 vessels and 12 wings.");
    assert_eq!(describe(&cited[0], &code), "src/fleet.rs:2, “The fleet has 70 vessels and 12 wings in all.”");
    assert_eq!(said("Nothing found yet"), "");
    let long = Document::plain("d", "https://example.org/a/", "word ".repeat(100));
    let citation = Citation {
        start: 0,
        end: 1,
        support: Support::Quoted,
        source: Some(data::Source { span: Span { doc: "d".into(), start: 0, end: 499 }, quote: long.text[..499].into() }),
    };
    assert!(describe(&citation, &long).starts_with("a, line 1, “word word") && describe(&citation, &long).ends_with("word…”"));
}

#[test]
fn a_small_number_alone_has_no_source() {
    let document = document("demo.txt");
    let sources = Sources::new(std::slice::from_ref(&document));
    for text in ["4", "60.", "\\boxed{12}"] {
        assert!(sources.cite(text).iter().all(|citation| citation.source.is_none()), "{text}");
    }
    assert!(sources.cite("155,000")[0].source.is_some());
}

#[test]
fn notes_bring_their_quotes() {
    let text = "Notes:\n- The Reserve was called up “155,000 members of the Reserve”\n2. Labor areas [quote: \"declined from 101 to 60\"]\n* He said \"no\" twice, then left\n- Wells: \"a race between education and catastrophe\".\n- Made up [Quote: “fifteen purple elephants marched”]\n- one “word”\n";
    // Whatever white space stands before a note, its offsets are those of its words.
    let odd = "\u{a0}\u{2003}- \u{a0}é “ab cd”\n\u{a0}ü";
    let places: Vec<&str> = note_quotes(odd).iter().map(|note| &odd[note.start..note.end]).collect();
    assert!(places[0].ends_with("é “ab cd”") && places[1] == "ü", "{places:?}");
    let notes = note_quotes(text);
    let quotes: Vec<Option<&str>> = notes.iter().map(|note| note.quote.as_deref()).collect();
    let want = [
        None,
        Some("155,000 members of the Reserve"),
        Some("declined from 101 to 60"),
        None,
        Some("a race between education and catastrophe"),
        Some("fifteen purple elephants marched"),
        Some("word"),
    ];
    assert_eq!(quotes, want);
    assert_eq!(notes[1].note, "The Reserve was called up");
    assert_eq!(&text[notes[2].start..notes[2].end], "Labor areas [quote: \"declined from 101 to 60\"]");
    // The quote first, and nothing but a quote.
    let first = note_quotes("- “declined from 101 to 60”: labor areas\n- “no more than that”.\n- “He” went home");
    let said: Vec<(&str, Option<&str>)> = first.iter().map(|note| (&*note.note, note.quote.as_deref())).collect();
    assert_eq!(said[0], ("labor areas", Some("declined from 101 to 60")));
    assert_eq!(said[1], ("“no more than that”.", Some("no more than that")));
    assert_eq!(said[2], ("“He” went home", None));
    let document = document("demo.txt");
    let sources = Sources::new(std::slice::from_ref(&document));
    let found = sources.check_quotes(text, None);
    let there = |checked: &CheckedQuote| match &checked.found {
        QuoteFound::There(source) => Some(source.quote.clone()),
        _ => None,
    };
    assert_eq!(there(&found[1]).as_deref(), Some("155,000 members of the Reserve"));
    assert_eq!(there(&found[2]).as_deref(), Some("declined from 101 to 60"));
    assert_eq!(there(&found[4]).as_deref(), Some("a race between education and catastrophe"));
    assert_eq!([&found[0].found, &found[5].found, &found[6].found], [&QuoteFound::NoQuote, &QuoteFound::NotFound, &QuoteFound::TooShort]);
    let quote = |quote: &str| sources.check_quotes(&format!("- n “{quote}”"), None)[0].found.clone();
    // Over the border of two sentences, and with one word of it changed.
    assert!(matches!(quote("it is the task of us all. In the past year, I have traveled"), QuoteFound::There(_)));
    assert_eq!(quote("it is the task of us all. In the past years, I have traveled"), QuoteFound::NotFound);
    assert_eq!(quote("154,000 members of the Reserve"), QuoteFound::NotFound);
    assert_eq!(sources.check_quotes("- n “155,000 members of”", Some(&[]))[0].found, QuoteFound::NotFound);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the texts are: spans are the document's own bytes, sentences are the text's, nothing panics.
    #[test]
    fn spans_are_the_documents_words(
        parts in prop::collection::vec("(\\PC|[ \n.,\"“-]|[a-c]{1,3} |not |7,000 |Mr\\. |字|\u{ad}){0,60}", 1..4),
        picks in prop::collection::vec((0_usize..4, 0_usize..200, 0_usize..80), 0..4),
        noise in "(\\PC|[ \n.“”\\[\\]]|\\[quote: ){0,30}",
    ) {
        let documents: Vec<Document> = parts.iter().enumerate().map(|(i, text)| Document::plain(i.to_string(), "", text.as_str())).collect();
        let sources = Sources::new(&documents);
        let mut text = noise;
        for (part, skip, take) in picks {
            text.extend(parts[part % parts.len()].chars().skip(skip).take(take));
            text.push('\n');
        }
        let cited = sources.cite(&text);
        let checked = sources.check_quotes(&text, None);
        let spans = cited.iter().filter_map(|c| c.source.as_ref()).chain(checked.iter().filter_map(|c| match &c.found { QuoteFound::There(s) => Some(s), _ => None }));
        for source in spans {
            let document = documents.iter().find(|d| d.id == source.span.doc).unwrap();
            prop_assert_eq!(document.text.get(source.span.start..source.span.end), Some(source.quote.as_str()));
        }
        for citation in &cited {
            prop_assert!(text.get(citation.start..citation.end).is_some_and(|s| !s.trim().is_empty()));
            prop_assert_eq!(citation.source.is_some(), matches!(citation.support, Support::Quoted | Support::Supported { .. }));
            if let Support::Supported { score } = citation.support {
                prop_assert!((0.0..=1.0).contains(&score));
            }
            describe(citation, &documents[0]);
        }
        for note in &checked {
            prop_assert!(text.get(note.note.start..note.note.end).is_some());
        }
        prop_assert_eq!(&sources.recite((&text, &cited), &text, None), &cited);
    }
}

/// The source of a crate of ours, as `documents::open` gives it.
fn source_tree(krate: &str) -> Vec<Document> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = format!("src/{}", path.file_name().unwrap().to_string_lossy());
        Document { code: true, ..Document::plain(name.clone(), name, std::fs::read_to_string(path).unwrap()) }
    };
    paths.iter().map(read).collect()
}

#[test]
fn code_is_cited_at_its_line() {
    let documents = source_tree("tokenizer");
    let sources = Sources::new(&documents);
    for (note, file, holds) in [
        ("`fn chunks` splits a text into chunks of at most `max_tokens` tokens.", "src/chunk.rs", "pub fn chunks(tokenizer"),
        ("`chunks_at` needs tokenizer, text, cuts and `max_tokens`.", "src/chunk.rs", "pub fn chunks_at("),
        ("`word_ends` returns the end of each word of the text.", "src/chunk.rs", "The end of each word"),
        ("Chunks tile the text byte for byte: the first starts at 0.", "src/chunk.rs", "tile the text byte for byte"),
        ("`StreamDecoder` turns ids into text as they are sampled, never cutting a character.", "src/lib.rs", "StreamDecoder"),
    ] {
        let cited = sources.cite(note);
        let said = cited.iter().find_map(|citation| {
            let source = citation.source.as_ref()?;
            let document = documents.iter().find(|d| d.id == source.span.doc)?;
            Some((source.quote.clone(), describe(citation, document)))
        });
        println!("{note}\n  -> {said:?}");
        let (quote, said) = said.unwrap_or_else(|| panic!("{note}: no source"));
        assert!(said.contains(&format!("{file}:")) && quote.contains(holds), "{note}: {said}");
        // A few lines, not half the file.
        assert!(quote.len() < 700 && quote.lines().count() <= 8, "{quote}");
    }
    for none in ["`code_splits` says where source code may be cut.", "`fn tokens` splits a text into chunks of at most `most_words` words."]
    {
        assert_eq!(class(&sources.cite(none)[0]), "none", "{none}");
    }
}

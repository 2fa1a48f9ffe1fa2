use super::*;
use crate::context::tests::{PLACES, source};
use crate::context::{Shelf, assemble};
use crate::corpus::Source;
use crate::dialogue::{DialogueSettings, dialogues};
use crate::graph::Graph;
use crate::walk::{WalkSettings, chains};
use crate::{Candidate, multiple_choice, row};
use data::Span;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use tokenizer::Tokenizer;
use world::Random;

/// Twenty-four places with figures, years, names and neighbours.
fn corpus() -> (Vec<Source>, Vec<Vec<Fact>>) {
    let names = PLACES;
    let (mut sources, mut facts) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        let other = |step: usize| names[(at + step) % names.len()];
        let lines = [
            ("Land › area", format!("{} sq km", 1_013 + 377 * at)),
            ("Land › coast", format!("{} km", 211 + 83 * ((7 * at) % 24))),
            ("Land › neighbours", format!("{} {} km, {} {} km", other(5), 20 + at, other(9), 90 + at)),
            ("People › number", format!("{}", 5_003 + 1_717 * ((5 * at) % 24))),
            ("People › founder", format!("{}son", other(11))),
            ("People › founded", format!("{}", 1_412 + 19 * at)),
            ("People › chief trade", format!("weaving of {} cloth", other(3).to_lowercase())),
        ];
        let (mut text, mut of_it) = (String::new(), Vec::new());
        for (relation, value) in lines {
            text += &format!("{relation}: ");
            let span = Span { doc: format!("d{at}"), start: text.len(), end: text.len() + value.len() };
            text += &format!("{value}\n");
            let id = hash::id("fact", [span.doc.as_str(), relation, &value, &span.start.to_string()]);
            of_it.push(Fact { id, subject: name.to_string(), relation: relation.into(), value, span, call: None });
        }
        sources.push(source(&format!("d{at}"), name, &text));
        facts.push(of_it);
    }
    (sources, facts)
}

/// Rows of every engine, and of choices: made once.
fn rows() -> Vec<Item> {
    static ROWS: OnceLock<Vec<Item>> = OnceLock::new();
    ROWS.get_or_init(made).clone()
}

fn made() -> Vec<Item> {
    let (sources, facts) = corpus();
    let tokenizer = Tokenizer::approximate();
    let mut random = Random::new(&[8]);
    let mut graph = Graph::default();
    sources.iter().zip(&facts).for_each(|(source, facts)| graph.add(source, facts.clone()));
    let settings = |hops| WalkSettings { hops, count: 4, noun: "place".into() };
    let (two, why) = chains(&graph, &settings(2), &mut random);
    assert!(two.len() > 1, "{why:?}");
    let mut candidates: Vec<Candidate> = two.clone();
    candidates.extend(chains(&graph, &settings(3), &mut random).0);
    let choices = two.iter().filter_map(|candidate| {
        let elsewhere = graph.elsewhere(candidate.derivation.facts.last()?);
        multiple_choice(candidate, &elsewhere, &mut random).ok()
    });
    candidates.extend(choices.collect::<Vec<_>>());
    let talks = DialogueSettings { count: 2, tokens: (700, 900) };
    candidates.extend(dialogues(&sources, &facts, &talks, &tokenizer, &mut random).0);
    #[cfg(feature = "sql")]
    {
        let settings = crate::table::TableSettings { count: 5, ..Default::default() };
        candidates.extend(crate::table::numeric(&sources, &facts, &settings, &mut random).0);
    }
    let shelf = Shelf::new(&sources, &tokenizer).unwrap();
    let row = |candidate: &Candidate| {
        let context = assemble(candidate, &shelf, 2_000, &mut Random::new(&[3])).unwrap();
        row::item(candidate, &context, row::row_id(candidate, &context))
    };
    candidates.iter().map(row).collect()
}

#[test]
fn rows_as_they_are_made_hold() {
    let mut kinds: BTreeSet<(String, String)> = BTreeSet::new();
    for row in rows() {
        assert_eq!(audit(&row), Audit { not_run: audit(&row).not_run, findings: Vec::new() }, "{}", row.prompt);
        assert!(cfg!(not(feature = "sql")) || audit(&row).not_run.is_empty());
        kinds.insert((row.extra["engine"].as_str().unwrap().into(), row.rule));
    }
    let least = if cfg!(feature = "sql") { 6 } else { 4 };
    assert!(kinds.len() >= least, "{kinds:?}");
}

/// The paths of all numbers, texts and truth values in a record.
fn leaves(value: &Value, path: String, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| leaves(item, format!("{path}/{at}"), out)),
        Value::Object(fields) => fields.iter().for_each(|(name, field)| leaves(field, format!("{path}/{name}"), out)),
        Value::Null => {}
        _ => out.push(path),
    }
}

/// What a changed field of a derivation, of its documents or of the row is noticed by: nothing, for these.
const FREE: [&str; 10] = [
    "/derivation/paradigm",
    "/derivation/checks",
    "/derivation/obfuscation/#/kind",
    // What the first column is called, if the query does not name it.
    "/derivation/table/columns/0",
    // A distractor may be called anything.
    "/documents/#/id",
    "/engine",
    "/tokens",
    "/random_string_to_prepend",
    "/derivation/transcripts",
    "/derivation/obfuscation/#/fact",
];

#[test]
fn a_change_of_any_field_is_noticed() {
    let mut unnoticed: BTreeSet<String> = BTreeSet::new();
    let mut changed = 0;
    for row in rows() {
        let whole = Value::Object(row.extra.clone());
        let mut paths = Vec::new();
        leaves(&whole, String::new(), &mut paths);
        for path in paths {
            let mut extra = whole.clone();
            let leaf = extra.pointer_mut(&path).unwrap();
            *leaf = match &*leaf {
                // Behind a query it could be another name of what is there.
                Value::String(text) if path.ends_with("/sql") => format!("x{text}").into(),
                Value::String(text) => format!("{text}x").into(),
                Value::Bool(truth) => (!truth).into(),
                Value::Number(number) if number.is_u64() => (number.as_u64().unwrap() + 1).into(),
                Value::Number(number) => (number.as_f64().unwrap() * 1.5 + 1.0).into(),
                _ => continue,
            };
            let Value::Object(extra) = extra else { unreachable!() };
            changed += 1;
            if audit(&Item { extra, ..row.clone() }).findings.is_empty() && audit(&row).not_run.is_empty() {
                let numberless: Vec<&str> = path
                    .split('/')
                    .map(|part| if part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty() { "#" } else { part })
                    .collect();
                unnoticed.insert(if path.contains("/columns/0/") { path } else { numberless.join("/") });
            }
        }
        let other = |change: &dyn Fn(&mut Item)| {
            let mut other = row.clone();
            change(&mut other);
            assert!(!audit(&other).findings.is_empty() || !audit(&row).not_run.is_empty());
        };
        other(&|row| row.answers[0] = if row.rule == "letter" { "E".into() } else { format!("{}1", row.answers[0]) });
        other(&|row| row.answers[0] = if row.answers[0] == "A" { "B".into() } else { "A".into() });
        other(&|row| row.evidence[0].end += 1);
        other(&|row| drop(row.evidence.pop()));
        other(&|row| row.prompt.push(' '));
        other(&|row| drop(row.extra.remove("documents")));
    }
    let unexpected: Vec<&String> = unnoticed.iter().filter(|path| !FREE.iter().any(|free| path.starts_with(free))).collect();
    assert!(unexpected.is_empty() && changed > 1_000, "{unexpected:?} of {changed}");
}

#[test]
fn a_change_of_any_byte_of_a_document_is_noticed() {
    let mut random = Random::new(&[6]);
    for row in rows() {
        let parts: Vec<Part> = read(&row, "documents").unwrap();
        for part in parts.iter().step_by(2).chain(parts.iter().filter(|part| part.gold)) {
            for _ in 0..8 {
                let mut bytes = row.prompt.clone().into_bytes();
                let at = random.between(part.start, part.end - 1);
                if !bytes[at].is_ascii() {
                    continue;
                }
                bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
                let changed = Item { prompt: String::from_utf8(bytes).unwrap(), ..row.clone() };
                let found = audit(&changed).findings;
                let named = format!("the text of document {} does not have its hash", part.id);
                assert!(found.iter().any(|finding| finding.problem == named), "byte {at} of {}", part.id);
            }
        }
    }
}

/// A derivation that lies consistently: its ids are hashes of what it says, and what it says is not so.
#[test]
fn a_link_to_another_place_is_noticed_though_its_id_fits() {
    let mut seen = 0;
    for row in rows().into_iter().filter(|row| row.extra["engine"] == "graph") {
        let derivation: Derivation = read(&row, "derivation").unwrap();
        for (at, edge) in derivation.edges.iter().enumerate() {
            let mut ends = vec![crate::graph::names::key(&edge.to).len().to_string(), "Elsewhere".into()];
            ends.retain(|end| *end != edge.to);
            for end in ends {
                let mut lie = derivation.clone();
                lie.edges[at].to = end;
                lie.edges[at].id = edge_id(&lie.edges[at]);
                lie.walk = lie.edges.iter().map(|edge| edge.id.clone()).collect();
                let mut extra = row.extra.clone();
                extra.insert("derivation".into(), serde_json::json!(lie));
                assert!(!audit(&Item { extra, ..row.clone() }).findings.is_empty());
                seen += 1;
            }
        }
    }
    assert!(seen > 10);
}

#[test]
fn what_is_no_row_says_what_is_missing() {
    let item = Item {
        id: "a".into(),
        task: "t".into(),
        prompt: "p".into(),
        answers: vec![],
        rule: "contain".into(),
        hops: 0,
        evidence: vec![],
        extra: Default::default(),
    };
    let found: Vec<String> = audit(&item).findings.into_iter().map(|finding| finding.problem).collect();
    assert_eq!(found, ["the row has no `derivation`", "the row has no `documents`"]);
    let mut row = rows().remove(0);
    row.extra.insert(
        "documents".into(),
        serde_json::json!([{"id": "d", "title": "t", "sha256": "", "start": 9, "end": usize::MAX, "gold": true}]),
    );
    assert!(audit(&row).findings.len() > 2);
}

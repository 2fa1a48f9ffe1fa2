//! Rows made from facts, without a model: what the inspector offers for a dropped file.

use data::Document;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use synth::{Benchmarks, Class, Corpus, Filters, Graph, Ground, Group, facts, make};
use tokenizer::Tokenizer;

/// Bytes of all files that rows are made from: what a tab does in reasonable time.
const MOST: usize = 8 << 20;
/// Documents that rows are made from.
const DOCUMENTS: usize = 2_000;

/// What was made.
#[derive(Serialize)]
pub struct Made {
    /// A row a line.
    rows: String,
    /// A dropped candidate a line.
    rejects: String,
    /// What became of all, as JSON.
    report: String,
}

/// Rows from the facts that files state outright: walks over their links and conversations about them. The same files and the same seed give
/// the same rows.
pub fn make_rows(names: &[String], files: Vec<Vec<u8>>, count: usize, seed: u64) -> Result<Made, String> {
    if files.iter().map(Vec::len).sum::<usize>() > MOST {
        return Err(format!("These files have more than {} MB: `longhand synth run` makes rows of any amount.", MOST >> 20));
    }
    let tokenizer = Tokenizer::approximate();
    // Records of one table are alike and short: no filter of real documents suits them.
    let filters = Filters { near_duplicate: 2.0, max_repeated_lines: 1.0, max_repeated_words: 1.0, ..Filters::default() };
    let (mut corpus, mut graph, mut said) = (Corpus::default(), Graph::default(), Vec::new());
    for (name, bytes) in names.iter().zip(files) {
        for (title, document) in records(name, bytes)?.into_iter().take(DOCUMENTS) {
            let class = Class::guess(&document);
            if let Ok(source) = corpus.add(document, &title, class, &filters, &tokenizer) {
                let found = facts(source);
                graph.add(source, found.clone());
                said.push(found);
            }
        }
    }
    let all: usize = corpus.sources.iter().map(|source| source.tokens).sum();
    let told: usize = said.iter().map(Vec::len).sum();
    if told == 0 {
        let why = corpus.rejected.first().map_or(String::new(), |(id, reject)| format!(" ({id}: {})", reject.reason));
        return Err(format!("These files state no facts that can be read without a model{why}. Tables and JSON with names and values do."));
    }
    let most = (all * 8 / 10).clamp(256, 8_192);
    let lengths = [(most / 4).max(256), most];
    let group = |engine: &str, hops: u8| json!({"engine": engine, "count": count, "hops": hops, "lengths": lengths, "noun": "entry", "talk": [200, (most / 2).clamp(200, 1_500)]});
    let groups = [group("graph", 1), group("graph", 2), group("graph", 3), group("choice", 2), group("dialogue", 2)]
        .into_iter()
        .map(serde_json::from_value::<Group>)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|problem| problem.to_string())?;
    let benchmarks = Benchmarks::default();
    let ground = Ground { corpus: &corpus, facts: &said, graph: &graph, benchmarks: &benchmarks, tokenizer: &tokenizer };
    let (mut rows, mut rejects) = (String::new(), String::new());
    let outcomes = make(&groups, &ground, 1.0, seed, None, None, &mut |number, event| {
        let mut reject = |candidate: Option<&synth::Candidate>, reject: &synth::Reject| {
            let mut line = json!({"questions": groups[number].name(), "check": reject.check, "reason": reject.reason});
            if let Some(candidate) = candidate {
                line["question"] = candidate.question.clone().into();
                line["answers"] = json!(candidate.answers);
            }
            rejects.push_str(&format!("{line}\n"));
        };
        match event {
            synth::Event::Row(row) => rows.push_str(&format!("{}\n", serde_json::to_string(row).unwrap_or_default())),
            synth::Event::Dropped(candidate, why) => reject(Some(candidate), why),
            synth::Event::Tried(why) => reject(None, why),
        }
        true
    });
    let outcomes = outcomes?;
    if rows.is_empty() {
        let why: Vec<String> = outcomes.iter().map(|outcome| format!("{}: {}", outcome.name, outcome.short)).collect();
        return Err(format!("{told} facts of {} documents, and no row came of them. {}.", corpus.sources.len(), why.join("; ")));
    }
    let hash: String = Sha256::digest(rows.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let report = json!({"seed": seed, "sha256": hash, "groups": outcomes.iter().map(|outcome| outcome.json()).collect::<Vec<_>>()});
    Ok(Made { rows, rejects, report: report.to_string() })
}

/// The documents of a file, each with what it is called: a table's rows and the records of a JSON list are documents of their own, since links lead
/// from one document to another.
fn records(name: &str, bytes: Vec<u8>) -> Result<Vec<(String, Document)>, String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let listed = match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => of_json(value),
        Err(_) => Vec::new(),
    };
    let whole = |bytes| documents::convert(name, bytes).map_err(|problem| format!("{name}: {problem}"));
    let listed = if listed.is_empty() { of_table(&whole(bytes.clone())?.document) } else { listed };
    if listed.len() < 2 {
        let mut document = whole(bytes)?.document;
        document.id = name.into();
        return Ok(vec![(stem.replace(['_', '-'], " "), document)]);
    }
    let record = |(title, value): (String, Map<String, Value>)| {
        let converted = documents::convert("record.json", Value::Object(value).to_string().into_bytes());
        let mut document = converted.map_err(|problem| format!("{name}, {title}: {problem}"))?.document;
        document.id = format!("{name}/{title}");
        Ok((title, document))
    };
    listed.into_iter().map(record).collect()
}

/// Objects of a list by their first text, or objects by their keys.
fn of_json(value: Value) -> Vec<(String, Map<String, Value>)> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .filter_map(|item| {
                let Value::Object(item) = item else { return None };
                let title = item.values().find_map(Value::as_str)?.to_string();
                Some((title, item))
            })
            .collect(),
        Value::Object(items) if items.values().all(Value::is_object) => {
            items.into_iter().filter_map(|(title, item)| if let Value::Object(item) = item { Some((title, item)) } else { None }).collect()
        }
        _ => Vec::new(),
    }
}

/// The rows of a table by their first cell, as `column: value`.
fn of_table(document: &Document) -> Vec<(String, Map<String, Value>)> {
    let text: &str = &document.text;
    let mut rows: Vec<(u32, Vec<(String, String)>)> = Vec::new();
    for (at, mark) in document.marks.iter().enumerate() {
        let data::Place::Cell { row, .. } = &mark.place else { continue };
        let end = document.marks.get(at + 1).map_or(text.len(), |next| next.start);
        let cell = text.get(mark.start..end).unwrap_or_default().trim().trim_end_matches('|').trim_end();
        let Some((column, value)) = cell.split_once(": ") else { continue };
        if rows.last().is_none_or(|(last, _)| last != row) {
            rows.push((*row, Vec::new()));
        }
        if let Some((_, cells)) = rows.last_mut() {
            cells.push((column.into(), value.into()));
        }
    }
    let titled = |cells: Vec<(String, String)>| {
        let title = cells.first()?.1.clone();
        Some((title, cells.into_iter().skip(1).map(|(column, value)| (column, Value::String(value))).collect()))
    };
    rows.into_iter().filter_map(|(_, cells)| titled(cells)).collect()
}

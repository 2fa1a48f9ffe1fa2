//! The prompts of the checks that ask a model, from a finished row alone: so that anybody can have a row tried again.

use data::{Derivation, Item, Part};
use serde::Deserialize;

use crate::candidate::Candidate;
use crate::context::{OWN, Piece, around, closed, written};

/// What a model is asked of a row, word for word as when the row was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// The question alone.
    pub closed_book: String,
    /// The documents that the answer follows from and no others.
    pub with_evidence: String,
    /// The row's own prompt. (It was tried in one more context of another length, which a row does not keep.)
    pub robust: String,
}

/// The prompts of a row.
///
/// # Errors
/// A row without question, derivation or documents.
pub fn prompts(item: &Item) -> Result<Prompts, String> {
    let field = |name: &str| item.extra.get(name).ok_or_else(|| format!("the row has no `{name}`"));
    let wrong = |name: &str, error: serde_json::Error| format!("`{name}` cannot be read: {error}");
    let question = field("question")?.as_str().ok_or("`question` is no text")?.to_string();
    let derivation = Derivation::deserialize(field("derivation")?).map_err(|error| wrong("derivation", error))?;
    let parts = Vec::<Part>::deserialize(field("documents")?).map_err(|error| wrong("documents", error))?;
    let pieces = chain(&derivation, &parts)
        .into_iter()
        .map(|part| {
            let text = item.prompt.get(part.start..part.end).ok_or_else(|| format!("document {} is not in the prompt", part.id))?;
            Ok(Piece { id: &part.id, title: &part.title, text, gold: true })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let candidate = Candidate {
        task: item.task.clone(),
        question,
        answers: item.answers.clone(),
        rule: item.rule.clone(),
        hops: item.hops,
        gold: Vec::new(),
        never: Vec::new(),
        own: String::new(),
        derivation: crate::candidate::empty(derivation.engine, String::new()),
    };
    let (before, after) = around(&candidate);
    Ok(Prompts { closed_book: closed(&candidate), with_evidence: written(before, &pieces, after, 0).prompt, robust: item.prompt.clone() })
}

/// The documents that the answer follows from as the chain has them: by their facts, of a table by its rows; then those that are there
/// for their name alone; the candidate's own document last.
fn chain<'a>(derivation: &Derivation, parts: &'a [Part]) -> Vec<&'a Part> {
    let fact = |id: &str| derivation.facts.iter().find(|fact| fact.id == id).map(|fact| fact.span.doc.as_str());
    let cells = derivation.table.iter().flat_map(|table| &table.rows).filter_map(|row| row.iter().find_map(|cell| fact(&cell.fact)));
    let told = cells.chain(derivation.facts.iter().map(|fact| fact.span.doc.as_str())).filter(|id| *id != OWN);
    let gold: Vec<&Part> = parts.iter().filter(|part| part.gold && part.id != OWN).collect();
    let mut out: Vec<&Part> = Vec::with_capacity(gold.len());
    let named = told.filter_map(|id| gold.iter().copied().find(|part| part.id == id));
    for part in named.chain(gold.iter().copied()).chain(parts.iter().filter(|part| part.id == OWN)) {
        if !out.iter().any(|known| known.id == part.id) {
            out.push(part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::corpus::{Class, Corpus, Filters};
    use crate::graph::Graph;
    use crate::overlap::Benchmarks;
    use crate::plan::{Event, Ground, Group, Tried, make};
    use data::Document;
    use serde_json::json;
    use tokenizer::Tokenizer;

    const TOWNS: [&str; 24] = [
        "Aldra", "Bremo", "Cantu", "Dorel", "Eskan", "Fimor", "Galto", "Hendi", "Ivrea", "Jalku", "Kembo", "Lurga", "Mantis", "Norda",
        "Ostra", "Pelmo", "Quarn", "Rimsk", "Solvo", "Tarin", "Umbra", "Velda", "Wixom", "Xerta",
    ];

    fn town(at: usize) -> Document {
        let other = |step: usize| TOWNS[(at * 7 + step * 5 + 1) % TOWNS.len()];
        let record = json!({
            "Size": {"area": format!("{} km", 1_000 + 37_111 * at % 90_001), "people": format!("{}.{} million", 1 + at % 50, 101 + 31 * at)},
            "Rule": {"mayor": format!("Anna {}sen", TOWNS[TOWNS.len() - 1 - at]), "founded": format!("{} May {}", at + 1, 1_300 + 13 * at)},
            "Trade": {"partners": format!("{} 30%, {} 20%, {} 5%", other(1), other(2), other(3)), "road": other(4)},
        });
        documents::convert(&format!("{}.json", TOWNS[at]), record.to_string().into_bytes()).unwrap().document
    }

    #[test]
    fn a_row_alone_gives_the_prompts_it_was_tried_with() {
        let tokenizer = Tokenizer::approximate();
        let (mut corpus, mut graph, mut facts) = (Corpus::default(), Graph::default(), Vec::new());
        // They are too short and too alike for the filters of real documents.
        let filters = Filters { near_duplicate: 2.0, max_repeated_words: 1.0, max_repeated_lines: 1.0, ..Filters::default() };
        for (at, title) in TOWNS.iter().enumerate() {
            let source = corpus.add(town(at), title, Class::General, &filters, &tokenizer).unwrap();
            let found = crate::facts(source);
            graph.add(source, found.clone());
            facts.push(found);
        }
        let benchmarks = Benchmarks::default();
        let ground = Ground { corpus: &corpus, facts: &facts, graph: &graph, benchmarks: &benchmarks, tokenizer: &tokenizer };
        let group = |value: serde_json::Value| serde_json::from_value::<Group>(value).unwrap();
        let mut groups = vec![
            group(json!({"engine": "graph", "count": 8, "hops": 1, "lengths": [400, 900], "noun": "town"})),
            group(json!({"engine": "graph", "count": 8, "hops": 3, "lengths": [600, 900], "noun": "town"})),
            group(json!({"engine": "choice", "count": 4, "hops": 2, "lengths": [600, 900], "noun": "town"})),
            group(json!({"engine": "dialogue", "count": 4, "lengths": [700, 1400], "talk": [200, 400]})),
        ];
        if cfg!(feature = "sql") {
            groups.push(group(json!({"engine": "table", "count": 6, "rows": [3, 6], "lengths": [600, 1200]})));
        }
        let mut tried: BTreeMap<String, [String; 3]> = BTreeMap::new();
        let mut ask = |asked: Tried| {
            let prompts = [closed(asked.candidate), asked.evidence.prompt.clone(), asked.contexts[0].prompt.clone()];
            tried.insert(asked.candidate.question.clone(), prompts);
            Ok(())
        };
        let mut rows = Vec::new();
        let outcomes = make(&groups, &ground, 1.0, 1, Some(&mut ask), None, &mut |_, event| {
            if let Event::Row(row) = event {
                rows.push(row.clone());
            }
            true
        });
        for outcome in outcomes.unwrap() {
            assert!(outcome.kept > 1, "{}: {}", outcome.name, outcome.short);
        }
        for row in &rows {
            let Prompts { closed_book, with_evidence, robust } = prompts(row).unwrap();
            assert_eq!([closed_book, with_evidence, robust], tried[row.extra["question"].as_str().unwrap()], "{}", row.id);
        }
    }

    #[test]
    fn what_is_no_row_of_this_kind_says_what_it_lacks() {
        let mut item: Item =
            serde_json::from_value(json!({"id": "r", "task": "t", "prompt": "p", "answers": ["a"], "rule": "contain"})).unwrap();
        assert_eq!(prompts(&item).unwrap_err(), "the row has no `question`");
        item.extra.insert("question".into(), 3.into());
        assert_eq!(prompts(&item).unwrap_err(), "`question` is no text");
    }
}

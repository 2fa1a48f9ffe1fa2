//! Rows of facts that a model found.

use data::{Derivation, Item};
use serde::Deserialize;
use world::Random;

use super::*;
use crate::audit::{audit, audit_kept};
use crate::context::tests::PLACES;
use crate::context::{Shelf, assemble};
use crate::graph::Graph;
use crate::row;
use crate::walk::{WalkSettings, chains};

/// Prose about twenty-four places, and a model that reads it rightly.
fn places() -> (Vec<Source>, Script<impl Fn(&ChatRequest) -> String + Send + Sync>) {
    let names = PLACES;
    let mut sources = Vec::new();
    let mut replies: BTreeMap<String, String> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let came = format!(
            "{} {}",
            ["salt", "grain", "copper", "linen"][at % 4],
            ["riots", "shortage", "boom", "exodus", "levy", "strike"][at / 4]
        );
        let other = names[(at + 5) % names.len()];
        let facts = [
            ("area", format!("{} sq km", 1_013 + 377 * at), format!("{name} covers {} sq km", 1_013 + 377 * at)),
            ("coast", format!("{} km", 211 + 83 * ((7 * at) % 24)), format!("its coast is {} km", 211 + 83 * ((7 * at) % 24))),
            ("founder", format!("{}son", names[(at + 11) % 24]), format!("{}son founded the place", names[(at + 11) % 24])),
            ("founded in", format!("{}", 1_412 + 19 * at), format!("That was in {}", 1_412 + 19 * at)),
            ("twinned with", other.to_string(), format!("Since then {other} is its twin")),
            ("led to", came.clone(), format!("and its rise led to the {came}")),
        ];
        let quotes: Vec<&str> = facts.iter().map(|(_, _, quote)| quote.as_str()).collect();
        sources.push(source(&format!("d{at}"), name, &quotes.join(".\n")));
        let said: Vec<Value> = facts.iter().map(|(relation, value, quote)| fact("", relation, value, quote)).collect();
        replies.insert(name.to_string(), json!({"facts": said}).to_string());
    }
    let model = script(move |request| {
        let title = request.messages[0].content.lines().next().unwrap().trim_start_matches("Document: ").to_string();
        replies[&title].clone()
    });
    (sources, model)
}

#[test]
fn graph_and_table_rows_of_such_facts_hold_and_are_traced_to_their_calls() {
    let (sources, model) = places();
    let out = extracted(&model, &ExtractSettings::default(), &sources);
    assert_eq!((out.report.facts, out.report.dropped.len()), (24 * 6, 0), "{:?}", out.report);
    let facts: Vec<Vec<Fact>> = (0..sources.len()).map(|at| out.facts[&at].clone()).collect();
    let mut graph = Graph::default();
    sources.iter().zip(&facts).for_each(|(source, facts)| graph.add(source, facts.clone()));
    assert_eq!(graph.edges().len(), 24);
    let mut random = Random::new(&[4]);
    let (mut candidates, why) = chains(&graph, &WalkSettings { hops: 2, count: 20, noun: "place".into() }, &mut random);
    candidates.extend(chains(&graph, &WalkSettings { hops: 1, count: 10, noun: "place".into() }, &mut random).0);
    let causal: Vec<_> = candidates.iter().filter(|candidate| candidate.derivation.paradigm == "causal").collect();
    assert!(causal.len() > 3, "{why:?}");
    for candidate in &causal {
        assert!(candidate.question.contains("led to?") || candidate.question.contains("come of"), "{}", candidate.question);
        assert!(candidate.answers[0].starts_with(char::is_lowercase) && !candidate.question.contains('“'));
    }
    #[cfg(feature = "sql")]
    {
        let settings = crate::table::TableSettings { rows: (3, 6), count: 5, tokens: 0 };
        let (tables, why) = crate::table::numeric(&sources, &facts, &settings, &mut random);
        assert_eq!(tables.len(), 5, "{why:?}");
        candidates.extend(tables);
    }
    let tokenizer = Tokenizer::approximate();
    let shelf = Shelf::new(&sources, &tokenizer).unwrap();
    let calls: BTreeMap<String, String> = model.asked.lock().unwrap().iter().cloned().collect();
    let kept = |call: &str| calls.get(call).cloned();
    let found = |item: &Item, kept: &dyn Fn(&str) -> Option<String>| -> Vec<String> {
        audit_kept(item, kept).findings.into_iter().map(|finding| finding.problem).collect()
    };
    for candidate in &candidates {
        let context = assemble(candidate, &shelf, 1_200, &mut Random::new(&[3])).unwrap();
        let item = row::item(candidate, &context, row::row_id(candidate, &context));
        assert_eq!(found(&item, &kept), [""; 0], "{}", candidate.question);
        assert_eq!(audit_kept(&item, &kept).not_run, [""; 0]);
        let alone = audit(&item);
        assert!(alone.findings.is_empty() && alone.not_run[0].contains("its calls are not beside the rows"), "{alone:?}");
        // A call that is not kept, one that says something else, and facts that say something else of the same place.
        assert!(found(&item, &|_| None).iter().all(|problem| problem.ends_with("which is not kept")));
        let other = found(&item, &|_| Some("{\"facts\": []}".into()));
        assert_eq!(other.len(), candidate.derivation.facts.len(), "{other:?}");
        for change in [0, 1] {
            let mut derivation = Derivation::deserialize(&item.extra["derivation"]).unwrap();
            let fact = &mut derivation.facts[0];
            match change {
                0 => fact.relation = format!("{} by", fact.relation),
                _ => fact.subject = "Elsewhere".into(),
            }
            let mut lie = item.clone();
            lie.extra.insert("derivation".into(), json!(derivation));
            assert!(found(&lie, &kept).iter().any(|problem| problem.contains("does not state fact")));
        }
    }
}

/// The first of several that a model found need not be the first that stands there.
#[test]
fn of_several_such_facts_none_is_the_first() {
    let (sources, _) = places();
    let of = |call: Option<&str>| {
        let mut graph = Graph::default();
        for (at, source) in sources.iter().enumerate() {
            let twin = |step: usize| {
                let value = sources[(at + step) % 24].title.clone();
                let span = data::Span { doc: source.document.id.clone(), start: step, end: step + value.len() };
                Fact {
                    id: format!("f{at}:{step}"),
                    subject: source.title.clone(),
                    relation: "twin".into(),
                    value,
                    span,
                    call: call.map(String::from),
                }
            };
            graph.add(source, vec![twin(3), twin(8)]);
        }
        graph.edges().len()
    };
    assert_eq!((of(None), of(Some("c"))), (24, 0));
}

//! Rows of facts of prose: what the audit computes again, and what a changed fact does.

use super::*;
use crate::audit::audit_kept;
use crate::checks::Checks;
use crate::context::{Shelf, assemble};
use crate::overlap::Benchmarks;
use crate::{holds_if, row};
use data::Item;
use tokenizer::Tokenizer;

/// Rows of one to four links, through the checks that need no model.
fn rows() -> Vec<Item> {
    let (sources, facts) = read(PAGES);
    let graph = graph(&sources, &facts);
    let tokenizer = Tokenizer::approximate();
    let shelf = Shelf::new(&sources, &tokenizer).unwrap();
    let benchmarks = Benchmarks::default();
    let mut checks = Checks::new(&sources, &facts, &benchmarks, 1.0);
    let (mut out, mut dropped) = (Vec::new(), Vec::new());
    for hops in 1..=4 {
        let settings = WalkSettings { hops, count: 20, noun: "place".into() };
        for mut candidate in crate::walk::chains(&graph, &settings, &mut Random::new(&[9])).0 {
            let context = assemble(&candidate, &shelf, 700, &mut Random::new(&[3])).unwrap();
            match checks.run(&mut candidate, &context) {
                Ok(passed) => {
                    checks.keep(passed);
                    out.push(row::item(&candidate, &context, row::row_id(&candidate, &context)));
                }
                Err(reject) => dropped.push(reject),
            }
        }
    }
    assert!(out.len() > 20 && dropped.len() * 3 < out.len(), "{} {dropped:?}", out.len());
    out
}

/// What the calls replied: every fact of their document.
fn replied(call: &str) -> Option<String> {
    let (_, sentences) = PAGES[call.strip_prefix("call ")?.parse::<usize>().ok()?];
    let facts = sentences.iter().flat_map(|(quote, said)| {
        said.iter().map(|(subject, relation, value)| {
            serde_json::json!({"subject": subject, "relation": relation, "value": value, "quote": quote[..quote.rfind(value).unwrap() + value.len()]})
        })
    });
    Some(serde_json::json!({"facts": facts.collect::<Vec<_>>()}).to_string())
}

#[test]
fn rows_hold_and_depend_on_every_fact() {
    let (mut changed, mut noticed) = ([0, 0], [0, 0]);
    let (_, facts) = read(PAGES);
    let facts: Vec<Fact> = facts.into_iter().flatten().collect();
    for item in rows() {
        let audit = audit_kept(&item, &replied);
        assert_eq!((&audit.findings[..], audit.not_run.len()), (&[][..], 0), "{}", item.extra["question"]);
        let derivation: Derivation = serde_json::from_value(item.extra["derivation"].clone()).unwrap();
        for (at, fact) in derivation.facts.iter().enumerate() {
            let vague = derivation.obfuscation.iter().any(|step| step.fact == fact.id && step.kind != "entity");
            for other in facts.iter().filter(|other| other.value != fact.value && other.value.len() > 3) {
                // Of two that are compared another year may leave the earlier one the earlier.
                let compared = matches!(derivation.edges.last().map(|edge| edge.which.as_str()), Some("earlier" | "later"));
                let loose = usize::from(vague || compared);
                changed[loose] += 1;
                noticed[loose] += usize::from(holds_if(&item, at, &other.value).unwrap() == Some(false));
            }
        }
    }
    assert!(changed[0] > 1_000 && noticed[0] == changed[0], "{noticed:?} of {changed:?}");
    assert!(noticed[1] * 10 >= changed[1] * 9, "{noticed:?} of {changed:?}");
}

/// Lies whose ids are hashes of what they say.
#[test]
fn a_lie_about_a_link_or_a_description_is_noticed() {
    let mut seen = 0;
    for item in rows() {
        let derivation: Derivation = serde_json::from_value(item.extra["derivation"].clone()).unwrap();
        let mut lies = Vec::new();
        for at in 0..derivation.edges.len() {
            let mut lie = derivation.clone();
            lie.edges[at].which = if lie.edges[at].which == BACK { "only".into() } else { BACK.into() };
            lies.push(lie);
            for from in [true, false] {
                let mut lie = derivation.clone();
                let end = if from { &mut lie.edges[at].from } else { &mut lie.edges[at].to };
                *end = "Elsewhere".into();
                lies.push(lie);
            }
        }
        for at in 0..derivation.obfuscation.len() {
            let mut lie = derivation.clone();
            lie.obfuscation[at].to = item.extra["question"].as_str().unwrap().chars().take(12).collect();
            lies.push(lie);
        }
        for mut lie in lies {
            lie.edges.iter_mut().for_each(|edge| edge.id = crate::graph::edge_id(edge));
            lie.walk = lie.edges.iter().map(|edge| edge.id.clone()).collect();
            let mut extra = item.extra.clone();
            extra.insert("derivation".into(), serde_json::json!(lie));
            assert!(!audit_kept(&Item { extra, ..item.clone() }, &replied).findings.is_empty(), "{lie:?}");
            seen += 1;
        }
    }
    assert!(seen > 100);
}

use super::*;
use crate::prose::tests::{PAGES, graph, read};
use std::collections::BTreeSet;

#[test]
fn a_second_context_is_of_half_or_twice_the_length_or_as_far_off_as_may_be() {
    let of = |tokens, lengths| other_lengths(tokens, lengths).collect::<Vec<_>>();
    assert_eq!(of(3000, (1000, 8000)), [1500, 6000, 1000]);
    assert_eq!(of(2500, (1000, 8000)), [1250, 5000, 8000]);
    assert_eq!(of(3500, (2000, 6000)), [2000]);
    assert_eq!(of(3400, (2000, 6000)), [6000]);
    // Nothing that is far enough off.
    assert_eq!(of(1100, (1000, 1300)), [0; 0]);
    assert_eq!(of(usize::MAX, (1, usize::MAX)), [usize::MAX / 2]);
}

/// A model that drops what it is asked first, and later takes the same.
#[test]
fn what_a_model_drops_stands_in_nobodys_way() {
    let (sources, facts) = read(PAGES);
    let graph = graph(&sources, &facts);
    let mut corpus = Corpus::default();
    corpus.sources = sources;
    let (benchmarks, tokenizer) = (Benchmarks::default(), Tokenizer::approximate());
    let ground = Ground { corpus: &corpus, facts: &facts, graph: &graph, benchmarks: &benchmarks, tokenizer: &tokenizer };
    let group: Group = serde_json::from_value(json!({"engine": "graph", "count": 12, "hops": 4, "lengths": [500, 900]})).unwrap();
    let mut seen = BTreeSet::new();
    let mut ask = |tried: Tried| match seen.insert(answer_of(tried.candidate)) {
        true => Err(TrialError::Reject(Reject { check: "with_evidence", reason: "0 of 1 right".into() })),
        false => Ok(()),
    };
    let (mut kept, mut blocked) = (BTreeSet::new(), Vec::new());
    let outcomes = make(&[group], &ground, 1.0, 3, Some(&mut ask), None, &mut |_, event| {
        match event {
            Event::Row(row) => drop(kept.insert(row.answers[0].clone())),
            Event::Dropped(candidate, reject) if reject.check == "duplicate" => {
                blocked.push((candidate.answers[0].clone(), kept.contains(&candidate.answers[0])));
            }
            _ => {}
        }
        true
    });
    let outcomes = outcomes.unwrap();
    assert!(outcomes[0].kept > 3, "{outcomes:?}");
    // Only a row makes another a duplicate.
    assert!(blocked.iter().all(|(_, kept)| *kept), "{blocked:?}");
}

/// What a question comes to: its answer and the facts it is taken from.
fn answer_of(candidate: &Candidate) -> (String, BTreeSet<String>) {
    (candidate.answers[0].clone(), candidate.derivation.facts.iter().map(|fact| fact.id.clone()).collect())
}

use super::*;
use crate::corpus::Corpus;
use crate::overlap::Benchmarks;
use crate::prose::tests::{PAGES, graph, read};
use serde_json::json;

fn group(settings: serde_json::Value) -> Group {
    serde_json::from_value(settings).unwrap()
}

/// The estimate of one group over the pages, and what it takes when a model drops as many as `kept` says.
fn both(group: &Group, trial: &TrialSettings, rates: Rates, drops: impl Fn(usize) -> bool) -> (Estimate, BTreeMap<&'static str, Load>) {
    let (sources, facts) = read(PAGES);
    let graph = graph(&sources, &facts);
    let mut corpus = Corpus::default();
    corpus.sources = sources;
    let (benchmarks, tokenizer) = (Benchmarks::default(), Tokenizer::approximate());
    let ground = Ground { corpus: &corpus, facts: &facts, graph: &graph, benchmarks: &benchmarks, tokenizer: &tokenizer };
    let groups = std::slice::from_ref(group);
    let expected = estimate(groups, &ground, 1.0, 3, &Assumed { trial, rates: &[rates], prose: Prose::default() }).unwrap();
    let (mut real, mut number) = (Estimate::default(), 0);
    let sure = Rates { closed_book: 1.0, with_evidence: 1.0, robust: 1.0, ..rates };
    let mut ask = |tried: Tried| {
        let row = Row::of(&tried, &tokenizer).unwrap();
        number += 1;
        // Dropped at the first check, or never.
        if drops(number) {
            real.add("closed_book", trial.closed_book as f64, row.closed);
            return Err(TrialError::Reject(Reject { check: "closed_book", reason: String::new() }));
        }
        real.tries(&row, 1.0, trial, &sure);
        Ok(())
    };
    make(groups, &ground, 1.0, 3, Some(&mut ask), None, &mut |_, _| true).unwrap();
    (expected, real.roles)
}

#[test]
fn what_is_expected_is_what_comes_if_the_shares_are_right() {
    let group = group(json!({"engine": "graph", "count": 12, "hops": 2, "lengths": [500, 900]}));
    let trial = TrialSettings { closed_book: 4, tries: 2, reply: 100 };
    let sure = Rates { closed_book: 1.0, with_evidence: 1.0, robust: 1.0, ..Rates::default() };
    let (expected, real) = both(&group, &trial, sure, |_| false);
    assert_eq!((expected.roles.clone(), expected.rows[0]), (real, 12.0), "nothing is dropped: to the token");
    // Every second one is dropped, as is said.
    let half = Rates { closed_book: 0.5, ..sure };
    let (expected, real) = both(&group, &trial, half, |number| number % 2 == 1);
    for (role, load) in &real {
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.1;
        let found = expected.roles[role];
        assert!(near(found.calls, load.calls) && near(found.tokens, load.tokens), "{role}: {found:?} and {load:?}");
    }
    assert!(real["closed_book"].calls > 1.9 * real["with_evidence"].calls);
    // Without that check its share counts for nothing.
    let (expected, _) = both(&group, &TrialSettings { closed_book: 0, ..trial.clone() }, half, |_| false);
    assert!(!expected.roles.contains_key("closed_book") && expected.roles["with_evidence"].calls == 24.0);
    // No candidate passes: as many are tried as are made, and that is within the bound.
    let none = Rates { robust: 0.0, ..sure };
    let (expected, _) = both(&group, &trial, none, |_| false);
    let most = at_most(std::slice::from_ref(&group), &trial);
    assert!(expected.roles.iter().all(|(role, load)| most[role].calls >= load.calls && most[role].tokens >= load.tokens));
    assert_eq!(most["closed_book"].calls, 6.0 * 20.0 * 4.0);
}

#[test]
fn rows_of_facts_that_are_not_found_yet_are_supposed() {
    let corpus = Corpus::default();
    let (benchmarks, tokenizer, graph) = (Benchmarks::default(), Tokenizer::approximate(), crate::graph::Graph::default());
    let ground = Ground { corpus: &corpus, facts: &[], graph: &graph, benchmarks: &benchmarks, tokenizer: &tokenizer };
    let groups = [group(json!({"engine": "graph", "count": 10, "hops": 3, "lengths": [1_000, 8_000]}))];
    let trial = TrialSettings { closed_book: 4, tries: 1, reply: 100 };
    let rates = [Rates { closed_book: 1.0, with_evidence: 1.0, robust: 0.5, ..Rates::default() }];
    let prose = Prose { documents: 30, mean: Size { bytes: 1_000, tokens: 250 } };
    let of = |prose: Prose| estimate(&groups, &ground, 1.0, 3, &Assumed { trial: &trial, rates: &rates, prose }).unwrap();
    let expected = of(prose);
    assert_eq!((expected.supposed, expected.rows.clone()), (10, vec![10.0]));
    let load = |role: &str| expected.roles[role];
    assert!((load("closed_book").calls - 80.0).abs() < 1e-6 && (load("with_evidence").calls - 20.0).abs() < 1e-6);
    let mean = load("with_evidence").tokens / load("with_evidence").calls;
    assert!((1_000.0..1_150.0).contains(&mean), "four documents and a question: {mean}");
    // The mean of lengths between which each factor of two is as likely: (8,000 − 1,000) / ln 8.
    let mean = load("robust").tokens / load("robust").calls;
    assert!((2_800.0..4_200.0).contains(&mean), "{mean}");
    assert_eq!(of(Prose::default()), Estimate { rows: vec![0.0], ..Estimate::default() });
}

//! Whole rows: made, audited, and what they cost.

use super::*;
use crate::agents::visits;
use crate::corpus::{Class, Corpus, Filters};
use crate::graph::Graph;
use crate::overlap::Benchmarks;
use crate::plan::{Event, Ground, Group, make};
use crate::{Audit, audit};
use data::{Document, Item};

fn corpus() -> Corpus {
    let mut corpus = Corpus::default();
    let filters = Filters { max_repeated_lines: 1.0, max_repeated_words: 1.0, near_duplicate: 2.0, ..Filters::default() };
    for at in 0..24 {
        let document = Document::plain(format!("d{at}"), format!("d{at}"), mill(at).1);
        corpus.add(document, &mill(at).0, Class::General, &filters, &Tokenizer::approximate()).unwrap();
    }
    corpus
}

/// The rows of a group, and everything that was asked.
fn rows(group: &Group, says: &dyn Fn(Role, &str, usize) -> Result<String, ChatError>) -> (Vec<Item>, Vec<ChatRequest>, String) {
    let (corpus, tokenizer, graph, benchmarks) = (corpus(), Tokenizer::approximate(), Graph::default(), Benchmarks::default());
    let facts = vec![Vec::new(); corpus.sources.len()];
    let ground = Ground { corpus: &corpus, facts: &facts, graph: &graph, benchmarks: &benchmarks, tokenizer: &tokenizer };
    let mut script = Script { says, asked: Vec::new() };
    let mut rows = Vec::new();
    let mut call = |_: &'static str, requests: &[ChatRequest]| script.answer(requests);
    let outcomes = make(std::slice::from_ref(group), &ground, 1.0, 9, None, Some(&mut call), &mut |_, event| {
        if let Event::Row(row) = event {
            rows.push(row.clone());
        }
        true
    });
    (rows, script.asked, outcomes.unwrap()[0].short.clone())
}

fn group(count: usize, agents: AgentSettings) -> Group {
    let mut group: Group = serde_json::from_value(json!({"engine": "agents", "count": count, "lengths": [500, 1_000]})).unwrap();
    group.agents = agents;
    group
}

#[test]
fn rows_are_what_their_transcripts_say() {
    let group = group(5, AgentSettings { rounds: 2, ..settings() });
    assert_eq!(group.name(), "agents, numeric");
    let (made, _, short) = rows(&group, &doubted(usize::MAX));
    assert_eq!(made.len(), 5, "{short}");
    assert_eq!(rows(&group, &doubted(usize::MAX)).0, made);
    let not_run = vec!["whether the answer is true of the documents: it came from a model".to_string()];
    for row in &made {
        assert_eq!(audit(row), Audit { findings: Vec::new(), not_run: not_run.clone() });
        assert!(row.evidence.len() >= 2 && row.extra["engine"] == "agents");
    }
    // Whatever is changed in what was said is noticed.
    let row = &made[0];
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut other = row.clone();
        change(other.extra.get_mut("derivation").unwrap());
        audit(&other).findings.into_iter().map(|finding| finding.problem).collect::<Vec<_>>().join("; ")
    };
    let said = |at: usize, from: &'static str, to: &'static str| {
        move |derivation: &mut Value| {
            let reply = derivation["transcripts"][at]["reply"].as_str().unwrap().replacen(from, to, 1);
            derivation["transcripts"][at]["reply"] = reply.into();
        }
    };
    assert_eq!(changed(&|_| ()), "");
    assert!(changed(&said(0, "How many", "How few")).contains("the proposal asks “How few"));
    assert!(changed(&said(0, "\"answer\":\"", "\"answer\":\"1")).contains("follows from the derivation"));
    assert!(changed(&said(0, "wheels in all.", "wheels in it.")).contains("the proposal does not quote"));
    assert!(changed(&said(1, "answer is (", "answer is (9")).contains("and the check says"));
    assert!(changed(&|derivation| derivation["transcripts"].as_array_mut().unwrap().clear()).contains("no proposal is kept"));
    assert!(changed(&|derivation| derivation["transcripts"].as_array_mut().unwrap().truncate(5)).contains("and the check says"));
    assert!(
        changed(&|derivation| derivation["facts"].as_array_mut().unwrap().truncate(1)).contains("no fact says what the proposal quotes")
    );
    // What is asked was known before: proposals to the token.
    let (corpus, tokenizer, graph, benchmarks) = (corpus(), Tokenizer::approximate(), Graph::default(), Benchmarks::default());
    let facts = vec![Vec::new(); corpus.sources.len()];
    let ground = Ground { corpus: &corpus, facts: &facts, graph: &graph, benchmarks: &benchmarks, tokenizer: &tokenizer };
    let one = AgentSettings { rounds: 1, tries: 1, ..settings() };
    let one = Group { count: 1, agents: one, ..group.clone() };
    let first = rows(&one, &honest).1;
    let count = |request: &ChatRequest| tokenizer.count(&request.messages[0].content).unwrap();
    let before = visits(&one, 0, &ground, 9).unwrap();
    let of = |kind: Role| first.iter().filter(|request| role(request) == kind).map(count).sum::<usize>() as f64;
    assert_eq!((before.visits, before.propose.tokens, before.rows.len()), (2, of(Role::Propose), 2));
    // What is asked is not known yet, and the documents around it are drawn after it.
    assert!((before.solve.tokens / of(Role::Solve) - 1.0).abs() < 0.3, "{} and {}", before.solve.tokens, of(Role::Solve));
}

#[test]
fn without_a_model_there_is_no_row_and_it_says_so() {
    let (corpus, tokenizer, graph, benchmarks) = (corpus(), Tokenizer::approximate(), Graph::default(), Benchmarks::default());
    let facts = vec![Vec::new(); corpus.sources.len()];
    let ground = Ground { corpus: &corpus, facts: &facts, graph: &graph, benchmarks: &benchmarks, tokenizer: &tokenizer };
    let outcomes = make(&[group(3, settings())], &ground, 1.0, 9, None, None, &mut |_, _| true).unwrap();
    assert!(outcomes[0].kept == 0 && outcomes[0].short.contains("no model was given"), "{:?}", outcomes[0]);
}

#[test]
fn settings_say_what_is_wrong_with_them() {
    assert_eq!(AgentSettings::default().check(), Ok(()));
    let wrong = |settings: AgentSettings| group(1, settings).check().unwrap_err();
    assert_eq!(wrong(AgentSettings { tasks: Vec::new(), ..settings() }), "agents, : agents.tasks is at least 1");
    assert!(wrong(AgentSettings { band: (0.5, 0.2), ..settings() }).contains("agents.band"));
    assert!(wrong(AgentSettings { band: (f64::NAN, 1.0), ..settings() }).contains("agents.band"));
    let named = AgentSettings { kind: "viewpoint: who".into(), tasks: vec![Task::Reading, Task::MultiHop], ..settings() };
    assert_eq!(group(1, named).name(), "agents, reading and multi_hop (viewpoint)");
}

use super::*;
use crate::context::tests::{candidate, source};
use crate::context::{Shelf, assemble};
use crate::hash;
use data::Span;
use tokenizer::Tokenizer;
use world::Random;

/// A fact at the first place of its value in a source's text.
fn fact(source: &Source, relation: &str, value: &str) -> Fact {
    let start = source.document.text.find(value).unwrap();
    let span = Span { doc: source.document.id.clone(), start, end: start + value.len() };
    let id = hash::id("fact", [span.doc.as_str(), relation, value, &start.to_string()]);
    Fact { id, subject: source.title.clone(), relation: relation.into(), value: value.into(), span, call: None }
}

fn corpus() -> (Vec<Source>, Vec<Vec<Fact>>) {
    let water = "Water and stones and long rows of old willows, and nobody about. ".repeat(20);
    let mut sources = vec![
        source("d0", "Mali", &format!("{water}\n\ncapital: Bamako\nneighbour: Chad\n\n{water}")),
        source("d1", "Chad", &format!("{water}\n\ncapital: Ndjamena\nlake: Fitri\n\n{water}")),
        source("d2", "Togo", &format!("{water}\n\ncapital: Lome\n\n{water}")),
    ];
    sources.extend((3..9).map(|at| source(&format!("d{at}"), &format!("Hamlet {at}"), &format!("{water}\n\ncapital: Nowhere {at}"))));
    let mut facts = vec![
        vec![fact(&sources[0], "capital", "Bamako"), fact(&sources[0], "neighbour", "Chad")],
        vec![fact(&sources[1], "capital", "Ndjamena"), fact(&sources[1], "lake", "Fitri")],
        vec![fact(&sources[2], "capital", "Lome")],
    ];
    facts.extend(sources[3..].iter().map(|source| vec![fact(source, "capital", &format!("Nowhere {}", &source.document.id[1..]))]));
    (sources, facts)
}

fn asked(facts: &[Vec<Fact>], question: &str, answer: &str) -> Candidate {
    let mut candidate = candidate(&["d0", "d1"], question, answer);
    candidate.derivation.facts = vec![facts[0][0].clone(), facts[0][1].clone(), facts[1][1].clone()];
    candidate
}

const QUESTION: &str = "Which lake has the neighbour of the place with Bamako?";

struct Bench {
    sources: Vec<Source>,
    facts: Vec<Vec<Fact>>,
    benchmarks: Benchmarks,
}

impl Bench {
    fn new() -> Self {
        let (sources, facts) = corpus();
        let mut benchmarks = Benchmarks::default();
        benchmarks.add("known", "one two three four five six seven eight nine ten eleven twelve thirteen fourteen");
        Self { sources, facts, benchmarks }
    }

    fn context(&self, candidate: &Candidate) -> Context {
        let tokenizer = Tokenizer::approximate();
        assemble(candidate, &Shelf::new(&self.sources, &tokenizer).unwrap(), 3_400, &mut Random::new(&[2])).unwrap()
    }

    fn checks(&self) -> Checks<'_> {
        Checks::new(&self.sources, &self.facts, &self.benchmarks, 1.0)
    }

    /// The check that drops a candidate after this change to it.
    fn drops(&self, change: impl Fn(&mut Candidate)) -> Option<(&'static str, String)> {
        let mut candidate = asked(&self.facts, QUESTION, "Fitri");
        change(&mut candidate);
        let context = self.context(&candidate);
        self.checks().run(&mut candidate, &context).err().map(|reject| (reject.check, reject.reason))
    }
}

#[test]
fn each_fault_is_dropped_by_its_check_and_none_by_another() {
    let bench = Bench::new();
    assert_eq!(bench.drops(|_| ()), None);
    let dropped = |change: &dyn Fn(&mut Candidate)| bench.drops(change).map(|(check, _)| check);
    let question = |text: &'static str| move |candidate: &mut Candidate| candidate.question = text.into();
    assert_eq!(dropped(&question(" … ")), Some("format"));
    assert_eq!(dropped(&|c| c.rule = "best".into()), Some("format"));
    assert_eq!(dropped(&|c| c.rule = "numeric".into()), Some("format"));
    assert_eq!(dropped(&|c| c.rule = "letter".into()), Some("format"));
    assert_eq!(dropped(&|c| c.answers[0] = "Fitri ".repeat(60)), Some("format"));
    assert_eq!(dropped(&|c| c.derivation.facts[1].value = "chad".into()), Some("spans"));
    assert_eq!(dropped(&|c| c.derivation.facts[1].span.start += 1), Some("spans"));
    assert_eq!(dropped(&|c| c.derivation.facts[1].span.end = usize::MAX), Some("spans"));
    assert_eq!(dropped(&|c| c.derivation.facts[2].span.doc = "d2".into()), Some("spans"));
    assert_eq!(dropped(&|c| c.answers[0] = "Fit".into()), Some("present"));
    assert_eq!(dropped(&question("Which lake, Fitri or another, has the neighbour?")), Some("single"));
    assert_eq!(dropped(&question("Which lake has Chad?")), Some("leak"));
    assert_eq!(dropped(&question("Which lake has the chad?")), None);
    assert_eq!(
        dropped(&question("One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen lakes?")),
        Some("overlap")
    );
    // Titles of several words in any spelling.
    assert!(names("in the HAMLET 3, say", "Hamlet 3") && !names("in Hamlet 33", "Hamlet 3") && !names("Nigeria", "Niger"));
}

#[test]
fn another_document_that_says_something_else_of_the_same_is_found() {
    let mut bench = Bench::new();
    // The document is a distractor of this context.
    bench.facts[2].push(Fact { subject: "chad".into(), ..fact(&bench.sources[2], "lake", "Lome") });
    let (check, reason) = bench.drops(|_| ()).unwrap();
    assert_eq!((check, reason.as_str()), ("single", "d2 has another “lake” of “Chad”"));
    bench.facts[2].last_mut().unwrap().value = "fitri".into();
    assert_eq!(bench.drops(|_| ()), None);
}

#[test]
fn checks_stand_in_the_derivation_in_order() {
    let bench = Bench::new();
    let mut candidate = asked(&bench.facts, QUESTION, "Fitri");
    let context = bench.context(&candidate);
    bench.checks().run(&mut candidate, &context).unwrap();
    let names: Vec<&str> = candidate.derivation.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, STEPS[2..]);
    let passed = |name: &str| candidate.derivation.checks.iter().find(|check| check.name == name).unwrap().passed;
    assert_eq!((passed("spans"), passed("closed_book")), (Some(true), None));
}

#[test]
fn a_row_is_kept_once_and_searchable_rows_up_to_their_share() {
    let bench = Bench::new();
    let mut checks = bench.checks();
    let mut run = |question: &str, answer: &str| {
        let mut candidate = asked(&bench.facts, question, answer);
        let context = bench.context(&candidate);
        let passed = checks.run(&mut candidate, &context).map_err(|reject| (reject.check, reject.reason));
        passed.map(|passed| checks.keep(passed))
    };
    run(QUESTION, "Fitri").unwrap();
    assert_eq!(run("which LAKE has the neighbour of the place with bamako", "fitri").unwrap_err().1, "the question was asked before");
    assert!(run("Name the water.", "Fitri").unwrap_err().1.starts_with("another question"));

    let mut checks = Checks::new(&bench.sources, &bench.facts, &bench.benchmarks, 0.3);
    let mut run = |number: usize, words: &str| {
        let mut candidate = asked(&bench.facts, &format!("{words} {number}?"), "Fitri");
        // Another fact each time, so that no two rows are one.
        candidate.derivation.facts.remove(number % 2);
        candidate.derivation.facts[0].id = number.to_string();
        let context = bench.context(&candidate);
        let passed = checks.run(&mut candidate, &context).map_err(|reject| reject.check);
        passed.map(|passed| checks.keep(passed))
    };
    // The words that stand beside Fitri, and words that stand everywhere.
    let (near, far) = ("Which lake beside Ndjamena", "Which water and stones");
    assert_eq!(run(0, near), Err("search"));
    (1..4).for_each(|number| run(number, far).unwrap());
    assert_eq!((run(4, near), run(5, near)), (Ok(()), Err("search")));
    assert_eq!(checks.searches(), (4, 1));
}

#[test]
fn what_a_model_drops_afterwards_counts_for_nothing() {
    let bench = Bench::new();
    let mut checks = bench.checks();
    let try_it = |checks: &Checks, question: &str| {
        let mut candidate = asked(&bench.facts, question, "Fitri");
        let context = bench.context(&candidate);
        checks.run(&mut candidate, &context).map_err(|reject| reject.check)
    };
    // It passes here, a model drops it, and it comes again.
    for _ in 0..3 {
        try_it(&checks, QUESTION).unwrap();
    }
    assert_eq!(checks.searches(), (0, 0));
    let passed = try_it(&checks, QUESTION).unwrap();
    checks.keep(passed);
    assert_eq!((try_it(&checks, QUESTION).unwrap_err(), checks.searches().0), ("duplicate", 1));
}

//! Prose about a few places and people, and what questions come of it.

mod rows;
mod small;

use super::*;
use crate::context::tests::source;
use crate::corpus::Source;
use crate::hash;
use data::{Derivation, Fact, Span};
use std::collections::BTreeSet;

/// What a sentence says: (subject, relation, value).
type Said = (&'static str, &'static str, &'static str);
/// A document's title, and its sentences with what each says.
pub(crate) type Page = (&'static str, &'static [(&'static str, &'static [Said])]);

/// What a model that reads rightly finds.
pub(crate) const PAGES: &[Page] = &[
    (
        "Harlow Mill",
        &[
            ("Harlow Mill is a former paper mill in Brenford.", &[("Harlow Mill", "located in", "Brenford")]),
            ("It was built by Samuel Orme.", &[("Harlow Mill", "was built by", "Samuel Orme")]),
            ("That was in 1831.", &[("Harlow Mill", "built in", "1831")]),
            ("Later it was bought by the Ketteridge Company.", &[("Harlow Mill", "was bought by", "Ketteridge Company")]),
            ("It was closed in 1967.", &[("Harlow Mill", "was closed in", "1967")]),
            (
                "Its foreman was John Reed, who was born in 1790.",
                &[("Harlow Mill", "foreman", "John Reed"), ("John Reed", "born in", "1790")],
            ),
        ],
    ),
    (
        "Samuel Orme",
        &[
            ("Samuel Orme was born in Leeds.", &[("Samuel Orme", "was born in", "Leeds")]),
            ("He was employed by the Leeds Bank.", &[("Samuel Orme", "was employed by", "Leeds Bank")]),
            ("He was apprenticed to Thomas Garrick.", &[("Samuel Orme", "was apprenticed to", "Thomas Garrick")]),
            ("In 1825 he married Judith Pell.", &[("Samuel Orme", "married", "Judith Pell")]),
            ("He died in 1869.", &[("Samuel Orme", "died in", "1869")]),
        ],
    ),
    (
        "Judith Pell",
        &[
            ("Judith Pell was born in Norwich.", &[("Judith Pell", "was born in", "Norwich")]),
            ("She founded the Castle School.", &[("Judith Pell", "founded", "Castle School")]),
            ("She died in 1880.", &[("Judith Pell", "died in", "1880")]),
        ],
    ),
    (
        "Castle School",
        &[
            ("The Castle School was designed by Ann Rowe.", &[("Castle School", "was designed by", "Ann Rowe")]),
            ("It was dissolved in 1923.", &[("Castle School", "was dissolved in", "1923")]),
            ("Its ruin resulted from a river flood.", &[("Castle School", "resulted from", "river flood")]),
        ],
    ),
    (
        "Ketteridge Company",
        &[
            ("The director of the Ketteridge Company was Edwin Vane.", &[("Ketteridge Company", "director", "Edwin Vane")]),
            ("It employed 620 people.", &[("Ketteridge Company", "number of employees", "620")]),
            ("It was dissolved in 1958.", &[("Ketteridge Company", "was dissolved in", "1958")]),
        ],
    ),
    // Born where Judith Pell was; another John Reed; an Orme who is nobody knows who; a hall that Ann Rowe planned as well.
    (
        "Ann Rowe",
        &[
            ("Ann Rowe was born in Norwich.", &[("Ann Rowe", "was born in", "Norwich")]),
            ("She planned Tolland Hall.", &[("Ann Rowe", "planned", "Tolland Hall")]),
            (
                "There John Reed, who was born in 1850, taught.",
                &[("John Reed", "born in", "1850"), ("Tolland Hall", "teacher", "John Reed")],
            ),
            ("Orme was its patron and gave Dover House.", &[("Tolland Hall", "patron", "Orme"), ("Orme", "gave", "Dover House")]),
        ],
    ),
];

/// Documents with the facts of these pages, and some with none.
pub(crate) fn read(pages: &[Page]) -> (Vec<Source>, Vec<Vec<Fact>>) {
    let (mut sources, mut all) = (Vec::new(), Vec::new());
    for (at, (title, sentences)) in pages.iter().enumerate() {
        let (id, mut text, mut facts) = (format!("d{at}"), String::new(), Vec::new());
        for (sentence, said) in sentences.iter() {
            for (subject, relation, value) in said.iter() {
                let start = text.len() + sentence.rfind(value).unwrap();
                let span = Span { doc: id.clone(), start, end: start + value.len() };
                let fact = hash::id("fact", [id.as_str(), relation, value, &start.to_string()]);
                let (subject, relation, value) = (subject.to_string(), relation.to_string(), value.to_string());
                facts.push(Fact { id: fact, subject, relation, value, span, call: Some(format!("call {at}")) });
            }
            text += &format!("{sentence}\n");
        }
        sources.push(source(&id, title, &text));
        all.push(facts);
    }
    for at in 0..30 {
        let text = "Water and stones and long rows of old willows, and nobody about. ".repeat(1 + at % 4);
        sources.push(source(&format!("w{at}"), &format!("Meadow {at}"), &text));
        all.push(Vec::new());
    }
    (sources, all)
}

pub(crate) fn graph(sources: &[Source], facts: &[Vec<Fact>]) -> Graph {
    let mut graph = Graph::default();
    sources.iter().zip(facts).for_each(|(source, facts)| graph.add(source, facts.clone()));
    graph
}

/// Every question of so many links that some of these seeds give.
fn made(pages: &[Page], hops: u8) -> Vec<Candidate> {
    let (sources, facts) = read(pages);
    let graph = graph(&sources, &facts);
    let mut out: Vec<Candidate> = Vec::new();
    for seed in 0..5 {
        let settings = WalkSettings { hops, count: 24, noun: "document".into() };
        let (made, rejects) = chains(&graph, &settings, &mut Random::new(&[seed]));
        assert!(rejects.iter().all(|reject| !matches!(reject.check, "derivation" | "rule")), "{rejects:?}");
        out.extend(made);
    }
    out
}

#[test]
fn sparse_facts_give_questions_of_one_to_four_links() {
    let mut paradigms = BTreeSet::new();
    for hops in 1..=4 {
        let made = made(PAGES, hops);
        assert!(made.len() >= 12, "{hops}: {}", made.len());
        for candidate in &made {
            let derivation = &candidate.derivation;
            let links = derivation.edges.iter().filter(|edge| crate::walk::Compute::named(&edge.which).is_none()).count();
            assert_eq!(links, usize::from(hops));
            let documents: BTreeSet<&str> = derivation.facts.iter().map(|fact| fact.span.doc.as_str()).collect();
            assert!(documents.len() >= usize::from(hops.min(2)), "{}", candidate.question);
            for name in derivation.edges.iter().flat_map(|edge| [&edge.from, &edge.to]) {
                assert!(!candidate.question.contains(name.as_str()), "{name}: {}", candidate.question);
            }
            assert!(!candidate.question.contains("  ") && candidate.question.contains('?'), "{}", candidate.question);
            paradigms.insert(derivation.paradigm.clone());
        }
        // As many documents as there are links, where these give them.
        let spread = |candidate: &&Candidate| {
            candidate.derivation.facts.iter().map(|fact| &fact.span.doc).collect::<BTreeSet<_>>().len() >= usize::from(hops)
        };
        assert!(made.iter().filter(spread).count() * 2 > made.len(), "{hops}");
        assert!(made.iter().any(|candidate| candidate.derivation.edges.iter().any(|edge| edge.which == BACK)));
        assert!(made.iter().any(|candidate| pair(&candidate.answers).len() == 2), "{hops}");
    }
    assert_eq!(paradigms.into_iter().collect::<Vec<_>>(), ["causal", "multi_fact", "temporal"]);
    let texts: Vec<String> = made(PAGES, 4).into_iter().map(|candidate| candidate.question).collect();
    let wanted = "Let B be the entity that was bought by A. Let C be the person by whom B was built. Let D be the person whom C married.";
    assert!(texts.iter().any(|text| text.contains(wanted)), "{texts:#?}");
}

#[test]
fn nobody_else_fits_a_description_or_a_link() {
    let (_, facts) = read(PAGES);
    let facts: Vec<Fact> = facts.into_iter().flatten().collect();
    let mut described = 0;
    for candidate in (1..=4).flat_map(|hops| made(PAGES, hops)) {
        // By the relation's words alone, whoever they are.
        let fits = |of: &Fact, hidden: &str| -> BTreeSet<&str> {
            let same = facts.iter().filter(|fact| fact.relation == of.relation);
            match hidden == of.subject {
                true => same.filter(|fact| fact.value == of.value).map(|fact| fact.subject.as_str()).collect(),
                false => same.filter(|fact| fact.subject == of.subject).map(|fact| fact.value.as_str()).collect(),
            }
        };
        let derivation: &Derivation = &candidate.derivation;
        let fact = |id: &str| derivation.facts.iter().find(|fact| fact.id == id).unwrap();
        let mut left: Option<BTreeSet<&str>> = None;
        for step in &derivation.obfuscation {
            let of = fact(&step.fact);
            let here: BTreeSet<&str> = match step.kind == "entity" {
                true => fits(of, &step.from),
                false => {
                    let same = facts.iter().filter(|other| other.relation == of.relation);
                    same.filter(|other| crate::describe::fits(&other.value, &step.to)).map(|other| other.subject.as_str()).collect()
                }
            };
            left = Some(left.map_or(here.clone(), |left| &left & &here));
            described += 1;
        }
        assert_eq!(left.unwrap().len(), 1, "{}", candidate.question);
        for edge in derivation.edges.iter().filter(|edge| edge.facts.len() == 1) {
            let hidden = if edge.which == BACK { fact(&edge.facts[0]).subject.clone() } else { fact(&edge.facts[0]).value.clone() };
            assert_eq!(fits(fact(&edge.facts[0]), &hidden).len(), 1, "{}", candidate.question);
        }
        // Two were born in Norwich: it never stands alone.
        assert!(!candidate.question.contains("born in Norwich") || derivation.obfuscation.len() > 1, "{}", candidate.question);
    }
    assert!(described > 100);
}

#[test]
fn a_name_within_another_names_whom_it_leads_over() {
    let leeds: &[Page] = &[
        (
            "Samuel Orme",
            &[
                ("Samuel Orme was born in Leeds.", &[("Samuel Orme", "was born in", "Leeds")]),
                ("He was employed by the Leeds Bank.", &[("Samuel Orme", "was employed by", "Leeds Bank")]),
            ],
        ),
        ("Town halls", &[("The mayor of Leeds was Alma Reyes.", &[("Leeds", "mayor", "Alma Reyes")])]),
    ];
    // The bank is told of by its initials alone.
    let over = |candidate: &Candidate| candidate.derivation.edges.iter().any(|edge| edge.to == "Leeds");
    let texts: Vec<String> = made(leeds, 1).into_iter().filter(over).map(|candidate| candidate.question).collect();
    assert!(texts.iter().any(|text| text.contains("initials L. B.")) && !texts.iter().any(|text| text.contains("Leeds")), "{texts:#?}");
}

#[test]
fn several_links_take_several_documents() {
    let one: &[Page] = &[(
        "Ann Rowe",
        &[
            ("Ann Rowe was born in Norwich.", &[("Ann Rowe", "was born in", "Norwich")]),
            ("She planned Tolland Hall.", &[("Ann Rowe", "planned", "Tolland Hall")]),
            ("Tolland Hall was bought by the Dover Company.", &[("Tolland Hall", "was bought by", "Dover Company")]),
            ("The Dover Company was dissolved in 1958.", &[("Dover Company", "was dissolved in", "1958")]),
        ],
    )];
    assert!(made(one, 2).is_empty());
    assert!(!made(one, 1).is_empty());
    let (sources, facts) = read(one);
    let (_, rejects) = chains(&graph(&sources, &facts), &WalkSettings::default(), &mut Random::new(&[1]));
    assert!(rejects.iter().any(|reject| reject.reason == "2 links over facts of 1 documents"), "{rejects:?}");
}

/// Questions of one to three links whose derivations are so.
fn count(pages: &[Page], is: impl Fn(&Derivation) -> bool) -> usize {
    (1..=3).flat_map(|hops| made(pages, hops)).filter(|candidate| is(&candidate.derivation)).count()
}

fn with(page: Page) -> Vec<Page> {
    [PAGES, &[page]].concat()
}

#[test]
fn no_way_is_longer_than_it_needs_to_be_or_of_one_relation_alone() {
    // From Orme over his wife to her school, which he founded too.
    let over = |derivation: &Derivation| {
        let edges = &derivation.edges;
        edges.len() > 1 && edges[0].from == "Samuel Orme" && edges[0].relation == "married" && edges[1].to == "Castle School"
    };
    let ends = |derivation: &Derivation| over(derivation) && !derivation.edges.iter().skip(2).any(|edge| edge.from == "Castle School");
    assert!(count(PAGES, ends) > 0);
    let pages = with(("Dover", &[("Samuel Orme founded the Castle School.", &[("Samuel Orme", "founded", "Castle School")])]));
    assert_eq!(count(&pages, ends), 0);
    let taught: &[Page] = &[
        ("Ann Rowe", &[("Ann Rowe was taught by Ben Hale. She died in 1923.", &[("Ann Rowe", "was taught by", "Ben Hale")])]),
        ("Ben Hale", &[("Ben Hale was taught by Cid Moor.", &[("Ben Hale", "was taught by", "Cid Moor")])]),
        ("Cid Moor", &[("Cid Moor was taught by Dan Pike.", &[("Cid Moor", "was taught by", "Dan Pike")])]),
        ("Ely", &[("Ann Rowe was born in Ely.", &[("Ann Rowe", "was born in", "Ely")])]),
        ("Lynn", &[("Dan Pike was born in Lynn.", &[("Dan Pike", "was born in", "Lynn")])]),
    ];
    assert!(!made(taught, 2).is_empty());
    let thrice = |derivation: &Derivation| derivation.edges.iter().filter(|edge| edge.relation == "was taught by").count() > 2;
    assert_eq!(count(taught, thrice), 0);
}

#[test]
fn when_and_where_are_two_questions_and_what_stands_the_other_way_round_is_none() {
    // Asked for: neither told of whom it starts from nor a link.
    let asks = |value: &'static str| {
        move |derivation: &Derivation| {
            let told = |fact: &Fact| {
                derivation.obfuscation.iter().any(|step| step.fact == fact.id)
                    || derivation.edges.iter().any(|edge| edge.facts.contains(&fact.id))
            };
            derivation.facts.iter().any(|fact| fact.value == value && !told(fact))
        }
    };
    let pages = with(("Garrick", &[("Samuel Orme was born in 1798.", &[("Samuel Orme", "was born in", "1798")])]));
    assert!(count(&pages, asks("Leeds")) > 0 && count(&pages, asks("1798")) > 0);
    let housed = |derivation: &Derivation| derivation.facts.iter().any(|fact| fact.relation == "was housed in");
    let told = |sentence: &'static str| -> Vec<Page> {
        let said: &'static [Said] = &[("Harlow Mill", "was housed in", "Brenford Museum")];
        with(("Brenford", Box::leak(Box::new([(sentence, said)]))))
    };
    assert!(count(&told("Harlow Mill was housed in the Brenford Museum."), housed) > 0);
    assert_eq!(count(&told("Harlow Mill has housed the Brenford Museum."), housed), 0);
}

#[test]
fn who_may_be_two_is_nobody() {
    for candidate in (1..=4).flat_map(|hops| made(PAGES, hops)) {
        let passed = candidate.derivation.edges.iter().flat_map(|edge| [edge.from.as_str(), edge.to.as_str()]);
        for name in passed.chain(candidate.answers.iter().map(String::as_str)) {
            assert!(name != "John Reed" && name != "Orme", "{}", candidate.question);
        }
        assert!(!candidate.question.contains("Reed") && !candidate.question.contains("by Orme"), "{}", candidate.question);
    }
    // The same with one year of birth is one person, in two documents.
    let mut pages = PAGES.to_vec();
    let rowe: &'static [(&'static str, &'static [Said])] = &[
        ("Ann Rowe planned Tolland Hall.", &[("Ann Rowe", "planned", "Tolland Hall")]),
        ("There John Reed taught.", &[("Tolland Hall", "teacher", "John Reed")]),
    ];
    pages[5] = ("Ann Rowe", rowe);
    let passes = |candidate: &Candidate| candidate.derivation.edges.iter().any(|edge| edge.to == "John Reed" || edge.from == "John Reed");
    assert!((1..=4).flat_map(|hops| made(&pages, hops)).any(|candidate| passes(&candidate)));
}

#[test]
fn what_may_be_called_by_another_word_is_not_the_only_one() {
    // Somebody else set the mill up, in another document's words.
    let mut pages = PAGES.to_vec();
    pages.push(("Tolland", &[("The founder of Harlow Mill was Peter Dunn.", &[("Harlow Mill", "founder", "Peter Dunn")])]));
    let over = |pages: &[Page]| {
        let made = (1..=3).flat_map(|hops| made(pages, hops)).collect::<Vec<_>>();
        // Whom the mill was built by; what he built is told as before.
        let asks = |edge: &data::Edge| edge.relation == "was built by" && edge.which != BACK;
        made.iter().filter(|candidate| candidate.derivation.edges.iter().any(asks)).count()
    };
    assert!(over(PAGES) > 0);
    assert_eq!(over(&pages), 0);
    // Two who designed one school, in one document: neither is asked for.
    let designed = |pages: &[Page]| {
        let made = (1..=3).flat_map(|hops| made(pages, hops)).collect::<Vec<_>>();
        let asks = |candidate: &Candidate| {
            let Derivation { facts, edges, obfuscation, .. } = &candidate.derivation;
            let told =
                |fact: &Fact| obfuscation.iter().any(|step| step.fact == fact.id) || edges.iter().any(|edge| edge.facts.contains(&fact.id));
            facts.iter().any(|fact| fact.relation == "was designed by" && !told(fact))
        };
        made.iter().filter(|candidate| asks(candidate)).count()
    };
    let mut pages = PAGES.to_vec();
    pages.push(("Dunmore", &[("Castle School was designed by Peter Dunn.", &[("Castle School", "was designed by", "Peter Dunn")])]));
    assert!(designed(PAGES) > 0);
    assert_eq!(designed(&pages), 0);
    // Two years of one end.
    let asked = |pages: &[Page]| (1..=3).flat_map(|hops| made(pages, hops)).filter(|candidate| candidate.answers[0] == "1958").count();
    let mut pages = PAGES.to_vec();
    pages.push(("Dunmore", &[("Ketteridge Company was dissolved in 1961.", &[("Ketteridge Company", "was dissolved in", "1961")])]));
    assert!(asked(PAGES) > 0);
    assert_eq!(asked(&pages), 0);
}

#[test]
fn where_there_is_no_walk_the_largest_plan_is_told() {
    let (sources, facts) = read(&PAGES[..2]);
    let graph = graph(&sources, &facts);
    let (made, rejects) = chains(&graph, &WalkSettings { hops: 7, ..WalkSettings::default() }, &mut Random::new(&[1]));
    assert!(made.is_empty() && rejects.len() == 1);
    let longest = woven(&graph).unwrap().longest;
    assert!((2..7).contains(&longest));
    assert_eq!(
        rejects[0].reason,
        format!("no walk of 7 links over facts of prose: the longest has {longest}, the largest plan for them is hops = {longest}")
    );
    let (made, _) = chains(&graph, &WalkSettings { hops: longest as u8, ..WalkSettings::default() }, &mut Random::new(&[1]));
    assert!(!made.is_empty());
    assert_eq!(woven(&Graph::default()), None);
}

#[test]
#[ignore = "a measurement: cargo test --release -p longhand-synth --lib -- --ignored --nocapture every_question_of_these_pages"]
fn every_question_of_these_pages() {
    for candidate in (1..=4).flat_map(|hops| made(PAGES, hops).into_iter().take(14)) {
        println!("{} [{}] {}\n    → {}", candidate.hops, candidate.derivation.paradigm, candidate.question, candidate.answers.join(" | "));
    }
}

#[test]
fn the_seed_decides() {
    let (sources, facts) = read(PAGES);
    let graph = graph(&sources, &facts);
    let run = |seed| chains(&graph, &WalkSettings { hops: 2, count: 6, noun: "place".into() }, &mut Random::new(&[seed]));
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

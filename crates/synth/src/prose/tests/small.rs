//! The small world as prose: one long text in many documents, whose people, firms and places come again all over it.

use std::collections::BTreeMap;

use super::*;
use crate::audit::audit;
use crate::checks::Checks;
use crate::context::{Shelf, assemble};
use crate::overlap::Benchmarks;
use crate::{holds_if, row};
use ::world::{Detail, Relation, Split, Task, World, WorldSettings, read_facts};
use tokenizer::Tokenizer;

/// Words of a document.
const WORDS: usize = 250;

/// A relation as a model calls it: now in these words, now in those.
fn called(fact: &::world::Fact, at: usize) -> Option<String> {
    const BUILDINGS: [&str; 8] = ["mill", "inn", "barn", "forge", "school", "chapel", "store", "bridge"];
    let say = |ways: [&str; 2]| Some(ways[at % 2].to_string());
    match (fact.relation, fact.detail) {
        (Relation::Born, _) => say(["was born in", "born in"]),
        (Relation::Lives, _) => say(["lives_in", "lives in"]),
        (Relation::Works, _) => say(["works for", "employer"]),
        (Relation::Teacher, _) => say(["was taught by", "taught by"]),
        (Relation::Base, _) => say(["is based in", "based in"]),
        (Relation::Founder, _) => say(["was founded by", "founder"]),
        (Relation::Founded, _) => say(["founded in", "was founded in"]),
        (Relation::Owner, Detail::Building(kind)) => Some(format!("owner of the {}", BUILDINGS[usize::from(kind) % 8])),
        _ => None,
    }
}

/// Documents of one text of so many words, and the facts of its sentences.
fn corpus(words: usize) -> (Vec<Source>, Vec<Vec<Fact>>) {
    let settings = WorldSettings { seed: 5, split: Split::Train, facts: 0.6, names: 14, ..WorldSettings::default() };
    let story = World::new(settings).unwrap().story(1, words, &[(Task::MultiHop, 4), (Task::MultiHop, 3)]).unwrap();
    let mut texts = vec![String::new()];
    for line in story.text.lines().filter(|line| !line.trim().is_empty()) {
        if texts[texts.len() - 1].split_whitespace().count() > WORDS {
            texts.push(String::new());
        }
        *texts.last_mut().unwrap() += &format!("{line}\n");
    }
    let (mut sources, mut facts) = (Vec::new(), Vec::new());
    for (number, text) in texts.iter().enumerate() {
        let id = format!("p{number}");
        let mut here = Vec::new();
        let mut ids = BTreeSet::new();
        for (at, (said, span)) in read_facts(text).into_iter().enumerate() {
            let (Some(relation), value) = (called(&said, at + number), said.value.to_string()) else { continue };
            let relation = relation.replace('_', " ");
            let start = span.start + text[span.clone()].find(&value).unwrap();
            let key = hash::id("fact", [id.as_str(), &relation, &value, &start.to_string()]);
            let span = Span { doc: id.clone(), start, end: start + value.len() };
            if ids.insert(key.clone()) {
                here.push(Fact { id: key, subject: said.subject.name(), relation, value, span, call: Some(format!("call {number}")) });
            }
        }
        sources.push(source(&id, &format!("Sheet {number}"), text));
        facts.push(here);
    }
    (sources, facts)
}

/// (made, kept) of so many links, rows that do not hold, and facts (changed, noticed).
fn yields(words: usize, count: usize) -> BTreeMap<u8, (usize, usize, usize, usize, usize)> {
    let (sources, facts) = corpus(words);
    let graph = graph(&sources, &facts);
    let all: Vec<&Fact> = facts.iter().flatten().collect();
    println!("{} documents, {} facts, {:?}", sources.len(), all.len(), woven(&graph));
    let tokenizer = Tokenizer::approximate();
    let shelf = Shelf::new(&sources, &tokenizer).unwrap();
    let benchmarks = Benchmarks::default();
    let mut checks = Checks::new(&sources, &facts, &benchmarks, 1.0);
    let mut out = BTreeMap::new();
    for hops in 1..=4 {
        let (made, why) = chains(&graph, &WalkSettings { hops, count, noun: "document".into() }, &mut Random::new(&[2]));
        let (mut kept, mut bad, mut changed, mut noticed) = (0, 0, 0, 0);
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        why.iter().for_each(|reject| *reasons.entry(reject.check).or_default() += 1);
        let number = made.len();
        for (place, mut candidate) in made.into_iter().enumerate() {
            let Ok(context) = assemble(&candidate, &shelf, shelf.need(&candidate).unwrap() + 1_200, &mut Random::new(&[3])) else {
                continue;
            };
            match checks.run(&mut candidate, &context) {
                Ok(passed) => checks.keep(passed),
                Err(reject) => {
                    *reasons.entry(reject.check).or_default() += 1;
                    continue;
                }
            }
            kept += 1;
            let item = row::item(&candidate, &context, row::row_id(&candidate, &context));
            bad += usize::from(!audit(&item).findings.is_empty());
            for (at, fact) in candidate.derivation.facts.iter().enumerate() {
                let others = all.iter().filter(|other| other.relation == fact.relation && other.value != fact.value).take(9);
                for other in others {
                    changed += 1;
                    noticed += usize::from(holds_if(&item, at, &other.value).unwrap() == Some(false));
                }
            }
            if place < 3 {
                println!("{hops}: {} → {}", candidate.question, candidate.answers[0]);
            }
        }
        println!("{hops} links: {number} made, {kept} kept; {reasons:?}; {noticed} of {changed} changes noticed");
        out.insert(hops, (number, kept, bad, changed, noticed));
    }
    out
}

#[test]
fn the_small_world_gives_questions_of_every_length() {
    for (hops, (made, kept, bad, changed, noticed)) in yields(6_000, 12) {
        assert!(made >= 6 && kept * 2 > made, "{hops}: {kept} of {made}");
        assert!(bad == 0 && changed > 100 && noticed * 100 >= changed * 95, "{hops}: {bad}, {noticed} of {changed}");
    }
}

#[test]
#[ignore = "a measurement: cargo test --release -p longhand-synth --lib -- --ignored --nocapture questions_of_a_long_text"]
fn questions_of_a_long_text() {
    let begun = std::time::Instant::now();
    yields(40_000, 200);
    println!("{:?}", begun.elapsed());
}

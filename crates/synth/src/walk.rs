//! Chains of links over documents, and the questions about their ends.
//!
//! A walk leads from a start, which is only described, over links that the question names to an end that it does not name. What is asked:
//!
//! | paradigm | answer |
//! | --- | --- |
//! | `multi_fact` | a value of the end, or what the end is called |
//! | `temporal` | which of two on the way has the earlier or later year of a relation; how many years lie between two |
//! | `hypothetical` | a figure, the larger of two, or their difference, if one were twice, half or a tenth more |
//! | `causal` | what caused the end, or what it caused |
//!
//! Facts of prose are sparse, and have walks, descriptions and endings of their own ([`crate::prose`]). Causal questions need prose that gives reasons, and a model that read it: they are made of facts that a model found.
//!
//! Each answer follows from the derivation alone ([`derive`]) and is the only one in the corpus: the description fits one entity, and
//! every link singles out one more.

pub(crate) mod answer;
mod cause;
mod compute;
mod derive;
mod ending;
mod maker;
mod paths;

use world::Random;

use crate::candidate::{Candidate, Reject};
use crate::graph::{Graph, View};
use crate::prose;

pub(crate) use cause::{Cause, cause};
pub(crate) use compute::{Compute, Factor};
pub(crate) use derive::derive;

/// What chains are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct WalkSettings {
    /// Links in a chain. From two on the task is `multi_hop`; with one or none it is `reading`.
    pub hops: u8,
    /// How many questions.
    pub count: usize,
    /// What the documents are about, as a question may call it: `country`. `document` where that is not one thing. Rows are `entry`.
    pub noun: String,
}

impl Default for WalkSettings {
    fn default() -> Self {
        Self { hops: 2, count: 100, noun: "document".into() }
    }
}

/// Tries for each question that is wanted.
const TRIES: usize = 30;

/// Questions with chains of this many links, and why others were not made: one reject for each try that failed. The tries are bounded, so
/// fewer questions may come back than were asked for.
///
/// Facts that a model found are walked over in their own way too ([`prose`]): by turns, and where one way gives too few the other gives more.
pub fn chains(graph: &Graph, settings: &WalkSettings, random: &mut Random) -> (Vec<Candidate>, Vec<Reject>) {
    if !prose::any(graph) || settings.hops == 0 {
        return over_links(graph, settings, random);
    }
    let (told, rejects) = prose::chains(graph, settings, random);
    let (linked, others) = over_links(graph, settings, random);
    // That one way has no such walks is no news where the other has.
    let says = |made: &[Candidate], reject: &Reject| reject.check != "path" || made.is_empty();
    let kept = rejects.into_iter().filter(|reject| says(&linked, reject));
    let rejects = kept.chain(others.into_iter().filter(|reject| says(&told, reject))).collect();
    let (mut told, mut linked) = (told.into_iter(), linked.into_iter());
    let by_turns = std::iter::from_fn(|| Some([told.next(), linked.next()])).take_while(|two| two.iter().any(Option::is_some));
    (by_turns.flatten().flatten().take(settings.count).collect(), rejects)
}

/// Chains over names in the values of structured facts, and of such facts of prose as many share.
fn over_links(graph: &Graph, settings: &WalkSettings, random: &mut Random) -> (Vec<Candidate>, Vec<Reject>) {
    let feasible = graph.feasible(settings.hops, 1);
    if let Some(short) = feasible.short {
        return (Vec::new(), vec![Reject { check: "path", reason: format!("no walk of {} links: {short}", settings.hops) }]);
    }
    let view = View::new(graph);
    let mut maker = maker::Maker::new(&view, settings);
    let (mut made, mut rejects) = (Vec::new(), Vec::new());
    for _ in 0..settings.count.saturating_mul(TRIES) {
        if made.len() == settings.count {
            break;
        }
        match maker.attempt(random) {
            Ok(candidate) => made.push(candidate),
            Err(reject) => rejects.push(reject),
        }
    }
    (made, rejects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::{graph, page};
    use data::Derivation;

    const TOWNS: [&str; 40] = [
        "Aldra", "Bremo", "Cantu", "Dorel", "Eskan", "Fimor", "Galto", "Hendi", "Ivrea", "Jalku", "Kembo", "Lurga", "Mantis", "Norda",
        "Ostra", "Pelmo", "Quarn", "Rimsk", "Solvo", "Tarin", "Umbra", "Velda", "Wixom", "Xerta", "Yarra", "Zelmo", "Arkel", "Borun",
        "Celta", "Dimor", "Erlan", "Fostu", "Gorki", "Halma", "Istra", "Jorvi", "Kilda", "Lomza", "Morva", "Nikla",
    ];

    /// Towns that trade with three others each, some by an abbreviation.
    fn towns() -> Graph {
        let mut random = Random::new(&[3]);
        graph((0..TOWNS.len()).map(|at| {
            let other = |step: usize| TOWNS[(at * 7 + step * 11 + 1) % TOWNS.len()];
            let number = |random: &mut Random, most: usize| random.between(1_000, most);
            let facts = [
                ("Name › full", format!("Free Town of {}", TOWNS[at])),
                ("Size › area", format!("{} km", number(&mut random, 900_000))),
                ("Size › people", format!("{}.{} million (2014 est.)", random.between(1, 90), random.between(101, 999))),
                ("Size › income", format!("${}.{} billion (2014) ++ $3.1 billion (2013)", random.between(1, 800), random.between(11, 99))),
                ("Rule › mayor", format!("{}a {}sen", ["An", "Be", "Li", "Mi"][at % 4], TOWNS[TOWNS.len() - 1 - at])),
                ("Rule › founded", format!("{} May {} (by settlers)", at % 28 + 1, 1_300 + 13 * at)),
                ("Rule › freed", format!("{} June {}", at % 28 + 1, 1_500 + (at * 37) % 480)),
                ("Way › to Aldra", format!("{} km", 11 * at + 13)),
                ("Trade › partners", format!("{} 30%, {} 20%, Ys 9%, {} 5%", other(1), other(2), other(3))),
                ("Trade › road", other(4).to_string()),
            ];
            page(TOWNS[at], &facts.iter().map(|(relation, value)| (*relation, value.as_str())).collect::<Vec<_>>())
        }))
    }

    fn made(hops: u8) -> (Graph, Vec<Candidate>) {
        let graph = towns();
        let settings = WalkSettings { hops, count: 60, noun: "town".into() };
        let (made, rejects) = chains(&graph, &settings, &mut Random::new(&[1]));
        assert!(made.len() >= 30, "{} {:?}", made.len(), &rejects[..5]);
        assert!(rejects.iter().all(|reject| !matches!(reject.check, "derivation" | "rule")), "{rejects:?}");
        (graph, made)
    }

    #[test]
    fn chains_lead_over_different_documents_to_an_end_that_is_not_named() {
        for hops in 0..=4 {
            let (graph, made) = made(hops);
            for candidate in &made {
                assert_eq!(candidate.gold.len(), usize::from(hops) + 1);
                let derivation = &candidate.derivation;
                let entities = derivation.facts.iter().map(|fact| fact.subject.as_str());
                for name in entities.chain(derivation.edges.iter().map(|edge| edge.to.as_str())) {
                    assert!(!candidate.question.contains(name), "{name}: {}", candidate.question);
                }
                assert_eq!(candidate.task, if hops < 2 { "reading" } else { "multi_hop" });
                assert!(hops > 1 || candidate.rule == "contain");
                for fact in &derivation.facts {
                    let text = graph.text((0..TOWNS.len()).find(|at| graph.id(*at) == fact.span.doc).unwrap());
                    assert_eq!(&text[fact.span.start..fact.span.end], fact.value);
                }
                let start = graph.text((0..TOWNS.len()).find(|at| graph.id(*at) == candidate.gold[0]).unwrap());
                assert!(
                    hops == 0 || derivation.paradigm != "multi_fact" || !answer::stands_in(&start.to_lowercase(), &candidate.answers[0])
                );
            }
            let of = |paradigm: &str| made.iter().filter(|candidate| candidate.derivation.paradigm == paradigm).count();
            let counts = ["multi_fact", "temporal", "hypothetical"].map(of);
            assert!(hops < 2 || counts.iter().all(|count| *count > 0), "{hops}: {counts:?}");
            let same = |answer: &String| made.iter().filter(|candidate| candidate.answers[0] == *answer).count();
            assert!(made.iter().all(|candidate| same(&candidate.answers[0]) <= 1));
        }
    }

    #[test]
    fn nothing_else_in_the_corpus_fits_and_there_is_no_shorter_way() {
        let (graph, made) = made(3);
        let edges = graph.edges();
        for candidate in &made {
            let derivation = &candidate.derivation;
            // Entities of which every fact that is described could be described in these words.
            let mut fit: Option<Vec<&str>> = None;
            for step in &derivation.obfuscation {
                let said = derivation.facts.iter().find(|fact| fact.id == step.fact).unwrap();
                let same = graph.facts.iter().filter(|fact| fact.relation == said.relation && crate::describe::fits(&fact.value, &step.to));
                let same: Vec<&str> = same.map(|fact| fact.subject.as_str()).collect();
                fit = Some(fit.map_or(same.clone(), |fit| fit.into_iter().filter(|subject| same.contains(subject)).collect()));
            }
            let start = derivation.edges[0].from.as_str();
            assert_eq!(fit, Some(vec![start]), "{}", candidate.question);
            let named: Vec<&str> = derivation.edges.iter().take(3).map(|edge| edge.relation.as_str()).collect();
            let mut near = vec![start];
            for _ in 0..2 {
                let next = edges.iter().filter(|edge| near.contains(&edge.from.as_str()) && named.contains(&edge.relation.as_str()));
                near = next.map(|edge| edge.to.as_str()).chain(near.iter().copied()).collect();
            }
            assert!(!near.contains(&derivation.edges[2].to.as_str()), "{}", candidate.question);
        }
    }

    #[test]
    fn the_answer_follows_from_every_fact_of_the_derivation() {
        let (graph, made) = made(3);
        let mut random = Random::new(&[5]);
        let (mut changed, mut noticed) = (0, 0);
        for candidate in &made {
            let derivation = &candidate.derivation;
            assert_eq!(derive(derivation).as_ref(), Ok(&candidate.answers[0]));
            for at in 0..derivation.facts.len() {
                let others = graph.elsewhere(&derivation.facts[at]);
                let mut other: Derivation = derivation.clone();
                other.facts[at].value = others[random.below(others.len())].clone();
                changed += 1;
                noticed += usize::from(derive(&other).as_ref() != Ok(&candidate.answers[0]));
            }
            let mut broken = derivation.clone();
            broken.walk.remove(0);
            assert!(derive(&broken).is_err());
            broken = derivation.clone();
            broken.facts.pop();
            assert!(derive(&broken).as_ref() != Ok(&candidate.answers[0]));
        }
        assert!(noticed * 100 >= changed * 95, "{noticed} of {changed}");
    }

    #[test]
    fn the_seed_decides() {
        let graph = towns();
        let settings = WalkSettings { count: 5, ..WalkSettings::default() };
        let run = |seed| chains(&graph, &settings, &mut Random::new(&[seed]));
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).0, run(2).0);
    }

    #[test]
    fn where_there_is_no_chain_the_reason_is_given() {
        let none = |graph: &Graph, hops| chains(graph, &WalkSettings { hops, ..WalkSettings::default() }, &mut Random::new(&[1]));
        let (made, rejects) = none(&graph([page("A", &[("Area", "5 km")])]), 2);
        assert!(made.is_empty() && rejects[0].reason.contains("2 links need 3 entities"), "{rejects:?}");
        assert!(none(&Graph::default(), 0).0.is_empty());
        // Nothing is said of these two that is not the same.
        let (made, rejects) = none(&graph([page("A", &[("Area", "5 km")]), page("B", &[("Area", "5 km")])]), 0);
        assert!(made.is_empty() && rejects.iter().any(|reject| reject.check == "unique"), "{:?}", &rejects[..3]);
    }
}

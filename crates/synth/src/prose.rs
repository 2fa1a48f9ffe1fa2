//! Questions from facts of prose: sparse, of all kinds of relations, most of which occur once (§3.2.1).
//!
//! Walks over structured sources live on relations that many entities share. Prose has few: of a mill it tells who founded it, of a
//! printer where he was born, and of a company when it was dissolved. What it has are names that come again:
//!
//! ```text
//! facts ─► Web (whoever is named is an entity; every fact between two leads both ways) ─► walks ─► who the first is, by its own facts
//!                                                                                            └──► what is asked of the last
//! ```
//!
//! Whom a step leads to is asked for by its relation in the document's own terms, "the person who founded A"; a relation that is not known
//! as a verb, a noun or a role stays a label, "the entity given under "founded" for A". Nobody else may fit: neither by this relation nor by one that
//! a reader may take for it, in either direction. Names that may be two people's, or part of another's, are not used.

mod derive;
mod describe;
mod ending;
mod lists;
mod maker;
mod names;
mod near;
mod paths;
mod question;
mod say;
#[cfg(test)]
pub(crate) mod tests;
mod web;
mod words;

use world::Random;

use crate::candidate::{Candidate, Reject};
use crate::graph::{Graph, View};
use crate::walk::WalkSettings;

pub(crate) use derive::{answered, apart, back, described, is_two, links, same};
use maker::{Demands, Maker};
use web::Web;

/// How an edge says that it leads from a fact's value to whom the fact is about.
pub(crate) const BACK: &str = "back";
/// Walks that are looked for, for each question that is wanted.
const TRIES: usize = 30;

/// What facts of prose give, as far as walks over them go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Woven {
    /// Whoever is named.
    pub entities: usize,
    /// Facts between two of them that single out at least one.
    pub links: usize,
    /// Links of the longest walk that was found; 9 is not looked beyond.
    pub longest: usize,
}

/// Whether a model found any of the graph's facts.
pub(crate) fn any(graph: &Graph) -> bool {
    graph.facts.iter().any(|fact| fact.call.is_some())
}

/// What the facts give; none where no model found any.
pub(crate) fn woven(graph: &Graph) -> Option<Woven> {
    any(graph).then(|| {
        let view = View::new(graph);
        let web = Web::new(&view);
        let links: std::collections::BTreeSet<usize> = web.steps.iter().flatten().map(|step| step.fact).collect();
        Woven { entities: web.entities.len(), links: links.len(), longest: paths::longest(&web) }
    })
}

/// Questions with chains of this many links over facts that a model found, and why others were not made.
pub(crate) fn chains(graph: &Graph, settings: &WalkSettings, random: &mut Random) -> (Vec<Candidate>, Vec<Reject>) {
    let view = View::new(graph);
    let web = Web::new(&view);
    let hops = usize::from(settings.hops);
    let walks = if hops == 0 { Vec::new() } else { paths::walks(&web, hops, settings.count.saturating_mul(TRIES), random) };
    if walks.is_empty() {
        let longest = paths::longest(&web);
        let reason = format!(
            "no walk of {hops} links over facts of prose: the longest has {longest}, the largest plan for them is hops = {longest}"
        );
        return (Vec::new(), vec![Reject { check: "path", reason }]);
    }
    let mut maker = Maker::new(&web, settings);
    let (mut made, mut rejects) = (Vec::new(), Vec::new());
    // As many documents as links allow come first, and answers that do not stand where the question begins.
    let demands = [
        Demands { documents: hops + 1, near: false },
        Demands { documents: hops.max(2), near: false },
        Demands { documents: hops.min(2), near: hops == 1 },
    ];
    let mut left = walks;
    for demands in demands {
        rejects.clear();
        let mut again = Vec::new();
        for path in left {
            if made.len() == settings.count {
                break;
            }
            match maker.attempt(&path, demands, random) {
                Ok(candidate) => made.push(candidate),
                Err(reject) => {
                    rejects.push(reject);
                    again.push(path);
                }
            }
        }
        left = again;
    }
    (made, rejects)
}

/// The parts of an answer: two where two facts are asked for together.
pub(crate) fn pair(answers: &[String]) -> Vec<&str> {
    match answers {
        [first, second] if *second == first.replacen(", ", " and ", 1) && first != second => first.splitn(2, ", ").collect(),
        [first, ..] => vec![first],
        [] => Vec::new(),
    }
}

//! What can be asked at the end of a walk over facts of prose.

use world::Random;

use super::paths::Path;
use super::web::{End, Web};
use super::words::{self, Value};
use crate::graph::names;
use crate::walk::{Compute, cause};

/// What is asked; places count along the walk.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Where the last step leads.
    Last,
    /// A fact of the last entity.
    Value(usize),
    /// Two of them together.
    Both(usize, usize),
    /// Two dated facts, each of the entity at a place.
    Compared { compute: Compute, of: [(usize, usize); 2] },
}

/// Pairs of facts that are tried for one walk.
const PAIRS: usize = 3;

impl Ending {
    /// The facts it needs beyond the walk's own.
    pub fn facts(&self) -> Vec<usize> {
        match self {
            Self::Last => Vec::new(),
            Self::Value(fact) => vec![*fact],
            Self::Both(one, other) => vec![*one, *other],
            Self::Compared { of, .. } => of.iter().map(|(_, fact)| *fact).collect(),
        }
    }

    /// The kind of question (§3.2.1).
    pub fn paradigm(&self, web: &Web, path: &Path) -> &'static str {
        let says = |fact: usize| {
            cause(&web.view.graph.facts[fact].relation).is_some() && !matches!(web.spoken(fact).value, Value::Year | Value::Figure)
        };
        match self {
            Self::Last if path.steps.last().is_some_and(|step| says(step.fact)) => "causal",
            Self::Value(fact) if says(*fact) => "causal",
            Self::Compared { .. } => "temporal",
            _ => "multi_fact",
        }
    }
}

/// All endings of a walk, in random order, those of one kind after another by turns.
pub fn endings(web: &Web, path: &Path, random: &mut Random) -> Vec<Ending> {
    let last = path.entities.len() - 1;
    let end = path.entities[last];
    let used: Vec<usize> = path.steps.iter().map(|step| step.fact).collect();
    let own = |place: usize| asked(web, path.entities[place], &used, path);
    let mut facts = own(last);
    random.shuffle(&mut facts);
    let mut kinds: Vec<Vec<Ending>> = vec![facts.iter().map(|fact| Ending::Value(*fact)).collect()];
    if !web.entities[end].generic {
        kinds.push(vec![Ending::Last]);
    }
    let pairs = facts.iter().enumerate().flat_map(|(at, one)| facts[..at].iter().map(|other| (*one, *other)));
    // Two of the same relation would be asked for in the same words.
    let apart = |(one, other): &(usize, usize)| !web.relation(*one).near(web.relation(*other));
    kinds.push(pairs.filter(apart).take(PAIRS).map(|(one, other)| Ending::Both(one, other)).collect());
    let dated = |fact: &usize| web.spoken(*fact).value == Value::Year;
    let mut compared = Vec::new();
    for (place, other) in (0..=last).flat_map(|place| own(place).into_iter().map(move |fact| (place, fact))).filter(|(_, fact)| dated(fact))
    {
        for &fact in facts.iter().filter(|fact| **fact != other && dated(fact)) {
            let named = |at: usize| !web.entities[path.entities[at]].generic;
            let compute = match random.below(4) {
                0 if place != last && named(place) && named(last) => Compute::Earlier,
                1 if place != last && named(place) && named(last) => Compute::Later,
                _ => Compute::Years,
            };
            compared.push(Ending::Compared { compute, of: [(place, other), (last, fact)] });
        }
    }
    random.shuffle(&mut compared);
    compared.truncate(PAIRS);
    kinds.push(compared);
    random.shuffle(&mut kinds);
    let longest = kinds.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|at| kinds.iter().filter_map(move |kind| kind.get(at).cloned())).collect()
}

/// Facts about an entity that can be asked for: found by a model, with one answer, and not of whom the walk passes.
fn asked(web: &Web, entity: usize, used: &[usize], path: &Path) -> Vec<usize> {
    let fits = |fact: &usize| {
        let said = &web.view.graph.facts[*fact];
        let passed = web.end(*fact, End::Value).is_some_and(|value| path.entities.contains(&value) || web.entities[value].doubtful);
        let own = || names::has(&names::key(&said.value), &names::key(&web.entities[entity].name));
        web.made(*fact)
            && web.end(*fact, End::Subject) == Some(entity)
            && !used.contains(fact)
            && !passed
            && web.alone(*fact)
            && !own()
            && words::answered(&said.relation, &said.value).is_some()
    };
    web.at[entity].iter().copied().filter(fits).collect()
}

//! What is asked of the end of a walk.

use std::collections::BTreeMap;

use world::Random;

use super::answer::{self, answer, phrase};
use super::cause::cause;
use super::compute::{Compute, Factor};
use super::paths::Path;
use crate::graph::View;

/// What is asked: places count along the walk.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// A fact of the last entity.
    Value { fact: usize },
    /// What the last entity is called.
    Title,
    /// Something computed from facts of one or two entities.
    Computed { compute: Compute, of: Vec<(usize, usize)> },
}

/// The commonest value of a relation that is asked for may have at most one in so many entities.
const VARIED: usize = 20;
/// And the commonest year, where years are compared.
const SPREAD: usize = 8;
/// A relation that is asked for is known of at least one in so many entities, or of fifty: the words of a rarer one point to them.
const KNOWN: usize = 20;
const KNOWN_OF: usize = 50;

/// Chooses endings.
pub struct Endings<'a> {
    view: &'a View<'a>,
    /// Whether a relation's answers vary enough to be asked for.
    varied: BTreeMap<usize, bool>,
    /// Whether its years do.
    dated: BTreeMap<usize, bool>,
    /// Nodes with a fact that a model found and that says what caused what; its relation and the fact.
    causal: BTreeMap<usize, Vec<(usize, usize)>>,
}

impl<'a> Endings<'a> {
    pub fn new(view: &'a View<'a>) -> Self {
        let made = |fact: usize| view.graph.facts[fact].call.is_some();
        let says =
            |(relation, fact): (&usize, &usize)| (made(*fact) && cause(view.relation(*relation)).is_some()).then_some((*relation, *fact));
        let of = |node: usize| (node, view.nodes[node].facts.iter().filter_map(says).collect::<Vec<_>>());
        let causal = (0..view.nodes.len()).map(of).filter(|(_, facts)| !facts.is_empty()).collect();
        Self { view, varied: BTreeMap::new(), dated: BTreeMap::new(), causal }
    }

    /// Whether it can be asked what caused the end of this walk, or what it caused.
    pub fn causal(&self, path: &Path) -> bool {
        path.nodes.last().is_some_and(|end| self.causal.contains_key(end))
    }

    /// An ending of this paradigm, none of whose relations is in `named`. `text`: the answer is no number.
    pub fn choose(&mut self, paradigm: &str, path: &Path, named: &[usize], text: bool, random: &mut Random) -> Option<Ending> {
        match paradigm {
            "temporal" => self.temporal(path, named, random),
            "hypothetical" => self.hypothetical(path, named, random),
            "causal" => self.cause(path, named, random),
            _ => self.value(path, named, text, random),
        }
    }

    fn value(&mut self, path: &Path, named: &[usize], text: bool, random: &mut Random) -> Option<Ending> {
        let draw = random.unit();
        if draw < 0.12 {
            return Some(Ending::Title);
        }
        let number = !text && draw < 0.65;
        let end = path.nodes[path.nodes.len() - 1];
        let mut facts: Vec<(usize, usize)> = self.view.nodes[end].facts.iter().map(|(relation, fact)| (*relation, *fact)).collect();
        facts.retain(|(relation, _)| !named.contains(relation) && !self.view.aliases.contains(relation));
        random.shuffle(&mut facts);
        let fits = |fact: usize| answer(&self.view.graph.facts[fact].value).is_some_and(|answer| answer.number == number);
        let found: Vec<(usize, usize)> = facts.into_iter().filter(|(_, fact)| fits(*fact)).collect();
        found.into_iter().find(|(relation, _)| self.varied(*relation)).map(|(_, fact)| Ending::Value { fact })
    }

    /// What caused the end, or what it caused.
    fn cause(&self, path: &Path, named: &[usize], random: &mut Random) -> Option<Ending> {
        let facts = self.causal.get(path.nodes.last()?)?;
        let fits = |fact: usize| phrase(&self.view.graph.facts[fact].value).is_some();
        let found: Vec<usize> =
            facts.iter().filter(|(relation, fact)| !named.contains(relation) && fits(*fact)).map(|(_, fact)| *fact).collect();
        (!found.is_empty()).then(|| Ending::Value { fact: found[random.below(found.len())] })
    }

    /// Whether no answer of a relation is so common that it could be guessed.
    fn varied(&mut self, relation: usize) -> bool {
        let view = self.view;
        *self.varied.entry(relation).or_insert_with(|| {
            let having = &view.having[relation];
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for node in having {
                if let Some(answer) = answer(&view.graph.facts[view.nodes[*node].facts[&relation]].value) {
                    *counts.entry(answer.text.to_lowercase()).or_default() += 1;
                }
            }
            let commonest = counts.values().copied().max().unwrap_or(0);
            let answers: usize = counts.values().sum();
            let known = having.len() > 1 && (having.len() * KNOWN >= view.nodes.len() || having.len() >= KNOWN_OF);
            known && answers * 2 >= having.len() && commonest <= (answers / VARIED).max(1)
        })
    }

    /// Whether the years of a relation are spread out: since when people hold an office, they hold it a year or two.
    fn dated(&mut self, relation: usize) -> bool {
        let view = self.view;
        *self.dated.entry(relation).or_insert_with(|| {
            let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
            for node in &view.having[relation] {
                if let Some(year) = answer::year(&view.graph.facts[view.nodes[*node].facts[&relation]].value) {
                    *counts.entry(year).or_default() += 1;
                }
            }
            let years: usize = counts.values().sum();
            years > 1 && years * 2 >= view.having[relation].len() && counts.values().copied().max().unwrap_or(0) <= (years / SPREAD).max(1)
        })
    }

    /// Years of one relation at two places of the walk, one of them its end, or of two relations at its end.
    fn temporal(&mut self, path: &Path, named: &[usize], random: &mut Random) -> Option<Ending> {
        let dated = |fact: usize| answer::year(&self.view.graph.facts[fact].value).is_some();
        let last = path.nodes.len() - 1;
        let mut own = self.own(path, last, named, &dated);
        own.retain(|(relation, _)| self.dated(*relation));
        if own.len() > 1 && random.chance(0.25) {
            let mut two = own.clone();
            random.shuffle(&mut two);
            return Some(Ending::Computed { compute: Compute::Years, of: vec![(last, two[0].1), (last, two[1].1)] });
        }
        let of = self.pair(path, &own, &dated, random)?;
        let compute = match random.below(6) {
            0 => Compute::Earlier,
            1 => Compute::Later,
            _ => Compute::Years,
        };
        Some(Ending::Computed { compute, of })
    }

    fn hypothetical(&mut self, path: &Path, named: &[usize], random: &mut Random) -> Option<Ending> {
        let figure = |fact: usize| answer::figure(&self.view.graph.facts[fact].value).is_some();
        let last = path.nodes.len() - 1;
        let mut own = self.own(path, last, named, &figure);
        own.retain(|(relation, _)| self.varied(*relation));
        let factor = random.pick(&Factor::ALL);
        if random.chance(0.3) {
            let (_, fact) = *own.get(random.below(own.len()))?;
            return Some(Ending::Computed { compute: Compute::If(factor), of: vec![(last, fact)] });
        }
        let mut of = self.pair(path, &own, &figure, random)?;
        if random.chance(0.5) {
            of.reverse();
        }
        let compute = if random.chance(0.3) { Compute::LargerIf(factor) } else { Compute::DifferenceIf(factor) };
        Some(Ending::Computed { compute, of })
    }

    /// (relation, fact) of a place that are fit to be compared.
    fn own(&self, path: &Path, place: usize, named: &[usize], fit: &dyn Fn(usize) -> bool) -> Vec<(usize, usize)> {
        let facts = self.view.nodes[path.nodes[place]].facts.iter().map(|(relation, fact)| (*relation, *fact));
        let known = |relation: usize| self.view.having[relation].len() * KNOWN >= self.view.nodes.len();
        facts.filter(|(relation, fact)| !named.contains(relation) && known(*relation) && fit(*fact)).collect()
    }

    /// One of the end's facts and the same relation's of an entity before it.
    fn pair(&self, path: &Path, own: &[(usize, usize)], fit: &dyn Fn(usize) -> bool, random: &mut Random) -> Option<Vec<(usize, usize)>> {
        let last = path.nodes.len() - 1;
        let (relation, fact) = *own.get(random.below(own.len()))?;
        let mut pairs = Vec::new();
        for place in 0..last {
            if let Some(other) = self.view.nodes[path.nodes[place]].facts.get(&relation).filter(|fact| fit(**fact)) {
                pairs.push(vec![(place, *other), (last, fact)]);
            }
        }
        let at = random.below(pairs.len());
        (!pairs.is_empty()).then(|| pairs.swap_remove(at))
    }
}

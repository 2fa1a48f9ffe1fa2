//! Vague descriptions: what is described is never named, and nothing else in the corpus fits.

mod form;
mod spell;

use std::collections::BTreeMap;

use world::Random;

use crate::graph::{View, names};
use form::Reading;

pub(crate) use form::{Form, fits, forms, read as reading};
pub(crate) use spell::exact;

/// Facts of a description.
const MOST: usize = 3;
/// Combinations of facts that are tried.
const TRIES: usize = 16;
/// Times that all of them may fail for an entity before it is given up.
const FAILED: usize = 8;
/// Entities whose values cannot be read, and which may therefore fit: a context must be without them.
const UNREAD: usize = 3;
/// Entities that a relation must be known of: with fewer, the relation's own words point to them.
const KNOWN: usize = 3;

/// One fact, said vaguely.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    pub fact: usize,
    pub relation: usize,
    /// The value has figures of several years, of which the last is meant.
    pub latest: bool,
    pub form: Form,
}

/// What is said of an entity instead of its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub clauses: Vec<Clause>,
    /// Entities that fit as far as can be read, and whose value of some relation cannot be: a reader might take them for the one meant.
    pub unread: Vec<usize>,
}

/// Describes entities of a graph.
pub struct Describer<'a> {
    view: &'a View<'a>,
    /// What each node's value of a relation reads as.
    readings: BTreeMap<usize, Vec<(usize, Option<Reading>)>>,
    /// How often a node was not to be described.
    failed: BTreeMap<usize, usize>,
}

impl<'a> Describer<'a> {
    pub fn new(view: &'a View<'a>) -> Self {
        Self { view, readings: BTreeMap::new(), failed: BTreeMap::new() }
    }

    /// One to three facts of `node`, none of the relations in `avoid`, which together fit no other entity; `undated`: none of them a year.
    /// `None` where there are none.
    pub fn describe(&mut self, node: usize, avoid: &[usize], undated: bool, random: &mut Random) -> Option<Description> {
        let view = self.view;
        if self.failed.get(&node).is_some_and(|failed| *failed >= FAILED) {
            return None;
        }
        let known = |relation: usize| view.having[relation].len() >= KNOWN.min(view.nodes.len());
        let mut told: Vec<(usize, usize)> = view.nodes[node].facts.iter().map(|(relation, fact)| (*relation, *fact)).collect();
        told.retain(|(relation, _)| !avoid.contains(relation) && !view.aliases.contains(relation) && known(*relation));
        for attempt in 0..TRIES {
            random.shuffle(&mut told);
            // One that everything can be read of is looked for first.
            let unread = if attempt < TRIES / 2 { 0 } else { UNREAD };
            if let Some(description) = self.tell(node, &told, undated, unread, random) {
                return Some(description);
            }
        }
        *self.failed.entry(node).or_default() += 1;
        None
    }

    /// Adds facts in this order, each of which must rule something out, until one entity is left.
    fn tell(
        &mut self,
        node: usize,
        order: &[(usize, usize)],
        undated: bool,
        most_unread: usize,
        random: &mut Random,
    ) -> Option<Description> {
        let own = names::key(&self.view.nodes[node].title);
        let mut clauses: Vec<Clause> = Vec::new();
        // (node, whether all of its values could be read)
        let mut left: Vec<(usize, bool)> = Vec::new();
        for &(relation, fact) in order {
            if names::has(&names::key(&self.view.graph.facts[fact].value), &own) {
                continue;
            }
            let readings = self.readings(relation);
            let Ok(place) = readings.binary_search_by_key(&node, |reading| reading.0) else { continue };
            let Some(reading) = readings[place].1.clone().filter(|reading| !undated || !matches!(reading, Reading::Year(_))) else {
                continue;
            };
            let forms = form::forms(&reading);
            let Some(form) = forms.get(random.below(forms.len())).cloned() else { continue };
            let fitting = self.fitting(relation, &form);
            let narrowed: Vec<(usize, bool)> = match clauses.is_empty() {
                true => fitting,
                false => {
                    let fits = |at: usize| fitting.binary_search_by_key(&at, |fit| fit.0).ok().map(|found| fitting[found].1);
                    left.iter().filter_map(|&(at, read)| fits(at).map(|other| (at, read && other))).collect()
                }
            };
            if !clauses.is_empty() && narrowed.len() == left.len() {
                continue;
            }
            let latest = matches!(reading, Reading::Number { latest: true, .. });
            clauses.push(Clause { fact, relation, latest, form });
            left = narrowed;
            let unread: Vec<usize> = left.iter().filter(|(at, read)| !read && *at != node).map(|(at, _)| *at).collect();
            if left.len() == unread.len() + 1 && left.contains(&(node, true)) && unread.len() <= most_unread {
                return Some(Description { clauses, unread });
            }
            if clauses.len() == MOST {
                return None;
            }
        }
        None
    }

    /// Nodes that a reader might think to fit, ascending: (node, whether its value can be read). Those with no such fact do not fit.
    fn fitting(&mut self, relation: usize, form: &Form) -> Vec<(usize, bool)> {
        let fits = self.readings(relation).iter().filter(|(_, reading)| reading.as_ref().is_none_or(|reading| form.near(reading)));
        fits.map(|(node, reading)| (*node, reading.is_some())).collect()
    }

    fn readings(&mut self, relation: usize) -> &[(usize, Option<Reading>)] {
        let view = self.view;
        self.readings.entry(relation).or_insert_with(|| {
            let value = |node: usize| view.graph.facts[view.nodes[node].facts[&relation]].value.as_str();
            // 1957 is a number where there is a 957 or a 19,570.
            let number = |node: &usize| form::is_bare(value(*node)) && !matches!(form::read(value(*node), false), Some(Reading::Year(_)));
            let number = view.having[relation].iter().any(number);
            view.having[relation].iter().map(|node| (*node, form::read(value(*node), number))).collect()
        })
    }
}

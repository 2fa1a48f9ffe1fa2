//! What a graph has, and why it has no longer walks.

use std::collections::BTreeMap;

use super::{Graph, View};
use crate::prose::{Woven, woven};

/// Steps that a search for walks may take before it stops with what it found.
const STEPS: usize = 500_000;
/// Walks of more links are not looked for.
const LONGEST: usize = 12;

/// What a graph has, and what stands in the way of longer paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphReport {
    /// Documents.
    pub documents: usize,
    /// Documents, and rows about something else.
    pub entities: usize,
    /// Facts.
    pub facts: usize,
    /// Links.
    pub edges: usize,
    /// Links by relation.
    pub relations: BTreeMap<String, usize>,
    /// Names in linking relations that are no entity, or may be two, and how often each stands there.
    pub unresolved: BTreeMap<String, usize>,
    /// Entities without any link.
    pub alone: usize,
    /// Links of the longest walk that was found over entities of which none comes twice; 12 is not looked beyond.
    pub longest: usize,
    /// What the facts that a model found give beyond that; none where there are none.
    pub prose: Option<Woven>,
}

/// Whether chains of some length can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feasible {
    /// Walks of that many links over different entities, as far as they were counted.
    pub walks: usize,
    /// There are more: counting stopped.
    pub more: bool,
    /// What is missing, where there is none. Nothing is said where counting stopped before one was found.
    pub short: Option<String>,
}

impl Graph {
    /// Counts, for a person to see what the corpus gives.
    pub fn report(&self) -> GraphReport {
        let view = View::new(self);
        let mut relations: BTreeMap<String, usize> = BTreeMap::new();
        for link in &view.links {
            *relations.entry(view.relation(link.relation).to_string()).or_default() += 1;
        }
        GraphReport {
            documents: self.documents.len(),
            entities: view.nodes.len(),
            facts: self.facts.len(),
            edges: view.links.len(),
            relations,
            alone: (0..view.nodes.len()).filter(|node| view.out[*node].is_empty() && view.into[*node].is_empty()).count(),
            longest: (1..=LONGEST).take_while(|links| count(&view, *links, 1).0 > 0).count(),
            unresolved: view.unresolved,
            prose: woven(self),
        }
    }

    /// How many walks of `hops` links there are, counted up to `cap`, and what is missing where there is none.
    pub fn feasible(&self, hops: u8, cap: usize) -> Feasible {
        let view = View::new(self);
        let hops = usize::from(hops);
        let (walks, more) = count(&view, hops, cap);
        Feasible { walks, more, short: (walks == 0 && !more).then(|| short(&view, hops)) }
    }
}

/// Why there is no walk of so many links.
fn short(view: &View, hops: usize) -> String {
    let (nodes, links) = (view.nodes.len(), view.links.len());
    if nodes <= hops {
        return format!("{hops} links need {} entities, and there are {nodes}", hops + 1);
    }
    if view.graph.facts.is_empty() {
        return "no document states facts that can be read without a model: there are no keys, columns or headings with values".into();
    }
    if links == 0 {
        let unresolved = view.unresolved.values().sum::<usize>();
        return format!("no value names another document by its title or an alias ({unresolved} names in lists are no document)");
    }
    let longest = (1..hops).take_while(|links| count(view, *links, 1).0 > 0).count();
    let alone = (0..nodes).filter(|node| view.out[*node].is_empty()).count();
    format!("the longest walk found has {longest} links; {alone} of {nodes} entities link to no other")
}

/// Walks of so many links over different nodes, up to `cap`, and whether there may be more.
fn count(view: &View, hops: usize, cap: usize) -> (usize, bool) {
    let (mut walks, mut steps) = (0, 0);
    for start in 0..view.nodes.len() {
        let mut path = vec![(start, 0)];
        while let Some(&(node, next)) = path.last() {
            if path.len() == hops + 1 {
                walks += 1;
                path.pop();
                if walks >= cap {
                    return (walks, true);
                }
                continue;
            }
            let Some(&link) = view.out[node].get(next) else {
                path.pop();
                continue;
            };
            let last = path.len() - 1;
            path[last].1 += 1;
            steps += 1;
            if steps > STEPS {
                return (walks, true);
            }
            let to = view.links[link].to;
            if path.iter().all(|(seen, _)| *seen != to) {
                path.push((to, 0));
            }
        }
    }
    (walks, false)
}

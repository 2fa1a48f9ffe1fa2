//! A graph with its names looked up: what walks go over.

use std::collections::{BTreeMap, BTreeSet};

use data::{Edge, Fact};

use super::picks::Which;
use super::{By, Claim, Graph, edge_id, names};

/// A relation gives aliases where at least this share of its names, of those that only one entity has, repeat the title. In the World
/// Factbook 87 % of long forms do so, 43 and 47 % of local forms, and 23 % of former names.
const REPEATS: f64 = 0.4;
/// It gives one to at least one in so many entities.
const GIVEN: usize = 20;
/// A relation links where at least this share of the names in its values are entities. Below it those are chance: a language or a
/// harbour with a country's name.
const NAMES_ENTITIES: f64 = 0.5;

/// A link between two nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub from: usize,
    pub to: usize,
    pub relation: usize,
    pub which: Which,
    /// The fact that names the other, and the one that says that it goes by that name, where the title does not.
    pub facts: Vec<usize>,
}

/// An entity as it is walked over.
#[derive(Debug)]
pub struct Node {
    pub title: String,
    /// The number of its document.
    pub home: usize,
    /// A document, not a row.
    pub whole: bool,
    /// Its fact of each relation that it has one of.
    pub facts: BTreeMap<usize, usize>,
}

/// Entities, links and who is linked to whom.
#[derive(Debug)]
pub struct View<'a> {
    pub graph: &'a Graph,
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    /// Links that leave and that reach each node.
    pub out: Vec<Vec<usize>>,
    pub into: Vec<Vec<usize>>,
    /// The nodes that have one fact of each relation.
    pub having: Vec<Vec<usize>>,
    /// Relations that give aliases, and those that link.
    pub aliases: BTreeSet<usize>,
    pub linking: Vec<usize>,
    /// Names in linking relations that are no entity, and how often.
    pub unresolved: BTreeMap<String, usize>,
    node_of: Vec<usize>,
    /// Facts that come first of several of one relation: a list with a fact for each entry.
    firsts: BTreeSet<usize>,
}

impl<'a> View<'a> {
    /// Looks up every name once: linear in the graph.
    pub fn new(graph: &'a Graph) -> Self {
        let (node_of, nodes, firsts) = nodes(graph);
        let mut having = vec![Vec::new(); graph.relations.shown.len()];
        for (at, node) in nodes.iter().enumerate() {
            node.facts.keys().for_each(|relation| having[*relation].push(at));
        }
        let (out, into) = (vec![Vec::new(); nodes.len()], vec![Vec::new(); nodes.len()]);
        let aliases = aliases(graph);
        let mut view = Self {
            graph,
            nodes,
            links: Vec::new(),
            out,
            into,
            having,
            aliases,
            linking: Vec::new(),
            unresolved: BTreeMap::new(),
            node_of,
            firsts,
        };
        view.link();
        view
    }

    /// The node a name means, and the fact that says so where the title does not. `None` where it means none, or two.
    fn resolve(&self, name: &str) -> Option<(usize, Option<usize>)> {
        let claims: Vec<&Claim> = names::mention(name).iter().filter_map(|key| self.graph.claims.get(key)).flatten().collect();
        let node = |claim: &&Claim| self.node_of[claim.entity];
        let one = |mut nodes: Vec<usize>| {
            nodes.sort_unstable();
            nodes.dedup();
            (nodes.len() == 1).then(|| nodes[0])
        };
        // A whole title is meant before any alias, a document before a row.
        for whole in [true, false] {
            let titled = |claim: &&&Claim| claim.by == By::Title && self.nodes[node(claim)].whole == whole;
            let titled: Vec<usize> = claims.iter().filter(titled).map(node).collect();
            if !titled.is_empty() {
                return one(titled).map(|node| (node, None));
            }
        }
        let counts: Vec<&Claim> = claims.into_iter().filter(|claim| self.counts(claim)).collect();
        let found = one(counts.iter().map(node).collect())?;
        let fact = |claim: &&Claim| match claim.by {
            By::Title | By::Reading => None,
            By::Fact { fact, .. } | By::Acronym { fact, .. } => Some(fact),
        };
        Some((found, if counts.iter().any(|claim| claim.by == By::Reading) { None } else { counts.iter().find_map(fact) }))
    }

    fn counts(&self, claim: &Claim) -> bool {
        match claim.by {
            By::Title | By::Reading | By::Acronym { of: None, .. } => true,
            By::Fact { fact, .. } | By::Acronym { of: Some(fact), .. } => self.aliases.contains(&self.graph.relation_of[fact]),
        }
    }

    fn link(&mut self) {
        let graph = self.graph;
        let mut lookup: BTreeMap<&str, Option<(usize, Option<usize>)>> = BTreeMap::new();
        // (names, those that are entities) of each relation.
        let mut shares = vec![(0usize, 0usize); graph.relations.shown.len()];
        for naming in &graph.naming {
            let share = &mut shares[graph.relation_of[naming.fact]];
            for name in &naming.names {
                share.0 += 1;
                share.1 += usize::from(lookup.entry(name).or_insert_with(|| self.resolve(name)).is_some());
            }
        }
        for naming in &graph.naming {
            let relation = graph.relation_of[naming.fact];
            let (all, entities) = shares[relation];
            let from = self.node_of[graph.entity_of[naming.fact]];
            // An alias names its own entity, whatever else goes by it.
            if entities == 0 || (entities as f64) < NAMES_ENTITIES * all as f64 || self.aliases.contains(&relation) {
                continue;
            }
            for name in naming.names.iter().filter(|name| lookup[name.as_str()].is_none()) {
                *self.unresolved.entry(name.clone()).or_default() += 1;
            }
            let first = self.firsts.contains(&naming.fact) && naming.names.len() == 1;
            if !first && self.nodes[from].facts.get(&relation) != Some(&naming.fact) {
                continue;
            }
            for &(which, at) in &naming.picks {
                let which = if first { Which::First } else { which };
                let Some((to, alias)) = naming.names.get(at).and_then(|name| lookup[name.as_str()]).filter(|(to, _)| *to != from) else {
                    continue;
                };
                let number = self.links.len();
                self.out[from].push(number);
                self.into[to].push(number);
                self.links.push(Link { from, to, relation, which, facts: [naming.fact].into_iter().chain(alias).collect() });
            }
        }
        self.linking = self.links.iter().map(|link| link.relation).collect::<BTreeSet<_>>().into_iter().collect();
    }

    /// A relation as it is spelled.
    pub fn relation(&self, relation: usize) -> &'a str {
        &self.graph.relations.shown[relation]
    }

    /// A fact as it stands in a derivation: about a document by its title, whatever the row calls it.
    pub fn fact(&self, fact: usize) -> Fact {
        Fact { subject: self.nodes[self.node_of[self.graph.entity_of[fact]]].title.clone(), ..self.graph.facts[fact].clone() }
    }

    /// A link as it stands in a derivation.
    pub fn edge(&self, link: &Link) -> Edge {
        let mut edge = Edge {
            id: String::new(),
            from: self.nodes[link.from].title.clone(),
            relation: self.relation(link.relation).to_string(),
            which: link.which.to_string(),
            to: self.nodes[link.to].title.clone(),
            facts: link.facts.iter().map(|fact| self.graph.facts[*fact].id.clone()).collect(),
        };
        edge.id = edge_id(&edge);
        edge
    }

    /// The number of the document a fact stands in.
    pub fn document_of(&self, fact: usize) -> usize {
        let home = self.nodes[self.node_of[self.graph.entity_of[fact]]].home;
        self.graph.ids.get(&self.graph.facts[fact].span.doc).copied().unwrap_or(home)
    }

    /// What a node goes by: its title first, then aliases that mean no other.
    pub fn names(&self, node: usize) -> Vec<String> {
        let mut out = vec![self.nodes[node].title.clone()];
        for (relation, fact) in &self.nodes[node].facts {
            let value = self.graph.facts[*fact].value.trim();
            let aliases: Vec<String> = match self.aliases.contains(relation) && names::is_name(value) {
                true => vec![value.to_string()],
                false => names::acronyms(value),
            };
            out.extend(aliases.into_iter().filter(|alias| self.resolve(alias).is_some_and(|(meant, _)| meant == node)));
        }
        let mut seen = BTreeSet::new();
        out.retain(|name| seen.insert(name.clone()));
        out
    }
}

/// The node of each entity, the nodes, and the first facts of lists. A row about a document is that document.
fn nodes(graph: &Graph) -> (Vec<usize>, Vec<Node>, BTreeSet<usize>) {
    let mut same: Vec<usize> = (0..graph.entities.len()).collect();
    for (key, &row) in &graph.rows {
        let by_title = || {
            let claims = graph.claims.get(key)?.iter();
            let mut titled = claims.filter(|claim| claim.by == By::Title && graph.entities[claim.entity].whole).map(|claim| claim.entity);
            titled.next().filter(|_| titled.next().is_none())
        };
        // A table names a document by its file; prose that has the same word means something else.
        let table = || graph.entities[row].facts.iter().all(|fact| graph.facts[*fact].call.is_none());
        let by_stem = || graph.stems.get(key).filter(|found| found.len() == 1 && table()).map(|found| found[0]);
        same[row] = by_title().or_else(by_stem).unwrap_or(row);
    }
    let mut node_of = vec![0; same.len()];
    let mut nodes = Vec::new();
    for (at, entity) in graph.entities.iter().enumerate().filter(|(at, _)| same[*at] == *at) {
        node_of[at] = nodes.len();
        nodes.push(Node { title: entity.title.clone(), home: entity.home, whole: entity.whole, facts: BTreeMap::new() });
    }
    // The facts of each node and relation.
    let mut facts: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for at in 0..same.len() {
        node_of[at] = node_of[same[at]];
        for &fact in &graph.entities[at].facts {
            facts.entry((node_of[at], graph.relation_of[fact])).or_default().push(fact);
        }
    }
    let mut firsts = BTreeSet::new();
    for ((node, relation), facts) in facts {
        let document = |fact: &usize| graph.facts[*fact].span.doc.as_str();
        // A model may have missed the one that stands first.
        let listed = facts.iter().all(|fact| graph.facts[*fact].call.is_none());
        match &facts[..] {
            [fact] => drop(nodes[node].facts.insert(relation, *fact)),
            [first, rest @ ..] if listed && rest.iter().all(|fact| document(fact) == document(first)) => drop(firsts.insert(*first)),
            _ => {}
        }
    }
    (node_of, nodes, firsts)
}

/// Relations most of whose values repeat the title of what they are about.
fn aliases(graph: &Graph) -> BTreeSet<usize> {
    // (names that one entity has alone, those of them that repeat its title) of each relation.
    let mut counts: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for claims in graph.claims.values() {
        let mut here: BTreeMap<usize, (usize, bool, usize)> = BTreeMap::new();
        for claim in claims {
            if let By::Fact { fact, repeats } = claim.by {
                let seen = here.entry(graph.relation_of[fact]).or_insert((claim.entity, repeats, 0));
                seen.1 |= repeats;
                seen.2 += usize::from(seen.0 != claim.entity);
            }
        }
        for (relation, (_, repeats, others)) in here {
            if others == 0 {
                let count = counts.entry(relation).or_default();
                count.0 += 1;
                count.1 += usize::from(repeats);
            }
        }
    }
    let gives = |(alone, repeat): &(usize, usize)| {
        *repeat > 1 && *repeat as f64 >= REPEATS * *alone as f64 && alone * GIVEN >= graph.entities.len()
    };
    counts.into_iter().filter(|(_, count)| gives(count)).map(|(relation, _)| relation).collect()
}

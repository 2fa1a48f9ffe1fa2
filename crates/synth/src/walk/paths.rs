//! Walks over links: at random from a start, and by breadth-first search towards a target (§3.2.1 of the paper).

use std::collections::BTreeSet;

use world::Random;

use crate::graph::{Link, View};

/// A walk: one node more than links, none twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    pub nodes: Vec<usize>,
    pub links: Vec<usize>,
}

/// How often in a row the same relation may be followed in the same way.
const IN_A_ROW: usize = 2;
/// Relations of the part of the graph that a target's walks go over.
const RELATIONS: usize = 3;

/// From `start`, each link at random among those that lead somewhere new.
pub fn random_walk(view: &View, start: usize, hops: usize, random: &mut Random) -> Option<Path> {
    let mut path = Path { nodes: vec![start], links: Vec::new() };
    while path.links.len() < hops {
        let here = path.nodes[path.nodes.len() - 1];
        let fits = |link: &usize| !path.nodes.contains(&view.links[*link].to) && !monotonous(view, &path.links, *link);
        let link = one_of(&view.out[here], fits, random)?;
        path.links.push(link);
        path.nodes.push(view.links[link].to);
    }
    Some(path)
}

/// To `target`: breadth first against the links of up to three relations, from as far as `hops` links and no nearer; then back by links
/// chosen at random. Within those relations there is no shorter way.
pub fn towards(view: &View, target: usize, hops: usize, random: &mut Random) -> Option<Path> {
    let relations = relations(view, target, random)?;
    let mut distance: Vec<Option<usize>> = vec![None; view.nodes.len()];
    distance[target] = Some(0);
    let (mut ring, mut seen) = (vec![target], 0);
    while seen < hops {
        let mut next = Vec::new();
        for node in ring {
            for link in view.into[node].iter().map(|link| &view.links[*link]).filter(|link| relations.contains(&link.relation)) {
                if distance[link.from].is_none() {
                    distance[link.from] = Some(seen + 1);
                    next.push(link.from);
                }
            }
        }
        ring = next;
        seen += 1;
    }
    if ring.is_empty() {
        return None;
    }
    let mut path = Path { nodes: vec![ring[random.below(ring.len())]], links: Vec::new() };
    for left in (0..hops).rev() {
        let here = path.nodes[path.nodes.len() - 1];
        let nearer = |link: &usize| {
            let Link { to, relation, .. } = view.links[*link];
            relations.contains(&relation) && distance[to] == Some(left) && !monotonous(view, &path.links, *link)
        };
        let link = one_of(&view.out[here], nearer, random)?;
        path.links.push(link);
        path.nodes.push(view.links[link].to);
    }
    Some(path)
}

/// One of the links that may be taken.
fn one_of(links: &[usize], may: impl Fn(&usize) -> bool, random: &mut Random) -> Option<usize> {
    let onward: Vec<usize> = links.iter().copied().filter(may).collect();
    if onward.is_empty() { None } else { Some(onward[random.below(onward.len())]) }
}

/// A few relations, one of which leads to the target.
fn relations(view: &View, target: usize, random: &mut Random) -> Option<BTreeSet<usize>> {
    let into = &view.into[target];
    if into.is_empty() {
        return None;
    }
    let mut out = BTreeSet::from([view.links[into[random.below(into.len())]].relation]);
    for _ in 1..random.between(1, RELATIONS) {
        out.insert(view.linking[random.below(view.linking.len())]);
    }
    Some(out)
}

fn monotonous(view: &View, links: &[usize], next: usize) -> bool {
    let way = |link: &usize| (view.links[*link].relation, view.links[*link].which);
    links.len() >= IN_A_ROW && links[links.len() - IN_A_ROW..].iter().all(|link| way(link) == way(&next))
}

/// Links of the shortest way from the walk's start to its end over these relations, if that is shorter than the walk.
pub fn shortcut(view: &View, path: &Path, relations: &[usize]) -> Option<usize> {
    let (start, end) = (path.nodes[0], path.nodes[path.nodes.len() - 1]);
    let mut seen = BTreeSet::from([start]);
    let mut ring = vec![start];
    for links in 1..path.links.len() {
        let mut next = Vec::new();
        for node in ring {
            for link in view.out[node].iter().map(|link| &view.links[*link]).filter(|link| relations.contains(&link.relation)) {
                if link.to == end {
                    return Some(links);
                }
                if seen.insert(link.to) {
                    next.push(link.to);
                }
            }
        }
        ring = next;
    }
    None
}

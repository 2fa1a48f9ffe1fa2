//! Walks over facts of prose.

use std::collections::BTreeSet;

use world::Random;

use super::web::{End, Step, Web};

/// A walk: one entity more than steps, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub entities: Vec<usize>,
    pub steps: Vec<Step>,
}

/// Steps that a search may take for each walk that is wanted, and at least.
const SEARCHED: usize = 200;
const LEAST: usize = 20_000;
/// Longer walks are not looked for.
const LONGEST: usize = 9;

/// Up to `most` walks of so many steps: about as many from each entity, in random order.
pub fn walks(web: &Web, hops: usize, most: usize, random: &mut Random) -> Vec<Path> {
    let mut starts: Vec<usize> = (0..web.entities.len()).filter(|at| !web.steps[*at].is_empty()).collect();
    random.shuffle(&mut starts);
    let each = most.div_ceil(starts.len().max(1));
    let mut left = (most * SEARCHED).max(LEAST);
    let mut out = Vec::new();
    for start in starts {
        let mut path = Path { entities: vec![start], steps: Vec::new() };
        let wanted = out.len() + each;
        search(web, hops, &mut path, wanted.min(most), &mut left, &mut out, random);
    }
    out
}

fn search(web: &Web, hops: usize, path: &mut Path, wanted: usize, left: &mut usize, out: &mut Vec<Path>, random: &mut Random) {
    if path.steps.len() == hops {
        return out.push(path.clone());
    }
    let here = path.entities[path.entities.len() - 1];
    let mut steps = web.steps[here].clone();
    random.shuffle(&mut steps);
    for step in steps {
        if out.len() >= wanted || *left == 0 {
            return;
        }
        *left -= 1;
        if path.entities.contains(&step.to) || monotonous(web, path, &step) {
            continue;
        }
        path.entities.push(step.to);
        path.steps.push(step);
        search(web, hops, path, wanted, left, out, random);
        path.entities.pop();
        path.steps.pop();
    }
}

/// The same relation in the same direction for the third time.
fn monotonous(web: &Web, path: &Path, next: &Step) -> bool {
    let same = |step: &Step| step.end == next.end && web.relation(step.fact).same(web.relation(next.fact));
    path.steps.len() >= 2 && path.steps[path.steps.len() - 2..].iter().all(same)
}

/// The steps of the longest walk that is found.
pub fn longest(web: &Web) -> usize {
    (1..=LONGEST).take_while(|hops| !walks(web, *hops, 1, &mut Random::new(&[0])).is_empty()).count()
}

/// Whether facts of the walk's own relations, or of what may be taken for them, lead from its start to its end in fewer steps.
pub fn shortcut(web: &Web, path: &Path) -> bool {
    let (start, end) = (path.entities[0], path.entities[path.steps.len()]);
    let named = |fact: &usize| path.steps.iter().any(|step| web.relation(step.fact).near(web.relation(*fact)));
    let mut seen = BTreeSet::from([start]);
    let mut ring = vec![start];
    for _ in 1..path.steps.len() {
        let mut next = Vec::new();
        for fact in ring.iter().flat_map(|at| web.at[*at].iter().copied()).filter(named) {
            for to in [End::Subject, End::Value].into_iter().filter_map(|side| web.end(fact, side)) {
                if to == end {
                    return true;
                }
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
        ring = next;
    }
    false
}

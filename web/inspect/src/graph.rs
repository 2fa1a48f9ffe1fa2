//! The question's path as a drawing: the entities on a line in the order in which a reader meets them, links between them with their
//! numbers, and around each what the documents say of it. The list of hops says the same in words.

use std::sync::Arc;

use data::Fact;
use leptos::prelude::*;

use super::state::{Inspector, Opened};

/// From one entity to the next.
const STEP: usize = 336;
/// An entity's box.
const BOX: (usize, usize) = (208, 52);
/// Height of a fact's box, and from one to the next.
const CHIP: (usize, usize) = (34, 42);
/// Facts that are drawn above an entity, and below it.
const AROUND: usize = 3;
/// Entities that are drawn.
const ENTITIES: usize = 12;

/// An entity and what is drawn around it.
struct Node<'a> {
    name: String,
    /// What the question describes it by.
    above: Vec<&'a Fact>,
    /// What else is said of it.
    below: Vec<&'a Fact>,
}

/// The drawing.
#[component]
pub fn GraphView(inspector: Inspector, row: Arc<Opened>) -> impl IntoView {
    let nodes = nodes(&row);
    let (above, below) = (most(&nodes, |node| node.above.len()), most(&nodes, |node| node.below.len()));
    let middle = 24 + above * CHIP.1 + BOX.1 / 2 + 14;
    let (width, height) = (nodes.len() * STEP + 8, middle + BOX.1 / 2 + 38 + below * CHIP.1);
    let place = |name: &str| nodes.iter().position(|node| node.name == name);
    let links = row.derivation.walk.iter().enumerate().filter_map(|(number, id)| {
        let edge = row.derivation.edges.iter().find(|edge| edge.id == *id)?;
        Some(link(number + 1, place(&edge.from)?, place(&edge.to)?, middle, format!("{} ({})", edge.relation, edge.which)))
    });
    let links = links.collect_view();
    let entities = nodes.iter().enumerate().map(|(at, node)| entity(inspector, &row, at, node, middle)).collect_view();
    let said = nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>().join(", then ");
    view! {
        <div class="inspect-wide inspect-graph" data-test="graph" tabindex="0" role="group" aria-label="The path as a drawing">
            <svg width=width height=height viewBox=format!("0 0 {width} {height}") role="img" aria-label=format!("Path of the question: {said}")>
                {links}{entities}
            </svg>
        </div>
    }
}

fn most(nodes: &[Node], of: impl Fn(&Node) -> usize) -> usize {
    // One line more says how many facts are not drawn.
    nodes.iter().map(|node| of(node).min(AROUND + 1)).max().unwrap_or(0)
}

/// The entities of the walk, in its order; without one those that facts are about.
fn nodes(row: &Opened) -> Vec<Node<'_>> {
    let derivation = &row.derivation;
    let walked = derivation.walk.iter().filter_map(|id| derivation.edges.iter().find(|edge| edge.id == *id));
    let mut names: Vec<&str> = Vec::new();
    let ends = walked.flat_map(|edge| [edge.from.as_str(), edge.to.as_str()]);
    for name in ends.chain(derivation.facts.iter().map(|fact| fact.subject.as_str())) {
        if !names.contains(&name) && names.len() < ENTITIES {
            names.push(name);
        }
    }
    let on_links = |fact: &&Fact| !derivation.edges.iter().any(|edge| edge.facts.contains(&fact.id));
    let vague = |fact: &&Fact| derivation.obfuscation.iter().any(|vague| vague.fact == fact.id);
    names
        .into_iter()
        .map(|name| {
            let own = derivation.facts.iter().filter(|fact| fact.subject == name).filter(on_links);
            let (above, below) = own.partition(vague);
            Node { name: name.into(), above, below }
        })
        .collect()
}

/// A link: straight to the next entity, in an arc to one further off.
fn link(number: usize, from: usize, to: usize, middle: usize, label: String) -> AnyView {
    let left = |at: usize| at * STEP + 4;
    let (forth, next) = (to > from, to == from + 1);
    let (start, end) = if forth { (left(from) + BOX.0, left(to)) } else { (left(from), left(to) + BOX.0) };
    let rise = if next { 0 } else { BOX.1 };
    let (centre, top) = ((start + end) / 2, middle - rise);
    let tip = if forth { -7_isize } else { 7 };
    let head = format!("M{end} {middle} l{tip} -5 v10 z");
    view! {
        <g class="inspect-link" data-test="graph-hop">
            <title>{format!("{number}: {label}")}</title>
            <path class="inspect-line" d=format!("M{start} {middle} Q{centre} {top} {end} {middle}") />
            <path class="inspect-tip" d=head />
            <circle cx=centre cy=middle - rise / 2 r="11" />
            <text x=centre y=middle - rise / 2 + 4 class="inspect-hop">{number}</text>
            <text x=centre y=middle - rise / 2 - 17 class="inspect-relation">{short(label.rsplit(" › ").next().unwrap_or(&label), 20)}</text>
        </g>
    }
    .into_any()
}

fn entity(inspector: Inspector, row: &Opened, at: usize, node: &Node, middle: usize) -> AnyView {
    let left = at * STEP + 4;
    let centre = left + BOX.0 / 2;
    let chips = |facts: &[&Fact], up: bool| {
        let base = if up { middle - BOX.1 / 2 - 12 } else { middle + BOX.1 / 2 + 12 };
        let line = |number: usize| if up { base - number * CHIP.1 - CHIP.0 } else { base + number * CHIP.1 };
        let mut out: Vec<AnyView> =
            facts.iter().take(AROUND).enumerate().map(|(number, fact)| chip(inspector, row, fact, centre, line(number), up)).collect();
        if facts.len() > AROUND {
            let more = format!("and {} more", facts.len() - AROUND);
            out.push(view! { <text x=centre y=line(AROUND) + 20 class="inspect-relation">{more}</text> }.into_any());
        }
        out
    };
    let (above, below) = (chips(&node.above, true), chips(&node.below, false));
    let documents: Vec<String> = row
        .parts
        .iter()
        .enumerate()
        .filter(|(_, part)| part.gold && (part.title == node.name || part.title.starts_with(&format!("{} (", node.name))))
        .map(|(at, _)| format!("Doc {}", at + 1))
        .collect();
    view! {
        <g class="inspect-entity" data-test="graph-node">
            <title>{node.name.clone()}</title>
            {above}{below}
            <rect x=left y=middle - BOX.1 / 2 width=BOX.0 height=BOX.1 rx="8" />
            <text x=centre y=middle - 2>{short(&node.name, 21)}</text>
            <text x=centre y=middle + 15 class="inspect-relation">{short(&documents.join(", "), 26)}</text>
        </g>
    }
    .into_any()
}

fn chip(inspector: Inspector, row: &Opened, fact: &Fact, centre: usize, top: usize, up: bool) -> AnyView {
    let answer = row.item.answers.contains(&fact.value);
    let kind = if answer { "inspect-chip inspect-answer" } else { "inspect-chip" };
    let (line, span) = (if up { top + CHIP.0 + 8 } else { top - 8 }, fact.span.clone());
    let relation = fact.relation.rsplit(" › ").next().unwrap_or(&fact.relation).to_string();
    view! {
        <g class=kind on:click=move |_| inspector.show(&span)>
            <title>{format!("{}: {}", fact.relation, fact.value)}</title>
            <line x1=centre y1=if up { top + CHIP.0 } else { top } x2=centre y2=line />
            <rect x=centre - BOX.0 / 2 y=top width=BOX.0 height=CHIP.0 rx="17" />
            <text x=centre y=top + 14 class="inspect-relation">{short(&relation, 30)}</text>
            <text x=centre y=top + 28>{short(&fact.value, 26)}</text>
        </g>
    }
    .into_any()
}

/// At most so many characters.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.into() } else { format!("{}…", text.chars().take(most - 1).collect::<String>()) }
}

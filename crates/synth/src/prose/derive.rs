//! What follows from facts of prose, computed from a row alone.

use data::{Edge, Fact, Obfuscation};

use super::say::describes;
use super::words;
use crate::extract::entity_key;
use crate::graph::names;

/// Whether two spellings are one entity's.
pub fn same(one: &str, other: &str) -> bool {
    let bare = |name: &str| entity_key(words::named(name).unwrap_or(name));
    one == other || names::key(one) == names::key(other) || bare(one) == bare(other)
}

/// The entity that a step of a description tells of by the other end of a fact. `None` where the question's words do not say so.
pub fn described<'a>(fact: &'a Fact, step: &'a Obfuscation) -> Option<&'a str> {
    let hidden = step.from.as_str();
    describes(fact, hidden, &step.to).then(|| if hidden == fact.subject { hidden } else { words::moved(&fact.relation, hidden).1 })
}

/// Whether a fact leads from its subject to its value, as this edge says.
pub fn links(edge: &Edge, fact: &Fact) -> bool {
    fact.subject == edge.from && same(words::moved(&fact.relation, &fact.value).1, &edge.to)
}

/// Whether it leads from its value back to its subject.
pub fn back(edge: &Edge, fact: &Fact) -> Result<(), &'static str> {
    if fact.subject != edge.to || names::key(&fact.relation) != names::key(&edge.relation) {
        return Err("the fact is of another entity or relation");
    }
    let from = words::moved(&fact.relation, &fact.value).1;
    if same(from, &edge.from) { Ok(()) } else { Err("the value is another entity") }
}

/// What a fact that a model found answers.
pub fn answered(fact: &Fact) -> Option<String> {
    words::answered(&fact.relation, &fact.value).map(|(text, _)| text)
}

/// Whether two facts are asked for together: both found by a model, of one entity.
pub fn is_two(one: &Fact, other: &Fact, at: &str) -> bool {
    [one, other].iter().all(|fact| fact.call.is_some() && fact.subject == at)
}

/// Whether two facts that a model found, of one relation, are answers to different questions: when, and where or who.
pub fn apart(one: &Fact, other: &Fact) -> bool {
    one.call.is_some() && other.call.is_some() && words::apart(&one.value, &other.value)
}

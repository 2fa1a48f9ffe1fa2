//! Whether a kept reply says what a row's fact says.

use std::ops::Range;

use data::{Fact, Part};

use super::cluster::{entity_key, relation_key};
use super::place::Text;
use super::reply;
use crate::context::whole_title;
use crate::graph::names;

/// Whether `reply` states the fact of the document `text`, which stands in the prompt as `part`: in the same place, with its relation and
/// its subject in any of their spellings.
pub fn said_by(fact: &Fact, reply: &str, text: &str, part: &Part) -> bool {
    let text = Text::new(text);
    let title = if fact.subject == part.title { &part.title } else { whole_title(&part.title) };
    let here = |at: &Range<usize>| (at.start, at.end) == (fact.span.start, fact.span.end);
    let same = |relation: &str| relation_key(relation) == relation_key(&fact.relation);
    let about = |subject: &str| entity_key(subject) == entity_key(&fact.subject) || names::key(subject) == names::key(&fact.subject);
    let facts = reply::facts(reply, &text, title, usize::MAX).map(|(facts, _)| facts).unwrap_or_default();
    facts.iter().any(|said| here(&said.at) && same(&said.relation) && about(&said.subject))
        || reply::all_values(reply, &text).iter().any(|(name, at)| here(at) && same(name) && about(title))
}

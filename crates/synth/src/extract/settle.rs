//! From what replies say to facts: one name for each relation and entity, each fact once, in the order of the text.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use data::{Fact, Span};

use super::cluster::{entity_key, one_name, relation_key};
use super::place::one_line;
use crate::corpus::Source;
use crate::hash;

/// A fact of a reply, of one document.
#[derive(Clone, Debug)]
pub struct Raw {
    pub subject: String,
    pub relation: String,
    /// The value's bytes in the document.
    pub at: Range<usize>,
    /// The call's key.
    pub call: String,
    /// A field of a table: its name stays as it is.
    pub field: bool,
}

/// The facts of each document, and how many were repeated. Titles and fields keep their names; other spellings of them take these, and the
/// rest the commonest of their own. Of equal facts of one document, or such whose values overlap, a table's comes before others, and then the first.
pub fn settle(sources: &[Source], raw: BTreeMap<usize, Vec<Raw>>) -> (BTreeMap<usize, Vec<Fact>>, usize) {
    let all = || raw.values().flatten();
    let fields = all().filter(|raw| raw.field).map(|raw| raw.relation.as_str());
    let relations = one_name(all().map(|raw| raw.relation.as_str()), fields, relation_key);
    let subjects = one_name(all().map(|raw| raw.subject.as_str()), sources.iter().map(Source::subject), entity_key);
    let name = |names: &BTreeMap<String, String>, key: String, own: &str| names.get(&key).map_or(own, String::as_str).to_string();
    let mut repeated = 0;
    let mut out: BTreeMap<usize, Vec<Fact>> = BTreeMap::new();
    for (document, raws) in &raw {
        let Some(source) = sources.get(*document) else { continue };
        let text: &str = &source.document.text;
        let mut order: Vec<&Raw> = raws.iter().collect();
        order.sort_by_key(|raw| (!raw.field, raw.at.start, raw.at.end));
        let (mut ids, mut said) = (BTreeSet::new(), BTreeSet::new());
        let mut facts: Vec<Fact> = Vec::new();
        for raw in order {
            let Some(value) = text.get(raw.at.clone()) else { continue };
            let relation = name(&relations, relation_key(&raw.relation), &raw.relation);
            let subject = name(&subjects, entity_key(&raw.subject), &raw.subject);
            let id = hash::id("fact", [source.document.id.as_str(), &relation, value, &raw.at.start.to_string()]);
            // The id leaves the subject out: of two subjects in one place the first stands. `44,429,471` and `44,429,471 (July 2015 est.)`
            // are one value, told twice.
            let told = |fact: &Fact| {
                let within = fact.span.start < raw.at.end && raw.at.start < fact.span.end;
                within && fact.subject == subject && fact.relation == relation
            };
            let again = facts.iter().any(told) || !said.insert((subject.clone(), relation.clone(), one_line(value).to_lowercase()));
            if again || !ids.insert(id.clone()) {
                repeated += 1;
                continue;
            }
            let span = Span { doc: source.document.id.clone(), start: raw.at.start, end: raw.at.end };
            facts.push(Fact { id, subject, relation, value: value.to_string(), span, call: Some(raw.call.clone()) });
        }
        facts.sort_by(|a, b| (a.span.start, a.span.end, &a.relation).cmp(&(b.span.start, b.span.end, &b.relation)));
        out.insert(*document, facts);
    }
    (out, repeated)
}

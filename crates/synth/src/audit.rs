//! A row's derivation computed again: every hash, span, edge, table, result and answer.

mod answer;

use std::collections::BTreeMap;

use data::{Derivation, Fact, Item, Part};
use serde::de::DeserializeOwned;

use crate::context::{BETWEEN, OWN, heading, whole_title};
use crate::extract::said_by;
use crate::graph::edge_id;
use crate::hash;
use crate::walk::Compute;

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The row.
    pub id: String,
    /// What does not hold, and where.
    pub problem: String,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Everything of the row that is not as its derivation says.
    pub findings: Vec<Finding>,
    /// What could not be computed again, each in a few words: SQL where there is no SQLite, answers that came from a model.
    pub not_run: Vec<String>,
}

/// What a kept call replied, by the call's key; none where it is not kept.
pub type Kept<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Everything of a row that is not as its derivation says. Reads the row alone: no corpus, no model. That a fact made by a model is what
/// that model said goes to `not_run`: [`audit_kept`] looks it up.
pub fn audit(item: &Item) -> Audit {
    audited(item, None)
}

/// The same, and of each fact made by a model whether the kept reply of its call states it.
pub fn audit_kept(item: &Item, kept: &Kept) -> Audit {
    audited(item, Some(kept))
}

fn audited(item: &Item, kept: Option<&Kept>) -> Audit {
    let mut audit = Audit::default();
    let mut problems = Vec::new();
    match (read::<Derivation>(item, "derivation"), read::<Vec<Part>>(item, "documents")) {
        (Ok(derivation), Ok(parts)) => {
            let facts = derivation.facts.iter().map(|fact| (fact.id.as_str(), fact)).collect();
            let row = Row { item, derivation: &derivation, parts: &parts, facts };
            row.documents(&mut problems);
            row.facts(&mut problems);
            row.calls(kept, &mut problems, &mut audit.not_run);
            row.links(&mut problems);
            answer::check(&row, &mut problems, &mut audit.not_run);
        }
        (derivation, parts) => problems.extend(derivation.err().into_iter().chain(parts.err())),
    }
    audit.findings = problems.into_iter().map(|problem| Finding { id: item.id.clone(), problem }).collect();
    audit
}

fn read<T: DeserializeOwned>(item: &Item, name: &str) -> Result<T, String> {
    let value = item.extra.get(name).ok_or_else(|| format!("the row has no `{name}`"))?;
    T::deserialize(value).map_err(|error| format!("`{name}` cannot be read: {error}"))
}

/// A row and its derivation.
struct Row<'a> {
    item: &'a Item,
    derivation: &'a Derivation,
    parts: &'a [Part],
    facts: BTreeMap<&'a str, &'a Fact>,
}

impl<'a> Row<'a> {
    fn part(&self, id: &str) -> Option<&'a Part> {
        self.parts.iter().find(|part| part.id == id)
    }

    fn text(&self, part: &Part) -> Option<&'a str> {
        self.item.prompt.get(part.start..part.end)
    }

    /// The text of the candidate's own document.
    fn own(&self) -> &'a str {
        self.part(OWN).and_then(|part| self.text(part)).unwrap_or_default()
    }

    fn question(&self) -> &'a str {
        self.item.extra.get("question").and_then(|question| question.as_str()).unwrap_or_default()
    }

    /// The documents tile their place in the prompt, each under its heading, and have their hashes; the question stands behind them.
    fn documents(&self, problems: &mut Vec<String>) {
        let prompt = &self.item.prompt;
        let place = |at: usize| self.item.extra.get("document")?.get(at)?.as_u64().and_then(|at| usize::try_from(at).ok());
        let mut end = place(0);
        for (number, part) in self.parts.iter().enumerate() {
            let before = if number == 0 { "" } else { BETWEEN };
            let head = format!("{before}{}", heading(number + 1, &part.title));
            if end.and_then(|end| prompt.get(end..part.start)) != Some(head.as_str()) {
                problems.push(format!("document {} does not follow the one before under its heading", part.id));
            }
            match self.text(part) {
                None => problems.push(format!("document {} ends outside the prompt or inside a character", part.id)),
                Some(text) if hash::sha256([text]) != part.sha256 => {
                    problems.push(format!("the text of document {} does not have its hash", part.id))
                }
                Some(_) => {}
            }
            if self.parts[..number].iter().any(|other| other.id == part.id) {
                problems.push(format!("document {} stands in the prompt twice", part.id));
            }
            let fact = || self.derivation.facts.iter().any(|fact| fact.span.doc == part.id);
            if part.gold && !fact() && !self.ends_chain(part) {
                problems.push(format!("the answer is to follow from document {}, and no fact stands in it", part.id));
            }
            end = Some(part.end);
        }
        if self.parts.is_empty() || end != place(1) {
            problems.push("the documents do not end where `document` says".into());
        }
        let rest = end.and_then(|end| prompt.get(end..)).unwrap_or_default();
        if self.question().is_empty() || !rest.contains(self.question()) {
            problems.push("the question does not stand behind the documents".into());
        }
        let ask = self.item.extra.get("ask").and_then(|ask| ask.as_str());
        if !ask.is_some_and(|ask| !ask.is_empty() && rest.ends_with(ask)) {
            problems.push("the prompt does not end with what `ask` says".into());
        }
    }

    /// Whether a document is there only for what it is called, or has the row that a chain ends at.
    fn ends_chain(&self, part: &Part) -> bool {
        let titled = |title: &str| self.parts.iter().any(|part| part.title == title);
        let has = |title: &str| self.text(part).is_some_and(|text| text.contains(title));
        self.derivation
            .edges
            .iter()
            .any(|edge| part.title == edge.to || whole_title(&part.title) == edge.to || !titled(&edge.to) && has(&edge.to))
    }

    /// Each fact stands where it says, in a document that the answer follows from, and has the hash of what it says.
    fn facts(&self, problems: &mut Vec<String>) {
        let derivation = self.derivation;
        if derivation.version != 1 {
            problems.push(format!("the derivation is of version {}, and 1 is known", derivation.version));
        }
        if self.facts.len() != derivation.facts.len() {
            problems.push("two facts have one id".into());
        }
        for fact in &derivation.facts {
            let span = &fact.span;
            if fact.id != hash::id("fact", [span.doc.as_str(), &fact.relation, &fact.value, &span.start.to_string()]) {
                problems.push(format!("the id of fact {} is not the hash of its fields", fact.id));
            }
            let Some(part) = self.part(&span.doc).filter(|part| part.gold) else {
                problems.push(format!("fact {} stands in {}, which is none of the documents the answer follows from", fact.id, span.doc));
                continue;
            };
            if fact.value.is_empty() || self.text(part).and_then(|text| text.get(span.start..span.end)) != Some(fact.value.as_str()) {
                problems.push(format!("“{}” does not stand at bytes {} to {} of {}", fact.value, span.start, span.end, span.doc));
            }
        }
        if !self.item.evidence.iter().eq(derivation.facts.iter().map(|fact| &fact.span)) {
            problems.push("the evidence is not the places of the facts".into());
        }
    }

    /// Facts made by a model are what its calls replied.
    fn calls(&self, kept: Option<&Kept>, problems: &mut Vec<String>, not_run: &mut Vec<String>) {
        for fact in &self.derivation.facts {
            let Some(call) = &fact.call else { continue };
            let Some(kept) = kept else {
                return not_run.push("whether the model said the facts it is to have found: its calls are not beside the rows".into());
            };
            let said = self.part(&fact.span.doc).and_then(|part| Some((part, self.text(part)?)));
            match (kept(call), said) {
                (None, _) => problems.push(format!("fact {} is to be of the call {call}, which is not kept", fact.id)),
                (Some(reply), Some((part, text))) if !said_by(fact, &reply, text, part) => {
                    problems.push(format!("the call {call} does not state fact {}", fact.id));
                }
                _ => {}
            }
        }
    }

    /// Edges have the hashes of what they say, their facts exist, and the walk and the descriptions are of what exists.
    fn links(&self, problems: &mut Vec<String>) {
        let derivation = self.derivation;
        for edge in &derivation.edges {
            if edge.id != edge_id(edge) {
                problems.push(format!("the id of edge {} is not the hash of its fields", edge.id));
            }
            // A computation is over what its facts are about; where other links lead their facts' names say.
            let over = |fact: Option<&String>| fact.and_then(|fact| self.facts.get(fact.as_str())).map(|fact| fact.subject.as_str());
            if Compute::named(&edge.which).is_some()
                && [over(edge.facts.first()), over(edge.facts.last())] != [Some(&*edge.from), Some(&*edge.to)]
            {
                problems.push(format!("edge {} is not between what its facts are about", edge.id));
            }
            for fact in edge.facts.iter().filter(|fact| !self.facts.contains_key(fact.as_str())) {
                problems.push(format!("edge {} is to follow from {fact}, which is no fact", edge.id));
            }
            if edge.facts.is_empty() || !derivation.walk.contains(&edge.id) {
                problems.push(format!("edge {} follows from no fact or is not on the walk", edge.id));
            }
            if self.parts.iter().any(|part| part.title == edge.to && !part.gold) {
                problems.push(format!("edge {} leads to {}, which is none of the documents the answer follows from", edge.id, edge.to));
            }
        }
        for id in derivation.walk.iter().filter(|id| !derivation.edges.iter().any(|edge| edge.id == **id)) {
            problems.push(format!("the walk goes over {id}, which is no edge"));
        }
        for vague in &derivation.obfuscation {
            match self.facts.get(vague.fact.as_str()) {
                None => problems.push(format!("“{}” is to describe {}, which is no fact", vague.to, vague.fact)),
                Some(fact) if vague.from != fact.value && vague.from != fact.subject => {
                    problems.push(format!("“{}” is to describe “{}”, which fact {} does not have", vague.to, vague.from, vague.fact));
                }
                Some(_) if !self.question().contains(&vague.to) => problems.push(format!("the question does not say “{}”", vague.to)),
                Some(_) => {}
            }
        }
        for check in derivation.checks.iter().filter(|check| check.passed == Some(false)) {
            problems.push(format!("the check {} failed: {}", check.name, check.detail));
        }
    }
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;

//! The answer that a derivation's facts and edges lead to: computed from the row alone.

use std::collections::{BTreeMap, BTreeSet};

use data::{Derivation, Edge, Engine, Fact};

use super::answer::{answer, phrase};
use super::compute::Compute;
use crate::describe::fits;
use crate::graph::{names, picks};
use crate::prose;

/// Why a derivation leads to no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Another engine's.
    #[error("the derivation is not of the graph engine")]
    Engine,
    /// An id that is no fact's or edge's.
    #[error("there is no {0}")]
    Missing(String),
    /// A fact that does not say what an edge says.
    #[error("the edge {0} does not follow from its facts: {1}")]
    Edge(String, &'static str),
    /// A description that is not one of the value.
    #[error("`{said}` does not describe `{value}`")]
    Description {
        /// What the question says.
        said: String,
        /// What the document has.
        value: String,
    },
    /// Where the chain ends there is no answer.
    #[error("the facts at the chain's end give no answer: {0}")]
    End(&'static str),
}

/// Follows a derivation of the graph engine from the described entity over its walk to the answer. Nothing else is read: no corpus, no
/// stored answer.
pub fn derive(derivation: &Derivation) -> Result<String, Flaw> {
    if derivation.engine != Engine::Graph {
        return Err(Flaw::Engine);
    }
    let facts: BTreeMap<&str, &Fact> = derivation.facts.iter().map(|fact| (fact.id.as_str(), fact)).collect();
    let edges: BTreeMap<&str, &Edge> = derivation.edges.iter().map(|edge| (edge.id.as_str(), edge)).collect();
    let fact = |id: &String| facts.get(id.as_str()).copied().ok_or_else(|| Flaw::Missing(id.clone()));
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut at: Option<&str> = None;
    for step in &derivation.obfuscation {
        let said = fact(&step.fact)?;
        used.insert(&said.id);
        let flaw = || Flaw::Description { said: step.to.clone(), value: said.value.clone() };
        // Facts of prose tell of either end by the other.
        let of = match said.call.is_some() && step.kind == "entity" {
            true => prose::described(said, step).ok_or_else(flaw)?,
            false if step.from != said.value || !fits(&said.value, &step.to) => return Err(flaw()),
            false => &said.subject,
        };
        let one = |before: &str| before == of || said.call.is_some() && prose::same(before, of);
        if at.replace(of).is_some_and(|before| !one(before)) {
            return Err(Flaw::End("the descriptions are of different entities"));
        }
    }
    let mut at = at.ok_or(Flaw::End("nothing is described"))?;
    // Prose may have the name in another spelling than the walk.
    let found = |id: &String| facts.get(id.as_str()).is_some_and(|fact| fact.call.is_some());
    if let Some(first) = derivation.walk.first().and_then(|id| edges.get(id.as_str()))
        && derivation.obfuscation.iter().all(|step| found(&step.fact))
        && prose::same(at, &first.from)
    {
        at = &first.from;
    }
    let mut visited = vec![at];
    let mut computed = None;
    for id in &derivation.walk {
        let edge = *edges.get(id.as_str()).ok_or_else(|| Flaw::Missing(id.clone()))?;
        let wrong = |why| Flaw::Edge(id.clone(), why);
        let said = edge.facts.iter().map(fact).collect::<Result<Vec<_>, _>>()?;
        used.extend(said.iter().map(|fact| fact.id.as_str()));
        if computed.is_some() {
            return Err(wrong("a computation is the last step"));
        }
        if let Some(compute) = Compute::named(&edge.which) {
            let subjects = [edge.from.as_str(), edge.to.as_str()];
            if said.is_empty() || said.iter().zip(subjects).any(|(fact, subject)| fact.subject != subject || !visited.contains(&subject)) {
                return Err(wrong("a fact is of another entity"));
            }
            computed = Some(compute.answer(&said).ok_or_else(|| wrong("the facts are not comparable"))?);
            continue;
        }
        if edge.from != at {
            return Err(wrong("it leaves another entity"));
        }
        links(edge, &said).map_err(wrong)?;
        at = &edge.to;
        visited.push(at);
    }
    if let Some(answer) = computed {
        return Ok(answer);
    }
    let said = |fact: &Fact| {
        let said = match fact.call {
            Some(_) => prose::answered(fact),
            None if derivation.paradigm == "causal" => phrase(&fact.value),
            None => answer(&fact.value).map(|answer| answer.text),
        };
        said.ok_or(Flaw::End("the value is no short answer"))
    };
    match derivation.facts.iter().filter(|fact| !used.contains(fact.id.as_str())).collect::<Vec<_>>()[..] {
        [] => Ok(at.to_string()),
        [fact] if fact.subject == at => said(fact),
        [_] => Err(Flaw::End("the last fact is of another entity")),
        [one, other] if prose::is_two(one, other, at) => Ok(format!("{}, {}", said(one)?, said(other)?)),
        _ => Err(Flaw::End("there are facts that nothing follows from")),
    }
}

/// Whether an edge's facts say that it is there.
fn links(edge: &Edge, said: &[&Fact]) -> Result<(), &'static str> {
    let (naming, alias) = match said {
        [naming] => (naming, None),
        [naming, alias] => (naming, Some(alias)),
        _ => return Err("it takes one fact, or two"),
    };
    if edge.which == prose::BACK {
        return if alias.is_none() { prose::back(edge, naming) } else { Err("it takes one fact") };
    }
    if naming.subject != edge.from || names::key(&naming.relation) != names::key(&edge.relation) {
        return Err("the fact is of another entity or relation");
    }
    if naming.call.is_some() && alias.is_none() && edge.which == "only" && prose::links(edge, naming) {
        return Ok(());
    }
    let name = picks::picked(&naming.value, &edge.which).ok_or("no name is singled out")?;
    let meant = names::mention(&name);
    let mut called = names::keys(&edge.to);
    if let Some(alias) = alias {
        if alias.subject != edge.to {
            return Err("the alias is another entity's");
        }
        called.extend(names::keys(&alias.value));
        called.extend(names::acronyms(&alias.value));
    }
    if meant.iter().any(|name| called.contains(name)) { Ok(()) } else { Err("the name is another's") }
}

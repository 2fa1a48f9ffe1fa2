//! From a walk over facts of prose to a candidate, and the checks on the way.

use std::collections::{BTreeMap, BTreeSet};

use data::{Derivation, Edge, Engine};
use reward::Rule;
use world::Random;

use super::describe::{Avoid, Clause, describe, names_any};
use super::ending::{Ending, endings};
use super::paths::{Path, shortcut};
use super::question::question;
use super::web::{End, Web};
use super::words::{self, Value};
use super::{BACK, pair};
use crate::candidate::{Candidate, Reject, empty};
use crate::graph::edge_id;
use crate::overlap::normal;
use crate::walk::{WalkSettings, answer, derive};

/// As for other walks: one answer, one start and one end may come once in so many questions.
const SAME: usize = 50;
const ENDS: usize = 33;
/// Endings, and descriptions for each, that are tried for one walk.
const TRIED: usize = 6;
const DESCRIBED: usize = 3;

/// What a walk must have to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// Documents that its facts stand in, at least.
    pub documents: usize,
    /// The answer may stand in the document that the question begins in.
    pub near: bool,
}

/// Makes candidates, and remembers what there was.
pub struct Maker<'a> {
    web: &'a Web<'a>,
    settings: &'a WalkSettings,
    starts: BTreeMap<usize, usize>,
    ends: BTreeMap<usize, usize>,
    answers: BTreeMap<String, usize>,
    asked: BTreeSet<String>,
}

fn reject<T>(check: &'static str, reason: impl Into<String>) -> Result<T, Reject> {
    Err(Reject { check, reason: reason.into() })
}

impl<'a> Maker<'a> {
    pub fn new(web: &'a Web<'a>, settings: &'a WalkSettings) -> Self {
        let (starts, ends) = (BTreeMap::new(), BTreeMap::new());
        Self { web, settings, starts, ends, answers: BTreeMap::new(), asked: BTreeSet::new() }
    }

    /// The first question about a walk that passes; else why the last did not.
    pub fn attempt(&mut self, path: &Path, demands: Demands, random: &mut Random) -> Result<Candidate, Reject> {
        let web = self.web;
        let (start, end) = (path.entities[0], path.entities[path.steps.len()]);
        let name = |entity: usize| web.entities[entity].name.as_str();
        let most = |share: usize| (self.settings.count / share).max(2);
        if self.ends.get(&end).is_some_and(|used| *used >= most(ENDS)) {
            return reject("cap", format!("enough questions end at {}", name(end)));
        }
        if self.starts.get(&start).is_some_and(|used| *used >= most(SAME)) {
            return reject("cap", format!("enough questions start at {}", name(start)));
        }
        if shortcut(web, path) {
            return reject("shortcut", format!("fewer links lead from {} to {}", name(start), name(end)));
        }
        let mut why = Reject { check: "ending", reason: format!("{} has nothing that can be asked", name(end)) };
        // Reading is scored by words, as for other walks.
        let words = |ending: &Ending| {
            let figure = |fact: &usize| web.spoken(*fact).value == Value::Figure;
            self.settings.hops > 1 || !matches!(ending, Ending::Compared { .. }) && !ending.facts().iter().any(figure)
        };
        let endings: Vec<Ending> = endings(web, path, random).into_iter().filter(words).take(TRIED).collect();
        for ending in endings {
            for _ in 0..DESCRIBED {
                match self.candidate(path, &ending, demands, random) {
                    Ok(candidate) => {
                        *self.starts.entry(start).or_default() += 1;
                        *self.ends.entry(end).or_default() += 1;
                        return Ok(candidate);
                    }
                    Err(reject) => why = reject,
                }
            }
        }
        Err(why)
    }

    fn candidate(&mut self, path: &Path, ending: &Ending, demands: Demands, random: &mut Random) -> Result<Candidate, Reject> {
        let web = self.web;
        let facts: Vec<usize> = path.steps.iter().map(|step| step.fact).chain(ending.facts()).collect();
        // Where a year is asked for, another one would come near to it.
        let undated = ending.facts().iter().any(|fact| web.spoken(*fact).value == Value::Year);
        let avoid = Avoid { facts: &facts, entities: &path.entities, undated };
        let start = path.entities[0];
        let Some(clauses) = describe(web, start, &avoid, random) else {
            return reject("unique", format!("no description of up to three facts fits {} alone", web.entities[start].name));
        };
        let (derivation, mut answers, rule) = self.derivation(path, ending, &clauses)?;
        let documents = |facts: &mut dyn Iterator<Item = usize>| -> Vec<usize> {
            let mut out = Vec::new();
            facts.map(|fact| web.view.document_of(fact)).for_each(|document| {
                if !out.contains(&document) {
                    out.push(document)
                }
            });
            out
        };
        let mut gold = documents(&mut clauses.iter().map(|clause| clause.fact).chain(facts.iter().copied()));
        if gold.len() < demands.documents {
            return reject("documents", format!("{} links over facts of {} documents", path.steps.len(), gold.len()));
        }
        let computed = matches!(ending, Ending::Compared { .. });
        for document in documents(&mut clauses.iter().map(|clause| clause.fact)).into_iter().filter(|_| !demands.near && !computed) {
            let text = web.view.graph.text(document).to_lowercase();
            if pair(&answers).iter().any(|part| answer::stands_in(&text, part)) {
                return reject("leak", format!("`{}` stands in the first document", answers[0]));
            }
        }
        // The documents about those on the way are not to stand among the others.
        let homes = path.entities[1..].iter().filter_map(|entity| web.entities[*entity].home);
        let homes: Vec<usize> = homes.filter(|home| !gold.contains(home)).collect();
        gold.extend(homes);
        if pair(&answers).len() == 1 && answers.len() > 1 {
            let texts: Vec<String> = gold.iter().map(|document| normal(web.view.graph.text(*document))).collect();
            let first = answers.remove(0);
            answers.retain(|other| texts.iter().any(|text| text.contains(&normal(other))));
            answers.insert(0, first);
        }
        let called: Vec<String> = path.entities.iter().flat_map(|entity| web.entities[*entity].called.clone()).collect();
        let text = question(web, path, &clauses, ending, &self.settings.noun, random);
        if names_any(&text, &called) {
            return reject("named", "the question names whom it leads over");
        }
        let titles = gold.iter().map(|document| web.titled(*document)).collect::<Vec<_>>();
        if titles.iter().any(|title| names_any(&text, std::slice::from_ref(title))) {
            return reject("named", "the question names a document that it follows from");
        }
        let asked = normal(&text);
        if !matches!(ending, Ending::Compared { .. }) && pair(&answers).iter().any(|part| asked.contains(&normal(part))) {
            return reject("named", "the question has its answer");
        }
        let scored: Rule = rule.parse().map_err(|_| Reject { check: "rule", reason: format!("there is no rule {rule}") })?;
        if scored.check(&answers).is_err() || scored.score(&format!("Therefore, the answer is ({}).", answers[0]), &answers) < 1.0 {
            return reject("rule", format!("`{}` does not score by {rule}", answers[0]));
        }
        match derive(&derivation) {
            Ok(derived) if derived == answers[0] => {}
            Ok(derived) => return reject("derivation", format!("`{derived}` follows, not `{}`", answers[0])),
            Err(flaw) => return reject("derivation", flaw.to_string()),
        }
        let same = answers[0].to_lowercase();
        if self.answers.get(&same).copied().unwrap_or(0) >= (self.settings.count / SAME).max(1) {
            return reject("cap", format!("enough answers are `{}`", answers[0]));
        }
        if !self.asked.insert(text.clone()) {
            return reject("cap", "the same question twice");
        }
        *self.answers.entry(same).or_default() += 1;
        Ok(Candidate {
            task: if self.settings.hops < 2 { "reading" } else { "multi_hop" }.into(),
            question: text,
            answers,
            rule: rule.into(),
            hops: self.settings.hops,
            gold: gold.iter().map(|document| web.view.graph.id(*document).to_string()).collect(),
            never: Vec::new(),
            own: String::new(),
            derivation,
        })
    }

    /// Facts in the order of the chain, edges and the walk; the right answers and their rule.
    fn derivation(&self, path: &Path, ending: &Ending, clauses: &[Clause]) -> Result<(Derivation, Vec<String>, &'static str), Reject> {
        let web = self.web;
        let title = |place: usize| web.entities[path.entities[place]].name.clone();
        let mut facts = Vec::new();
        let mut out = empty(Engine::Graph, ending.paradigm(web, path).into());
        for clause in clauses {
            facts.push(web.fact(clause.fact));
            out.obfuscation.push(clause.told.clone());
        }
        let mut edge = |which: &str, of: &[usize], from: String, to: String| {
            let said: Vec<_> = of.iter().map(|fact| web.view.graph.facts[*fact].clone()).collect();
            let relations: BTreeSet<&str> = said.iter().map(|fact| fact.relation.as_str()).collect();
            let relation = relations.into_iter().collect::<Vec<_>>().join("; ");
            let facts = said.iter().map(|fact| fact.id.clone()).collect();
            let mut edge = Edge { id: String::new(), from, relation, which: which.into(), to, facts };
            edge.id = edge_id(&edge);
            out.walk.push(edge.id.clone());
            out.edges.push(edge);
        };
        for (at, step) in path.steps.iter().enumerate() {
            let which = if step.end == End::Value { "only" } else { BACK };
            edge(which, &[step.fact], title(at), title(at + 1));
        }
        if let Ending::Compared { compute, of: [one, other] } = ending {
            edge(&compute.to_string(), &[one.1, other.1], title(one.0), title(other.0));
        }
        facts.extend(path.steps.iter().map(|step| web.fact(step.fact)));
        facts.extend(ending.facts().into_iter().map(|fact| web.fact(fact)));
        out.facts = facts;
        let said = |fact: usize| {
            let fact = &web.view.graph.facts[fact];
            words::answered(&fact.relation, &fact.value)
                .map(|(text, kind)| (text, kind == Value::Figure))
                .ok_or(Reject { check: "ending", reason: "no short answer".into() })
        };
        let (answers, number) = match ending {
            Ending::Last => (web.entities[path.entities[path.steps.len()]].called.clone(), false),
            Ending::Value(fact) => {
                let (text, number) = said(*fact)?;
                (vec![text], number)
            }
            Ending::Both(one, other) => {
                let (one, other) = (said(*one)?.0, said(*other)?.0);
                (vec![format!("{one}, {other}"), format!("{one} and {other}")], false)
            }
            Ending::Compared { compute, of } => {
                let two = of.map(|(_, fact)| web.fact(fact));
                let Some(answer) = compute.answer(&[&two[0], &two[1]]) else {
                    return reject("ending", format!("{compute}: the years are not comparable"));
                };
                (vec![answer], compute.number())
            }
        };
        Ok((out, answers, if number { "numeric" } else { "contain" }))
    }
}

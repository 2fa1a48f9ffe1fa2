//! The answer that follows from facts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::fact::{Detail, Fact, Key, Relation, Value};
use crate::language;
use crate::names::Entity;
use crate::question::{Form, Last, Step, described};
use crate::template;

/// Why facts do not give a question one answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The chain breaks.
    #[error("no sentence says {0}")]
    Missing(String),
    /// More than one sentence says it.
    #[error("{1} sentences say {0}")]
    Ambiguous(String, usize),
    /// The facts give another answer than the question has.
    #[error("the answer is {derived}, not {given}")]
    Answer {
        /// What follows from the facts.
        derived: String,
        /// What the question says.
        given: String,
    },
    /// The evidence is not what the answer follows from.
    #[error("the evidence is not the sentences that the answer follows from")]
    Evidence,
    /// The options do not single out the answer.
    #[error("{0} options are the answer")]
    Options(usize),
}

/// Facts in the order of a document, found by what they say of whom.
pub(crate) struct Index<'a> {
    facts: &'a [Fact],
    by_key: HashMap<Key, Vec<usize>>,
    by_value: HashMap<(Relation, Entity), Vec<usize>>,
    by_firm: HashMap<Entity, Vec<usize>>,
}

impl<'a> Index<'a> {
    pub fn new(facts: &'a [Fact]) -> Self {
        let (mut by_key, mut by_value, mut by_firm) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (at, fact) in facts.iter().enumerate() {
            add(by_key.entry(fact.key()), at);
            if let Value::Entity(value) = fact.value {
                add(by_value.entry((fact.relation, value)), at);
            }
            if fact.relation == Relation::Profit {
                add(by_firm.entry(fact.subject), at);
            }
        }
        Self { facts, by_key, by_value, by_firm }
    }

    /// What follows from the facts, and from which: the answer in words, and the facts' places.
    pub fn derive(&self, form: &Form) -> Result<(String, Vec<usize>), Flaw> {
        let mut at = form.start;
        let mut evidence = Vec::new();
        for step in &form.steps {
            let fact = self.one(at, step.relation, step.detail)?;
            evidence.push(fact);
            let Value::Entity(next) = self.facts[fact].value else { return Err(Flaw::Missing(format!("{:?} of {}", step, at.name()))) };
            at = next;
        }
        let answer = match form.last {
            Last::Value(step) => {
                let fact = self.one(at, step.relation, step.detail)?;
                evidence.push(fact);
                if step.price { self.facts[fact].price.to_string() } else { self.facts[fact].value.to_string() }
            }
            Last::Quote { topic, nth } => {
                let found = self.by_key.get(&(Relation::Said, at, Detail::Topic(topic))).map_or(&[][..], Vec::as_slice);
                let what = || format!("what {} said of the {}", at.name(), language::TOPICS[topic as usize]);
                if nth == 0 && found.len() > 1 {
                    return Err(Flaw::Ambiguous(what(), found.len()));
                }
                let fact = *found.get(nth.saturating_sub(1)).ok_or_else(|| Flaw::Missing(what()))?;
                evidence.push(fact);
                self.facts[fact].value.to_string()
            }
            Last::Sum { from, to } => {
                let found = (from..=to).map(|year| self.profit(at, year)).collect::<Result<Vec<_>, _>>()?;
                evidence.extend(found.iter().map(|(fact, _)| fact));
                found.iter().map(|(_, amount)| amount).sum::<u32>().to_string()
            }
            Last::Difference { more, less } => {
                let (more, less) = (self.profit(at, more)?, self.profit(at, less)?);
                evidence.extend([more.0, less.0]);
                (i64::from(more.1) - i64::from(less.1)).to_string()
            }
            Last::Largest { from, to } => {
                let inside = |fact: &usize| matches!(self.facts[*fact].detail, Detail::Year(year) if (from..=to).contains(&year));
                let of_firm = self.by_firm.get(&at).map_or(&[][..], Vec::as_slice);
                let found: Vec<usize> = of_firm.iter().copied().filter(inside).collect();
                for fact in &found {
                    self.one(at, Relation::Profit, self.facts[*fact].detail)?;
                }
                evidence.extend(&found);
                let largest = found.iter().map(|fact| self.amount(*fact)).max();
                largest.ok_or_else(|| Flaw::Missing(format!("a profit of {} from {from} to {to}", at.name())))?.to_string()
            }
            Last::Count => {
                let found = self.by_value.get(&(Relation::Born, at)).map_or(&[][..], Vec::as_slice);
                for fact in found {
                    self.one(self.facts[*fact].subject, Relation::Born, Detail::None)?;
                }
                evidence.extend(found);
                found.len().to_string()
            }
            Last::Firms { year } => {
                let found = self.by_value.get(&(Relation::Base, at)).map_or(&[][..], Vec::as_slice);
                let mut sum = 0;
                for fact in found {
                    let firm = self.facts[self.one(self.facts[*fact].subject, Relation::Base, Detail::None)?].subject;
                    let (profit, amount) = self.profit(firm, year)?;
                    sum += amount;
                    evidence.extend([*fact, profit]);
                }
                sum.to_string()
            }
        };
        Ok((answer, evidence))
    }

    /// What each link of a chain says, in the question's words: `the founder of Hale Tiles is Otto Reed.` Of a last link that is no single
    /// value nothing is said.
    pub fn stated(&self, form: &Form) -> Result<Vec<String>, Flaw> {
        let last = if let Last::Value(last) = form.last { Some(last) } else { None };
        let (mut at, mut said) = (form.start, Vec::new());
        for step in form.steps.iter().chain(&last) {
            let fact = &self.facts[self.one(at, step.relation, step.detail)?];
            let value = if step.price { fact.price.to_string() } else { fact.value.to_string() };
            said.push(template::filled(language::STATED, &[("x", &described(*step, &at.name())), ("value", &value)]));
            if let Value::Entity(next) = fact.value {
                at = next;
            }
        }
        Ok(said)
    }

    fn one(&self, subject: Entity, relation: Relation, detail: Detail) -> Result<usize, Flaw> {
        let what = || {
            let step = Step { relation, detail, price: false };
            described(step, &subject.name())
        };
        match self.by_key.get(&(relation, subject, detail)).map(Vec::as_slice) {
            Some([fact]) => Ok(*fact),
            None | Some([]) => Err(Flaw::Missing(what())),
            Some(several) => Err(Flaw::Ambiguous(what(), several.len())),
        }
    }

    fn profit(&self, firm: Entity, year: u16) -> Result<(usize, u32), Flaw> {
        let fact = self.one(firm, Relation::Profit, Detail::Year(year))?;
        Ok((fact, self.amount(fact)))
    }

    fn amount(&self, fact: usize) -> u32 {
        match self.facts[fact].value {
            Value::Number(amount) => amount,
            _ => 0,
        }
    }
}

fn add<K>(entry: Entry<'_, K, Vec<usize>>, at: usize) {
    entry.or_default().push(at);
}

/// The answer that follows from facts in the order of their document, and the places of those it follows from.
pub fn derive(facts: &[Fact], form: &Form) -> Result<(String, Vec<usize>), Flaw> {
    Index::new(facts).derive(form)
}

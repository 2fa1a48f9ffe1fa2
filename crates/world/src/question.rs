//! Questions: a chain of links from a named entity to the answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use data::Span;
use serde::Deserialize;

use crate::fact::{Detail, Fact, Key, Relation, Value};
use crate::language;
use crate::names::{Entity, Kind};
use crate::template::{self, filled, pieces};

/// The five kinds of task (§4.1 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of four letters.
    MultipleChoice,
    /// A name at the end of two to four links.
    MultiHop,
    /// What the text says: a name, a year, a price; one or two links.
    Reading,
    /// To repeat what somebody said, word for word.
    Dialogue,
    /// A sum, a count, a difference or the largest of numbers scattered over the document.
    Numeric,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::MultipleChoice, Self::MultiHop, Self::Reading, Self::Dialogue, Self::Numeric];

    /// As rows name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MultipleChoice => "multiple_choice",
            Self::MultiHop => "multi_hop",
            Self::Reading => "reading",
            Self::Dialogue => "dialogue",
            Self::Numeric => "numeric",
        }
    }

    /// The least and the most links its questions have.
    pub fn hops(self) -> (u8, u8) {
        match self {
            Self::MultiHop => (2, 4),
            Self::Reading => (1, 2),
            _ => (1, 4),
        }
    }
}

/// A question about a document, its answer and where that comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Its kind.
    pub task: Task,
    /// In words, without the options.
    pub question: String,
    /// The right answers. There is one, and the document allows no other.
    pub answers: Vec<String>,
    /// What (A), (B), (C) and (D) stand for; empty unless it is multiple choice.
    pub options: Vec<String>,
    /// The reward's rule: `letter`, `contain`, `numeric` or `mrcr`.
    pub rule: &'static str,
    /// The digits that an `mrcr` answer must begin with; empty otherwise.
    pub code: String,
    /// Links from what the question names to the answer. Adding up or comparing is one of them.
    pub hops: u8,
    /// The sentences that the answer follows from, in the order of the chain.
    pub evidence: Vec<Span>,
    /// What it asks for, for [`derive`].
    pub form: Form,
}

/// One link: from an entity to a value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which value.
    pub relation: Relation,
    /// Of what of the entity.
    pub detail: Detail,
    /// The price of a sale rather than its buyer.
    pub price: bool,
}

/// A question as a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What the question names.
    pub start: Entity,
    /// The links to the entity that it is about.
    pub steps: Vec<Step>,
    /// What it wants to know of that.
    pub last: Last,
}

/// The last link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// A value.
    Value(Step),
    /// The n-th quote (from 1) on a topic, in the order of the document; 0 where there is only one.
    Quote {
        /// On what.
        topic: u8,
        /// Which.
        nth: usize,
    },
    /// Of a firm's profits.
    Sum {
        /// First year.
        from: u16,
        /// Last year.
        to: u16,
    },
    /// Between two years' profits.
    Difference {
        /// The better year.
        more: u16,
        /// The other.
        less: u16,
    },
    /// Of a firm's profits.
    Largest {
        /// First year.
        from: u16,
        /// Last year.
        to: u16,
    },
    /// People born in a place.
    Count,
    /// Profits of all firms based in a place: two links.
    Firms {
        /// In which year.
        year: u16,
    },
}

impl Last {
    /// What it is asked of.
    pub(crate) fn subject(self) -> Kind {
        match self {
            Self::Value(step) => step.relation.subject(),
            Self::Quote { .. } => Kind::Person,
            Self::Sum { .. } | Self::Difference { .. } | Self::Largest { .. } => Kind::Firm,
            Self::Count | Self::Firms { .. } => Kind::Place,
        }
    }

    pub(crate) fn links(self) -> u8 {
        if matches!(self, Self::Firms { .. }) { 2 } else { 1 }
    }
}

impl Form {
    /// Links from the start to the answer.
    pub fn hops(&self) -> u8 {
        self.steps.len() as u8 + self.last.links()
    }

    /// In words. `code`: what a repetition is to begin with.
    pub(crate) fn text(&self, code: &str) -> String {
        let x = self.steps.iter().fold(self.start.name(), |x, step| described(*step, &x));
        let year = |year: u16| year.to_string();
        match self.last {
            Last::Value(step) => {
                let person = !step.price && step.relation.value() == Some(Kind::Person);
                filled(if person { language::ASK_PERSON } else { language::ASK_THING }, &[("x", &described(step, &x))])
            }
            Last::Quote { topic, nth } => {
                let ordinal = language::ORDINALS.get(nth.wrapping_sub(1));
                let ask = if ordinal.is_some() { language::ASK_REPEAT_NTH } else { language::ASK_REPEAT };
                let topic = language::TOPICS[topic as usize];
                filled(ask, &[("code", code), ("x", &x), ("topic", topic), ("ordinal", ordinal.copied().unwrap_or_default())])
            }
            Last::Sum { from, to } => filled(language::ASK_SUM, &[("x", &x), ("from", &year(from)), ("to", &year(to))]),
            Last::Largest { from, to } => filled(language::ASK_LARGEST, &[("x", &x), ("from", &year(from)), ("to", &year(to))]),
            Last::Difference { more, less } => filled(language::ASK_DIFFERENCE, &[("x", &x), ("more", &year(more)), ("less", &year(less))]),
            Last::Count => filled(language::ASK_COUNT, &[("x", &x)]),
            Last::Firms { year: at } => filled(language::ASK_FIRMS, &[("x", &x), ("year", &year(at))]),
        }
    }
}

fn described(step: Step, x: &str) -> String {
    let mut out = String::new();
    template::fill(&pieces(language::described(step.relation, step.price)), &mut out, |slot, out| {
        if !template::detail(slot, step.detail, out) {
            crate::words::words(x).into_iter().for_each(|word| crate::words::push_word(out, word));
        }
    });
    out
}

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

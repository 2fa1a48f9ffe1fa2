//! Questions: a chain of links from a named entity to the answer.

use data::Span;
use serde::Deserialize;

use crate::fact::{Detail, Relation};
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
    /// What each of them says, in the question's words: `the founder of Hale Tiles is Otto Reed.` Empty for what is to be
    /// quoted, added or counted: there the sentence speaks for itself.
    pub stated: Vec<String>,
    /// What it asks for, for [`derive`](crate::derive).
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

pub(crate) fn described(step: Step, x: &str) -> String {
    let mut out = String::new();
    template::fill(&pieces(language::described(step.relation, step.price)), &mut out, |slot, out| {
        if !template::detail(slot, step.detail, out) {
            crate::words::words(x).into_iter().for_each(|word| crate::words::push_word(out, word));
        }
    });
    out
}

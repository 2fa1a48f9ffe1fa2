//! Rules: a reply and its gold answers in, a number in [0, 1] out.

mod answer;
mod contain;
mod letter;
mod normalise;
mod number;
mod numeric;
mod sequence;

use std::fmt;
use std::str::FromStr;

pub(crate) use answer::{Final, after_thinking};
pub use sequence::sequence_ratio;

use crate::{Failure, Item};

/// Lines of an answer that another model is shown.
pub(crate) const LINES: usize = 12;

/// The final answer of a reply in its own words, as every rule reads it: what follows the thinking, and there what follows the last "the
/// answer is", or else the last lines; twelve at most. None where there is no answer.
pub fn final_answer(reply: &str) -> Option<String> {
    Final::of(reply).map(|last| last.lines(LINES)).filter(|said| !said.trim().is_empty())
}

/// How a reply is compared with the gold answers. Where several are given the best match counts.
///
/// All but [`Mrcr`](Self::Mrcr) look at the final answer only: what follows the thinking, and there what follows the last "the answer
/// is" (`Answer:`, `\boxed{…}`, 答案是), or else the last line. A think block that does not end has no answer after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `contain`: the final answer has the gold answer in it, word for word after normalisation (§4.2), in this direction only, and
    /// little else: at most twice the gold's words and four more, one more part (`,` `;` `/` and …) than the gold, no `or`
    /// that the gold has not, and no `not` before it. So listing every candidate is worth nothing.
    Contain,
    /// `cem`: the same without those bounds, on characters rather than words, as benchmarks count (cover exact match). To report
    /// with, not to train with: a reply that lists every candidate has 1.
    Cem,
    /// `exact`: the final answer is the gold answer after normalisation.
    Exact,
    /// `letter`: the letter of a choice, in one of the usual phrasings. Two letters are none.
    Letter,
    /// `numeric`, `numeric:0.01`: the number, within a share of the gold (the bound itself where the gold is 0). 0.0015 by default
    /// (DocMath's). Thousands separators, currencies, `million`, `3/4` are read; 12.5 is not 0.125, but 12.5% is either.
    Numeric {
        /// |reply − gold| ≤ tolerance · |gold|.
        tolerance: f64,
    },
    /// `numeric:abs:0.5`: the number, within a fixed distance.
    Within {
        /// |reply − gold| ≤ bound.
        bound: f64,
    },
    /// `mrcr`: the ratio of Python's `difflib.SequenceMatcher`, as openai/mrcr scores it; 0 without the required prefix. Dense.
    Mrcr,
    /// `format`: thinking that began has ended, once, and a final answer is stated.
    Format,
}

/// There is no such rule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UnknownRule {
    /// No such name.
    #[error("there is no rule `{0}`: choose one of {names}", names = Rule::NAMES.join(", "))]
    Name(String),
    /// A number that bounds nothing.
    #[error("`{0}`: the tolerance is a number from 0 on, as in numeric:0.01 (a share of the gold answer) or numeric:abs:0.5")]
    Tolerance(String),
}

impl Rule {
    /// What [`FromStr`] reads.
    pub const NAMES: [&str; 7] = ["contain", "cem", "exact", "letter", "numeric", "mrcr", "format"];
    /// DocMath's tolerance.
    pub const TOLERANCE: f64 = 0.0015;

    /// The score of `reply` against the best of `answers`, in [0, 1].
    pub fn score(&self, reply: &str, answers: &[String]) -> f64 {
        self.score_with(reply, answers, false, None)
    }

    /// Why this rule can score nothing against these answers, where it cannot: every reply would have 0.
    pub fn check(&self, answers: &[String]) -> Result<(), String> {
        let bad = |usable: fn(&str) -> bool, what: &str| match answers.iter().find(|gold| !usable(gold)) {
            Some(gold) => Err(format!("{what}, and `{}` is not", gold.chars().take(60).collect::<String>())),
            None => Ok(()),
        };
        if matches!(self, Self::Format) {
            return Ok(());
        }
        if answers.is_empty() {
            return Err("there are none".into());
        }
        match self {
            Self::Letter => bad(|gold| letter::gold(gold).is_some(), "each must be the letter of a choice (`B`, `(B)`, `B. …`)"),
            Self::Numeric { .. } | Self::Within { .. } => bad(numeric::usable, "each must be one number, or yes or no"),
            _ => bad(|gold| !gold.trim().is_empty(), "each must be a text"),
        }
    }

    /// `truncated`: only an answer that was stated counts. `prefix`: what [`Mrcr`](Self::Mrcr) asks for; without one, the gold's first
    /// ten letters and digits.
    pub(crate) fn score_with(&self, reply: &str, answers: &[String], truncated: bool, prefix: Option<&str>) -> f64 {
        let best = |score: &dyn Fn(&str) -> f64| answers.iter().map(|gold| score(gold)).fold(0.0, f64::max);
        let all = |right: &dyn Fn(&str) -> bool| f64::from(u8::from(answers.iter().any(|gold| right(gold))));
        if let Self::Mrcr = self {
            return best(&|gold| sequence::mrcr(reply, gold, prefix));
        }
        let Some(last) = Final::of(reply).filter(|last| last.stated || !truncated) else { return 0.0 };
        match *self {
            Self::Contain => all(&|gold| contain::contain(&last, gold)),
            Self::Cem => all(&|gold| contain::cem(&last, gold)),
            Self::Exact => all(&|gold| contain::exact(&last, gold)),
            Self::Letter => {
                let said = letter::letter(&last);
                all(&|gold| said.is_some() && said == letter::gold(gold))
            }
            Self::Numeric { tolerance } => all(&|gold| {
                numeric::equal(&last, gold, |gap, gold| {
                    let bound = if gold == 0.0 { tolerance } else { tolerance * gold.abs() };
                    gap <= bound + 1e-9 * gold.abs()
                })
            }),
            Self::Within { bound } => all(&|gold| numeric::equal(&last, gold, |gap, gold| gap <= bound + 1e-9 * gold.abs())),
            Self::Format => f64::from(u8::from(last.stated && !truncated && answer::well_formed(reply))),
            Self::Mrcr => 0.0,
        }
    }

    /// [`score_with`](Self::score_with) of an item, whose answers were [checked](Self::check). `begun`: what the prompt began of the reply.
    pub(crate) fn score_item(&self, item: &Item<'_>, begun: &str) -> Result<f64, Failure> {
        self.check(item.answers).map_err(|why| Failure::Gold { rule: self.to_string(), why })?;
        let prefix = item.extra.and_then(|extra| extra.get("random_string_to_prepend")?.as_str());
        if matches!(self, Self::Mrcr) && prefix.is_none() && item.answers.iter().any(|gold| sequence::prefix(gold).is_none()) {
            let why = "each must begin with the ten letters and digits that the reply has to begin with, or the row name them in `random_string_to_prepend`";
            return Err(Failure::Gold { rule: self.to_string(), why: why.into() });
        }
        let whole;
        let reply = if begun.is_empty() {
            item.reply
        } else {
            whole = format!("{begun}{}", item.reply);
            &whole
        };
        Ok(self.score_with(reply, item.answers, item.truncated, prefix))
    }

    /// Whether a judge may find a match that the rule cannot see: not for letters, forms, and scores that are dense already.
    pub(crate) fn judged(&self) -> bool {
        matches!(self, Self::Contain | Self::Cem | Self::Exact | Self::Numeric { .. } | Self::Within { .. })
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        let text = text.trim();
        let (name, bound) = text.split_once(':').map_or((text, None), |(name, bound)| (name, Some(bound)));
        let number = |bound: &str| match bound.trim().parse::<f64>() {
            Ok(bound) if bound.is_finite() && bound >= 0.0 => Ok(bound),
            _ => Err(UnknownRule::Tolerance(text.into())),
        };
        match (name, bound) {
            ("contain", None) => Ok(Self::Contain),
            ("cem", None) => Ok(Self::Cem),
            ("exact", None) => Ok(Self::Exact),
            ("letter", None) => Ok(Self::Letter),
            ("numeric", None) => Ok(Self::Numeric { tolerance: Self::TOLERANCE }),
            ("numeric", Some(bound)) => match bound.strip_prefix("abs:") {
                Some(bound) => Ok(Self::Within { bound: number(bound)? }),
                None => Ok(Self::Numeric { tolerance: number(bound)? }),
            },
            ("mrcr", None) => Ok(Self::Mrcr),
            ("format", None) => Ok(Self::Format),
            _ => Err(UnknownRule::Name(text.into())),
        }
    }
}

impl fmt::Display for Rule {
    /// What [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contain => f.write_str("contain"),
            Self::Cem => f.write_str("cem"),
            Self::Exact => f.write_str("exact"),
            Self::Letter => f.write_str("letter"),
            Self::Numeric { tolerance } if *tolerance == Self::TOLERANCE => f.write_str("numeric"),
            Self::Numeric { tolerance } => write!(f, "numeric:{tolerance}"),
            Self::Within { bound } => write!(f, "numeric:abs:{bound}"),
            Self::Mrcr => f.write_str("mrcr"),
            Self::Format => f.write_str("format"),
        }
    }
}

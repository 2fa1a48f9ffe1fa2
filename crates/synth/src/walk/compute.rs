//! What is computed from facts at the end of a chain. In a derivation it is an edge whose `which` names the computation.

use std::fmt;

use data::Fact;

use super::answer;
use crate::describe::exact;

/// How much larger or smaller a figure is supposed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    Twice,
    Half,
    TenthMore,
}

/// A computation over one or two facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// The entity with the earlier year.
    Earlier,
    /// The entity with the later year.
    Later,
    /// Years between two.
    Years,
    /// A figure, if it were so many times as large.
    If(Factor),
    /// The entity with the larger figure, if the first were so many times as large.
    LargerIf(Factor),
    /// The difference of both figures, if the first were so many times as large.
    DifferenceIf(Factor),
}

/// Figures closer than this share of the larger are as good as equal.
const CLOSE: f64 = 0.02;

impl Factor {
    pub const ALL: [Self; 3] = [Self::Twice, Self::Half, Self::TenthMore];

    fn value(self) -> f64 {
        match self {
            Self::Twice => 2.0,
            Self::Half => 0.5,
            Self::TenthMore => 1.1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Twice => "twice",
            Self::Half => "half",
            Self::TenthMore => "tenth_more",
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earlier => f.write_str("earlier"),
            Self::Later => f.write_str("later"),
            Self::Years => f.write_str("years_between"),
            Self::If(factor) => write!(f, "if_{}", factor.name()),
            Self::LargerIf(factor) => write!(f, "larger_if_{}", factor.name()),
            Self::DifferenceIf(factor) => write!(f, "difference_if_{}", factor.name()),
        }
    }
}

impl Compute {
    /// The computation that `which` names.
    pub fn named(which: &str) -> Option<Self> {
        let with_factor = Factor::ALL.into_iter().flat_map(|factor| [Self::If(factor), Self::LargerIf(factor), Self::DifferenceIf(factor)]);
        [Self::Earlier, Self::Later, Self::Years].into_iter().chain(with_factor).find(|compute| compute.to_string() == which)
    }

    /// Whether the answer is a number.
    pub fn number(self) -> bool {
        matches!(self, Self::Years | Self::If(_) | Self::DifferenceIf(_))
    }

    /// The answer. `None` where the facts do not have what it takes, or are too close to tell.
    pub fn answer(self, facts: &[&Fact]) -> Option<String> {
        if let (Self::If(factor), [fact]) = (self, facts) {
            let figure = answer::figure(&fact.value)?;
            return (figure.value > 0.0).then(|| exact(figure.value * factor.value(), &figure.unit));
        }
        let &[one, other] = facts else { return None };
        match self {
            Self::Earlier | Self::Later | Self::Years => {
                let (a, b) = (answer::year(&one.value)?, answer::year(&other.value)?);
                match self {
                    _ if a == b => None,
                    Self::Years => Some(a.abs_diff(b).to_string()),
                    _ => Some(if (a < b) == (self == Self::Earlier) { one } else { other }.subject.clone()),
                }
            }
            Self::LargerIf(factor) | Self::DifferenceIf(factor) => {
                let (a, b) = (answer::figure(&one.value)?, answer::figure(&other.value)?);
                let (supposed, difference) = (a.value * factor.value(), a.value * factor.value() - b.value);
                if a.unit != b.unit || a.value <= 0.0 || b.value <= 0.0 || difference.abs() < CLOSE * supposed.max(b.value) {
                    return None;
                }
                match self {
                    Self::DifferenceIf(_) => Some(exact(difference.abs(), &a.unit)),
                    _ => Some(if difference > 0.0 { one } else { other }.subject.clone()),
                }
            }
            Self::If(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::Span;

    fn fact(subject: &str, value: &str) -> Fact {
        let span = Span { doc: "d".into(), start: 0, end: value.len() };
        Fact { id: "f".into(), subject: subject.into(), relation: "r".into(), value: value.into(), span, call: None }
    }

    #[test]
    fn answers_follow_from_facts() {
        let (a, b) = (fact("A", "300 km"), fact("B", "500 km (2014)"));
        let said = |compute: Compute, facts: &[&Fact]| compute.answer(facts);
        assert_eq!(said(Compute::LargerIf(Factor::Twice), &[&a, &b]).as_deref(), Some("A"));
        assert_eq!(said(Compute::LargerIf(Factor::TenthMore), &[&a, &b]).as_deref(), Some("B"));
        assert_eq!(said(Compute::DifferenceIf(Factor::Half), &[&a, &b]).as_deref(), Some("350 km"));
        assert_eq!(said(Compute::If(Factor::TenthMore), &[&a]).as_deref(), Some("330 km"));
        // Too close to tell: 495 and 500.
        assert_eq!(said(Compute::LargerIf(Factor::TenthMore), &[&fact("C", "450 km"), &b]), None);
        assert_eq!(said(Compute::LargerIf(Factor::Twice), &[&fact("C", "450 m"), &b]), None);
        let (a, b) = (fact("A", "3 May 1871"), fact("B", "1 June 1960 (from C)"));
        assert_eq!(said(Compute::Earlier, &[&a, &b]).as_deref(), Some("A"));
        assert_eq!(said(Compute::Later, &[&a, &b]).as_deref(), Some("B"));
        assert_eq!(said(Compute::Years, &[&b, &a]).as_deref(), Some("89"));
        assert_eq!(said(Compute::Earlier, &[&a, &a]), None);
        assert_eq!(said(Compute::Years, &[&a]), None);
        for which in ["earlier", "years_between", "difference_if_tenth_more", "if_half"] {
            assert_eq!(Compute::named(which).unwrap().to_string(), which);
        }
    }
}

//! What a value answers: one figure, one name, one year.

use crate::measure::{self, Measure, dates, measures};

/// A figure of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub value: f64,
    pub unit: String,
    /// As it is written, with its unit.
    pub text: String,
    /// The last of several years'.
    pub latest: bool,
}

/// An answer that a value gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// As it is written.
    pub text: String,
    /// A figure, to be scored as a number.
    pub number: bool,
    /// Of several years the last is meant.
    pub latest: bool,
    /// It is a year.
    pub year: bool,
}

/// A longer value is no short answer.
const LONGEST: usize = 160;
const LONGEST_NAME: usize = 60;

/// Values that say that there is none, or whether.
const NULLS: [&str; 14] =
    ["true", "false", "none", "no", "yes", "na", "n/a", "nil", "null", "unknown", "not available", "not applicable", "other", "various"];

/// The answer of a value, where it has one.
pub fn answer(value: &str) -> Option<Answer> {
    if let Some(figure) = figure(value) {
        return Some(Answer { text: figure.text, number: true, latest: figure.latest, year: false });
    }
    let text = value.trim();
    // A year is not near enough when it is within a share of it: it is compared as a word.
    let year = matches!(&dates(text)[..], [date] if date.start == 0 && date.end == text.len() && date.month.is_none());
    (year || name(text)).then(|| Answer { text: text.to_string(), number: false, latest: false, year })
}

/// The figure a value begins with and says little else than: numbers in parentheses are remarks. Where it has one for each of several
/// years, the last year's.
pub fn figure(value: &str) -> Option<Figure> {
    if value.len() > LONGEST {
        return None;
    }
    let mut depth = 0usize;
    let mut outside = vec![true; value.len() + 1];
    for (at, c) in value.char_indices() {
        depth = match c {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        outside[at] = depth == 0;
    }
    let found: Vec<Measure> = measures(value).into_iter().filter(|measure| outside[measure.start]).collect();
    let first = found.first()?;
    if !value.get(..first.start)?.trim().is_empty() {
        return None;
    }
    let mut last = first;
    for (at, measure) in found.iter().enumerate() {
        let next = found.get(at + 1).map_or(value.len(), |next| next.start);
        if !closed(value.get(measure.end..next)?) || found.len() > 1 && (measure.unit != first.unit || measure.year.is_none()) {
            return None;
        }
        if found[..at].iter().any(|other| other.year == measure.year) {
            return None;
        }
        last = if measure.year > last.year { measure } else { last };
    }
    let text = value.get(last.start..last.end)?.trim().to_string();
    Some(Figure { value: last.value, unit: last.unit.clone(), text, latest: found.len() > 1 })
}

/// Whether what follows a figure says no more than what it is a share of and when: `of GDP (2014 est.) ++`.
fn closed(rest: &str) -> bool {
    let mut bare = String::new();
    let mut depth = 0usize;
    for c in rest.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    let bare = bare.trim().trim_end_matches(['+', ';', ',', '|']).trim();
    bare.len() <= 40 && !bare.contains(|c: char| c.is_ascii_digit() || matches!(c, ';' | ':' | ',' | '\n' | '.' | '/'))
}

/// The year that a value dates something to: it has dates of one year only, and no figures. A year alone in parentheses says when
/// something was counted, but for that of a day: `Unity Day, 3 October (1990)`.
pub fn year(value: &str) -> Option<i32> {
    if value.len() > LONGEST || !measures(value).is_empty() {
        return None;
    }
    // `3 October (1990)`: what stands before the parentheses ends in a day.
    let day = |before: &str| {
        let mut words = before.split_whitespace().rev();
        words.next().is_some_and(|word| word.chars().all(char::is_alphabetic))
            && words.next().is_some_and(|word| word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit()))
    };
    let counted = |start: usize| {
        let before = value.get(..start).unwrap_or("");
        before.rfind('(').is_some_and(|open| !before[open..].contains(')') && !day(&before[..open]))
    };
    let only_counted = dates(value).iter().any(|date| date.month.is_none() && counted(date.start));
    measure::year(value).filter(|_| !only_counted)
}

/// Whether a value says that there is none, or only yes or no.
pub fn is_null(value: &str) -> bool {
    NULLS.contains(&&*value.trim().to_lowercase())
}

/// What a value says of a cause or an effect: a name, or a few words such as `heavy rain`. No figure and no year.
pub fn phrase(value: &str) -> Option<String> {
    let text = value.trim();
    let mut capital = text.chars();
    // As a name but for its first letter.
    let begun: String = capital.next().into_iter().flat_map(char::to_uppercase).chain(capital).collect();
    (figure(text).is_none() && name(&begun)).then(|| text.to_string())
}

/// A few words that name one thing: they begin with a capital.
fn name(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let words = text.split_whitespace().count();
    let odd = |c: char| c.is_numeric() || ",;:/()[]|\"\n+&@%$€£¥<>=#".contains(c);
    let begins = text.chars().next().is_some_and(|c| c.is_alphabetic() && !c.is_lowercase());
    let several = text.split_whitespace().any(|word| matches!(word, "and" | "or" | "not"));
    begins && letters >= 3 && text.len() <= LONGEST_NAME && words <= 6 && !text.contains(odd) && !several && !is_null(text)
}

/// Whether an answer stands in a text as words of its own, without regard to case. `lower` is the text in lower case.
pub fn stands_in(lower: &str, answer: &str) -> bool {
    let wanted = answer.trim().to_lowercase();
    if wanted.is_empty() {
        return false;
    }
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    lower.match_indices(&wanted).any(|(at, _)| {
        let (before, after) = (&lower[..at], &lower[at + wanted.len()..]);
        let (mut left, mut right) = (before.chars().rev(), after.chars());
        let joined = |edge: Option<char>, next: Option<char>, of: Option<char>| match edge {
            Some('.' | ',') => digit(next) && digit(of),
            Some(c) => c.is_alphanumeric() && of.is_some_and(char::is_alphanumeric),
            None => false,
        };
        !joined(left.next(), left.next(), wanted.chars().next()) && !joined(right.next(), right.next(), wanted.chars().next_back())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_answers_one_thing_or_nothing() {
        let said = |value: &str| answer(value).map(|answer| (answer.text, answer.number, answer.latest));
        let number = |text: &str, latest| Some((text.to_string(), true, latest));
        let text = |text: &str| Some((text.to_string(), false, false));
        assert_eq!(said("8,350 sq km"), number("8,350 sq km", false));
        assert_eq!(said("-2.7% of GDP (2014 est.)"), number("-2.7%", false));
        assert_eq!(said("12.88% (male 5,346,086/female 5,068,071)"), number("12.88%", false));
        assert_eq!(said("$3.66 trillion (2013 est.) ++ $3.72 trillion (2014 est.)"), number("$3.72 trillion", true));
        assert_eq!(said("Berlin"), text("Berlin"));
        assert_eq!(said("1871"), text("1871"));
        for value in [
            "",
            "none",
            "Zugspitze 2,963 m",
            "18 years of age; universal",
            "5% (2014) ++ 6% (2014)",
            "5% (2014) ++ 6 km (2013)",
            "26,420 sq km 26,950 sq km",
            "Berlin, Bonn",
            "Red and White",
            "calendar year",
            "NA% of GDP",
            "4 October 1958",
        ] {
            assert_eq!(said(value), None, "{value}");
        }
    }

    #[test]
    fn a_year_dates_or_it_belongs_to_a_figure() {
        assert_eq!(year("18 January 1871 (founded)"), Some(1871));
        assert_eq!(year("Unity Day, 3 October (1990)"), Some(1990));
        assert_eq!(year("Ann Hale (since 3 May 2014)"), Some(2014));
        for value in ["5% (2014)", "1871; 1949", "yes", "NA (2014 est.)", "less than 5 (2014)"] {
            assert_eq!(year(value), None, "{value}");
        }
    }

    #[test]
    fn an_answer_stands_in_a_text_as_words() {
        let text = "total: 18,350 sq km (5.5%) near berlin.";
        for answer in ["Berlin", "5.5%", "18,350 sq km"] {
            assert!(stands_in(text, answer), "{answer}");
        }
        for answer in ["8,350 sq km", "5%", "Berl", "", "18"] {
            assert!(!stands_in(text, answer), "{answer}");
        }
    }

    proptest! {
        #[test]
        fn no_value_breaks_it(value in "([0-9]{1,4}|[$€%.,;:/()+-]|[ ]|km|million|\\PC){0,40}") {
            year(&value);
            if let Some(answer) = answer(&value) {
                prop_assert!(value.contains(&answer.text) && stands_in(&value.to_lowercase(), &answer.text) | !answer.text.is_ascii());
            }
        }
    }
}

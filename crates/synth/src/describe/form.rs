//! A value, and the ways of saying it less exactly. Everything follows from the value alone, so that a row can be checked by itself.

use crate::measure::measures;
use crate::walk::answer;

use super::spell::round;

/// What is read from a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A figure; `latest`: the last of several years'.
    Number { value: f64, unit: String, latest: bool },
    /// A year that something happened in.
    Year(i32),
    /// A name of up to four words: their initials, and how many letters the only one has.
    Name { initials: String, letters: usize },
}

/// A way of saying it, and what fits it.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// As it stands after `is`, `falls in` or the like.
    pub text: String,
    /// `number`, `time` or `institution`.
    pub kind: &'static str,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// From `low` up to but not `high`.
    Between {
        low: f64,
        high: f64,
        unit: String,
    },
    /// Rounded to two digits; `step` is one of the second.
    About {
        value: f64,
        step: f64,
        unit: String,
    },
    Decade(i32),
    /// The last digit of a year, and which third of which hundred years.
    Ending {
        digit: i32,
        hundred: i32,
        third: i32,
    },
    Name {
        initials: String,
        letters: usize,
    },
}

/// A longer value says more than one thing.
const LONGEST: usize = 120;

/// What a value says, where that is one thing. `number`: four digits alone are a number as others are, not a year.
pub fn read(value: &str, number: bool) -> Option<Reading> {
    if value.len() > LONGEST {
        return None;
    }
    if let Some(value) = value.trim().parse().ok().filter(|_| number && is_bare(value)) {
        return Some(Reading::Number { value, unit: String::new(), latest: false });
    }
    if let Some(figure) = answer::figure(value) {
        return Some(Reading::Number { value: figure.value, unit: figure.unit, latest: figure.latest });
    }
    if let Some(year) = answer::year(value) {
        return Some(Reading::Year(year));
    }
    name(value.trim())
}

/// Digits alone.
pub fn is_bare(value: &str) -> bool {
    let value = value.trim();
    (1..=15).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
}

/// All ways of saying it.
pub fn forms(reading: &Reading) -> Vec<Form> {
    match reading {
        Reading::Number { value, unit, .. } => number(*value, unit),
        Reading::Year(year) => years(*year),
        Reading::Name { initials, letters } => vec![named(initials, *letters)],
    }
}

/// Whether `said` is a way of saying `value`.
pub fn fits(value: &str, said: &str) -> bool {
    [false, true].into_iter().filter_map(|number| read(value, number)).any(|reading| forms(&reading).iter().any(|form| form.text == said))
}

impl Form {
    /// Whether a reader might find that it fits: a little more than what does.
    pub fn near(&self, reading: &Reading) -> bool {
        match (&self.test, reading) {
            (Test::Between { low, high, unit }, Reading::Number { value, unit: other, .. }) => {
                unit == other && (*low..*high).contains(value)
            }
            (Test::About { value, step, unit }, Reading::Number { value: other, unit: of, .. }) => {
                unit == of && (other - value).abs() <= 3.0 * step
            }
            (Test::Decade(decade), Reading::Year(year)) => year.div_euclid(10) == *decade,
            // Where a third of a hundred years ends is not agreed upon.
            (Test::Ending { digit, hundred, third }, Reading::Year(year)) => {
                let from = hundred * 100 + third * 33;
                year.rem_euclid(10) == *digit && (from - 10..from + 44).contains(year)
            }
            (Test::Name { initials, letters }, Reading::Name { initials: other, letters: of }) => initials == other && letters == of,
            _ => false,
        }
    }
}

/// `at least 300 thousand and less than 400 thousand sq km`, `about 360 thousand sq km`.
fn number(value: f64, unit: &str) -> Vec<Form> {
    let mut out = Vec::new();
    // A single digit would be given away by any interval that says something.
    if !(value > 0.0) || !value.is_finite() {
        return out;
    }
    let power = 10f64.powi((value.log10() + 1e-12).floor() as i32);
    let low = (value / power + 1e-9).floor() * power;
    if (value - low).abs() > 1e-9 * value {
        let text = format!("at least {} and less than {}", round(low, unit), round(low + power, unit));
        out.push(Form {
            text,
            kind: "number",
            test: Test::Between { low: low * (1.0 - 1e-12), high: (low + power) * (1.0 - 1e-12), unit: unit.into() },
        });
    }
    let step = power / 10.0;
    let rounded = (value / step).round() * step;
    if (value - rounded).abs() > 1e-9 * value {
        let test = Test::About { value: rounded, step, unit: unit.into() };
        out.push(Form { text: format!("about {}", round(rounded, unit)), kind: "number", test });
    }
    out
}

/// `the 1950s`, `a year ending in 5 in the late 20th century`.
fn years(year: i32) -> Vec<Form> {
    let (hundred, digit) = (year.div_euclid(100), year.rem_euclid(10));
    let third = (year.rem_euclid(100) / 33).min(2);
    let part = ["early", "middle", "late"][third as usize];
    let century = hundred + 1;
    let ending = match (century % 10, century % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    let say = match third {
        1 => format!("a year ending in {digit} around the middle of the {century}{ending} century"),
        _ => format!("a year ending in {digit} in the {part} {century}{ending} century"),
    };
    let decade = year.div_euclid(10);
    vec![
        Form { text: say, kind: "time", test: Test::Ending { digit, hundred, third } },
        Form { text: format!("a year of the {decade}0s"), kind: "time", test: Test::Decade(decade) },
    ]
}

fn name(value: &str) -> Option<Reading> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let fine = |word: &&str| word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’'));
    let begins = value.chars().next().is_some_and(|c| c.is_alphabetic() && !c.is_lowercase());
    if !begins || !(1..=4).contains(&words.len()) || !words.iter().all(fine) || !measures(value).is_empty() || answer::is_null(value) {
        return None;
    }
    let initials = words.iter().filter_map(|word| word.chars().find(|c| c.is_alphabetic())).collect();
    let letters = if words.len() == 1 { value.chars().filter(|c| c.is_alphabetic()).count() } else { 0 };
    (letters == 0 || letters > 2).then_some(Reading::Name { initials, letters })
}

/// `a name of 6 letters that begins with B`, `a name of 2 words with the initials K. L.`.
fn named(initials: &str, letters: usize) -> Form {
    let test = Test::Name { initials: initials.to_string(), letters };
    let text = match letters {
        0 => {
            let said: Vec<String> = initials.chars().map(|c| format!("{c}.")).collect();
            format!("a name of {} words with the initials {}", said.len(), said.join(" "))
        }
        _ => format!("a name of {letters} letters that begins with {initials}"),
    };
    Form { text, kind: "institution", test }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: &str) -> Vec<String> {
        forms(&read(value, false).unwrap()).into_iter().map(|form| form.text).collect()
    }

    #[test]
    fn values_are_said_vaguely() {
        assert_eq!(said("357,022 sq km"), ["at least 300 thousand sq km and less than 400 thousand sq km", "about 360 thousand sq km"]);
        assert_eq!(said("$3.86 trillion (2014 est.)"), ["at least $3 trillion and less than $4 trillion", "about $3.9 trillion"]);
        assert_eq!(said("25%"), ["at least 20% and less than 30%"]);
        assert_eq!(said("18 January 1871 (founded)"), ["a year ending in 1 in the late 19th century", "a year of the 1870s"]);
        assert_eq!(said("1950"), ["a year ending in 0 around the middle of the 20th century", "a year of the 1950s"]);
        assert_eq!(said("Berlin"), ["a name of 6 letters that begins with B"]);
        assert_eq!(said("Kuala Lumpur"), ["a name of 2 words with the initials K. L."]);
        // A round value would be said outright.
        assert_eq!(said("300 km"), [""; 0]);
        for value in ["", "-3%", "True", "none", "tropical; hot", "1949 or 1950", "none at all because of this and that"] {
            assert!(read(value, false).is_none_or(|reading| forms(&reading).is_empty()), "{value}");
        }
        assert!(fits("1957", "about 2 thousand") && fits("1957", "a year of the 1950s"));
        assert!(fits("357,022 sq km", "about 360 thousand sq km"));
        assert!(!fits("367,022 sq km", "about 360 thousand sq km"));
    }

    #[test]
    fn what_a_reader_might_think_to_fit_is_wider() {
        let form = |value: &str, at: usize| forms(&read(value, false).unwrap())[at].clone();
        let near = |form: &Form, value: &str| form.near(&read(value, false).unwrap());
        let about = form("357,022 sq km", 1);
        assert!(near(&about, "357,022 sq km") && near(&about, "340,000 sq km") && !near(&about, "320,000 sq km"));
        assert!(!near(&about, "357,022 km") && !near(&about, "1957"));
        let between = form("357,022 sq km", 0);
        assert!(near(&between, "300,000 sq km") && !near(&between, "400,000 sq km") && !near(&between, "299,999 sq km"));
        let late = form("1971", 0);
        assert!(near(&late, "1961") && near(&late, "1991") && !near(&late, "1951") && !near(&late, "1970"));
        assert!(!near(&form("Berlin", 0), "Bremen-X") && near(&form("Berlin", 0), "Bremen"));
    }
}

//! Numbers with their units, as structured sources write them.
//!
//! What is not clearly a number that stands for itself is left out: parts of names (`Sulfur 85`), of dates, addresses, telephone numbers
//! and coordinates, ranges (`63-66%`), bounds (`less than 5%`), and counts of things in a sentence (`20 of its ships`). A number that is
//! left out costs a cell of a table; one that is misread makes a wrong answer.

mod list;
mod time;
mod units;

pub use list::{Listed, list};
pub use time::{dates, year};

use units::{CODES, MAGNITUDES, SIGNS};

/// A number as text has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// As written, with `million`, `billion`, `trillion` multiplied out: `$2.5 billion` is 2.5e9, but `5%` is 5.
    pub value: f64,
    /// `km`, `sq km`, `%`, `$`, `years`, `deaths/1,000 population`: one spelling for what is written in several. Empty where there is none.
    pub unit: String,
    /// The year it holds for, where one stands beside it in parentheses: `(2014 est.)`, `(31 December 2014)`; not `(2010-15)`.
    pub year: Option<i32>,
    /// First byte of the number, of its sign or of its currency, whichever is first.
    pub start: usize,
    /// One past the last byte of its unit.
    pub end: usize,
}

/// All numbers of a value, in order; years in parentheses belong to the number before them.
pub fn measures(text: &str) -> Vec<Measure> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(digit) = next_number(text, at) {
        match measure(text, digit, false) {
            Ok(measure) => {
                at = measure.end;
                found.push(measure);
            }
            Err(end) => at = end.max(digit + 1),
        }
    }
    found
}

/// Where the next digits begin, or the point before them.
fn next_number(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    (from..bytes.len()).find(|&at| bytes[at].is_ascii_digit() || bytes[at] == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit))
}

/// The number whose digits begin at `at`, or where to look on. `counted`: a small number after a name is one as well (`AM 23`).
fn measure(text: &str, at: usize, counted: bool) -> Result<Measure, usize> {
    // What touches the digits belongs to the same word: after a part that is no number there is none in the rest.
    let word_end = || at + text[at..].find(char::is_whitespace).unwrap_or(text.len() - at);
    let (sign, currency) = before(text, at).ok_or_else(word_end)?;
    let start = currency.start.min(sign.unwrap_or(at));
    let digits = digits(text, at).ok_or_else(word_end)?;
    let (scale, scaled) =
        magnitude(&text[digits.end..], !currency.unit.is_empty()).map_or((0, digits.end), |(scale, len)| (scale, digits.end + len));
    let preceding = text[..start].trim_end();
    let opens = opens_clause(preceding);
    let (mut unit, mut end) = units::read(&text[scaled..], opens).map_or((String::new(), scaled), |(unit, len)| (unit, scaled + len));
    if !currency.unit.is_empty() {
        (unit, end) = (currency.unit, scaled);
    }
    let rest = &text[end..];
    if let Some(second) = range_after(rest) {
        return Err(end + second);
    }
    if units::bounded_before(preceding) || units::bounded_after(rest) {
        return Err(end.max(word_end()));
    }
    let touches = rest.chars().next().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '–' | '_' | '#' | '\'' | '’'));
    let slash = rest.strip_prefix('/').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '$')));
    if touches.is_some() || slash {
        return Err(end.max(word_end()));
    }
    let year = time::year_beside(rest);
    if unit.is_empty() {
        // Nothing says what is counted. It has to stand alone, or to look like nothing but a number.
        let alone = opens && !digits.like_year;
        let plainly = digits.grouped || scale > 0 || year.is_some() && !digits.like_year || counted;
        let named = preceding.ends_with(|c: char| c.is_alphabetic() || matches!(c, ')' | '"')) && !time::ends_in_month(preceding);
        if !units::closes_clause(rest) || !(alone || plainly && named || digits.grouped && text[..start].ends_with('(')) {
            return Err(end.max(word_end()));
        }
    }
    let sign = if sign.is_some() { "-" } else { "" };
    let value: f64 = format!("{sign}{}e{scale}", digits.plain).parse().map_err(|_| word_end())?;
    if value.is_finite() { Ok(Measure { value, unit, year, start, end }) } else { Err(word_end()) }
}

struct Currency {
    unit: String,
    /// First byte; that of the number where there is no currency.
    start: usize,
}

/// The byte of the minus sign before the digits, and the currency. None where the digits go on something else.
fn before(text: &str, at: usize) -> Option<(Option<usize>, Currency)> {
    // `$-5`: the sign stands between.
    let inner = text[..at].strip_suffix('-').filter(|head| head.ends_with(SIGNS));
    let head = inner.unwrap_or(&text[..at]);
    let mut currency = Currency { unit: String::new(), start: at };
    if let Some(sign) = head.chars().next_back().filter(|c| SIGNS.contains(c)) {
        // `US$`, `HK$`: the letters belong to it.
        let bare = &head[..head.len() - sign.len_utf8()];
        let letters = bare.bytes().rev().take_while(u8::is_ascii_uppercase).count();
        let start = if letters <= 3 { bare.len() - letters } else { bare.len() };
        currency = Currency { unit: head[start..].to_string(), start };
    } else if let Some(code) = CODES.iter().find(|code| head.trim_end().ends_with(**code)) {
        currency = Currency { unit: code.to_string(), start: head.trim_end().len() - code.len() };
    }
    let head = &text[..currency.start];
    let last = head.chars().next_back();
    let minus = last.filter(|c| matches!(c, '-' | '−'));
    let sign = minus.map(|c| head.len() - c.len_utf8());
    let free = match sign.map_or(last, |sign| text[..sign].chars().next_back()) {
        None => true,
        Some('+') => opens_clause(text[..sign.unwrap_or(head.len())].trim_end_matches('+').trim_end()),
        // Scripts without spaces.
        Some('\u{3400}'..='\u{9fff}') => true,
        Some(c) => c.is_whitespace() || matches!(c, '(' | '"' | '“' | ':' | '=' | '~' | '≈' | '|' | '；' | '，' | '：' | '（'),
    };
    // `12:30`, and `1 234` or `46 00`: one number after the other.
    let digit = head.trim_end_matches([' ', ':']).ends_with(|c: char| c.is_ascii_digit());
    let sign = sign.or(inner.map(str::len));
    (free && !(digit && sign.is_none() && currency.unit.is_empty())).then_some((sign, currency))
}

struct Digits {
    /// As `f64` reads them.
    plain: String,
    end: usize,
    /// `1,234`.
    grouped: bool,
    /// `1986`: without a unit it is as likely a year.
    like_year: bool,
}

/// `7`, `1,234.5`, `.5`. None for `1,23`, `1.2.3` and whatever else is no number.
fn digits(text: &str, at: usize) -> Option<Digits> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let run = |from: usize| (from..).find(|&at| !digit(at)).unwrap_or(from);
    let (mut end, mut grouped) = (run(at), false);
    let whole = end - at;
    while bytes.get(end) == Some(&b',') && digit(end + 1) {
        if run(end + 1) - end != 4 || whole > 3 || whole == 0 {
            return None;
        }
        (end, grouped) = (end + 4, true);
    }
    let mut decimal = false;
    if bytes.get(end) == Some(&b'.') && digit(end + 1) {
        (end, decimal) = (run(end + 1), true);
        if matches!(bytes.get(end), Some(b'.' | b',')) && digit(end + 1) {
            return None;
        }
    }
    // 1,000,000,000,000 and its like are numbers; hundreds of digits are something else.
    if end - at > 40 || bytes.get(end) == Some(&b':') && digit(end + 1) {
        return None;
    }
    let plain: String = text[at..end].chars().filter(|c| *c != ',').collect();
    let like_year = !grouped && !decimal && whole == 4 && (b'1'..=b'2').contains(&bytes[at]);
    Some(Digits { plain, end, grouped, like_year })
}

/// A power of ten in words, and its length with the space before it. `money`: `$5m` is five million, `5 m` is not.
fn magnitude(rest: &str, money: bool) -> Option<(i32, usize)> {
    let word = rest.trim_start_matches([' ', '\u{a0}']);
    let gap = rest.len() - word.len();
    let of = |words: &str| MAGNITUDES.iter().find(|(name, _, only_money)| (money || !only_money) && *name == words).map(|found| found.1);
    let letters = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
    if letters > 0 {
        return of(&word[..letters].to_lowercase()).map(|scale| (scale, gap + letters));
    }
    MAGNITUDES.iter().find(|(name, ..)| !name.is_ascii() && word.starts_with(name)).map(|(name, scale, _)| (*scale, gap + name.len()))
}

/// The length of the text up to the end of a second number, where this is one of a range: `-66%`, ` to 10 km`, ` or 12`.
fn range_after(rest: &str) -> Option<usize> {
    let near = rest.trim_start_matches([' ', '\u{a0}']);
    let joint = ["to ", "or ", "and ", "-", "–", "—", "±", "×", "x "].iter().find(|joint| near.starts_with(**joint))?;
    let second = near[joint.len()..].trim_start_matches(|c: char| c == ' ' || c == '.' || SIGNS.contains(&c));
    if !second.starts_with(|c: char| c.is_ascii_digit()) || *joint == "and " {
        return None;
    }
    let start = rest.len() - second.len();
    Some(start + second.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ';')).unwrap_or(second.len()))
}

/// Whether a clause begins after this text: `;`, `:`, a line, the source's `++`.
fn opens_clause(preceding: &str) -> bool {
    preceding.is_empty() || preceding.ends_with([';', ':', '|', '；', '：']) || preceding.ends_with("++")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(f64, String, Option<i32>)> {
        measures(text).into_iter().map(|m| (m.value, m.unit, m.year)).collect()
    }

    #[track_caller]
    fn is(text: &str, wanted: &[(f64, &str, i32)]) {
        let wanted: Vec<_> = wanted.iter().map(|(value, unit, year)| (*value, unit.to_string(), (*year != 0).then_some(*year))).collect();
        assert_eq!(read(text), wanted, "{text}");
    }

    #[test]
    fn numbers_with_units() {
        is("643,801 sq km; 551,500 sq km (metropolitan France)", &[(643_801.0, "sq km", 0), (551_500.0, "sq km", 0)]);
        is("$2.581 trillion (2014 est.) ++ $2.571 trillion (2013 est.)", &[(2.581e12, "$", 2014), (2.571e12, "$", 2013)]);
        is("-$29.91 billion (31 December 2014 est.)", &[(-29.91e9, "$", 2014)]);
        is("10.2% (2014 est.)", &[(10.2, "%", 2014)]);
        is("-2.7% of GDP (2014 est.)", &[(-2.7, "%", 2014)]);
        is("$-34.71 billion", &[(-34.71e9, "$", 0)]);
        is("Rhone River delta -2 m", &[(-2.0, "m", 0)]);
        is("29.87 million (2014 est.)", &[(29.87e6, "", 2014)]);
        is("18 years of age; universal", &[(18.0, "years", 0)]);
        is("1.62 migrant(s)/1,000 population (2015 est.)", &[(1.62, "migrant(s)/1,000 population", 2015)]);
        is("512.1  cu m/yr (2009)", &[(512.1, "cu m/yr", 2009)]);
        is("8.201 billion kWh (2013 est.)", &[(8.201e9, "kWh", 2013)]);
        is("MANAMA (capital) 411,000 (2015)", &[(411_000.0, "", 2015)]);
        is("16 (2013)", &[(16.0, "", 2013)]);
        is("26,420 sq km 26,950 sq km", &[(26_420.0, "sq km", 0), (26_950.0, "sq km", 0)]);
        is("3.01% annual rate of change (2010-15 est.)", &[(3.01, "%", 0)]);
        is("US$5bn, about 7 square kilometres and 20 per cent", &[(5e9, "US$", 0), (7.0, "sq km", 0), (20.0, "%", 0)]);
        is("20 provinces", &[(20.0, "provinces", 0)]);
        is("$3m for 3 m", &[(3e6, "$", 0), (3.0, "m", 0)]);
        is("营收3.5亿元，另有3亿人民币", &[(3.5e8, "元", 0), (3e8, "元", 0)]);
        let year = "18.74% (male 5,360,078/female 7,111,423) (2015 est.)";
        is(year, &[(18.74, "%", 2015), (5_360_078.0, "", 0), (7_111_423.0, "", 0)]);
    }

    #[test]
    fn what_only_looks_like_a_number_is_none() {
        for text in [
            "[33] (1) 43-12-22-22",
            "[1] (202) 333-1129",
            "46 00 N, 2 00 E",
            "4 October 1958",
            "May 5 (1990)",
            "5 ft²",
            "since 3 December 2013",
            "Independence Day, 22 November (1943)",
            "63-66%, .5-.75%",
            "5 to 10 km",
            "less than 5%",
            "65 years and over",
            "200-m depth",
            "Sulfur 85",
            "adopted 1990",
            "1990",
            "3514 International Drive NW, Washington, DC 20008",
            "UTC+3 (8 hours-ahead)",
            "12:30",
            "1.2.3",
            "1,23",
            "A4, 2nd, 19th century, 1970s",
            "it has 20 ships in 3 ports",
            "(19%/71%/10%)",
            "Cuadra 17 s/n",
            "",
        ] {
            is(text, &[]);
        }
    }

    #[test]
    fn a_long_text_takes_as_long_as_its_parts() {
        // Looking at the whole text for each number would take minutes.
        for part in ["(5%", "=5%", "5% ", "x5 ", "5.5.5", "5 m;"] {
            assert!(measures(&part.repeat(20_000)).len() <= 20_000, "{part}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "([0-9]{1,4}|[$€%.,;:/()+-]|[ ]|km|million|亿|[a-zé北−]|to|est\\.|\\PC){0,40}") {
            let found = measures(&text);
            let mut last = 0;
            for measure in &found {
                prop_assert!(measure.start >= last && text[measure.start..measure.end].contains(|c: char| c.is_ascii_digit()));
                prop_assert!(measure.value.is_finite());
                last = measure.end;
            }
            for entry in list(&text) {
                prop_assert!(!text[entry.start..entry.end].trim().is_empty());
            }
            for date in dates(&text) {
                prop_assert!(text[date.start..date.end].contains(|c: char| c.is_ascii_digit()));
            }
            year(&text);
        }
    }
}

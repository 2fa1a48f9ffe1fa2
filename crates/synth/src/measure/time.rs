//! Years and days, as English and ISO 8601 write them.

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

/// Words that may stand with a year in parentheses that say when a number was taken.
const WITH_YEAR: [&str; 14] =
    ["est", "estimate", "estimated", "census", "data", "as", "of", "in", "projected", "proj", "about", "ca", "fy", "end"];

/// Bytes behind a number in which its year is looked for.
const BESIDE: usize = 400;

/// A day, a month or a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Of the common era, 1000 to 2100.
    pub year: i32,
    /// 1 to 12, where it is said.
    pub month: Option<u8>,
    /// 1 to 31, where it is said.
    pub day: Option<u8>,
    /// First byte in the text.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

/// The dates of a text, in order: `4 October 1958`, `October 4, 1958`, `July 2015`, `1958-10-04`, `1958`. A year alone is four digits that
/// belong to no other number, with no unit after them; years before Christ are left out.
pub fn dates(text: &str) -> Vec<Date> {
    let words = words(text);
    let mut found: Vec<Date> = Vec::new();
    for (at, &(start, end)) in words.iter().enumerate() {
        let word = &text[start..end];
        if let Some((year, month, day)) = iso(word) {
            found.push(Date { year, month: Some(month), day: Some(day), start, end });
            continue;
        }
        let Some(year) = four_digits(word).filter(|_| alone(text, start, end)) else { continue };
        let back = |n: usize| at.checked_sub(n).map(|i| (words[i], &text[words[i].0..words[i].1]));
        let gap = |from: usize| text[from..start].trim_matches([' ', ',', '.']).len();
        let mut date = Date { year, month: None, day: None, start, end };
        if let Some(((from, to), name)) = back(1)
            && let Some(month) = month(name).filter(|_| gap(to) == 0)
        {
            // 4 October 1958
            (date.month, date.start) = (Some(month), from);
            if let Some(((first, last), number)) = back(2)
                && let Some(day) = day(number).filter(|_| text[last..from].trim().is_empty())
            {
                (date.day, date.start) = (Some(day), first);
            }
        } else if let Some(((_, to), number)) = back(1)
            && let Some(day) = day(number).filter(|_| gap(to) == 0 && text[to..start].contains(','))
            && let Some(((from, last), name)) = back(2)
            && let Some(month) = month(name).filter(|_| text[last..to].trim_start_matches(['.', ' ']).len() == number.len())
        {
            // October 4, 1958
            date = Date { month: Some(month), day: Some(day), start: from, ..date };
        } else if let Some(&(next, last)) = words.get(at + 1)
            && text[end..next].chars().all(|c| c == ' ')
            && (text[next..last].starts_with(|c: char| c.is_lowercase()) && !follows_year(&text[next..last])
                || before_christ(&text[next..last]))
        {
            // 1200 people, 1958 metres, 1200 BC.
            continue;
        }
        if found.last().is_none_or(|last| last.end <= date.start) {
            found.push(date);
        }
    }
    found
}

/// The year a text speaks of, if it is one only.
pub fn year(text: &str) -> Option<i32> {
    let dates = dates(text);
    let first = dates.first()?.year;
    dates.iter().all(|date| date.year == first).then_some(first)
}

/// The year in parentheses that belongs to a number before this text: behind words without digits, and behind other parentheses.
pub(super) fn year_beside(rest: &str) -> Option<i32> {
    let mut rest = &rest[..rest.floor_char_boundary(BESIDE)];
    loop {
        let open = rest.find('(')?;
        if open > 60 || rest[..open].contains([';', ',', '+', ':', '|', '\n', ')']) || rest[..open].contains(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let close = open + rest[open..].find(')')?;
        let inside = &rest[open + 1..close];
        // What a source adds to the year: `2014 est.; note …`, `2012, official`.
        let said = inside.split([';', ',']).next().unwrap_or("");
        let mut years = words(said).into_iter().map(|(start, end)| &said[start..end]).filter_map(|word| {
            let lower = word.to_lowercase();
            if let Some(year) = four_digits(word).or_else(|| word.strip_prefix("FY").and_then(four_digits)) {
                return Some(Some(year));
            }
            (month(word).is_none() && day(word).is_none() && !WITH_YEAR.contains(&&*lower)).then_some(None)
        });
        match (years.next(), years.next()) {
            (Some(Some(year)), None) => return Some(year),
            // A range of years, or no year at all: the next parentheses may have one.
            _ => rest = &rest[close + 1..],
        }
    }
}

/// Whether a text ends in the name of a month.
pub(super) fn ends_in_month(text: &str) -> bool {
    text.rsplit(|c: char| !c.is_alphabetic()).next().and_then(month).is_some()
}

/// Runs of letters and digits, with the hyphens, slashes and apostrophes between them.
fn words(text: &str) -> Vec<(usize, usize)> {
    let (mut out, mut open) = (Vec::new(), None);
    for (at, c) in text.char_indices() {
        match (c.is_alphanumeric() || matches!(c, '-' | '/' | '–' | '\'' | '’'), open) {
            (true, None) => open = Some(at),
            (false, Some(start)) => {
                out.push((start, at));
                open = None;
            }
            _ => {}
        }
    }
    out.extend(open.map(|start| (start, text.len())));
    out
}

fn four_digits(word: &str) -> Option<i32> {
    let digits = word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|year| digits && (1000..=2100).contains(year))
}

fn iso(word: &str) -> Option<(i32, u8, u8)> {
    let mut parts = word.splitn(3, '-');
    let (year, month, day) = (four_digits(parts.next()?)?, parts.next()?, parts.next()?);
    let part = |part: &str, most: u8| part.parse().ok().filter(|n| part.len() == 2 && (1..=most).contains(n));
    Some((year, part(month, 12)?, part(day, 31)?))
}

fn month(word: &str) -> Option<u8> {
    let lower = word.to_lowercase();
    let whole = MONTHS.iter().position(|name| *name == lower);
    // `may` is a verb, `mar` and `dec` are months only with a capital.
    let short = || MONTHS.iter().position(|name| lower == name[..3] || lower == "sept" && name.starts_with("sept"));
    let at = whole.or_else(short).filter(|_| word.starts_with(char::is_uppercase))?;
    u8::try_from(at + 1).ok()
}

fn day(word: &str) -> Option<u8> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    digits.parse().ok().filter(|day| (1..=31).contains(day) && digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the digits are a word of their own: not `$1958`, `1,958`, `1958.5`, `1958%`.
fn alone(text: &str, start: usize, end: usize) -> bool {
    let number = |c: char| c.is_ascii_digit();
    let (before, after) = (&text[..start], &text[end..]);
    let joined = [',', '.'].iter().any(|c| {
        before.strip_suffix(*c).is_some_and(|rest| rest.ends_with(number))
            || after.strip_prefix(*c).is_some_and(|rest| rest.starts_with(number))
    });
    !joined && !before.ends_with(super::SIGNS) && !before.ends_with('.') && !after.trim_start().starts_with(['%', '°'])
}

/// Small words that go on after a year in a sentence: anything else in lower case is taken for what is counted.
fn follows_year(word: &str) -> bool {
    [
        "est", "and", "or", "to", "by", "in", "as", "when", "with", "from", "the", "was", "were", "is", "until", "through", "census",
        "after", "for", "at", "on", "but",
    ]
    .contains(&word)
}

fn before_christ(word: &str) -> bool {
    matches!(word, "BC" | "BCE" | "B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_to_the_day() {
        let read = |text: &str| {
            dates(text)
                .into_iter()
                .map(|d| ((d.year, d.month.unwrap_or(0), d.day.unwrap_or(0)), text[d.start..d.end].to_string()))
                .collect::<Vec<_>>()
        };
        let one = |text: &str, key: (i32, u8, u8), words: &str| assert_eq!(read(text), [(key, words.to_string())], "{text}");
        one("4 October 1958", (1958, 10, 4), "4 October 1958");
        one("on October 4th, 1958 it", (1958, 10, 4), "October 4th, 1958");
        one("31,952 (July 2015 est.)", (2015, 7, 0), "July 2015");
        one("signed 1958-10-04", (1958, 10, 4), "1958-10-04");
        one("adopted 1990", (1990, 0, 0), "1990");
        one("1958 and later", (1958, 0, 0), "1958");
        for text in ["1,958", "$1958", "1958 ships", "1958%", "1200 BC", "1958-60", "12 May", "in 0900", "A1958"] {
            assert_eq!(read(text), [], "{text}");
        }
        assert_eq!(year("15 August 1971 (from the UK)"), Some(1971));
        assert_eq!(year("adopted 1943, again 1990"), None);
    }

    #[test]
    fn a_year_belongs_to_the_number_before_it() {
        for (rest, wanted) in [
            (" (2014 est.)", Some(2014)),
            (" of GDP (31 December 2014)", Some(2014)),
            (" (male 1,2) (2015 est.)", Some(2015)),
            (" (2012 est.; note - see)", Some(2012)),
            (" (FY2013)", Some(2013)),
            (" (2010-15 est.)", None),
            (" (2010 and 2012)", None),
            (" (since 1990)", None),
            (", other (2014)", None),
            (" in 3 towns (2014)", None),
        ] {
            assert_eq!(year_beside(rest), wanted, "{rest}");
        }
    }
}

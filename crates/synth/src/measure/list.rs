//! Values that are lists of names, with or without a number each.

use super::{Measure, measure, next_number, time};

/// An entry of a list such as `Brazil 649 km, Suriname 556 km` or `Germany 16.9%, Belgium 7.5%`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The bytes of its name.
    pub start: usize,
    /// One past the last byte of its name.
    pub end: usize,
    /// Its number, where it has one. A year behind the whole list is the year of each.
    pub measure: Option<Measure>,
}

/// A longer entry is a sentence, not a name.
const MAX_NAME: usize = 60;
const MAX_WORDS: usize = 7;
/// A longer text is no list.
const MAX_LIST: usize = 10_000;

/// Words that make a text a sentence.
const SENTENCE: [&str; 34] = [
    "is",
    "are",
    "was",
    "were",
    "be",
    "been",
    "has",
    "have",
    "had",
    "which",
    "that",
    "who",
    "where",
    "when",
    "with",
    "without",
    "from",
    "by",
    "but",
    "between",
    "because",
    "than",
    "bordering",
    "including",
    "includes",
    "none",
    "not",
    "no",
    "some",
    "most",
    "mostly",
    "about",
    "its",
    "their",
];

/// The value as a list of names; empty where it is none. One name alone is a list of one.
///
/// A list is cut at commas, or at semicolons where it has any, outside parentheses and quotes. Every entry has to look like a name:
/// a few words without a number inside, none of which belongs to a sentence, all entries beginning with a capital letter or all of them
/// with a number. What stands in parentheses behind an entry is not part of its name.
pub fn list(text: &str) -> Vec<Listed> {
    let Some(pieces) = pieces(text) else { return Vec::new() };
    let several = pieces.len() > 1;
    let counted: Option<Vec<Listed>> =
        pieces.iter().map(|&(start, end)| entry(text, start, end, several).filter(|e| e.measure.is_some())).collect();
    let mut entries = match counted {
        Some(entries) => entries,
        // Not every entry has a number: a small one behind a name belongs to the name.
        None => match pieces.iter().map(|&(start, end)| entry(text, start, end, false)).collect::<Option<Vec<_>>>() {
            Some(entries) => entries,
            None => return Vec::new(),
        },
    };
    let named = |entry: &Listed| entry.measure.is_some() || text[entry.start..].starts_with(|c: char| !c.is_lowercase());
    if !entries.iter().all(named) && entries.iter().any(|entry| text[entry.start..entry.end].split_whitespace().count() > 3) {
        return Vec::new();
    }
    if let Some(year) = entries.last().and_then(|entry| entry.measure.as_ref()?.year) {
        entries.iter_mut().filter_map(|entry| entry.measure.as_mut()).for_each(|measure| measure.year = measure.year.or(Some(year)));
    }
    entries
}

/// The parts between the list's commas or semicolons. None where brackets do not close or it is too much for a list.
fn pieces(text: &str) -> Option<Vec<(usize, usize)>> {
    if text.len() > MAX_LIST {
        return None;
    }
    let (mut depth, mut quoted, mut commas, mut semicolons) = (0usize, false, Vec::new(), Vec::new());
    let bytes = text.as_bytes();
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '（' => depth += 1,
            ')' | ']' | '）' => depth = depth.checked_sub(1)?,
            '"' => quoted = !quoted,
            _ if depth > 0 || quoted => {}
            // The comma of 1,234.
            ',' if at > 0 && bytes[at - 1].is_ascii_digit() && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {}
            ',' | '，' | '、' => commas.push((at, c.len_utf8())),
            ';' | '；' => semicolons.push((at, c.len_utf8())),
            '\n' => return None,
            '+' if bytes.get(at + 1) == Some(&b'+') => return None,
            _ => {}
        }
    }
    if depth > 0 || quoted || !semicolons.is_empty() && !commas.is_empty() {
        return None;
    }
    let (mut out, mut from) = (Vec::new(), 0);
    for (at, len) in commas.into_iter().chain(semicolons) {
        out.push((from, at));
        from = at + len;
    }
    out.push((from, text.len()));
    Some(out)
}

/// A name with its number. `counted`: a small number behind the name counts something.
fn entry(text: &str, start: usize, end: usize, counted: bool) -> Option<Listed> {
    let trimmed = text[start..end].trim_start();
    let trimmed = ["and ", "or "].iter().find_map(|word| trimmed.strip_prefix(word)).unwrap_or(trimmed).trim();
    let start = start + (trimmed.as_ptr() as usize - text[start..].as_ptr() as usize);
    let mut measure = None;
    let mut name = trimmed;
    // The first number that is a measure ends the name; behind it there may only be remarks in parentheses.
    let mut at = 0;
    while let Some(digit) = next_number(trimmed, at) {
        match self::measure(trimmed, digit, counted) {
            Ok(found) if trimmed[..found.start].matches('(').count() > trimmed[..found.start].matches(')').count() => at = found.end,
            Ok(found) => {
                if !remarks(&trimmed[found.end..]) {
                    return None;
                }
                name = &trimmed[..found.start];
                measure = Some(Measure { start: start + found.start, end: start + found.end, ..found });
                break;
            }
            Err(next) => at = next.max(digit + 1),
        }
    }
    if measure.is_none() && trimmed.ends_with(')') {
        name = &trimmed[..trimmed.find('(')?];
    } else if let Some(open) = name.find('(') {
        // `MANAMA (capital) 411,000`
        if !remarks(&name[open..]) {
            return None;
        }
        name = &name[..open];
    }
    let name = name.trim_end().trim_end_matches(':').trim_end();
    let words = name.split_whitespace().count();
    let sentence = name.split_whitespace().any(|word| SENTENCE.contains(&word));
    let dated = !time::dates(name).is_empty() || time::ends_in_month(name);
    let odd = name.contains(['(', ')', '[', ']', '=', '|', ':', '%', '+', '$']) || name.ends_with('.') && words > 3;
    let begins = name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '"' | '\'' | '“' | '‘'));
    let ok = begins && name.len() <= MAX_NAME && words <= MAX_WORDS && !sentence && !dated && !odd;
    ok.then(|| Listed { start, end: start + name.len(), measure })
}

/// Whether there is nothing but remarks in parentheses.
fn remarks(text: &str) -> bool {
    let mut rest = text.trim();
    while let Some(inside) = rest.strip_prefix('(') {
        let Some(close) = inside.find(')') else { return false };
        rest = inside[close + 1..].trim_start();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::type_complexity)] // what a test looks at
    fn read(text: &str) -> Vec<(&str, Option<(f64, String, Option<i32>)>)> {
        list(text).into_iter().map(|e| (&text[e.start..e.end], e.measure.map(|m| (m.value, m.unit, m.year)))).collect()
    }

    #[test]
    fn names_with_numbers() {
        let number = |value: f64, unit: &str, year: Option<i32>| Some((value, unit.to_string(), year));
        assert_eq!(
            read("Brazil 649 km, Democratic Republic of the Congo 2,646 km (of which 225 km is a boundary), Suriname 556 km"),
            [
                ("Brazil", number(649.0, "km", None)),
                ("Democratic Republic of the Congo", number(2646.0, "km", None)),
                ("Suriname", number(556.0, "km", None))
            ]
        );
        let year = Some(2014);
        assert_eq!(
            read("Germany 16.9%, Belgium 7.5%, and US 5.8% (2014)"),
            [("Germany", number(16.9, "%", year)), ("Belgium", number(7.5, "%", year)), ("US", number(5.8, "%", year))]
        );
        let year = Some(2010);
        assert_eq!(
            read("AM 23, FM 15, shortwave 0 (2010)"),
            [("AM", number(23.0, "", year)), ("FM", number(15.0, "", year)), ("shortwave", number(0.0, "", year))]
        );
        assert_eq!(read("Mont Blanc 4,807 m"), [("Mont Blanc", number(4807.0, "m", None))]);
        assert_eq!(read("MANAMA (capital) 411,000 (2015)"), [("MANAMA", number(411_000.0, "", Some(2015)))]);
    }

    #[test]
    fn names_alone() {
        assert_eq!(read("Detroit, Los Angeles; Glendale (CA)"), []);
        assert_eq!(read("Detroit, Los Angeles, Glendale (CA)"), [("Detroit", None), ("Los Angeles", None), ("Glendale", None)]);
        assert_eq!(
            read("Wetlands, Tropical Timber 83, Air Pollution-Sulfur 85")[1..],
            [("Tropical Timber 83", None), ("Air Pollution-Sulfur 85", None)]
        );
        assert_eq!(read("coal, iron ore, arable land")[1], ("iron ore", None));
        assert_eq!(read("Paris"), [("Paris", None)]);
    }

    #[test]
    fn what_is_no_list() {
        for text in [
            "",
            ", ,",
            "Northern South America, bordering the North Atlantic Ocean, between Brazil and Suriname",
            "slightly more than four times the size of Georgia; slightly less than the size of Texas",
            "18 years of age; universal",
            "Independence Day, 22 November (1943)",
            "4 October 1958",
            "NA%",
            "Ann is ill, Ben is well",
            "adopted 1990",
            "UTC+6 (11 hours ahead)",
            "[33] (1) 43-12-22-22",
            "46 00 N, 2 00 E",
            "Ann (a nurse, Ben",
            "tropical; hot, humid; little seasonal temperature variation",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }
}

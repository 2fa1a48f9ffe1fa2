//! Texts made comparable.

use std::iter::Peekable;

/// As SQuAD's scorer does: lower case, no ASCII punctuation, no articles, single spaces.
pub fn squad(text: &str) -> String {
    let bare: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    without_articles(&bare)
}

/// [`squad`], and the same for the punctuation that people and models type instead of ASCII's. Decimal points and the minus of a
/// number stay: 3.5 is not 35, nor −5 5.
pub fn normalise(text: &str) -> String {
    let bare = bare(text);
    without_articles(&bare)
}

/// [`normalise`] with the articles left in, for answers that are nothing else.
pub fn bare(text: &str) -> String {
    let lower = text.to_lowercase();
    let mut out = String::with_capacity(lower.len());
    let mut before = ' ';
    let mut rest: Peekable<_> = lower.chars().map(plain).peekable();
    while let Some(c) = rest.next() {
        let digit_next = rest.peek().is_some_and(char::is_ascii_digit);
        match c {
            '.' if before.is_ascii_digit() && digit_next => out.push('.'),
            '-' if digit_next && !before.is_alphanumeric() => out.push('-'),
            '—' => out.push(' '),
            c if c.is_ascii_punctuation() || is_punctuation(c) => {}
            c => out.push(c),
        }
        before = c;
    }
    collapse(&out)
}

/// The ASCII twin of a character, where it has one.
pub fn plain(c: char) -> char {
    match c {
        '\u{2212}' | '\u{2010}'..='\u{2013}' | '\u{FE63}' => '-',
        '\u{2014}' | '\u{2015}' => '—',
        '\u{00A0}' | '\u{2009}' | '\u{202F}' | '\u{3000}' => ' ',
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c).to_ascii_lowercase(),
        c => c,
    }
}

/// Quotation marks, dots and brackets beyond ASCII.
fn is_punctuation(c: char) -> bool {
    matches!(c, '¡' | '¿' | '«' | '»' | '·' | '´' | '\u{2016}'..='\u{2027}' | '\u{2030}'..='\u{205E}' | '\u{3001}'..='\u{3003}'
        | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301F}' | '\u{30FB}' | '\u{FF5F}'..='\u{FF65}')
}

/// Words that are an article go; what separates words may be anything that is no letter, digit or `_`.
fn without_articles(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        out.push_str(if matches!(word.as_str(), "a" | "an" | "the") { " " } else { &word });
        word.clear();
        out.push(c);
    }
    collapse(&out)
}

fn collapse(text: &str) -> String {
    // Python's `split` has the separators U+001C to U+001F as well.
    let words = text.split(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squad_is_what_python_makes_of_it() {
        let rows: Vec<[String; 2]> = serde_json::from_str(include_str!("../../tests/golden/squad.json")).unwrap();
        assert!(rows.len() > 350);
        for [text, expected] in rows {
            assert_eq!(squad(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_reads_the_same_is_the_same() {
        for (one, other) in [
            ("The Beatles’ “Help!”", "beatles' help"),
            ("1,234.50", "1234.50"),
            ("−5 %", "-5"),
            ("Paris — the city", "paris city"),
            ("１２３。", "123"),
            ("《红楼梦》", "红楼梦"),
            ("well-known", "wellknown"),
        ] {
            assert_eq!(normalise(one), normalise(other));
        }
        for (one, other) in [("3.5", "35"), ("-5", "5"), ("C", "D")] {
            assert_ne!(normalise(one), normalise(other));
        }
    }
}

//! Where a quote stands in a document, and a value in the quote.

use std::cell::OnceCell;
use std::ops::Range;

use crate::graph::names;

/// A longer value is prose, and a longer quote no quote (bytes).
const MAX_VALUE: usize = 300;
const MAX_QUOTE: usize = 2_000;
/// A shorter value needs its quote (bytes).
const LEAST_ALONE: usize = 3;

/// A document's text, and what is computed of it at most once.
pub struct Text<'a> {
    text: &'a str,
    /// Every run of white space as one space, and where each of its bytes stands in the text.
    flat: OnceCell<(String, Vec<usize>)>,
    /// [`names::key`] of all of it.
    key: OnceCell<String>,
}

impl<'a> Text<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, flat: OnceCell::new(), key: OnceCell::new() }
    }

    /// The bytes of `value` in the first place where `quote` stands with it: letter by letter, else with every run of white space as one. The value
    /// begins and ends where words and numbers do: `5` does not stand in `1985`, nor in `5.3`.
    ///
    /// # Errors
    /// Why there is no such place: `quote`, `value`, or `lines` where the value goes over several lines.
    pub fn place(&self, quote: &str, value: &str) -> Result<Range<usize>, &'static str> {
        let (quote, value) = (quote.trim(), value.trim());
        if quote.is_empty() || quote.len() > MAX_QUOTE {
            return Err("quote");
        }
        if value.is_empty() || value.len() > MAX_VALUE {
            return Err("value");
        }
        let quoted = self.text.match_indices(quote).map(|(start, _)| start..start + quote.len());
        let at = match quoted.into_iter().find_map(|range| within(self.text, range, value)) {
            Some(at) => at,
            None => self.loosely(quote, value)?,
        };
        let said = self.text.get(at.clone()).ok_or("value")?;
        if said.len() > MAX_VALUE {
            return Err("value");
        }
        if said.contains(['\n', '\r']) { Err("lines") } else { Ok(at) }
    }

    /// The bytes of `value` where it stands in the document only once, so that no quote is needed to know the place. A sign or two may be
    /// anywhere and tell nothing. Small models write `56, 594` where the document has `56,594`.
    pub fn alone(&self, value: &str) -> Option<Range<usize>> {
        self.once(value.trim()).or_else(|| self.once(&tight(value.trim())))
    }

    fn once(&self, value: &str) -> Option<Range<usize>> {
        if value.len() < LEAST_ALONE || value.len() > MAX_VALUE || value.contains(['\n', '\r']) {
            return None;
        }
        let found = self.text.match_indices(value).map(|(at, _)| at..at + value.len());
        let mut found = found.filter(|at| whole(self.text, at, value));
        found.next().filter(|_| found.next().is_none())
    }

    fn loosely(&self, quote: &str, value: &str) -> Result<Range<usize>, &'static str> {
        let (flat, places) = self.flat.get_or_init(|| flat(self.text));
        let (quote, value) = (one_line(quote), one_line(value));
        let mut quoted = flat.match_indices(&quote).map(|(start, _)| start..start + quote.len()).peekable();
        quoted.peek().ok_or("quote")?;
        let at = quoted.find_map(|range| within(flat, range, &value)).ok_or("value")?;
        // A value neither begins nor ends with white space: its last byte is one of the text's own.
        match (places.get(at.start), places.get(at.end.wrapping_sub(1))) {
            (Some(start), Some(last)) => Ok(*start..last + 1),
            _ => Err("value"),
        }
    }

    /// Whether a name stands in the text, however it is spelled ([`names::key`]).
    pub fn names(&self, name: &str) -> bool {
        names::has(self.key.get_or_init(|| names::key(self.text)), &names::key(name))
    }
}

/// Words with one space between them.
pub fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without spaces between the digits of a number.
pub fn tight(value: &str) -> String {
    let signs: Vec<char> = value.chars().collect();
    let digit = |at: Option<usize>| at.and_then(|at| signs.get(at)).is_some_and(char::is_ascii_digit);
    let inside = |at: usize| {
        let point = at.checked_sub(1).and_then(|before| signs.get(before)).is_some_and(|c| matches!(c, ',' | '.'));
        point && digit(at.checked_sub(2)) && digit(Some(at + 1))
    };
    signs.iter().enumerate().filter(|(at, c)| **c != ' ' || !inside(*at)).map(|(_, c)| c).collect()
}

fn flat(text: &str) -> (String, Vec<usize>) {
    let (mut out, mut places) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    let mut space = false;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            if !space {
                out.push(' ');
                places.push(at);
            }
        } else {
            out.push(c);
            places.extend(at..at + c.len_utf8());
        }
        space = c.is_whitespace();
    }
    (out, places)
}

/// The first place of `value` in these bytes of the text at which it is not a part of a longer word or number.
fn within(text: &str, range: Range<usize>, value: &str) -> Option<Range<usize>> {
    let found = text.get(range.clone())?.match_indices(value).map(|(at, _)| range.start + at..range.start + at + value.len());
    found.into_iter().find(|at| whole(text, at, value))
}

fn whole(text: &str, at: &Range<usize>, value: &str) -> bool {
    let (Some(before), Some(after)) = (text.get(..at.start), text.get(at.end..)) else { return false };
    let (mut left, mut right) = (before.chars().rev(), after.chars());
    let (first, last) = (value.chars().next().unwrap_or(' '), value.chars().next_back().unwrap_or(' '));
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (one, two) = (left.next(), left.next());
    let goes_on = first.is_alphanumeric() && word(one) || first.is_ascii_digit() && matches!(one, Some('.' | ',')) && digit(two);
    let (one, two) = (right.next(), right.next());
    !(goes_on || last.is_alphanumeric() && word(one) || last.is_ascii_digit() && matches!(one, Some('.' | ',')) && digit(two))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said<'a>(text: &'a str, quote: &str, value: &str) -> Result<&'a str, &'static str> {
        Text::new(text).place(quote, value).map(|at| &text[at])
    }

    #[test]
    fn a_value_stands_in_its_quote() {
        let text = "In 1985 the mill\n  burned down.  It cost 5.3 million, 5 of them lent by Mont\nBlanc Bank — Ünal paid 5,300.";
        assert_eq!(said(text, "In 1985 the mill", "1985"), Ok("1985"));
        // Other white space than the document's.
        assert_eq!(said(text, "the mill burned down. It cost", "mill"), Ok("mill"));
        assert_eq!(said(text, "lent by Mont Blanc Bank", "Blanc  Bank"), Ok("Blanc Bank"));
        assert_eq!(said(text, "— Ünal paid", "Ünal"), Ok("Ünal"));
        // Not in 5.3.
        let at = Text::new(text).place("It cost 5.3 million, 5 of them", "5").unwrap();
        assert_eq!(at.start, text.find(" 5 of").unwrap() + 1);
        assert_eq!(said(text, "the mill burned up", "mill"), Err("quote"));
        assert_eq!(said(text, "In 1985 the mill", "burned"), Err("value"));
        assert_eq!(said(text, "In 1985 the mill", "98"), Err("value"));
        assert_eq!(said(text, "Ünal paid 5,300.", "300"), Err("value"));
        assert_eq!(said(text, "lent by Mont Blanc", "Mont Blanc"), Err("lines"));
        assert_eq!((said(text, " ", "In"), said(text, "In", "")), (Err("quote"), Err("value")));
    }

    #[test]
    fn a_value_that_stands_only_once_needs_no_quote() {
        let text = Text::new("Riga has 621,000 people. The 21,000 of Ogre envy Riga; its dean is Ann Lee,\nof 5, Elm Lane.");
        let said = |value: &str| text.alone(value).map(|at| &text.text[at]);
        assert_eq!((said("621,000"), said(" Ann Lee "), said("21,000")), (Some("621,000"), Some("Ann Lee"), Some("21,000")));
        assert_eq!((said("621, 000"), said("21, 000"), said("621 ,000")), (Some("621,000"), Some("21,000"), None));
        assert_eq!((tight("1, 2. 5 km, 3"), tight("in 1, 22 x, 1")), ("1,2.5 km, 3".into(), "in 1,22 x, 1".into()));
        // Twice, a part of another, over two lines, too short, not there.
        for value in ["Riga", "000", "Lee,\nof", "5", "", "Elm Street"] {
            assert_eq!(said(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_quote_breaks_it(text in "(a|é|1|a  é|é\na| ){0,12}|\\PC{0,20}", quote in "(a é|é a|a|é|1){1,2}", value in "a|é|1|a é") {
            if let Ok(at) = Text::new(&text).place(&quote, &value) {
                prop_assert_eq!(one_line(&text[at.clone()]), one_line(&value));
                prop_assert!(!text[at].contains('\n'));
            }
            if let Some(at) = Text::new(&text).alone(&value) {
                prop_assert_eq!(&text[at], tight(&value));
            }
        }

        /// What is cut out of a text is found in it, whatever its white space became.
        #[test]
        fn what_stands_there_is_found(words in prop::collection::vec("[a-z]{1,3}|[0-9]{1,3}|é", 3..12), spaces in prop::collection::vec("[ \t\n]{1,3}", 12), from in 0..9usize) {
            let text: String = words.iter().zip(&spaces).map(|(word, space)| format!("{word}{space}")).collect();
            let from = from.min(words.len() - 2);
            let quote = words[from..].join(" ");
            let at = Text::new(&text).place(&quote, &words[from + 1]);
            prop_assert_eq!(at.map(|at| &text[at]), Ok(words[from + 1].as_str()));
        }
    }
}

//! What a text is like, in shares from 0 to 1.

use std::collections::HashSet;

use crate::measure::measures;
use crate::near::shingles;

/// Words of a run that should not stand in a text again.
const RUN: usize = 10;
/// Bytes of a line of a table or list; longer lines are prose.
const SHORT: usize = 300;

/// The share of text in lines that stood before, blank ones and the spaces around others left aside.
pub fn repeated_lines(text: &str) -> f64 {
    let (mut seen, mut all, mut repeated) = (HashSet::new(), 0, 0);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        all += line.len();
        if !seen.insert(line) {
            repeated += line.len();
        }
    }
    share(repeated, all)
}

/// The share of runs of ten words that stood before.
pub fn repeated_words(text: &str) -> f64 {
    let (mut seen, mut all, mut repeated) = (HashSet::new(), 0, 0);
    shingles(text, RUN, |run| {
        all += 1;
        repeated += usize::from(!seen.insert(run));
    });
    share(repeated, all)
}

/// The share of text in short lines with a number, blank lines left aside.
pub fn numbers(text: &str) -> f64 {
    let (mut all, mut with) = (0, 0);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        all += line.len();
        if line.len() <= SHORT && line.bytes().any(|b| b.is_ascii_digit()) && !measures(line).is_empty() {
            with += line.len();
        }
    }
    share(with, all)
}

fn share(part: usize, all: usize) -> f64 {
    part as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_texts() {
        assert_eq!((repeated_lines("ab\n\n  ab\ncd\n\n"), repeated_lines("")), (1.0 / 3.0, 0.0));
        let ten = "a b c d e f g h i j ";
        assert_eq!((repeated_words(&ten.repeat(2)), repeated_words(ten), repeated_words("")), (1.0 / 11.0, 0.0, 0.0));
        assert_eq!(numbers("a: 5 km\nb: none\nIn 1990\n"), 7.0 / 21.0);
        assert_eq!(numbers(&format!("{} 5 km", "a sentence that goes on ".repeat(20))), 0.0);
    }
}

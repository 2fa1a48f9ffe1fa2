//! Which relations a reader may take for one another: wider than those that are one.

use std::collections::BTreeSet;

use crate::extract::relation_key;
use crate::graph::names;

/// Words that say much the same of two. The first of each row stands for all.
const SAME: [&[&str]; 16] = [
    &["found", "establish", "set", "start", "create", "built", "build", "open", "began", "begun", "launch", "origin"],
    &["born", "birth"],
    &["died", "death", "dead", "die"],
    &["close", "end", "ended", "dissolve", "shut", "cease"],
    &["buy", "bought", "purchase", "acquire", "buyer"],
    &["sell", "sold", "sale", "seller"],
    &["own", "owner", "owned", "owns", "proprietor"],
    &["marry", "married", "wife", "husband", "spouse"],
    &["work", "employ", "employer", "employed", "works"],
    &["locate", "situate", "base", "seat", "headquarter", "lie", "lies", "stand", "live", "lives", "home"],
    &["lead", "led", "head", "manage", "director", "president", "chair", "mayor", "rule"],
    &["teach", "taught", "teacher", "pupil", "student", "apprentice"],
    &["write", "wrote", "written", "author"],
    &["people", "inhabitant", "population", "resident"],
    &["parent", "father", "mother", "son", "daughter", "child"],
    &["cause", "reason", "due", "result", "prompt", "spark", "trigger"],
];
/// Words that tell nothing of what is said.
const EMPTY: [&str; 30] = [
    "a", "an", "the", "is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "its", "their", "of", "in", "at", "on",
    "by", "to", "from", "with", "for", "as", "into", "date", "year", "place", "name",
];
/// Letters that a word's forms have in common.
const STEM: usize = 5;

/// What of a relation's last word is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// Where or when: `in`, `at`, `on`.
    Circumstance,
    /// Who or what: `by`, `of`, `to`…
    Party,
    /// It does not say.
    Open,
}

/// A relation as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// What its spellings have in common.
    key: String,
    /// Its words without their endings, and those of words that say the same.
    own: BTreeSet<String>,
    stems: BTreeSet<String>,
    last: Last,
}

impl Near {
    pub fn new(relation: &str) -> Self {
        let key = relation_key(relation);
        let words = names::key(relation);
        let says: Vec<&str> = words.split(' ').filter(|word| !EMPTY.contains(word) && !word.is_empty()).collect();
        let own = says.iter().map(|word| cut(word)).collect();
        // Those that say nothing are near to each other.
        let stems = if says.is_empty() { BTreeSet::from([String::new()]) } else { says.into_iter().map(stem).collect() };
        let last = match words.rsplit(' ').next().unwrap_or_default() {
            "in" | "at" | "on" => Last::Circumstance,
            "by" | "of" | "to" | "from" | "with" | "for" => Last::Party,
            _ => Last::Open,
        };
        Self { key, own, stems, last }
    }

    /// Whether both are one relation.
    pub fn same(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Whether a reader may take one for the other.
    pub fn near(&self, other: &Self) -> bool {
        let apart = self.last != other.last && self.last != Last::Open && other.last != Last::Open;
        self.same(other) || !apart && !self.stems.is_disjoint(&other.stems)
    }

    /// Whether one of both says all that the other does: whoever asks for it might be told the other.
    pub fn covers(&self, other: &Self) -> bool {
        self.same(other) || self.own.is_subset(&other.own) || other.own.is_subset(&self.own)
    }

    /// Words by which near ones are found: all that share none of them are not near.
    pub fn stems(&self) -> impl Iterator<Item = &str> {
        self.stems.iter().map(String::as_str)
    }
}

fn cut(word: &str) -> String {
    word[..word.floor_char_boundary(STEM)].to_string()
}

/// What a word's forms have in common, and those of words that say the same.
fn stem(word: &str) -> String {
    let is = |other: &&str| *other == word || other.len() >= 4 && word.starts_with(other) || other.len() >= STEM && cut(other) == cut(word);
    SAME.iter().find(|row| row.iter().any(is)).map_or_else(|| cut(word), |row| row[0].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_taken_for_another_is_wider_than_what_is_one() {
        let near = |one: &str, other: &str| Near::new(one).near(&Near::new(other));
        for (one, other) in [
            ("founded", "was established by"),
            ("founder", "founded by"),
            ("owner", "owned by"),
            ("number of inhabitants", "population"),
            ("oldest school", "school"),
            ("was", "is"),
        ] {
            assert!(near(one, other), "{one} {other}");
        }
        for (one, other) in [("founded in", "founded by"), ("born in", "died in"), ("capital", "mayor"), ("led to", "left")] {
            assert!(!near(one, other), "{one} {other}");
        }
        assert!(Near::new("was founded in").same(&Near::new("founded in")) && !Near::new("founded").same(&Near::new("established")));
        let covers = |one: &str, other: &str| Near::new(one).covers(&Near::new(other));
        assert!(covers("oldest school", "school") && !covers("station opened", "station closed") && !covers("founded", "established"));
    }
}

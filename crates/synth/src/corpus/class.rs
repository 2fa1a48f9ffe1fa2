//! What kind of document it is, where no person said so.

use std::collections::BTreeMap;

use data::{Document, Place};

use super::Class;
use crate::measure::measures;

/// Bytes that are looked at, from the beginning and from the end.
const LOOK: usize = 64 << 10;

impl Class {
    /// A guess from the document's form; the first that fits: source code is [`Code`](Class::Code); JSON, tables and sheets are
    /// [`Professional`](Class::Professional); text of which at least half the lines begin with one of a few speakers' names and a colon
    /// is [`Dialogue`](Class::Dialogue); text that has both an abstract and references, or a citation in brackets every 2,000 bytes, is
    /// [`Academic`](Class::Academic); text with four numbers that have a unit or stand for an amount in a thousand words is
    /// [`Professional`](Class::Professional); all else is [`General`](Class::General). A person who knows better should say so.
    pub fn guess(document: &Document) -> Self {
        if document.code {
            return Self::Code;
        }
        if document.marks.iter().any(|mark| matches!(mark.place, Place::Cell { .. } | Place::Pointer { .. })) {
            return Self::Professional;
        }
        let text: &str = &document.text;
        let head = &text[..text.floor_char_boundary(LOOK)];
        let tail = &text[text.ceil_char_boundary(text.len().saturating_sub(LOOK))..];
        if is_dialogue(head) {
            return Self::Dialogue;
        }
        let headed = |text: &str, words: &[&str]| text.lines().any(|line| words.contains(&heading(line).as_str()));
        let paper = headed(head, &["abstract", "摘要"]) && headed(tail, &["references", "bibliography", "works cited", "参考文献"]);
        if paper || citations(head) * 2000 > head.len().max(4000) {
            return Self::Academic;
        }
        let words = head.split_whitespace().count();
        if measures(head).len() * 1000 >= words.max(500) * 4 { Self::Professional } else { Self::General }
    }
}

/// A line's words without the signs of a heading: `## 1. Abstract` → `abstract`.
fn heading(line: &str) -> String {
    if line.len() > 60 {
        return String::new();
    }
    line.trim_matches(|c: char| !c.is_alphabetic()).to_lowercase()
}

/// Whether speakers take turns: at least two names, three turns each.
fn is_dialogue(text: &str) -> bool {
    let (mut lines, mut turns) = (0usize, BTreeMap::<&str, usize>::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        lines += 1;
        if let Some((name, _)) = line.trim_start_matches(['*', '_', '-', ' ']).split_once(':')
            && name.len() <= 40
            && name.split_whitespace().count() <= 4
            && name.starts_with(char::is_alphabetic)
        {
            *turns.entry(name).or_default() += 1;
        }
    }
    let spoken: Vec<usize> = turns.into_values().filter(|count| *count >= 3).collect();
    (2..=20).contains(&spoken.len()) && spoken.iter().sum::<usize>() * 2 >= lines
}

/// `[12]`, `[3, 4]`, `[5-7]`.
fn citations(text: &str) -> usize {
    let inside = |part: &str| part.split_once(']').is_some_and(|(inside, _)| is_citation(inside));
    text.split('[').skip(1).filter(|part| inside(part)).count()
}

fn is_citation(inside: &str) -> bool {
    (1..=12).contains(&inside.len())
        && inside.starts_with(|c: char| c.is_ascii_digit())
        && inside.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' ' | '-' | '–'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_apart() {
        let guess = |text: &str| Class::guess(&Document::plain("d", "d", text));
        let code = Document { code: true, ..Document::plain("d", "d", "fn main() {}") };
        assert_eq!(Class::guess(&code), Class::Code);
        let converted = |name: &str, text: &str| Class::guess(&documents::convert(name, text.as_bytes()).unwrap().document);
        assert_eq!(converted("a.json", r#"{"a": 1}"#), Class::Professional);
        assert_eq!(converted("a.csv", "name,born\nAda,1815\n"), Class::Professional);
        assert_eq!(guess(&"Ann: Good morning.\nBen: And to you, Ann.\n\n".repeat(3)), Class::Dialogue);
        assert_eq!(guess("Name: Ann\nAge: 7\nTown: Rome\nWork: none\nHair: red\n"), Class::General);
        assert_eq!(guess("On Hashing\n\nAbstract\n\nWe hash.\n\n# 5 References\n\nA. Broder\n"), Class::Academic);
        assert_eq!(guess(&"As was shown [3], hashes of sets are short [4, 5]. ".repeat(9)), Class::Academic);
        assert_eq!(guess(&"Sales rose to $5 million, or 7%. ".repeat(9)), Class::Professional);
        assert_eq!(guess(&"She went up the stairs and looked out. ".repeat(9)), Class::General);
        assert_eq!(guess(""), Class::General);
    }
}

//! Whether a row has words of a benchmark: 13-grams, as Brown et al. (arXiv 2005.14165, appendix C) count them.

use std::collections::HashSet;

/// Words of a gram.
const GRAM: usize = 13;

/// The 13-grams of benchmarks, eight bytes each. Only a row's question and answers are looked up: its documents may well stand in a
/// benchmark too, and say nothing about its questions.
///
/// Words are compared without case and punctuation. A text of fewer than 13 words is one gram of all its words, and only a text of
/// just these words has it.
#[derive(Debug, Default)]
pub struct Benchmarks {
    /// (name, hashes of its grams), in the order in which they came.
    sets: Vec<(String, HashSet<u64>)>,
}

impl Benchmarks {
    /// Adds a question, an answer or a document of the benchmark of this name.
    pub fn add(&mut self, name: &str, text: &str) {
        let at = self.sets.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.sets.push((name.into(), HashSet::new()));
            self.sets.len() - 1
        });
        grams(text, |gram| {
            self.sets[at].1.insert(gram);
            true
        });
    }

    /// How many grams are held.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|(_, grams)| grams.len()).sum()
    }

    /// Whether there is nothing to compare with.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first gram of the text that a benchmark has: the benchmark's name and the gram's words.
    pub fn find(&self, text: &str) -> Option<(&str, String)> {
        let (mut at, mut found) = (0, None);
        grams(text, |gram| {
            found = self.sets.iter().find(|(_, grams)| grams.contains(&gram)).map(|(name, _)| (name.as_str(), at));
            at += 1;
            found.is_none()
        });
        let (name, at) = found?;
        let all: Vec<String> = words(text);
        Some((name, all[at..all.len().min(at + GRAM)].join(" ")))
    }
}

/// Hands over the hash of each gram of the text, in order, as long as `more` wants them.
fn grams(text: &str, mut more: impl FnMut(u64) -> bool) {
    // Hashes of the last words, the next one overwriting the oldest.
    let (mut last, mut count, mut ended) = ([0u64; GRAM], 0usize, false);
    let fold = |words: &mut dyn Iterator<Item = u64>| words.fold(OFFSET, |hash, word| (hash ^ word).wrapping_mul(PRIME).rotate_left(29));
    each_word(text, |word| {
        last[count % GRAM] = fnv(word);
        count += 1;
        if count >= GRAM && !ended {
            ended = !more(fold(&mut (0..GRAM).map(|at| last[(count + at) % GRAM])));
        }
    });
    if (1..GRAM).contains(&count) {
        more(fold(&mut last[..count].iter().copied()));
    }
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a: the same on every machine.
pub(crate) fn fnv(word: &str) -> u64 {
    word.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// The words of a text as [`each_word`] makes them.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    each_word(text, |word| out.push(word.to_string()));
    out
}

/// A text by its words alone: ` words as they are compared `, with a space at either end, so that `contains` finds whole words.
pub(crate) fn normal(text: &str) -> String {
    let mut out = String::from(" ");
    each_word(text, |word| {
        out.push_str(word);
        out.push(' ');
    });
    out
}

/// Letters and digits in a row, in lower case; a character of a script that is written without spaces is a word.
fn each_word(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::new();
    for c in text.chars() {
        let alone = stands_alone(c);
        if (alone || !c.is_alphanumeric()) && !word.is_empty() {
            each(&word);
            word.clear();
        }
        if alone {
            each(c.encode_utf8(&mut [0; 4]));
        } else if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    if !word.is_empty() {
        each(&word);
    }
}

fn stands_alone(c: char) -> bool {
    matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "Which of the two firms that Ann Lee set up in 1931 paid more rent, and to whom did it pay?";

    #[test]
    fn thirteen_words_in_a_row_are_found_and_twelve_are_not() {
        let mut benchmarks = Benchmarks::default();
        benchmarks.add("other", "Something else is asked here, in rather more than thirteen words, as one can see.");
        benchmarks.add("frames", KNOWN);
        let held = |from: usize, to: usize| words(KNOWN)[from..to].join(", ").to_uppercase();
        let found = benchmarks.find(&format!("Tell me: {}!", held(3, 16)));
        assert_eq!(found, Some(("frames", "two firms that ann lee set up in 1931 paid more rent and".into())));
        assert_eq!(benchmarks.find(&format!("Tell me: {}!", held(3, 15))), None);
        // The same words in another order are another gram.
        let mut turned = words(KNOWN)[3..16].to_vec();
        turned.swap(4, 5);
        assert_eq!(benchmarks.find(&turned.join(" ")), None);
        // A gram across two texts of a benchmark is in neither.
        assert_eq!(benchmarks.find("did it pay? Something else is asked here, in rather more than"), None);
        assert_eq!(benchmarks.len(), 20 - 12 + 16 - 12);
    }

    #[test]
    fn short_texts_are_found_whole_and_scripts_without_spaces_by_character() {
        let mut benchmarks = Benchmarks::default();
        benchmarks.add("short", "Who sold the mill?");
        assert!(benchmarks.find("who sold THE mill").is_some());
        assert!(benchmarks.find("who sold the mill, and when").is_none());
        benchmarks.add("zh", "请阅读以下文本并回答下面的问题");
        assert!(benchmarks.find("阅读以下文本，并回答下面的问题。").is_some());
        assert!(benchmarks.find("阅读以下文本").is_none());
        assert_eq!((normal("A–B, c"), normal("…")), (" a b c ".into(), " ".into()));
        assert!(Benchmarks::default().is_empty());
    }
}

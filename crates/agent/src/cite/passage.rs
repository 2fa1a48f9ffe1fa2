//! Sentences of a document, ready to be compared with a claim.

use std::collections::{HashMap, HashSet};

use super::numbers::{Number, numbers};
use super::roles::{DENY, FUNCTION, I_OR_WE, TELLS, WRAPPER, role};
use super::words::{Kind, Token, terms, words};

/// Words a denial reaches over to the two units it denies.
pub(crate) const REACH: usize = 6;

/// A text's words with their normal forms.
pub(crate) struct Spelled {
    pub tokens: Vec<Token>,
    pub forms: Vec<String>,
    roles: Vec<u8>,
}

impl Spelled {
    /// The words of `text`, whose first byte is number `base`.
    pub fn new(text: &str, base: usize) -> Self {
        let mut spelled = Self { tokens: Vec::new(), forms: Vec::new(), roles: Vec::new() };
        super::words::tokens(text, &mut spelled.tokens);
        words(text, |form, _| {
            spelled.forms.push(form.to_string());
            spelled.roles.push(role(form));
        });
        for token in &mut spelled.tokens {
            token.word.start += base;
            token.word.end += base;
        }
        spelled
    }

    pub fn numbers(&self) -> Vec<Number> {
        let words: Vec<_> = self.forms.iter().zip(&self.tokens).map(|(form, token)| (form.as_str(), token.word.kind)).collect();
        numbers(&words)
    }

    /// Whether the word is one of these (bits).
    pub fn is(&self, at: usize, roles: u8) -> bool {
        self.roles[at] & roles != 0
    }
}

/// A few sentences of a document in a row, ready to be compared.
pub(crate) struct Passage {
    pub words: Vec<Token>,
    pub sentences: usize,
    pub terms: HashSet<u64>,
    /// Where each value stands in `numbers`.
    pub values: HashMap<u64, Vec<usize>>,
    /// Value, and sentence.
    pub numbers: Vec<(u64, usize)>,
    /// The word before each number.
    pub before: Vec<Option<u64>>,
    /// Names of each sentence.
    pub names: Vec<HashSet<u64>>,
    /// Names of each sentence that do not begin it.
    pub inner_names: Vec<HashSet<u64>>,
    /// Terms and values of each sentence.
    pub own: Vec<HashSet<u64>>,
    /// Units in their order (key, number of the word).
    pub order: Vec<(u64, usize)>,
    /// Numbers of the words that deny.
    pub denials: Vec<usize>,
    /// Someone other than "I" or "we" says something.
    pub tells: bool,
    /// The two units after each of them, at most [`REACH`] words on, and whether they stand nowhere else in the passage.
    pub denied: HashMap<u64, bool>,
}

impl Passage {
    /// From the words of each sentence.
    pub fn new(sentences: &[&Spelled]) -> Self {
        let mut passage = Self {
            words: Vec::new(),
            sentences: sentences.len(),
            terms: HashSet::new(),
            values: HashMap::new(),
            numbers: Vec::new(),
            before: Vec::new(),
            names: vec![HashSet::new(); sentences.len()],
            inner_names: vec![HashSet::new(); sentences.len()],
            own: vec![HashSet::new(); sentences.len()],
            order: Vec::new(),
            denials: Vec::new(),
            tells: false,
            denied: HashMap::new(),
        };
        let mut free = HashSet::new();
        for (sentence, spelled) in sentences.iter().enumerate() {
            let base = passage.words.len();
            let mut numbers = spelled.numbers().into_iter().peekable();
            passage.words.extend_from_slice(&spelled.tokens);
            // The word that denies, and how many units it still reaches.
            let (mut from, mut reach) = (0, 0_u32);
            terms(
                &spelled.tokens,
                |token| token.stem,
                |term, at| {
                    passage.terms.insert(term);
                    passage.own[sentence].insert(term);
                    while let Some(number) = numbers.next_if(|number| number.at <= at) {
                        passage.values.entry(number.value).or_default().push(passage.numbers.len());
                        passage.own[sentence].insert(number.value);
                        passage.numbers.push((number.value, sentence));
                        passage.before.push(number.at.checked_sub(1).map(|before| spelled.tokens[before].exact));
                        passage.order.push((number.value, base + at));
                    }
                    passage.order.push((term, base + at));
                    let word = spelled.tokens[at].word;
                    if word.kind == Kind::Mixed || (word.capital && !spelled.is(at, FUNCTION)) {
                        passage.names[sentence].insert(term);
                        if at > 0 && word.kind == Kind::Letters {
                            passage.inner_names[sentence].insert(term);
                        }
                    }
                    if spelled.is(at, TELLS) {
                        let before = at.saturating_sub(2)..at;
                        passage.tells |= !before.into_iter().any(|before| spelled.is(before, I_OR_WE));
                    }
                    if spelled.is(at, DENY) {
                        passage.denials.push(base + at);
                        (from, reach) = (at, 2);
                    } else if !spelled.is(at, FUNCTION | WRAPPER) {
                        if reach > 0 && at <= from + REACH {
                            passage.denied.insert(term, true);
                        } else {
                            free.insert(term);
                        }
                        reach = reach.saturating_sub(1);
                    }
                },
            );
        }
        for (term, always) in &mut passage.denied {
            *always = !free.contains(term);
        }
        passage
    }

    /// Whether a name of code stands here as it is written, and not as a part of a longer one.
    pub fn has_name(&self, name: &[Token]) -> bool {
        self.words.windows(name.len()).enumerate().any(|(at, words)| {
            let same = words.iter().zip(name).all(|(a, b)| (a.exact, a.word.tied) == (b.exact, b.word.tied));
            same && !self.words.get(at + name.len()).is_some_and(|next| next.word.tied)
        })
    }

    /// The denials among the words that `units` cover, and up to [`REACH`] words before them.
    pub fn denials_among(&self, units: &[u64]) -> usize {
        let units: HashSet<&u64> = units.iter().collect();
        let mut covered = self.order.iter().filter(|(key, _)| units.contains(key)).map(|(_, at)| *at);
        let Some(first) = covered.next() else { return 0 };
        let last = covered.next_back().unwrap_or(first);
        self.denials.iter().filter(|&&at| at + REACH >= first && at <= last).count()
    }

    /// Whether `key` stands beside the number at `place`: the number before or after, or a name of the same sentence; of the sentence
    /// before where that has no name.
    pub fn beside(&self, place: usize, key: u64) -> bool {
        let sentence = self.numbers[place].1;
        let neighbours = [place.checked_sub(1), Some(place + 1)];
        let names = if self.names[sentence].is_empty() && sentence > 0 { &self.names[sentence - 1] } else { &self.names[sentence] };
        neighbours.into_iter().flatten().filter_map(|at| self.numbers.get(at)).any(|(value, _)| *value == key)
            || names.contains(&key)
            || (self.names[sentence].is_empty() && sentence == 0)
    }
}

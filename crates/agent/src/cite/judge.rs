//! Whether a passage carries a sentence, and how far.
//!
//! **Quoted** asks for all of this, and is meant to be wrong in one case of twenty at most:
//! - every word of the sentence that carries meaning (all but function words and "the text says") stands in the passage, in one of its
//!   forms ("activated", "activates"), and every number with its value;
//! - a run of at least six words is the same in both, or the sentence has a name, date or number of its own and at least three such
//!   words and numbers, which all stand in one sentence of the document;
//! - the words stand in the same order, by and large (a longest common subsequence of half of them): "Peru beat Chile" is not "Chile
//!   beat Peru";
//! - both deny equally often between those words ("not", "never", "without"…);
//! - each number keeps its company: a name or number beside it in the sentence is beside it in the passage, so that "700 in Haiti"
//!   is not carried by "1,600 in Nicaragua … 700 in Haiti" once the numbers are exchanged.
//!
//! In scripts without spaces a character counts 0.6 words (a run of ten characters), and the words that carry meaning are pairs of
//! neighbours. **Supported** is the share of the sentence's meaning, by rarity, that stands in the passage, cut down by everything that
//! disagrees (see [`agreement`](Claim::agreement)), and must reach [`ENOUGH`].
//!
//! What the rules do not see: opposites ("rose" for "fell" is only a word that is missing), conditions and wishes left out ("may", "if"),
//! the order of whole clauses, and claims whose few words all stand close together in a passage about something else.

use std::collections::{HashMap, HashSet};

use super::index::Index;
use super::numbers::Number;
use super::passage::{Passage, REACH, Spelled};
use super::roles::{DENY, FUNCTION, HEDGE, SPEAKS, WRAPPER};
use super::words::{Kind, Token, hash, mix, terms, words};

/// Words in a row that make a quotation.
const RUN: f32 = 6.0;
/// What a character of a script without spaces counts in a run: ten of them are six words.
const CHARACTER: f32 = 0.6;
/// The share of the words that must stand in the same order.
const IN_ORDER: f32 = 0.5;
/// The least agreement that is shown.
pub(crate) const ENOUGH: f32 = 0.65;
/// What a number that the passage does not have leaves of the agreement: less than enough.
const NO_NUMBER: f32 = 0.5;
/// What a name that the passage does not have leaves of it: less than enough.
const NO_NAME: f32 = 0.6;
/// What a word with a capital leaves of it that the passage does not have, and that is a common word elsewhere in the documents.
const NO_CAPITAL: f32 = 0.65;
/// What is left where one denies and the other does not.
const DENIED: f32 = 0.55;
/// What is left where a number stands in other company.
const COMPANY: f32 = 0.55;
/// What is left where a name is a neighbouring sentence's.
const BORROWED: f32 = 0.6;
/// Words of a passage that one unit of a claim may take.
const SPREAD: f32 = 7.0;
/// The least weight of a number.
const NUMBER_WEIGHT: f32 = 4.0;

/// What says that there is nothing to say.
const NOTHING: [&str; 28] = [
    "nothing found",
    "not found",
    "nothing was found",
    "nothing relevant",
    "no information",
    "no relevant",
    "no mention",
    "no details",
    "not mention",
    "not mentioned",
    "not stated",
    "not specified",
    "not provided",
    "not given",
    "doesnt mention",
    "not contain",
    "doesnt contain",
    "not provide",
    "not say",
    "doesnt say",
    "not state",
    "said nothing",
    "says nothing",
    "nothing about",
    "no previous memory",
    "no new information",
    "no plan yet",
    "nothing yet",
];
const NOTHING_UNSPACED: [&str; 6] = ["没有找到", "未找到", "没有提到", "未提及", "没有信息", "没有相关"];

/// A unit of meaning in a sentence.
struct Unit {
    /// Its term, or its number's value.
    key: u64,
    weight: f32,
    number: bool,
}

/// A sentence to be judged.
pub(crate) struct Claim {
    pub words: Spelled,
    units: Vec<Unit>,
    /// Terms of units in their order, repetitions included; numbers by value.
    order: Vec<u64>,
    /// Names and numbers in their order: (key, is a number).
    specifics: Vec<(u64, bool)>,
    /// Stems of names that the documents never write small.
    names: HashSet<u64>,
    /// The name that speaks, and what it does: "President Kennedy urges".
    speaker: HashSet<u64>,
    numbers: Vec<Number>,
    /// Names of code: `code_cuts`, `` `fn chunks` ``.
    identifiers: Vec<Vec<Token>>,
    denials: usize,
    /// The two units after each word that denies, at most [`REACH`] words on.
    denied: Vec<Vec<u64>>,
    /// How often each number stands here.
    often: HashMap<u64, usize>,
    /// It says that there is nothing to say, or asks, or only announces.
    pub empty: bool,
}

/// What a passage says to a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Carried word for word.
    pub quoted: bool,
    /// 0 to 1.
    pub score: f32,
}

impl Claim {
    pub fn new(text: &str, index: &Index) -> Self {
        let words = Spelled::new(text, 0);
        let numbers = words.numbers();
        let mut in_number = vec![None; words.tokens.len()];
        for number in &numbers {
            in_number[number.at..number.at + number.len].fill(Some(*number));
        }
        let capitals = words.tokens.iter().filter(|token| token.word.capital).count();
        let title = capitals * 2 > words.tokens.len();
        let mut claim = Self {
            units: Vec::new(),
            order: Vec::new(),
            specifics: Vec::new(),
            names: HashSet::new(),
            speaker: HashSet::new(),
            denials: (0..words.tokens.len()).filter(|&at| words.is(at, DENY)).count(),
            denied: Vec::new(),
            often: HashMap::new(),
            empty: false,
            identifiers: identifiers(text, &words),
            numbers,
            words,
        };
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        terms(&claim.words.tokens, |token| token.stem, |term, at| found.push((term, at)));
        let (mut from, mut reach) = (0, 0_u32);
        for number in &claim.numbers {
            *claim.often.entry(number.value).or_default() += 1;
        }
        for (term, at) in found {
            if let Some(number) = in_number[at] {
                if number.at == at {
                    let weight = index.weight(claim.words.tokens[at].stem).max(NUMBER_WEIGHT);
                    claim.add(number.value, weight, true, &mut seen);
                    claim.specifics.push((number.value, true));
                }
                continue;
            }
            if claim.words.is(at, DENY) {
                claim.denied.push(Vec::new());
                (from, reach) = (at, 2);
                continue;
            }
            if claim.words.is(at, FUNCTION | WRAPPER) {
                continue;
            }
            if let Some(group) = claim.denied.last_mut().filter(|_| reach > 0 && at <= from + REACH) {
                group.push(term);
            }
            reach = reach.saturating_sub(1);
            claim.add(term, index.weight(term), false, &mut seen);
            if claim.speaks(at) || claim.is_spoken(at) {
                claim.speaker.insert(term);
            }
            let word = claim.words.tokens[at].word;
            let common = index.is_common(term);
            if word.kind == Kind::Mixed || (word.capital && !(common && (at == 0 || title))) {
                claim.specifics.push((term, false));
                if !common && !claim.words.is(at, HEDGE) {
                    claim.names.insert(term);
                }
            }
        }
        claim.empty = claim.says_nothing(text);
        claim
    }

    fn add(&mut self, key: u64, weight: f32, number: bool, seen: &mut HashSet<(u64, bool)>) {
        self.order.push(key);
        if seen.insert((key, number)) {
            self.units.push(Unit { key, weight, number });
        }
    }

    /// Whether the name at `at` is the first words of the sentence (after "the", "Mr."…) and speaks in the next: "President Kennedy urges".
    fn speaks(&self, at: usize) -> bool {
        let next = (at + 1..(at + 4).min(self.words.tokens.len())).find(|&next| !self.words.tokens[next].word.capital);
        at <= 3 && next.is_some_and(|next| self.words.is(next, SPEAKS))
    }

    /// Whether the word at `at` is what such a name does.
    fn is_spoken(&self, at: usize) -> bool {
        self.words.is(at, SPEAKS) && at.checked_sub(1).is_some_and(|name| self.words.tokens[name].word.capital && self.speaks(name))
    }

    fn says_nothing(&self, text: &str) -> bool {
        let form = format!(" {} ", self.words.forms.join(" "));
        let heading =
            text.trim_end_matches(['*', '_']).ends_with([':', '：']) && self.units.len() <= 6 && !self.units.iter().any(|u| u.number);
        self.units.is_empty()
            || heading
            || text.trim_end_matches(['"', '”', '*', ')']).ends_with(['?', '？'])
            || NOTHING.iter().any(|words| form.contains(&format!(" {words} ")))
            || NOTHING_UNSPACED.iter().any(|words| text.contains(words))
    }

    /// What `passage` (the words of a few sentences in a row, each with the number of its sentence) says to it.
    pub fn judge(&self, passage: &Passage) -> Verdict {
        let (score, agreed) = self.agreement(passage);
        if !agreed {
            return Verdict { quoted: false, score };
        }
        // A second sentence is there for what it says, not for one word that happens to be in it.
        if passage.sentences > 1 && !(0..passage.sentences).all(|sentence| self.gains(passage, sentence) >= 2) {
            return Verdict { quoted: false, score };
        }
        let run = self.run(passage) >= RUN;
        let specific = !(self.specifics.is_empty() && self.identifiers.is_empty()) && self.units.len() >= 3 && passage.sentences == 1;
        let in_order = self.in_order(passage) >= IN_ORDER;
        Verdict { quoted: (run || specific) && in_order, score }
    }

    /// How many units stand in this sentence of the passage alone.
    fn gains(&self, passage: &Passage, sentence: usize) -> usize {
        let elsewhere = |key| passage.own.iter().enumerate().any(|(other, own)| other != sentence && own.contains(key));
        self.units.iter().filter(|unit| passage.own[sentence].contains(&unit.key) && !elsewhere(&unit.key)).count()
    }

    /// The share of the claim's weight that stands in the passage, times
    /// - ½ for each number that does not, so that none may be missing;
    /// - 0.6 for each name that does not (a word with a capital that the documents nowhere write small; 0.65 where they do), but for
    ///   whoever is said to say or want it ("Kennedy proposes…"): a speech does not name its speaker, so those two words weigh half
    ///   unless the passage lets someone speak;
    /// - 0.6 where a name of code (with an underscore, or between backticks) does not stand there as it is written;
    /// - 0.55 where one denies what the other does not, and 0.55 where a number stands in other company;
    /// - 0.6 where a name is only in a sentence before the one that has most of the claim, and that one names others, or only after it;
    /// - less than 1 where its units are spread over more than seven words of the passage each;
    /// - for a claim of one unit beside its speaker 0.65, which only a name or number reaches, of two 0.85.
    ///
    /// And whether everything is there and nothing disagrees.
    fn agreement(&self, passage: &Passage) -> (f32, bool) {
        let (mut all, mut there, mut factor) = (0.0, 0.0, 1.0);
        let mut complete = true;
        // A document does not name its own speaker, but it names others that it lets speak.
        let own_words = self.speaker.is_disjoint(&passage.terms) && !passage.tells;
        for unit in &self.units {
            let speaker = !unit.number && own_words && self.speaker.contains(&unit.key);
            all += if speaker { unit.weight / 2.0 } else { unit.weight };
            let found = if unit.number {
                passage.values.get(&unit.key).map_or(0, Vec::len) >= self.often[&unit.key]
            } else {
                passage.terms.contains(&unit.key)
            };
            if found {
                there += unit.weight;
                continue;
            }
            complete = false;
            if unit.number {
                factor *= NO_NUMBER;
            } else if self.names.contains(&unit.key) && !speaker {
                factor *= NO_NAME;
            } else if !speaker && self.specifics.contains(&(unit.key, false)) {
                factor *= NO_CAPITAL;
            }
        }
        if all == 0.0 {
            return (0.0, false);
        }
        // Code is called by its exact name.
        if !self.identifiers.iter().all(|name| passage.has_name(name)) {
            (factor, complete) = (factor * NO_NAME, false);
        }
        let denials = passage.denials_among(&self.order);
        let alike = self.denies_alike(passage, denials);
        if !alike {
            factor *= DENIED;
        }
        let (company, exchanged) = (self.keeps_company(passage), self.exchanged(passage));
        if !company || exchanged == Some(true) {
            factor *= COMPANY;
        }
        factor *= self.closeness(passage);
        if self.borrows(passage) {
            factor *= BORROWED;
        }
        factor *= match self.units.iter().filter(|unit| !self.speaker.contains(&unit.key)).count() {
            0 => 0.0,
            1 if self.specifics.is_empty() && self.identifiers.is_empty() => 0.0,
            1 => 0.65,
            2 => 0.85,
            _ => 1.0,
        };
        (there / all * factor, complete && alike && denials == self.denials && company && exchanged.is_none())
    }

    /// Whether both deny the same: of the units that each denial here reaches, the first that the passage has is denied there, and what
    /// is denied wherever it stands there is denied here. Where the passage has none of them, whether it denies anything among the
    /// claim's words decides.
    fn denies_alike(&self, passage: &Passage, denials: usize) -> bool {
        let known: Vec<_> = self.denied.iter().filter_map(|group| group.iter().find(|key| passage.terms.contains(key))).collect();
        let here =
            if known.is_empty() { self.denials == 0 || denials > 0 } else { known.iter().all(|key| passage.denied.contains_key(key)) };
        let there = passage.denied.iter().filter(|(_, always)| **always).all(|(key, _)| {
            let mine = self.units.iter().any(|unit| !unit.number && unit.key == *key);
            !mine || self.denied.iter().any(|group| group.contains(key)) || (self.denials > 0 && known.is_empty())
        });
        here && there
    }

    /// Whether each number that the passage has stands beside a name or number there that it stands beside here.
    fn keeps_company(&self, passage: &Passage) -> bool {
        let here: Vec<_> = self
            .specifics
            .iter()
            .filter(|(key, number)| if *number { passage.values.contains_key(key) } else { passage.terms.contains(key) })
            .collect();
        here.iter().enumerate().filter(|(_, (_, number))| *number).all(|(at, (value, _))| {
            let near =
                |steps: usize| [at.checked_sub(steps), Some(at + steps)].into_iter().flatten().filter_map(|at| here.get(at)).copied();
            let mut beside: Vec<&(u64, bool)> = near(1).collect();
            // Where only numbers are that near, one step further: sums and years stand in lists.
            if beside.iter().all(|(_, number)| *number) {
                beside.extend(near(2));
            }
            beside.is_empty() || passage.values[value].iter().any(|&place| beside.iter().any(|(key, _)| passage.beside(place, *key)))
        })
    }

    /// 1 where the claim's units stand within [`SPREAD`] words per unit of the passage; less as the shortest stretch that holds them is
    /// longer. Long sentences have all sorts of words.
    fn closeness(&self, passage: &Passage) -> f32 {
        let units: HashSet<u64> = self.units.iter().map(|unit| unit.key).collect();
        let places: Vec<(u64, usize)> = passage.order.iter().filter(|(key, _)| units.contains(key)).copied().collect();
        let all = places.iter().map(|(key, _)| key).collect::<HashSet<_>>().len();
        let mut held: HashMap<u64, usize> = HashMap::new();
        let (mut from, mut shortest) = (0, usize::MAX);
        for (key, to) in &places {
            *held.entry(*key).or_default() += 1;
            while held.len() == all {
                let (first, begin) = places[from];
                shortest = shortest.min(to - begin + 1);
                from += 1;
                let left = held.entry(first).or_default();
                *left -= 1;
                if *left == 0 {
                    held.remove(&first);
                }
            }
        }
        if all == 0 { 1.0 } else { (SPREAD * (all + 1) as f32 / shortest as f32).min(1.0) }
    }

    /// Whether the sentence of the passage that has most of the claim lacks a name of it, and has other names: "Austria ratified it" from
    /// "… Austria. France ratified it". A sentence without names of its own may go on about those before it, but not about
    /// names that only come after it.
    fn borrows(&self, passage: &Passage) -> bool {
        let weight = |terms: &HashSet<u64>| self.units.iter().filter(|unit| terms.contains(&unit.key)).map(|unit| unit.weight).sum::<f32>();
        let main = (0..passage.sentences).max_by(|&a, &b| weight(&passage.own[a]).total_cmp(&weight(&passage.own[b])).then(b.cmp(&a)));
        main.filter(|_| passage.sentences > 1).is_some_and(|main| {
            let name = |key: &u64| self.specifics.contains(&(*key, false));
            let only_there = |at: usize| {
                self.units.iter().filter(move |unit| passage.own[at].contains(&unit.key) && !passage.own[main].contains(&unit.key))
            };
            if (main + 1..passage.sentences)
                .any(|after| only_there(after).count() > 0 && only_there(after).all(|unit| !unit.number && name(&unit.key)))
            {
                return true;
            }
            let borrowed =
                self.specifics.iter().any(|(key, number)| !number && !passage.own[main].contains(key) && passage.terms.contains(key));
            borrowed && passage.inner_names[main].iter().any(|name| !self.specifics.contains(&(*name, false)))
        })
    }

    /// Whether two numbers in a row stand the other way round in the passage, and if so, whether one has the word before it there that
    /// the other has here: "from 60 to 101" for "from 101 to 60".
    fn exchanged(&self, passage: &Passage) -> Option<bool> {
        let mut turned = None;
        for pair in self.numbers.windows(2) {
            let places = |number: &Number| passage.values.get(&number.value).cloned().unwrap_or_default();
            let (a, b) = (places(&pair[0]), places(&pair[1]));
            let (Some(first_a), Some(last_b)) = (a.first(), b.last()) else { continue };
            if pair[0].value == pair[1].value || a.iter().any(|a| a < last_b) || first_a <= last_b {
                continue;
            }
            let before = |number: &Number| Some(self.words.tokens[number.at.checked_sub(1)?].exact);
            let there = |places: &[usize], word: Option<u64>| word.is_some() && places.iter().any(|&place| passage.before[place] == word);
            let swapped = there(&a, before(&pair[1])) || there(&b, before(&pair[0]));
            turned = Some(swapped || turned == Some(true));
        }
        turned
    }

    /// The weight of the longest run of words that stands in both.
    fn run(&self, passage: &Passage) -> f32 {
        let mut best = 0.0_f32;
        let mut last = vec![0.0; passage.words.len() + 1];
        for here in &self.words.tokens {
            let mut next = vec![0.0; last.len()];
            for (at, there) in passage.words.iter().enumerate() {
                if here.exact == there.exact {
                    next[at + 1] = last[at] + if here.word.kind == Kind::Unspaced { CHARACTER } else { 1.0 };
                    best = best.max(next[at + 1]);
                }
            }
            last = next;
        }
        // 0.6 ten times is a little less than 6.
        best + 1e-3
    }

    /// The share of the claim's units that stand in the passage in the same order.
    fn in_order(&self, passage: &Passage) -> f32 {
        let mut last = vec![0_u32; passage.order.len() + 1];
        for here in &self.order {
            let mut next = vec![0; last.len()];
            for (at, (there, _)) in passage.order.iter().enumerate() {
                next[at + 1] = if here == there { last[at] + 1 } else { last[at + 1].max(next[at]) };
            }
            last = next;
        }
        last[last.len() - 1] as f32 / self.order.len().max(1) as f32
    }
}

/// The names of code in a text: words with underscores between them, and what stands between backticks.
fn identifiers(text: &str, words: &Spelled) -> Vec<Vec<Token>> {
    let beside = |a: &Token, b: &Token| b.word.tied && text[a.word.end..b.word.start].bytes().all(|byte| byte == b'_');
    let mut names: Vec<Vec<Token>> = words.tokens.chunk_by(beside).filter(|name| name.len() > 1).map(<[Token]>::to_vec).collect();
    // Of `` `fn chunks(text)` `` the name.
    for quoted in text.split('`').skip(1).step_by(2) {
        let from = quoted.as_ptr() as usize - text.as_ptr() as usize;
        let to = from + quoted.find(['(', '<', '[', '{', '!']).filter(|&at| at > 0).unwrap_or(quoted.len());
        let name: Vec<Token> = words.tokens.iter().filter(|t| from <= t.word.start && t.word.end <= to).copied().collect();
        if (1..=6).contains(&name.len()) {
            names.push(name);
        }
    }
    names
}

/// The key a sentence is recognised by when it stands in another memory: its words, without what typesetting adds.
pub(crate) fn same_words(text: &str) -> u64 {
    let mut out = 0;
    words(text, |form, _| out = mix(out, hash(form)));
    out
}

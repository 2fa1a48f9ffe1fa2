//! Templates, filled in and read back.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::fact::{Detail, Fact, Quote, Relation, Value};
use crate::language;
use crate::names::{Entity, Kind, Split};
use crate::words::{push_word, words};

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Word(&'static str),
    Slot(&'static str),
}

/// Its words and slots.
pub(crate) fn pieces(template: &'static str) -> Vec<Piece> {
    let mut all = words(template).into_iter();
    let mut out = Vec::new();
    while let Some(word) = all.next() {
        match word {
            "{" => {
                out.extend(all.next().map(Piece::Slot));
                all.next();
            }
            word => out.push(Piece::Word(word)),
        }
    }
    out
}

/// Writes a template; `fill` writes a slot.
pub(crate) fn fill(template: &[Piece], out: &mut String, mut slot: impl FnMut(&'static str, &mut String)) {
    for piece in template {
        match piece {
            Piece::Word(word) => push_word(out, word),
            Piece::Slot(name) => slot(name, out),
        }
    }
}

/// The same into a new string, each slot one word or phrase.
pub(crate) fn filled(template: &'static str, slots: &[(&str, &str)]) -> String {
    let mut out = String::new();
    fill(&pieces(template), &mut out, |name, out| {
        for (_, text) in slots.iter().filter(|(slot, _)| *slot == name) {
            words(text).into_iter().for_each(|word| push_word(out, word));
        }
    });
    out
}

/// Templates of facts and filler by split, cut into pieces once.
pub(crate) struct Grammar {
    facts: HashMap<(Relation, Split), Vec<Vec<Piece>>>,
    filler: HashMap<Split, Vec<Vec<Piece>>>,
}

pub(crate) static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let cut = |templates: &'static [&'static str]| templates.iter().map(|template| pieces(template)).collect::<Vec<_>>();
    let splits = [Split::Train, Split::Held];
    Grammar {
        facts: Relation::ALL.into_iter().flat_map(|r| splits.map(|s| ((r, s), cut(language::facts(r, s))))).collect(),
        filler: splits.map(|split| (split, cut(language::filler(split)))).into_iter().collect(),
    }
});

impl Grammar {
    pub fn facts(&self, relation: Relation, split: Split) -> &[Vec<Piece>] {
        &self.facts[&(relation, split)]
    }

    pub fn filler(&self, split: Split) -> &[Vec<Piece>] {
        &self.filler[&split]
    }

    /// The fact that a sentence states, if it is one of ours. `sentence`: its words, the full stop among them.
    pub fn read(&self, sentence: &[&str]) -> Option<Fact> {
        let splits = [Split::Train, Split::Held];
        Relation::ALL
            .into_iter()
            .flat_map(|relation| splits.into_iter().flat_map(move |split| self.facts(relation, split).iter().map(move |t| (relation, t))))
            .find_map(|(relation, template)| match_fact(relation, template, sentence))
    }
}

/// A fact in the words of a template.
pub(crate) fn fact(template: &[Piece], fact: &Fact, out: &mut String) {
    fill(template, out, |slot, out| {
        if !detail(slot, fact.detail, out) {
            match slot {
                "subject" => name(fact.subject, out),
                "price" => push_word(out, &fact.price.to_string()),
                // "value" and "quote".
                _ => match fact.value {
                    Value::Entity(entity) => name(entity, out),
                    Value::Number(number) => push_word(out, &number.to_string()),
                    Value::Quote(quote) => quote.phrases().flat_map(|p| p.split(' ')).for_each(|word| push_word(out, word)),
                },
            }
        }
    });
}

pub(crate) fn name(entity: Entity, out: &mut String) {
    entity.words().into_iter().for_each(|word| push_word(out, word));
}

/// Writes a slot that a detail fills; whether it does.
pub(crate) fn detail(slot: &str, detail: Detail, out: &mut String) -> bool {
    match (slot, detail) {
        ("building", Detail::Building(kind)) => push_word(out, language::BUILDINGS[kind as usize]),
        ("thing", Detail::Thing(thing, _)) => push_word(out, language::THINGS[thing as usize]),
        ("year", Detail::Thing(_, year) | Detail::Year(year)) => push_word(out, &year.to_string()),
        ("topic", Detail::Topic(topic)) => push_word(out, language::TOPICS[topic as usize]),
        _ => return false,
    }
    true
}

/// What was found in a sentence's slots.
#[derive(Default)]
struct Slots {
    subject: Option<Entity>,
    value: Option<Value>,
    detail: Option<u8>,
    year: Option<u16>,
    price: u32,
}

fn match_fact(relation: Relation, template: &[Piece], mut rest: &[&str]) -> Option<Fact> {
    let mut slots = Slots::default();
    for piece in template {
        match *piece {
            Piece::Word(word) => rest = rest.split_first().filter(|(first, _)| **first == word)?.1,
            Piece::Slot(slot) => rest = slots.take(relation, slot, rest)?,
        }
    }
    let detail = match relation {
        Relation::Owner => Detail::Building(slots.detail?),
        Relation::Sold => Detail::Thing(slots.detail?, slots.year?),
        Relation::Profit => Detail::Year(slots.year?),
        Relation::Said => Detail::Topic(slots.detail?),
        _ => Detail::None,
    };
    let fact = Fact { relation, subject: slots.subject?, detail, value: slots.value?, price: slots.price };
    rest.is_empty().then_some(fact)
}

impl Slots {
    /// Reads one slot; what follows it.
    fn take<'a, 'b>(&mut self, relation: Relation, slot: &str, words: &'a [&'b str]) -> Option<&'a [&'b str]> {
        let listed = |list: &[&str]| list.iter().position(|known| Some(known) == words.first()).map(|at| at as u8);
        match slot {
            "subject" => {
                self.subject = Some(entity(relation.subject(), words)?);
                words.get(2..)
            }
            "value" => match relation.value() {
                Some(kind) => {
                    self.value = Some(Value::Entity(entity(kind, words)?));
                    words.get(2..)
                }
                None => {
                    let (number, rest) = number(words)?;
                    self.value = Some(Value::Number(number));
                    Some(rest)
                }
            },
            "price" => {
                let (number, rest) = number(words)?;
                self.price = number;
                Some(rest)
            }
            "year" => {
                let (number, rest) = number(words)?;
                self.year = Some(u16::try_from(number).ok()?);
                Some(rest)
            }
            "quote" => {
                let end = words.iter().position(|word| *word == "”")?;
                self.value = Some(Value::Quote(quote(&words[..end])?));
                words.get(end..)
            }
            _ => {
                let list: &[&str] = match slot {
                    "building" => &language::BUILDINGS,
                    "thing" => &language::THINGS,
                    _ => &language::TOPICS,
                };
                self.detail = Some(listed(list)?);
                words.get(1..)
            }
        }
    }
}

fn entity(kind: Kind, words: &[&str]) -> Option<Entity> {
    Entity::parse(kind, [words.first()?, words.get(1)?])
}

fn number<'a, 'b>(words: &'a [&'b str]) -> Option<(u32, &'a [&'b str])> {
    let digits = words.iter().take_while(|word| word.as_bytes()[0].is_ascii_digit()).count();
    Some((words[..digits].concat().parse().ok()?, &words[digits..]))
}

fn quote(words: &[&str]) -> Option<Quote> {
    let mut rest = words.join(" ");
    let mut next = |list: &[&str]| {
        let at = list.iter().position(|phrase| rest.strip_prefix(phrase).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))?;
        rest = rest[list[at].len()..].trim_start().to_string();
        Some((at as u8, rest.is_empty()))
    };
    let (who, _) = next(&language::WHO)?;
    let (does, end) = next(&language::DOES)?;
    if end {
        return Some(Quote { first: [who, does], second: None });
    }
    let second = [next(&language::JOINS)?.0, next(&language::WHO)?.0, next(&language::DOES)?.0];
    let (time, end) = next(&language::TIMES)?;
    end.then_some(Quote { first: [who, does], second: Some([second[0], second[1], second[2], time]) })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::names::Names;
    use crate::random::Random;

    fn words_of(templates: &[Vec<Piece>]) -> HashSet<&'static str> {
        let word = |piece: &Piece| if let Piece::Word(word) = piece { Some(*word) } else { None };
        templates.iter().flatten().filter_map(word).collect()
    }

    #[test]
    fn splits_have_other_templates_of_the_same_words() {
        let all = |split| {
            let facts = Relation::ALL.into_iter().flat_map(move |relation| GRAMMAR.facts(relation, split).to_vec());
            facts.chain(GRAMMAR.filler(split).to_vec()).collect::<Vec<_>>()
        };
        let (train, held) = (all(Split::Train), all(Split::Held));
        assert!(train.iter().all(|template| !held.contains(template)));
        let only: Vec<_> = words_of(&held).difference(&words_of(&train)).copied().collect();
        assert!(only.is_empty(), "only held-out templates have {only:?}");
    }

    #[test]
    fn a_sentence_states_what_was_put_into_it_and_nothing_else() {
        let names = Names { split: Split::Train, count: 64 };
        let mut random = Random::new(&[1]);
        for (relation, split) in Relation::ALL.into_iter().flat_map(|r| [(r, Split::Train), (r, Split::Held)]) {
            for template in GRAMMAR.facts(relation, split) {
                let detail = match relation {
                    Relation::Owner => Detail::Building(3),
                    Relation::Sold => Detail::Thing(4, 1877),
                    Relation::Profit => Detail::Year(1902),
                    Relation::Said => Detail::Topic(5),
                    _ => Detail::None,
                };
                let value = match relation.value() {
                    Some(kind) => Value::Entity(names.draw(kind, &mut random)),
                    None if relation == Relation::Said => Value::Quote(Quote { first: [1, 2], second: Some([3, 4, 5, 6]) }),
                    None => Value::Number(1234),
                };
                let price = if relation == Relation::Sold { 77 } else { 0 };
                let stated = Fact { relation, subject: names.draw(relation.subject(), &mut random), detail, value, price };
                let mut sentence = String::new();
                fact(template, &stated, &mut sentence);
                let sentence = words(&sentence);
                // By one template only, so that a sentence cannot be read two ways.
                let readings = [Split::Train, Split::Held].into_iter().flat_map(|split| {
                    let of = move |relation| GRAMMAR.facts(relation, split).iter().map(move |template| (relation, template));
                    Relation::ALL.into_iter().flat_map(of)
                });
                let readings: Vec<Fact> = readings.filter_map(|(relation, template)| match_fact(relation, template, &sentence)).collect();
                assert_eq!(readings, [stated], "{sentence:?}");
            }
        }
    }
}

//! Facts that somebody puts in, of names that no list has: "Mara Voss sold the mill in 1931", and the question for their subject.

use std::ops::Range;

use data::{Item, Span};

use crate::language;
use crate::random::Random;
use crate::{Split, Task, World, WorldError};

/// A sentence to be put into a document, and what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// With its full stop.
    pub sentence: String,
    /// Who did what the sentence says.
    pub question: String,
    /// The sentence's subject.
    pub answer: String,
}

/// Words that begin a sentence, and no name.
const NO_NAMES: [&str; 20] =
    ["The", "A", "An", "In", "On", "At", "It", "There", "This", "That", "These", "He", "She", "They", "We", "I", "My", "Our", "His", "Her"];
#[rustfmt::skip]
const DID: [&str; 32] = [
    "sold", "bought", "built", "lost", "found", "painted", "opened", "closed", "burned", "repaired", "moved", "broke", "hid", "stole", "drew",
    "cleaned", "rented", "won", "counted", "saw", "left", "carried", "kept", "gave away", "wrote about", "asked for", "fell into", "paid for",
    "looked after", "sang about", "talked about", "signed for",
];
const ENTITIES: [&str; 12] = ["letter", "key", "coat", "garden", "roof", "bridge", "map", "violin", "boat", "kettle", "portrait", "window"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const HOW: [&str; 8] = ["by hand", "without a word", "for a friend", "on foot", "in a hurry", "twice", "for nothing", "with great care"];

impl Planted {
    /// Of one sentence that begins with a name. None where it does not, or says nothing of it.
    pub fn of(sentence: &str) -> Option<Self> {
        let sentence = sentence.trim().trim_end_matches(['.', '!']);
        let words: Vec<&str> = sentence.split_whitespace().collect();
        let named = |word: &&&str| word.chars().next().is_some_and(char::is_uppercase);
        let count = words.iter().take_while(named).count();
        if count == 0 || words.len() < count + 2 || NO_NAMES.contains(&words[0]) {
            return None;
        }
        let (name, rest) = (words[..count].join(" "), words[count..].join(" "));
        Some(Self { sentence: format!("{name} {rest}."), question: format!("Who {rest}?"), answer: name })
    }

    fn draw(random: &mut Random, held: bool) -> Self {
        let first = loop {
            let word = invented(random);
            if !NO_NAMES.contains(&word.as_str()) {
                break word;
            }
        };
        let name = if random.below(4) == 0 { first } else { format!("{first} {}", invented(random)) };
        Self::of(&format!("{name} {}", deed(random, held))).expect("a name and what it did")
    }
}

/// What somebody did. Of verbs and things, each of which is in both splits, a quarter of the pairs are held out.
fn deed(random: &mut Random, held: bool) -> String {
    let things = [&language::BUILDINGS[..], &language::THINGS, &language::OBJECTS, &ENTITIES].concat();
    let (verb, thing) = loop {
        let (verb, thing) = (random.below(DID.len()), random.below(things.len()));
        if ((verb + thing) % 4 == 3) == held {
            break (DID[verb], things[thing]);
        }
    };
    let thing = match random.below(8) {
        0 => format!("the {} of {}", thing, invented(random)),
        1 => format!("a {thing}"),
        2 => format!("the {} {thing}", random.pick(&language::ADJECTIVES)),
        3 => format!("the {}", invented(random).to_lowercase()),
        _ => format!("the {thing}"),
    };
    let when = match random.below(8) {
        0 => format!(" on {}", random.pick(&DAYS)),
        1 => format!(" in {}", invented(random)),
        2 => format!(" {}", random.pick(&HOW)),
        3 => String::new(),
        _ => format!(" in {}", random.between(1700, 2030)),
    };
    format!("{} {thing}{when}", verb)
}

/// A word that nobody has heard, as a name.
fn invented(random: &mut Random) -> String {
    let begins =
        ["B", "Br", "C", "D", "Dr", "F", "G", "H", "J", "K", "L", "M", "N", "P", "R", "S", "St", "T", "Th", "V", "W", "Y", "Z", ""];
    let vowels = ["a", "e", "i", "o", "u", "ai", "ea", "oo"];
    let middles = ["l", "r", "n", "m", "d", "t", "v", "s", "k", "ll", "nd", "rr", "st"];
    let ends = ["", "n", "s", "r", "l", "x", "ck", "th", "ss", "nt", "a", "o", "y", "ton", "ley", "er"];
    let mut word = format!("{}{}", random.pick(&begins), random.pick(&vowels));
    for _ in 0..random.below(3) {
        word.push_str(random.pick(&middles));
        word.push_str(random.pick(&vowels));
    }
    word.push_str(random.pick(&ends));
    if word.len() < 3 {
        word.push_str("ra");
    }
    word[..1].to_uppercase() + &word[1..]
}

/// The text with these sentences at places of their own, drawn among the ends of its sentences; where each of them stands then.
pub fn plant(text: &str, sentences: &[&str], seed: u64) -> (String, Vec<Range<usize>>) {
    plant_at(text, sentences, &mut Random::new(&[seed, 0x706c_616e]))
}

fn plant_at(text: &str, sentences: &[&str], random: &mut Random) -> (String, Vec<Range<usize>>) {
    let ends: Vec<usize> = text.match_indices(['.', '”']).map(|(at, end)| at + end.len()).filter(|at| ends(text, *at)).collect();
    let mut places: Vec<(usize, usize)> = (0..sentences.len()).map(|number| (draw(&ends, random), number)).collect();
    places.sort_unstable();
    let (mut out, mut spans, mut from) = (String::with_capacity(text.len() + 100), vec![0..0; sentences.len()], 0);
    for (place, number) in places {
        out.push_str(&text[from..place]);
        if place > 0 {
            out.push(' ');
        }
        spans[number] = out.len()..out.len() + sentences[number].len();
        out.push_str(sentences[number]);
        if place == 0 {
            out.push(' ');
        }
        from = place;
    }
    out.push_str(&text[from..]);
    (out, spans)
}

fn draw(ends: &[usize], random: &mut Random) -> usize {
    if ends.is_empty() { 0 } else { random.pick(ends) }
}

/// Whether a sentence ends before this byte: a mark, then space, and not inside what somebody says.
fn ends(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_none_or(char::is_whitespace)
}

impl World {
    /// A row whose question asks for a sentence with invented names, beside `distractors` sentences that say something like it. The
    /// document's other sentences are the world's.
    pub fn planted_item(&self, index: u64) -> Result<Item, WorldError> {
        let mut random = self.random(&[index, 2]);
        let words = self.draw_words(&mut random);
        let story = self.story(index, words, &[])?;
        let held = self.settings().split == Split::Held;
        let asked = Planted::draw(&mut random, held);
        let mut others: Vec<Planted> = Vec::new();
        while others.len() < self.settings().distractors + 1 {
            // Another's deed; every other one differs from the one that is asked for in its last word alone.
            let rest = asked.question.trim_start_matches("Who ").trim_end_matches('?');
            let drawn = Planted::draw(&mut random, held);
            let other = match (others.len() % 2, rest.rsplit_once(' ')) {
                (0, Some((all, last))) if last.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Planted::of(&format!("{} {all} {}", drawn.answer, random.between(1700, 2030))).expect("a name and what it did")
                }
                _ => drawn,
            };
            if other.question != asked.question && other.answer != asked.answer {
                others.push(other);
            }
        }
        let sentences: Vec<&str> = std::iter::once(&asked).chain(&others).map(|one| one.sentence.as_str()).collect();
        let (text, spans) = plant_at(&story.text, &sentences, &mut random);
        let evidence = vec![Span { doc: story.id.clone(), start: spans[0].start, end: spans[0].end }];
        let item = self.asked(Task::Reading, &asked.question, &[], &text, words);
        let id = format!("{}-planted", story.id);
        Ok(Item { id, answers: vec![asked.answer], rule: "contain".into(), hops: 1, evidence, ..item })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorldSettings;

    #[test]
    fn a_sentence_is_asked_for_by_its_subject() {
        let planted = Planted::of("Mara Voss sold the mill in 1931").unwrap();
        assert_eq!((&planted.question[..], &planted.answer[..]), ("Who sold the mill in 1931?", "Mara Voss"));
        assert_eq!(planted.sentence, "Mara Voss sold the mill in 1931.");
        assert_eq!(Planted::of(" Zoë  keeps bees. ").unwrap().question, "Who keeps bees?");
        for no in ["the mill was sold", "The mill was sold", "Mara Voss", "Mara sold", "", "…"] {
            assert!(Planted::of(no).is_none(), "{no:?}");
        }
    }

    #[test]
    fn planted_sentences_stand_whole_among_whole_ones() {
        let text = "Part 1\nAnna was born. She said: “it rains. Often”, and left.\n“No”, said Bo. End.";
        for seed in 0..50 {
            let (planted, spans) = plant(text, &["X did a.", "Y did b."], seed);
            assert_eq!(&planted[spans[0].clone()], "X did a.");
            assert_eq!(&planted[spans[1].clone()], "Y did b.");
            assert_eq!(planted.replace(" X did a.", "").replace(" Y did b.", ""), text);
        }
        assert_eq!(plant("", &["X did a."], 1).0, "X did a. ");
    }

    #[test]
    fn items_have_one_answer_that_no_list_has() {
        let world = World::new(WorldSettings { words: [40, 400], ..WorldSettings::tiny(3, Split::Train) }).unwrap();
        let held = World::new(WorldSettings::tiny(3, Split::Held)).unwrap();
        let mut names = std::collections::HashSet::new();
        for index in 0..200 {
            let item = world.planted_item(index).unwrap();
            assert_eq!(item, world.planted_item(index).unwrap());
            let place = item.extra["document"].as_array().unwrap();
            let at = |n: usize| place[n].as_u64().unwrap() as usize;
            let document = &item.prompt[at(0)..at(1)];
            let sentence = &document[item.evidence[0].start..item.evidence[0].end];
            let rest = item.extra["question"].as_str().unwrap().trim_start_matches("Who ").trim_end_matches('?').to_string();
            assert_eq!(sentence, format!("{} {rest}.", item.answers[0]));
            assert_eq!(document.matches(&format!(" {rest}.")).count(), 1, "{document}");
            names.insert(item.answers[0].clone());
            assert_ne!(item.extra["question"], held.planted_item(index).unwrap().extra["question"]);
        }
        assert!(names.len() > 180, "{} names of 200", names.len());
    }
}

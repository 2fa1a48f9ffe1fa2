//! Conversations about documents, of which an answer is to be repeated word for word.
//!
//! The form is that of openai/mrcr: a user asks for the same several times among much that looks like it, and one of the replies is to be
//! repeated after a code. Whom the request was about the question does not say: it describes them by what their documents have, so that
//! three documents and the conversation have to be put together.

mod library;
mod question;
mod talk;

use std::collections::{BTreeMap, BTreeSet};

use data::{Derivation, Engine, Fact, Obfuscation};
use tokenizer::Tokenizer;
use world::Random;

use crate::candidate::{Candidate, Reject};
use crate::corpus::Source;
use crate::overlap::normal;
use library::{Library, Subject};
pub(crate) use question::derive;
use question::{Ask, Described};
use talk::Request;

/// What conversations are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct DialogueSettings {
    /// How many.
    pub count: usize,
    /// The least and the greatest length of a conversation in tokens. From about 1,000 on there is room for look-alikes.
    pub tokens: (usize, usize),
}

/// (subjects of the requests that are counted, subjects of the request they are counted from): three documents in each case.
const SHAPES: [(usize, usize); 3] = [(2, 1), (3, 0), (1, 2)];
/// Draws of subjects, and of a reply, before a conversation counts as impossible.
const TRIES: usize = 60;
/// Characters of the code that the answer begins with, as openai/mrcr has them.
const CODE: usize = 10;
/// Draws of further turns that may fail or be too long in a row.
const MISSES: usize = 20;

/// Conversations about these documents, each with a question, and why others were not made. `facts[i]` are those of `sources[i]`.
pub fn dialogues(
    sources: &[Source],
    facts: &[Vec<Fact>],
    settings: &DialogueSettings,
    tokenizer: &Tokenizer,
    random: &mut Random,
) -> (Vec<Candidate>, Vec<Reject>) {
    let library = Library::new(sources, facts);
    let (mut made, mut rejected) = (Vec::new(), Vec::new());
    for _ in 0..settings.count {
        match dialogue(&library, settings, tokenizer, &mut Random::new(&[random.next()])) {
            Ok(candidate) => made.push(candidate),
            Err(reason) => rejected.push(Reject { check: "dialogue", reason }),
        }
    }
    (made, rejected)
}

fn dialogue(library: &Library, settings: &DialogueSettings, tokenizer: &Tokenizer, random: &mut Random) -> Result<Candidate, String> {
    let cast = cast(library, random)?;
    let hidden = cast.described.iter().map(|fact| normal(&fact.value)).collect();
    let room = random.between(settings.tokens.0, settings.tokens.1);
    let mut talk = Talk { library, tokenizer, hidden, room, said: BTreeMap::new(), random };
    let (text, replies) = talk.write(&cast)?;

    let described: Vec<Described> = cast.described.iter().map(|fact| Described::of(fact)).collect();
    let (target, before) = described.split_at(cast.target.len());
    let later = replies.later;
    let ask = Ask {
        code: code(random),
        target: target.to_vec(),
        topic: cast.topic.into(),
        before: cast.before.as_ref().map(|(_, topic)| (before.to_vec(), topic.to_string())),
        nth: random.between(1, later),
    };
    let turns = talk::turns(&text).ok_or("a turn has more than one line")?;
    let found = ask.find(&text, &turns)?;
    let own = question::facts(&ask, &found, &text, &turns);
    let reply = own.last().map(|fact| fact.value.clone()).ok_or("nothing was found")?;
    let told = replies.facts.get(&reply).ok_or("a reply was lost")?;
    let of = |at: &usize| library.subjects[*at].doc.to_string();
    let questions = ask.questions();
    let question = questions[random.below(questions.len())].clone();
    let obfuscation = cast.described.iter().zip(&described).map(|(fact, one)| Obfuscation {
        fact: fact.id.clone(),
        kind: "entity".into(),
        from: fact.subject.clone(),
        to: one.words(),
    });
    let facts = cast.described.iter().chain(told).map(|fact| (*fact).clone()).chain(own);
    let derivation = Derivation {
        version: 1,
        engine: Engine::Dialogue,
        paradigm: "coreference".into(),
        facts: facts.collect(),
        edges: Vec::new(),
        walk: Vec::new(),
        obfuscation: obfuscation.collect(),
        table: None,
        sql: None,
        result: None,
        checks: Vec::new(),
        transcripts: Vec::new(),
    };
    let answer = format!("{} {reply}", ask.code);
    // What the audit will do.
    let derived = derive(&derivation, &text, &question)?;
    if derived != answer {
        return Err("the answer does not follow from its own derivation".into());
    }
    Ok(Candidate {
        task: "dialogue".into(),
        question,
        answers: vec![answer],
        rule: "mrcr".into(),
        // Each description leads to a document, and the requests to the reply.
        hops: described.len() as u8 + 1,
        gold: cast.subjects().iter().map(of).collect(),
        never: Vec::new(),
        own: text,
        derivation,
    })
}

/// Whom a question is about.
struct Cast<'a> {
    target: Vec<usize>,
    topic: &'a str,
    before: Option<(Vec<usize>, &'a str)>,
    /// A fact for each of the above, in order, that no other document has.
    described: Vec<&'a Fact>,
}

impl Cast<'_> {
    fn subjects(&self) -> Vec<usize> {
        self.target.iter().chain(self.before.iter().flat_map(|(before, _)| before)).copied().collect()
    }
}

fn cast<'a>(library: &Library<'a>, random: &mut Random) -> Result<Cast<'a>, String> {
    if library.describable.len() < 4 {
        return Err(format!(
            "{} documents have a value that describes them alone and something to ask about: 4 are needed",
            library.describable.len()
        ));
    }
    for _ in 0..TRIES {
        let (count, before) = random.pick(&SHAPES);
        let Some((topic, target)) = library.draw(count, &[], random) else { continue };
        // Several different replies have to be possible.
        if library.common(&target, topic).len() < 2 {
            continue;
        }
        let earlier = if before == 0 { None } else { library.draw(before, &target, random).map(|(topic, subjects)| (subjects, topic)) };
        if before > 0 && earlier.is_none() {
            continue;
        }
        let mut cast = Cast { target, topic, before: earlier, described: Vec::new() };
        let subjects: Vec<&Subject> = cast.subjects().iter().map(|at| &library.subjects[*at]).collect();
        let titles: Vec<String> = subjects.iter().map(|subject| normal(subject.title)).collect();
        let silent =
            |fact: &&&Fact| titles.iter().all(|title| !normal(&fact.value).contains(title) && !normal(&fact.relation).contains(title));
        for subject in &subjects {
            let fitting: Vec<&Fact> = subject.describing.iter().filter(silent).copied().collect();
            if !fitting.is_empty() {
                cast.described.push(random.pick(&fitting));
            }
        }
        if cast.described.len() == subjects.len() {
            return Ok(cast);
        }
    }
    Err(format!("no three documents with something in common were found in {TRIES} draws"))
}

/// A conversation while it is written.
struct Talk<'a, 'b> {
    library: &'b Library<'a>,
    tokenizer: &'b Tokenizer,
    /// Values that describe someone in the question: the conversation must not give them away.
    hidden: Vec<String>,
    /// Tokens left.
    room: usize,
    /// Relations and replies that each request had so far.
    said: BTreeMap<Request, (BTreeSet<&'a str>, BTreeSet<String>)>,
    random: &'b mut Random,
}

/// What the replies to the counted request were made of.
struct Replies<'a> {
    facts: BTreeMap<String, Vec<&'a Fact>>,
    /// Those after the request they are counted from.
    later: usize,
}

impl<'a> Talk<'a, '_> {
    fn write(&mut self, cast: &Cast<'a>) -> Result<(String, Replies<'a>), String> {
        let small = || "so many tokens do not hold the requests that are asked about".to_string();
        let target = (cast.target.clone(), cast.topic);
        let keys: Vec<Request> =
            [Some(&target), cast.before.as_ref()].into_iter().flatten().map(|(of, topic)| self.request(of, topic)).collect();
        let (mut first, mut last, mut facts) = (Vec::new(), Vec::new(), BTreeMap::new());
        let later = self.random.between(2, 4);
        let early = if cast.before.is_some() { self.random.between(1, 2) } else { 0 };
        for number in 0..early + later {
            let (turn, reply, of) = self.turn(&target.0, target.1, true).ok_or_else(small)?;
            if number < early {
                first.push(turn)
            } else {
                last.push(turn)
            }
            facts.insert(reply, of);
        }
        let middle = match &cast.before {
            Some((subjects, topic)) => Some(self.turn(subjects, topic, true).ok_or_else(small)?.0),
            None => None,
        };
        for (subjects, topic) in self.look_alikes(cast) {
            let known = keys.contains(&self.request(&subjects, topic));
            if let Some((turn, ..)) = (!known).then(|| self.turn(&subjects, topic, false)).flatten() {
                if middle.is_some() && self.random.chance(0.5) { first.push(turn) } else { last.push(turn) }
            }
        }
        // What is counted from may be asked again.
        if let Some((subjects, topic)) = cast.before.as_ref().filter(|_| self.random.chance(0.5)) {
            last.extend(self.turn(subjects, topic, false).map(|(turn, ..)| turn));
        }
        let mut misses = 0;
        while misses < MISSES {
            let count = self.random.between(1, 3);
            let drawn =
                self.library.draw(count, &[], self.random).filter(|(topic, subjects)| !keys.contains(&self.request(subjects, topic)));
            let Some((turn, ..)) = drawn.and_then(|(topic, subjects)| self.turn(&subjects, topic, false)) else {
                misses += 1;
                continue;
            };
            misses = 0;
            if middle.is_some() && self.random.chance(0.4) { first.push(turn) } else { last.push(turn) }
        }
        self.random.shuffle(&mut first);
        self.random.shuffle(&mut last);
        first.extend(middle);
        first.append(&mut last);
        Ok((talk::conversation(&first), Replies { facts, later }))
    }

    fn request(&self, subjects: &[usize], topic: &str) -> Request {
        Request { subjects: subjects.iter().map(|at| self.library.subjects[*at].title.to_string()).collect(), topic: topic.into() }
    }

    /// Requests that differ from the counted one, and from the one it is counted from, in one thing.
    fn look_alikes(&mut self, cast: &Cast<'a>) -> Vec<(Vec<usize>, &'a str)> {
        let mut out = Vec::new();
        let both = [Some((&cast.target, cast.topic)), cast.before.as_ref().map(|(subjects, topic)| (subjects, *topic))];
        for (subjects, topic) in both.into_iter().flatten() {
            for _ in 0..2 {
                // One other subject in place of one of them, or beside them.
                if let Some(other) = self.library.another(topic, subjects, self.random) {
                    let mut replaced = subjects.clone();
                    replaced[self.random.below(subjects.len())] = other;
                    out.push((replaced, topic));
                    if subjects.len() < 3 {
                        out.push(([&subjects[..], &[other]].concat(), topic));
                    }
                }
            }
            if subjects.len() > 1 {
                out.push((vec![self.random.pick(subjects)], topic));
            }
            let topics = self.library.topics_of(subjects);
            out.extend((!topics.is_empty()).then(|| (subjects.clone(), self.random.pick(&topics))));
        }
        self.random.shuffle(&mut out);
        out
    }

    /// A turn, its reply and what that was made of; none where it would say the same again or too much, or does not fit. `short`: one
    /// relation only.
    fn turn(&mut self, subjects: &[usize], topic: &'a str, short: bool) -> Option<(String, String, Vec<&'a Fact>)> {
        let request = self.request(subjects, topic);
        let mut common = self.library.common(subjects, topic);
        common
            .retain(|(_, facts)| facts.iter().all(|fact| self.hidden.iter().all(|hidden| !normal(&fact.value).contains(hidden.as_str()))));
        self.random.shuffle(&mut common);
        let (relations, replies) = self.said.entry(request.clone()).or_default();
        // What was not yet said comes first.
        common.sort_by_key(|(relation, _)| relations.contains(relation));
        common.truncate(if short || self.random.chance(0.5) { 1 } else { 2 });
        if common.is_empty() {
            return None;
        }
        for _ in 0..TRIES {
            let values = |facts: &[&'a Fact]| facts.iter().map(|fact| (fact.subject.as_str(), fact.value.as_str())).collect();
            let told: Vec<(&str, Vec<(&str, &str)>)> = common.iter().map(|(relation, facts)| (*relation, values(facts))).collect();
            let (user, reply) = (request.said(self.random), talk::reply(&told, self.random));
            if replies.contains(&reply) {
                continue;
            }
            let turn = talk::turn(&user, &reply);
            // A line break or two between turns.
            let tokens = self.tokenizer.count(&turn).ok()? + 1;
            self.room = self.room.checked_sub(tokens)?;
            relations.extend(common.iter().map(|(relation, _)| *relation));
            replies.insert(reply.clone());
            return Some((turn, reply, common.into_iter().flat_map(|(_, facts)| facts).collect()));
        }
        None
    }
}

fn code(random: &mut Random) -> String {
    const FROM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..CODE).map(|_| char::from(random.pick(FROM))).collect()
}

#[cfg(test)]
#[path = "dialogue/tests.rs"]
mod tests;

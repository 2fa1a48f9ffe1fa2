//! What is to be repeated, said without naming whom it is about; and finding it again.

use std::ops::Range;

use data::{Derivation, Fact};

use super::talk::{self, Request};
use crate::context::OWN;

const ORDINALS: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];
const WITHOUT: [&str; 2] = [
    "In the conversation the user asks several times about “{topic}” of {target}. Write {code} and then repeat, word for word, the \
     assistant's reply to the {nth} of these requests.",
    "Somewhere in the documents is a conversation. More than once it is about “{topic}” of {target}. Write {code} and then repeat, word for \
     word, what the assistant replies the {nth} time.",
];
const AFTER: [&str; 2] = [
    "In the conversation, look for the first time that the user asks about “{topic_before}” of {before}. Later the user asks, more than \
     once, about “{topic}” of {target}. Write {code} and then repeat, word for word, the assistant's reply to the {nth} of these later requests.",
    "Leave out all of the conversation up to the first time that it is about “{topic_before}” of {before}. In the rest of it the user asks \
     several times about “{topic}” of {target}. Write {code} and then repeat, word for word, what the assistant replies the {nth} time.",
];

/// A relation's beginning for what is said in a conversation; the topic follows.
const ASKED: &str = "user › ";
const REPLIED: &str = "assistant › ";

/// A subject by what its document says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub subject: String,
    pub relation: String,
    pub value: String,
}

impl Described {
    pub fn of(fact: &Fact) -> Self {
        Self { subject: fact.subject.clone(), relation: fact.relation.clone(), value: fact.value.clone() }
    }

    /// What the question says in the subject's place.
    pub fn words(&self) -> String {
        format!("the one that has “{}” under “{}”", self.value, self.relation)
    }
}

/// What is to be repeated: the reply to the nth request for something from a topic about these alone, counted after the first request for
/// something else where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub code: String,
    pub target: Vec<Described>,
    pub topic: String,
    pub before: Option<(Vec<Described>, String)>,
    /// From 1.
    pub nth: usize,
}

/// Where in a conversation it stands: numbers of turns from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub before: Option<usize>,
    /// The requests that are counted; the last one's reply is the answer.
    pub counted: Vec<usize>,
}

impl Ask {
    /// The wordings that the question can have.
    pub fn questions(&self) -> Vec<String> {
        let target = all(&self.target);
        let nth = ORDINALS.get(self.nth.wrapping_sub(1)).copied().unwrap_or_default();
        let (before, topic_before) = self.before.as_ref().map_or_else(Default::default, |(before, topic)| (all(before), topic.clone()));
        let templates = if self.before.is_some() { &AFTER } else { &WITHOUT };
        let values = [("code", self.code.as_str()), ("topic", &self.topic), ("target", &target), ("nth", nth)];
        let values = [&values[..], &[("topic_before", &topic_before), ("before", &before)]].concat();
        templates.iter().map(|template| talk::filled(template, &values)).collect()
    }

    /// The turns that it speaks of, in a conversation's turns.
    pub fn find(&self, text: &str, turns: &[(Range<usize>, Range<usize>)]) -> Result<Found, String> {
        let asked = |described: &[Described], topic: &str| {
            let request = Request { subjects: described.iter().map(|one| one.subject.clone()).collect(), topic: topic.into() };
            let sayings = request.sayings();
            turns
                .iter()
                .enumerate()
                .filter(move |(_, (user, _))| sayings.contains(&text[user.clone()]))
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        let before = match &self.before {
            None => None,
            Some((before, topic)) => Some(*asked(before, topic).first().ok_or("the request to count from is not in the conversation")?),
        };
        let mut counted: Vec<usize> =
            asked(&self.target, &self.topic).into_iter().filter(|at| before.is_none_or(|before| *at > before)).collect();
        if self.nth == 0 || counted.len() < self.nth {
            return Err(format!("there are {} such requests in the conversation, and the {}. is asked for", counted.len(), self.nth));
        }
        counted.truncate(self.nth);
        Ok(Found { before, counted })
    }
}

fn all(described: &[Described]) -> String {
    let words: Vec<String> = described.iter().map(Described::words).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let alone = match words.len() {
        0 | 1 => "of it alone",
        2 => "of these two together",
        _ => "of these together",
    };
    format!("{} ({alone})", talk::list(&words))
}

/// The facts of what is found: the request counted from, those counted, and the reply.
pub fn facts(ask: &Ask, found: &Found, text: &str, turns: &[(Range<usize>, Range<usize>)]) -> Vec<Fact> {
    let fact = |at: usize, relation: String, span: &Range<usize>| {
        let value = text[span.clone()].to_string();
        let id = crate::hash::id("fact", [OWN, &relation, &value, &span.start.to_string()]);
        let span = data::Span { doc: OWN.into(), start: span.start, end: span.end };
        Fact { id, subject: format!("turn {}", at + 1), relation, value, span, call: None }
    };
    let mut out = Vec::new();
    if let (Some(at), Some((_, topic))) = (found.before, &ask.before) {
        out.push(fact(at, format!("{ASKED}{topic}"), &turns[at].0));
    }
    out.extend(found.counted.iter().map(|at| fact(*at, format!("{ASKED}{}", ask.topic), &turns[*at].0)));
    out.extend(found.counted.last().map(|at| fact(*at, format!("{REPLIED}{}", ask.topic), &turns[*at].1)));
    out
}

/// The answer that follows from a derivation's descriptions, its conversation and the question; or why none does. It makes the question
/// again from the descriptions, looks for the requests it speaks of, and compares them with those that the derivation names.
pub(crate) fn derive(derivation: &Derivation, conversation: &str, question: &str) -> Result<String, String> {
    let turns = talk::turns(conversation).ok_or("its own document is no conversation")?;
    let mut described = Vec::new();
    for obfuscation in &derivation.obfuscation {
        let fact = derivation.facts.iter().find(|fact| fact.id == obfuscation.fact).ok_or("a description is of no fact of it")?;
        let one = Described::of(fact);
        if obfuscation.from != one.subject || obfuscation.to != one.words() {
            return Err(format!("“{}” does not describe {} by its fact", obfuscation.to, obfuscation.from));
        }
        described.push(one);
    }
    let own: Vec<&Fact> = derivation.facts.iter().filter(|fact| fact.span.doc == OWN).collect();
    let asked: Vec<&str> = own.iter().filter_map(|fact| fact.relation.strip_prefix(ASKED)).collect();
    let topic = own.iter().find_map(|fact| fact.relation.strip_prefix(REPLIED)).ok_or("no fact of it is a reply")?;
    let code = question.rsplit_once("Write ").and_then(|(_, rest)| rest.split_once(' ')).map_or("", |(code, _)| code);
    let readings = (1..=described.len()).map(|count| {
        let before =
            (count < described.len()).then(|| (described[count..].to_vec(), asked.first().copied().unwrap_or_default().to_string()));
        let nth = asked.len().saturating_sub(usize::from(before.is_some()));
        Ask { code: code.into(), target: described[..count].to_vec(), topic: topic.into(), before, nth }
    });
    let ask = readings.into_iter().find(|ask| ask.questions().iter().any(|words| words == question));
    let ask = ask.ok_or("the question is not the one that its descriptions and requests make")?;
    let found = ask.find(conversation, &turns)?;
    let facts = facts(&ask, &found, conversation, &turns);
    if own.len() != facts.len() || own.iter().zip(&facts).any(|(own, fact)| **own != *fact) {
        return Err("the requests that the question speaks of stand elsewhere in the conversation".into());
    }
    let reply = facts.last().map(|fact| fact.value.as_str()).unwrap_or_default();
    let describing = |fact: &&Fact| derivation.obfuscation.iter().any(|one| one.fact == fact.id);
    for told in derivation.facts.iter().filter(|fact| fact.span.doc != OWN && !describing(fact)) {
        if talk::topic(&told.relation) != topic || !reply.contains(&told.value) || !ask.target.iter().any(|one| one.subject == told.subject)
        {
            return Err(format!("the reply does not tell “{}” of “{}”", told.value, told.subject));
        }
    }
    Ok(format!("{code} {reply}"))
}

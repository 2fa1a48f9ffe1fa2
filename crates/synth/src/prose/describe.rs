//! Who a walk starts from, by its own facts, so that nobody else fits.

use std::collections::BTreeSet;

use data::Obfuscation;
use world::Random;

use super::say::Spoken;
use super::web::{End, Web};
use super::words::{self, Value};
use crate::describe::{Form, forms, reading};
use crate::graph::names;

/// Facts of a description, and how often they are drawn.
const MOST: usize = 3;
const TRIES: usize = 12;
/// How often somebody's name is told vaguely rather than outright.
const VAGUE: f64 = 0.3;

/// One fact of a description.
#[derive(Clone, Debug)]
pub struct Clause {
    pub fact: usize,
    pub told: Obfuscation,
    /// As it stands in the question.
    pub text: String,
    /// Others that fit it.
    rivals: BTreeSet<usize>,
}

/// What must not be told.
pub struct Avoid<'a> {
    pub facts: &'a [usize],
    pub entities: &'a [usize],
    /// Nothing with a year.
    pub undated: bool,
}

/// One to three facts of an entity that fit no other together.
pub fn describe(web: &Web, entity: usize, avoid: &Avoid, random: &mut Random) -> Option<Vec<Clause>> {
    let mut clauses: Vec<Clause> = Vec::new();
    for &fact in web.at[entity].iter().filter(|fact| web.made(**fact) && !avoid.facts.contains(fact)) {
        clauses.extend(told(web, entity, fact, avoid, random));
    }
    for _ in 0..TRIES {
        random.shuffle(&mut clauses);
        let mut chosen: Vec<Clause> = Vec::new();
        let mut left: Option<BTreeSet<usize>> = None;
        for clause in &clauses {
            if chosen.iter().any(|other| other.fact == clause.fact) {
                continue;
            }
            let narrowed = left.as_ref().map_or_else(|| clause.rivals.clone(), |left| left & &clause.rivals);
            if left.as_ref().is_some_and(|left| left.len() == narrowed.len()) {
                continue;
            }
            chosen.push(clause.clone());
            if narrowed.is_empty() {
                return Some(chosen);
            }
            left = Some(narrowed);
            if chosen.len() == MOST {
                break;
            }
        }
    }
    None
}

/// The ways in which a fact tells of an entity.
fn told(web: &Web, entity: usize, fact: usize, avoid: &Avoid, random: &mut Random) -> Vec<Clause> {
    let said = web.fact(fact);
    let spoken = web.spoken(fact);
    let person = web.entities[entity].person;
    let mut out = Vec::new();
    let subject = web.end(fact, End::Subject) == Some(entity);
    let other = web.end(fact, if subject { End::Value } else { End::Subject });
    if other.is_some_and(|other| avoid.entities.contains(&other)) {
        return out;
    }
    let vague = random.chance(VAGUE);
    if let Some(other) = other.filter(|other| !vague && !web.entities[*other].doubtful && !web.entities[*other].generic) {
        let end = if subject { End::Subject } else { End::Value };
        let name = if subject { web.shown(fact) } else { web.entities[other].name.clone() };
        if let Some(rivals) = web.rivals(fact, end) {
            let from = if subject { said.subject.clone() } else { said.value.clone() };
            let text = spoken.describe(end, person, &name);
            let told = Obfuscation { fact: said.id.clone(), kind: "entity".into(), from, to: text.clone() };
            out.push(Clause { fact, told, text, rivals });
        }
        return out;
    }
    if !subject || avoid.undated && spoken.value == Value::Year || names::has(&names::key(&said.value), &names::key(&said.subject)) {
        return out;
    }
    let Some(read) = reading(&said.value, spoken.value == Value::Figure) else { return out };
    let digits = |value: &str| value.contains(|c: char| c.is_ascii_digit());
    for form in forms(&read) {
        let near = |value: &str| {
            let readings: Vec<_> = [false, true].iter().filter_map(|number| reading(value, *number)).collect();
            readings.iter().any(|reading| form.near(reading)) || readings.is_empty() && form.kind != "institution" && digits(value)
        };
        let rivals = web.others(fact, &near);
        let text = tells(spoken, person, &form);
        let told = Obfuscation { fact: said.id.clone(), kind: form.kind.into(), from: said.value.clone(), to: form.text.clone() };
        out.push(Clause { fact, told, text, rivals });
    }
    out
}

fn tells(spoken: &Spoken, person: bool, form: &Form) -> String {
    match spoken.value {
        Value::Year => spoken.vaguely(person, &form.text),
        // `who married a name of two words`: a name is told of under its label.
        Value::Name => spoken.labelled(&form.text),
        _ => spoken.describe(End::Subject, person, &form.text),
    }
}

/// Whether a text has any of an entity's names in it.
pub fn names_any(text: &str, called: &[String]) -> bool {
    let key = names::key(text);
    called.iter().filter_map(|name| words::named(name).or(Some(name))).any(|name| names::has(&key, &names::key(name)))
}

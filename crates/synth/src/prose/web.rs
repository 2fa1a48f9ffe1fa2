//! Facts of prose as a web: whoever is named is an entity, whether a document is about it or not, and every fact between two leads both ways.

use std::collections::{BTreeMap, BTreeSet};

use data::Fact;

use super::names::{Names, people};
use super::near::Near;
use super::say::Spoken;
use super::words::{self, Value};
use crate::graph::{View, names};
use crate::walk::answer;

/// Words of a name that is looked for within a value.
const LONGEST: usize = 6;

/// Someone or something that facts name.
#[derive(Clone, Debug, Default)]
pub struct Entity {
    /// The document's title, else its first spelling.
    pub name: String,
    /// All spellings, the name first.
    pub called: Vec<String>,
    /// The number of the document that is about it.
    pub home: Option<usize>,
    /// Without doubt a person.
    pub person: bool,
    /// It may be two, or the same as another: no question leads over it.
    pub doubtful: bool,
    /// A common noun, which in another document means something else.
    pub generic: bool,
}

/// Which end of a fact is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Subject,
    Value,
}

/// A way from one entity to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub fact: usize,
    pub to: usize,
    /// Which end of the fact it leads to.
    pub end: End,
}

/// Entities and what is said of them.
pub struct Web<'a> {
    pub view: &'a View<'a>,
    pub entities: Vec<Entity>,
    /// Whom each fact is about, and who its value is, if that is one.
    ends: Vec<(usize, Option<usize>)>,
    /// Of each fact how its relation is compared, and how it is said.
    relations: Vec<Near>,
    spoken: Vec<Spoken>,
    /// The facts at each entity, whichever end.
    pub at: Vec<Vec<usize>>,
    /// Facts whose value names an entity among other words.
    mentions: Vec<Vec<usize>>,
    of_stem: BTreeMap<String, Vec<usize>>,
    /// Ways that single out where they lead.
    pub steps: Vec<Vec<Step>>,
}

impl<'a> Web<'a> {
    pub fn new(view: &'a View<'a>) -> Self {
        let graph = view.graph;
        let mut names = Names::new(view);
        let subjects: Vec<usize> = (0..graph.facts.len()).map(|fact| names.subject(fact)).collect();
        let ends: Vec<(usize, Option<usize>)> = subjects.into_iter().enumerate().map(|(fact, of)| (of, names.value(fact))).collect();
        let mut entities = names.entities;
        let text = |fact: usize| graph.text(view.document_of(fact));
        let spoken = graph.facts.iter().enumerate().map(|(at, fact)| Spoken::new(fact, text(at))).collect();
        let relations: Vec<Near> = graph.facts.iter().map(|fact| Near::new(&fact.relation)).collect();
        let mut at = vec![Vec::new(); entities.len()];
        let mut of_stem: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (fact, (subject, value)) in ends.iter().enumerate() {
            for end in [Some(*subject), *value].into_iter().flatten().collect::<BTreeSet<_>>() {
                at[end].push(fact);
            }
            for stem in relations[fact].stems() {
                of_stem.entry(stem.to_string()).or_default().push(fact);
            }
        }
        people(view, &ends, &mut entities);
        let mut web = Self { view, entities, ends, relations, spoken, at, mentions: Vec::new(), of_stem, steps: Vec::new() };
        web.mentions = web.mentioned();
        web.doubt();
        web.steps = (0..web.entities.len()).map(|entity| web.ways(entity)).collect();
        web
    }

    /// Whom a fact is about, or who its value is.
    pub fn end(&self, fact: usize, end: End) -> Option<usize> {
        match end {
            End::Subject => Some(self.ends[fact].0),
            End::Value => self.ends[fact].1,
        }
    }

    /// Whether a model found it, and its document does not say the opposite: of no other fact are questions made here.
    pub fn made(&self, fact: usize) -> bool {
        self.view.graph.facts[fact].call.is_some() && !self.spoken[fact].turned
    }

    pub fn relation(&self, fact: usize) -> &Near {
        &self.relations[fact]
    }

    /// A fact's value without a preposition before it.
    pub fn value(&self, fact: usize) -> &'a str {
        let fact = &self.view.graph.facts[fact];
        words::moved(&fact.relation, &fact.value).1
    }

    /// Whether nobody but the entity at this end of the fact is to be found by its relation and its other end.
    pub fn only(&self, fact: usize, end: End) -> bool {
        self.rivals(fact, end).is_some_and(|rivals| rivals.is_empty())
    }

    /// Other entities that a reader may find by the fact's relation and its other end. `None` where that cannot be told.
    pub fn rivals(&self, fact: usize, end: End) -> Option<BTreeSet<usize>> {
        let (wanted, other) = (self.end(fact, end)?, self.end(fact, opposite(end))?);
        let relation = &self.relations[fact];
        let mut out = BTreeSet::new();
        for &said in self.at[other].iter().filter(|said| self.relations[**said].near(relation)) {
            let turned = self.ends[said].0 == other;
            // In the same words the other way round it says something else: the teacher of a teacher.
            if self.relations[said].same(relation) && turned != (end == End::Value) {
                continue;
            }
            match if turned { self.ends[said].1 } else { Some(self.ends[said].0) } {
                Some(found) => out.insert(found),
                // Words that are neither a name nor a figure may name somebody.
                None if words::kind(self.value(said)) == Value::Words => return None,
                None => false,
            };
        }
        // One of several in another's value.
        out.extend(self.mentions[other].iter().filter(|said| self.relations[**said].near(relation)).map(|said| self.ends[*said].0));
        out.remove(&wanted);
        Some(out)
    }

    /// Whether the subject has no other value of the kind under a relation that may be asked for in this one's words.
    pub fn alone(&self, fact: usize) -> bool {
        let own = &self.view.graph.facts[fact];
        let other = |said: &usize| *said != fact && self.ends[*said].0 == self.ends[fact].0;
        self.at[self.ends[fact].0].iter().filter(|said| other(said)).all(|said| {
            let other = &self.view.graph.facts[*said];
            names::key(self.value(*said)) == names::key(self.value(fact))
                || words::apart(&own.value, &other.value)
                || !self.relations[*said].covers(&self.relations[fact])
        })
    }

    /// Other entities of which a relation that may be taken for this fact's says what `fits`.
    pub fn others(&self, fact: usize, fits: &dyn Fn(&str) -> bool) -> BTreeSet<usize> {
        let (relation, subject) = (&self.relations[fact], self.ends[fact].0);
        let of = relation.stems().filter_map(|stem| self.of_stem.get(stem)).flatten();
        let near = of.filter(|said| self.ends[**said].0 != subject && self.relations[**said].near(relation));
        near.filter(|said| fits(&self.view.graph.facts[**said].value)).map(|said| self.ends[*said].0).collect()
    }

    /// A fact as it stands in a derivation: about an entity by its name, however it is spelled there.
    pub fn fact(&self, fact: usize) -> Fact {
        Fact { subject: self.entities[self.ends[fact].0].name.clone(), ..self.view.graph.facts[fact].clone() }
    }

    /// A fact as it can be said, by its document's own words.
    pub fn spoken(&self, fact: usize) -> &Spoken {
        &self.spoken[fact]
    }

    /// What the document of this number is called.
    pub fn titled(&self, document: usize) -> String {
        let of = self.entities.iter().find(|entity| entity.home == Some(document));
        of.map_or_else(String::new, |entity| entity.name.clone())
    }

    /// A fact's value as it stands in a sentence: with its article, where it has one.
    pub fn shown(&self, fact: usize) -> String {
        let said = &self.view.graph.facts[fact];
        let value = self.value(fact);
        let before = self.view.graph.text(self.view.document_of(fact)).get(..said.span.start).unwrap_or_default();
        let article = value.len() == said.value.trim().len() && (before.ends_with(" the ") || before.ends_with("The "));
        if article { format!("the {value}") } else { value.to_string() }
    }

    /// Ways out of an entity over facts that a model found, each to the only one it may lead to.
    fn ways(&self, entity: usize) -> Vec<Step> {
        let mut out = Vec::new();
        if self.entities[entity].doubtful {
            return out;
        }
        for &fact in self.at[entity].iter().filter(|fact| self.made(**fact)) {
            let (subject, Some(value)) = self.ends[fact] else { continue };
            let (to, end) = if subject == entity { (value, End::Value) } else { (subject, End::Subject) };
            if to != entity && !self.entities[to].doubtful && self.only(fact, end) {
                out.push(Step { fact, to, end });
            }
        }
        out
    }

    /// Facts whose values have entities' names among other words.
    fn mentioned(&self) -> Vec<Vec<usize>> {
        let by_key: BTreeMap<String, usize> = self.entities.iter().enumerate().map(|(at, entity)| (names::key(&entity.name), at)).collect();
        let mut out = vec![Vec::new(); self.entities.len()];
        for (fact, ends) in self.ends.iter().enumerate().filter(|(_, ends)| ends.1.is_none()) {
            let key = names::key(&self.view.graph.facts[fact].value);
            let words: Vec<&str> = key.split(' ').collect();
            let mut found: BTreeSet<usize> = BTreeSet::new();
            for from in 0..words.len() {
                for to in from + 1..=words.len().min(from + LONGEST) {
                    found.extend(by_key.get(&words[from..to].join(" ")).filter(|at| **at != ends.0));
                }
            }
            found.into_iter().for_each(|at| out[at].push(fact));
        }
        out
    }

    /// Marks those who may be two, and those who may be another.
    fn doubt(&mut self) {
        // Two years of birth in two documents: one name of two.
        for at in 0..self.entities.len() {
            let facts: Vec<usize> = self.at[at].iter().copied().filter(|fact| self.ends[*fact].0 == at).collect();
            let differ = |(one, other): (usize, usize)| {
                let years = [one, other].map(|fact| answer::year(self.value(fact)));
                let documents = [one, other].map(|fact| self.view.document_of(fact));
                self.relations[one].same(&self.relations[other])
                    && matches!(years, [Some(a), Some(b)] if a != b)
                    && documents[0] != documents[1]
            };
            let mut pairs = facts.iter().enumerate().flat_map(|(place, one)| facts[..place].iter().map(|other| (*one, *other)));
            self.entities[at].doubtful |= pairs.any(differ);
        }
        // `Orme` beside `Samuel Orme`, `Samuel` beside him.
        let mut parts: BTreeSet<String> = BTreeSet::new();
        for entity in &self.entities {
            let key = names::key(&entity.name);
            let words: Vec<&str> = key.split(' ').collect();
            parts.extend((1..words.len()).map(|from| words[from..].join(" ")));
            if entity.person && words.len() > 1 {
                parts.insert(words[0].to_string());
            }
        }
        for entity in self.entities.iter_mut().filter(|entity| entity.home.is_none()) {
            entity.doubtful |= parts.contains(&names::key(&entity.name));
        }
    }
}

pub fn opposite(end: End) -> End {
    if end == End::Subject { End::Value } else { End::Subject }
}

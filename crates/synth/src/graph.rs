//! Entities and what links them, across documents. No model is asked.
//!
//! - An entity is a document, by its title, or a row of a table about something that is no document. Rows about a document, named by its
//!   title or by its file's name, are facts of that document.
//! - Spellings are one name where they differ in case, accents, a leading `the`, punctuation, `&`, parentheses or in the order of
//!   `Korea, South`. A document's aliases are what relations say that mostly repeat the title (a long form, a local form), and acronyms
//!   that the document itself gives for one of its names. A name that fits two entities fits none.
//! - Relations are one where their words are equal.
//! - A fact whose value names another entity links the two. Where it names several, what singles one out is part of the link: the
//!   `first`, the `largest`, the `smallest`. Prose is left alone: that it names something does not say how the two are related.
//!
//! Names are looked up when links are asked for, not when documents are added: a document costs the same however many there are, and
//! may come after those that name it.

pub(crate) mod names;
pub(crate) mod picks;
mod report;
#[cfg(test)]
pub(crate) mod tests;
mod view;

use std::collections::BTreeMap;

use data::{Edge, Fact, Text};

use crate::corpus::Source;
use crate::hash;

pub use report::{Feasible, GraphReport};
pub(crate) use view::{Link, View};

/// Documents as entities, facts as their links.
#[derive(Debug, Default)]
pub struct Graph {
    /// All facts, by the order of their documents.
    pub facts: Vec<Fact>,
    /// The relation of each fact, as a number, and the facts of each relation.
    relation_of: Vec<usize>,
    of_relation: Vec<Vec<usize>>,
    /// The entity each fact is about.
    entity_of: Vec<usize>,
    documents: Vec<Shelved>,
    /// The number of a document by its id.
    ids: BTreeMap<String, usize>,
    entities: Vec<Entity>,
    relations: Relations,
    /// Who goes by a name, by its key.
    claims: BTreeMap<String, Vec<Claim>>,
    /// Rows by the key of their subject, and documents by the key of their file's name.
    rows: BTreeMap<String, usize>,
    /// Documents that came in parts, by the key of their title.
    wholes: BTreeMap<String, usize>,
    stems: BTreeMap<String, Vec<usize>>,
    /// Facts whose values name something.
    naming: Vec<Naming>,
}

#[derive(Debug)]
struct Shelved {
    id: String,
    text: Text,
}

#[derive(Debug)]
struct Entity {
    title: String,
    /// The number of its document, or of the first with a row about it.
    home: usize,
    /// A document, not a row.
    whole: bool,
    facts: Vec<usize>,
}

/// Relations by number; spellings with the same words are one.
#[derive(Debug, Default)]
struct Relations {
    numbers: BTreeMap<String, usize>,
    /// As it was first spelled.
    shown: Vec<String>,
}

/// That an entity goes by a name.
#[derive(Clone, Copy, Debug)]
struct Claim {
    entity: usize,
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The whole title.
    Title,
    /// Another reading of the title.
    Reading,
    /// A fact's value, which may repeat the title. It counts where most values of the relation do.
    Fact { fact: usize, repeats: bool },
    /// The acronym that a fact gives for the title, or for the value of another fact.
    Acronym { fact: usize, of: Option<usize> },
}

/// The names in a fact's value.
#[derive(Debug)]
struct Naming {
    fact: usize,
    names: Vec<String>,
    picks: Vec<(picks::Which, usize)>,
}

impl Graph {
    /// Adds a document with its facts: costs the same however many there are.
    pub fn add(&mut self, source: &Source, facts: Vec<Fact>) {
        let home = self.documents.len();
        self.documents.push(Shelved { id: source.document.id.clone(), text: source.document.text.clone() });
        self.ids.insert(source.document.id.clone(), home);
        let title = names::key(source.subject());
        let known = if source.whole.is_some() { self.wholes.get(&title).copied() } else { None };
        let document = known.unwrap_or_else(|| self.document(source, home));
        let mut added: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for fact in facts {
            let subject = names::key(&fact.subject);
            let entity = if subject == title { document } else { self.row(subject, &fact.subject, home) };
            let at = self.facts.len();
            added.entry(entity).or_default().push(at);
            let relation = self.relations.number(&fact.relation);
            self.relation_of.push(relation);
            self.of_relation.resize_with(self.relations.shown.len(), Vec::new);
            self.of_relation[relation].push(at);
            self.entity_of.push(entity);
            self.entities[entity].facts.push(at);
            let (named, picks) = picks::picks(&fact.value);
            if !named.is_empty() {
                self.naming.push(Naming { fact: at, names: named.into_iter().map(str::to_string).collect(), picks });
            }
            self.facts.push(fact);
        }
        added.into_iter().for_each(|(entity, facts)| self.claim_values(entity, &facts));
    }

    /// All links, each from facts.
    pub fn edges(&self) -> Vec<Edge> {
        let view = View::new(self);
        view.links.iter().map(|link| view.edge(link)).collect()
    }

    /// What the relation of this fact has elsewhere: short values of other entities, each once, none of them equal to this one's.
    pub fn elsewhere(&self, fact: &Fact) -> Vec<String> {
        let Some(&relation) = self.relations.numbers.get(&names::key(&fact.relation)) else { return Vec::new() };
        let own = names::key(&fact.value);
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for other in self.of_relation[relation].iter().map(|fact| &self.facts[*fact]).filter(|other| other.value.len() <= 80) {
            values.entry(names::key(&other.value)).or_insert_with(|| other.value.trim().to_string());
        }
        values.into_iter().filter(|(key, _)| !key.is_empty() && *key != own).map(|(_, value)| value).collect()
    }

    pub(crate) fn relation_of(&self, fact: usize) -> usize {
        self.relation_of[fact]
    }

    /// The id of a document by its number.
    pub(crate) fn id(&self, document: usize) -> &str {
        &self.documents[document].id
    }

    pub(crate) fn text(&self, document: usize) -> &str {
        &self.documents[document].text
    }

    /// The row about this subject, whichever table it stands in.
    fn row(&mut self, key: String, subject: &str, home: usize) -> usize {
        if let Some(&entity) = self.rows.get(&key) {
            return entity;
        }
        let entity = self.entities.len();
        self.entities.push(Entity { title: subject.to_string(), home, whole: false, facts: Vec::new() });
        self.rows.insert(key, entity);
        self.claim_title(entity);
        entity
    }

    /// A new document; of one in parts the first of them.
    fn document(&mut self, source: &Source, home: usize) -> usize {
        let document = self.entities.len();
        self.entities.push(Entity { title: source.subject().to_string(), home, whole: true, facts: Vec::new() });
        self.claim_title(document);
        self.stems.entry(names::key(stem(&source.document.id))).or_default().push(document);
        if source.whole.is_some() {
            self.wholes.insert(names::key(source.subject()), document);
        }
        document
    }

    fn claim_title(&mut self, entity: usize) {
        for (at, key) in names::keys(&self.entities[entity].title).into_iter().enumerate() {
            let by = if at == 0 { By::Title } else { By::Reading };
            self.claims.entry(key).or_default().push(Claim { entity, by });
        }
    }

    /// Aliases among these facts of an entity.
    fn claim_values(&mut self, entity: usize, here: &[usize]) {
        let title = names::key(&self.entities[entity].title);
        let named: Vec<usize> = here.iter().copied().filter(|fact| names::is_name(&self.facts[*fact].value)).collect();
        for &fact in &named {
            let value = self.facts[fact].value.trim();
            let repeats = names::has(&names::key(value), &title);
            for key in names::keys(value) {
                self.claims.entry(key).or_default().push(Claim { entity, by: By::Fact { fact, repeats } });
            }
        }
        for &fact in here {
            for acronym in names::acronyms(&self.facts[fact].value) {
                let spelled = |of: &usize| *of != fact && names::abbreviates(&acronym, &self.facts[*of].value);
                let of = match names::abbreviates(&acronym, &self.entities[entity].title) {
                    true => None,
                    false => match named.iter().copied().find(spelled) {
                        Some(of) => Some(of),
                        None => continue,
                    },
                };
                self.claims.entry(acronym).or_default().push(Claim { entity, by: By::Acronym { fact, of } });
            }
        }
    }
}

impl Relations {
    fn number(&mut self, relation: &str) -> usize {
        let next = self.shown.len();
        let number = *self.numbers.entry(names::key(relation)).or_insert(next);
        if number == next {
            self.shown.push(relation.to_string());
        }
        number
    }
}

/// The id of an edge: a hash of its other fields.
pub(crate) fn edge_id(edge: &Edge) -> String {
    let fields = [&edge.from, &edge.relation, &edge.which, &edge.to];
    hash::id("edge", fields.into_iter().chain(&edge.facts).map(String::as_str))
}

/// A file's name without its folders and extension.
fn stem(id: &str) -> &str {
    let name = id.rsplit(['/', '\\']).next().unwrap_or(id);
    // A part's id ends with its number.
    let name = name.rsplit_once('#').filter(|(_, number)| number.bytes().all(|b| b.is_ascii_digit())).map_or(name, |(name, _)| name);
    name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
}

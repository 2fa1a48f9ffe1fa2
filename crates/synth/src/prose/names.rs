//! Who is named: spellings that are one, documents first.

use std::collections::BTreeMap;

use super::web::Entity;
use super::words::{self, Value};
use crate::extract::entity_key;
use crate::graph::{View, names};

/// Names on their way to entities.
pub struct Names<'a> {
    view: &'a View<'a>,
    pub entities: Vec<Entity>,
    /// Titles by their own key, and by what their spellings have in common; none where two documents have it.
    titles: BTreeMap<String, Option<usize>>,
    loose: BTreeMap<String, Option<usize>>,
    others: BTreeMap<String, usize>,
    /// What a document's facts are about, where that is a common noun.
    generic: BTreeMap<(usize, String), usize>,
}

impl<'a> Names<'a> {
    pub fn new(view: &'a View<'a>) -> Self {
        let (mut entities, mut titles, mut loose) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for node in view.nodes.iter().filter(|node| node.whole) {
            let at = entities.len();
            let (name, called) = (node.title.clone(), vec![node.title.clone()]);
            entities.push(Entity { name, called, home: Some(node.home), ..Entity::default() });
            titles.entry(names::key(&node.title)).and_modify(|other| *other = None).or_insert(Some(at));
            loose.entry(entity_key(&node.title)).and_modify(|other| *other = None).or_insert(Some(at));
        }
        for entity in entities.iter_mut() {
            entity.doubtful = titles[&names::key(&entity.name)].is_none();
        }
        Self { view, entities, titles, loose, others: BTreeMap::new(), generic: BTreeMap::new() }
    }

    /// Whom a fact is about.
    pub fn subject(&mut self, fact: usize) -> usize {
        let name = self.view.fact(fact).subject;
        let document = self.view.document_of(fact);
        if let Some(found) = self.titled(&name) {
            return found;
        }
        if words::named(&name).is_some() {
            return self.other(&name);
        }
        let next = self.entities.len();
        let at = *self.generic.entry((document, entity_key(&name))).or_insert(next);
        if at == next {
            self.entities.push(Entity { called: vec![name.clone()], name, generic: true, ..Entity::default() });
        }
        at
    }

    /// Who its value is, if that is anybody.
    pub fn value(&mut self, fact: usize) -> Option<usize> {
        let said = &self.view.graph.facts[fact];
        let value = words::moved(&said.relation, &said.value).1;
        let name = words::named(value);
        if name.is_none() && words::kind(value) == Value::Words {
            return self.generic.get(&(self.view.document_of(fact), entity_key(value))).copied();
        }
        let name = name?;
        Some(self.titled(name).unwrap_or_else(|| self.other(name)))
    }

    /// The document of this title.
    fn titled(&mut self, name: &str) -> Option<usize> {
        let found =
            [self.titles.get(&names::key(name)), self.loose.get(&entity_key(name))].into_iter().flatten().find_map(|found| *found)?;
        self.call(found, name);
        Some(found)
    }

    fn other(&mut self, name: &str) -> usize {
        let next = self.entities.len();
        let at = *self.others.entry(entity_key(name)).or_insert(next);
        if at == next {
            let doubtful = self.titles.contains_key(&names::key(name)) || self.loose.contains_key(&entity_key(name));
            self.entities.push(Entity { name: name.to_string(), doubtful, ..Entity::default() });
        }
        self.call(at, name);
        at
    }

    fn call(&mut self, at: usize, name: &str) {
        let called = &mut self.entities[at].called;
        if !called.iter().any(|other| other == name) {
            called.push(name.to_string());
        }
    }
}

/// Who is a person, by what is said of them.
pub fn people(view: &View, ends: &[(usize, Option<usize>)], entities: &mut [Entity]) {
    for (fact, (subject, value)) in ends.iter().enumerate() {
        let relation = &view.graph.facts[fact].relation;
        if words::of_person(relation) {
            entities[*subject].person = true;
        }
        if let Some(value) = value.filter(|_| words::is_person(relation)) {
            entities[value].person = true;
        }
    }
}

//! What documents say of their subjects, by topic.

use std::collections::{BTreeMap, HashMap};

use data::Fact;
use world::Random;

use super::talk::topic;
use crate::corpus::Source;
use crate::overlap::{fnv, normal};

/// Characters of a value that a reply quotes.
const LONGEST: usize = 200;
/// Characters of a value that describes a subject, and of a title.
const SHORT: usize = 60;
/// Subjects that have a relation by which one of them is described.
const COMMON: usize = 3;

/// Documents with something to ask about.
pub struct Library<'a> {
    pub subjects: Vec<Subject<'a>>,
    /// Subjects that can be described.
    pub describable: Vec<usize>,
    /// Describable subjects by topic.
    by_topic: BTreeMap<&'a str, Vec<usize>>,
    topics: Vec<&'a str>,
}

/// A document by its title.
pub struct Subject<'a> {
    pub doc: &'a str,
    pub title: &'a str,
    /// The fact of each relation, by topic.
    by_topic: BTreeMap<&'a str, BTreeMap<&'a str, &'a Fact>>,
    /// Facts that no other document has.
    pub describing: Vec<&'a Fact>,
}

impl<'a> Library<'a> {
    pub fn new(sources: &'a [Source], facts: &'a [Vec<Fact>]) -> Self {
        // How many facts have this value of this relation, in the whole corpus: never iterated.
        let mut values: HashMap<u64, usize> = HashMap::new();
        let mut relations: BTreeMap<&str, usize> = BTreeMap::new();
        let key = |fact: &Fact| fnv(&format!("{}\n{}", fact.relation, normal(&fact.value)));
        for fact in facts.iter().flatten() {
            *values.entry(key(fact)).or_default() += 1;
            *relations.entry(&fact.relation).or_default() += 1;
        }
        // Of a document in parts the one that says the most: a subject has one document.
        let mut most: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (at, source) in sources.iter().enumerate().filter(|(_, source)| source.whole.is_some()) {
            let said = most.entry(source.subject()).or_insert((at, facts[at].len()));
            if facts[at].len() > said.1 {
                *said = (at, facts[at].len());
            }
        }
        let meant = |at: usize, source: &Source| source.whole.is_none() || most.get(source.subject()).is_some_and(|said| said.0 == at);
        let mut subjects = Vec::new();
        for (at, (source, facts)) in sources.iter().zip(facts).enumerate() {
            if !quotable(source.subject(), SHORT) || !meant(at, source) {
                continue;
            }
            let mut often: BTreeMap<&str, usize> = BTreeMap::new();
            facts.iter().for_each(|fact| *often.entry(&fact.relation).or_default() += 1);
            let title = normal(source.subject());
            let of_it =
                |fact: &&Fact| fact.subject == source.subject() && often[fact.relation.as_str()] == 1 && quotable(&fact.relation, LONGEST);
            let mut subject =
                Subject { doc: &source.document.id, title: source.subject(), by_topic: BTreeMap::new(), describing: Vec::new() };
            for fact in facts.iter().filter(of_it).filter(|fact| quotable(&fact.value, LONGEST)) {
                subject.by_topic.entry(topic(&fact.relation)).or_default().insert(&fact.relation, fact);
                // Neither says the other: the conversation names the one, the question describes by the other.
                let value = normal(&fact.value);
                let apart = !value.contains(&title) && !title.contains(&value);
                let alone = values[&key(fact)] == 1 && relations[fact.relation.as_str()] >= COMMON && apart;
                if alone && quotable(&fact.value, SHORT) && fact.value.chars().any(char::is_alphabetic) {
                    subject.describing.push(fact);
                }
            }
            subjects.push(subject);
        }
        let describable: Vec<usize> = (0..subjects.len()).filter(|at| !subjects[*at].describing.is_empty()).collect();
        let mut by_topic: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for at in &describable {
            subjects[*at].by_topic.keys().for_each(|topic| by_topic.entry(topic).or_default().push(*at));
        }
        let topics = by_topic.keys().copied().collect();
        Self { subjects, describable, by_topic, topics }
    }

    /// A topic and so many subjects, none of those to `avoid`, that have a relation of it in common.
    pub fn draw(&self, count: usize, avoid: &[usize], random: &mut Random) -> Option<(&'a str, Vec<usize>)> {
        if self.topics.is_empty() {
            return None;
        }
        let topic = random.pick(&self.topics);
        let of = &self.by_topic[topic];
        let mut out: Vec<usize> = Vec::new();
        for _ in 0..4 * count {
            let one = random.pick(of);
            if out.len() < count && !out.contains(&one) && !avoid.contains(&one) {
                out.push(one);
            }
        }
        (out.len() == count && !self.common(&out, topic).is_empty()).then_some((topic, out))
    }

    /// Another subject that has the topic.
    pub fn another(&self, topic: &str, than: &[usize], random: &mut Random) -> Option<usize> {
        let of = self.by_topic.get(topic)?;
        (0..8).map(|_| random.pick(of)).find(|one| !than.contains(one))
    }

    /// Relations of a topic that all of these have, with their facts in the subjects' order.
    pub fn common(&self, subjects: &[usize], topic: &str) -> Vec<(&'a str, Vec<&'a Fact>)> {
        let of = |at: &usize| self.subjects[*at].by_topic.get(topic);
        let Some(first) = subjects.first().and_then(of) else { return Vec::new() };
        let facts = |relation: &str| subjects.iter().map(|at| of(at)?.get(relation).copied()).collect::<Option<Vec<&'a Fact>>>();
        first.keys().filter_map(|relation| Some((*relation, facts(relation)?))).collect()
    }

    /// Topics of which all of these have a relation.
    pub fn topics_of(&self, subjects: &[usize]) -> Vec<&'a str> {
        self.topics.iter().copied().filter(|topic| !self.common(subjects, topic).is_empty()).collect()
    }
}

/// Words on one line, without the quotation marks that turns and questions put around them.
fn quotable(text: &str, longest: usize) -> bool {
    !text.contains(['\n', '\r', '“', '”']) && text.chars().count() <= longest && normal(text).len() > 1
}

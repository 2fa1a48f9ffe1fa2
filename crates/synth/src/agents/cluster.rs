//! Clusters of documents: what a proposer sees at each visit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use agent::Passages;
use data::Document;
use world::Random;

use super::{AgentSettings, Choice, Solved, Task};
use crate::candidate::Reject;
use crate::corpus::Source;

/// Bytes of a document's beginning whose words are searched for.
const BEGINNING: usize = 1_000;
/// Passages that a search gives for each document that is looked for: a long one has many.
const PASSAGES: usize = 16;

/// Documents that belong together, and the questions that were solved about them (SPELL's history).
#[derive(Debug)]
pub struct Cluster {
    /// What is asked for.
    pub task: Task,
    /// Its documents, by their place in the corpus: the first visits' first.
    pool: Vec<usize>,
    /// Those of them that were drawn, or passed over because they are too long.
    drawn: usize,
    buffer: VecDeque<Solved>,
}

impl Cluster {
    /// The documents of the next visit: those that the buffered questions were asked over, and `settings.documents` more. `room` in
    /// tokens; a document for which there is none is passed over. None where no new one is left.
    pub fn visit(&mut self, settings: &AgentSettings, sources: &[Source], room: usize) -> Option<Vec<usize>> {
        let mut shown: Vec<usize> = Vec::new();
        for at in self.buffer.iter().flat_map(|solved| &solved.documents) {
            if !shown.contains(at) {
                shown.push(*at);
            }
        }
        let (before, mut used) = (shown.len(), shown.iter().map(|at| sources[*at].tokens).sum::<usize>());
        while shown.len() - before < settings.documents
            && let Some(at) = self.pool.get(self.drawn)
        {
            self.drawn += 1;
            if used + sources[*at].tokens <= room {
                used += sources[*at].tokens;
                shown.push(*at);
            }
        }
        (shown.len() > before).then_some(shown)
    }

    /// Keeps a question that was solved as often as `settings.band` says; the oldest goes.
    pub fn keep(&mut self, solved: Solved, mean: f64, settings: &AgentSettings) {
        if (settings.band.0..=settings.band.1).contains(&mean) {
            self.buffer.push_back(solved);
        }
        while self.buffer.len() > settings.history {
            self.buffer.pop_front();
        }
    }

    /// What is buffered, the oldest first.
    pub fn buffered(&self) -> Vec<&Solved> {
        self.buffer.iter().collect()
    }
}

/// Opens clusters.
pub struct Clusters<'a> {
    sources: &'a [Source],
    /// Where clusters are by topic: every document's passages, and the documents' places by their ids.
    near: Option<(Passages, BTreeMap<&'a str, usize>)>,
}

impl<'a> Clusters<'a> {
    /// Indexes the corpus where `settings` ask for near documents, in time linear in its text.
    pub fn new(sources: &'a [Source], settings: &AgentSettings) -> Self {
        let near = (settings.cluster == Choice::Near).then(|| {
            let documents: Vec<Document> = sources.iter().map(|source| source.document.clone()).collect();
            let places = sources.iter().enumerate().map(|(at, source)| (source.document.id.as_str(), at)).collect();
            (Passages::new(&documents), places)
        });
        Self { sources, near }
    }

    /// So many clusters, each begun at another document as long as there are others, with `settings.tasks` by turns; and why others could
    /// not be.
    pub fn open(&self, count: usize, settings: &AgentSettings, random: &mut Random) -> (Vec<Cluster>, Vec<Reject>) {
        let mut begins: Vec<usize> = (0..self.sources.len()).collect();
        random.shuffle(&mut begins);
        let (mut made, mut rejects) = (Vec::new(), Vec::new());
        for (number, begin) in begins.iter().cycle().take(if begins.is_empty() { 0 } else { count }).enumerate() {
            let most = settings.documents.saturating_mul(settings.rounds);
            let pool = match &self.near {
                Some((passages, places)) => self.near(*begin, most, passages, places),
                None => self.random(*begin, most, random),
            };
            if pool.len() < settings.documents {
                let (title, many) = (&self.sources[*begin].title, pool.len());
                let reason = format!("{many} documents about “{title}”, with it: {} are needed", settings.documents);
                rejects.push(Reject { check: "cluster", reason });
                continue;
            }
            let task = settings.tasks[number % settings.tasks.len().max(1)];
            made.push(Cluster { task, pool, drawn: 0, buffer: VecDeque::new() });
        }
        (made, rejects)
    }

    /// The document and those whose passages are the best for its title and beginning, the nearest first.
    fn near(&self, begin: usize, most: usize, passages: &Passages, places: &BTreeMap<&str, usize>) -> Vec<usize> {
        let source = &self.sources[begin];
        let text: &str = &source.document.text;
        let query = format!("{} {}", source.title, &text[..text.floor_char_boundary(BEGINNING)]);
        let mut seen = BTreeSet::from([begin]);
        let mut pool = vec![begin];
        for (span, _) in passages.top(&query, most.saturating_mul(PASSAGES)) {
            if pool.len() == most {
                break;
            }
            pool.extend(places.get(span.doc.as_str()).copied().filter(|at| seen.insert(*at)));
        }
        pool
    }

    fn random(&self, begin: usize, most: usize, random: &mut Random) -> Vec<usize> {
        let mut others: Vec<usize> = (0..self.sources.len()).filter(|at| *at != begin).collect();
        random.shuffle(&mut others);
        std::iter::once(begin).chain(others).take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::source;

    fn corpus() -> Vec<Source> {
        let topics = ["mill wheel flour miller", "river bank flood bridge", "castle tower duke siege"];
        let text = |at: usize| format!("{} number{at} ", topics[at % 3]).repeat(3);
        (0..12).map(|at| source(&format!("d{at}"), &format!("T{at}"), &text(at))).collect()
    }

    fn solved(documents: &[usize]) -> Solved {
        Solved { question: format!("Q{}?", documents.len()), answer: "A".into(), documents: documents.to_vec() }
    }

    #[test]
    fn a_visit_shows_what_was_used_and_as_many_new_ones() {
        let sources = corpus();
        let settings = AgentSettings { documents: 2, rounds: 5, history: 2, cluster: Choice::Random, ..AgentSettings::default() };
        let (mut made, rejects) = Clusters::new(&sources, &settings).open(1, &settings, &mut Random::new(&[1]));
        assert!(rejects.is_empty());
        let cluster = &mut made[0];
        let first = cluster.visit(&settings, &sources, usize::MAX).unwrap();
        // Never solved, so it is as if it had not been there.
        cluster.keep(solved(&first), 0.0, &settings);
        let second = cluster.visit(&settings, &sources, usize::MAX).unwrap();
        assert!(second.len() == 2 && second.iter().all(|at| !first.contains(at)));
        cluster.keep(solved(&second), 0.5, &settings);
        let third = cluster.visit(&settings, &sources, usize::MAX).unwrap();
        assert_eq!((&third[..2], third.len(), cluster.buffered()), (&second[..], 4, vec![&solved(&second)]));
        cluster.keep(solved(&third), 1.0, &settings);
        cluster.keep(solved(&first), 1.0, &settings);
        assert_eq!(cluster.buffered(), [&solved(&third), &solved(&first)], "the oldest goes");
        // Where there is room for no other, there is no visit.
        let used: usize = third.iter().chain(&first).map(|at| sources[*at].tokens).sum();
        assert_eq!(cluster.visit(&settings, &sources, used), None);
    }

    #[test]
    fn clusters_are_of_one_topic_or_of_any() {
        let sources = corpus();
        let near = AgentSettings { documents: 4, rounds: 1, ..AgentSettings::default() };
        let near = AgentSettings { tasks: vec![Task::Reading, Task::Numeric], ..near };
        let (made, _) = Clusters::new(&sources, &near).open(12, &near, &mut Random::new(&[1]));
        assert!(made.iter().all(|cluster| cluster.pool.iter().all(|at| at % 3 == cluster.pool[0] % 3) && cluster.pool.len() == 4));
        assert_eq!(made.iter().map(|cluster| cluster.pool[0]).collect::<BTreeSet<_>>().len(), 12);
        assert_eq!((made[0].task, made[1].task, made[2].task), (Task::Reading, Task::Numeric, Task::Reading));
        let random = AgentSettings { cluster: Choice::Random, ..near.clone() };
        let (made, _) = Clusters::new(&sources, &random).open(12, &random, &mut Random::new(&[1]));
        assert!(made.iter().any(|cluster| cluster.pool.iter().any(|at| at % 3 != cluster.pool[0] % 3)));
        // Of one topic there are four.
        let many = AgentSettings { documents: 5, ..near };
        let (made, rejects) = Clusters::new(&sources, &many).open(2, &many, &mut Random::new(&[1]));
        assert!(made.is_empty() && rejects[0].reason.starts_with("4 documents about"), "{rejects:?}");
    }
}

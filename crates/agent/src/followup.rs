//! Later questions: answered from the notes that were kept where they hold the evidence; else, what would have to be read again.

use std::collections::{HashMap, HashSet};

use data::{Document, ReadEvent, Span};

use crate::cite::{SentenceLines, split_sentences};
use crate::edits::{self, Edits};
use crate::outline::statements;
use crate::question::{named, stems_of};
use crate::{Passages, Sources};

/// Notes that are put before a question.
const MOST: usize = 12;
/// The share of what a question names (by weight) that the notes must hold.
const ENOUGH: f32 = 0.7;
/// Passages that are looked at to choose sections.
const PASSAGES: usize = 24;
/// Notes of earlier reads.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    notes: Vec<(String, HashSet<u64>)>,
}

/// What the notes have for a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The notes that name most of what the question names, in the order they were taken.
    pub notes: Vec<String>,
    /// Share of the question's words, weighted by their rarity in the documents, that these notes hold. Words that stand in no document count
    /// for nothing; 0 where none is left.
    pub share: f32,
}

impl Evidence {
    /// Whether an answer from the notes is worth a call. A small model says something in any case, so this is asked first.
    pub fn is_enough(&self) -> bool {
        self.share >= ENOUGH
    }

    /// As the prompt takes them.
    pub fn text(&self) -> String {
        self.notes.iter().map(|note| format!("- {note}\n")).collect()
    }
}

impl Notes {
    /// The notes of kept reads: the last memory and the answer of each, as a person left them; every section's notes of an outline.
    pub fn gather<'a>(logs: impl IntoIterator<Item = &'a [ReadEvent]>) -> Self {
        let mut out = Self::default();
        let mut seen = HashSet::new();
        let logs: Vec<&[ReadEvent]> = logs.into_iter().collect();
        let standing = edits::standing(logs.iter().copied());
        for log in logs {
            let outline = matches!(log.first(), Some(ReadEvent::Started { style, .. }) if style == "outline");
            let changed = Edits::of(log);
            let mut chunks = log.iter().filter_map(|event| match event {
                ReadEvent::Chunk { index, memory, .. } => Some(changed.after(*index).unwrap_or(memory)),
                _ => None,
            });
            // An answer from notes that are others now says what a person may have put right.
            let answer = edits::answered(log, &standing).filter(|answered| !answered.stale);
            let answer =
                answer.and_then(|answered| if let ReadEvent::Answer { text, .. } = &log[answered.line] { Some(&**text) } else { None });
            if outline {
                chunks.flat_map(statements).for_each(|statement| out.add(&statement, &mut seen));
            } else {
                chunks.next_back().into_iter().chain(answer).for_each(|text| out.add(text, &mut seen));
            }
        }
        out
    }

    fn add(&mut self, text: &str, seen: &mut HashSet<String>) {
        for (start, end) in split_sentences(text, SentenceLines::Ends) {
            let note = text[start..end].trim();
            if note.contains(char::is_alphanumeric) && seen.insert(note.to_string()) {
                let mut stems = HashSet::new();
                stems_of(note, |stem| {
                    stems.insert(stem);
                });
                self.notes.push((note.to_string(), stems));
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Whether nothing was kept.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// The notes that together name most of what `question` names. `sources` says how rare a word is in the documents.
    pub fn evidence(&self, question: &str, sources: &Sources) -> Evidence {
        let named = named(question).into_iter().filter(|&stem| sources.has(stem));
        let wanted: HashMap<u64, f32> = named.map(|stem| (stem, sources.weight(stem))).collect();
        let all: f32 = wanted.values().sum();
        let mut chosen: Vec<usize> = Vec::new();
        let mut held: HashSet<u64> = HashSet::new();
        while chosen.len() < MOST {
            // What a note adds counts most; among equals what it has at all.
            let gain = |(_, stems): &(String, HashSet<u64>)| {
                let sum = |skip: &HashSet<u64>| -> f32 {
                    wanted.iter().filter(|(stem, _)| stems.contains(stem) && !skip.contains(stem)).map(|(_, weight)| weight).sum()
                };
                sum(&held) + 0.25 * sum(&HashSet::new())
            };
            let left = self.notes.iter().enumerate().filter(|(at, _)| !chosen.contains(at));
            let gains = left.map(|(at, note)| (at, gain(note))).filter(|(_, gain)| *gain > 0.0);
            let Some((best, _)) = gains.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))) else { break };
            held.extend(self.notes[best].1.iter().copied().filter(|stem| wanted.contains_key(stem)));
            chosen.push(best);
        }
        chosen.sort_unstable();
        // From 0: the sum of nothing is -0.
        let share =
            if all > 0.0 { held.iter().filter_map(|stem| wanted.get(stem)).fold(0.0, |sum, weight| sum + weight) / all } else { 0.0 };
        Evidence { notes: chosen.into_iter().map(|at| self.notes[at].0.clone()).collect(), share }
    }
}

/// Which of `sections` (the chunks of an earlier read) hold the best passages for `question`: at most `most`, in the documents' order.
/// Without sections the passages themselves.
pub fn sections_for(question: &str, documents: &[Document], sections: &[Span], most: usize) -> Vec<Span> {
    let found = Passages::new(documents).top(question, PASSAGES);
    if sections.is_empty() {
        let mut spans: Vec<Span> = found.into_iter().take(most).map(|(span, _)| span).collect();
        order(&mut spans, documents);
        return spans;
    }
    // The part of a passage that a section holds.
    let overlap = |passage: &Span, section: &Span| {
        let held = passage.end.min(section.end).saturating_sub(passage.start.max(section.start));
        if passage.doc == section.doc { held as f64 / (passage.end - passage.start).max(1) as f64 } else { 0.0 }
    };
    // A section is as good as its best passage; the others break ties.
    let mut scored: Vec<(usize, f64)> = sections
        .iter()
        .enumerate()
        .map(|(at, section)| {
            let mut scores: Vec<f64> = found.iter().map(|(span, score)| overlap(span, section) * score).collect();
            scores.sort_by(|a, b| b.total_cmp(a));
            (at, scores.iter().zip(0..).map(|(score, rank)| score / f64::powi(4.0, rank)).sum())
        })
        .filter(|(_, score)| *score > 0.0)
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut spans: Vec<Span> = scored.into_iter().take(most).map(|(at, _)| sections[at].clone()).collect();
    order(&mut spans, documents);
    spans
}

fn order(spans: &mut [Span], documents: &[Document]) {
    spans.sort_by_key(|span| (documents.iter().position(|document| document.id == span.doc), span.start));
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{MemoryOutcome, Usage};

    const TEXT: &str = "About 1,600 marines remain in Nicaragua. In Haiti we have about 700 marines.\n\nThe public debt stood at $16,931,000,000 on June 30.\n\nThere are now 1,000 airports in operation.\n";

    fn documents() -> Vec<Document> {
        vec![Document::plain("d", "d.txt", TEXT)]
    }

    fn log(memory: &str, style: &str) -> Vec<ReadEvent> {
        let started = ReadEvent::Started {
            version: 1,
            model: "m".into(),
            question: "q".into(),
            documents: vec![],
            window: 1,
            chunk: 1,
            memory: 1,
            plan: 1,
            thinking: 0,
            answer: 1,
            chunks: 2,
            sampling: data::Sampling::GREEDY,
            style: style.into(),
        };
        let chunk = |index, memory: &str| ReadEvent::Chunk {
            index,
            doc: "d".into(),
            start: 0,
            end: 1,
            tokens: 1,
            reply: String::new(),
            memory: memory.into(),
            plan: String::new(),
            outcome: MemoryOutcome::Updated,
            usage: Usage::default(),
            seconds: None,
        };
        vec![started, chunk(0, "The airports number 1,000."), chunk(1, memory)]
    }

    #[test]
    fn notes_hold_what_they_name_and_nothing_else() {
        let sources = Sources::new(&documents());
        let read = log("- 1,600 marines in Nicaragua.\n- 700 marines in Haiti.", "");
        let notes = Notes::gather([read.as_slice()]);
        assert_eq!(notes.len(), 2, "the last memory alone");
        let evidence = notes.evidence("How many marines are in Haiti?", &sources);
        assert!(evidence.is_enough() && evidence.notes.iter().any(|note| note.contains("700")), "{evidence:?}");
        for question in ["At what did the public debt stand?", "How many airports are there?", "How many zebras?", "How many?"] {
            let evidence = notes.evidence(question, &sources);
            assert!(!evidence.is_enough() && evidence.share.is_sign_positive(), "{question}");
        }
        // An outline keeps every section's notes.
        let outline = log("- 700 marines in Haiti.", "outline");
        assert!(Notes::gather([outline.as_slice()]).evidence("How many airports are there?", &sources).is_enough());
    }

    #[test]
    fn the_sections_with_the_answer_are_chosen() {
        let documents = documents();
        let debt = TEXT.find("The public").unwrap();
        let airports = TEXT.find("There are").unwrap();
        let span = |start, end| Span { doc: "d".into(), start, end };
        let sections = [span(0, debt), span(debt, airports), span(airports, TEXT.len())];
        // A passage of this short text is all of it: passages are then of no help, and every section is as good.
        assert_eq!(sections_for("public debt", &documents, &sections, 3).len(), 3);
        let long = "Nothing is said here of what was asked. ".repeat(60);
        let text = format!("{long}\n\nThe public debt stood at 5.\n\n{long}");
        let at = text.find("The public").unwrap();
        let documents = [Document::plain("d", "d.txt", text.clone())];
        let sections = [span(0, at - 400), span(at - 400, at + 400), span(at + 400, text.len())];
        assert_eq!(sections_for("How high was the public debt?", &documents, &sections, 1), [sections[1].clone()]);
        assert!(sections_for("zebras", &documents, &sections, 1).is_empty());
    }
}

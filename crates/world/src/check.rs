//! The facts of a text, read back from its sentences, and whether they give a question its answer.

use std::collections::HashSet;
use std::ops::Range;

use crate::derive::{Flaw, Index};
use crate::fact::Fact;
use crate::language::LETTERS;
use crate::question::Question;
use crate::template::GRAMMAR;
use crate::words::words;

/// What a text states, read from its words alone, and the bytes of each sentence that states something.
pub fn read_facts(text: &str) -> Vec<(Fact, Range<usize>)> {
    let sentences = sentences(text).into_iter();
    sentences.filter_map(|span| Some((GRAMMAR.read(&words(&text[span.clone()]))?, span))).collect()
}

/// The bytes of each sentence: up to a full stop or the end of a line. Quotes of the world have no full stop inside.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    for (end, c) in text.char_indices().filter(|(_, c)| matches!(c, '.' | '\n')) {
        let from = start + text[start..end].find(|c: char| !matches!(c, ' ' | '\n')).unwrap_or(end - start);
        let to = if c == '.' { end + 1 } else { end };
        if from < end {
            out.push(from..to);
        }
        start = end + 1;
    }
    out
}

/// A text's facts, for checking several questions about it.
pub struct Facts {
    facts: Vec<Fact>,
    spans: Vec<Range<usize>>,
}

impl Facts {
    /// Reads them.
    pub fn read(text: &str) -> Self {
        let (facts, spans) = read_facts(text).into_iter().unzip();
        Self { facts, spans }
    }

    /// Whether these facts, and no reading of anything else, give the question its answer, from its evidence.
    pub fn check(&self, questions: &[Question]) -> Result<(), Flaw> {
        let index = Index::new(&self.facts);
        questions.iter().try_for_each(|question| self.check_one(&index, question))
    }

    fn check_one(&self, index: &Index<'_>, question: &Question) -> Result<(), Flaw> {
        let (derived, evidence) = index.derive(&question.form)?;
        let given = question.answers.first().cloned().unwrap_or_default();
        let expected = if question.options.is_empty() {
            if question.code.is_empty() { derived.clone() } else { format!("{} {derived}", question.code) }
        } else {
            let right: Vec<usize> = (0..question.options.len()).filter(|at| question.options[*at] == derived).collect();
            let [right] = right[..] else { return Err(Flaw::Options(right.len())) };
            LETTERS[right].to_string()
        };
        if expected != given {
            return Err(Flaw::Answer { derived: expected, given });
        }
        let derived: HashSet<Range<usize>> = evidence.into_iter().map(|at| self.spans[at].clone()).collect();
        let told: HashSet<Range<usize>> = question.evidence.iter().map(|span| span.start..span.end).collect();
        if derived != told { Err(Flaw::Evidence) } else { Ok(()) }
    }
}

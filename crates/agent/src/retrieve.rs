//! BM25 over passages: the baseline that reads only what a question's words point to, and what a person searches with.
//!
//! score(q, d) = Σ_t∈q idf(t) · f(t, d) · (k₁ + 1) / (f(t, d) + k₁ · (1 − b + b · |d| / avgdl)), with
//! idf(t) = ln(1 + (N − n(t) + ½) / (n(t) + ½)): Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009),
//! eq. 3.15, with the 1 inside the logarithm that Lucene added so that no word of a passage counts against it. A word that stands twice
//! in the question counts twice. There is no stop-word list: common words have an idf near 0 by themselves.

use std::collections::HashMap;

use data::{Document, Span};

use crate::cite::words::{Kind, Token, terms, tokens};
use crate::cite::{SentenceLines, split_sentences};

/// Words at which a passage may end with a paragraph.
const ENOUGH: usize = 120;
/// Words beyond which it ends with the sentence before.
const MOST: usize = 200;
/// Two characters of a script without spaces are about one word.
const CHARACTERS_PER_WORD: usize = 2;

/// Passages of documents, found by their words.
///
/// A passage is 120 to 200 words of whole sentences (two characters of Chinese are taken for a word), and ends with a paragraph where
/// one ends in between; the passages of a document tile it byte for byte. Only a document's last passage is shorter, and only one
/// sentence can make one longer. Terms are words without case and accents, not stemmed, and pairs of neighbouring characters in
/// scripts without spaces.
pub struct Passages {
    ids: Vec<String>,
    /// (number of the document, first byte, one past the last).
    places: Vec<(u32, usize, usize)>,
    /// Terms of each passage.
    lengths: Vec<u32>,
    mean: f64,
    vocabulary: HashMap<u64, u32>,
    /// Term `t` stands in `postings[first[t]..first[t + 1]]`: (passage, how often).
    first: Vec<usize>,
    postings: Vec<(u32, u32)>,
}

impl Passages {
    /// k₁: how soon further occurrences of a word stop counting. Lucene's default; Robertson and Zaragoza name 1.2 to 2.
    pub const K1: f64 = 1.2;
    /// b: how much long passages are marked down. Lucene's default; Robertson and Zaragoza name 0.5 to 0.8.
    pub const B: f64 = 0.75;

    /// Cuts and indexes the documents, in time linear in their text. Ids should be unique: spans name documents by them.
    pub fn new(documents: &[Document]) -> Self {
        let mut places = Vec::new();
        for (number, document) in documents.iter().enumerate() {
            places.extend(cut(&document.text).into_iter().map(|(start, end)| (number as u32, start, end)));
        }
        let mut vocabulary: HashMap<u64, u32> = HashMap::new();
        let mut lengths = Vec::new();
        // (term, how often) of each passage one after the other, and where each passage's end.
        let (mut forward, mut ends): (Vec<(u32, u32)>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut counts: Vec<usize> = Vec::new();
        let (mut words, mut ids): (Vec<Token>, Vec<u32>) = (Vec::new(), Vec::new());
        for &(number, start, end) in &places {
            words.clear();
            ids.clear();
            tokens(&documents[number as usize].text[start..end], &mut words);
            terms(
                &words,
                |word| word.exact,
                |term, _| {
                    let fresh = vocabulary.len() as u32;
                    ids.push(*vocabulary.entry(term).or_insert(fresh));
                },
            );
            lengths.push(ids.len() as u32);
            counts.resize(vocabulary.len(), 0);
            ids.sort_unstable();
            for same in ids.chunk_by(|a, b| a == b) {
                counts[same[0] as usize] += 1;
                forward.push((same[0], same.len() as u32));
            }
            ends.push(forward.len());
        }
        let mut first = vec![0];
        for count in counts {
            first.push(first[first.len() - 1] + count);
        }
        let mut next = first.clone();
        let mut postings = vec![(0, 0); forward.len()];
        let mut from = 0;
        for (passage, end) in ends.into_iter().enumerate() {
            for &(id, often) in &forward[from..end] {
                postings[next[id as usize]] = (passage as u32, often);
                next[id as usize] += 1;
            }
            from = end;
        }
        let all: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        let mean = all as f64 / lengths.len().max(1) as f64;
        Self { ids: documents.iter().map(|d| d.id.clone()).collect(), places, lengths, mean, vocabulary, first, postings }
    }

    /// All passages, in the documents' order. Those of one document tile it.
    pub fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        (0..self.places.len()).map(|passage| self.span(passage))
    }

    /// The `k` best passages and their scores, best first; of equal ones the earlier first. Passages without any word of the query are
    /// not among them.
    pub fn top(&self, query: &str, k: usize) -> Vec<(Span, f64)> {
        let mut words = Vec::new();
        tokens(query, &mut words);
        let mut scores = vec![0.0; self.places.len()];
        terms(&words, |word| word.exact, |term, _| self.add(term, &mut scores));
        let mut found: Vec<(usize, f64)> = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if k < found.len() {
            found.select_nth_unstable_by(k, order);
            found.truncate(k);
        }
        found.sort_unstable_by(order);
        found.into_iter().map(|(passage, score)| (self.span(passage), score)).collect()
    }

    /// Adds what one word of the query is worth to each passage.
    fn add(&self, term: u64, scores: &mut [f64]) {
        let Some(&id) = self.vocabulary.get(&term) else { return };
        let postings = &self.postings[self.first[id as usize]..self.first[id as usize + 1]];
        let (all, with) = (self.places.len() as f64, postings.len() as f64);
        let idf = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
        for &(passage, often) in postings {
            let (often, length) = (f64::from(often), f64::from(self.lengths[passage as usize]));
            scores[passage as usize] +=
                idf * often * (Self::K1 + 1.0) / (often + Self::K1 * (1.0 - Self::B + Self::B * length / self.mean));
        }
    }

    fn span(&self, passage: usize) -> Span {
        let (document, start, end) = self.places[passage];
        Span { doc: self.ids[document as usize].clone(), start, end }
    }
}

/// Passages of a text: they tile it.
fn cut(text: &str) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let (mut start, mut held) = (0, 0);
    let mut last_end = 0;
    let mut words = Vec::new();
    for (from, to) in split_sentences(text, SentenceLines::Wrapped) {
        words.clear();
        tokens(&text[from..to], &mut words);
        let unspaced = words.iter().filter(|word| word.word.kind == Kind::Unspaced).count();
        let more = words.len() - unspaced + unspaced.div_ceil(CHARACTERS_PER_WORD);
        let paragraph = text[last_end..from].matches('\n').count() > 1;
        if held > 0 && (held + more > MOST || (held >= ENOUGH && paragraph)) {
            out.push((start, from));
            (start, held) = (from, 0);
        }
        held += more;
        last_end = to;
    }
    if start < text.len() {
        out.push((start, text.len()));
    }
    out
}

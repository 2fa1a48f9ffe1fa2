//! Where words and runs of words stand: an inverted index of sentences, and fingerprints of their runs.

use std::collections::HashMap;

use data::{Document, Span, Text};

use super::sentences::{Lines, sentences};
use super::words::{mix, terms, tokens};

/// Words of a fingerprint.
const GRAM: usize = 4;
/// Of every so many fingerprints in a row one is kept: any run of `GRAM + WINDOW - 1` = 6 words holds a kept one (winnowing; Schleimer,
/// Wilkerson and Aiken 2003, §3.2).
const WINDOW: usize = 3;
/// Postings gathered for one sentence, rarest words first. Bounds the work per sentence, whatever the documents' size.
const GATHERED: usize = 50_000;
/// Places looked at for one fingerprint; more say the same again.
const PLACES: usize = 64;
/// What a shared fingerprint adds to a sentence's rank: about a rare word.
const GRAM_RANK: f32 = 4.0;

/// Sentences of documents, found by their words. Built in time linear in the text; about one and a half bytes per byte of English text.
pub(crate) struct Index {
    pub documents: Vec<Indexed>,
    /// (first byte, one past the last) of each sentence in its document.
    sentences: Vec<(usize, usize)>,
    /// Numbers of terms by hash.
    vocabulary: HashMap<u64, u32>,
    /// Term `t` stands in the sentences `postings[first[t]..first[t + 1]]`.
    first: Vec<usize>,
    postings: Vec<u32>,
    /// Whether the term was seen with a small first letter.
    small: Vec<bool>,
    /// Kept fingerprints: hash in the high half, sentence in the low half; sorted.
    grams: Vec<u64>,
}

/// A document in the index.
pub(crate) struct Indexed {
    pub id: String,
    pub text: Text,
    code: bool,
    /// Number of its first sentence.
    first: u32,
}

impl Index {
    pub fn new(documents: &[Document]) -> Self {
        let mut index = Self {
            documents: Vec::new(),
            sentences: Vec::new(),
            vocabulary: HashMap::new(),
            first: Vec::new(),
            postings: Vec::new(),
            small: Vec::new(),
            grams: Vec::new(),
        };
        // The terms of each sentence one after the other, without repetitions, and where each sentence's end.
        let (mut forward, mut ends): (Vec<u32>, Vec<usize>) = (Vec::new(), Vec::new());
        let (mut counts, mut last_in): (Vec<usize>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut words = Vec::new();
        for document in documents {
            let text = document.text.clone();
            index.documents.push(Indexed {
                id: document.id.clone(),
                text: text.clone(),
                code: document.code,
                first: index.sentences.len() as u32,
            });
            let mut winnow = Winnow::default();
            for (start, end) in sentences(&text, if document.code { Lines::Code } else { Lines::Wrapped }) {
                let number = index.sentences.len() as u32;
                index.sentences.push((start, end));
                words.clear();
                tokens(&text[start..end], &mut words);
                for word in &words {
                    winnow.add(word.exact, number, &mut index.grams);
                }
                terms(
                    &words,
                    |word| word.stem,
                    |term, at| {
                        let fresh = counts.len() as u32;
                        let id = *index.vocabulary.entry(term).or_insert(fresh) as usize;
                        if id == counts.len() {
                            counts.push(0);
                            last_in.push(u32::MAX);
                            index.small.push(false);
                        }
                        index.small[id] |= !words[at].word.capital;
                        if last_in[id] != number {
                            last_in[id] = number;
                            counts[id] += 1;
                            forward.push(id as u32);
                        }
                    },
                );
                ends.push(forward.len());
            }
            winnow.end(&mut index.grams);
        }
        // Turned around by counting: the sentences of term 0, of term 1, …
        index.first.push(0);
        for count in &counts {
            index.first.push(index.first[index.first.len() - 1] + count);
        }
        let mut next = index.first.clone();
        index.postings = vec![0; forward.len()];
        let mut from = 0;
        for (number, end) in ends.into_iter().enumerate() {
            for &id in &forward[from..end] {
                index.postings[next[id as usize]] = number as u32;
                next[id as usize] += 1;
            }
            from = end;
        }
        index.grams.sort_unstable();
        index.grams.dedup();
        index.grams.shrink_to_fit();
        index
    }

    /// Bytes the index takes beside the documents' text.
    pub fn bytes(&self) -> usize {
        self.sentences.capacity() * 16
            + self.vocabulary.capacity() * 13
            + self.first.capacity() * 8
            + self.postings.capacity() * 4
            + self.small.capacity()
            + self.grams.capacity() * 8
    }

    /// The sentences a term stands in.
    pub fn postings(&self, term: u64) -> &[u32] {
        match self.vocabulary.get(&term) {
            Some(&id) => &self.postings[self.first[id as usize]..self.first[id as usize + 1]],
            None => &[],
        }
    }

    /// How much it says that a sentence has this term: ln(1 + (N − n + ½) / (n + ½)), as in BM25, at most 6 so that one odd word does
    /// not outweigh a sentence of others.
    pub fn weight(&self, term: u64) -> f32 {
        let (all, with) = (self.sentences.len() as f32, self.postings(term).len() as f32);
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln().min(6.0)
    }

    /// Whether the documents write the term with a small first letter somewhere: then it is a common word, not a name.
    pub fn is_common(&self, term: u64) -> bool {
        self.vocabulary.get(&term).is_some_and(|&id| self.small[id as usize])
    }

    /// The number of sentences.
    pub fn len(&self) -> u32 {
        self.sentences.len() as u32
    }

    /// The document a sentence stands in, and its bytes there.
    pub fn place(&self, sentence: u32) -> (usize, usize, usize) {
        let document = self.documents.partition_point(|document| document.first <= sentence).saturating_sub(1);
        let (start, end) = self.sentences[sentence as usize];
        (document, start, end)
    }

    /// Whether the sentence and the next, of the same document, may be read as one passage: code ends at a line without words.
    pub fn goes_on(&self, sentence: u32) -> bool {
        let ((document, _, end), (_, next, _)) = (self.place(sentence), self.place(sentence + 1));
        let document = &self.documents[document];
        !document.code || document.text[end..next].matches('\n').count() <= 1
    }

    /// The sentences of `read` that agree with the words most, best first.
    pub fn candidates(&self, words: &[super::words::Token], read: &Read, most: usize) -> Vec<u32> {
        let mut wanted: Vec<(usize, u64)> = Vec::new();
        terms(words, |word| word.stem, |term, _| wanted.push((self.postings(term).len(), term)));
        wanted.sort_unstable();
        wanted.dedup();
        let mut found: Vec<(u32, f32)> = Vec::new();
        for (count, term) in wanted {
            if count == 0 || (!found.is_empty() && found.len() + count > GATHERED) {
                continue;
            }
            let weight = self.weight(term);
            found.extend(self.postings(term).iter().filter(|&&s| read.has(self.place(s))).map(|&sentence| (sentence, weight)));
        }
        let mut grams: Vec<u32> = words.windows(GRAM).map(gram_of).collect();
        grams.sort_unstable();
        grams.dedup();
        for gram in grams {
            let from = self.grams.partition_point(|&entry| ((entry >> 32) as u32) < gram);
            let hits = self.grams[from..].iter().take_while(|&&entry| (entry >> 32) as u32 == gram).map(|&entry| entry as u32);
            found.extend(hits.filter(|&s| read.has(self.place(s))).take(PLACES).map(|sentence| (sentence, GRAM_RANK)));
        }
        found.sort_unstable_by_key(|(sentence, _)| *sentence);
        let mut ranked: Vec<(u32, f32)> = Vec::new();
        for (sentence, weight) in found {
            match ranked.last_mut() {
                Some(last) if last.0 == sentence => last.1 += weight,
                _ => ranked.push((sentence, weight)),
            }
        }
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.into_iter().take(most).map(|(sentence, _)| sentence).collect()
    }
}

fn gram_of(words: &[super::words::Token]) -> u32 {
    (words.iter().fold(0, |hash, word| mix(hash, word.exact)) >> 32) as u32
}

/// Keeps the least of every [`WINDOW`] fingerprints in a row.
#[derive(Default)]
struct Winnow {
    words: Vec<(u64, u32)>,
    /// (hash, sentence of its first word, position).
    recent: Vec<(u32, u32, usize)>,
    position: usize,
    kept: Option<usize>,
}

impl Winnow {
    fn add(&mut self, word: u64, sentence: u32, grams: &mut Vec<u64>) {
        self.words.push((word, sentence));
        if self.words.len() < GRAM {
            return;
        }
        let hash = (self.words.iter().fold(0, |hash, (word, _)| mix(hash, *word)) >> 32) as u32;
        self.recent.push((hash, self.words[0].1, self.position));
        self.position += 1;
        self.words.remove(0);
        if self.recent.len() == WINDOW {
            self.keep(grams);
            self.recent.remove(0);
        }
    }

    /// Documents of fewer than six words have no full window.
    fn end(&mut self, grams: &mut Vec<u64>) {
        if self.position < WINDOW && !self.recent.is_empty() {
            self.keep(grams);
        }
    }

    fn keep(&mut self, grams: &mut Vec<u64>) {
        let least = self.recent.iter().min_by_key(|(hash, _, position)| (*hash, usize::MAX - position));
        if let Some(&(hash, sentence, position)) = least
            && self.kept != Some(position)
        {
            self.kept = Some(position);
            grams.push(u64::from(hash) << 32 | u64::from(sentence));
        }
    }
}

/// The part of the documents that was read.
pub(crate) struct Read {
    /// Per document, sorted ranges that neither touch nor overlap; `None` for everything.
    ranges: Option<Vec<Vec<(usize, usize)>>>,
}

impl Read {
    /// Everything, or the spans. Spans of unknown documents are nothing.
    pub fn new(index: &Index, spans: Option<&[Span]>) -> Self {
        let Some(spans) = spans else { return Self { ranges: None } };
        let numbers: HashMap<&str, usize> = index.documents.iter().enumerate().map(|(number, d)| (d.id.as_str(), number)).collect();
        let mut ranges = vec![Vec::new(); index.documents.len()];
        for span in spans {
            if let Some(&number) = numbers.get(span.doc.as_str()) {
                ranges[number].push((span.start, span.end));
            }
        }
        for list in &mut ranges {
            list.sort_unstable();
            let mut joined: Vec<(usize, usize)> = Vec::new();
            for &(start, end) in list.iter() {
                match joined.last_mut() {
                    Some(last) if start <= last.1 => last.1 = last.1.max(end),
                    _ => joined.push((start, end)),
                }
            }
            *list = joined;
        }
        Self { ranges: Some(ranges) }
    }

    /// Whether all of a place (document, first byte, one past the last) was read.
    pub fn has(&self, (document, start, end): (usize, usize, usize)) -> bool {
        self.ranges.as_ref().is_none_or(|ranges| {
            let list = &ranges[document];
            let after = list.partition_point(|range| range.0 <= start);
            after > 0 && list[after - 1].1 >= end
        })
    }
}

//! Which documents are read, and as what.

mod class;
mod filter;
mod language;
mod parts;

use std::collections::{BTreeMap, HashMap};

use data::{Document, Place};
use serde::Deserialize;
use tokenizer::Tokenizer;

pub use language::language;
pub use parts::parts;

use crate::candidate::Reject;
use crate::hash;
use crate::near::Near;

/// The paper's five kinds of documents (§3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Source code.
    Code,
    /// Papers and textbooks.
    Academic,
    /// Reports, statements, manuals, publications of governments.
    Professional,
    /// General knowledge and literature.
    General,
    /// Conversations.
    Dialogue,
}

/// A document that was admitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Text and marks. Its id is unique within the corpus.
    pub document: Document,
    /// What a reader calls it: unique within the corpus, without regard to case.
    pub title: String,
    /// Its kind.
    pub class: Class,
    /// Length in tokens of the tokenizer that contexts are measured with.
    pub tokens: usize,
    /// Hash of its text.
    pub sha256: String,
    /// What it is a part of, by the title of the whole; None for whole documents.
    pub whole: Option<String>,
}

impl Source {
    /// What it is about: its title, of a part that of the whole.
    pub fn subject(&self) -> &str {
        self.whole.as_deref().unwrap_or(&self.title)
    }

    /// How rich in tables it is: the share of its text (0 to 1) in lines of at most 300 bytes that hold a number with a meaning
    /// ([`measures`](crate::measure::measures)). Lines of prose are longer, and years and page numbers do not count.
    pub fn numbers(&self) -> f64 {
        filter::numbers(&self.document.text)
    }
}

/// What is asked of a document before it is admitted. Shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Least length in tokens.
    pub min_tokens: usize,
    /// Greatest length in tokens; 0 is no bound.
    pub max_tokens: usize,
    /// Greatest share of text in lines that stood before in the same document: menus, page headers, generated text. Not asked of code
    /// nor of JSON and tables, whose keys and columns stand again and again.
    pub max_repeated_lines: f64,
    /// Greatest share of runs of ten words that stood before in the same document. Asked of the same ones.
    pub max_repeated_words: f64,
    /// ISO 639-1 codes of languages, as [`language`] tells them; empty allows all. A document in which none is recognised passes, as does
    /// code.
    pub languages: Vec<String>,
    /// Least share of text in short lines with numbers, [`Source::numbers`]: for corpora that tables are made of.
    pub min_numbers: f64,
    /// From which share of common runs of five words on a document is the same as an earlier one; above 1 no two are.
    pub near_duplicate: f64,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            min_tokens: 1,
            max_tokens: 0,
            max_repeated_lines: 0.3,
            max_repeated_words: 0.3,
            languages: Vec::new(),
            min_numbers: 0.0,
            near_duplicate: Near::LIKENESS,
        }
    }
}

/// Admitted documents, and what was not admitted and why.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Those admitted, in the order in which they came.
    pub sources: Vec<Source>,
    /// (id, why) of all others.
    pub rejected: Vec<(String, Reject)>,
    /// Ids, titles without case and hashes of those admitted → their index.
    ids: HashMap<String, usize>,
    titles: HashMap<String, usize>,
    hashes: HashMap<String, usize>,
    near: Near,
    /// The index among `sources` of each text that `near` keeps.
    compared: Vec<usize>,
}

/// The mix by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorpusReport {
    /// (documents, tokens) of each class.
    pub classes: BTreeMap<Class, (usize, usize)>,
    /// How many documents each check rejected.
    pub rejected: BTreeMap<&'static str, usize>,
}

impl Corpus {
    /// Admits a document, or keeps why not. Checks run in this order, and the first that fails counts: `empty`, `duplicate`,
    /// `duplicate_id`, `title`, `duplicate_title`, `language`, `repeated_lines`, `repeated_words`, `few_numbers`, `tokenizer`,
    /// `too_short`, `too_long`, `near_duplicate`. Time is linear in the document, whatever else the corpus holds.
    pub fn add(
        &mut self,
        document: Document,
        title: &str,
        class: Class,
        filters: &Filters,
        tokenizer: &Tokenizer,
    ) -> Result<&Source, Reject> {
        self.admit(document, (title, None), class, filters, tokenizer)
    }

    /// Admits a part of a longer document ([`parts`]); `whole` is the title of that.
    pub fn add_part(
        &mut self,
        document: Document,
        title: &str,
        whole: &str,
        class: Class,
        filters: &Filters,
        tokenizer: &Tokenizer,
    ) -> Result<&Source, Reject> {
        self.admit(document, (title, Some(whole.trim().to_string())), class, filters, tokenizer)
    }

    fn admit(
        &mut self,
        document: Document,
        (title, whole): (&str, Option<String>),
        class: Class,
        filters: &Filters,
        tokenizer: &Tokenizer,
    ) -> Result<&Source, Reject> {
        match self.check(&document, title, class, filters, tokenizer) {
            Ok((tokens, sha256)) => {
                let (index, title) = (self.sources.len(), title.trim().to_string());
                self.ids.insert(document.id.clone(), index);
                self.titles.insert(title.to_lowercase(), index);
                self.hashes.insert(sha256.clone(), index);
                self.sources.push(Source { document, title, class, tokens, sha256, whole });
                Ok(&self.sources[index])
            }
            Err(reject) => {
                self.rejected.push((document.id, reject.clone()));
                Err(reject)
            }
        }
    }

    /// Documents and tokens by class, and rejections by check.
    pub fn report(&self) -> CorpusReport {
        let mut report = CorpusReport::default();
        for source in &self.sources {
            let (documents, tokens) = report.classes.entry(source.class).or_default();
            *documents += 1;
            *tokens += source.tokens;
        }
        for (_, reject) in &self.rejected {
            *report.rejected.entry(reject.check).or_default() += 1;
        }
        report
    }

    /// Length in tokens and hash of a document that passes every check. Cheap checks come first.
    fn check(
        &mut self,
        document: &Document,
        title: &str,
        class: Class,
        filters: &Filters,
        tokenizer: &Tokenizer,
    ) -> Result<(usize, String), Reject> {
        let text: &str = &document.text;
        let code = class == Class::Code;
        let reject = |check, reason: String| Err(Reject { check, reason });
        if text.trim().is_empty() {
            return reject("empty", "there is no text in it".into());
        }
        let sha256 = hash::sha256([text]);
        if let Some(&same) = self.hashes.get(&sha256) {
            return reject("duplicate", format!("its text is that of {}", self.sources[same].document.id));
        }
        if self.ids.contains_key(&document.id) {
            return reject("duplicate_id", format!("another document has the id {}", document.id));
        }
        if !names_something(title) {
            return reject("title", format!("a reader could not name it by “{}”", title.trim()));
        }
        if let Some(&same) = self.titles.get(&title.trim().to_lowercase()) {
            return reject("duplicate_title", format!("{} is called {} too", self.sources[same].document.id, title.trim()));
        }
        if !filters.languages.is_empty()
            && !code
            && let Some(found) = language(text)
            && !filters.languages.iter().any(|allowed| allowed == found)
        {
            return reject("language", format!("{found}, not {}", filters.languages.join(" or ")));
        }
        let prose = !code && !document.marks.iter().any(|mark| matches!(mark.place, Place::Cell { .. } | Place::Pointer { .. }));
        let lines = if !prose { 0.0 } else { filter::repeated_lines(text) };
        if lines > filters.max_repeated_lines {
            return reject(
                "repeated_lines",
                format!("{:.0}% of its text repeats lines, more than {:.0}%", lines * 100.0, filters.max_repeated_lines * 100.0),
            );
        }
        let words = if !prose { 0.0 } else { filter::repeated_words(text) };
        if words > filters.max_repeated_words {
            return reject(
                "repeated_words",
                format!("{:.0}% of it repeats ten words, more than {:.0}%", words * 100.0, filters.max_repeated_words * 100.0),
            );
        }
        if filters.min_numbers > 0.0 {
            let numbers = filter::numbers(text);
            if numbers < filters.min_numbers {
                let (numbers, least) = (numbers * 100.0, filters.min_numbers * 100.0);
                return reject("few_numbers", format!("{numbers:.0}% of its text is short lines with numbers, less than {least:.0}%"));
            }
        }
        let tokens = match tokenizer.count(text) {
            Ok(tokens) => tokens,
            Err(error) => return reject("tokenizer", error.to_string()),
        };
        if tokens < filters.min_tokens {
            return reject("too_short", format!("{tokens} tokens, fewer than {}", filters.min_tokens));
        }
        if filters.max_tokens > 0 && tokens > filters.max_tokens {
            return reject("too_long", format!("{tokens} tokens, more than {}", filters.max_tokens));
        }
        if filters.near_duplicate <= 1.0 {
            // The last check: what it keeps is admitted.
            if let Some((same, likeness)) = self.near.add(text, filters.near_duplicate) {
                let same = &self.sources[self.compared[same]].document.id;
                return reject(
                    "near_duplicate",
                    format!("{:.0}% of it is in {same}, at least {:.0}%", likeness * 100.0, filters.near_duplicate * 100.0),
                );
            }
            self.compared.push(self.sources.len());
        }
        Ok((tokens, sha256))
    }
}

/// Whether a title is one: words that say that there is none are not.
pub fn names_something(title: &str) -> bool {
    const NOTHING: [&str; 9] = ["", "none", "null", "nil", "na", "n/a", "unknown", "untitled", "no title"];
    !NOTHING.contains(&title.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose(seed: usize, words: usize) -> String {
        (0..words).map(|at| format!("word{} ", (at * 7919 + seed * 104_729) % 50_021)).collect()
    }

    #[test]
    fn each_check_rejects_with_its_reason() {
        let tokenizer = Tokenizer::approximate();
        let mut corpus = Corpus::default();
        let filters = Filters { min_tokens: 20, max_tokens: 5000, languages: vec!["en".into()], ..Filters::default() };
        let mut add = |id: &str, title: &str, text: &str, filters: &Filters| {
            corpus
                .add(Document::plain(id, id, text), title, Class::General, filters, &tokenizer)
                .err()
                .map(|reject| format!("{}: {}", reject.check, reject.reason))
        };
        let first = prose(1, 300);
        assert_eq!(add("a", "First", &first, &filters), None);
        let mut rejected = |id: &str, title: &str, text: &str, why: &str| {
            let said = add(id, title, text, &filters).unwrap_or_default();
            assert!(said.starts_with(why), "{said}");
        };
        rejected("b", "Second", " \n", "empty: there is no text in it");
        rejected("b", "Second", &first, "duplicate: its text is that of a");
        rejected("a", "Second", &prose(2, 300), "duplicate_id: another document has the id a");
        rejected("b", " ", &prose(2, 300), "title: a reader could not name it");
        rejected("b", "None", &prose(2, 300), "title: a reader could not name it by “None”");
        rejected("b", "FIRST ", &prose(2, 300), "duplicate_title: a is called FIRST too");
        rejected("b", "Second", &"Das ist nicht die Stadt und der Fluss mit dem Berg ".repeat(5), "language: de, not en");
        let lines = format!("{}\nA line of a menu\n{}", "A line of a menu\n".repeat(9), prose(3, 20));
        rejected("b", "Second", &lines, "repeated_lines: 41% of its text repeats lines, more than 30%");
        let words = format!("{} {}", prose(4, 60), prose(4, 60));
        rejected("b", "Second", &words, "repeated_words: 46% of it repeats ten words, more than 30%");
        rejected("b", "Second", "A short one", "too_short: ");
        rejected("b", "Second", &prose(5, 3000), "too_long: ");
        rejected("b", "Second", &format!("{first} and so on"), "near_duplicate: 99% of it is in a, at least 80%");
        let tables = Filters { min_numbers: 0.5, ..Filters::default() };
        assert_eq!(
            add("b", "Second", &prose(2, 300), &tables).unwrap(),
            "few_numbers: 0% of its text is short lines with numbers, less than 50%"
        );
        assert_eq!(add("b", "Second", "area: 5 sq km\nlength: 7 km\nSome more words\n", &tables), None);
        assert_eq!(add("c", "Third", &prose(7, 300), &filters), None);
        assert_eq!(
            add("d", "Fourth", &format!("{} etc", prose(7, 300)), &filters).unwrap(),
            "near_duplicate: 100% of it is in c, at least 80%"
        );
        let report = corpus.report();
        assert_eq!(report.classes[&Class::General].0, 3);
        assert_eq!((report.rejected.len(), report.rejected.values().sum::<usize>()), (12, 14));
    }
}

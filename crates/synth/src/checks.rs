//! The checks that need no model.

mod waterfall;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use agent::Passages;
use data::{Check, Document, Engine, Fact, Part};
use reward::Rule;

use crate::candidate::{Candidate, Reject};
use crate::choice::{options, stem};
use crate::context::{Context, OWN, whole_title};
use crate::corpus::Source;
use crate::overlap::{Benchmarks, normal};
use crate::prose;
use crate::walk::Compute;

pub use waterfall::Waterfall;

/// The steps of a candidate after it was made, in order. `gold` and `length` are those of [`assemble`](crate::assemble).
pub const STEPS: [&str; 14] = [
    "gold",
    "length",
    "format",
    "spans",
    "present",
    "single",
    "leak",
    "search",
    "duplicate",
    "overlap",
    "closed_book",
    "with_evidence",
    "robust",
    "difficulty",
];
/// Those of them that ask a model.
pub(crate) const MODEL_CHECKS: [&str; 4] = ["closed_book", "with_evidence", "robust", "difficulty"];

/// Characters of a question, and of an answer that is not to be repeated.
const LONGEST: (usize, usize) = (4_000, 240);
/// Passages that a search gives.
const PASSAGES: usize = 5;

/// What rows are checked against: the corpus' facts, benchmarks, and the rows before them.
pub struct Checks<'a> {
    facts: BTreeMap<&'a str, &'a [Fact]>,
    benchmarks: &'a Benchmarks,
    /// The greatest share of rows whose answer a search for the question's words finds.
    searchable: f64,
    kept: usize,
    found: usize,
    questions: BTreeSet<String>,
    /// Answers with the facts they follow from.
    answers: BTreeSet<String>,
}

type Outcome = Result<(Option<bool>, String), String>;

/// What a candidate that passed counts for, once it is a row.
#[derive(Debug)]
pub struct Passed {
    question: String,
    answers: String,
    found: bool,
}

impl<'a> Checks<'a> {
    /// `facts[i]` are those of `sources[i]`. `searchable` in [0, 1]: beyond this share rows that a search finds are dropped; 1 keeps all.
    pub fn new(sources: &'a [Source], facts: &'a [Vec<Fact>], benchmarks: &'a Benchmarks, searchable: f64) -> Self {
        let facts = sources.iter().zip(facts).map(|(source, facts)| (source.document.id.as_str(), &facts[..])).collect();
        let (questions, answers) = (BTreeSet::new(), BTreeSet::new());
        Self { facts, benchmarks, searchable, kept: 0, found: 0, questions, answers }
    }

    /// Runs all checks up to the first that fails. Each leaves its record in the derivation; those that ask a model are recorded as not
    /// run. What passes counts for those after it when it is [kept](Self::keep): a model may drop it still.
    pub fn run(&self, candidate: &mut Candidate, context: &Context) -> Result<Passed, Reject> {
        let (question, answers) = (said(candidate, stem(&candidate.question)), answered(candidate));
        let mut found = false;
        for name in STEPS {
            let outcome = match name {
                "gold" | "length" => continue,
                "format" => format(candidate),
                "spans" => spans(candidate, context),
                "present" => present(candidate),
                "single" => self.single(candidate, context),
                "leak" => leak(candidate, context),
                "search" => {
                    found = searched(candidate, context);
                    self.search(found)
                }
                "duplicate" => match (self.questions.contains(&question), self.answers.contains(&answers)) {
                    (true, _) => Err("the question was asked before".into()),
                    (_, true) => Err("another question has the same answer from the same facts".into()),
                    _ => Ok((Some(true), String::new())),
                },
                "overlap" => overlap(candidate, self.benchmarks),
                _ => Ok((None, "no model was given".into())),
            };
            let (passed, detail) = outcome.map_err(|reason| Reject { check: name, reason })?;
            candidate.derivation.checks.push(Check { name: name.into(), passed, detail });
        }
        Ok(Passed { question, answers, found })
    }

    /// Counts a row: none after it may ask the same, and its share of what a search finds is used.
    pub fn keep(&mut self, passed: Passed) {
        self.questions.insert(passed.question);
        self.answers.insert(passed.answers);
        self.kept += 1;
        self.found += usize::from(passed.found);
    }

    /// (rows that passed, those of them whose answer a search finds).
    pub fn searches(&self) -> (usize, usize) {
        (self.kept, self.found)
    }

    /// No document of the context says something else of the same, and the question does not have its answer.
    fn single(&self, candidate: &Candidate, context: &Context) -> Outcome {
        for part in &context.parts {
            for other in self.facts.get(part.id.as_str()).copied().unwrap_or_default() {
                let same = candidate.derivation.facts.iter().find(|fact| {
                    fact.relation == other.relation
                        && normal(&fact.subject) == normal(&other.subject)
                        && normal(&fact.value) != normal(&other.value)
                        && !prose::apart(fact, other)
                });
                if let Some(fact) = same {
                    return Err(format!("{} has another “{}” of “{}”", part.id, fact.relation, fact.subject));
                }
            }
        }
        let question = normal(stem(&candidate.question));
        // A question that compares names what it compares.
        let held = |answer: &&str| candidate.derivation.engine != Engine::Table && question.contains(&normal(answer));
        match right(candidate).into_iter().find(held) {
            Some(answer) => Err(format!("the question has its answer “{answer}”")),
            None => Ok((Some(true), String::new())),
        }
    }

    fn search(&self, found: bool) -> Outcome {
        if found && (self.found + 1) as f64 > self.searchable * (self.kept + 1) as f64 {
            let reason =
                format!("the best {PASSAGES} passages hold the answer, as those of {} of the {} rows before", self.found, self.kept);
            return Err(reason);
        }
        let (what, not) = if found { ("hold", "") } else { ("do not hold", " all of") };
        Ok((Some(true), format!("the best {PASSAGES} passages {what}{not} what the answer is taken from")))
    }
}

fn format(candidate: &Candidate) -> Outcome {
    let question = candidate.question.trim();
    let rule = Rule::from_str(&candidate.rule).map_err(|error| error.to_string())?;
    rule.check(&candidate.answers).map_err(|why| format!("its answers do not fit the rule {rule}: {why}"))?;
    let longest = candidate.answers.iter().map(|answer| answer.chars().count()).max().unwrap_or(0);
    let length = question.chars().count();
    let distinct: BTreeSet<&String> = candidate.gold.iter().collect();
    if normal(question).len() < 2 || length > LONGEST.0 {
        return Err(format!("the question has {length} characters: 1 to {} are asked for", LONGEST.0));
    }
    if rule != Rule::Mrcr && longest > LONGEST.1 {
        return Err(format!("an answer has {longest} characters: {} at most are asked for", LONGEST.1));
    }
    if candidate.task.is_empty() || candidate.hops == 0 || candidate.derivation.version != 1 {
        return Err("it has no task, no links or another version of the derivation".into());
    }
    if candidate.gold.is_empty() || distinct.len() != candidate.gold.len() || candidate.derivation.facts.is_empty() {
        return Err("it follows from no document or no fact, or names a document twice".into());
    }
    if rule == Rule::Letter && options(&candidate.question).is_empty() {
        return Err("a letter is asked for, and there are no options".into());
    }
    Ok((Some(true), String::new()))
}

/// Each fact's value stands where its span says, in a document that the answer follows from.
fn spans(candidate: &Candidate, context: &Context) -> Outcome {
    for fact in &candidate.derivation.facts {
        let part = context.parts.iter().find(|part| part.gold && part.id == fact.span.doc);
        let part = part.ok_or_else(|| format!("{} is not among the documents it follows from", fact.span.doc))?;
        let text = context.prompt.get(part.start..part.end).and_then(|text| text.get(fact.span.start..fact.span.end));
        if text != Some(fact.value.as_str()) || fact.value.is_empty() {
            return Err(format!("“{}” does not stand at its place in {}", fact.value, fact.span.doc));
        }
    }
    Ok((Some(true), format!("{} facts", candidate.derivation.facts.len())))
}

/// The answer stands in a fact or is what the chain leads to, unless it is computed.
fn present(candidate: &Candidate) -> Outcome {
    let derivation = &candidate.derivation;
    let computes = |which: &str| Compute::named(which).is_some_and(Compute::number);
    if derivation.sql.is_some() || derivation.edges.iter().any(|edge| computes(&edge.which)) {
        return Ok((None, "the answer is computed".into()));
    }
    let held = |answer: &str| {
        let answer = normal(answer);
        derivation.facts.iter().any(|fact| normal(&fact.value).contains(&answer) || normal(&fact.subject) == answer)
            || derivation.edges.iter().any(|edge| normal(&edge.to) == answer)
    };
    let two = prose::pair(&candidate.answers);
    match right(candidate).into_iter().find(|answer| held(answer)) {
        Some(_) => Ok((Some(true), String::new())),
        None if two.len() > 1 && two.iter().all(|part| held(part)) => Ok((Some(true), "in two facts".into())),
        // What a model puts together from quotes need not stand in one.
        None if derivation.engine == Engine::Agents => Ok((None, "no quote has the answer: a model put it together".into())),
        None => Err("no fact has the answer".into()),
    }
}

/// The question names none of the documents it follows from: only questions over a table may, which say whose rows they mean.
fn leak(candidate: &Candidate, context: &Context) -> Outcome {
    let question = stem(&candidate.question);
    if candidate.derivation.engine == Engine::Table {
        return Ok((None, "a question over a table may name its rows".into()));
    }
    match context.parts.iter().find(|part| part.gold && part.id != OWN && names(question, whole_title(&part.title))) {
        Some(part) => Err(format!("the question names “{}”, a document that it follows from", part.title)),
        None => Ok((Some(true), String::new())),
    }
}

/// Whether a text has a title as whole words: of one word in its own spelling, since `Turkey` is no turkey.
fn names(text: &str, title: &str) -> bool {
    let title = title.trim();
    if title.is_empty() || normal(title).split(' ').count() != 3 {
        return normal(title).len() > 1 && normal(text).contains(&normal(title));
    }
    let ends = |at: usize, end: usize| {
        let (before, after) = (text[..at].chars().next_back(), text[end..].chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    };
    text.match_indices(title).any(|(at, found)| ends(at, at + found.len()))
}

/// Whether the passages that BM25 finds for the question's words hold the last fact; of a table, and of a question that a
/// model made, all its facts.
fn searched(candidate: &Candidate, context: &Context) -> bool {
    let text = |part: &Part| context.prompt.get(part.start..part.end).unwrap_or_default();
    let documents: Vec<Document> = context.parts.iter().map(|part| Document::plain(part.id.clone(), part.id.clone(), text(part))).collect();
    let best = Passages::new(&documents).top(stem(&candidate.question), PASSAGES);
    let held = |fact: &Fact| best.iter().any(|(span, _)| span.doc == fact.span.doc && (span.start..span.end).contains(&fact.span.start));
    let facts = &candidate.derivation.facts;
    match candidate.derivation.engine {
        Engine::Table | Engine::Agents => facts.iter().all(held),
        _ => facts.last().is_some_and(held),
    }
}

fn overlap(candidate: &Candidate, benchmarks: &Benchmarks) -> Outcome {
    if benchmarks.is_empty() {
        return Ok((None, "no benchmark was given".into()));
    }
    for text in std::iter::once(candidate.question.as_str()).chain(right(candidate)) {
        if let Some((name, gram)) = benchmarks.find(text) {
            return Err(format!("{name} has “{gram}”"));
        }
    }
    Ok((Some(true), String::new()))
}

/// The answers in words: of a choice the right option, of a repetition what follows the code.
fn right(candidate: &Candidate) -> Vec<&str> {
    let words = |answer: &'_ String| -> String { answer.trim_matches(['(', ')', '.', ' ']).to_string() };
    match candidate.rule.as_str() {
        "letter" => {
            let options = options(&candidate.question);
            let at =
                |answer: &String| words(answer).bytes().next().map(|letter| usize::from(letter.to_ascii_uppercase().wrapping_sub(b'A')));
            candidate.answers.iter().filter_map(|answer| options.get(at(answer)?).copied()).collect()
        }
        "mrcr" => candidate.answers.iter().map(|answer| answer.split_once(' ').map_or(answer.as_str(), |(_, rest)| rest)).collect(),
        _ => candidate.answers.iter().map(String::as_str).collect(),
    }
}

/// A question as it is compared with others. What is to be written before a repetition is drawn anew for each.
fn said(candidate: &Candidate, question: &str) -> String {
    let code = if candidate.rule == "mrcr" { candidate.answers.first().and_then(|answer| answer.split(' ').next()) } else { None };
    normal(&code.map_or(question.to_string(), |code| question.replace(code, "")))
}

/// An answer with what it follows from, as they are compared.
fn answered(candidate: &Candidate) -> String {
    let mut ids: Vec<&str> = candidate.derivation.facts.iter().map(|fact| fact.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    format!("{}|{}", right(candidate).first().map(|answer| normal(answer)).unwrap_or_default(), ids.join("|"))
}

#[cfg(test)]
#[path = "checks/tests.rs"]
mod tests;

//! What the table knows of a row: its place in the file, and the few fields that are shown, searched and filtered by. The rest of a row
//! is read when it is opened.

use data::Engine;
use serde::Deserialize;

/// A row in the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its first byte in the file of rows.
    pub start: u64,
    /// One past its last.
    pub end: u64,
    /// Its name.
    pub id: String,
    /// `multi_hop`, `numeric`…
    pub task: String,
    /// What made it.
    pub engine: &'static str,
    /// Links, or facts to be put together.
    pub hops: u8,
    /// Length of its context.
    pub tokens: usize,
    /// As asked.
    pub question: String,
    /// The first right answer.
    pub answer: String,
    /// The checks' outcome.
    pub verdict: Verdict,
    /// Every check with its own outcome, a line each: `closed book not run`.
    pub outcomes: String,
    /// Question, answers and entities in small letters, for the search.
    words: String,
}

/// What the stored checks of a row come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Each was run and passed.
    Passed,
    /// None failed, some were not run: those with a model, mostly.
    Partly,
    /// One failed.
    Failed,
}

impl Verdict {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "all passed",
            Self::Partly => "some not run",
            Self::Failed => "failed",
        }
    }
}

/// The fields of a line that the index keeps; the prompt is passed over.
#[derive(Deserialize)]
struct Line {
    id: String,
    task: String,
    #[serde(default)]
    answers: Vec<String>,
    #[serde(default)]
    hops: u8,
    #[serde(default)]
    tokens: usize,
    question: String,
    derivation: Outline,
}

#[derive(Deserialize)]
struct Outline {
    engine: Engine,
    #[serde(default)]
    facts: Vec<Subject>,
    #[serde(default)]
    edges: Vec<Ends>,
    #[serde(default)]
    checks: Vec<Passed>,
}

#[derive(Deserialize)]
struct Subject {
    subject: String,
}

#[derive(Deserialize)]
struct Ends {
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct Passed {
    name: String,
    passed: Option<bool>,
}

impl Entry {
    /// Reads a line that starts at byte `start` of its file.
    pub fn read(line: &[u8], start: u64) -> Result<Self, String> {
        let read: Line = serde_json::from_slice(line).map_err(|problem| problem.to_string())?;
        let passed = |outcome| read.derivation.checks.iter().any(|check| check.passed == outcome);
        let verdict = match (passed(Some(false)), passed(None)) {
            (true, _) => Verdict::Failed,
            (_, true) => Verdict::Partly,
            _ => Verdict::Passed,
        };
        let outcomes =
            read.derivation.checks.iter().map(|check| format!("{} {}\n", check.name.replace('_', " "), word(check.passed))).collect();
        let mut words = read.question.to_lowercase();
        let ends = read.derivation.edges.iter().flat_map(|edge| [&edge.from, &edge.to]);
        for word in read.answers.iter().chain(read.derivation.facts.iter().map(|fact| &fact.subject)).chain(ends) {
            let word = word.to_lowercase();
            if !words.contains(&word) {
                words.push('\n');
                words.push_str(&word);
            }
        }
        Ok(Self {
            start,
            end: start + line.len() as u64,
            id: read.id,
            task: read.task,
            engine: engine_name(read.derivation.engine),
            hops: read.hops,
            tokens: read.tokens,
            question: read.question,
            answer: read.answers.into_iter().next().unwrap_or_default(),
            verdict,
            outcomes,
            words,
        })
    }
}

/// The outcome of a check.
pub fn word(passed: Option<bool>) -> &'static str {
    match passed {
        Some(true) => "passed",
        Some(false) => "failed",
        None => "not run",
    }
}

/// As files and people write it.
pub fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Graph => "graph",
        Engine::Table => "table",
        Engine::Agents => "agents",
        Engine::Dialogue => "dialogue",
    }
}

/// Bounds of the lengths that are told apart, in tokens: those of the dataset's own report.
pub const LENGTHS: [usize; 6] = [4_096, 8_192, 16_384, 32_768, 65_536, 131_072];

/// The class of a length: how many of the bounds it reaches.
pub fn length_class(tokens: usize) -> usize {
    LENGTHS.iter().filter(|bound| tokens >= **bound).count()
}

/// For people.
pub fn length_name(class: usize) -> String {
    match LENGTHS.get(class) {
        Some(bound) => format!("below {}K", bound / 1024),
        None => format!("{}K and more", LENGTHS[LENGTHS.len() - 1] / 1024),
    }
}

/// Which rows are shown. An empty field lets all through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Words that must all stand in question, answers or entities.
    pub search: String,
    /// The task.
    pub task: String,
    /// The engine.
    pub engine: String,
    /// Links, as written.
    pub hops: String,
    /// The class of the length, as written.
    pub length: String,
    /// [`Verdict::name`], or a line of [`Entry::outcomes`].
    pub verdict: String,
    /// What the person said: `accepted`, `rejected`, `noted`, `none`.
    pub judged: String,
}

impl Filter {
    /// Whether a row passes; `judged` says whether the person's word on it does.
    pub fn passes(&self, entry: &Entry, judged: &dyn Fn(&str) -> bool) -> bool {
        let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        is(&self.task, &entry.task)
            && is(&self.engine, entry.engine)
            && (is(&self.verdict, entry.verdict.name()) || entry.outcomes.lines().any(|line| line == self.verdict))
            && (self.hops.is_empty() || self.hops.parse() == Ok(entry.hops))
            && (self.length.is_empty() || self.length.parse() == Ok(length_class(entry.tokens)))
            && (self.judged.is_empty() || judged(&entry.id))
            && self.search.to_lowercase().split_whitespace().all(|word| entry.words.contains(word))
    }
}

use data::{Derivation, Engine};
use serde::Deserialize;

/// A question with its answer and derivation, before it has a context and went through the checks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Candidate {
    /// Its task: `multi_hop`, `reading`, `numeric`, `dialogue`, `multiple_choice`.
    pub task: String,
    /// In words; a reader needs nothing but it and the documents.
    pub question: String,
    /// Right answers, the preferred one first.
    pub answers: Vec<String>,
    /// The reward's rule.
    pub rule: String,
    /// Links between documents, or facts that have to be put together.
    pub hops: u8,
    /// Ids of the documents the answer follows from, in the order of the chain, each once.
    pub gold: Vec<String>,
    /// Documents that must not be in the context: those in which the question would have another answer.
    pub never: Vec<String>,
    /// Text that stands before the documents' end as a document of its own: a dialogue. Empty for all others.
    pub own: String,
    /// How the answer comes about.
    pub derivation: Derivation,
}

/// A derivation of which nothing is known yet but what makes it.
pub(crate) fn empty(engine: Engine, paradigm: String) -> Derivation {
    Derivation {
        version: 1,
        engine,
        paradigm,
        facts: Vec::new(),
        edges: Vec::new(),
        walk: Vec::new(),
        obfuscation: Vec::new(),
        table: None,
        sql: None,
        result: None,
        checks: Vec::new(),
        transcripts: Vec::new(),
    }
}

/// Why something is not in the dataset. Kept, so that a person can see what a corpus lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The check that failed: a step of the waterfall.
    pub check: &'static str,
    /// Why, in a few words with its numbers.
    pub reason: String,
}

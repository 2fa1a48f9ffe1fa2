//! What a synthesised row is made of: everything a reader needs to compute its answer again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Span;

/// A row's whole derivation, from facts in documents to verdicts, by stable ids. It stands in an [`Item`](crate::Item) as the field
/// `derivation`, beside `documents`, a list of [`Part`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Derivation {
    /// Of this record; 1.
    pub version: u32,
    /// What made the row.
    pub engine: Engine,
    /// The kind of question within the engine: `multi_fact`, `temporal`, `hypothetical`, `ranking`, `aggregation`…
    pub paradigm: String,
    /// What documents say, in the order of the chain.
    pub facts: Vec<Fact>,
    /// Links between entities, each from facts above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    /// Ids of edges in the order in which a reader follows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub walk: Vec<String>,
    /// What the question says less exactly than the document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obfuscation: Vec<Obfuscation>,
    /// The cross-document table of a question about numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// What was asked of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// What SQLite answered: rows of cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Vec<Vec<Value>>>,
    /// Every check the row went through, in order; also those that were not run.
    pub checks: Vec<Check>,
    /// What models said while the row was made and checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transcripts: Vec<Transcript>,
}

/// What made a row (§3.2 of the paper: two of its branches and a third for other tasks; dialogues are ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Walks over a graph of facts.
    Graph,
    /// SQL over a table from many documents.
    Table,
    /// Proposer, solver, verifier.
    Agents,
    /// A conversation about the documents, to be quoted from.
    Dialogue,
}

/// One thing that a document says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// A hash of document, relation, value and span.
    pub id: String,
    /// Whom it is about, as documents are titled.
    pub subject: String,
    /// What it says of it: for structured sources the path of headings or keys, joined by ` › `.
    pub relation: String,
    /// What stands there, as it is written.
    pub value: String,
    /// Where: the bytes of `value` in the document's text.
    pub span: Span,
    /// The key of the model's call that found it, in the dataset's kept calls; none where the document's form says it outright.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

/// A link from one entity to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// A hash of its other fields.
    pub id: String,
    /// The entity it leaves.
    pub from: String,
    /// As in [`Fact`].
    pub relation: String,
    /// Which of several values is meant: `only`, `first`, `largest`, `smallest`.
    pub which: String,
    /// The entity it leads to.
    pub to: String,
    /// Ids of the facts that say so.
    pub facts: Vec<String>,
}

/// A value that the question describes instead of naming.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Obfuscation {
    /// The fact whose value or subject it is.
    pub fact: String,
    /// `entity`, `time`, `institution` or `number`.
    pub kind: String,
    /// What the document has.
    pub from: String,
    /// What the question says.
    pub to: String,
}

/// A table put together from many documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its columns. The first is the entity's name.
    pub columns: Vec<Column>,
    /// A row for each entity.
    pub rows: Vec<Vec<Cell>>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in SQL: lower-case letters, digits and `_`.
    pub name: String,
    /// What it holds, in the documents' words.
    pub relation: String,
    /// The unit of its numbers; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// A cell of a [`Table`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Text, a number or null.
    pub value: Value,
    /// The fact it was taken from; empty for the entity's name and for null.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fact: String,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `format`, `spans`, `unique`, `closed_book`, `with_evidence`, `robust`, `difficulty`…
    pub name: String,
    /// Null where it was not run.
    pub passed: Option<bool>,
    /// Numbers and reasons, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// One call of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// What it was for: `propose`, `closed_book`, `solve`, `verify`…
    pub role: String,
    /// The call's key in the run's cache.
    pub call: String,
    /// What was said.
    pub reply: String,
}

/// A document as it stands in a row's prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The document's id.
    pub id: String,
    /// Its title in the prompt.
    pub title: String,
    /// Hash of its text, in hexadecimal.
    pub sha256: String,
    /// First byte of its text in the prompt.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// Whether the answer follows from it; the others are distractors.
    pub gold: bool,
}

//! What lies beside a dataset's rows: its rejects, its list of documents, and lines that are no rows.

use serde::Deserialize;

/// A candidate that became no row.
#[derive(Clone, Debug, Deserialize)]
pub struct Rejected {
    /// The group of questions it was made for.
    pub questions: String,
    /// The check that failed.
    pub check: String,
    /// Why.
    pub reason: String,
    /// As it would have been asked.
    #[serde(default)]
    pub question: String,
    /// What would have been right.
    #[serde(default)]
    pub answers: Vec<String>,
}

/// A document of the dataset, as its list has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Listed {
    id: String,
    /// Its kind.
    #[serde(default)]
    pub class: String,
    /// Hash of its text.
    #[serde(default)]
    pub sha256: String,
}

impl Listed {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Lines that are no rows.
#[derive(Clone, Debug, Default)]
pub struct Damaged {
    /// How many.
    pub count: usize,
    /// The first of them: number and what is wrong.
    pub first: Vec<(usize, String)>,
}

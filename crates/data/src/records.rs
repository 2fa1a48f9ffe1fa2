use serde::{Deserialize, Serialize};

/// A document as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Unique within a run.
    pub id: String,
    /// Where it came from: a path or an address.
    pub source: String,
    /// Its normalised text.
    pub text: String,
}

/// A range of UTF-8 bytes of a document's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The document's id.
    pub doc: String,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

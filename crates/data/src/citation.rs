use serde::{Deserialize, Serialize};

use crate::Span;

/// One sentence (or list item, or line of a table) of a memory or an answer, and what the documents say to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// First byte of the sentence in the cited text; its list marker is not part of it.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// How far the documents carry it.
    pub support: Support,
    /// The passage: there for [`Support::Quoted`] and [`Support::Supported`], never otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

impl Citation {
    /// The schema's version.
    pub const VERSION: u32 = 1;
}

/// How far the documents carry a sentence, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Support {
    /// The passage has the sentence's words: a run of them, or its name, date or number together with all else it says.
    Quoted,
    /// The passage agrees with the sentence more than any other does. Its words are other words, so it may still say something else.
    Supported {
        /// Agreement in rare words, names and numbers, 0 to 1.
        score: f32,
    },
    /// Nothing in the documents agrees with it enough to be shown.
    NotFound,
    /// It claims nothing that could stand in a document: "Nothing found yet", a question, a heading.
    NoClaim,
}

/// A passage of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Exact bytes of the document's text.
    pub span: Span,
    /// The document's own words there: `document.text[span.start..span.end]`, byte for byte.
    pub quote: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_survive_a_round_trip_and_lines_keep_their_meaning() {
        let lines = [
            r#"{"start":2,"end":9,"support":{"kind":"quoted"},"source":{"span":{"doc":"a","start":0,"end":3},"quote":"abc"}}"#,
            r#"{"start":2,"end":9,"support":{"kind":"supported","score":0.75},"source":{"span":{"doc":"a","start":0,"end":3},"quote":"abc"}}"#,
            r#"{"start":0,"end":1,"support":{"kind":"not_found"}}"#,
            r#"{"start":0,"end":1,"support":{"kind":"no_claim"}}"#,
        ];
        for line in lines {
            let citation: Citation = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&citation).unwrap(), line);
        }
    }
}

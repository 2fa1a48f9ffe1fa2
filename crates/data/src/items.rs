use serde::{Deserialize, Serialize};

use crate::Span;

/// A question with its answers: a row of the JSON Lines files that `longhand train` reads for reinforcement learning.
///
/// ```json
/// {"id":"held-7-0","task":"multi_hop","prompt":"Please read …","answers":["Hale"],"rule":"contain","hops":2}
/// ```
///
/// Only `id`, `task`, `prompt`, `answers` and `rule` must be there. Fields it does not know are kept in `extra` and written back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Unique within a file.
    pub id: String,
    /// The task it counts as: batches take equally many of each, and advantages are scaled by each task's spread (§2.2, §2.3).
    pub task: String,
    /// What the model is asked, document and all: the text of one user message.
    pub prompt: String,
    /// Answers that are right, the preferred one first. Any one of them is enough.
    pub answers: Vec<String>,
    /// The reward's rule: `letter`, `contain`, `numeric`, `mrcr`, or whatever else the reward knows.
    pub rule: String,
    /// How many facts lead to the answer; 0 is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hops: u8,
    /// Where those facts stand. Bytes count in the document, not in the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Span>,
    /// Fields of the row that have no name here.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

fn is_zero(hops: &u8) -> bool {
    *hops == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was() {
        let least = r#"{"id":"a","task":"reading","prompt":"Who?","answers":["Ann"],"rule":"contain"}"#;
        let item: Item = serde_json::from_str(least).unwrap();
        assert_eq!((item.hops, item.evidence.len(), item.extra.len()), (0, 0, 0));
        assert_eq!(serde_json::to_string(&item).unwrap(), least);
        let full = concat!(
            r#"{"id":"b","task":"numeric","prompt":"How many?","answers":["7","seven"],"rule":"numeric","hops":3,"#,
            r#""evidence":[{"doc":"d","start":4,"end":9}],"split":"held","tags":[1,null]}"#
        );
        let item: Item = serde_json::from_str(full).unwrap();
        assert_eq!((item.hops, &item.evidence[0]), (3, &Span { doc: "d".into(), start: 4, end: 9 }));
        assert_eq!(item.extra["split"], "held");
        assert_eq!(serde_json::to_string(&item).unwrap(), full);
        assert_eq!(serde_json::from_str::<Item>(&serde_json::to_string(&item).unwrap()).unwrap(), item);
    }

    #[test]
    fn a_row_without_a_rule_says_so() {
        let error = serde_json::from_str::<Item>(r#"{"id":"a","task":"t","prompt":"p","answers":[]}"#).unwrap_err();
        assert!(error.to_string().contains("missing field `rule`"), "{error}");
    }
}

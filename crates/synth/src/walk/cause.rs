//! Relations that say what caused what: in prose, where a model found them. Keys and columns do not say why.

/// Which end of a relation is the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The value caused what it is about: `caused by`.
    Value,
    /// What it is about caused the value: `led to`.
    Subject,
}

/// What a relation says of causes, if it does without doubt: of `causes` it is not known which end is meant.
pub fn cause(relation: &str) -> Option<Cause> {
    const VALUE: [&str; 13] = [
        "because",
        "because of",
        "blamed on",
        "caused by",
        "consequence of",
        "due to",
        "owing to",
        "prompted by",
        "reason",
        "result of",
        "resulted from",
        "sparked by",
        "triggered by",
    ];
    const SUBJECT: [&str; 11] = [
        "brought about",
        "cause of",
        "caused",
        "contributed to",
        "gave rise to",
        "led to",
        "leads to",
        "prompted",
        "resulted in",
        "sparked",
        "triggered",
    ];
    const HELPERS: [&str; 10] = ["a", "an", "are", "been", "had", "has", "is", "the", "was", "were"];
    let words = relation.to_lowercase();
    let said = words.split_whitespace().skip_while(|word| HELPERS.contains(word)).collect::<Vec<_>>().join(" ");
    let passive = words.split_whitespace().next().is_some_and(|first| ["was", "is", "were", "are"].contains(&first));
    if VALUE.contains(&said.as_str()) {
        Some(Cause::Value)
    } else if SUBJECT.contains(&said.as_str()) && (said == "cause of" || !passive) {
        Some(Cause::Subject)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_end_is_the_cause_is_told_by_the_words() {
        for relation in ["caused by", "was caused by", "Because of", "the reason", "result of", "is due to"] {
            assert_eq!(cause(relation), Some(Cause::Value), "{relation}");
        }
        for relation in ["caused", "led to", "has led to", "resulted in", "was the cause of"] {
            assert_eq!(cause(relation), Some(Cause::Subject), "{relation}");
        }
        for relation in ["", "causes", "cause", "led", "led by", "was caused", "caused in", "result", "founded because", "was"] {
            assert_eq!(cause(relation), None, "{relation}");
        }
    }
}

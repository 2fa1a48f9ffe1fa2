//! A candidate in its context as a row of a dataset.

use data::Item;
use serde_json::{Map, json};

use crate::candidate::Candidate;
use crate::context::Context;
use crate::hash;

/// A name for the row that is the same wherever it is made: a hash of what is asked, what is right and what is read.
pub fn row_id(candidate: &Candidate, context: &Context) -> String {
    let asked = [candidate.task.as_str(), &candidate.question, &candidate.rule];
    let read = context.parts.iter().map(|part| part.sha256.as_str());
    hash::id("row", asked.into_iter().chain(candidate.answers.iter().map(String::as_str)).chain(read))
}

/// The row. Beside what every row has it carries `question`, `engine`, `tokens`, the `derivation` and the `documents` with their places;
/// and for readers in chunks `document` (the bytes of all documents in the prompt) and `ask` (what follows them).
pub fn item(candidate: &Candidate, context: &Context, id: impl Into<String>) -> Item {
    let derivation = &candidate.derivation;
    let mut extra = Map::new();
    extra.insert("question".into(), candidate.question.clone().into());
    extra.insert("engine".into(), json!(derivation.engine));
    extra.insert("tokens".into(), context.tokens.into());
    extra.insert("document".into(), json!([context.documents.0, context.documents.1]));
    extra.insert("ask".into(), context.ask.clone().into());
    if candidate.rule == "mrcr"
        && let Some((code, _)) = candidate.answers.first().and_then(|answer| answer.split_once(' '))
    {
        extra.insert("random_string_to_prepend".into(), code.into());
    }
    extra.insert("documents".into(), json!(context.parts));
    extra.insert("derivation".into(), json!(derivation));
    Item {
        id: id.into(),
        task: candidate.task.clone(),
        prompt: context.prompt.clone(),
        answers: candidate.answers.clone(),
        rule: candidate.rule.clone(),
        hops: candidate.hops,
        evidence: derivation.facts.iter().map(|fact| fact.span.clone()).collect(),
        extra,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::{candidate, source};
    use crate::context::{Shelf, assemble};
    use tokenizer::Tokenizer;
    use world::Random;

    #[test]
    fn a_row_is_named_by_what_it_asks_and_reads() {
        let sources: Vec<_> = (0..30).map(|at| source(&format!("d{at}"), &format!("T{at}"), &"a river ".repeat(20))).collect();
        let tokenizer = Tokenizer::approximate();
        let shelf = Shelf::new(&sources, &tokenizer).unwrap();
        let made = |question: &str, seed| {
            let candidate = candidate(&["d3"], question, "river");
            let context = assemble(&candidate, &shelf, 600, &mut Random::new(&[seed])).unwrap();
            item(&candidate, &context, row_id(&candidate, &context))
        };
        let row = made("Where?", 1);
        assert_eq!(row, made("Where?", 1));
        assert_ne!(row.id, made("What?", 1).id);
        let place = |name: &str, at: usize| row.extra[name][at].as_u64().unwrap() as usize;
        assert!(row.prompt[place("document", 0)..].starts_with("Doc 1: "));
        assert!(row.prompt.ends_with(row.extra["ask"].as_str().unwrap()));
        assert_eq!(row.extra["engine"], "graph");
    }
}

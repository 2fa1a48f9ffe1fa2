//! What if a document said something else: whether an answer depends on the facts it is said to follow from.

use data::{Derivation, Engine, Item, Part};
use serde::Deserialize;

use crate::choice::{options, stem};
use crate::context::OWN;

/// Whether a row's stored answer still follows when one fact's document says `value` instead, in the same place: links, descriptions and
/// cells are read off the new value. `None` where it cannot be computed: answers of a model, SQL without SQLite, and facts of a
/// conversation, which are read off its text.
///
/// # Errors
/// A row that has no derivation, or not that fact.
pub fn holds_if(item: &Item, fact: usize, value: &str) -> Result<Option<bool>, String> {
    let read = |name: &str| item.extra.get(name).ok_or_else(|| format!("the row has no `{name}`"));
    let mut derivation = Derivation::deserialize(read("derivation")?).map_err(|error| format!("`derivation` cannot be read: {error}"))?;
    let parts = Vec::<Part>::deserialize(read("documents")?).map_err(|error| format!("`documents` cannot be read: {error}"))?;
    let question = read("question")?.as_str().unwrap_or_default();
    let changed = derivation.facts.get_mut(fact).ok_or("it has no such fact")?;
    if changed.span.doc == OWN {
        return Ok(None);
    }
    let (id, before) = (changed.id.clone(), std::mem::replace(&mut changed.value, value.to_string()));
    for vague in derivation.obfuscation.iter_mut().filter(|vague| vague.fact == id && vague.from == before) {
        vague.from = value.to_string();
    }
    let derived = match derivation.engine {
        Engine::Graph => crate::walk::derive(&derivation).ok(),
        Engine::Dialogue => {
            let own = parts.iter().find(|part| part.id == OWN).and_then(|part| item.prompt.get(part.start..part.end));
            crate::dialogue::derive(&derivation, own.unwrap_or_default(), stem(question)).ok()
        }
        Engine::Table => match table(&mut derivation, &id, value) {
            Some(derived) => derived,
            None => return Ok(None),
        },
        Engine::Agents => return Ok(None),
    };
    let stored = item.answers.first().map(String::as_str).unwrap_or_default();
    let stored = match item.rule.as_str() {
        "letter" => {
            let at = stored.bytes().next().map(|letter| usize::from(letter.wrapping_sub(b'A')));
            at.and_then(|at| options(question).get(at).copied()).unwrap_or_default()
        }
        _ => stored,
    };
    Ok(Some(derived.is_some_and(|derived| derived.trim() == stored)))
}

/// What SQLite answers when the cells of a fact are read off its new value.
#[cfg(feature = "sql")]
fn table(derivation: &mut Derivation, id: &str, value: &str) -> Option<Option<String>> {
    let table = derivation.table.as_mut()?;
    for row in &mut table.rows {
        for (cell, column) in row.iter_mut().zip(&table.columns).filter(|(cell, _)| cell.fact == id) {
            cell.value = crate::table::read(value, column).map_or(serde_json::Value::Null, Into::into);
        }
    }
    Some(crate::table::derive(table, derivation.sql.as_deref()?).ok())
}

#[cfg(not(feature = "sql"))]
fn table(_: &mut Derivation, _: &str, _: &str) -> Option<Option<String>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{Edge, Fact, Span};
    use serde_json::json;

    #[test]
    fn an_answer_holds_while_nothing_that_it_follows_from_changes() {
        let fact = |id: &str, subject: &str, relation: &str, value: &str| Fact {
            id: id.into(),
            subject: subject.into(),
            relation: relation.into(),
            value: value.into(),
            span: Span { doc: subject.into(), start: 0, end: value.len() },
            call: None,
        };
        let edge = Edge {
            id: "e".into(),
            from: "Peru".into(),
            relation: "Twin".into(),
            which: "only".into(),
            to: "Chile".into(),
            facts: vec!["b".into()],
        };
        let derivation = json!({
            "version": 1, "engine": "graph", "paradigm": "multi_fact",
            "facts": [fact("a", "Peru", "Founded", "1821"), fact("b", "Peru", "Twin", "Chile"), fact("c", "Chile", "Capital", "Santiago")],
            "edges": [edge], "walk": ["e"],
            "obfuscation": [{"fact": "a", "kind": "time", "from": "1821", "to": "a year of the 1820s"}],
            "checks": []
        });
        let row = json!({
            "id": "r", "task": "reading", "prompt": "p", "answers": ["Santiago"], "rule": "contain",
            "question": "What is the capital?", "derivation": derivation, "documents": []
        });
        let item: Item = serde_json::from_value(row).unwrap();
        let holds = |fact, value| holds_if(&item, fact, value).unwrap();
        assert_eq!((holds(0, "1821"), holds(0, "1823"), holds(0, "1891")), (Some(true), Some(true), Some(false)));
        assert_eq!((holds(1, "Chile"), holds(1, "Bolivia")), (Some(true), Some(false)));
        assert_eq!((holds(2, "Santiago"), holds(2, "Lima")), (Some(true), Some(false)));
        assert!(holds_if(&item, 3, "x").is_err());
    }
}

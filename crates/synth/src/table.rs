//! One table from many documents, and questions about its numbers.
//!
//! ```text
//! facts ─► fields (one number in one unit, in many documents) ─► columns × documents drawn by seed ─► Table
//! template + Table ─► question, SQL ─► SQLite ─► answer ─► (does it depend on the cells it should?) ─► Candidate
//! ```
//!
//! The answer is never written by a template: it is what SQLite says, and [`derive`] says it again.

mod fields;
mod label;
mod maker;
mod say;
mod templates;
mod view;

use data::{Cell, Fact, Table};
use serde_json::Value;
use world::Random;

use crate::candidate::{Candidate, Reject};
use crate::corpus::Source;
use crate::sql::{SqlError, run};

pub use fields::read;

/// What tables and questions are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSettings {
    /// Rows of a table: the least and the most. Each is a document that the question names. Comparisons of two have two.
    pub rows: (usize, usize),
    /// How many questions.
    pub count: usize,
    /// Most tokens that a table's documents have together; 0 is no bound.
    pub tokens: usize,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self { rows: (5, 12), count: 100, tokens: 0 }
    }
}

/// Questions about numbers over tables of these documents' facts, and why others were not made: `fields`, `few_documents`, `threshold`,
/// `ties`, `trivial`, `sign`, `rows`, `columns`, `sql`, `insensitive`, `common_answer`, `repeated`. `facts` has an entry for each source.
///
/// `table`, `sql`, `result` and `facts` of the derivation are all that [`derive`] needs. The facts whose cells the answer is computed from
/// come first: a wrong one of them makes another answer.
pub fn numeric(sources: &[Source], facts: &[Vec<Fact>], settings: &TableSettings, random: &mut Random) -> (Vec<Candidate>, Vec<Reject>) {
    let mut maker = match maker::Maker::new(sources, facts, settings) {
        Ok(maker) => maker,
        Err(reject) => return (Vec::new(), vec![reject]),
    };
    let (mut candidates, mut rejects) = (Vec::new(), Vec::new());
    for _ in 0..settings.count.saturating_mul(maker::TRIES) {
        if candidates.len() == settings.count {
            break;
        }
        match maker.one(random) {
            Ok(candidate) => candidates.push(candidate),
            Err(reject) => rejects.push(reject),
        }
    }
    (candidates, rejects)
}

/// The answer that a table gives to a query: a number to four significant digits, a text, several of them joined by `, `, or `none`.
pub fn derive(table: &Table, sql: &str) -> Result<String, SqlError> {
    answer(&run(table, sql)?)
}

/// The result of a query as an answer.
pub(crate) fn answer(result: &[Vec<Value>]) -> Result<String, SqlError> {
    let mut said = Vec::new();
    for row in result {
        said.push(match row.as_slice() {
            [Value::String(text)] => text.clone(),
            [Value::Number(number)] => say::four(number.as_f64().unwrap_or(f64::NAN)),
            [Value::Null] => return Err(SqlError::Failed("there is no value".into())),
            _ => return Err(SqlError::Failed(format!("an answer is one column, and here are {}", row.len()))),
        });
    }
    Ok(if said.is_empty() { "none".into() } else { said.join(", ") })
}

/// The table with one number multiplied, to see what depends on it. The same table where the cell has none.
pub fn mutated(table: &Table, row: usize, column: usize, factor: f64) -> Table {
    let mut table = table.clone();
    if let Some(Cell { value, .. }) = table.rows.get_mut(row).and_then(|row| row.get_mut(column))
        && let Some(number) = value.as_f64()
    {
        *value = number_cell(number * factor);
    }
    table
}

/// A number in a cell: whole ones without a point.
fn number_cell(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { (number as i64).into() } else { number.into() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::corpus::Class;
    use data::{Document, Span};
    use reward::Rule;
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};

    /// Small documents about places, and what they say.
    pub fn corpus(count: usize) -> (Vec<Source>, Vec<Vec<Fact>>) {
        let mut random = Random::new(&[7]);
        let (mut sources, mut facts) = (Vec::new(), Vec::new());
        for at in 0..count {
            let (id, title) = (
                format!("d{at}"),
                format!("{}land", ["Ar", "Be", "Ce", "Do", "Ek", "Fu", "Go", "Ha", "In", "Ju"][at % 10].to_string() + &"a".repeat(at / 10)),
            );
            let mut number = |least, most| random.between(least, most);
            let said = [
                (
                    "Economy › Exports",
                    format!("${}.{} billion (2014 est.) ++ ${}.7 billion (2013 est.)", number(20, 90), number(1, 9), number(20, 90)),
                ),
                ("Economy › Growth rate", format!("{}.{}%", number(2, 9), number(1, 9))),
                ("Economy › Labor force", format!("{},{}00", number(100, 900), number(1, 9))),
                ("Economy › Forest", format!("{} sq km", number(300, 2000))),
                ("People › Founded", format!("{}", number(1300, 1990))),
                ("People › Schools", format!("{} (2012)", number(20, 99))),
                ("People › Sea", "12 nm".to_string()),
                ("People › Motto", "5 of one, 6 of the other".to_string()),
            ];
            let mut text = format!("{title}\n");
            let mut found = Vec::new();
            for (relation, value) in said {
                text += &format!("{relation}: ");
                let span = Span { doc: id.clone(), start: text.len(), end: text.len() + value.len() };
                text += &format!("{value}\n");
                found.push(Fact {
                    id: format!("fact:{id}:{relation}"),
                    subject: title.clone(),
                    relation: relation.into(),
                    value,
                    span,
                    call: None,
                });
            }
            sources.push(Source {
                document: Document::plain(&id, &id, text),
                title,
                class: Class::General,
                tokens: 100,
                sha256: String::new(),
                whole: None,
            });
            facts.push(found);
        }
        (sources, facts)
    }

    fn made(settings: &TableSettings, seed: u64) -> (Vec<Candidate>, Vec<Reject>) {
        let (sources, facts) = corpus(30);
        numeric(&sources, &facts, settings, &mut Random::new(&[seed]))
    }

    #[test]
    fn questions_follow_from_their_tables_and_tables_from_facts() {
        let settings = TableSettings { rows: (4, 9), count: 150, tokens: 0 };
        let (candidates, rejects) = made(&settings, 2);
        assert_eq!(candidates.len(), 150, "{rejects:?}");
        assert!(rejects.iter().any(|reject| reject.check == "insensitive"), "nothing shows that the check does anything");
        let (mut paradigms, mut answers) = (BTreeMap::new(), BTreeMap::new());
        for candidate in &candidates {
            let derivation = &candidate.derivation;
            let (table, sql) = (derivation.table.as_ref().unwrap(), derivation.sql.as_ref().unwrap());
            assert_eq!(derive(table, sql).as_ref(), Ok(&candidate.answers[0]));
            assert_eq!(run(table, sql).as_ref(), Ok(derivation.result.as_ref().unwrap()));
            // Every number is what its fact says, every document is named, and no other is needed.
            let facts: BTreeMap<&str, &Fact> = derivation.facts.iter().map(|fact| (fact.id.as_str(), fact)).collect();
            for (row, gold) in table.rows.iter().zip(&candidate.gold) {
                let name = row[0].value.as_str().unwrap();
                assert!(candidate.question.contains(name));
                for (column, cell) in table.columns.iter().zip(row).skip(1) {
                    let fact = facts[cell.fact.as_str()];
                    assert_eq!((&fact.span.doc, fact.subject.as_str(), &fact.relation), (gold, name, &column.relation));
                    assert_eq!(read(&fact.value, column), cell.value.as_f64());
                }
            }
            let used: usize = table
                .rows
                .iter()
                .map(|row| row.iter().filter(|cell| !cell.fact.is_empty()).map(|cell| &cell.fact).collect::<BTreeSet<_>>().len())
                .sum();
            assert_eq!((table.rows.len(), facts.len()), (candidate.gold.len(), used));
            // The answer is right as a reply, and another is not.
            let rule: Rule = candidate.rule.parse().unwrap();
            rule.check(&candidate.answers).unwrap();
            for answer in &candidate.answers {
                assert_eq!(rule.score(&format!("The answer is {answer}."), &candidate.answers), 1.0, "{candidate:?}");
            }
            let changed = [3.0, 1.0 / 3.0].into_iter().find_map(|factor| {
                let (row, column) = table
                    .rows
                    .iter()
                    .enumerate()
                    .find_map(|(at, row)| Some((at, row.iter().position(|cell| cell.fact == derivation.facts[0].id)?)))
                    .unwrap();
                derive(&mutated(table, row, column, factor), sql).ok().filter(|other| *other != candidate.answers[0])
            });
            let changed = changed.unwrap_or_else(|| panic!("the first fact does not matter: {candidate:?}"));
            assert_eq!(rule.score(&format!("The answer is {changed}."), &candidate.answers), 0.0, "{changed}: {candidate:?}");
            *paradigms.entry(derivation.paradigm.as_str()).or_insert(0) += 1;
            *answers.entry(&candidate.answers[0]).or_insert(0) += 1;
        }
        assert_eq!(
            paradigms.keys().copied().collect::<Vec<_>>(),
            ["aggregation", "comparison", "filter", "multi_step", "ranking", "statistics", "temporal"]
        );
        assert!(paradigms.values().all(|count| *count >= 5), "{paradigms:?}");
        assert!(answers.values().all(|count| *count <= 6), "{answers:?}");
        assert_eq!(candidates.iter().map(|candidate| &candidate.question).collect::<BTreeSet<_>>().len(), 150);
        assert_eq!(made(&settings, 2).0, candidates);
        assert_ne!(made(&settings, 3).0, candidates);
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        let (sources, facts) = corpus(2);
        let few = numeric(&sources, &facts, &TableSettings::default(), &mut Random::new(&[1]));
        assert_eq!((few.0.len(), few.1.len(), few.1[0].check), (0, 1, "fields"));
        // Few documents have few names.
        let (sources, facts) = corpus(8);
        let (candidates, rejects) =
            numeric(&sources, &facts, &TableSettings { rows: (4, 6), count: 50, tokens: 0 }, &mut Random::new(&[2]));
        let mut answers = BTreeMap::new();
        candidates.iter().for_each(|candidate| *answers.entry(&candidate.answers[0]).or_insert(0) += 1);
        assert!(candidates.len() == 50 && answers.values().all(|count| *count <= 2), "{answers:?}");
        assert!(rejects.iter().any(|reject| reject.check == "common_answer"), "{rejects:?}");
        // Documents of 100 tokens each: never more than three together.
        let (candidates, rejects) = made(&TableSettings { rows: (3, 9), count: 20, tokens: 399 }, 1);
        assert!(!candidates.is_empty() && candidates.iter().all(|candidate| candidate.gold.len() <= 3));
        assert!(rejects.iter().any(|reject| reject.check == "few_documents"), "{rejects:?}");
    }

    #[test]
    fn answers_are_read_off_results() {
        let said = |result: serde_json::Value| answer(&serde_json::from_value::<Vec<Vec<Value>>>(result).unwrap());
        assert_eq!(said(json!([[1234567.8]])).unwrap(), "1.235 million");
        assert_eq!(said(json!([["A"], ["B"]])).unwrap(), "A, B");
        assert_eq!(said(json!([])).unwrap(), "none");
        assert!(said(json!([[null]])).is_err() && said(json!([[1, 2]])).is_err());
    }
}

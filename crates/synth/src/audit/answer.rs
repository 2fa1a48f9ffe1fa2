//! Tables, results and answers, computed again by the engines' own functions.

use std::str::FromStr;

use data::Engine;
use reward::Rule;

use super::Row;
use crate::choice::{options, stem};
#[cfg(feature = "sql")]
use crate::context::whole_title;
use crate::overlap::normal;

/// Whether the row's answers are what its derivation leads to. What cannot be computed here goes to `not_run`.
pub fn check(row: &Row, problems: &mut Vec<String>, not_run: &mut Vec<String>) {
    let question = stem(row.question());
    let derived = match row.derivation.engine {
        Engine::Graph => crate::walk::derive(row.derivation).map_err(|flaw| flaw.to_string()),
        Engine::Dialogue => crate::dialogue::derive(row.derivation, row.own(), question),
        Engine::Table => match table(row, problems) {
            Some(derived) => derived,
            None => return not_run.push("the table, its SQL and the answer: this program has no SQLite".into()),
        },
        Engine::Agents => {
            not_run.push("whether the answer is true of the documents: it came from a model".into());
            crate::agents::derive(row.derivation, question, &row.item.rule, &row.item.answers)
        }
    };
    match derived {
        Ok(derived) => answers(row, &derived, problems),
        Err(why) => problems.push(format!("no answer follows from the derivation: {why}")),
    }
}

/// The answer that SQLite gives; none without SQLite.
#[cfg(feature = "sql")]
fn table(row: &Row, problems: &mut Vec<String>) -> Option<Result<String, String>> {
    let derivation = row.derivation;
    let (Some(table), Some(sql)) = (&derivation.table, &derivation.sql) else { return Some(Err("it has no table or no SQL".into())) };
    for (number, cells) in table.rows.iter().enumerate() {
        let title = cells.first().and_then(|cell| cell.value.as_str()).unwrap_or_default();
        if !row.parts.iter().any(|part| part.gold && (part.title == title || whole_title(&part.title) == title)) {
            problems.push(format!("row {number} of the table is of “{title}”, which is the title of no document the answer follows from"));
        }
        for (cell, column) in cells.iter().zip(&table.columns).skip(1) {
            let place = || format!("row {number}, column {} of the table", column.name);
            if cell.value.is_null() && cell.fact.is_empty() {
                continue;
            }
            let Some(fact) = row.facts.get(cell.fact.as_str()) else {
                problems.push(format!("{} is taken from {}, which is no fact", place(), cell.fact));
                continue;
            };
            if fact.subject != title || fact.relation != column.relation {
                problems.push(format!("{} is taken from a fact of another document or relation, {}", place(), fact.id));
            }
            let read = crate::table::read(&fact.value, column);
            if read.is_none() || read != cell.value.as_f64() {
                problems.push(format!("{} is {}, and “{}” is not", place(), cell.value, fact.value));
            }
        }
    }
    let result = match crate::sql::run(table, sql) {
        Ok(result) => result,
        Err(error) => return Some(Err(error.to_string())),
    };
    if derivation.result.as_ref() != Some(&result) {
        problems.push("the result is not what SQLite answers".into());
    }
    Some(crate::table::answer(&result).map_err(|error| error.to_string()))
}

#[cfg(not(feature = "sql"))]
fn table(_: &Row, _: &mut [String]) -> Option<Result<String, String>> {
    None
}

/// The first answer is the derived one, the others are the same in other words; of a choice the letter is that of the option that says it.
fn answers(row: &Row, derived: &str, problems: &mut Vec<String>) {
    let item = row.item;
    let Some(first) = item.answers.first() else { return problems.push("there is no answer".into()) };
    if item.rule == "letter" {
        let options = options(row.question());
        let at = first.bytes().next().map(|letter| usize::from(letter.wrapping_sub(b'A')));
        if first.len() != 1 || at.and_then(|at| options.get(at)) != Some(&derived.trim()) {
            problems.push(format!("({first}) is not the option “{derived}”, which follows from the derivation"));
        }
        if options.iter().filter(|option| normal(option) == normal(derived)).count() > 1 {
            problems.push(format!("more than one option is “{derived}”"));
        }
        return;
    }
    if first != derived {
        problems.push(format!("the answer is “{first}”, and “{derived}” follows from the derivation"));
    }
    let rule = Rule::from_str(&item.rule);
    let joined = |text: &str| normal(text).replace(" and ", " ");
    for other in &item.answers[1..] {
        let scores = rule.as_ref().is_ok_and(|rule| rule.score(&format!("The answer is {derived}"), std::slice::from_ref(other)) > 0.0);
        let gold = row.parts.iter().filter(|part| part.gold);
        let named = || gold.filter_map(|part| row.text(part)).any(|text| normal(text).contains(&normal(other)));
        if !scores && joined(other) != joined(derived) && (item.rule != "contain" || normal(other).len() < 2 || !named()) {
            problems.push(format!(
                "“{other}” is to be right as well, and neither says the same nor stands in a document the answer follows from"
            ));
        }
    }
}

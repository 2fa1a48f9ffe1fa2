//! Questions whose answer is a title, or several.

use super::figures::{cell, some_place};
use super::{Answer, Draft, Written};
use crate::candidate::Reject;
use crate::table::say::{count, fill, place as nth};
use crate::table::view::{Cut, View, apart, positive, reject};

/// Thresholds that are tried until the conditions fit.
const TRIES: usize = 8;
/// Most titles in a list.
const LONGEST: usize = 4;
/// Share of the lists without an entry that are kept.
const EMPTY: f64 = 0.2;

pub fn place(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&["Which of these documents has the {p} {a}?", "In which of these documents is {a} the {p}?"]);
    let at = some_place(view, view.rows());
    let highest = view.random.chance(0.5);
    let (most, order) = if highest { ("highest", "DESC") } else { ("lowest", "ASC") };
    let a = &view.fields[0];
    let values: Vec<f64> = a.values.iter().map(|value| if highest { *value } else { -*value }).collect();
    let row = view.ranked(&values, at)?;
    let sql = format!("SELECT name FROM t ORDER BY {} {order} LIMIT 1 OFFSET {}", a.column, at - 1);
    Ok(Draft { ask: fill(wording, &[("a", &a.label), ("p", &nth(at, most))]), sql, answer: Answer::Name, support: vec![(row, 0)] })
}

pub fn top(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&[
        "Which {k} of these documents have the highest {a}? Order them from the highest to the lowest.",
        "Name the {k} of these documents with the highest {a}, the highest first.",
    ]);
    let many = view.random.between(2, LONGEST.min(view.rows() - 2));
    let a = &view.fields[0];
    let rows = (1..=many).map(|at| view.ranked(&a.values, at)).collect::<Result<Vec<_>, _>>()?;
    let sql = format!("SELECT name FROM t ORDER BY {} DESC LIMIT {many}", a.column);
    let ask = fill(wording, &[("a", &a.label), ("k", &count(many))]);
    Ok(Draft { ask, sql, answer: Answer::Names, support: rows.into_iter().map(|row| (row, 0)).collect() })
}

/// Two conditions, and the rows that fulfil both.
fn conditions(view: &mut View<'_>, fits: impl Fn(usize) -> bool) -> Result<(Cut, Cut, Vec<usize>), Reject> {
    for _ in 0..TRIES {
        let (a, b) = (view.cut(0, 2, 1)?, view.cut(1, 2, 1)?);
        let both: Vec<usize> = a.inside.iter().copied().filter(|row| b.inside.contains(row)).collect();
        if fits(both.len()) {
            return Ok((a, b, both));
        }
    }
    Err(reject("trivial", "no two conditions leave a few documents".into()))
}

pub fn filter(view: &mut View<'_>) -> Written {
    let (rows, empty) = (view.rows(), view.random.chance(EMPTY));
    let (a, b, both) = conditions(view, |found| if empty { found == 0 } else { (2..=LONGEST.min(rows - 2).max(2)).contains(&found) })?;
    for (at, row) in both.iter().enumerate() {
        for other in &both[at + 1..] {
            apart(view.fields[0].values[*row], view.fields[0].values[*other])?;
        }
    }
    let ask =
        "In which of these documents is {a} {x} and {b} {y}? Order them from the highest {a} to the lowest. If there is none, answer none.";
    // Where no document fulfils both, the one that fulfils the first is as near as any.
    let support = if both.is_empty() { vec![(b.nearest, a.field)] } else { both.iter().map(|row| (*row, 0)).collect() };
    Ok(Draft {
        ask: fill(ask, &[("a", &view.fields[0].label), ("b", &view.fields[1].label), ("x", &a.words), ("y", &b.words)]),
        sql: format!("SELECT name FROM t WHERE {} AND {} ORDER BY {} DESC", a.condition, b.condition, view.fields[0].column),
        answer: Answer::Names,
        support,
    })
}

pub fn only(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&[
        "Which is the only one of these documents in which {a} is {x} and {b} is {y}?",
        "In just one of these documents {a} is {x} while {b} is {y}. Which one?",
    ]);
    let (a, b, both) = conditions(view, |found| found == 1)?;
    Ok(Draft {
        ask: fill(wording, &[("a", &view.fields[0].label), ("b", &view.fields[1].label), ("x", &a.words), ("y", &b.words)]),
        sql: format!("SELECT name FROM t WHERE {} AND {}", a.condition, b.condition),
        answer: Answer::Name,
        support: both.into_iter().map(|row| (row, 0)).collect(),
    })
}

pub fn best_among(view: &mut View<'_>) -> Written {
    let cut = view.cut(1, 3, 1)?;
    let values: Vec<f64> =
        (0..view.rows()).map(|row| if cut.inside.contains(&row) { view.fields[0].values[row] } else { f64::MIN }).collect();
    let row = view.ranked(&values, 1)?;
    let (a, b) = (&view.fields[0], &view.fields[1]);
    if view.ranked(&a.values, 1).is_ok_and(|best| best == row) && view.random.chance(0.7) {
        return Err(reject("trivial", "the condition changes nothing".into()));
    }
    let ask = "Among those of these documents in which {b} is {y}, which has the highest {a}?";
    Ok(Draft {
        ask: fill(ask, &[("a", &a.label), ("b", &b.label), ("y", &cut.words)]),
        sql: format!("SELECT name FROM t WHERE {} ORDER BY {} DESC LIMIT 1", cut.condition, a.column),
        answer: Answer::Name,
        support: vec![(row, 0)],
    })
}

/// The first column divided by the second.
fn quotients(view: &View<'_>) -> Result<Vec<f64>, Reject> {
    let (a, b) = (&view.fields[0].values, &view.fields[1].values);
    positive(a.iter().chain(b))?;
    Ok(a.iter().zip(b).map(|(a, b)| a / b).collect())
}

pub fn closest(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&[
        "Which other of these documents comes closest to {x} in {a}?",
        "Compare {a} in {x} with the other documents. Which of them is nearest to it?",
    ]);
    let from = view.random.below(view.rows());
    let a = &view.fields[0];
    // The negative distance; the document itself comes last.
    let values: Vec<f64> =
        (0..view.rows()).map(|row| if row == from { f64::MIN } else { -(a.values[row] - a.values[from]).abs() }).collect();
    let row = view.ranked(&values, 1)?;
    let sql = format!(
        "SELECT name FROM t WHERE name <> {x} ORDER BY ABS({a} - {cell}) LIMIT 1",
        x = view.quoted(from),
        a = a.column,
        cell = cell(view, from, 0)
    );
    let ask = fill(wording, &[("a", &a.label), ("x", &view.names[from])]);
    Ok(Draft { ask, sql, answer: Answer::Name, support: vec![(row, 0), (from, 0)] })
}

pub fn quotient_place(view: &mut View<'_>) -> Written {
    let values = quotients(view)?;
    let at = some_place(view, view.rows());
    let row = view.ranked(&values, at)?;
    let (a, b) = (&view.fields[0], &view.fields[1]);
    let ask = fill(
        "Divide {a} by {b} for each of these documents. Which document has the {p} quotient?",
        &[("a", &a.label), ("b", &b.label), ("p", &nth(at, "highest"))],
    );
    let sql = format!("SELECT name FROM t ORDER BY {} / {} DESC LIMIT 1 OFFSET {}", a.column, b.column, at - 1);
    Ok(Draft { ask, sql, answer: Answer::Name, support: vec![(row, 0), (row, 1)] })
}

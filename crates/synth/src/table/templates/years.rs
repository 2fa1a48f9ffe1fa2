//! Questions about changes from year to year, and about years.
//!
//! Where a template needs two years, column 0 is the later one and column 1 the earlier one.

use super::figures::pair;
use super::{Answer, Draft, Written};
use crate::candidate::Reject;
use crate::table::say::{fill, place};
use crate::table::view::{View, apart, order, positive};

pub fn change_gap(view: &mut View<'_>) -> Written {
    let (a, b) = (&view.fields[0], &view.fields[1]);
    let changes: Vec<f64> = a.values.iter().zip(&b.values).map(|(a, b)| a - b).collect();
    let [high, low] = pair(&changes)?;
    let ask = "Take {a} less {b}, in {x} and in {y}. By how much is the first of these two changes above the second (where it fell, the change is negative)?";
    let ask = fill(ask, &[("a", &a.label), ("b", &b.label), ("x", &view.names[high]), ("y", &view.names[low])]);
    let change = |row: usize| format!("(SELECT {} - {} FROM t WHERE name = {})", a.column, b.column, view.quoted(row));
    let sql = format!("SELECT {} - {}", change(high), change(low));
    let support = [high, low].into_iter().flat_map(|row| [(row, 0), (row, 1)]).collect();
    Ok(Draft { ask, sql, answer: Answer::Number(a.unit.clone()), support })
}

pub fn growth_of_all(view: &mut View<'_>) -> Written {
    let (a, b) = (&view.fields[0], &view.fields[1]);
    positive(a.values.iter().chain(&b.values))?;
    apart(a.values.iter().sum(), b.values.iter().sum())?;
    let ask =
        "Add up {b} over these documents, and {a}. By how many percent is the second sum higher than the first (negative if it is lower)?";
    let sql = format!("SELECT 100.0 * (SUM({a}) - SUM({b})) / SUM({b}) FROM t", a = a.column, b = b.column);
    let support = view.cells(0).into_iter().chain(view.cells(1)).collect();
    Ok(Draft { ask: fill(ask, &[("a", &a.label), ("b", &b.label)]), sql, answer: Answer::Number("%".into()), support })
}

pub fn most_risen(view: &mut View<'_>) -> Written {
    let in_percent = view.random.chance(0.5);
    let (a, b) = (&view.fields[0], &view.fields[1]);
    positive(a.values.iter().chain(&b.values))?;
    let values: Vec<f64> = a.values.iter().zip(&b.values).map(|(a, b)| if in_percent { a / b } else { a - b }).collect();
    let row = view.ranked(&values, 1)?;
    // A rise, and in percent one that a rounding does not hide.
    positive([&(a.values[row] - b.values[row])])?;
    let (ask, sql) = if in_percent {
        let others = values.iter().enumerate().filter(|(other, _)| *other != row).map(|(_, value)| value - 1.0).fold(f64::MIN, f64::max);
        apart(values[row] - 1.0, others)?;
        (
            "Compare {a} with {b}. In which of these documents did it rise most in percent?",
            format!("SELECT name FROM t ORDER BY {} / {} DESC LIMIT 1", a.column, b.column),
        )
    } else {
        (
            "In which of these documents is {a} higher than {b} by the largest amount?",
            format!("SELECT name FROM t ORDER BY {} - {} DESC LIMIT 1", a.column, b.column),
        )
    };
    Ok(Draft { ask: fill(ask, &[("a", &a.label), ("b", &b.label)]), sql, answer: Answer::Name, support: vec![(row, 0), (row, 1)] })
}

pub fn average_change(view: &mut View<'_>) -> Written {
    let (a, b) = (&view.fields[0], &view.fields[1]);
    apart(a.values.iter().sum(), b.values.iter().sum())?;
    let ask = "For each of these documents take {a} less {b}. What is the average of these changes (negative for a fall)?";
    let sql = format!("SELECT AVG({} - {}) FROM t", a.column, b.column);
    let support = view.cells(0).into_iter().chain(view.cells(1)).collect();
    Ok(Draft { ask: fill(ask, &[("a", &a.label), ("b", &b.label)]), sql, answer: Answer::Number(a.unit.clone()), support })
}

/// The row with the `at`-th earliest or latest year, and how it is called in words and SQL. Years are told apart by one.
fn ranked(view: &mut View<'_>) -> Result<(usize, usize, &'static str, &'static str), Reject> {
    let latest = view.random.chance(0.5);
    let at = view.random.between(1, 2);
    let signed: Vec<f64> = view.fields[0].values.iter().map(|year| if latest { *year } else { -*year }).collect();
    let rows = order(&signed);
    let near = [at.checked_sub(2), Some(at)].into_iter().flatten().filter_map(|place| rows.get(place));
    for other in near {
        // As numbers that are far apart unless they are equal.
        apart(1.0 + (signed[rows[at - 1]] - signed[*other]).abs(), 1.0)?;
    }
    let (most, order) = if latest { ("latest", "DESC") } else { ("earliest", "ASC") };
    Ok((rows[at - 1], at, most, order))
}

pub fn earliest(view: &mut View<'_>) -> Written {
    let (row, at, most, order) = ranked(view)?;
    let a = &view.fields[0];
    let ask = fill("Which of these documents has the {p} {a}?", &[("a", &a.label), ("p", &place(at, most))]);
    let sql = format!("SELECT name FROM t ORDER BY {} {order} LIMIT 1 OFFSET {}", a.column, at - 1);
    Ok(Draft { ask, sql, answer: Answer::Name, support: vec![(row, 0)] })
}

pub fn at_earliest(view: &mut View<'_>) -> Written {
    let (row, at, most, order) = ranked(view)?;
    let (a, b) = (&view.fields[0], &view.fields[1]);
    let ask =
        fill("What is {b} in the one of these documents with the {p} {a}?", &[("a", &a.label), ("b", &b.label), ("p", &place(at, most))]);
    let sql = format!("SELECT {} FROM t ORDER BY {} {order} LIMIT 1 OFFSET {}", b.column, a.column, at - 1);
    Ok(Draft { ask, sql, answer: Answer::Number(b.unit.clone()), support: vec![(row, 1)] })
}

pub fn span(view: &mut View<'_>) -> Written {
    let a = &view.fields[0];
    let rows = order(&a.values);
    let ends = [rows[0], rows[rows.len() - 1]];
    let ask = fill("How many years lie between the earliest and the latest {a} of these documents?", &[("a", &a.label)]);
    let sql = format!("SELECT MAX({a}) - MIN({a}) FROM t", a = a.column);
    Ok(Draft { ask, sql, answer: Answer::Years, support: ends.map(|row| (row, 0)).to_vec() })
}

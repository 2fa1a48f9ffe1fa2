//! Questions whose answer is a number.

use super::{Answer, Draft, Written};
use crate::candidate::Reject;
use crate::table::say::{fill, place};
use crate::table::view::{View, apart, order, positive, reject};

/// A place from 1 on among so many rows, not the last one, and seldom a late one.
pub fn some_place(view: &mut View<'_>, rows: usize) -> usize {
    view.random.between(1, rows.saturating_sub(1).clamp(1, 4))
}

fn number(unit: &str) -> Answer {
    Answer::Number(unit.to_string())
}

pub fn sum(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&["What is the sum of {a} over these documents?", "Add up {a} of all these documents. What is the total?"]);
    let a = &view.fields[0];
    let sql = format!("SELECT SUM({}) FROM t", a.column);
    Ok(Draft { ask: fill(wording, &[("a", &a.label)]), sql, answer: number(&a.unit), support: view.cells(0) })
}

pub fn average(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&[
        "What is the average (arithmetic mean) of {a} over these documents?",
        "Taking these documents together with equal weight, what is the mean of {a}?",
    ]);
    let a = &view.fields[0];
    let sql = format!("SELECT AVG({}) FROM t", a.column);
    Ok(Draft { ask: fill(wording, &[("a", &a.label)]), sql, answer: number(&a.unit), support: view.cells(0) })
}

pub fn count_where(view: &mut View<'_>) -> Written {
    let (a, b) = (view.cut(0, 2, 1)?, view.cut(1, 2, 1)?);
    let both: Vec<usize> = a.inside.iter().copied().filter(|row| b.inside.contains(row)).collect();
    if both.is_empty() || both.len() == view.rows() {
        return Err(reject("trivial", "all documents or none fulfil both conditions".into()));
    }
    let support = if b.inside.contains(&a.nearest) { (a.nearest, 0) } else { (both[0], 0) };
    let ask = "In how many of these documents is {a} {x} and {b} {y}?";
    Ok(Draft {
        ask: fill(ask, &[("a", &view.fields[0].label), ("b", &view.fields[1].label), ("x", &a.words), ("y", &b.words)]),
        sql: format!("SELECT COUNT(*) FROM t WHERE {} AND {}", a.condition, b.condition),
        answer: Answer::Count,
        support: vec![support],
    })
}

/// `of`: what SQL makes of the rows that fulfil a condition.
fn of_group(view: &mut View<'_>, of: &str, wordings: &[&str]) -> Written {
    let wording = view.one_of(wordings);
    let cut = view.cut(1, 2, 1)?;
    let a = &view.fields[0];
    Ok(Draft {
        ask: fill(wording, &[("a", &a.label), ("b", &view.fields[1].label), ("y", &cut.words)]),
        sql: format!("SELECT {of}({}) FROM t WHERE {}", a.column, cut.condition),
        answer: number(&a.unit),
        support: cut.inside.iter().map(|row| (*row, 0)).collect(),
    })
}

pub fn sum_where(view: &mut View<'_>) -> Written {
    let wordings = [
        "What is the sum of {a} over those of these documents in which {b} is {y}?",
        "Take those of these documents in which {b} is {y}. What do their values of {a} add up to?",
    ];
    of_group(view, "SUM", &wordings)
}

pub fn average_where(view: &mut View<'_>) -> Written {
    let wordings = [
        "What is the average of {a} over those of these documents in which {b} is {y}?",
        "Take those of these documents in which {b} is {y}. What is the mean of their {a}?",
    ];
    of_group(view, "AVG", &wordings)
}

pub fn median(view: &mut View<'_>) -> Written {
    let wording =
        view.one_of(&["What is the median of {a} over these documents?", "Put these documents in order of {a}. What is the median?"]);
    let even = if view.rows() % 2 == 0 { " (With an even number of documents it is the mean of the two in the middle.)" } else { "" };
    let a = &view.fields[0];
    let rows = order(&a.values);
    let mut middle = vec![rows[(rows.len() - 1) / 2], rows[rows.len() / 2]];
    middle.dedup();
    let sql = format!(
        "SELECT AVG({a}) FROM (SELECT {a} FROM t ORDER BY {a} LIMIT 2 - (SELECT COUNT(*) FROM t) % 2 OFFSET (SELECT (COUNT(*) - 1) / 2 FROM t))",
        a = a.column
    );
    Ok(Draft {
        ask: fill(wording, &[("a", &a.label)]) + even,
        sql,
        answer: number(&a.unit),
        support: middle.into_iter().map(|row| (row, 0)).collect(),
    })
}

pub fn range(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&[
        "What is the difference between the highest and the lowest {a} of these documents?",
        "How far apart are the highest and the lowest {a} among these documents?",
    ]);
    let a = &view.fields[0];
    let rows = order(&a.values);
    let ends = [rows[0], rows[rows.len() - 1]];
    apart(a.values[ends[0]], a.values[ends[1]])?;
    let sql = format!("SELECT MAX({a}) - MIN({a}) FROM t", a = a.column);
    Ok(Draft { ask: fill(wording, &[("a", &a.label)]), sql, answer: number(&a.unit), support: ends.map(|row| (row, 0)).to_vec() })
}

/// Not the standard deviation: SQLite has no square root unless it is built with it.
pub fn deviation(view: &mut View<'_>) -> Written {
    let ask = "Take the average of {a} over these documents, then the distance of each document from it. What is the average of these distances (the mean absolute deviation)?";
    let a = &view.fields[0];
    let sql = format!("SELECT AVG(ABS({a} - mean)) FROM t, (SELECT AVG({a}) AS mean FROM t)", a = a.column);
    Ok(Draft { ask: fill(ask, &[("a", &a.label)]), sql, answer: number(&a.unit), support: view.cells(0) })
}

/// Both rows, that with the higher value first.
pub fn pair(values: &[f64]) -> Result<[usize; 2], Reject> {
    let rows = order(values);
    let [high, low] = [rows[0], rows[1]];
    apart(values[high], values[low])?;
    Ok([high, low])
}

/// A cell as a subquery.
pub fn cell(view: &View<'_>, row: usize, field: usize) -> String {
    format!("(SELECT {} FROM t WHERE name = {})", view.fields[field].column, view.quoted(row))
}

pub fn gap(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&["By how much is {a} higher in {x} than in {y}?", "What is the difference between {a} in {x} and in {y}?"]);
    let [high, low] = pair(&view.fields[0].values)?;
    let sql = format!("SELECT {} - {}", cell(view, high, 0), cell(view, low, 0));
    let a = &view.fields[0];
    let ask = fill(wording, &[("a", &a.label), ("x", &view.names[high]), ("y", &view.names[low])]);
    Ok(Draft { ask, sql, answer: number(&a.unit), support: vec![(high, 0), (low, 0)] })
}

pub fn times(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&["How many times as high is {a} in {x} as in {y}?", "What is {a} in {x} divided by {a} in {y}?"]);
    let [high, low] = pair(&view.fields[0].values)?;
    let a = &view.fields[0];
    positive([&a.values[high], &a.values[low]])?;
    let sql = format!("SELECT {} / {}", cell(view, high, 0), cell(view, low, 0));
    let ask = fill(wording, &[("a", &a.label), ("x", &view.names[high]), ("y", &view.names[low])]);
    Ok(Draft { ask, sql, answer: number(""), support: vec![(high, 0), (low, 0)] })
}

pub fn at_place(view: &mut View<'_>) -> Written {
    let wording = view.one_of(&[
        "What is {a} in the one of these documents with the {p} {b}?",
        "Look for the {p} {b} among these documents. What is {a} in that document?",
    ]);
    let at = some_place(view, view.rows());
    let row = view.ranked(&view.fields[1].values, at)?;
    let (a, b) = (&view.fields[0], &view.fields[1]);
    let sql = format!("SELECT {} FROM t ORDER BY {} DESC LIMIT 1 OFFSET {}", a.column, b.column, at - 1);
    let ask = fill(wording, &[("a", &a.label), ("b", &b.label), ("p", &place(at, "highest"))]);
    Ok(Draft { ask, sql, answer: number(&a.unit), support: vec![(row, 0)] })
}

pub fn of_best_among(view: &mut View<'_>) -> Written {
    let cut = view.cut(2, 3, 1)?;
    let highest = view.random.chance(0.5);
    let (most, order) = if highest { ("highest", "DESC") } else { ("lowest", "ASC") };
    // Those outside come last.
    let values: Vec<f64> = (0..view.rows())
        .map(|row| match (cut.inside.contains(&row), highest) {
            (false, _) => f64::MIN,
            (true, true) => view.fields[1].values[row],
            (true, false) => -view.fields[1].values[row],
        })
        .collect();
    let row = view.ranked(&values, 1)?;
    let (a, b, c) = (&view.fields[0], &view.fields[1], &view.fields[2]);
    let ask = "Among those of these documents in which {c} is {z}, find the one with the {m} {b}. What is its {a}?";
    Ok(Draft {
        ask: fill(ask, &[("a", &a.label), ("b", &b.label), ("c", &c.label), ("z", &cut.words), ("m", most)]),
        sql: format!("SELECT {} FROM t WHERE {} ORDER BY {} {order} LIMIT 1", a.column, cut.condition, b.column),
        answer: number(&a.unit),
        support: vec![(row, 0)],
    })
}

pub fn group_gap(view: &mut View<'_>) -> Written {
    let cut = view.cut(1, 2, 2)?;
    let (a, b) = (&view.fields[0], &view.fields[1]);
    let ask = "Split these documents into those in which {b} is {y} and the others. How large is the difference between the two groups' averages of {a} (without its sign)?";
    let sql = format!(
        "SELECT ABS(AVG(CASE WHEN {c} THEN {a} END) - AVG(CASE WHEN NOT ({c}) THEN {a} END)) FROM t",
        a = a.column,
        c = cut.condition
    );
    let ask = fill(ask, &[("a", &a.label), ("b", &b.label), ("y", &cut.words)]);
    Ok(Draft { ask, sql, answer: number(&a.unit), support: view.cells(0) })
}

pub fn share_where(view: &mut View<'_>) -> Written {
    let cut = view.cut(1, 2, 1)?;
    let (a, b) = (&view.fields[0], &view.fields[1]);
    positive(&a.values)?;
    let ask = "Add up {a} over these documents. What share of the total, in percent, comes from those in which {b} is {y}?";
    let sql = format!("SELECT 100.0 * SUM(CASE WHEN {} THEN {a} END) / SUM({a}) FROM t", cut.condition, a = a.column);
    let ask = fill(ask, &[("a", &a.label), ("b", &b.label), ("y", &cut.words)]);
    Ok(Draft { ask, sql, answer: number("%"), support: view.cells(0) })
}

pub fn share_of_first(view: &mut View<'_>) -> Written {
    let a = &view.fields[0];
    positive(&a.values)?;
    let ask = "What share of the sum of {a} over these documents, in percent, has the document with the highest value?";
    let sql = format!("SELECT 100.0 * MAX({a}) / SUM({a}) FROM t", a = a.column);
    Ok(Draft { ask: fill(ask, &[("a", &a.label)]), sql, answer: number("%"), support: view.cells(0) })
}

//! Tables as `documents` writes them: a row a line, `column: value | column: value`, each cell marked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use data::{Document, Place};

use super::{Said, trimmed};

/// Rows among which the header is looked for.
const HEAD: usize = 10;

/// Row → column → the cell's bytes, names and all.
type Rows = BTreeMap<u32, BTreeMap<u32, Range<usize>>>;

pub fn read(document: &Document) -> Vec<Said> {
    let text: &str = &document.text;
    let mut sheets: Vec<(&str, Rows)> = Vec::new();
    for (at, mark) in document.marks.iter().enumerate() {
        let Place::Cell { sheet, row, column } = &mark.place else { continue };
        let end = document.marks.get(at + 1).map_or(text.len(), |next| next.start);
        // What ends the cell: its row, or the next cell of it.
        let mut cell = trimmed(text, mark.start, end);
        let same_row = document.marks.get(at + 1).is_some_and(|next| matches!(&next.place, Place::Cell { row: next, .. } if next == row));
        if same_row && let Some(rest) = text[cell.clone()].strip_suffix('|') {
            cell.end = cell.start + rest.trim_end().len();
        }
        if sheets.last().is_none_or(|(last, _)| last != sheet) {
            sheets.push((sheet, Rows::new()));
        }
        if let Some((_, rows)) = sheets.last_mut() {
            rows.entry(*row).or_default().insert(*column, cell);
        }
    }
    let several = sheets.len() > 1;
    sheets.iter().flat_map(|(sheet, rows)| sheet_facts(text, if several { sheet } else { "" }, rows)).collect()
}

fn sheet_facts(text: &str, sheet: &str, rows: &Rows) -> Vec<Said> {
    let Some((header, names)) = header(text, rows) else { return Vec::new() };
    // The cells below the header without their names.
    let cells: BTreeMap<u32, BTreeMap<u32, Range<usize>>> = rows
        .range(header + 1..)
        .map(|(row, cells)| {
            (*row, cells.iter().filter_map(|(column, cell)| Some((*column, value(text, names.get(column)?, cell)?))).collect())
        })
        .collect();
    let Some(key) = key_column(text, &names, &cells) else { return Vec::new() };
    let mut times: HashMap<&str, usize> = HashMap::new();
    cells.values().filter_map(|cells| cells.get(&key)).for_each(|cell| *times.entry(&text[cell.clone()]).or_default() += 1);
    let mut out = Vec::new();
    for cells in cells.values() {
        // A name that stands in two rows is about neither.
        let Some(subject) = cells.get(&key).map(|cell| &text[cell.clone()]).filter(|name| times[name] == 1) else { continue };
        for (column, at) in cells.iter().filter(|(column, _)| **column != key) {
            let path = [sheet, names[column]].iter().filter(|step| !step.is_empty()).map(|step| step.to_string()).collect();
            out.push(Said { subject: subject.to_string(), path, at: at.clone() });
        }
    }
    out
}

/// The header's row and names: the first row whose names all cells of the next row begin with.
fn header<'a>(text: &'a str, rows: &Rows) -> Option<(u32, BTreeMap<u32, &'a str>)> {
    let mut rows = rows.iter().take(HEAD).peekable();
    while let Some((row, cells)) = rows.next() {
        let names: BTreeMap<u32, &str> = cells.iter().map(|(column, cell)| (*column, &text[cell.clone()])).collect();
        let named = |(column, cell): (&u32, &Range<usize>)| names.get(column).is_some_and(|name| value(text, name, cell).is_some());
        let (_, below) = rows.peek()?;
        if below.len() > 1 && below.iter().all(named) && names.values().collect::<BTreeSet<_>>().len() == names.len() {
            return Some((*row, names));
        }
    }
    None
}

/// The cell's bytes after `name: `.
fn value(text: &str, name: &str, cell: &Range<usize>) -> Option<Range<usize>> {
    let rest = text[cell.clone()].strip_prefix(name)?.strip_prefix(':')?;
    Some(trimmed(text, cell.end - rest.len(), cell.end)).filter(|value| !name.is_empty() && !value.is_empty())
}

/// The column whose cells name the rows.
fn key_column(text: &str, names: &BTreeMap<u32, &str>, cells: &BTreeMap<u32, BTreeMap<u32, Range<usize>>>) -> Option<u32> {
    let number = |cell: &str| cell.replace([',', '.', '-', ' '], "").bytes().all(|b| b.is_ascii_digit());
    let mut numbers = None;
    for column in names.keys() {
        let values: Vec<&str> = cells.values().filter_map(|row| row.get(column)).map(|cell| &text[cell.clone()]).collect();
        let distinct = values.iter().collect::<BTreeSet<_>>().len();
        if distinct == 0 || distinct * 10 < cells.len() * 9 {
            continue;
        }
        if values.iter().filter(|value| number(value)).count() * 2 < values.len() {
            return Some(*column);
        }
        numbers.get_or_insert(*column);
    }
    // Years or numbers name the rows only in the column in which names stand.
    numbers.filter(|column| names.keys().next() == Some(column))
}

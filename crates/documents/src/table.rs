//! Rows of a table as text: each row says what its cells are.

use std::collections::{HashMap, HashSet};

use data::Place;

use crate::limits::MAX_FINE_MARKS;
use crate::writer::Writer;
use crate::{Remark, Result};

/// A row's cells with their columns, which count from 1.
pub type Cells = [(u32, String)];

/// Writes a table's rows one by one.
pub struct Table {
    sheet: String,
    /// The row that names the columns.
    header: Option<u32>,
    /// Column → its name.
    names: HashMap<u32, String>,
}

impl Table {
    /// A table that begins with these rows (its first ones, numbered). The first that is as wide as most, says something else in each
    /// column and holds no number is the header.
    pub fn new(sheet: &str, head: &[(u32, Vec<(u32, String)>)], writer: &mut Writer) -> Self {
        let filled = |cells: &Cells| cells.iter().filter(|(_, cell)| !cell.trim().is_empty()).count();
        let widest = head.iter().map(|(_, cells)| filled(cells)).max().unwrap_or(0);
        let header = head.iter().find(|(_, cells)| filled(cells) * 2 > widest && is_header(cells));
        if header.is_none() {
            writer.remarks.push(Remark::NoHeader { sheet: sheet.to_string() });
        }
        let names = header.iter().flat_map(|(_, cells)| cells).map(|(column, name)| (*column, one_line(name))).collect();
        Self { sheet: sheet.to_string(), header: header.map(|(row, _)| *row), names }
    }

    /// Writes a row on a line of its own: `name: value | name: value`, empty cells left out. Rows count from 1. Each cell is marked,
    /// or, where that were too many marks, each row.
    pub fn row(&mut self, row: u32, cells: &Cells, fine: bool, writer: &mut Writer) -> Result<()> {
        let named = self.header.is_some_and(|header| row > header);
        let mut written = false;
        for (column, cell) in cells {
            let cell = one_line(cell);
            if cell.is_empty() {
                continue;
            }
            if written {
                writer.push(" | ");
            }
            if fine || !written {
                writer.mark(Place::Cell { sheet: self.sheet.clone(), row, column: *column });
            }
            if named && let Some(name) = self.names.get(column).filter(|name| !name.is_empty()) {
                writer.push(name);
                writer.push(": ");
            }
            writer.push(&cell);
            written = true;
        }
        writer.push("\n");
        writer.check()
    }
}

/// Whether a table of this size has each cell marked; says so when not.
pub fn fine(cells: usize, writer: &mut Writer) -> bool {
    let fine = cells <= MAX_FINE_MARKS;
    if !fine {
        writer.remarks.push(Remark::CoarseMarks { grain: "row".into() });
    }
    fine
}

fn is_header(cells: &Cells) -> bool {
    let said: Vec<&str> = cells.iter().map(|(_, cell)| cell.trim()).filter(|cell| !cell.is_empty()).collect();
    let number = |cell: &&str| cell.trim_matches(['$', '€', '£', '%', ' ']).replace([',', '_', ' '], "").parse::<f64>().is_ok();
    let distinct: HashSet<&str> = said.iter().copied().collect();
    !said.is_empty() && distinct.len() == said.len() && !said.iter().any(number)
}

/// A cell's text on one line.
fn one_line(cell: &str) -> String {
    if cell.contains(['\n', '\r', '\t']) || cell.starts_with(' ') || cell.ends_with(' ') {
        cell.split(['\n', '\r', '\t']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    } else {
        cell.to_string()
    }
}

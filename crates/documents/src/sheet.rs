//! XLSX: each sheet under its name, each row as in CSV.
//!
//! Numbers are written as the sheet shows them (decimals, thousands, percent, currency); dates in ISO form, because how a sheet shows
//! them depends on where it is opened. A formula is its stored value. Read cell by cell (ECMA-376 part 1, §18): a sheet may be large
//! with next to nothing in it.

mod date;
mod number;

use std::collections::{BTreeMap, HashMap};

use date::Shows;

use crate::limits::MAX_COLUMNS;
use crate::package::{Package, resolve};
use crate::table::{self, Table};
use crate::writer::{Writer, Written};
use crate::xml::{Xml, visit};
use crate::{Bytes, DocumentError, Format, Remark, Result};

const SHEET: Format = Format::Spreadsheet;
const WORKBOOK: &str = "xl/workbook.xml";

/// Rows at a sheet's top among which the header is looked for.
const HEAD: usize = 10;
/// Rows that a sheet may have.
const MAX_ROWS: u32 = 1 << 20;

/// Row → its cells, as column and text, without empty ones.
type Rows = BTreeMap<u32, Vec<(u32, String)>>;

pub fn convert(bytes: &Bytes) -> Result<Written> {
    let mut package = Package::open(bytes, SHEET)?;
    let mut writer = Writer::new(SHEET);
    let book = Book::open(&mut package)?;
    let mut sheets: Vec<(&str, Rows)> = Vec::new();
    for sheet in &book.sheets {
        if !sheet.part.contains("worksheets/") {
            writer.remarks.push(Remark::LeftOut { what: format!("{} (a chart or a macro)", sheet.name) });
            continue;
        }
        if sheet.hidden {
            writer.remarks.push(Remark::HiddenSheet { sheet: sheet.name.clone() });
        }
        let Some(xml) = package.text(&sheet.part)? else {
            writer.remarks.push(Remark::PartLost { part: format!("sheet {}", sheet.name), why: format!("{} is missing", sheet.part) });
            continue;
        };
        let (rows, without_value) = book.rows(&xml)?;
        if without_value > 0 {
            writer.remarks.push(Remark::FormulasWithoutValue { sheet: sheet.name.clone(), count: without_value });
        }
        sheets.push((&sheet.name, rows));
    }
    if sheets.is_empty() {
        return Err(DocumentError::damaged(SHEET, "it has no sheet of cells"));
    }
    let cells = sheets.iter().flat_map(|(_, rows)| rows.values()).map(Vec::len).sum();
    let fine = table::fine(cells, &mut writer);
    for (name, rows) in sheets {
        writer.heading(1, name);
        let head: Vec<(u32, Vec<(u32, String)>)> = rows.iter().take(HEAD).map(|(row, cells)| (*row, cells.clone())).collect();
        if head.is_empty() {
            continue;
        }
        let mut table = Table::new(name, &head, &mut writer);
        let mut before = None;
        for (row, cells) in rows {
            // Empty rows part tables on a sheet.
            if before.is_some_and(|before| before + 1 < row) {
                writer.push("\n");
            }
            before = Some(row);
            table.row(row, &cells, fine, &mut writer)?;
        }
    }
    writer.finish(false)
}

struct Sheet {
    name: String,
    part: String,
    hidden: bool,
}

/// What the sheets share.
struct Book {
    sheets: Vec<Sheet>,
    strings: Vec<String>,
    /// Style → its number format.
    formats: Vec<String>,
    /// Days count from 1904 rather than 1900.
    from_1904: bool,
}

impl Book {
    fn open(package: &mut Package) -> Result<Self> {
        let xml = package.text(WORKBOOK)?.ok_or_else(|| DocumentError::damaged(SHEET, format!("{WORKBOOK} is missing")))?;
        let parts = parts(&package.text("xl/_rels/workbook.xml.rels")?.unwrap_or_default())?;
        let (mut sheets, mut from_1904) = (Vec::new(), false);
        visit(&xml, SHEET, |event| {
            match event {
                Xml::Open("workbookPr", attributes) => {
                    from_1904 = attributes.get("date1904").is_some_and(|value| matches!(&*value, "1" | "true"));
                }
                Xml::Open("sheet", attributes) => {
                    let part = parts.get(&attributes.get("id").unwrap_or_default()).cloned().unwrap_or_default();
                    let hidden = attributes.get("state").is_some_and(|state| state != "visible");
                    sheets.push(Sheet { name: attributes.get("name").unwrap_or_default(), part, hidden });
                }
                _ => {}
            }
            Ok(())
        })?;
        let strings = match package.text("xl/sharedStrings.xml")? {
            Some(xml) => shared_strings(&xml)?,
            None => Vec::new(),
        };
        let formats = match package.text("xl/styles.xml")? {
            Some(xml) => number_formats(&xml)?,
            None => Vec::new(),
        };
        Ok(Self { sheets, strings, formats, from_1904 })
    }

    /// A sheet's cells that are not empty, and how many formulas have no stored value.
    fn rows(&self, xml: &str) -> Result<(Rows, usize)> {
        let (mut rows, mut without_value) = (Rows::new(), 0);
        // Cells and rows may leave out where they are: behind the one before.
        let (mut row, mut column) = (0u32, 0u32);
        let mut cell = Cell::default();
        let mut in_text = false;
        visit(xml, SHEET, |event| {
            match event {
                Xml::Open("row", attributes) => {
                    row = attributes.get("r").and_then(|r| r.parse().ok()).unwrap_or(row.saturating_add(1));
                    column = 0;
                }
                Xml::Open("c", attributes) => {
                    let at = attributes.get("r").and_then(|r| place(&r));
                    (row, column) = at.unwrap_or((row.max(1), column.saturating_add(1)));
                    if row > MAX_ROWS || column as usize > MAX_COLUMNS {
                        return Err(DocumentError::damaged(SHEET, format!("a cell stands at row {row}, column {column}")));
                    }
                    let style = attributes.get("s").and_then(|s| s.parse().ok()).unwrap_or(0);
                    cell = Cell { kind: attributes.get("t").unwrap_or_default(), style, ..Cell::default() };
                }
                Xml::Open("f", _) => cell.formula = true,
                Xml::Open("v" | "t", _) => in_text = true,
                // How a word is pronounced.
                Xml::Open("rPh", _) => cell.spoken = true,
                Xml::Close("rPh") => cell.spoken = false,
                Xml::Close("v" | "t") => in_text = false,
                Xml::Text(text) if in_text && !cell.spoken => cell.text.push_str(text),
                Xml::Close("c") => {
                    let shown = self.shown(&cell);
                    if !shown.trim().is_empty() {
                        rows.entry(row).or_default().push((column, shown));
                    } else if cell.formula {
                        without_value += 1;
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        for cells in rows.values_mut() {
            // As a rule they are in order.
            cells.sort_by_key(|(column, _)| *column);
        }
        Ok((rows, without_value))
    }

    /// A cell's value as text.
    fn shown(&self, cell: &Cell) -> String {
        match &*cell.kind {
            "s" => cell.text.trim().parse().ok().and_then(|index: usize| self.strings.get(index)).cloned().unwrap_or_default(),
            "b" => if cell.text.trim() == "1" { "TRUE" } else { "FALSE" }.to_string(),
            "str" | "inlineStr" | "e" | "d" => cell.text.clone(),
            _ => {
                let Ok(value) = cell.text.trim().parse::<f64>() else { return cell.text.clone() };
                let format = self.formats.get(cell.style).map_or("General", String::as_str);
                match Shows::of(format) {
                    Some(shows) => date::shown(value, shows, self.from_1904),
                    None => number::shown(value, format),
                }
            }
        }
    }
}

/// A cell being read.
#[derive(Default)]
struct Cell {
    kind: String,
    style: usize,
    text: String,
    formula: bool,
    spoken: bool,
}

/// `AB12` → (12, 28).
fn place(reference: &str) -> Option<(u32, u32)> {
    let letters = reference.bytes().take_while(u8::is_ascii_alphabetic).count();
    let column = reference[..letters]
        .bytes()
        .try_fold(0u32, |sum, letter| sum.checked_mul(26)?.checked_add(u32::from(letter.to_ascii_uppercase() - b'A') + 1))?;
    let row = reference[letters..].parse().ok()?;
    (row > 0 && column > 0).then_some((row, column))
}

/// Relationship → the part it names.
fn parts(xml: &str) -> Result<HashMap<String, String>> {
    let mut parts = HashMap::new();
    visit(xml, SHEET, |event| {
        if let Xml::Open("Relationship", attributes) = event {
            parts.insert(attributes.get("Id").unwrap_or_default(), resolve(WORKBOOK, &attributes.get("Target").unwrap_or_default()));
        }
        Ok(())
    })?;
    Ok(parts)
}

fn shared_strings(xml: &str) -> Result<Vec<String>> {
    let (mut strings, mut in_text, mut spoken) = (Vec::new(), false, false);
    visit(xml, SHEET, |event| {
        match event {
            Xml::Open("si", _) => strings.push(String::new()),
            Xml::Open("t", _) => in_text = true,
            Xml::Close("t") => in_text = false,
            Xml::Open("rPh", _) => spoken = true,
            Xml::Close("rPh") => spoken = false,
            Xml::Text(text) if in_text && !spoken => strings.iter_mut().last().into_iter().for_each(|string| string.push_str(text)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(strings)
}

/// Style → number format.
fn number_formats(xml: &str) -> Result<Vec<String>> {
    let (mut codes, mut formats, mut in_cells) = (HashMap::new(), Vec::new(), false);
    visit(xml, SHEET, |event| {
        match event {
            Xml::Open("numFmt", attributes) => {
                codes.insert(attributes.get("numFmtId").unwrap_or_default(), attributes.get("formatCode").unwrap_or_default());
            }
            Xml::Open("cellXfs", _) => in_cells = true,
            Xml::Close("cellXfs") => in_cells = false,
            Xml::Open("xf", attributes) if in_cells => {
                let id = attributes.get("numFmtId").unwrap_or_default();
                formats.push(codes.get(&id).cloned().unwrap_or_else(|| built_in(&id).to_string()));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(formats)
}

/// The formats that every program knows (ECMA-376 part 1, §18.8.30).
fn built_in(id: &str) -> &'static str {
    match id {
        "1" => "0",
        "2" => "0.00",
        "3" => "#,##0",
        "4" => "#,##0.00",
        "9" => "0%",
        "10" => "0.00%",
        "11" => "0.00E+00",
        "14" | "15" | "16" | "17" => "yyyy-mm-dd",
        "18" | "19" | "20" | "21" => "hh:mm:ss",
        "22" => "yyyy-mm-dd hh:mm",
        "37" | "38" => "#,##0;(#,##0)",
        "39" | "40" => "#,##0.00;(#,##0.00)",
        "45" | "46" | "47" => "[h]:mm:ss",
        "48" => "##0.0E+0",
        "49" => "@",
        _ => "General",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_written() {
        assert_eq!([place("A1"), place("AB12"), place("XFD1048576")], [Some((1, 1)), Some((12, 28)), Some((1048576, 16384))]);
        assert_eq!([place(""), place("A"), place("7"), place("A0"), place("AAAAAAAAAA1"), place("é1")], [None; 6]);
    }
}

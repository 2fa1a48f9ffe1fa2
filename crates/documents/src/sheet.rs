//! XLSX: each sheet under its name, each row as in CSV.
//!
//! Numbers are written as the sheet shows them (decimals, thousands, percent, currency); dates in ISO form, because how a sheet shows
//! them depends on where it is opened. A formula is its stored value.

mod number;

use std::collections::{BTreeMap, HashSet};
use std::io::Cursor;

use calamine::{CellErrorType, Data, Reader, SheetType, SheetVisible, StyleRange, Xlsx, XlsxError};

use crate::package::Package;
use crate::table::{self, Table};
use crate::writer::{Writer, Written};
use crate::{Bytes, DocumentError, Format, Remark, Result};

const SHEET: Format = Format::Spreadsheet;

/// Rows at a sheet's top among which the header is looked for.
const HEAD: usize = 10;

type Rows = BTreeMap<u32, Vec<(u32, String)>>;

pub fn convert(bytes: &Bytes) -> Result<Written> {
    Package::open(bytes, SHEET)?.check()?;
    let damaged = |error: XlsxError| match error {
        XlsxError::Password => DocumentError::Encrypted { format: SHEET },
        error => DocumentError::damaged(SHEET, error),
    };
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes.clone())).map_err(damaged)?;
    let mut writer = Writer::new(SHEET);
    let mut sheets: Vec<(String, Rows)> = Vec::new();
    for sheet in book.sheets_metadata().to_vec() {
        if sheet.typ != SheetType::WorkSheet {
            writer.remarks.push(Remark::LeftOut { what: format!("{} (a chart or a macro)", sheet.name) });
            continue;
        }
        if sheet.visible != SheetVisible::Visible {
            writer.remarks.push(Remark::HiddenSheet { sheet: sheet.name.clone() });
        }
        match rows(&mut book, &sheet.name, &mut writer) {
            Ok(rows) => sheets.push((sheet.name, rows)),
            Err(error) => writer.remarks.push(Remark::PartLost { part: format!("sheet {}", sheet.name), why: error.to_string() }),
        }
    }
    if sheets.is_empty() {
        return Err(DocumentError::damaged(SHEET, "none of its sheets can be read"));
    }
    let cells = sheets.iter().flat_map(|(_, rows)| rows.values()).map(Vec::len).sum();
    let fine = table::fine(cells, &mut writer);
    for (name, rows) in sheets {
        writer.heading(1, &name);
        let head: Vec<(u32, Vec<(u32, String)>)> = rows.iter().take(HEAD).map(|(row, cells)| (*row, cells.clone())).collect();
        if head.is_empty() {
            continue;
        }
        let mut table = Table::new(&name, &head, &mut writer);
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

/// A sheet's cells that are not empty, by row. Read cell by cell: a sheet's range can be large with next to nothing in it.
fn rows(book: &mut Xlsx<Cursor<Bytes>>, name: &str, writer: &mut Writer) -> Result<Rows, XlsxError> {
    let styles = book.worksheet_style(name).ok();
    let mut rows = Rows::new();
    let mut cells = book.worksheet_cells_reader(name)?;
    while let Some(cell) = cells.next_cell()? {
        let ((row, column), value) = (cell.get_position(), Data::from(cell.get_value().clone()));
        let shown = shown(&value, styles.as_ref(), (row, column));
        if !shown.trim().is_empty() {
            rows.entry(row.saturating_add(1)).or_default().push((column.saturating_add(1), shown));
        }
    }
    drop(cells);
    let mut formulas: HashSet<(u32, u32)> = HashSet::new();
    let mut cells = book.worksheet_cells_reader(name)?;
    while let Some(cell) = cells.next_formula()? {
        if !cell.get_value().is_empty() {
            formulas.insert(cell.get_position());
        }
    }
    for (row, cells) in &mut rows {
        cells.sort_by_key(|(column, _)| *column);
        for (column, _) in cells {
            formulas.remove(&(*row - 1, *column - 1));
        }
    }
    if !formulas.is_empty() {
        writer.remarks.push(Remark::FormulasWithoutValue { sheet: name.to_string(), count: formulas.len() });
    }
    Ok(rows)
}

/// A cell's value as text.
fn shown(value: &Data, styles: Option<&StyleRange>, at: (u32, u32)) -> String {
    let format = || styles.and_then(|styles| styles.get(at)?.number_format.as_ref()).map_or("General", |format| &format.format_code);
    match value {
        Data::Empty => String::new(),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_string(),
        Data::Int(value) => number::shown(*value as f64, format()),
        Data::Float(value) => number::shown(*value, format()),
        Data::DateTime(moment) if moment.is_duration() => number::duration(moment.as_f64()),
        Data::DateTime(moment) => {
            let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
            let value = moment.as_f64();
            match (value < 1.0, value.fract() == 0.0) {
                (true, _) => format!("{hour:02}:{minute:02}:{second:02}"),
                (_, true) => format!("{year:04}-{month:02}-{day:02}"),
                _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
            }
        }
        Data::Error(error) => match error {
            CellErrorType::Div0 => "#DIV/0!",
            CellErrorType::NA => "#N/A",
            CellErrorType::Name => "#NAME?",
            CellErrorType::Null => "#NULL!",
            CellErrorType::Num => "#NUM!",
            CellErrorType::Ref => "#REF!",
            CellErrorType::Value => "#VALUE!",
            _ => "#ERROR",
        }
        .to_string(),
    }
}

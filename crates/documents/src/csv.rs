//! CSV and TSV: each row as text that says what its cells are.

use ::csv::{ReaderBuilder, StringRecord};

use crate::decode::decode;
use crate::limits::{MAX_COLUMNS, MAX_PARSED};
use crate::table::{self, Table};
use crate::writer::{Writer, Written};
use crate::{Bytes, DocumentError, Format, Remark, Result, plain};

pub fn convert(bytes: Bytes, format: Format) -> Result<Written> {
    if bytes.len() > MAX_PARSED {
        return plain::instead(bytes, format!("rows of more than {} MiB are not spelled out", MAX_PARSED >> 20));
    }
    let (text, mut remarks) = decode(&bytes, None);
    let text = plain::line_ends(text, &mut remarks);
    let mut writer = Writer::new(format);
    writer.remarks = remarks;
    let delimiter = if format == Format::Tsv { b'\t' } else { delimiter(&text) };
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text.as_bytes());
    // A table of few cells is marked cell by cell; delimiters bound the cells from above.
    let bound = text.bytes().filter(|&b| b == delimiter || b == b'\n').count() + 1;
    let fine = table::fine(bound, &mut writer);
    let (mut table, mut row, mut width) = (None::<Table>, 0u32, 0);
    let mut ragged: Option<(usize, usize)> = None;
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| DocumentError::damaged(format, error))? {
        row += 1;
        if record.len() > MAX_COLUMNS {
            return Err(DocumentError::TooLarge { format, what: "columns", limit: MAX_COLUMNS as u64 });
        }
        let cells: Vec<(u32, String)> = (1..).zip(record.iter().map(str::to_string)).collect();
        if table.is_none() {
            width = record.len();
        }
        if record.len() != width {
            ragged.get_or_insert((row as usize, 0)).1 += 1;
        }
        let table = table.get_or_insert_with(|| Table::new("", &[(row, cells.clone())], &mut writer));
        table.row(row, &cells, fine, &mut writer)?;
    }
    if let Some((first_row, rows)) = ragged {
        writer.remarks.push(Remark::RaggedRows { first_row, rows });
    }
    // The reader passes over blank lines, and quoted cells may hold line ends; else rows are lines.
    let lines = text.lines().count() == row as usize;
    writer.finish(lines)
}

/// The delimiter that cuts the first lines into the same number of cells, more than one; else the comma.
fn delimiter(text: &str) -> u8 {
    let head: Vec<&str> = text.lines().take(20).collect();
    let score = |delimiter: u8| {
        let counts: Vec<usize> = head.iter().map(|line| outside_quotes(line, delimiter)).collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        let same = counts.iter().filter(|&&count| count == counts[0]).count();
        if most == 0 || counts[0] == 0 { 0 } else { same * 1000 / counts.len() * 100 + most.min(99) }
    };
    *[b',', b';', b'\t', b'|'].iter().rev().max_by_key(|&&delimiter| score(delimiter)).unwrap_or(&b',')
}

fn outside_quotes(line: &str, delimiter: u8) -> usize {
    let mut quoted = false;
    line.bytes()
        .filter(|&b| {
            quoted ^= b == b'"';
            !quoted && b == delimiter
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Written {
        convert(text.as_bytes().into(), Format::Csv).unwrap()
    }

    #[test]
    fn rows_say_what_their_cells_are() {
        let written = read("name,born,note\r\nAda,1815,\"said \"\"hi\"\", left\"\nEmmy,,x\n");
        assert_eq!(&*written.text, "name | born | note\nname: Ada | born: 1815 | note: said \"hi\", left\nname: Emmy | note: x\n");
        assert!(written.lines);
        let places: Vec<String> = written.marks.iter().map(|m| m.place.to_string()).collect();
        assert_eq!(places, ["A1", "B1", "C1", "A2", "B2", "C2", "A3", "C3"]);
    }

    #[test]
    fn line_ends_in_cells_keep_rows_on_a_line() {
        let written = read("a;b\n\"x\ny\";2\n\n3;4\n");
        assert_eq!(&*written.text, "a | b\na: x y | b: 2\na: 3 | b: 4\n");
        assert!(!written.lines);
    }

    #[test]
    fn tables_without_a_header_and_ragged_ones_say_so() {
        assert_eq!(read("1,2\n3,4\n").remarks, [Remark::NoHeader { sheet: String::new() }]);
        assert_eq!(read("a,b\n1,2,3\n1,2\n1\n").remarks, [Remark::RaggedRows { first_row: 2, rows: 2 }]);
    }
}

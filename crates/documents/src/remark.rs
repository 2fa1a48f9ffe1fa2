use std::fmt;

/// Something a person should know about a conversion. Numbers count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// Nothing in the file says its encoding; this was the best guess.
    EncodingGuessed {
        /// As the Encoding Standard calls it, for example `windows-1252`.
        encoding: &'static str,
    },
    /// A text mostly in UTF-8 has lines that are not; they were read as `encoding`.
    EncodingMixed {
        /// What those lines were read as.
        encoding: &'static str,
        /// The first of them.
        first_line: usize,
        /// How many.
        lines: usize,
    },
    /// Bytes that mean nothing in the file's encoding became `U+FFFD`.
    Replaced {
        /// Byte of the file where the first stands, where that is known.
        byte: Option<usize>,
        /// How many characters stand for them.
        count: usize,
    },
    /// Too large to rewrite: line ends stay `\r\n`.
    LineEndsKept,
    /// The format is text; it was read as such because it could not be, or was too large to be, taken apart.
    AsPlainText {
        /// Why.
        why: String,
    },
    /// Pages of a PDF that show no text: scanned, or empty.
    PagesWithoutText {
        /// Their numbers.
        pages: Vec<u32>,
    },
    /// Glyphs whose font does not say what characters they are became `U+FFFD`.
    GlyphsWithoutText {
        /// The first page with such.
        first_page: u32,
        /// How many.
        count: usize,
    },
    /// Glyphs of a bitmap font without names were read by their codes.
    GlyphsByCode {
        /// How many.
        count: usize,
    },
    /// Pictures were left out.
    Images {
        /// How many.
        count: usize,
    },
    /// Parts that are not the text itself were left out.
    LeftOut {
        /// Which, for example "navigation".
        what: String,
    },
    /// A table without a header row: its cells stand without names.
    NoHeader {
        /// The sheet's name; empty where there is only one table.
        sheet: String,
    },
    /// Rows with more or fewer cells than the header.
    RaggedRows {
        /// The first such row.
        first_row: usize,
        /// How many.
        rows: usize,
    },
    /// From here on marks are coarser, because there are very many.
    CoarseMarks {
        /// What a mark now stands for: "row", "value at depth 2".
        grain: String,
    },
    /// A sheet that the program that wrote it does not show. It was read all the same.
    HiddenSheet {
        /// Its name.
        sheet: String,
    },
    /// Formulas whose value the file does not hold.
    FormulasWithoutValue {
        /// The sheet's name.
        sheet: String,
        /// How many.
        count: usize,
    },
    /// A part of the file could not be read; the rest was.
    PartLost {
        /// Which.
        part: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EncodingGuessed { encoding } => write!(f, "read as {encoding}, which is a guess: the file does not say"),
            Self::EncodingMixed { encoding, first_line, lines } => {
                write!(f, "UTF-8, but {} not (the first is line {first_line}): read as {encoding}", counted(*lines, "line is", "lines are"))
            }
            Self::Replaced { byte, count } => {
                write!(f, "{} in place of unreadable bytes", counted(*count, "� stands", "� stand"))?;
                byte.map_or(Ok(()), |byte| write!(f, " (the first at byte {byte})"))
            }
            Self::LineEndsKept => f.write_str("too large to rewrite: line ends stay \\r\\n"),
            Self::AsPlainText { why } => write!(f, "read as plain text: {why}"),
            Self::PagesWithoutText { pages } => {
                write!(f, "no text on {} (scanned or empty)", counted_list("page", "pages", pages))
            }
            Self::GlyphsWithoutText { first_page, count } => {
                write!(
                    f,
                    "{} in a font that does not say what they are (from page {first_page})",
                    counted(*count, "glyph is", "glyphs are")
                )
            }
            Self::GlyphsByCode { count } => {
                write!(f, "{} read by the codes of a font without names, which is a guess", counted(*count, "glyph was", "glyphs were"))
            }
            Self::Images { count } => write!(f, "{} left out", counted(*count, "picture was", "pictures were")),
            Self::LeftOut { what } => write!(f, "left out: {what}"),
            Self::NoHeader { sheet } if sheet.is_empty() => f.write_str("no header row: cells stand without names"),
            Self::NoHeader { sheet } => write!(f, "sheet {sheet} has no header row: cells stand without names"),
            Self::RaggedRows { first_row, rows } => {
                write!(f, "{} more or fewer cells than the header (the first is row {first_row})", counted(*rows, "row has", "rows have"))
            }
            Self::CoarseMarks { grain } => write!(f, "very large: places are told by {grain}"),
            Self::HiddenSheet { sheet } => write!(f, "sheet {sheet} is hidden; it was read all the same"),
            Self::FormulasWithoutValue { sheet, count } => {
                write!(
                    f,
                    "sheet {sheet}: {} without a stored value: open and save it in a spreadsheet program",
                    counted(*count, "formula is", "formulas are")
                )
            }
            Self::PartLost { part, why } => write!(f, "{part} could not be read: {why}"),
        }
    }
}

fn counted(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// `page 3`, `pages 1-4, 9`.
fn counted_list(one: &str, many: &str, numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &n in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => ranges.push((n, n)),
        }
    }
    let said: Vec<String> = ranges.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
    format!("{} {}", if numbers.len() == 1 { one } else { many }, said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_read_as_sentences() {
        let said = |remark: Remark| remark.to_string();
        assert_eq!(said(Remark::PagesWithoutText { pages: vec![1, 2, 3, 9] }), "no text on pages 1-3, 9 (scanned or empty)");
        assert_eq!(said(Remark::Images { count: 1 }), "1 picture was left out");
        assert_eq!(said(Remark::Replaced { byte: Some(7), count: 2 }), "2 � stand in place of unreadable bytes (the first at byte 7)");
    }
}

use serde::{Deserialize, Serialize};

use crate::Text;

/// A document as text, with the way back from a byte of it to the place a person would look for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Unique within a run.
    pub id: String,
    /// Where it came from: a path or an address.
    pub source: String,
    /// Its normalised text.
    pub text: Text,
    /// Pages, headings, cells: ascending by `start`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// Whether the text's lines are the source's lines, so that `path:line` can be said.
    #[serde(default)]
    pub lines: bool,
    /// Whether it is source code: a place in it is said as `path:line`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub code: bool,
    /// Byte offsets where the text is best cut, ascending. Only advice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<usize>,
}

impl Document {
    /// Plain text, whose lines are the source's lines.
    pub fn plain(id: impl Into<String>, source: impl Into<String>, text: impl Into<Text>) -> Self {
        Self { id: id.into(), source: source.into(), text: text.into(), marks: Vec::new(), lines: true, code: false, cuts: Vec::new() }
    }

    /// The last mark of each kind at or before `byte` (page, heading, cell…), coarsest first, then the line where lines are known.
    pub fn places(&self, byte: usize) -> Vec<Place> {
        let end = self.marks.partition_point(|mark| mark.start <= byte);
        let mut places: Vec<Place> = Vec::new();
        for mark in self.marks[..end].iter().rev() {
            if !places.iter().any(|place| std::mem::discriminant(place) == std::mem::discriminant(&mark.place)) {
                places.push(mark.place.clone());
            }
        }
        places.sort_by_key(Place::grain);
        if self.lines {
            places.push(Place::Line { line: u32::try_from(self.text.line(byte)).unwrap_or(u32::MAX) });
        }
        places
    }

    /// The place of `byte` in words, in a document that is called `name`: `report.pdf, page 12`, `notes.txt, line 40`, and of source code
    /// `src/main.rs:40`.
    pub fn place(&self, name: &str, byte: usize) -> String {
        let places = self.places(byte);
        if let (true, [Place::Line { line }]) = (self.code, &places[..]) {
            return format!("{name}:{line}");
        }
        let said = places.iter().map(Place::to_string).filter(|place| !place.is_empty());
        std::iter::once(name.to_string()).chain(said).collect::<Vec<_>>().join(", ")
    }
}

/// From byte `start` on, up to the next mark of the same kind, the text stands at `place`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// First byte.
    pub start: usize,
    /// Where that is in the source.
    pub place: Place,
}

/// Where in its source a piece of text stands, in the words of the source's format. Numbers count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Place {
    /// A page of a PDF.
    Page {
        /// Counted from the first page, whatever is printed on it.
        page: u32,
    },
    /// Under these headings, outermost first. An empty path is what stands before the first heading.
    Heading {
        /// The headings' texts.
        path: Vec<String>,
    },
    /// A cell of a table or a sheet.
    Cell {
        /// The sheet's name; empty where there is only one table.
        sheet: String,
        /// Row.
        row: u32,
        /// Column.
        column: u32,
    },
    /// A JSON pointer (RFC 6901).
    Pointer {
        /// For example `/people/0/name`.
        pointer: String,
    },
    /// A line of the source file.
    Line {
        /// Its number.
        line: u32,
    },
}

impl Place {
    fn grain(&self) -> u8 {
        match self {
            Self::Page { .. } => 0,
            Self::Heading { .. } => 1,
            Self::Cell { .. } => 2,
            Self::Pointer { .. } => 3,
            Self::Line { .. } => 4,
        }
    }
}

/// As people write it: `page 12`, `Results › Table 3`, `Sheet1!B7`, `/people/0/name`, `line 40`.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Page { page } => write!(f, "page {page}"),
            Self::Heading { path } => f.write_str(&path.join(" › ")),
            Self::Cell { sheet, row, column } => {
                if !sheet.is_empty() {
                    write!(f, "{sheet}!")?;
                }
                write!(f, "{}{row}", column_letters(*column))
            }
            Self::Pointer { pointer } => f.write_str(pointer),
            Self::Line { line } => write!(f, "line {line}"),
        }
    }
}

/// 1 → A, 26 → Z, 27 → AA.
fn column_letters(mut column: u32) -> String {
    let mut letters = Vec::new();
    while column > 0 {
        letters.push(b'A' + ((column - 1) % 26) as u8);
        column = (column - 1) / 26;
    }
    letters.iter().rev().map(|&b| char::from(b)).collect()
}

/// A range of UTF-8 bytes of a document's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The document's id.
    pub doc: String,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_last_of_each_kind_and_the_line() {
        let heading = |words: &[&str]| Place::Heading { path: words.iter().map(|w| w.to_string()).collect() };
        let document = Document {
            marks: vec![
                Mark { start: 0, place: Place::Page { page: 1 } },
                Mark { start: 2, place: heading(&["A"]) },
                Mark { start: 4, place: Place::Page { page: 2 } },
                Mark { start: 8, place: heading(&["A", "B"]) },
            ],
            ..Document::plain("d", "d.md", "one\ntwo\nthree")
        };
        let said = |byte| document.places(byte).iter().map(Place::to_string).collect::<Vec<_>>();
        assert_eq!(said(0), ["page 1", "line 1"]);
        assert_eq!(said(4), ["page 2", "A", "line 2"]);
        assert_eq!(said(13), ["page 2", "A › B", "line 3"]);
        assert_eq!(document.place("d.md", 4), "d.md, page 2, A, line 2");
        let code = Document { code: true, ..Document::plain("d", "d.rs", "one\ntwo\nthree") };
        assert_eq!(code.place("src/d.rs", 4), "src/d.rs:2");
    }

    #[test]
    fn columns_count_like_a_sheet() {
        let cell = |column| Place::Cell { sheet: "S".into(), row: 7, column }.to_string();
        assert_eq!([cell(1), cell(26), cell(27), cell(703)], ["S!A7", "S!Z7", "S!AA7", "S!AAA7"]);
    }

    #[test]
    fn documents_without_marks_read_as_they_always_did() {
        let old = r#"{"id":"a","source":"a.txt","text":"hello"}"#;
        let document: Document = serde_json::from_str(old).unwrap();
        assert_eq!((&*document.text, document.marks.len(), document.lines), ("hello", 0, false));
        assert!(!document.code && document.cuts.is_empty());
        let line = serde_json::to_string(&Document::plain("a", "a.txt", "x")).unwrap();
        assert_eq!(line, r#"{"id":"a","source":"a.txt","text":"x","lines":true}"#);
        assert_eq!(serde_json::from_str::<Document>(&line).unwrap(), Document::plain("a", "a.txt", "x"));
        let code = Document { code: true, cuts: vec![2], ..Document::plain("a", "a.rs", "x\ny") };
        assert_eq!(serde_json::from_str::<Document>(&serde_json::to_string(&code).unwrap()).unwrap(), code);
    }
}

//! Bytes of a file → normalised text, with the way back to page, heading, cell, pointer or line.
//!
//! [`convert`] takes a name and bytes and needs no file system, so it runs in the browser as well. `open` (feature `folders`, native
//! only) takes a path: a file, a folder, a source tree. [`code_cuts`] says where source code may be cut.
//!
//! | format | text | marks |
//! | --- | --- | --- |
//! | text, source code | the file's own, decoded, line ends as `\n` | lines |
//! | Markdown | the file's own | headings, lines |
//! | HTML | main text, headings as `#`, cells joined by ` \| ` | headings |
//! | PDF | lines in reading order, columns of tables two spaces apart | pages |
//! | DOCX, EPUB | as HTML | headings |
//! | CSV, TSV | each row with its header: `name: Ada \| born: 1815` | cells (and lines, where rows are lines) |
//! | XLSX | each row as in CSV, numbers as the sheet shows them, dates as 2024-03-05 | sheets as headings, cells |
//! | JSON, JSON Lines | an outline, numbers as written | pointers; lines |
//!
//! Nothing is dropped in silence: what a person should know about a conversion is in [`Converted::remarks`], and what cannot be read
//! is a [`DocumentError`] that says what to do.

mod bytes;
mod code;
#[cfg(feature = "csv")]
mod csv;
mod decode;
#[cfg(feature = "docx")]
mod docx;
#[cfg(feature = "epub")]
mod epub;
mod error;
#[cfg(all(feature = "folders", not(target_family = "wasm")))]
mod folders;
mod format;
#[cfg(feature = "html")]
mod html;
#[cfg(feature = "json")]
mod json;
pub mod limits;
#[cfg(feature = "markdown")]
mod markdown;
#[cfg(feature = "zip")]
mod package;
#[cfg(feature = "pdf")]
mod pdf;
mod plain;
mod remark;
#[cfg(feature = "xlsx")]
mod sheet;
#[cfg(any(feature = "csv", feature = "xlsx"))]
mod table;
mod writer;
#[cfg(any(feature = "docx", feature = "epub", feature = "xlsx"))]
mod xml;

pub use bytes::Bytes;
pub use code::code_cuts;
use data::{Document, Text};
pub use error::DocumentError;
#[cfg(all(feature = "folders", not(target_family = "wasm")))]
pub use folders::{Opened, Skip, Skipped, open};
pub use format::{Format, detect};
pub use remark::Remark;

/// What this crate's functions return.
pub type Result<T, E = DocumentError> = std::result::Result<T, E>;

/// A document read from a file of some format.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// Its text and marks. `id` and `source` are the name it was given under.
    pub document: Document,
    /// What it was.
    pub format: Format,
    /// The title the file itself states, where it does.
    pub title: Option<String>,
    /// What a person should know: pages without text, a guessed encoding, images left out.
    pub remarks: Vec<Remark>,
}

/// Reads a file's bytes as text.
///
/// What the bytes are is told from themselves first and from `name`'s extension second, so `name` may be a bare file name. Bytes that
/// are UTF-8 text already are shared, not copied. Time is linear in what is read, within [`limits`].
pub fn convert(name: &str, bytes: impl Into<Bytes>) -> Result<Converted> {
    let bytes = bytes.into();
    let format = detect(name, &bytes)?;
    let converted = match format {
        Format::Text | Format::Code => plain::convert(bytes)?,
        #[cfg(feature = "markdown")]
        Format::Markdown => markdown::convert(bytes)?,
        #[cfg(feature = "html")]
        Format::Html => html::convert(&bytes)?,
        #[cfg(feature = "csv")]
        Format::Csv | Format::Tsv => csv::convert(bytes, format)?,
        #[cfg(feature = "json")]
        Format::Json | Format::JsonLines => json::convert(bytes, format)?,
        #[cfg(feature = "pdf")]
        Format::Pdf => pdf::convert(&bytes)?,
        #[cfg(feature = "docx")]
        Format::Docx => docx::convert(&bytes)?,
        #[cfg(feature = "epub")]
        Format::Epub => epub::convert(&bytes)?,
        #[cfg(feature = "xlsx")]
        Format::Spreadsheet => sheet::convert(&bytes)?,
        // Without their feature, formats that are text are read as text.
        #[allow(unreachable_patterns)]
        format if format.is_text() => plain::convert(bytes)?,
        #[allow(unreachable_patterns)]
        format => return Err(DocumentError::NotBuiltIn { format }),
    };
    let writer::Written { text, marks, lines, title, remarks } = converted;
    let code = format == Format::Code;
    let cuts = if code { code_cuts(name, &text).unwrap_or_default() } else { Vec::new() };
    let document = Document { id: name.to_string(), source: name.to_string(), text, marks, lines, code, cuts };
    Ok(Converted { document, format, title, remarks })
}

/// A plain text as [`convert`] would read it, without what reads other formats and encodings: a program that calls nothing else has none of
/// that in it, which makes the page small.
///
/// `None` for bytes that are not UTF-8, or that may be of another format: [`convert`] tells.
pub fn plain(name: &str, bytes: impl Into<Bytes>) -> Option<Document> {
    let bytes = bytes.into();
    if !format::is_surely_text(name, &bytes) {
        return None;
    }
    let skip = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
    let mut remarks = Vec::new();
    let text: Text = plain::line_ends(bytes.text_from(skip)?, &mut remarks);
    let name = name.to_string();
    let document = Document { id: name.clone(), source: name, text, marks: Vec::new(), lines: true, code: false, cuts: Vec::new() };
    remarks.is_empty().then_some(document)
}

/// UTF-8's byte order mark.
const BOM: &[u8] = b"\xef\xbb\xbf";

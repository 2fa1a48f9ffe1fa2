//! What a file may ask for. Past a limit the answer is a [`DocumentError`](crate::DocumentError) that says so, or, where the format is
//! text itself, that text with a [`Remark`](crate::Remark).

/// Bytes of text a conversion may write. Text that is already UTF-8 is not written and has no such limit.
pub const MAX_TEXT: usize = 256 << 20;

/// Bytes of a CSV, JSON or HTML file that is taken apart; CSV and JSON above it are read as the text they are.
pub const MAX_PARSED: usize = 64 << 20;

/// Bytes that one member of an archive (docx, epub, xlsx) may unpack to.
pub const MAX_MEMBER: u64 = 128 << 20;

/// Bytes that all members of an archive may unpack to.
pub const MAX_UNPACKED: u64 = 512 << 20;

/// How deep HTML elements may lie in one another.
pub const MAX_HTML_DEPTH: usize = 512;

/// How deep XML elements of a docx or epub may lie in one another.
pub const MAX_XML_DEPTH: usize = 512;

/// How deep JSON is taken apart; what lies deeper is kept as the JSON it is.
pub const MAX_JSON_DEPTH: usize = 64;

/// Marks at the finest grain (cells, pointers); above it a table has one mark a row, and JSON marks only its outer values.
pub const MAX_FINE_MARKS: usize = 100_000;

/// Columns that a row of a table may have.
pub const MAX_COLUMNS: usize = 16_384;

/// Glyphs that one page of a PDF may show.
pub const MAX_GLYPHS: usize = 1_000_000;

/// Pages that a PDF may have.
pub const MAX_PAGES: usize = 50_000;

use std::fmt;

use crate::{Bytes, DocumentError, Result};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Plain text.
    Text,
    /// Source code, read as plain text.
    Code,
    /// Markdown.
    Markdown,
    /// HTML or XHTML.
    Html,
    /// Comma-separated values (or with semicolons, bars…).
    Csv,
    /// Tab-separated values.
    Tsv,
    /// JSON.
    Json,
    /// A JSON value a line.
    JsonLines,
    /// PDF.
    Pdf,
    /// Word's document.
    Docx,
    /// An electronic book.
    Epub,
    /// A workbook: xlsx, xlsm.
    Spreadsheet,
}

impl Format {
    /// Whether a file of this format is itself text that can be read without taking it apart.
    pub fn is_text(self) -> bool {
        !matches!(self, Self::Pdf | Self::Docx | Self::Epub | Self::Spreadsheet)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Code => "source code",
            Self::Markdown => "Markdown",
            Self::Html => "HTML",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Json => "JSON",
            Self::JsonLines => "JSON Lines",
            Self::Pdf => "PDF",
            Self::Docx => "DOCX",
            Self::Epub => "EPUB",
            Self::Spreadsheet => "spreadsheet",
        })
    }
}

/// Tells a file's format: from its bytes where they say, from `name`'s extension among the formats that are text.
///
/// Bytes that are neither text nor a format read here are an error that says what they look like, whatever the name says.
pub fn detect(name: &str, bytes: &Bytes) -> Result<Format> {
    let extension = extension(name);
    if let Some(format) = binary(bytes, &extension)? {
        return Ok(format);
    }
    if !crate::decode::looks_like_text(bytes) {
        return Err(not_text(binary_looks(bytes), None));
    }
    Ok(match &*extension {
        "md" | "markdown" | "mdown" | "mkd" => Format::Markdown,
        "html" | "htm" | "xhtml" | "xht" => Format::Html,
        "csv" => Format::Csv,
        "tsv" | "tab" => Format::Tsv,
        "json" | "geojson" | "jsonld" | "webmanifest" | "ipynb" => Format::Json,
        "jsonl" | "ndjson" => Format::JsonLines,
        extension if crate::code::is_code(extension) => Format::Code,
        "" => sniffed(bytes),
        _ => Format::Text,
    })
}

/// Whether [`detect`] is certain to say [`Format::Text`]; `false` where it would have to look closer.
pub(crate) fn is_surely_text(name: &str, bytes: &[u8]) -> bool {
    // Short names of plain text; what has none may be a page or JSON.
    let named = matches!(&*extension(name), "txt" | "text" | "log" | "srt");
    let looks_binary = MAGIC.iter().any(|(magic, ..)| bytes.starts_with(magic))
        || [b"PK\x03\x04".as_slice(), b"PK\x05\x06", b"RIFF"].iter().any(|magic| bytes.starts_with(magic))
        || trimmed(&bytes[..bytes.len().min(1024)]).starts_with(b"%PDF-")
        || bytes.get(4..8) == Some(b"ftyp")
        || bytes.get(257..262) == Some(b"ustar");
    // UTF-16 is full of zeros; of other control characters a text has few.
    let controls = || bytes.iter().filter(|&&b| b < 9 || (14..32).contains(&b)).count();
    named && !looks_binary && controls() == 0
}

/// What follows the last dot of a path's last part, in lower case; empty without one.
pub(crate) fn extension(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match file.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension.to_ascii_lowercase(),
        _ => String::new(),
    }
}

/// Text without an extension: pages and JSON say what they are.
fn sniffed(bytes: &[u8]) -> Format {
    let start = trimmed(bytes);
    let begins = |with: &str| start.get(..with.len()).is_some_and(|s| s.eq_ignore_ascii_case(with.as_bytes()));
    if begins("<!doctype html") || begins("<html") {
        return Format::Html;
    }
    #[cfg(feature = "json")]
    if matches!(start.first(), Some(b'{' | b'[')) && crate::json::is_json(bytes) {
        return Format::Json;
    }
    Format::Text
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start()
}

fn not_text(looks: &str, advice: Option<&str>) -> DocumentError {
    DocumentError::NotText { looks: looks.to_string(), advice: advice.map(str::to_string) }
}

/// The formats whose first bytes say what they are: those read here, and an error for those that are not.
fn binary(bytes: &[u8], extension: &str) -> Result<Option<Format>> {
    // PDF readers look for the header in the first kilobyte; text about PDFs does not begin with it.
    let head = &bytes[..bytes.len().min(1024)];
    if trimmed(head).starts_with(b"%PDF-") || (extension == "pdf" && head.windows(5).any(|w| w == b"%PDF-")) {
        return Ok(Some(Format::Pdf));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return zipped(bytes, extension).map(Some);
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Err(compound(bytes, extension));
    }
    if let Some((_, looks, advice)) = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Err(not_text(looks, (!advice.is_empty()).then_some(*advice)));
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Err(not_text("an MP4 or HEIC file", None));
    }
    if bytes.starts_with(b"RIFF") && bytes.len() > 12 {
        return Err(not_text(if &bytes[8..12] == b"WEBP" { "a WebP image" } else { "a sound or video file" }, None));
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Err(not_text("a tar archive", Some(UNPACK)));
    }
    Ok(None)
}

const UNPACK: &str = "unpack it, and read what is inside";
const AS_XLSX: &str = "save it as .xlsx or .csv, and read that";
const AS_DOCX: &str = "save it as .docx or .pdf, and read that";

/// First bytes, what they mean, what to do.
const MAGIC: &[(&[u8], &str, &str)] = &[
    (b"\x89PNG\r\n", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF87a", "a GIF image", ""),
    (b"GIF89a", "a GIF image", ""),
    (b"II*\0", "a TIFF image", "run it through OCR first"),
    (b"MM\0*", "a TIFF image", "run it through OCR first"),
    (b"\x7fELF", "a program (ELF)", ""),
    (b"MZ\x90\0", "a program (Windows)", ""),
    (b"\xcf\xfa\xed\xfe", "a program (macOS)", ""),
    (b"\xca\xfe\xba\xbe", "a program (Java or macOS)", ""),
    (b"\0asm", "a program (WebAssembly)", ""),
    (b"\x1f\x8b", "a gzip file", UNPACK),
    (b"BZh", "a bzip2 file", UNPACK),
    (b"\xfd7zXZ\0", "an xz file", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"SQLite format 3\0", "an SQLite database", "export its tables as CSV, and read those"),
    (b"PAR1", "a Parquet file", "export it as CSV, and read that"),
    (b"GGUF", "a model's weights (GGUF)", ""),
    (b"{\\rtf", "RTF", AS_DOCX),
    (b"%!PS", "PostScript", "make a PDF of it (ps2pdf), and read that"),
    (b"AT&TFORM", "a DjVu file", "make a PDF of it, and read that"),
    (b"ITSF", "a Windows help file", ""),
    (b"OggS", "a sound or video file", ""),
    (b"ID3", "a sound file", ""),
    (b"fLaC", "a sound file", ""),
    (b"\x1aE\xdf\xa3", "a video file", ""),
    (b"\0\0\xfe\xff", "UTF-32 text", "save it as UTF-8, and read that"),
    (b"\xff\xfe\0\0", "UTF-32 text", "save it as UTF-8, and read that"),
];

/// What a binary without a known beginning is called.
fn binary_looks(bytes: &[u8]) -> &'static str {
    if bytes.iter().all(|&b| b == 0) { "a file of zeros" } else { "binary data" }
}

/// A zip archive: its members say what it is.
#[cfg(feature = "zip")]
fn zipped(bytes: &[u8], extension: &str) -> Result<Format> {
    let members = match crate::package::member_names(bytes) {
        Ok(members) => members,
        // The directory at its end is gone; the name says what it was.
        Err(error) => {
            let format = match extension {
                "docx" | "docm" => Format::Docx,
                "epub" => Format::Epub,
                "xlsx" | "xlsm" => Format::Spreadsheet,
                _ => return Err(not_text("a damaged zip archive", None)),
            };
            return Err(DocumentError::damaged(format, error));
        }
    };
    let has = |name: &str| members.iter().any(|member| member == name);
    let under = |folder: &str| members.iter().any(|member| member.starts_with(folder));
    if has("[Content_Types].xml") && under("word/") {
        Ok(Format::Docx)
    } else if has("xl/workbook.bin") {
        Err(not_text("a binary Excel workbook (.xlsb)", Some(AS_XLSX)))
    } else if has("[Content_Types].xml") && under("xl/") {
        Ok(Format::Spreadsheet)
    } else if has("META-INF/container.xml") {
        Ok(Format::Epub)
    } else if has("content.xml") && has("mimetype") {
        match crate::package::mimetype(bytes).as_deref() {
            Some(kind) if kind.contains("spreadsheet") => Err(not_text("an OpenDocument spreadsheet", Some(AS_XLSX))),
            _ => Err(not_text("an OpenDocument file", Some(AS_DOCX))),
        }
    } else if under("ppt/") {
        Err(not_text("a PowerPoint presentation", Some("save it as .pdf, and read that")))
    } else if has("META-INF/MANIFEST.MF") {
        Err(not_text("a Java archive", None))
    } else {
        Err(not_text("a zip archive", Some(UNPACK)))
    }
}

#[cfg(not(feature = "zip"))]
fn zipped(_: &[u8], _: &str) -> Result<Format> {
    Err(not_text("a zip archive, Office document or electronic book", Some("this build reads none of them")))
}

/// An OLE compound file: old Office formats, and encrypted new ones. Its directory holds stream names in UTF-16.
fn compound(bytes: &[u8], extension: &str) -> DocumentError {
    let head = &bytes[..bytes.len().min(1 << 20)];
    let holds = |name: &str| {
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let tail = &bytes[bytes.len() - bytes.len().min(1 << 20)..];
        [head, tail].iter().any(|part| part.windows(wide.len()).any(|w| w == wide))
    };
    if holds("EncryptedPackage") {
        let format = if extension.starts_with("xls") { Format::Spreadsheet } else { Format::Docx };
        return DocumentError::Encrypted { format };
    }
    if holds("Workbook") || holds("Book") {
        return not_text("an old Excel workbook (.xls)", Some(AS_XLSX));
    }
    if holds("WordDocument") {
        return not_text("an old Word document (.doc)", Some(AS_DOCX));
    }
    not_text("an old Office file", Some(AS_DOCX))
}

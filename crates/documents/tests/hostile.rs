//! Files that mean harm, or are broken: each ends in bounded time with text or an error, never with a panic.

use std::io::Write;
use std::time::{Duration, Instant};

use documents::{DocumentError, code_cuts, convert, plain};
use proptest::prelude::*;

const FIXTURES: [&str; 11] = [
    "report.pdf",
    "half-scanned.pdf",
    "encrypted.pdf",
    "owner-locked.pdf",
    "minutes.docx",
    "sales.xlsx",
    "rivers.epub",
    "tide.html",
    "people.csv",
    "people.json",
    "notes.md",
];

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Converts, and checks what must hold of every answer.
fn survives(name: &str, bytes: Vec<u8>) {
    let mut time = Duration::MAX;
    // Small files take milliseconds. Twice if need be: a machine that was paused in between is not our fault.
    for _ in 0..2 {
        let start = Instant::now();
        let answer = convert(name, bytes.clone());
        time = start.elapsed();
        if let Ok(converted) = answer {
            let document = converted.document;
            assert!(document.marks.windows(2).all(|pair| pair[0].start <= pair[1].start));
            assert!(document.marks.iter().all(|mark| document.text.is_char_boundary(mark.start)));
            converted.remarks.iter().for_each(|remark| assert!(!remark.to_string().is_empty()));
        }
        if time < Duration::from_secs(10) {
            return;
        }
    }
    panic!("{name} takes {time:?}");
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn docx(document: &[u8]) -> Vec<u8> {
    zipped(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", document)])
}

#[test]
fn truncations_survive() {
    for name in FIXTURES {
        let whole = bytes(name);
        let step = (whole.len() / 97).max(1);
        for end in (0..whole.len()).step_by(step).chain(whole.len().saturating_sub(40)..whole.len()) {
            survives(name, whole[..end].to_vec());
        }
    }
}

#[test]
fn a_zip_bomb_is_refused() {
    let bomb = docx(&vec![b' '; 200 << 20]);
    assert!(bomb.len() < 1 << 20);
    let error = convert("bomb.docx", bomb).unwrap_err();
    assert!(matches!(error, DocumentError::TooLarge { .. }), "{error}");
}

#[test]
fn billion_laughs_stay_words() {
    let mut xml = String::from("<!DOCTYPE x [<!ENTITY a \"ha\">");
    for (one, other) in ["b", "c", "d", "e", "f"].iter().zip(["a", "b", "c", "d", "e"]) {
        xml.push_str(&format!("<!ENTITY {one} \"{}\">", format!("&{other};").repeat(10)));
    }
    xml.push_str("]><document><p><t>&f;&amp;&#65;</t></p></document>");
    let converted = convert("x.docx", docx(xml.as_bytes())).unwrap();
    assert_eq!(&*converted.document.text, "&f;&A\n");
}

#[test]
fn deep_nesting_is_refused() {
    let deep = docx(format!("<document>{}</document>", "<p>".repeat(100_000)).as_bytes());
    assert!(matches!(convert("x.docx", deep), Err(DocumentError::TooLarge { .. })));
    survives("x.json", format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000)).into_bytes());
    survives("x.json", "{\"a\":".repeat(50_000).into_bytes());
    survives("x.html", "<table><tr><td>".repeat(20_000).into_bytes());
    survives("x.html", "<b><p>".repeat(20_000).into_bytes());
    survives("x.md", "> ".repeat(20_000).into_bytes());
    survives("x.md", "[".repeat(50_000).into_bytes());
    survives("x.csv", "\"".repeat(100_001).into_bytes());
    survives("x.csv", ",".repeat(100_000).into_bytes());
}

#[test]
fn a_far_cell_takes_no_room() {
    let sheet = "<worksheet><sheetData><row r=\"1\"><c r=\"A1\"><v>1</v></c></row><row r=\"1048576\"><c r=\"XFD1048576\"><v>2</v></c></row></sheetData></worksheet>";
    let book = zipped(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("_rels/.rels", b"<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"),
        ("xl/workbook.xml", b"<workbook xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"S\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"),
        ("xl/_rels/workbook.xml.rels", b"<Relationships><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ]);
    let converted = convert("x.xlsx", book).unwrap();
    assert_eq!(converted.document.marks.last().unwrap().place.to_string(), "S!XFD1048576");
}

/// Forms that each draw the next ten times: ten to the power of what the file says.
#[test]
fn a_pdf_of_forms_in_forms_is_refused() {
    let mut pdf = String::from(
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
        3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>endobj\n\
        4 0 obj<</Length 5>>stream\n/F Do\nendstream endobj\n",
    );
    for n in 5..25 {
        let content = "/F Do ".repeat(10);
        pdf.push_str(&format!(
            "{n} 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 99 99]/Resources<</XObject<</F {} 0 R>>>>/Length {}>>stream\n{content}\nendstream endobj\n",
            n + 1,
            content.len()
        ));
    }
    pdf.push_str("25 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 3>>stream\nq Q\nendstream endobj\ntrailer<</Root 1 0 R>>\n");
    let answer = convert("x.pdf", pdf.into_bytes());
    assert!(matches!(answer, Err(DocumentError::TooLarge { .. })), "{answer:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_survive(which in 0..FIXTURES.len(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..12)) {
        let mut bytes = bytes(FIXTURES[which]);
        for (at, byte, kind) in edits {
            if bytes.is_empty() { break; }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ => { let end = (at + usize::from(byte)).min(bytes.len()); let part = bytes[at..end].to_vec(); bytes.splice(at..at, part); }
            }
        }
        survives(FIXTURES[which], bytes);
    }

    /// Mutations inside the archive's parts, which a mutated archive's checksums would catch before a parser sees them.
    #[test]
    fn mutated_parts_survive(which in 0..3usize, member in any::<prop::sample::Index>(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let name = ["minutes.docx", "sales.xlsx", "rivers.epub"][which];
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes(name))).unwrap();
        let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
        for index in 0..archive.len() {
            let mut part = archive.by_index(index).unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut part, &mut bytes).unwrap();
            parts.push((part.name().unwrap().into_owned(), bytes));
        }
        parts.retain(|(name, bytes)| !bytes.is_empty() && (name.ends_with("ml") || name.ends_with(".rels") || name.ends_with(".opf") || name.ends_with(".ncx")));
        let index = member.index(parts.len());
        for (at, byte) in edits {
            let at = at.index(parts[index].1.len());
            parts[index].1[at] = byte;
        }
        let members: Vec<(&str, &[u8])> = parts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        survives(name, zipped(&members));
    }

    #[test]
    fn random_bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..600), extension in prop::sample::select(vec!["txt", "md", "html", "csv", "tsv", "json", "jsonl", "pdf", "docx", "xlsx", "epub", "rs", ""])) {
        survives(&format!("x.{extension}"), bytes);
    }

    #[test]
    fn random_text_survives(text in "\\PC{0,300}|[\\[\\]{}\",:a1\\\\\n]{0,200}|[<>/a-d =\"&;!\\-]{0,300}", extension in prop::sample::select(vec!["txt", "md", "html", "csv", "tsv", "json", "jsonl"])) {
        survives(&format!("x.{extension}"), text.into_bytes());
    }

    /// What `plain` takes, `convert` reads as the same document, and has nothing to remark.
    #[test]
    fn plain_is_convert(start in prop::sample::select(vec![&b""[..], b"%PDF-", b"PK\x03\x04", b"\xef\xbb\xbf", b"\xff\xfe", b"MZ\x90\0", b"RIFF", b"{\\rtf", b"<html", b"aaaaftyp"]),
        text in "\\PC{0,200}|[a-z \r\n]{0,200}|[ -~\x00\x1b]{0,100}", tail in prop::collection::vec(any::<u8>(), 0..3),
        name in prop::sample::select(vec!["x.txt", "x.log", "x.TXT", "x.md", "x.pdf", "x.rs", "x", ".txt", "a/b.txt"]))
    {
        let bytes: Vec<u8> = [start, text.as_bytes(), &tail].concat();
        if let Some(document) = plain(name, bytes.clone()) {
            let converted = convert(name, bytes).unwrap();
            prop_assert_eq!(document, converted.document);
            prop_assert!(converted.remarks.is_empty());
        }
    }

    #[test]
    fn cuts_are_borders(text in "[a-z{}()\\[\\]'\"`/*#\\\\\n é;@=$r\\-]{0,400}", extension in prop::sample::select(vec!["rs", "py", "js", "go", "c", "cs", "java", "kt", "sh", "rb", "lua", "php"])) {
        let cuts = code_cuts(&format!("x.{extension}"), &text).unwrap();
        prop_assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(cuts.iter().all(|&cut| cut > 0 && cut < text.len() && text.as_bytes()[cut - 1] == b'\n'));
    }
}

/// `FUZZ_CASES` of each kind; few by default, because the numbers of a build server are many.
fn cases() -> u32 {
    std::env::var("FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

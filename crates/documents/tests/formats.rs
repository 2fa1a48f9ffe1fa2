//! Every format against what an independent program says is in the file (`fixtures/truth.json`, written by `fixtures/make.py`).

use data::Place;
use documents::{Converted, DocumentError, Format, Remark, convert};
use serde_json::Value;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn read(name: &str) -> Converted {
    convert(name, bytes(name)).unwrap()
}

fn truth() -> Value {
    serde_json::from_slice(&bytes("truth.json")).unwrap()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Where the document says the byte stands, as people write it.
fn places(converted: &Converted, byte: usize) -> Vec<String> {
    converted.document.places(byte).iter().map(Place::to_string).collect()
}

/// The one place of a quote.
fn find(converted: &Converted, quote: &str) -> usize {
    let text = &*converted.document.text;
    assert_eq!(text.matches(quote).count(), 1, "{quote:?} in {text}");
    text.find(quote).unwrap()
}

fn marks_ascend(converted: &Converted) {
    let document = &converted.document;
    assert!(document.marks.windows(2).all(|pair| pair[0].start <= pair[1].start));
    assert!(document.marks.iter().all(|mark| document.text.is_char_boundary(mark.start)));
}

/// The text from a page's mark to the next.
fn page(converted: &Converted, number: u32) -> &str {
    let marks = &converted.document.marks;
    let at = marks.iter().position(|mark| mark.place == Place::Page { page: number }).unwrap();
    let end = marks.get(at + 1).map_or(converted.document.text.len(), |mark| mark.start);
    &converted.document.text[marks[at].start..end]
}

#[test]
fn pdf_pages_say_what_poppler_says() {
    for (name, pages) in truth()["pdf"].as_object().unwrap() {
        let converted = read(name);
        marks_ascend(&converted);
        for (index, said) in pages.as_array().unwrap().iter().enumerate() {
            let (mut ours, said) = (words(page(&converted, index as u32 + 1)), said.as_str().unwrap());
            let mut theirs = words(said);
            ours.sort_unstable();
            theirs.sort_unstable();
            assert_eq!(ours, theirs, "{name}, page {}", index + 1);
        }
    }
    assert_eq!(read("report.pdf").title.as_deref(), Some("Harbour report 1887"));
}

#[test]
fn pdf_tables_keep_their_rows_and_columns_their_order() {
    let converted = read("report.pdf");
    let table: Vec<Vec<&str>> =
        page(&converted, 1).lines().map(words).filter(|words| words.first().is_some_and(|word| word.starts_with('Q'))).collect();
    assert_eq!(table[0], ["Quarter", "Ships", "Tonnage", "Duty", "paid"]);
    assert_eq!(table[2], ["Q2", "114", "12,702", "£906.50"]);
    assert_eq!(table.len(), 5);
    // Reading order: the left column's last paragraph before the right column's first, over two pages.
    let two = words(&converted.document.text).join(" ");
    let at: Vec<usize> = (0..11).map(|k| two.find(&format!("(b{k}.0)")).unwrap()).collect();
    assert!(at.windows(2).all(|pair| pair[0] < pair[1]), "{two}");
    assert!(two.contains("(b4.1) The harbour office kept a ledger of every ship that came in under the north light."), "{two}");
}

#[test]
fn pdfs_without_text_or_key_say_so() {
    assert!(matches!(convert("scanned.pdf", bytes("scanned.pdf")), Err(DocumentError::NoText { pages: 1 })));
    assert!(matches!(convert("x", bytes("encrypted.pdf")), Err(DocumentError::Encrypted { format: Format::Pdf })));
    assert_eq!(read("half-scanned.pdf").remarks, [Remark::PagesWithoutText { pages: vec![2] }]);
    assert_eq!(read("owner-locked.pdf").document.text.trim(), "Anybody reads this.");
    let damaged = convert("x.pdf", b"%PDF-1.7\nnothing more".as_slice());
    assert!(matches!(damaged, Err(DocumentError::Damaged { format: Format::Pdf, .. })), "{damaged:?}");
}

#[test]
fn docx_says_what_python_docx_says() {
    let converted = read("minutes.docx");
    marks_ascend(&converted);
    let truth = &truth()["docx"];
    let mut path: Vec<(u32, String)> = Vec::new();
    for paragraph in truth["paragraphs"].as_array().unwrap() {
        let (style, text) = (paragraph[0].as_str().unwrap(), paragraph[1].as_str().unwrap());
        if style == "Title" || style.starts_with("Heading") {
            let level = style.strip_prefix("Heading ").map_or(1, |n| n.parse().unwrap());
            path.retain(|(open, _)| *open < level);
            path.push((level, text.to_string()));
        }
        let under = path.iter().map(|(_, words)| words.clone()).collect::<Vec<_>>().join(" › ");
        let line = converted.document.text.lines().position(|line| line.trim_start_matches(['#', '-', ' ']) == text);
        let line = line.unwrap_or_else(|| panic!("{text:?} in {}", &*converted.document.text));
        let byte: usize = converted.document.text.split_inclusive('\n').take(line).map(str::len).sum();
        assert_eq!(places(&converted, byte), [under], "{text}");
    }
    for row in truth["tables"][0].as_array().unwrap() {
        let cells: Vec<&str> = row.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect();
        find(&converted, &format!("{}\n", cells.join(" | ")));
    }
    assert_eq!((converted.title.as_deref(), converted.format), (Some("Minutes"), Format::Docx));
}

#[test]
fn xlsx_cells_stand_where_openpyxl_says() {
    let converted = read("sales.xlsx");
    marks_ascend(&converted);
    let shown = |value: &str, format: &str| match (value.parse::<f64>(), format) {
        (Ok(value), "0.0%") => format!("{:.1}%", value * 100.0),
        (Ok(value), "#,##0.00") => {
            let text = format!("{value:.2}");
            let (int, frac) = text.split_once('.').unwrap();
            format!("{},{}.{frac}", &int[..int.len() - 3], &int[int.len() - 3..])
        }
        (Ok(value), _) => format!("{}", (value * 1e12).round() / 1e12),
        _ => value.replace('\n', " ").replace("True", "TRUE"),
    };
    let mut seen = 0;
    for cell in truth()["xlsx"].as_array().unwrap() {
        let [sheet, at, value, format] = [0, 1, 2, 3].map(|k| cell[k].as_str().unwrap());
        let place = format!("{sheet}!{at}");
        let marks = &converted.document.marks;
        let index = marks.iter().position(|mark| mark.place.to_string() == place).unwrap_or_else(|| panic!("{place}"));
        let text = &converted.document.text[marks[index].start..];
        let cell = text.split(['|', '\n']).next().unwrap().trim();
        let value = shown(value, format);
        assert!(cell == value || cell.ends_with(&format!(": {value}")), "{place}: {cell:?} is not {value:?}");
        seen += 1;
    }
    let cells = converted.document.marks.iter().filter(|mark| matches!(mark.place, Place::Cell { .. })).count();
    assert_eq!(cells, seen);
    assert!(converted.document.text.contains("Region: North | Day: 2024-03-05 | Units: 1000 | Share: 25.0% | Revenue: 12,345.68"));
    assert!(converted.remarks.contains(&Remark::HiddenSheet { sheet: "Notes & more".into() }), "{:?}", converted.remarks);
    assert!(converted.remarks.contains(&Remark::FormulasWithoutValue { sheet: "Sales".into(), count: 1 }), "{:?}", converted.remarks);
}

#[test]
fn epub_chapters_come_in_reading_order() {
    let converted = read("rivers.epub");
    marks_ascend(&converted);
    let ours: Vec<&str> = words(&converted.document.text).into_iter().filter(|word| !matches!(*word, "#" | "|")).collect();
    let mut theirs: Vec<String> = Vec::new();
    for (index, chapter) in truth()["epub"].as_array().unwrap().iter().enumerate() {
        // A chapter without a heading gets the title that the table of contents has for it.
        theirs.extend((index == 2).then(|| "Afterword".to_string()));
        theirs.extend(chapter.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_string()));
    }
    assert_eq!(ours, theirs);
    assert_eq!(places(&converted, find(&converted, "Nobody crossed")), ["Summer"]);
    assert_eq!(places(&converted, find(&converted, "No heading here")), ["Afterword"]);
    find(&converted, "1 | 2.4 m\n");
    assert_eq!(converted.title.as_deref(), Some("The Two Rivers"));
}

#[test]
fn html_says_what_a_reader_sees() {
    let converted = read("tide.html");
    marks_ascend(&converted);
    let text = "# Tide & time\n\nHigh water at\u{a0}noon — 4.2\u{2009}m.\n\n## Table\n\nPort | High\nLeith | 5.1\nCork | 3.9\n\n\
        ## Code\n\nif x < 2:\n    go()\n\n- one\n- two bold\n";
    assert_eq!(&*converted.document.text, text);
    assert_eq!(places(&converted, find(&converted, "Cork")), ["Tide & time › Table"]);
    assert_eq!(converted.title.as_deref(), Some("Tide & time"));
}

#[test]
fn csv_cells_stand_where_python_says() {
    let converted = read("people.csv");
    marks_ascend(&converted);
    let truth = truth();
    let rows = truth["csv"].as_array().unwrap();
    for (row, cells) in rows.iter().enumerate() {
        for (column, cell) in cells.as_array().unwrap().iter().enumerate() {
            let cell = cell.as_str().unwrap().replace('\n', " ");
            let place = Place::Cell { sheet: String::new(), row: row as u32 + 1, column: column as u32 + 1 };
            let mark = converted.document.marks.iter().find(|mark| mark.place == place);
            assert_eq!(mark.is_some(), !cell.is_empty(), "{place}");
            let Some(mark) = mark else { continue };
            let expected = if row == 0 { cell } else { format!("{}: {cell}", rows[0][column].as_str().unwrap()) };
            assert!(converted.document.text[mark.start..].starts_with(&expected), "{place}: {expected}");
        }
    }
    // A cell over two lines: rows are not lines.
    assert!(!converted.document.lines);
}

#[test]
fn json_values_stand_at_their_pointers() {
    let converted = read("people.json");
    marks_ascend(&converted);
    let mut seen = 0;
    for pair in truth()["json"].as_array().unwrap() {
        let (pointer, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        let byte = converted.document.text.find(value).unwrap_or_else(|| panic!("{value}"));
        let said = places(&converted, byte).remove(0);
        // A short list stands on one line, at the list's pointer.
        assert!(pointer == said || pointer.starts_with(&format!("{said}/")), "{value}: {said} is not {pointer}");
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn markdown_stays_as_it_is() {
    let converted = read("notes.md");
    assert_eq!(converted.document.text.as_bytes(), bytes("notes.md"));
    assert_eq!(places(&converted, find(&converted, "- item")), ["Notes › Deep one", "line 7"]);
    assert_eq!(places(&converted, find(&converted, "End.")), ["Notes › Setext", "line 16"]);
}

#[test]
fn content_decides_over_the_name() {
    for (fixture, format) in
        [("report.pdf", Format::Pdf), ("minutes.docx", Format::Docx), ("sales.xlsx", Format::Spreadsheet), ("rivers.epub", Format::Epub)]
    {
        assert_eq!(convert("misnamed.txt", bytes(fixture)).unwrap().format, format);
    }
    let png = convert("notes.txt", b"\x89PNG\r\n\x1a\n\0\0".as_slice()).unwrap_err();
    assert_eq!(png.to_string(), "this looks like a PNG image, which is not read here");
    let gzip = convert("log", b"\x1f\x8b\x08\0".as_slice()).unwrap_err();
    assert_eq!(gzip.to_string(), "this looks like a gzip file, which is not read here: unpack it, and read what is inside");
    assert_eq!(convert("page", b"<!DOCTYPE html><p>x".as_slice()).unwrap().format, Format::Html);
    assert_eq!(convert("data", b" {\"a\": 1}".as_slice()).unwrap().format, Format::Json);
    assert_eq!(convert("a.rs", b"fn main() {}\n".as_slice()).unwrap().format, Format::Code);
    assert_eq!(convert("empty.txt", b"".as_slice()).unwrap().document.text.len(), 0);
}

#[test]
fn plain_text_needs_no_other_format() {
    let document = documents::plain("a.txt", b"\xef\xbb\xbfone\r\ntwo\n".as_slice()).unwrap();
    assert_eq!(&*document.text, "one\ntwo\n");
    for (name, bytes) in [
        ("a.md", &b"# one"[..]),
        ("a", b"one"),
        ("a.txt", b"Caf\xe9"),
        ("a.txt", b"%PDF-1.7"),
        ("a.txt", b"a\0b"),
        ("a.txt", b"\xff\xfeh\0i\0"),
    ] {
        assert!(documents::plain(name, bytes).is_none(), "{name}");
    }
}

//! DOCX: paragraphs, headings by their style, lists, tables, notes. Deleted text (tracked changes) is left out, inserted text is text.

use std::collections::HashMap;

use crate::package::Package;
use crate::writer::{Writer, Written};
use crate::xml::{Attributes, Xml, visit};
use crate::{Bytes, DocumentError, Format, Remark, Result};

const DOCX: Format = Format::Docx;

pub fn convert(bytes: &Bytes) -> Result<Written> {
    let mut package = Package::open(bytes, DOCX)?;
    let mut writer = Writer::new(DOCX);
    let main = main_part(&mut package)?;
    let folder = main.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let body = package.text(&main)?.ok_or_else(|| DocumentError::damaged(DOCX, format!("{main} is missing")))?;
    let levels = match package.text(&format!("{folder}styles.xml"))? {
        Some(styles) => heading_levels(&styles)?,
        None => HashMap::new(),
    };
    if let Some(core) = package.text("docProps/core.xml")? {
        writer.title = element_text(&core, "title")?;
    }
    let mut body_reader = Body::new(&levels, &mut writer);
    visit(&body, DOCX, |xml| body_reader.see(xml))?;
    let images = body_reader.images;
    for (part, words) in [("footnotes.xml", "Footnotes"), ("endnotes.xml", "Endnotes")] {
        if let Some(notes) = package.text(&format!("{folder}{part}"))? {
            write_notes(&notes, words, &mut writer)?;
        }
    }
    if images > 0 {
        writer.remarks.push(Remark::Images { count: images });
    }
    let names = package.names();
    let has = |start: &str| names.iter().any(|name| name.strip_prefix(&*folder).is_some_and(|name| name.starts_with(start)));
    let left: Vec<&str> = [("comments.xml", "comments"), ("header", "headers"), ("footer", "footers")]
        .iter()
        .filter(|(start, _)| has(start))
        .map(|(_, what)| *what)
        .collect();
    if !left.is_empty() {
        writer.remarks.push(Remark::LeftOut { what: left.join(", ") });
    }
    writer.finish(false)
}

/// The part that the package says is the document.
fn main_part(package: &mut Package) -> Result<String> {
    let mut main = None;
    if let Some(rels) = package.text("_rels/.rels")? {
        visit(&rels, DOCX, |xml| {
            if let Xml::Open("Relationship", attributes) = xml
                && attributes.get("Type").is_some_and(|kind| kind.ends_with("/officeDocument"))
            {
                main = attributes.get("Target");
            }
            Ok(())
        })?;
    }
    Ok(main.map_or("word/document.xml".to_string(), |main| main.trim_start_matches('/').to_string()))
}

/// The text of the first element of this name.
fn element_text(xml: &str, name: &str) -> Result<Option<String>> {
    let (mut inside, mut text) = (false, String::new());
    visit(xml, DOCX, |event| {
        match event {
            Xml::Open(open, _) if open == name => inside = true,
            Xml::Close(close) if close == name => inside = false,
            Xml::Text(part) if inside => text.push_str(part),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Some(text.trim().to_string()).filter(|text| !text.is_empty()))
}

/// Style id → heading level from 1, from the style's name, its outline level, or the style it builds on.
fn heading_levels(styles: &str) -> Result<HashMap<String, u8>> {
    let mut own: HashMap<String, Option<u8>> = HashMap::new();
    let mut based: HashMap<String, String> = HashMap::new();
    let mut style = String::new();
    visit(styles, DOCX, |xml| {
        match xml {
            Xml::Open("style", attributes) => {
                style = attributes.get("styleId").unwrap_or_default();
                own.insert(style.clone(), None);
            }
            Xml::Open("name", attributes) => {
                let name = attributes.get("val").unwrap_or_default().to_ascii_lowercase();
                let level = if name == "title" { Some(1) } else { name.strip_prefix("heading ").and_then(|n| n.trim().parse().ok()) };
                if let Some(level) = level {
                    own.insert(style.clone(), Some(level));
                }
            }
            Xml::Open("outlineLvl", attributes) => {
                if let Some(level) = outline_level(&attributes) {
                    own.entry(style.clone()).or_default().get_or_insert(level);
                }
            }
            Xml::Open("basedOn", attributes) => {
                based.insert(style.clone(), attributes.get("val").unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    })?;
    let level = |style: &String| {
        let chain = std::iter::successors(Some(style), |style| based.get(*style)).take(20);
        chain.filter_map(|style| own.get(style).copied().flatten()).next()
    };
    Ok(own.keys().filter_map(|style| level(style).map(|level| (style.clone(), level))).collect())
}

/// Levels count from 0 in the file, and 9 is body text.
fn outline_level(attributes: &Attributes<'_>) -> Option<u8> {
    attributes.get("val")?.parse::<u8>().ok().filter(|level| *level < 9).map(|level| level + 1)
}

#[derive(Default)]
struct Paragraph {
    text: String,
    level: Option<u8>,
    /// How deep in a list, from 0.
    item: Option<usize>,
}

/// Writes a body's paragraphs and tables as they end.
struct Body<'a> {
    levels: &'a HashMap<String, u8>,
    writer: &'a mut Writer,
    /// Open paragraphs: a text box stands inside one.
    paragraphs: Vec<Paragraph>,
    /// The row being read of each open table: its cells' texts.
    tables: Vec<Vec<String>>,
    /// Elements open inside one that is left out, itself included.
    skipped: usize,
    in_text: bool,
    after_item: bool,
    images: usize,
}

impl<'a> Body<'a> {
    fn new(levels: &'a HashMap<String, u8>, writer: &'a mut Writer) -> Self {
        let (paragraphs, tables) = (Vec::new(), Vec::new());
        Self { levels, writer, paragraphs, tables, skipped: 0, in_text: false, after_item: false, images: 0 }
    }

    fn see(&mut self, xml: Xml<'_>) -> Result<()> {
        match xml {
            Xml::Open(name, attributes) => {
                // What a program without newer features would show instead, and what was moved away.
                if self.skipped > 0 || matches!(name, "Fallback" | "moveFrom") {
                    self.skipped += 1;
                } else {
                    self.open(name, &attributes);
                }
            }
            Xml::Close(_) if self.skipped > 0 => self.skipped -= 1,
            Xml::Close(name) => self.close(name)?,
            Xml::Text(text) if self.in_text && self.skipped == 0 => self.push(text),
            Xml::Text(_) => {}
        }
        Ok(())
    }

    fn open(&mut self, name: &str, attributes: &Attributes<'_>) {
        match name {
            "p" => self.paragraphs.push(Paragraph::default()),
            "t" => self.in_text = true,
            "tab" if !self.paragraphs.last().is_none_or(|p| p.text.is_empty()) => self.push("\t"),
            "br" | "cr" => self.push("\n"),
            "noBreakHyphen" => self.push("-"),
            "footnoteReference" | "endnoteReference" => {
                if let Some(id) = attributes.get("id") {
                    self.push(&format!("[^{id}]"));
                }
            }
            "pic" | "imagedata" => self.images += 1,
            "tbl" => {
                if self.tables.is_empty() {
                    self.writer.blank_line();
                }
                self.tables.push(Vec::new());
            }
            "tc" => {
                if let Some(row) = self.tables.last_mut() {
                    row.push(String::new());
                }
            }
            "pStyle" | "outlineLvl" | "numPr" | "ilvl" => {
                let Some(paragraph) = self.paragraphs.last_mut() else { return };
                match name {
                    "pStyle" => {
                        let style = attributes.get("val").unwrap_or_default();
                        paragraph.level = self.levels.get(&style).copied();
                        // Without a list of its own a paragraph can be an item by its style.
                        if style.to_ascii_lowercase().starts_with("list") {
                            paragraph.item.get_or_insert(0);
                        }
                    }
                    "outlineLvl" => paragraph.level = outline_level(attributes).or(paragraph.level),
                    "numPr" => paragraph.item = Some(0),
                    _ => paragraph.item = attributes.get("val").and_then(|level| level.parse().ok()).or(paragraph.item),
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) -> Result<()> {
        match name {
            "t" => self.in_text = false,
            "p" => {
                if let Some(paragraph) = self.paragraphs.pop() {
                    self.paragraph(paragraph);
                }
                self.writer.check()?;
            }
            "tr" => {
                let row = self.tables.last_mut().map(std::mem::take).unwrap_or_default();
                if self.tables.len() > 1 {
                    // A table in a cell is words of that cell.
                    let outer = self.tables.len() - 2;
                    if let Some(cell) = self.tables[outer].last_mut() {
                        join(cell, &row.join(" "));
                    }
                } else if row.iter().any(|cell| !cell.is_empty()) {
                    self.writer.push(&row.join(" | "));
                    self.writer.push("\n");
                }
            }
            "tbl" => {
                self.tables.pop();
                if self.tables.is_empty() {
                    self.writer.blank_line();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push_str(text);
        }
    }

    fn paragraph(&mut self, paragraph: Paragraph) {
        let text = paragraph.text.trim();
        if let Some(cell) = self.tables.last_mut().and_then(|row| row.last_mut()) {
            return join(cell, &text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        if text.is_empty() {
            return;
        }
        let after_item = std::mem::replace(&mut self.after_item, false);
        match (paragraph.level, paragraph.item) {
            (Some(level), _) => self.writer.heading(level, &text.split_whitespace().collect::<Vec<_>>().join(" ")),
            (None, Some(depth)) => {
                if after_item {
                    self.writer.new_line()
                } else {
                    self.writer.blank_line()
                }
                self.writer.push(&"  ".repeat(depth.min(8)));
                self.writer.push("- ");
                self.writer.push(text);
                self.after_item = true;
            }
            (None, None) => {
                self.writer.blank_line();
                self.writer.push(text);
                self.writer.blank_line();
            }
        }
    }
}

fn join(cell: &mut String, words: &str) {
    if !cell.is_empty() && !words.is_empty() {
        cell.push(' ');
    }
    cell.push_str(words);
}

/// Writes notes under a heading of their own, each behind its number.
fn write_notes(xml: &str, words: &str, writer: &mut Writer) -> Result<()> {
    let mut notes: Vec<(String, String)> = Vec::new();
    let mut in_text = false;
    visit(xml, DOCX, |event| {
        match event {
            // Separators are notes too, of a type.
            Xml::Open("footnote" | "endnote", attributes) => {
                let id = if attributes.get("type").is_some_and(|kind| kind != "normal") {
                    String::new()
                } else {
                    attributes.get("id").unwrap_or_default()
                };
                notes.push((id, String::new()));
            }
            Xml::Open("t", _) => in_text = true,
            Xml::Close("t") => in_text = false,
            Xml::Close("p") => notes.iter_mut().last().into_iter().for_each(|(_, text)| text.push(' ')),
            Xml::Text(part) if in_text => notes.iter_mut().last().into_iter().for_each(|(_, text)| text.push_str(part)),
            _ => {}
        }
        Ok(())
    })?;
    notes.retain(|(id, text)| !id.is_empty() && !text.trim().is_empty());
    if notes.is_empty() {
        return Ok(());
    }
    writer.close_headings(1);
    writer.heading(1, words);
    for (id, text) in notes {
        writer.push(&format!("[^{id}]: {}\n", text.trim()));
    }
    writer.check()
}

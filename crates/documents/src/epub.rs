//! EPUB: the book's chapters in reading order, each read as HTML.

use std::collections::HashMap;

use crate::html::{self, tree};
use crate::package::{Package, resolve};
use crate::writer::{Writer, Written};
use crate::xml::{Xml, visit};
use crate::{Bytes, DocumentError, Format, Remark, Result};

const EPUB: Format = Format::Epub;

pub fn convert(bytes: &Bytes) -> Result<Written> {
    let mut package = Package::open(bytes, EPUB)?;
    let mut writer = Writer::new(EPUB);
    let book = Book::open(&mut package)?;
    writer.title = book.title.clone();
    let encrypted = encrypted(&mut package)?;
    let titles = chapter_titles(&mut package, &book)?;
    let (mut images, mut read) = (0, 0);
    for part in &book.spine {
        if encrypted.contains(part) {
            return Err(DocumentError::Encrypted { format: EPUB });
        }
        let Some(text) = package.text(part)? else {
            writer.remarks.push(Remark::PartLost { part: part.clone(), why: "it is missing".into() });
            continue;
        };
        let page = tree::parse(&tree::expand_empty(&text), EPUB)?;
        writer.blank_line();
        // A part without a heading goes on with the chapter before.
        let has_heading = page.find(|node| matches!(node.name(), "h1" | "h2" | "h3" | "h4" | "h5" | "h6")).is_some();
        if has_heading {
            writer.close_headings(1);
        } else if let Some(title) = titles.get(part) {
            writer.heading(1, title);
        }
        images += html::write_body(&page, &mut writer)?.images;
        read += 1;
    }
    if read == 0 {
        return Err(DocumentError::damaged(EPUB, "none of the parts that its reading order names can be found"));
    }
    if images > 0 {
        writer.remarks.push(Remark::Images { count: images });
    }
    writer.finish(false)
}

/// What the book's package document says. Paths are from the archive's root.
struct Book {
    title: Option<String>,
    spine: Vec<String>,
    /// The table of contents: EPUB 3's page, else EPUB 2's NCX.
    contents: Option<String>,
}

impl Book {
    fn open(package: &mut Package) -> Result<Self> {
        let container = package.text("META-INF/container.xml")?.unwrap_or_default();
        let mut path = None;
        visit(&container, EPUB, |xml| {
            if let Xml::Open("rootfile", attributes) = xml
                && path.is_none()
            {
                path = attributes.get("full-path");
            }
            Ok(())
        })?;
        let path = path.ok_or_else(|| DocumentError::damaged(EPUB, "META-INF/container.xml names no book"))?;
        let opf = package.text(&path)?.ok_or_else(|| DocumentError::damaged(EPUB, format!("{path} is missing")))?;
        let (mut items, mut spine, mut nav, mut ncx) = (HashMap::new(), Vec::new(), None, None);
        let (mut title, mut in_title) = (String::new(), false);
        visit(&opf, EPUB, |xml| {
            match xml {
                Xml::Open("title", _) => in_title = title.is_empty(),
                Xml::Close("title") => in_title = false,
                Xml::Text(part) if in_title => title.push_str(part),
                Xml::Open("item", attributes) => {
                    let href = resolve(&path, &attributes.get("href").unwrap_or_default());
                    if attributes.get("properties").is_some_and(|all| all.split(' ').any(|one| one == "nav")) {
                        nav = Some(href.clone());
                    }
                    if attributes.get("media-type").as_deref() == Some("application/x-dtbncx+xml") {
                        ncx = Some(href.clone());
                    }
                    items.insert(attributes.get("id").unwrap_or_default(), href);
                }
                Xml::Open("itemref", attributes) => spine.push(attributes.get("idref").unwrap_or_default()),
                _ => {}
            }
            Ok(())
        })?;
        let spine = spine.iter().filter_map(|id| items.get(id).cloned()).filter(|part| Some(part) != nav.as_ref()).collect();
        Ok(Self { title: Some(title.trim().to_string()).filter(|title| !title.is_empty()), spine, contents: nav.or(ncx) })
    }
}

/// Part → what the table of contents calls it.
fn chapter_titles(package: &mut Package, book: &Book) -> Result<HashMap<String, String>> {
    let mut titles = HashMap::new();
    let Some(path) = &book.contents else { return Ok(titles) };
    let Some(contents) = package.text(path)? else { return Ok(titles) };
    if path.ends_with(".ncx") {
        let (mut words, mut in_text) = (String::new(), false);
        visit(&contents, EPUB, |xml| {
            match xml {
                Xml::Open("text", _) => (words, in_text) = (String::new(), true),
                Xml::Close("text") => in_text = false,
                Xml::Text(part) if in_text => words.push_str(part),
                Xml::Open("content", attributes) => {
                    let part = resolve(path, &attributes.get("src").unwrap_or_default());
                    titles.entry(part).or_insert_with(|| tree::collapsed(&words));
                }
                _ => {}
            }
            Ok(())
        })?;
        return Ok(titles);
    }
    let page = tree::parse(&tree::expand_empty(&contents), EPUB)?;
    for link in page.all(|node| node.is("a")) {
        let words = page.words(link);
        if let Some(href) = page.node(link).attr("href").filter(|_| !words.is_empty()) {
            titles.entry(resolve(path, href)).or_insert(words);
        }
    }
    Ok(titles)
}

/// Parts that are encrypted. Obfuscated fonts are listed in the same place; they are no chapters.
fn encrypted(package: &mut Package) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    if let Some(list) = package.text("META-INF/encryption.xml")? {
        visit(&list, EPUB, |xml| {
            if let Xml::Open("CipherReference", attributes) = xml {
                parts.push(resolve("", &attributes.get("URI").unwrap_or_default()));
            }
            Ok(())
        })?;
    }
    Ok(parts)
}

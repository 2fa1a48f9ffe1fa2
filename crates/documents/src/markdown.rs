//! Markdown: the text stays the file's own; headings become marks.

use data::{Mark, Place};
use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use crate::writer::{Written, step_into};
use crate::{Bytes, Result, plain};

pub fn convert(bytes: Bytes) -> Result<Written> {
    let mut written = plain::convert(bytes)?;
    if written.text.len() > crate::limits::MAX_PARSED {
        written.remarks.push(crate::Remark::AsPlainText { why: "too large to look for headings".into() });
        return Ok(written);
    }
    let (marks, title) = headings(&written.text);
    (written.marks, written.title) = (marks, title);
    Ok(written)
}

/// A mark where each heading starts, and the first heading of the first level.
fn headings(text: &str) -> (Vec<Mark>, Option<String>) {
    let options = Options::ENABLE_TABLES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS | Options::ENABLE_HEADING_ATTRIBUTES;
    let (mut marks, mut title, mut open) = (Vec::new(), None, Vec::new());
    // Where the heading being read starts, and its words so far.
    let mut heading: Option<(usize, String)> = None;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some((range.start, String::new())),
            Event::End(TagEnd::Heading(level)) => {
                if let Some((start, words)) = heading.take() {
                    let words = words.trim().to_string();
                    if level == HeadingLevel::H1 && title.is_none() {
                        title = Some(words.clone());
                    }
                    marks.push(Mark { start, place: Place::Heading { path: step_into(&mut open, level as u8, &words) } });
                }
            }
            Event::Start(Tag::MetadataBlock(MetadataBlockKind::YamlStyle)) => {}
            Event::Text(part) | Event::Code(part) => {
                if let Some((_, words)) = &mut heading {
                    words.push_str(&part);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some((_, words)) = &mut heading {
                    words.push(' ');
                }
            }
            _ => {}
        }
    }
    (marks, title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_marked_where_they_start() {
        let text = "---\ntitle: x\n---\nintro\n\n# One `code`\n\ntext\n\n```\n# no heading\n```\n\nTwo\n---\n\n# Three\n";
        let written = convert(text.as_bytes().into()).unwrap();
        assert_eq!(&*written.text, text);
        let said: Vec<_> = written.marks.iter().map(|m| (&text[m.start..m.start + 3], m.place.to_string())).collect();
        assert_eq!(said, [("# O", "One code".into()), ("Two", "One code › Two".into()), ("# T", "Three".into())]);
        assert_eq!(written.title.as_deref(), Some("One code"));
    }
}

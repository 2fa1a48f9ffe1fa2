//! XML as a stream of what docx, epub and xlsx need. Entities a document declares itself are not expanded.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::limits::MAX_XML_DEPTH;
use crate::{DocumentError, Format, Result};

/// What comes next. Names are without their prefix.
pub enum Xml<'a> {
    Open(&'a str, Attributes<'a>),
    Close(&'a str),
    Text(&'a str),
}

/// An element's attributes.
pub struct Attributes<'a>(&'a BytesStart<'a>);

impl Attributes<'_> {
    /// The value of the attribute of this name, whatever its prefix.
    pub fn get(&self, name: &str) -> Option<String> {
        let attribute = self.0.attributes().with_checks(false).flatten().find(|a| a.key.local_name().into_inner() == name)?;
        attribute.normalized_value(XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
    }
}

/// Visits a document's elements and text in order.
pub fn visit(xml: &str, format: Format, mut see: impl FnMut(Xml<'_>) -> Result<()>) -> Result<()> {
    let mut reader = Reader::from_str(xml);
    let mut depth = 0usize;
    loop {
        let event = reader
            .read_event()
            .map_err(|error| DocumentError::damaged(format, format!("XML, at byte {}: {error}", reader.error_position())))?;
        match event {
            Event::Start(start) => {
                depth += 1;
                if depth > MAX_XML_DEPTH {
                    return Err(DocumentError::TooLarge { format, what: "elements inside one another", limit: MAX_XML_DEPTH as u64 });
                }
                see(Xml::Open(start.local_name().into_inner(), Attributes(&start)))?;
            }
            Event::Empty(start) => {
                see(Xml::Open(start.local_name().into_inner(), Attributes(&start)))?;
                see(Xml::Close(start.local_name().into_inner()))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                see(Xml::Close(end.local_name().into_inner()))?;
            }
            Event::Text(text) => see(Xml::Text(&text.xml10_content()))?,
            Event::CData(text) => see(Xml::Text(&text.xml10_content()))?,
            Event::GeneralRef(name) => {
                let c = match &*name {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => name.resolve_char_ref().ok().flatten(),
                };
                match c {
                    Some(c) => see(Xml::Text(c.encode_utf8(&mut [0; 4])))?,
                    None => see(Xml::Text(&format!("&{};", &*name)))?,
                }
            }
            Event::Eof if depth > 0 => return Err(DocumentError::damaged(format, "XML that ends inside an element")),
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

//! Text with where it comes from: each sentence marked as quoted, supported or without a source, and never as more than it is.

use agent::Sources;
use data::{Citation, Document, Span, Support};
use serde_json::{Value, json};

/// The documents, indexed, and what was read of them so far.
pub struct Cited<'a> {
    documents: &'a [Document],
    sources: Sources,
    read: Vec<Span>,
    /// The memory that was cited last: sentences that stand keep their source.
    last: (String, Vec<Citation>),
}

impl<'a> Cited<'a> {
    /// Indexes the documents.
    pub fn new(documents: &'a [Document]) -> Self {
        Self { documents, sources: Sources::new(documents), read: Vec::new(), last: Default::default() }
    }

    /// More of the documents was read.
    pub fn add(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.read.extend(spans);
    }

    /// Everything was read.
    pub fn add_all(&mut self) {
        self.read = self.documents.iter().map(|d| Span { doc: d.id.clone(), start: 0, end: d.text.len() }).collect();
    }

    /// The memory's citations; sentences that stood in the memory before keep theirs.
    pub fn memory(&mut self, text: &str) -> &[Citation] {
        let citations = self.sources.recite((&self.last.0, &self.last.1), text, Some(&self.read));
        self.last = (text.to_string(), citations);
        &self.last.1
    }

    /// A text's citations.
    pub fn cite(&self, text: &str) -> Vec<Citation> {
        self.sources.cite_read(text, &self.read)
    }

    /// The text with a mark after each sentence that claims something.
    pub fn marked(&self, text: &str, citations: &[Citation]) -> String {
        let mut out = String::new();
        let mut at = 0;
        for citation in citations.iter().filter(|citation| citation.support != Support::NoClaim) {
            out.push_str(&text[at..citation.end]);
            out.push_str(&format!(" [{}]", self.mark(citation)));
            at = citation.end;
        }
        out.push_str(&text[at..]);
        out
    }

    /// `quoted: a.txt, line 3`, `supported 0.71: a.txt, line 3`, `no source found`.
    fn mark(&self, citation: &Citation) -> String {
        let place = citation.source.as_ref().and_then(|source| {
            let document = self.documents.iter().find(|document| document.id == source.span.doc)?;
            let (byte, whole) = (source.span.start, document.place(&document.source, source.span.start));
            // The name of the only document goes without saying, but for `path:line`.
            let alone = self.documents.len() == 1 && !document.code && !document.places(byte).is_empty();
            Some(if alone { whole[document.source.len()..].trim_start_matches(", ").to_string() } else { whole })
        });
        match (citation.support, place) {
            (Support::Quoted, Some(place)) => format!("quoted: {place}"),
            (Support::Supported { score }, Some(place)) => format!("supported {score:.2}: {place}"),
            _ => "no source found".into(),
        }
    }

    /// The sources of a text, a line each, with the document's own words.
    pub fn sources(&self, text: &str, citations: &[Citation]) -> Vec<String> {
        let quote = |citation: &Citation| {
            let source = citation.source.as_ref()?;
            let document = self.documents.iter().find(|document| document.id == source.span.doc)?;
            let sentence = text.get(citation.start..citation.end)?.trim();
            Some(format!("{sentence}\n    {} {}", self.class(citation), agent::describe(citation, document)))
        };
        citations.iter().filter_map(quote).collect()
    }

    fn class(&self, citation: &Citation) -> String {
        match citation.support {
            Support::Quoted => "quoted:".into(),
            Support::Supported { score } => format!("supported ({score:.2}):"),
            Support::NotFound | Support::NoClaim => String::new(),
        }
    }

    /// As JSON: the record, and the places a person would look for.
    pub fn json(&self, citations: &[Citation]) -> Value {
        let places = |citation: &Citation| {
            let source = citation.source.as_ref()?;
            let document = self.documents.iter().find(|document| document.id == source.span.doc)?;
            Some(document.places(source.span.start).iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        citations.iter().map(|citation| json!({"citation": citation, "places": places(citation).unwrap_or_default()})).collect()
    }
}

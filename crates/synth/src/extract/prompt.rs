//! What a model is asked: the document first, so that requests about one document share all but their ends.

use data::{ChatRequest, JsonSchema, Message, Sampling};
use serde_json::{Map, Value, json};
use tokenizer::{Tokenizer, TokenizerError};

use super::ExtractSettings;
use super::reply::Field;
use crate::corpus::Source;
use crate::estimate::Size;

const FACTS: &str = include_str!("../prompts/facts.txt");
const SCHEMA: &str = include_str!("../prompts/schema.txt");
const FIELDS: &str = include_str!("../prompts/fields.txt");
const AFTER: &str = "\n\n---\n\n";

/// A request without its documents: what is asked at its end.
pub struct Prompt {
    name: &'static str,
    /// What follows the documents.
    pub ask: String,
    form: Value,
}

impl Prompt {
    /// For the facts of one document.
    pub fn facts(title: &str, settings: &ExtractSettings) -> Self {
        let fact = object([
            ("subject", json!({"type": ["string", "null"]})),
            ("relation", json!({"type": "string"})),
            ("value", json!({"type": "string"})),
            ("quote", json!({"type": "string"})),
        ]);
        // Small models end the list after one or two unless they may not.
        let (least, most) = (settings.max_facts.div_ceil(2), settings.max_facts);
        let form = object([("facts", json!({"type": "array", "minItems": least, "maxItems": most, "items": fact}))]);
        let ask = FACTS.replace("{max}", &settings.max_facts.to_string()).replace("{title}", title);
        Self { name: "facts", ask, form }
    }

    /// For the fields that `count` documents have in common, at most `most`.
    pub fn schema(count: usize, most: usize) -> Self {
        let field = object([("name", json!({"type": "string"})), ("type", json!({"type": "string", "enum": ["number", "date", "text"]}))]);
        let form = object([("fields", json!({"type": "array", "items": field}))]);
        Self { name: "schema", ask: SCHEMA.replace("{count}", &count.to_string()).replace("{max}", &most.to_string()), form }
    }

    /// For what one document states of these fields.
    pub fn fields(title: &str, fields: &[Field]) -> Self {
        let text = || json!({"type": ["string", "null"]});
        let values = fields.iter().map(|field| (field.name.as_str(), object([("value", text()), ("quote", text())])));
        let line = |field: &Field| match field.kind.as_str() {
            "" => format!("- {}", field.name),
            kind => format!("- {} ({kind})", field.name),
        };
        let lines: Vec<String> = fields.iter().map(line).collect();
        let form = object([("values", object(values))]);
        Self { name: "fields", ask: FIELDS.replace("{fields}", &lines.join("\n")).replace("{title}", title), form }
    }

    /// The request with documents before it. `schema` holds the reply to its form: only models that can are asked so.
    pub fn request(&self, documents: &str, seed: u64, reply: usize, schema: bool) -> ChatRequest {
        let message = Message::user(format!("{documents}{AFTER}{}", self.ask));
        let mut request = ChatRequest::new(vec![message], Sampling { seed, ..Sampling::PAPER }, reply);
        request.schema = schema.then(|| JsonSchema { name: self.name.into(), schema: self.form.clone() });
        request
    }

    /// What is asked, without the documents.
    pub fn size(&self, tokenizer: &Tokenizer) -> Result<Size, TokenizerError> {
        let text = format!("{AFTER}{}", self.ask);
        Ok(Size { bytes: text.len(), tokens: tokenizer.count(&text)? })
    }
}

/// An object all of whose entries must be there, and no others.
fn object<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let entries: Map<String, Value> = entries.into_iter().map(|(name, form)| (name.to_string(), form)).collect();
    let names: Vec<&String> = entries.keys().collect();
    json!({"type": "object", "required": names, "properties": entries, "additionalProperties": false})
}

/// What stands before a document's text.
pub fn head(title: &str) -> String {
    format!("Document: {title}\n\n")
}

/// A document as it is asked about.
pub fn document(source: &Source) -> String {
    let text: &str = &source.document.text;
    format!("{}{text}", head(&source.title))
}

/// The beginning of a document, of about so many tokens, measured by its length in bytes.
pub fn beginning(source: &Source, tokens: usize) -> String {
    let text: &str = &source.document.text;
    let end = if tokens >= source.tokens { text.len() } else { text.len() * tokens / source.tokens };
    format!("{}{}", head(&source.title), &text[..text.floor_char_boundary(end)])
}

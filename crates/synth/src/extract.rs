//! Facts made by a model, for documents whose form says none outright: prose (§3.2.1 and §3.2.2; CorpusQA's extraction by vote).
//!
//! ```text
//! document ─► facts asked for ─────────────► each with its quote ─┐
//! group ─► fields ─► each document, `tries` times ─► majority ────┼─► stands there, word for word ─► one name per relation, entity ─► Fact
//! ```
//!
//! What a model says is kept only where it stands in the document: the quote, and in it the value. A [`Fact`] made here names the
//! call that found it, and the graph and the tables take it as they take any other.

mod cluster;
mod kept;
mod place;
mod prompt;
mod reply;
mod run;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use data::{ChatModel, ChatReply, ChatRequest, Fact};
use serde::Deserialize;
use serde_json::{Value, json};
use tokenizer::Tokenizer;

pub(crate) use cluster::{entity_key, relation_key};
pub(crate) use kept::said_by;

use reply::Dropped;

/// Fields of a table that is not told which.
const MAX_FIELDS: usize = 12;

/// What a model is asked about documents that state no facts outright.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtractSettings {
    /// Ask each document for its facts.
    pub facts: bool,
    /// Ask the documents of each group for the fields of one table.
    pub table: bool,
    /// The table's fields; where there are none the model proposes them from a sample of the group.
    pub fields: Vec<String>,
    /// How often each document is asked for its fields. More than half must agree.
    pub tries: usize,
    /// Tokens of a reply.
    pub reply: usize,
    /// Facts of a document, at most.
    pub max_facts: usize,
}

impl Default for ExtractSettings {
    fn default() -> Self {
        Self { facts: true, table: false, fields: Vec::new(), tries: 3, reply: 1_024, max_facts: 12 }
    }
}

impl ExtractSettings {
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let keys: std::collections::BTreeSet<String> = self.fields.iter().map(|field| cluster::relation_key(field)).collect();
        match self {
            Self { facts: false, table: false, .. } => Err("facts = false and table = false ask for nothing".into()),
            Self { table: false, fields, .. } if !fields.is_empty() => Err("fields are a table's: table = true asks for one".into()),
            Self { tries: 0, .. } => Err("tries = 0: without one there is no majority".into()),
            Self { reply: 0, .. } => Err("reply = 0 leaves no room for an answer".into()),
            Self { max_facts: 0, .. } => Err("max_facts = 0 keeps none: facts = false asks for none".into()),
            Self { fields, .. } => match fields.iter().find(|field| reply::relation(field).is_none()) {
                Some(field) => Err(format!("fields: {field:?} is no name of a few words")),
                None if keys.len() < fields.len() => Err("fields: two of them are the same in other words".into()),
                None => Ok(()),
            },
        }
    }
}

/// What came of it, and why the rest did not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extraction {
    /// Documents that were asked.
    pub documents: usize,
    /// Documents that do not fit the model's window with a reply.
    pub too_long: usize,
    /// Calls, those answered from the cache included.
    pub calls: usize,
    /// Replies that were not the JSON that was asked for. Each is asked for once more.
    pub malformed: usize,
    /// Facts that are kept, those of tables included.
    pub facts: usize,
    /// Those of them that are fields of a table.
    pub fields: usize,
    /// The names of each group's fields.
    pub tables: BTreeMap<usize, Vec<String>>,
    /// Documents that are in no table, since of one of its fields there was no majority.
    pub left_out: usize,
    /// Why what replies said was not kept, and how often: `form`, `relation`, `subject`, `quote`, `value`, `lines`, `type`, `too_many`,
    /// `repeated`, and `no_reply` where the second reply was malformed too.
    pub dropped: Dropped,
}

impl Extraction {
    /// For programs.
    pub fn json(&self) -> Value {
        let tables: serde_json::Map<String, Value> = self.tables.iter().map(|(group, fields)| (group.to_string(), json!(fields))).collect();
        json!({
            "documents": self.documents, "too_long": self.too_long, "calls": self.calls, "malformed": self.malformed, "facts": self.facts,
            "fields": self.fields, "tables": tables, "left_out": self.left_out, "dropped": self.dropped,
        })
    }

    /// For a person.
    pub fn lines(&self) -> Vec<String> {
        let mut out = vec![format!(
            "{} facts of {} documents, found by a model in {} calls; {} of them are fields of tables",
            self.facts, self.documents, self.calls, self.fields
        )];
        let counted = [
            (self.too_long, "documents do not fit the model's window: part = 8000 reads long ones in parts"),
            (self.left_out, "documents are in no table: of one of its fields no value had a majority"),
            (self.malformed, "replies were not the JSON that was asked for"),
        ];
        out.extend(counted.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        out.extend(self.tables.values().map(|fields| match fields.is_empty() {
            true => "a group of documents has no fields in common".to_string(),
            false => format!("a table of {}", fields.join(", ")),
        }));
        let why: Vec<String> = self.dropped.iter().map(|(why, count)| format!("{why} ({count})")).collect();
        if !why.is_empty() {
            out.push(format!("not kept: {}", why.join(", ")));
        }
        out
    }
}

/// A model that is asked for facts.
pub struct Extractor<'a> {
    /// Asked through its cache, so that no call is made twice.
    pub model: &'a dyn ChatModel,
    /// What for.
    pub settings: &'a ExtractSettings,
    /// Whether the model can hold its reply to a JSON schema. Others are asked for JSON in words alone.
    pub schema: bool,
    /// The key of a call in the run's cache.
    pub key: &'a (dyn Fn(&ChatRequest) -> String + Sync),
    /// Told of every reply, with what it is for: `schema`, `facts` or `fields`.
    pub on: &'a (dyn Fn(&'static str, &ChatRequest, &ChatReply) + Sync),
    /// What the corpus was measured with: with it a document fits the window or not, wherever the calls are answered.
    pub tokenizer: &'a Tokenizer,
}

/// What was found, and how it came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// By the document's place among the sources.
    pub facts: BTreeMap<usize, Vec<Fact>>,
    /// The counts.
    pub report: Extraction,
}

//! What a person says of rows: kept in this browser for each dataset, by the hash of its rows, and saved as JSONL.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

/// A person's word on a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// `accept`, `reject`, or nothing.
    pub verdict: String,
    /// In their own words.
    pub note: String,
}

impl Judgement {
    /// Whether it is what a filter asks for.
    pub fn is(&self, wanted: &str) -> bool {
        match wanted {
            "accepted" => self.verdict == "accept",
            "rejected" => self.verdict == "reject",
            "noted" => !self.note.is_empty(),
            _ => self.is_empty(),
        }
    }

    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        self.verdict.is_empty() && self.note.is_empty()
    }
}

/// Judgements by the row's id.
pub type Judgements = BTreeMap<String, Judgement>;

fn place(hash: &str) -> String {
    format!("longhand-judgements-{hash}")
}

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok()?
}

/// What this browser keeps of the dataset with this hash.
pub fn kept(hash: &str) -> Judgements {
    let text = storage().and_then(|storage| storage.get_item(&place(hash)).ok()?);
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Keeps them; or says why it cannot.
pub fn keep(hash: &str, judgements: &Judgements) -> Result<(), String> {
    let failed = || {
        "This browser does not keep judgements (its storage is full or switched off): export them before you close the page.".to_string()
    };
    let text = serde_json::to_string(judgements).map_err(|_| failed())?;
    storage().ok_or_else(failed)?.set_item(&place(hash), &text).map_err(|_| failed())
}

/// A line for each row that something was said of.
pub fn jsonl(judgements: &Judgements) -> String {
    let said = judgements.iter().filter(|(_, judgement)| !judgement.is_empty());
    said.map(|(id, judgement)| format!("{}\n", json!({"id": id, "verdict": judgement.verdict, "note": judgement.note}))).collect()
}

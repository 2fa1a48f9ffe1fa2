//! Whether what rows say that models said is what the dataset's kept calls say.

use std::path::Path;

use anyhow::Result;
use data::{Derivation, Item};
use serde::Deserialize;
use server::{Cache, Key};

use super::model::CALLS;

/// The calls beside a dataset's rows, where they were not thrown away.
pub struct Kept(Option<Cache>);

impl Kept {
    /// Those in the folder of this file.
    ///
    /// # Errors
    /// A folder that is there and cannot be read.
    pub fn beside(rows: &Path) -> Result<Self> {
        let folder = rows.parent().unwrap_or(Path::new("")).join(CALLS);
        Ok(Self(if folder.is_dir() { Some(Cache::open(&folder)?) } else { None }))
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.0.is_some()
    }

    /// What a call replied, by its key.
    pub fn reply(&self, call: &str) -> Option<String> {
        Some(self.0.as_ref()?.get(&Key::parse(call)?)?.text)
    }

    /// Transcripts of the row that are not what their calls say. Where no call is kept that goes to `not_run`.
    pub fn check(&self, item: &Item, not_run: &mut Vec<String>) -> Vec<String> {
        let derivation = item.extra.get("derivation").and_then(|value| Derivation::deserialize(value).ok());
        let said = derivation.map(|derivation| derivation.transcripts).unwrap_or_default();
        let Some(cache) = &self.0 else {
            not_run.extend((!said.is_empty()).then(|| "whether models said so: no calls lie beside the rows".to_string()));
            return Vec::new();
        };
        let problem = |said: &data::Transcript| match Key::parse(&said.call).and_then(|key| cache.get(&key)) {
            // Empty replies are never kept.
            None if said.reply.trim().is_empty() => None,
            None => Some(format!("the call {} ({}) is not kept", said.call, said.role)),
            Some(reply) => (reply.text != said.reply).then(|| format!("the call {} ({}) was answered otherwise", said.call, said.role)),
        };
        said.iter().filter_map(problem).collect()
    }
}

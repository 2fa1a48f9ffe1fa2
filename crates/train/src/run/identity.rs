//! What makes two runs the same run: the configuration, key by key, and the base model.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::error::{Result, RunError};

/// The configuration and the base model of a run.
#[derive(Clone, Debug)]
pub struct Identity {
    config: String,
    keys: BTreeMap<String, String>,
    free: Vec<String>,
    base: String,
}

impl Identity {
    /// Of a run with `config` (TOML) on the base model whose hash is `base`.
    ///
    /// `free` keys may change while the run goes on (how often to save, how many steps to take): `train.steps` is one key, `report` all keys below it.
    pub fn new(config: &str, base: &str, free: &[&str]) -> Result<Self> {
        let keys = keys(config).map_err(|message| RunError::Config { message })?;
        let free = free.iter().map(|key| key.to_string()).collect();
        Ok(Self { config: config.to_string(), keys, free, base: base.to_string() })
    }

    /// The configuration as it was given.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// The base model's hash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// SHA-256 of the keys and values that may not change: neither comments nor the order of keys matter.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in self.keys.iter().filter(|(key, _)| !self.is_free(key)) {
            hash.update(format!("{key} = {value}\n"));
        }
        hex(&hash.finalize())
    }

    /// Errors with [`RunError::OtherConfig`] or [`RunError::OtherBase`] if a checkpoint at `path` with that configuration and base is another run's.
    pub fn check(&self, path: &Path, config: &str, base: &str) -> Result<()> {
        let message = |message| RunError::format(path, format!("its configuration cannot be read: {message}"));
        let before = keys(config).map_err(message)?;
        let all = before.keys().chain(self.keys.keys().filter(|key| !before.contains_key(*key)));
        let differs = |key: &&String| !self.is_free(key) && before.get(*key) != self.keys.get(*key);
        if let Some(key) = all.filter(differs).min() {
            let said = |keys: &BTreeMap<String, String>| keys.get(key).cloned().unwrap_or_else(|| "not set".into());
            return Err(RunError::OtherConfig { path: path.to_path_buf(), key: key.clone(), was: said(&before), now: said(&self.keys) });
        }
        if base != self.base {
            return Err(RunError::OtherBase { path: path.to_path_buf(), was: base.to_string(), now: self.base.clone() });
        }
        Ok(())
    }

    fn is_free(&self, key: &str) -> bool {
        self.free.iter().any(|free| key.strip_prefix(free.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
    }
}

/// Every leaf of a TOML text: `train.lr` → `0.0001`, `data[0].path` → `"rows.jsonl"`; an empty table or array is a leaf as well.
fn keys(text: &str) -> Result<BTreeMap<String, String>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_string())?;
    let mut keys = BTreeMap::new();
    for (name, value) in &table {
        leaves(name.clone(), value, &mut keys);
    }
    Ok(keys)
}

fn leaves(key: String, value: &Value, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) if !table.is_empty() => {
            table.iter().for_each(|(name, value)| leaves(format!("{key}.{name}"), value, keys));
        }
        Value::Array(values) if !values.is_empty() => {
            values.iter().enumerate().for_each(|(at, value)| leaves(format!("{key}[{at}]"), value, keys));
        }
        Value::Table(_) => drop(keys.insert(key, "{}".into())),
        Value::Array(_) => drop(keys.insert(key, "[]".into())),
        // Quoted, so that "1" is not 1.
        Value::String(text) => drop(keys.insert(key, format!("{text:?}"))),
        Value::Float(number) => drop(keys.insert(key, format!("{number:?}"))),
        Value::Integer(number) => drop(keys.insert(key, number.to_string())),
        Value::Boolean(truth) => drop(keys.insert(key, truth.to_string())),
        Value::Datetime(time) => drop(keys.insert(key, time.to_string())),
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "seed = 1\n[train]\nlr = 1e-4\nsteps = 10\n[[data]]\npath = \"a\"\n[report]\nevery = 5\n";

    fn other(was: &str, now: &str) -> Option<String> {
        let now = Identity::new(now, "base", &["train.steps", "report"]).unwrap();
        match now.check(Path::new("step-000001"), was, "base") {
            Ok(()) => None,
            Err(RunError::OtherConfig { key, was, now, .. }) => Some(format!("{key}: {was} / {now}")),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_key_that_differs_is_named() {
        let changed = |from: &str, to: &str| other(CONFIG, &CONFIG.replace(from, to));
        assert_eq!(changed("", ""), None);
        assert_eq!(changed("lr = 1e-4", "# a comment\nlr = 0.0001"), None);
        assert_eq!(changed("lr = 1e-4", "lr = 1e-3").as_deref(), Some("train.lr: 0.0001 / 0.001"));
        assert_eq!(changed("lr = 1e-4\n", "").as_deref(), Some("train.lr: 0.0001 / not set"));
        assert_eq!(changed("seed = 1", "seed = \"1\"").as_deref(), Some("seed: 1 / \"1\""));
        assert_eq!(changed("path = \"a\"", "path = \"b\"").as_deref(), Some("data[0].path: \"a\" / \"b\""));
        assert_eq!(changed("lr = 1e-4", "lr = 1e-4\nstepsize = 1").as_deref(), Some("train.stepsize: not set / 1"));
        // What may change.
        assert_eq!(changed("steps = 10", "steps = 20"), None);
        assert_eq!(changed("every = 5", "every = 50\nformat = \"html\""), None);
    }

    #[test]
    fn the_hash_depends_on_values_and_not_on_how_they_are_written() {
        let hash = |text: &str| Identity::new(text, "base", &["train.steps"]).unwrap().hash();
        assert_eq!(hash("a = 1\nb = 2\n[train]\nsteps = 3"), hash("b = 2 # two\na = 0x1\n[train]\nsteps = 4"));
        assert_ne!(hash("a = 1"), hash("a = 2"));
        assert_ne!(hash("a = 1"), hash("a = \"1\""));
        assert_ne!(hash("a = {}"), hash("a = []"));
        assert!(matches!(Identity::new("a = ", "", &[]), Err(RunError::Config { message }) if message.contains("line 1")));
    }

    #[test]
    fn another_base_is_another_run() {
        let now = Identity::new(CONFIG, "new", &[]).unwrap();
        let error = now.check(Path::new("step-000001"), CONFIG, "old").unwrap_err();
        assert!(matches!(&error, RunError::OtherBase { was, now, .. } if was == "old" && now == "new"), "{error}");
        assert!(matches!(now.check(Path::new("p"), "not toml", "new"), Err(RunError::Format { .. })));
    }
}

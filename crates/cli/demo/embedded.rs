//! The model of our own that stands in the program (models/tiny): written into the cache, where every verb can take it from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// A file of `models/tiny`.
macro_rules! of_tiny {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/", $name))
    };
}

/// What both have.
const SHARED: [(&str, &[u8]); 3] = [
    ("config.json", of_tiny!("config.json")),
    ("tokenizer.json", of_tiny!("tokenizer.json")),
    ("tokenizer_config.json", of_tiny!("tokenizer_config.json")),
];
/// Their weights, by the folder they go to.
const WEIGHTS: [(&str, &[u8]); 2] = [("trained", of_tiny!("model.safetensors")), ("start", of_tiny!("start/model.safetensors"))];

/// The folders of the trained model and of the one before reinforcement learning.
pub fn folders(cache: &Path) -> Result<[PathBuf; 2]> {
    let mut hash = Sha256::new();
    SHARED.iter().chain(&WEIGHTS).for_each(|(_, bytes)| hash.update(bytes));
    let name: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let home = cache.join("longhand").join(format!("tiny-{name}"));
    let mut folders = Vec::new();
    for (which, weights) in WEIGHTS {
        let folder = home.join(which);
        for (file, bytes) in SHARED.iter().chain([&("model.safetensors", weights)]) {
            whole(&folder, file, bytes)?;
        }
        folders.push(folder);
    }
    folders.try_into().map_err(|_| anyhow::anyhow!("there are two of them"))
}

/// Writes a file that is not there or is another; it appears when all of it is there.
fn whole(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|kept| kept == bytes) {
        return Ok(());
    }
    let cannot =
        || format!("cannot keep the demonstration's model in {}: set XDG_CACHE_HOME to a folder that can be written", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    // Another process may be at the same.
    let part = folder.join(format!(".{name}.{}", std::process::id()));
    fs::write(&part, bytes).with_context(cannot)?;
    fs::rename(&part, &path).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_written_once_and_mended() {
        let cache = tempfile::tempdir().unwrap();
        let [trained, start] = folders(cache.path()).unwrap();
        let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
        assert!(weights(&trained) != weights(&start));
        let written = |folder: &Path| fs::metadata(folder.join("model.safetensors")).unwrap().modified().unwrap();
        let before = written(&trained);
        fs::write(start.join("model.safetensors"), b"half").unwrap();
        assert_eq!(folders(cache.path()).unwrap(), [trained.clone(), start.clone()]);
        assert_eq!(written(&trained), before);
        assert_eq!(weights(&start), WEIGHTS[1].1);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_named() {
        let cache = tempfile::tempdir().unwrap();
        fs::write(cache.path().join("longhand"), b"a file").unwrap();
        let error = format!("{:#}", folders(cache.path()).unwrap_err());
        assert!(error.contains("set XDG_CACHE_HOME"), "{error}");
    }
}

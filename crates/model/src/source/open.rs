//! Opening checkpoints on disk. Weights are mapped: pages are read when they are used, and shared between processes.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::{Bytes, Extent, Holder};
use memmap2::Mmap;
use serde_json::Value;

use super::{Checkpoint, gguf, hf};
use crate::config::json_error;
use crate::error::{ModelError, Result};
use crate::gguf::Gguf;

const WEIGHTS: &str = "model.safetensors";
/// Bytes that come with a page: Linux maps so many, aligned, at a fault.
#[cfg(unix)]
const AROUND: usize = 1 << 16;
const INDEX: &str = "model.safetensors.index.json";

impl Checkpoint {
    /// Opens a Hugging Face folder (config.json with model.safetensors, or shards and their index), a .gguf file, or a folder
    /// that holds one .gguf file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let not = |message: &str| ModelError::NotACheckpoint { path: shown.clone(), message: message.into() };
        let meta = fs::metadata(path).map_err(|source| ModelError::Io { file: shown.clone(), source })?;
        if meta.is_file() {
            return match path.extension().and_then(|extension| extension.to_str()) {
                Some("safetensors") => Err(not("give the folder that holds it and its config.json")),
                _ => {
                    let bytes = map(path, meta.len())?;
                    gguf::checkpoint(&Gguf::parse(&shown, &bytes)?, bytes)
                }
            };
        }
        if !path.join("config.json").exists() {
            let ggufs = ggufs(path)?;
            return match ggufs.as_slice() {
                [one] => Self::open(one),
                [] => Err(not("the folder holds neither config.json nor a .gguf file")),
                _ => Err(not("the folder holds several .gguf files; name one of them")),
            };
        }
        Self::open_folder(path, &shown)
    }

    fn open_folder(path: &Path, shown: &str) -> Result<Self> {
        let names: Vec<String> = if path.join(WEIGHTS).exists() {
            vec![WEIGHTS.into()]
        } else if path.join(INDEX).exists() {
            shards(&path.join(INDEX))?
        } else {
            let message = format!("the folder has config.json but neither {WEIGHTS} nor {INDEX}; other weight formats are not read");
            return Err(ModelError::NotACheckpoint { path: shown.into(), message });
        };
        let paths: Vec<PathBuf> = names.into_iter().map(|name| path.join(name)).collect();
        if let Some(gone) = paths.iter().find(|path| !path.exists()) {
            let message = format!("{INDEX} names {}, which is not in the folder: fetch or copy that file too", gone.display());
            return Err(ModelError::NotACheckpoint { path: shown.into(), message });
        }
        let total = paths.iter().filter_map(|file| fs::metadata(file).ok()).map(|meta| meta.len()).sum();
        let mut files = vec![];
        for file in paths {
            files.push((file.display().to_string(), map(&file, total)?));
        }
        let optional = |name: &str| {
            let file = path.join(name);
            if file.exists() { read(&file).map(Some) } else { Ok(None) }
        };
        hf::checkpoint(shown, &read(&path.join("config.json"))?, files)?.with_files(
            optional("tokenizer.json")?,
            optional("tokenizer_config.json")?,
            optional("chat_template.jinja")?,
            optional("generation_config.json")?,
        )
    }
}

/// File names an index lists. Only plain names: an index must not reach outside its folder.
fn shards(index: &Path) -> Result<Vec<String>> {
    let shown = index.display().to_string();
    let bytes = read(index)?;
    let json: Value = serde_json::from_slice(bytes.as_slice()).map_err(|error| json_error(&shown, bytes.as_slice(), &error))?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| ModelError::config(&shown, "weight_map", "is missing or not an object"))?;
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        let name =
            file.as_str().filter(|name| Path::new(name).components().count() == 1 && !name.contains(['/', '\\', ':']) && *name != "..");
        let name =
            name.ok_or_else(|| ModelError::config(&shown, "weight_map", format!("puts `{tensor}` in {file}; a file name is needed")))?;
        names.insert(name.to_owned());
    }
    Ok(names.into_iter().collect())
}

fn ggufs(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| ModelError::Io { file: folder.display().to_string(), source };
    let mut found = vec![];
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "gguf") {
            found.push(path);
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Bytes> {
    fs::read(path).map(Bytes::from).map_err(|source| ModelError::Io { file: path.display().to_string(), source })
}

/// Bytes of memory that can be taken without swapping, where the system says so (Linux).
pub fn free_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Maps one file of a checkpoint whose files have `total` bytes.
fn map(path: &Path, total: u64) -> Result<Extent> {
    let io = |source| ModelError::Io { file: path.display().to_string(), source };
    let file = fs::File::open(path).map_err(io)?;
    // SAFETY: a mapping is sound as long as nobody shortens or rewrites the file meanwhile. Checkpoint files are written once and
    // replaced by renaming (downloads and our own checkpoints both do so), which leaves a mapping's pages as they were.
    let map = unsafe { Mmap::map(&file) }.map_err(io)?;
    Ok(Bytes::new(Arc::new(Mapped { map, stays: free_memory().is_none_or(|free| total <= free) })).into())
}

struct Mapped {
    map: Mmap,
    /// Whether there was memory for the whole checkpoint when it was opened.
    stays: bool,
}

impl Holder for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn stays(&self) -> bool {
        self.stays
    }

    fn will_read(&self, range: Range<usize>) {
        // Refused advice (or none, on Windows) leaves pages to be read when they are touched, with read-ahead around each.
        #[cfg(unix)]
        let _ = self.map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        #[cfg(not(unix))]
        let _ = range;
    }

    fn was_read(&self, range: Range<usize>) {
        // The system maps neighbours of a page that is touched, on both sides. Left there, they would add up.
        #[cfg(unix)]
        let range = range.start.saturating_sub(AROUND)..self.map.len().min(range.end.saturating_add(AROUND));
        // SAFETY: the mapping is of a file and only read. Its pages leave this process and come back from the file with the same bytes.
        #[cfg(unix)]
        let _ = unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        #[cfg(not(unix))]
        let _ = range;
    }
}

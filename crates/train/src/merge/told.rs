//! What the model card says of a merge: method, numbers, and every file with its hash.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Merge, MergeError, Method, Result, Source};
use crate::finetune::hex;

/// Bytes hashed at once.
const PIECE: usize = 1 << 20;

/// A file by its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Reads and hashes a file. `read` hears bytes as they are read.
pub fn hash(path: &Path, mut read: impl FnMut(u64)) -> Result<File> {
    let io = |source| MergeError::Io { file: path.display().to_string(), source };
    let mut file = fs::File::open(path).map_err(io)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece).map_err(io)?;
        if count == 0 {
            return Ok(File { path: path.to_path_buf(), bytes, sha256: hex(&hash.finalize()) });
        }
        hash.update(&piece[..count]);
        bytes += count as u64;
        read(count as u64);
    }
}

/// A line for each fact.
pub(super) fn lines(job: &Merge) -> Vec<String> {
    let list = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    let normalised = |normalize: &bool| if *normalize { "normalised" } else { "not normalised" };
    let how = match &job.method {
        Method::Sce { select_topk } => format!("SCE (arXiv 2408.07990), select-topk {select_topk}"),
        Method::Ties { density, normalize } => {
            format!("TIES (arXiv 2306.01708), weights {}, densities {}, {}", list(&job.weights), list(density), normalised(normalize))
        }
        Method::Linear { normalize } => {
            format!(
                "a linear combination (arXiv 2203.05482), weights {}, {}; the base is not part of it",
                list(&job.weights),
                normalised(normalize)
            )
        }
    };
    let mut lines = vec![format!("Merged with Longhand {}: {how}", env!("CARGO_PKG_VERSION"))];
    lines.push("Every tensor, and every expert, by itself, in f32".into());
    lines.extend(source("Base", &job.base));
    lines.extend(job.models.iter().enumerate().flat_map(|(at, model)| source(&format!("Model {}", at + 1), model)));
    lines
}

fn source(what: &str, source: &Source) -> Vec<String> {
    let adapter = source.weights.adapter().map_or(String::new(), |adapter| format!(", with a LoRA adapter of rank {}", adapter.rank));
    let mut lines = vec![format!("{what}: {}{adapter}", source.name)];
    let name = |path: &Path| path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    lines.extend(source.files.iter().map(|file| format!("{what}, {}: {} bytes, SHA-256 `{}`", name(&file.path), file.bytes, file.sha256)));
    lines
}

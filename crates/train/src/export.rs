//! Models for others to run: a Hugging Face folder of safetensors, or one GGUF file, each with a model card beside it.
//!
//! The weights are a checkpoint's ([`Weights`]), what a trained run put in their place ([`Overrides`]), and an adapter merged in. They
//! pass through row by row, so a model larger than memory can be exported; every file appears whole or not at all.

pub mod card;
mod fresh;
pub mod gguf;
mod hf_config;
mod metadata;
pub mod quantise;
mod rows;
pub mod safetensors;
mod vocabulary;
mod weights;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use kernels::DType;
use model::{ModelError, Role};

pub use card::Card;
pub use fresh::{Fresh, fresh};
pub use weights::{Matrix, Overrides, Weights};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A folder: config.json, tokenizer files, model.safetensors (or shards and their index).
    Safetensors,
    /// One file with everything in it.
    Gguf,
}

/// An export to be made.
pub struct Export<'a> {
    /// What is exported.
    pub weights: Weights<'a>,
    /// As what.
    pub to: Format,
    /// Format of the matrices: F32, F16 or BF16, for GGUF also Q8_0 or Q4_K. Norms and biases of a GGUF file stay f32.
    pub dtype: DType,
    /// A new or empty folder; for GGUF a `.gguf` file that is not there yet, or a folder to put one in.
    pub out: &'a Path,
    /// What the model is called.
    pub name: &'a str,
    /// What the model card says beyond what can be seen from the weights.
    pub card: Card,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// Files, the weights first, the model card last.
    pub files: Vec<PathBuf>,
    /// Bytes of all weights.
    pub bytes: u64,
    /// What a person should know: tensors that took another format, what could not be carried over.
    pub notes: Vec<String>,
    /// Tensors of each format.
    pub formats: Vec<(DType, usize)>,
}

/// Result of this module.
pub type Result<T, E = ExportError> = std::result::Result<T, E>;

/// Why a model was not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A file could not be read or written.
    #[error("{file}: {source}")]
    Io {
        /// Path.
        file: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// Writing the weights failed.
    #[error("writing failed: {0}; the file is not there")]
    Writing(#[source] std::io::Error),
    /// There is something at the place already.
    #[error("{0} is there already: name another place, or remove it first")]
    Exists(String),
    /// A combination that cannot be written.
    #[error("{what} cannot be exported as {to}: {why}")]
    Unsupported {
        /// The model, a key, a tokenizer.
        what: String,
        /// `safetensors`, `GGUF`.
        to: &'static str,
        /// Why, and what to do.
        why: String,
    },
    /// A weight that is not a number.
    #[error("{tensor}: row {row} holds a NaN or infinity; the weights are damaged, or training diverged")]
    NonFinite {
        /// File and tensor.
        tensor: String,
        /// Row.
        row: usize,
    },
    /// A weight that the format cannot hold.
    #[error("{tensor}: row {row} holds a value too large for {dtype}; export as bf16 or f32")]
    TooLarge {
        /// File and tensor.
        tensor: String,
        /// Row.
        row: usize,
        /// The format.
        dtype: &'static str,
    },
    /// Values that are not as many as their place needs.
    #[error("{tensor}: {found} values do not fit, {expected} (or a multiple of it) are needed")]
    Size {
        /// Tensor.
        tensor: String,
        /// As given.
        found: usize,
        /// As needed.
        expected: usize,
    },
    /// The values that take the base's place could not be read.
    #[error("{tensor}: {source}")]
    Overrides {
        /// Tensor.
        tensor: String,
        /// Their own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The base cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The base's tokenizer cannot be converted.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::TokenizerError),
}

/// Exports a model and writes its card. `progress` hears the weights' bytes written and their total.
pub fn export(job: &Export, mut progress: impl FnMut(u64, u64)) -> Result<Written> {
    let written = match job.to {
        Format::Safetensors => safetensors::write(job, &mut progress)?,
        Format::Gguf => gguf::write(job, &mut progress)?,
    };
    finish(job, written)
}

/// Writes the card of what was written.
pub(crate) fn finish(job: &Export, mut written: Written) -> Result<Written> {
    let card = card::write(job, &written)?;
    if card.file_name().is_some_and(|name| name != card::NAME) {
        written.notes.push(format!("there is a {} of something else already: the model card is {}", card::NAME, card.display()));
    }
    written.files.push(card);
    Ok(written)
}

impl ExportError {
    pub(crate) fn io(file: &Path, source: std::io::Error) -> Self {
        Self::Io { file: file.display().to_string(), source }
    }

    fn writing(source: std::io::Error) -> Self {
        Self::Writing(source)
    }

    fn unsupported(what: impl Into<String>, to: Format, why: impl Into<String>) -> Self {
        let to = match to {
            Format::Safetensors => "safetensors",
            Format::Gguf => "GGUF",
        };
        Self::Unsupported { what: what.into(), to, why: why.into() }
    }
}

/// Every role and layer of a model, those outside the layers first.
fn roles(config: &model::ModelConfig) -> impl Iterator<Item = (Role, usize)> + '_ {
    let everywhere = Role::GLOBAL.into_iter().map(|role| (role, 0));
    let layers = (0..config.layers).flat_map(|layer| Role::LAYER.into_iter().map(move |role| (role, layer)));
    everywhere.chain(layers).filter(|&(role, layer)| role.exists(config, layer))
}

/// A file that appears under its name when `fill` has written all of it, and not at all otherwise.
pub(crate) fn whole<E: From<std::io::Error>>(
    path: &Path,
    fill: impl FnOnce(&mut std::io::BufWriter<fs::File>) -> Result<(), E>,
) -> Result<(), E> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = (|| {
        let mut out = std::io::BufWriter::with_capacity(1 << 20, fs::File::create(&part)?);
        fill(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        Ok(())
    })();
    match written {
        Ok(()) => Ok(fs::rename(&part, path)?),
        Err(error) => {
            let _ = fs::remove_file(&part);
            Err(error)
        }
    }
}

impl From<std::io::Error> for ExportError {
    fn from(source: std::io::Error) -> Self {
        Self::Writing(source)
    }
}

//! Fine-tunes of one base made one model: SCE (arXiv 2408.07990), TIES (arXiv 2306.01708), and a weighted mean (arXiv 2203.05482).
//!
//! Every tensor of a checkpoint is merged by itself, every expert too, in f32, and rounded to the base's format last. The numbers are those of
//! mergekit 0.1.5 (`tests/golden/make_merges.py`) but for its absolute epsilons: small deltas are merged as large ones are. Whatever has to be
//! known of a whole tensor (which elements are the largest, how large a model's deltas are) is found in passes over its rows, so memory grows
//! neither with the model nor with its largest tensor.

mod folder;
mod linear;
mod pieces;
mod same;
mod sce;
mod select;
mod ties;
mod told;

use std::path::{Path, PathBuf};

use kernels::DType;
use model::{Checkpoint, ModelError};

pub use folder::vacant;
pub use pieces::{Stack, Values};
pub use same::check;
pub use sce::{variances, weights as sce_weights};
pub use told::{File, hash};

use crate::export::{Card, Export, ExportError, Format, Weights, Written};

/// How models are merged, with `w` the weight of each.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Select, calculate, erase: of every tensor the share `select_topk` of the elements that differ most between the models (by the variance
    /// of their deltas; of those with any); each model weighs as its mean squared selected delta; deltas against the majority's sign are left out.
    Sce {
        /// Above 0, at most 1: all, those without variance too.
        select_topk: f64,
    },
    /// Of every model's deltas the share `density` that is largest, times `w`; those against the majority's sign are left out.
    Ties {
        /// Of each model: 0 to 1.
        density: Vec<f64>,
        /// Divide by the weights of the deltas that stayed.
        normalize: bool,
    },
    /// Σ w·model; the base's weights are not among them.
    Linear {
        /// Divide by Σ w.
        normalize: bool,
    },
}

/// A model to be merged, or the base.
#[derive(Clone)]
pub struct Source<'a> {
    /// As a person gave it.
    pub name: String,
    /// Its weights: a checkpoint's, with an adapter or a run's on top where there are any.
    pub weights: Weights<'a>,
    /// The files they came from, hashed.
    pub files: Vec<File>,
}

/// A merge to be made.
pub struct Merge<'a> {
    /// Whose configuration, tokenizer and formats the merged model has, and from which deltas are taken.
    pub base: Source<'a>,
    /// What is merged.
    pub models: Vec<Source<'a>>,
    /// How.
    pub method: Method,
    /// w of each model; SCE finds its own.
    pub weights: Vec<f64>,
    /// Format of all tensors: F32, F16 or BF16. `None`: each tensor's in the base.
    pub dtype: Option<DType>,
    /// A new or empty folder.
    pub out: &'a Path,
    /// What the merged model is called.
    pub name: &'a str,
    /// Its base's name and licence, for the model card.
    pub card: Card,
}

/// Result of this module.
pub type Result<T, E = MergeError> = std::result::Result<T, E>;

/// Why models were not merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A tensor that differs in shape.
    #[error("{tensor} is {found:?} in {model} and {expected:?} in {base}: only models of one shape can be merged")]
    Shape {
        /// Its name in a checkpoint.
        tensor: String,
        /// Its shape there.
        found: Vec<usize>,
        /// The model's name.
        model: String,
        /// Its shape in the base.
        expected: Vec<usize>,
        /// The base's name.
        base: String,
    },
    /// A tensor that only one has.
    #[error("{tensor} {shape:?} is in {has} and not in {lacks}: only models of one shape can be merged")]
    Missing {
        /// Its name in a checkpoint.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The model that has it.
        has: String,
        /// The model that lacks it.
        lacks: String,
    },
    /// Another architecture.
    #[error("{model} is a {found} model and {base} a {expected} model: only models of one architecture can be merged")]
    Architecture {
        /// The model's name.
        model: String,
        /// What it is.
        found: &'static str,
        /// The base's name.
        base: String,
        /// What that is.
        expected: &'static str,
    },
    /// A token that differs.
    #[error(
        "token {id} is {found} in {model} and {expected} in {base}: rows of the embedding would stand for different tokens. Merge fine-tunes that kept the base's tokenizer"
    )]
    Token {
        /// The first id that differs.
        id: u64,
        /// The token there; `nothing` if there is none.
        found: String,
        /// The model's name.
        model: String,
        /// The base's.
        expected: String,
        /// The base's name.
        base: String,
    },
    /// A rule of the tokenizer that differs.
    #[error(
        "merge rule {number} of the tokenizer is {found} in {model} and {expected} in {base}: they cut texts differently. Merge fine-tunes that kept the base's tokenizer"
    )]
    Rule {
        /// The first that differs, from 0.
        number: usize,
        /// The rule there.
        found: String,
        /// The model's name.
        model: String,
        /// The base's.
        expected: String,
        /// The base's name.
        base: String,
    },
    /// Blocks of few bits.
    #[error(
        "{0} is a GGUF file: merging takes Hugging Face folders, for what quantising changed would be merged with what training changed. `longhand export {0} --to safetensors --out DIR` makes a folder of it, if you want that all the same"
    )]
    Gguf(String),
    /// Numbers that do not go together.
    #[error("{0}")]
    Settings(String),
    /// A file could not be read.
    #[error("{file}: {source}")]
    Io {
        /// Path.
        file: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// Weights cannot be read, or the folder not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Merges models into a new folder, its model card included. `progress` hears the weights' bytes written and their total.
///
/// Everything that can be said without reading weights is said before anything is written; a failure later leaves no file.
pub fn merge(job: &Merge, mut progress: impl FnMut(u64, u64)) -> Result<Written> {
    job.method.check(job.models.len(), &job.weights)?;
    let notes = same::check(&job.base, &job.models)?;
    vacant(job.out)?;
    let base = job.base.weights.base();
    let dtype = job.dtype.unwrap_or_else(|| main_dtype(base));
    let mut card = job.card.clone();
    card.training = told::lines(job);
    card.merged = job.models.iter().map(|model| model.name.clone()).collect();
    let export = Export { weights: job.base.weights, to: Format::Safetensors, dtype, out: job.out, name: job.name, card };
    Ok(folder::write(job, &export, notes, &mut progress)?)
}

impl Method {
    /// Its name: what `--method` takes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sce { .. } => "sce",
            Self::Ties { .. } => "ties",
            Self::Linear { .. } => "linear",
        }
    }

    /// Merges one tensor, whose values `stack` has. `take` gets the merged values a piece at a time, in order.
    pub fn tensor(&self, weights: &[f64], stack: &Stack, take: impl FnMut(Vec<f32>) -> Result<(), ExportError>) -> Result<(), ExportError> {
        match self {
            Self::Sce { select_topk } => sce::merge(stack, *select_topk, take),
            Self::Ties { density, normalize } => ties::merge(stack, weights, density, *normalize, take),
            Self::Linear { normalize } => linear::merge(stack, weights, *normalize, take),
        }
    }

    /// Errors unless its numbers are in range and there is one for each of `models` models.
    pub fn check(&self, models: usize, weights: &[f64]) -> Result<()> {
        let no = |message: String| Err(MergeError::Settings(message));
        if models == 0 {
            return no("there is no model to merge".into());
        }
        if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
            return no(format!("a weight is {weight}: a finite number is needed"));
        }
        let takes_weights = !matches!(self, Self::Sce { .. });
        if takes_weights && weights.len() != models {
            return no(format!("{} weights for {models} models: give one for each, in their order", weights.len()));
        }
        match self {
            Self::Sce { select_topk } if !(*select_topk > 0.0 && *select_topk <= 1.0) => {
                no(format!("select-topk is {select_topk}: a share above 0 and at most 1 is needed"))
            }
            Self::Sce { select_topk } if models == 1 && *select_topk < 1.0 => {
                no("sce selects by the variance between models, and there is one: name two models or more, or --select-topk 1".into())
            }
            Self::Ties { density, .. } if density.len() != models => {
                no(format!("{} densities for {models} models: give one for each, in their order, or one for all", density.len()))
            }
            Self::Ties { density, .. } if !density.iter().all(|share| (0.0..=1.0).contains(share)) => {
                no(format!("density is {density:?}: shares from 0 to 1 are needed"))
            }
            Self::Linear { normalize: true } if weights.iter().map(|&weight| weight as f32).sum::<f32>() == 0.0 => {
                no(format!("the weights {weights:?} sum to 0, by which the mean would be divided: change one, or say --no-normalize"))
            }
            _ => Ok(()),
        }
    }
}

/// The format most of a checkpoint's bytes are in.
fn main_dtype(base: &Checkpoint) -> DType {
    let bytes =
        |dtype: DType| -> u64 { base.tensors().iter().filter(|tensor| tensor.dtype == dtype).map(|tensor| tensor.bytes.len()).sum() };
    [DType::F32, DType::F16, DType::BF16].into_iter().max_by_key(|&dtype| bytes(dtype)).unwrap_or(DType::F32)
}

/// Weight files of a checkpoint, in order.
pub fn files(checkpoint: &Checkpoint) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = checkpoint.tensors().iter().map(|tensor| PathBuf::from(&tensor.file)).collect();
    files.sort();
    files.dedup();
    files
}

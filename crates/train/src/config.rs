//! A training's configuration: one TOML file, whose keys `config/template.toml` explains.

mod error;
mod keys;
mod reader;
mod rl;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kernels::DType;
use sha2::{Digest, Sha256};

pub use error::ConfigError;
use keys::KEYS;
use reader::Document;

use crate::rl::recipe::Recipe;

/// What a training does. Paths are kept as written; [`Config::path`] says where they lead.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The folder of the file, from which relative paths count.
    pub base: PathBuf,
    /// `[model]`
    pub model: ModelSection,
    /// `[data]`
    pub data: DataSection,
    /// `[train]`
    pub train: TrainSection,
    /// `[lora]`; absent: every weight is trained.
    pub lora: Option<LoraSection>,
    /// `[validation]`
    pub validation: ValidationSection,
    /// `[checkpoint]`
    pub checkpoint: CheckpointSection,
    /// `[device]`
    pub device: DeviceSection,
    /// `[rl]` and the tables of its recipe; absent: supervised fine-tuning.
    pub rl: Option<Recipe>,
}

/// `[model]`: what is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSection {
    /// A folder, a .gguf file, or a name that `--model` takes.
    pub path: String,
}

/// `[data]`: what it is trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSection {
    /// The rows.
    pub file: String,
    /// How the file is read.
    pub format: Format,
    /// Tokens an example may have; longer ones are dropped.
    pub max_length: usize,
    /// Whether a row seen before is kept.
    pub duplicates: Duplicates,
    /// What is learnt to be written.
    pub loss: Loss,
}

/// How a file of rows is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By the file's first bytes.
    #[default]
    Auto,
    /// A JSON object a line.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// What becomes of a row that was there before, token for token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// It is left out, and counted.
    #[default]
    Drop,
    /// It counts again.
    Keep,
}

/// Which tokens of a conversation a supervised training learns to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// The assistant's turns.
    #[default]
    Replies,
    /// All but the first: a model made from nothing learns its language so, and to look back.
    All,
}

/// `[train]`: steps and the optimizer.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSection {
    /// When it ends.
    pub length: Length,
    /// What one step takes.
    pub batch: StepSize,
    /// Rows (tokens) of one forward and backward pass; `None`: what the memory allows.
    pub micro_batch_tokens: Option<usize>,
    /// Highest learning rate.
    pub lr: f64,
    /// Its way after the warm-up.
    pub schedule: Schedule,
    /// Its way up.
    pub warmup: Warmup,
    /// AdamW's decoupled decay.
    pub weight_decay: f64,
    /// AdamW's β₁ and β₂.
    pub betas: [f64; 2],
    /// AdamW's ε.
    pub eps: f64,
    /// Norm to which the gradient is clipped; infinity leaves it.
    pub max_grad_norm: f64,
    /// Of the order of examples and of what starts at random.
    pub seed: u64,
    /// What the f32 masters are rounded to for the passes: BF16, F16 or F32.
    pub dtype: DType,
}

impl TrainSection {
    /// Whether the first steps are the same however many follow: a longer training may go on from a shorter one.
    pub fn steps_do_not_depend_on_the_length(&self) -> bool {
        self.schedule == Schedule::Constant && !matches!(self.warmup, Warmup::Share(share) if share > 0.0)
    }
}

/// When a training ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After so many steps.
    Steps(u64),
    /// After every example was taken so many times.
    Epochs(u64),
}

/// What one step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepSize {
    /// So many examples.
    Examples(usize),
    /// As many examples as have this many tokens together at most, and one at least.
    Tokens(usize),
}

/// The learning rate's way from its highest at the end of the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// It stays.
    Constant,
    /// To 0 along a line.
    Linear,
    /// To 0 along half a cosine.
    #[default]
    Cosine,
}

/// The steps in which the learning rate rises from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warmup {
    /// So many.
    Steps(u64),
    /// This share of all, in [0, 1).
    Share(f64),
}

impl Warmup {
    /// Of so many steps in all.
    pub fn steps(self, all: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps.min(all),
            Self::Share(share) => (share * all as f64).ceil() as u64,
        }
    }
}

/// `[lora]`: small matrices beside weights that stay as they are, quantised ones included.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraSection {
    /// Inner width.
    pub rank: usize,
    /// α: what they give counts α / rank times.
    pub alpha: f64,
    /// Beside what.
    pub targets: Targets,
}

/// The weights that get LoRA's matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Query, key, value and output projections.
    pub attention: bool,
    /// Gate, up and down projections of dense layers.
    pub mlp: bool,
    /// Those of every expert.
    pub experts: bool,
}

/// `[validation]`: loss on rows that are not trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidationSection {
    /// Steps between two.
    pub every: u64,
    /// The rows; `None`: no validation.
    pub file: Option<String>,
}

/// `[checkpoint]`: what a stopped training goes on from.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointSection {
    /// Steps between two.
    pub every: u64,
    /// How many stay on the disk.
    pub keep: usize,
}

/// `[device]`
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSection {
    /// Where ops run.
    pub kind: DeviceKind,
    /// CPU threads; `None`: every core.
    pub threads: Option<usize>,
    /// Passes of a step side by side on the CPU.
    pub lanes: usize,
}

/// Where ops run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKind {
    /// A GPU where there is one that works, else the CPU.
    #[default]
    Auto,
    /// The host.
    Cpu,
    /// A GPU; never another.
    Gpu,
}

/// The recipe's tables of the text of `file`, without asking for a model or data.
pub(crate) fn recipe(text: &str, file: &Path) -> Result<Recipe, ConfigError> {
    let name = file.display().to_string();
    rl::tables(&Document::parse(text, &name, KEYS)?)
}

impl Config {
    /// A file with every key at its default, explained: what `longhand init train` writes.
    pub const TEMPLATE: &str = include_str!("config/template.toml");

    /// Reads a file.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Io { file: file.display().to_string(), source })?;
        Self::parse(&text, file)
    }

    /// Reads the text of `file`, which names it in errors and whose folder is the base of relative paths.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let document = Document::parse(text, &name, KEYS)?;
        let base = file.parent().unwrap_or(Path::new("")).to_path_buf();
        keys::read(&document, base)
    }

    /// Where a path of this file leads.
    pub fn path(&self, written: &str) -> PathBuf {
        self.base.join(written)
    }

    /// The model as `--model` takes it: a path where there is something or where one is written (`./`, `../`, absolute), else a name.
    pub fn model_name(&self) -> String {
        let written = Path::new(&self.model.path);
        let path = self.path(&self.model.path);
        let is_path = written.is_absolute() || written.starts_with(".") || written.starts_with("..");
        if is_path || path.exists() { path.display().to_string() } else { self.model.path.clone() }
    }

    /// Every key that affects what is learnt, with its value, in one fixed form. Paths count as written, what the files hold does not
    /// show here. Left out: threads, validation, checkpoints, and the length where the learning rate does not depend on it.
    pub fn result_keys(&self) -> Vec<(&'static str, String)> {
        keys::result_keys(self)
    }

    /// SHA-256 of [`result_keys`](Self::result_keys), in hexadecimal: two trainings of one hash, the same files and device kind
    /// learn the same.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in self.result_keys() {
            // Debug escapes line ends: two lists of keys never give one text.
            hash.update(format!("{key} = {value:?}\n"));
        }
        hash.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The keys in which the results of two configurations differ, with both values: what to say when a resume is refused.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (self.result_keys(), other.result_keys());
        let find = |list: &[(&'static str, String)], key: &str| {
            list.iter().find(|(name, _)| *name == key).map_or("absent".to_string(), |(_, value)| value.clone())
        };
        let mut names: Vec<&str> = ours.iter().chain(&theirs).map(|&(key, _)| key).collect();
        let mut seen = std::collections::HashSet::new();
        names.retain(|&key| seen.insert(key));
        names
            .into_iter()
            .map(|key| (key, find(&ours, key), find(&theirs, key)))
            .filter(|(_, a, b)| a != b)
            .map(|(key, a, b)| format!("{key}: {a} and {b}"))
            .collect()
    }
}

//! The models a reader may be given: `configs/models.toml`, then what a person adds, and which of them a checkpoint is.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use agent::ReadSettings;
use anyhow::{Context, Result, ensure};
use data::Sampling;
use kernels::DType;
use model::{ModelConfig, Role};
use serde::Deserialize;

use crate::hub::Hub;

/// What the binary carries.
const EMBEDDED: &str = include_str!("../../configs/models.toml");
/// Words of an update's prompt around the section and the memory, and the marks of a reply, in tokens; rather too many.
const FORM: usize = 1024;

/// A model by name, checked against its shape.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Hub id, or a path.
    pub name: String,
    /// Short name.
    pub alias: String,
    /// Of the weights.
    pub licence: String,
    /// Its shape.
    pub config: ModelConfig,
    /// Formats of its weights.
    pub quant: Quant,
    /// Of the download.
    pub bytes: u64,
    /// Tokens it was made for.
    pub window: usize,
    /// Whether it thinks before it replies.
    pub thinks: bool,
    /// How its tokens are chosen.
    pub sampling: Sampling,
    /// Its sizes for the reader.
    pub read: Option<ReadSizes>,
}

/// Formats of a checkpoint's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quant {
    /// Every matrix in one format.
    Plain(DType),
    /// llama.cpp's mixture Q4_K_M: Q4_K, with Q6_K for the output head and for half of the value and down projections.
    Q4KM,
}

/// Sizes for the reader, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadSizes {
    /// Section per turn.
    pub chunk: usize,
    /// Budget of the memory.
    pub memory: usize,
    /// Room for thinking before each reply.
    pub thinking: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    model: Vec<Row>,
}

/// An entry as it is written; `configs/models.toml` explains each key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    alias: String,
    licence: String,
    shape: Option<String>,
    config: Option<PathBuf>,
    quant: String,
    bytes: u64,
    window: usize,
    thinks: bool,
    sampling: SamplingRow,
    read: Option<ReadSizes>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SamplingRow {
    temperature: f32,
    top_p: f32,
    top_k: u32,
}

/// The person's own entries (`models.toml` in `$LONGHAND_MODELS`), then the embedded ones; each list biggest first.
pub fn entries() -> Result<&'static [Entry]> {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    if let Some(entries) = ENTRIES.get() {
        return Ok(entries);
    }
    let mut all = Vec::new();
    if let Some(folder) = Hub::from_env()?.models {
        let path = folder.join("models.toml");
        if path.is_file() {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            all = parse(&text, Some(&folder)).with_context(|| format!("{} is not a list of models", path.display()))?;
        }
    }
    let own = all.len();
    all.extend(parse(EMBEDDED, None).context("configs/models.toml, which this binary carries, is not a list of models")?);
    if let Some(twice) = (own..all.len()).find(|&i| all[..own].iter().any(|entry| entry.alias == all[i].alias)) {
        anyhow::bail!(
            "models.toml in LONGHAND_MODELS names a model {}, which is a published one's: choose another alias",
            all[twice].alias
        );
    }
    Ok(ENTRIES.get_or_init(|| all))
}

/// The entry that `name` (an alias, a hub id with or without its file) stands for.
pub fn named(name: &str) -> Result<Option<&'static Entry>> {
    let same = |a: &str| a.eq_ignore_ascii_case(name);
    Ok(entries()?.iter().find(|entry| same(&entry.alias) || same(&entry.name)))
}

/// The entry that a checkpoint is: its shape is the entry's, and the name it was asked for by, its file, its folder or its folder in
/// the hub's cache begins with the entry's.
pub fn identify(name: &str, path: &Path, config: &ModelConfig) -> Result<Option<&'static Entry>> {
    // The exact name allows for a file that states another number of positions.
    if let Some(entry) = named(name)?.filter(|entry| entry.has_sizes(config)) {
        return Ok(Some(entry));
    }
    let parts = path.iter().rev().take(4).map(|part| part.to_string_lossy().into_owned());
    let words: Vec<String> = parts.chain([name.to_string()]).map(|word| word.to_ascii_lowercase()).collect();
    Ok(entries()?.iter().find(|entry| entry.has_shape(config) && words.iter().any(|word| entry.is_called(word))))
}

/// Reads and checks a list. Paths in it start at `folder`.
pub fn parse(text: &str, folder: Option<&Path>) -> Result<Vec<Entry>> {
    let file: File = toml::from_str(text)?;
    let mut entries: Vec<Entry> = Vec::new();
    for row in file.model {
        let alias = row.alias.clone();
        let entry = Entry::checked(row, folder).with_context(|| format!("model {alias}"))?;
        ensure!(entries.iter().all(|other| other.alias != entry.alias), "model {alias} is there twice");
        entries.push(entry);
    }
    Ok(entries)
}

impl Entry {
    fn checked(row: Row, folder: Option<&Path>) -> Result<Self> {
        let config = match (&row.shape, &row.config, folder) {
            (Some(shape), None, _) => ModelConfig::known(shape)
                .with_context(|| format!("shape {shape} is none of {}", ModelConfig::known_names().collect::<Vec<_>>().join(", ")))?,
            (None, Some(path), Some(folder)) => {
                let path = folder.join(path);
                let json = std::fs::read(&path).with_context(|| format!("config: cannot read {}", path.display()))?;
                ModelConfig::from_hf_json(&json).with_context(|| format!("config: {}", path.display()))?
            }
            _ => anyhow::bail!("give either shape, or config (in your own list)"),
        };
        let quant = Quant::parse(&row.quant)?;
        let weights = quant.bytes(&config).with_context(|| format!("{} blocks do not fit this shape", row.quant))?;
        let off = row.bytes as f64 / weights as f64 - 1.0;
        ensure!(off.abs() <= 0.03, "bytes says {}, but the shape in {} has {weights} bytes of weights", row.bytes, row.quant);
        let most = config.max_positions;
        ensure!(row.window > 0 && row.window <= most, "window is {}; the shape has {most} positions", row.window);
        ensure!(!row.alias.is_empty() && !row.alias.contains(['/', ':']), "alias is a short name without / and :");
        let SamplingRow { temperature, top_p, top_k } = row.sampling;
        ensure!((0.0..=10.0).contains(&temperature), "sampling.temperature is {temperature}; 0 to 10 is expected");
        ensure!(top_p > 0.0 && top_p <= 1.0, "sampling.top_p is {top_p}; more than 0, at most 1 is expected");
        if let Some(read) = &row.read {
            ensure!(read.chunk > 0 && read.memory > 0, "read.chunk and read.memory are at least 1");
        }
        let name = match folder.map(|folder| folder.join(&row.name)).filter(|path| path.exists()) {
            Some(path) => path.display().to_string(),
            None => row.name,
        };
        Ok(Self {
            name,
            alias: row.alias,
            licence: row.licence,
            config,
            quant,
            bytes: row.bytes,
            window: row.window,
            thinks: row.thinks,
            sampling: Sampling { temperature, top_p, top_k, min_p: 0.0, seed: 0 },
            read: row.read,
        })
    }

    /// The reader's settings in a window: the entry's own sizes where they fit it, else shares of the window.
    pub fn settings(&self, window: usize, thinks: bool) -> ReadSettings {
        let mut settings = ReadSettings::for_window(window, thinks);
        settings.sampling = self.sampling;
        if let Some(read) = self.read {
            let thinking = if thinks { read.thinking } else { 0 };
            // A turn holds the memory twice, in the prompt and in the reply, and so the plan.
            if read.chunk + 2 * (read.memory + settings.plan) + thinking + FORM <= window {
                (settings.chunk, settings.memory, settings.thinking) = (read.chunk, read.memory, thinking);
            }
        }
        settings
    }

    /// `QwenLong-L1.5-30B-A3B` of `Tongyi-Zhiwen/QwenLong-L1.5-30B-A3B`, in lower case and without what a GGUF repository adds.
    fn model(&self) -> String {
        let repo = self.name.split(':').next().unwrap_or_default();
        let word = repo.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        [".gguf", "-gguf"].iter().fold(word, |word, end| word.strip_suffix(end).map(str::to_string).unwrap_or(word))
    }

    /// Whether `word`, in lower case, is the model's name, or begins with it and goes on with a mark.
    fn is_called(&self, word: &str) -> bool {
        let word = word.strip_prefix("models--").map_or(word, |rest| rest.split_once("--").map_or(rest, |(_, name)| name));
        let word = word.rsplit('/').next().unwrap_or(word);
        word.strip_prefix(&*self.model()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '_', ':', '@']))
    }

    fn has_shape(&self, config: &ModelConfig) -> bool {
        self.has_sizes(config) && self.config.max_positions == config.max_positions
    }

    fn has_sizes(&self, config: &ModelConfig) -> bool {
        let key = |c: &ModelConfig| (c.architecture, c.layers, c.hidden, c.heads, c.kv_heads, c.vocab);
        let experts = |c: &ModelConfig| c.moe.as_ref().map(|moe| (moe.experts, moe.intermediate));
        key(&self.config) == key(config) && experts(&self.config) == experts(config) && self.config.rope_theta == config.rope_theta
    }
}

impl Quant {
    /// `q4_k_m` or a format's name.
    fn parse(name: &str) -> Result<Self> {
        if name == "q4_k_m" {
            return Ok(Self::Q4KM);
        }
        let found = DType::WEIGHTS.into_iter().find(|dtype| dtype.name() == name);
        let names = DType::WEIGHTS.map(DType::name).join(", ");
        found.map(Self::Plain).with_context(|| format!("quant {name} is none of q4_k_m, {names}"))
    }

    /// The format of most weights.
    pub fn main(self) -> DType {
        match self {
            Self::Plain(dtype) => dtype,
            Self::Q4KM => DType::Q4_K,
        }
    }

    /// Bytes of all weights; vectors and the router are f32. `None` where a matrix is no whole number of blocks.
    pub fn bytes(self, config: &ModelConfig) -> Option<u64> {
        let mut total = 0u128;
        for role in Role::ALL {
            let layers = if role.is_global() { 1 } else { config.layers };
            for layer in (0..layers).filter(|&layer| role.exists(config, layer)) {
                let shape = role.shape(config);
                let (&cols, outer) = shape.split_last()?;
                let dtype = if outer.is_empty() || role == Role::Router { DType::F32 } else { self.of(role, layer, config) };
                total += outer.iter().map(|&n| n as u128).product::<u128>() * dtype.row_bytes(cols)? as u128;
            }
        }
        u64::try_from(total).ok()
    }

    fn of(self, role: Role, layer: usize, config: &ModelConfig) -> DType {
        let Self::Q4KM = self else { return self.main() };
        // What llama.cpp's quantiser calls "more bits": the first and the last eighth of the layers, and every third between.
        let eighth = config.layers / 8;
        let more = layer < eighth || layer >= 7 * config.layers / 8 || (layer - eighth) % 3 == 2;
        match role {
            Role::OutputHead => DType::Q6_K,
            Role::Embedding if config.tie_embeddings => DType::Q6_K,
            Role::V | Role::Down | Role::ExpertDown if more => DType::Q6_K,
            _ => DType::Q4_K,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> Vec<Entry> {
        parse(EMBEDDED, None).unwrap()
    }

    fn entry(alias: &str) -> Entry {
        embedded().into_iter().find(|entry| entry.alias == alias).unwrap()
    }

    #[test]
    fn the_embedded_list_is_whole_and_biggest_first() {
        let entries = embedded();
        let sizes: Vec<u64> = entries.iter().map(|entry| entry.config.parameters()).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        for alias in ["qwenlong-l1.5", "qwen3-30b-a3b-thinking-2507", "qwen3-8b", "qwen3-4b", "qwen3-1.7b", "qwen3-0.6b"] {
            assert!(entries.iter().any(|entry| entry.alias == alias), "{alias}");
        }
        for entry in &entries {
            let id = crate::hub::ModelId::parse(&entry.name).unwrap();
            assert_eq!(id.file.is_some(), id.repo.ends_with("-GGUF"), "{}", entry.name);
        }
    }

    #[test]
    fn a_mixtures_weights_are_within_one_percent_of_the_published_files() {
        for entry in embedded() {
            let off = entry.quant.bytes(&entry.config).unwrap() as f64 / entry.bytes as f64 - 1.0;
            let most = if entry.quant == Quant::Plain(DType::Q8_0) { 0.012 } else { 0.005 };
            assert!(off.abs() <= most, "{}: {off}", entry.alias);
        }
        // The plain format alone is not the mixture: this comparison sees the difference.
        let four = entry("qwen3-4b");
        assert!(Quant::Plain(DType::Q4_K).bytes(&four.config).unwrap() as f64 / (four.bytes as f64) < 0.92);
    }

    #[test]
    fn qwenlong_reads_as_the_paper_does_where_the_window_has_room() {
        let entry = entry("qwenlong-l1.5");
        assert_eq!((entry.sampling.temperature, entry.sampling.top_p, entry.sampling.top_k), (0.7, 0.95, 0));
        let sizes = |window| {
            let settings = entry.settings(window, true);
            (settings.chunk, settings.memory, settings.thinking)
        };
        assert_eq!(sizes(131_072), (32_768, 15_360, 16_384));
        // 96K still have the paper's sizes; shares of the window would be less.
        assert_eq!(sizes(98_304), (32_768, 15_360, 16_384));
        assert_eq!(sizes(65_536), (16_384, 7_864, 16_384));
        assert_eq!(entry.settings(131_072, false).thinking, 0);
    }

    #[test]
    fn a_broken_list_is_refused_with_what_is_wrong() {
        let good = EMBEDDED;
        let broken = |from: &str, to: &str, words: &[&str]| {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from} is not in the list");
            let error = format!("{:#}", parse(&text, None).unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        };
        broken("[[model]]", "[[model]", &["TOML parse error"]);
        broken("thinks = true", "thinks = \"yes\"", &["thinks"]);
        broken("licence =", "license =", &["license", "unknown field"]);
        broken("top_k = 0", "top_q = 0", &["top_q"]);
        broken("alias = \"qwen3-8b\"", "alias = \"qwen3-4b\"", &["qwen3-4b", "twice"]);
        broken("alias = \"qwen3-8b\"", "alias = \"a/b\"", &["alias"]);
        broken("shape = \"qwen3-8b\"", "shape = \"qwen9\"", &["qwen3-8b", "qwen9"]);
        broken("shape = \"qwen3-8b\"", "config = \"x/config.json\"", &["shape"]);
        broken("quant = \"q8_0\"", "quant = \"q3_k\"", &["q3_k", "q4_k_m"]);
        broken("bytes = 639_446_688", "bytes = 665_000_000", &["qwen3-0.6b", "665000000"]);
        broken("window = 40_960", "window = 50_000", &["window", "50000", "40960"]);
        broken("temperature = 0.7", "temperature = -1.0", &["temperature"]);
        broken("top_p = 0.95", "top_p = nan", &["top_p"]);
        broken("chunk = 32_768", "chunk = 0", &["chunk"]);
        assert!(parse("", None).unwrap().is_empty());
    }

    #[test]
    fn a_checkpoint_is_known_by_name_and_shape() {
        let shape = |name: &str| ModelConfig::known(name).unwrap();
        let alias = |name: &str, path: &str, config: &ModelConfig| {
            identify(name, Path::new(path), config).unwrap().map(|entry| entry.alias.clone())
        };
        let long = shape("qwenlong-l1.5-30b-a3b");
        let is_long = Some("qwenlong-l1.5".to_string());
        assert_eq!(alias("QwenLong-L1.5", "/x", &long), is_long);
        assert_eq!(alias("m/QwenLong-L1.5-30B-A3B.Q8_0.gguf", "m/QwenLong-L1.5-30B-A3B.Q8_0.gguf", &long), is_long);
        assert_eq!(alias("./m", "/models/QwenLong-L1.5-30B-A3B", &long), is_long);
        assert_eq!(alias("x", "/c/models--Tongyi-Zhiwen--QwenLong-L1.5-30B-A3B/snapshots/0a", &long), is_long);
        assert_eq!(alias("x", "/models/QwenLong-L1.5-30B-A3Bx", &long), None);
        assert_eq!(alias("x", "/models/QwenLong-L1.5-30B-A3B", &shape("qwen3-8b")), None);
        assert_eq!(alias("qwenlong-l1.5", "/here/qwenlong-l1.5", &shape("qwen3-8b")), None);
        // The name alone is not enough: another rotary base and another window make another model.
        let four = shape("qwen3-4b-thinking-2507");
        assert_eq!(alias("x", "/models/Qwen3-4B-Thinking-2507-Q4_K_M.gguf", &four), None);
        assert_eq!(alias("x", "/models/qwen3-4b-q8_0.gguf", &shape("qwen3-4b")).as_deref(), Some("qwen3-4b"));
        assert_eq!(alias("Qwen/Qwen3-8B", "/x", &shape("qwen3-8b")).as_deref(), Some("qwen3-8b"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(at in 0usize..EMBEDDED.len(), len in 0usize..40, put in "\\PC{0,8}") {
            let mut text: Vec<char> = EMBEDDED.chars().collect();
            let at = at.min(text.len());
            let end = (at + len).min(text.len());
            text.splice(at..end, put.chars());
            let _ = parse(&text.into_iter().collect::<String>(), None);
        }
    }
}

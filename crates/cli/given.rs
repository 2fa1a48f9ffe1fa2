//! A model as a person gives it to `export` and `merge`: a checkpoint, a training run, an adapter on its base.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model::Checkpoint;
use train::adapter::Adapter;
use train::export::Weights;
use train::finetune::Trained;
use train::merge;

use crate::{catalog, load};

/// What every adapter folder has.
const ADAPTER: &str = "adapter_config.json";

/// A model with all that changes its weights.
pub struct Given {
    /// As it was given.
    pub name: String,
    /// The checkpoint below.
    pub checkpoint: Checkpoint,
    /// Of a training run: what it made.
    pub trained: Option<Trained>,
    /// An adapter to be merged in, the run's own or another.
    pub adapter: Option<Adapter>,
    /// The name its checkpoint was opened by, and where it is.
    base: (String, PathBuf),
    /// The adapter's folder, where it has one.
    folder: Option<PathBuf>,
}

impl Given {
    /// A model or a training run, with an adapter's folder or without. `last`: a run's newest checkpoint, not the best.
    pub fn open(name: &str, adapter: Option<&Path>, last: bool) -> Result<Self> {
        let run = Path::new(name);
        let is_run = Trained::is_run(run);
        let base = if is_run { Trained::config_of(run)?.model_name() } else { name.to_owned() };
        let (checkpoint, path) = load::checkpoint(&base)?;
        let trained = if is_run { Some(Trained::open(run, last, checkpoint.config())?) } else { None };
        let opened = match (adapter, &trained) {
            (Some(_), Some(_)) => anyhow::bail!("{name} is a training run: its own adapter is merged in, another has no place"),
            (Some(folder), None) => Some(Adapter::open(folder).with_context(|| format!("cannot use the adapter at {}", folder.display()))?),
            (None, Some(trained)) => trained.adapter(&checkpoint)?,
            (None, None) => None,
        };
        Ok(Self { name: name.into(), checkpoint, trained, adapter: opened, base: (base, path), folder: adapter.map(Path::to_path_buf) })
    }

    /// As [`Given::open`], from one word: also MODEL+ADAPTER, or an adapter's folder, whose own configuration names its base.
    pub fn parse(word: &str) -> Result<Self> {
        let path = Path::new(word);
        if path.join(ADAPTER).is_file() && !path.join("config.json").is_file() {
            let adapter = Adapter::open(path).with_context(|| format!("cannot use the adapter at {word}"))?;
            ensure!(!adapter.base_name.is_empty(), "the adapter at {word} names no base: say BASE+{word}");
            let base = named_base(path, &adapter.base_name);
            let given = Self::open(&base, Some(path), false)
                .with_context(|| format!("the adapter at {word} names its base {}: say BASE+{word} to name another", adapter.base_name))?;
            return Ok(Self { name: word.into(), ..given });
        }
        // A path may have a + of its own.
        let whole = path.exists().then_some((word, None));
        let halves = || word.char_indices().filter(|(_, c)| *c == '+').map(move |(at, _)| (&word[..at], Some(&word[at + 1..])));
        let adapted = || halves().find(|(_, adapter)| adapter.is_some_and(|adapter| Path::new(adapter).join(ADAPTER).is_file()));
        let (model, adapter) = whole.or_else(adapted).or_else(|| halves().next_back()).unwrap_or((word, None));
        let given = Self::open(model, adapter.map(Path::new), false)?;
        Ok(Self { name: word.into(), ..given })
    }

    /// Its weights: the checkpoint's with what is on top of them.
    pub fn weights(&self) -> Result<Weights<'_>> {
        let mut weights = Weights::new(&self.checkpoint);
        if let Some(trained) = &self.trained {
            weights = weights.with_overrides(trained);
        }
        match &self.adapter {
            Some(adapter) => Ok(weights.with_adapter(adapter)?),
            None => Ok(weights),
        }
    }

    /// The files its weights come from.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = merge::files(&self.checkpoint);
        files.extend(self.trained.iter().flat_map(Trained::files));
        files.extend(self.folder.iter().map(|folder| folder.join("adapter_model.safetensors")));
        files
    }

    /// What a model card calls its checkpoint. A path says nothing to whoever reads the card elsewhere; its last word does.
    pub fn shown(&self) -> Result<String> {
        let (base, path) = &self.base;
        Ok(match catalog::named(base)? {
            Some(entry) => entry.name.split(':').next().unwrap_or(&entry.name).to_owned(),
            None if Path::new(base).exists() => load::display_name(&path.display().to_string()),
            None => base.clone(),
        })
    }

    /// Its checkpoint's licence, where it is one of those that come with the program.
    pub fn licence(&self) -> Result<Option<String>> {
        Ok(catalog::named(&self.base.0)?.map(|entry| entry.licence.to_ascii_lowercase()))
    }
}

/// The base that an adapter names. A run writes it as its configuration does, and that may be relative to the configuration.
fn named_base(adapter: &Path, name: &str) -> String {
    match adapter.parent().filter(|run| Trained::is_run(run)).map(Trained::config_of) {
        Some(Ok(config)) => config.model_name(),
        _ => name.to_owned(),
    }
}

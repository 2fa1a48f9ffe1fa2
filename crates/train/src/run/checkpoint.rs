//! Checkpoints of a run, each a folder that appears whole or not at all.
//!
//! ```text
//! checkpoint/step-000123/
//!   masters.safetensors  adam_m.safetensors  adam_v.safetensors    (files of tensors: whatever the trainer names)
//!   state.json           data::TrainState
//!   config.toml          the run's configuration as it was
//!   manifest.json        data::Manifest: length and SHA-256 of the others; written last
//! ```
//!
//! It is written to `.step-000123.tmp`, brought to the disk file by file, and renamed. A folder without a manifest, or with a file of another
//! length than the manifest says, is not complete and is never gone on from.

mod disk;
mod read;
mod write;

use std::fs;
use std::path::{Path, PathBuf};

use data::{Manifest, TrainState};

use super::error::{Result, RunError};
use super::identity::Identity;
pub use disk::{Disk, DiskFile, RealDisk};
pub use read::Checkpoint;
pub use write::{Saved, TensorFile, TensorSpec, Writer};

const MANIFEST: &str = "manifest.json";
const STATE: &str = "state.json";
const CONFIG: &str = "config.toml";

/// The checkpoints of a run: its folder `checkpoint/`.
pub struct Store {
    folder: PathBuf,
    disk: Box<dyn Disk>,
}

/// Which checkpoints stay on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The newest ones; at least 1.
    pub last: usize,
    /// The one with the lowest validation loss.
    pub best: bool,
    /// Those whose step it divides.
    pub every: Option<u64>,
}

/// The newest and the best.
impl Default for Keep {
    fn default() -> Self {
        Self { last: 1, best: true, every: None }
    }
}

/// The checkpoints there are.
#[derive(Debug, Default)]
pub struct Scan {
    /// Those that are complete by name and length, newest first.
    pub complete: Vec<Listed>,
    /// Those that are not, and why.
    pub skipped: Vec<RunError>,
}

/// A checkpoint whose files have not been looked into.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Optimizer steps taken.
    pub step: u64,
    /// Its folder.
    pub path: PathBuf,
    /// Loss on held-out data at that step, where it was measured.
    pub validation: Option<f32>,
}

impl Scan {
    /// The newest complete one.
    pub fn newest(&self) -> Option<&Listed> {
        self.complete.first()
    }

    /// The one with the lowest validation loss, the earliest of equals.
    pub fn best(&self) -> Option<&Listed> {
        let finite = self.complete.iter().rev().filter_map(|listed| Some((listed, listed.validation.filter(|loss| loss.is_finite())?)));
        finite.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(listed, _)| listed)
    }
}

impl Store {
    /// The checkpoints in `folder`, which need not be there yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::on(RealDisk, folder)
    }

    /// The same with every change made through `disk`.
    pub fn on(disk: impl Disk + 'static, folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), disk: Box::new(disk) }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is there. Reads manifests and states, no tensors.
    pub fn scan(&self) -> Result<Scan> {
        let mut scan = Scan::default();
        for name in self.names()? {
            let Some(step) = step_of(&name) else { continue };
            let path = self.folder.join(&name);
            match listed(step, path) {
                Ok(listed) => scan.complete.push(listed),
                Err(error) => scan.skipped.push(error),
            }
        }
        scan.complete.sort_by_key(|listed| std::cmp::Reverse(listed.step));
        Ok(scan)
    }

    /// Begins a checkpoint of `state`, whose `version`, `config` and `base` are filled in here.
    ///
    /// What is on the disk already is untouched until [`Writer::finish`]; a writer that is dropped before removes what it wrote.
    pub fn begin(&self, identity: &Identity, state: TrainState) -> Result<Writer<'_>> {
        Writer::begin(self, identity, state)
    }

    /// Removes what kills have left, and puts back a checkpoint that was moved aside for one that never came. Only the process that writes
    /// the run may do so.
    pub fn tidy(&self) -> Result<()> {
        for name in self.names()? {
            let path = self.folder.join(&name);
            let hidden =
                |ending: &str| name.strip_prefix('.').and_then(|name| name.strip_suffix(ending)).filter(|name| step_of(name).is_some());
            if let Some(step) = hidden(OLD).filter(|name| !self.folder.join(name).exists()) {
                self.disk.rename(&path, &self.folder.join(step)).map_err(RunError::io(&path))?;
            } else if hidden(TEMP).or(hidden(OLD)).is_some() {
                self.disk.remove_folder(&path).map_err(RunError::io(&path))?;
            }
        }
        Ok(())
    }

    /// Removes the complete checkpoints that `keep` does not name; the steps removed.
    pub fn keep(&self, keep: &Keep) -> Result<Vec<u64>> {
        let scan = self.scan()?;
        let best = scan.best().filter(|_| keep.best).map(|best| best.step);
        let mut removed = vec![];
        for listed in scan.complete.iter().skip(keep.last.max(1)) {
            let divides = keep.every.is_some_and(|every| every > 0 && listed.step % every == 0);
            if best != Some(listed.step) && !divides {
                // First out of sight: half a removed checkpoint must not look like one.
                let aside = self.hidden(listed.step, TEMP);
                self.disk.rename(&listed.path, &aside).map_err(RunError::io(&listed.path))?;
                self.disk.remove_folder(&aside).map_err(RunError::io(&aside))?;
                removed.push(listed.step);
            }
        }
        Ok(removed)
    }

    fn hidden(&self, step: u64, ending: &str) -> PathBuf {
        self.folder.join(format!(".{}{ending}", folder_name(step)))
    }

    /// Names in the folder; none if it is not there.
    fn names(&self) -> Result<Vec<String>> {
        let io = RunError::io(&self.folder);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(&io)?,
        };
        let mut names = vec![];
        for entry in entries {
            names.extend(entry.map_err(&io)?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Ending of a folder that is being written or removed.
const TEMP: &str = ".tmp";
/// Ending of a complete folder that another of the same step is about to replace.
const OLD: &str = ".old";

/// The folder of a step's checkpoint: `step-000123`.
pub fn folder_name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step of a folder's name; `None` for any other name.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (folder_name(step) == name).then_some(step)
}

/// A complete checkpoint in `path`, or what it lacks.
fn listed(step: u64, path: PathBuf) -> Result<Listed> {
    let manifest = manifest(&path)?;
    for (name, record) in &manifest.files {
        let file = path.join(name);
        let found = fs::metadata(&file).map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 });
        if found != record.bytes || !file.is_file() {
            return Err(RunError::CutShort { path: file, expected: record.bytes, found });
        }
    }
    let state = state(&path)?;
    if manifest.step != step || state.step != step {
        return Err(RunError::format(
            &path,
            format!("its files are of step {} and {}: the folder was renamed; give it back its name", manifest.step, state.step),
        ));
    }
    Ok(Listed { step, validation: state.validation, path })
}

/// The manifest of the checkpoint in `path`. Its names are plain names, and the files every checkpoint has are among them.
fn manifest(path: &Path) -> Result<Manifest> {
    let file = path.join(MANIFEST);
    let bytes = match fs::read(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(RunError::CutShort { path: file, expected: 1, found: 0 }),
        bytes => bytes.map_err(RunError::io(&file))?,
    };
    let manifest: Manifest = json(&file, &bytes, Manifest::VERSION)?;
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0']);
    if let Some(name) = manifest.files.keys().find(|name| !plain(name)) {
        return Err(RunError::format(&file, format!("{name:?} is no name of a file in this folder")));
    }
    if let Some(name) = [STATE, CONFIG].into_iter().find(|name| !manifest.files.contains_key(*name)) {
        return Err(RunError::format(
            &file,
            format!("it does not list {name}; delete the checkpoint's folder to go on from the one before"),
        ));
    }
    Ok(manifest)
}

fn state(path: &Path) -> Result<TrainState> {
    let file = path.join(STATE);
    let bytes = fs::read(&file).map_err(RunError::io(&file))?;
    json(&file, &bytes, TrainState::VERSION)
}

/// A record of a version we know.
fn json<T: serde::de::DeserializeOwned>(file: &Path, bytes: &[u8], version: u32) -> Result<T> {
    let unreadable = |error| RunError::format(file, format!("{error}; delete the checkpoint's folder to go on from the one before"));
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(unreadable)?;
    match value.get("version").and_then(|version| version.as_u64()) {
        Some(found) if found > u64::from(version) => Err(RunError::format(
            file,
            format!("it has version {found}, this Longhand knows versions up to {version}: use the newer Longhand that wrote it"),
        )),
        _ => serde_json::from_value(value).map_err(unreadable),
    }
}

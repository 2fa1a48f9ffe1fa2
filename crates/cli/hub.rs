//! What `--model` names: a folder, a .gguf file, or a model of the hub, kept in the cache every Hugging Face tool uses
//! (`models--owner--name/{blobs,refs,snapshots}`). What is complete there is used without asking the network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::fetch::{Client, cache_home};

/// Beside config.json and weights, what a model may need.
const SMALL: [&str; 6] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
];
const INDEX: &str = "model.safetensors.index.json";

/// The hub and its cache.
pub struct Hub {
    /// `$HF_ENDPOINT`.
    pub endpoint: String,
    /// `$HF_TOKEN`.
    pub token: Option<String>,
    /// `$HF_HUB_OFFLINE`.
    pub offline: bool,
    /// `$HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub`.
    pub cache: PathBuf,
    /// `$LONGHAND_MODELS`: a directory where names are looked up first.
    pub models: Option<PathBuf>,
}

/// `owner/name`, `owner/name:file.gguf`, each with `@revision` after the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    /// `owner/name`.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// One file of it.
    pub file: Option<String>,
}

impl ModelId {
    /// Reads a hub id; `None` where the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, file) = match text.split_once(':') {
            Some((rest, file)) => (rest, Some(file)),
            None => (text, None),
        };
        // `owner/name:file@revision` is understood as well.
        let (file, late) = match file.map(|file| file.rsplit_once('@').map_or((file, None), |(file, revision)| (file, Some(revision)))) {
            Some((file, late)) => (Some(file), late),
            None => (None, None),
        };
        let (repo, early) = rest.split_once('@').map_or((rest, None), |(repo, revision)| (repo, Some(revision)));
        let (owner, name) = repo.split_once('/')?;
        let revision = early.or(late).unwrap_or("main");
        let valid = [owner, name].iter().all(|part| is_word(part)) && is_path(revision) && file.is_none_or(is_path);
        (valid && (early.is_none() || late.is_none())).then(|| Self {
            repo: repo.into(),
            revision: revision.into(),
            file: file.map(str::to_string),
        })
    }
}

/// Letters, digits, `-`, `_` and `.`, and no folder's parent.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_word)
}

fn is_gguf(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".gguf")
}

impl Hub {
    /// As the environment says.
    pub fn from_env() -> Result<Self> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let cache = match (var("HF_HUB_CACHE"), var("HF_HOME")) {
            (Some(hub), _) => PathBuf::from(hub),
            (None, Some(home)) => Path::new(&home).join("hub"),
            (None, None) => cache_home()?.join("huggingface").join("hub"),
        };
        Ok(Self {
            endpoint: var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()).trim_end_matches('/').to_string(),
            token: var("HF_TOKEN"),
            offline: var("HF_HUB_OFFLINE").is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())),
            cache,
            models: var("LONGHAND_MODELS").map(PathBuf::from),
        })
    }

    /// The folder or .gguf file that `name` stands for, downloaded if need be.
    pub fn resolve(&self, name: &str) -> Result<PathBuf> {
        for path in [Some(PathBuf::from(name)), self.models.as_ref().map(|dir| dir.join(name))].into_iter().flatten() {
            if path.exists() {
                return local(&path);
            }
        }
        let Some(id) = ModelId::parse(name) else {
            bail!("{name} is neither a folder, nor a .gguf file, nor a hub id (owner/name, owner/name@revision, owner/name:file.gguf)")
        };
        if let Some(path) = self.cached(&id) {
            return Ok(path);
        }
        ensure!(!self.offline, "{name} is not in {} (or not whole), and HF_HUB_OFFLINE forbids to fetch it", self.cache.display());
        self.fetch(&id).with_context(|| format!("cannot get {name} from {}", self.endpoint))
    }

    /// Whether `name` is a path, or one in `$LONGHAND_MODELS`.
    pub fn is_on_disk(&self, name: &str) -> bool {
        Path::new(name).exists() || self.models.as_ref().is_some_and(|dir| dir.join(name).exists())
    }

    /// Where the model of a hub id is, without asking the network.
    pub fn here(&self, name: &str) -> Option<PathBuf> {
        let kept = self.models.as_ref().map(|dir| dir.join(name)).filter(|path| path.exists());
        kept.and_then(|path| local(&path).ok()).or_else(|| self.cached(&ModelId::parse(name)?))
    }

    /// Asks whether the hub can be reached and has the repository, waiting for a few seconds at most.
    pub fn answers(&self, id: &ModelId) -> Result<()> {
        let client = Client::new(self.token.clone(), Duration::from_secs(5), 1);
        client.json(&format!("{}/api/models/{}/revision/{}", self.endpoint, id.repo, id.revision.replace('/', "%2F"))).map(drop)
    }

    /// Every folder with whole weights and every .gguf file in `$LONGHAND_MODELS` and in the cache, each once.
    pub fn all_here(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if let Some(models) = &self.models {
            collect(models, 2, &mut found);
        }
        for folder in sorted(&self.cache) {
            if !folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("models--")) {
                continue;
            }
            // What a branch points at; older snapshots hold the same model again.
            let branches = sorted(&folder.join("refs")).into_iter().filter_map(|path| fs::read_to_string(path).ok());
            for commit in branches.map(|commit| commit.trim().to_string()).filter(|commit| is_word(commit)) {
                collect(&folder.join("snapshots").join(commit), 1, &mut found);
            }
        }
        let mut seen = BTreeSet::new();
        found.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
        found
    }

    fn folder(&self, id: &ModelId) -> PathBuf {
        self.cache.join(format!("models--{}", id.repo.replace('/', "--")))
    }

    /// What is whole in the cache.
    fn cached(&self, id: &ModelId) -> Option<PathBuf> {
        let folder = self.folder(id);
        let commit = fs::read_to_string(folder.join("refs").join(&id.revision)).unwrap_or_else(|_| id.revision.clone());
        let commit = Some(commit.trim()).filter(|commit| is_path(commit))?;
        let snapshot = folder.join("snapshots").join(commit);
        match &id.file {
            Some(file) => Some(snapshot.join(file)).filter(|path| path.is_file()),
            None if snapshot.join("config.json").is_file() && weights_are_whole(&snapshot) => Some(snapshot),
            // Whether a lone .gguf is the only one there is, the hub knows; without it, it is what there is.
            None if self.offline => local(&snapshot).ok().filter(|path| path.is_file()),
            None => None,
        }
    }

    fn fetch(&self, id: &ModelId) -> Result<PathBuf> {
        let client = Client::new(self.token.clone(), Duration::from_secs(15), 4);
        let info =
            client.json(&format!("{}/api/models/{}/revision/{}?blobs=true", self.endpoint, id.repo, id.revision.replace('/', "%2F")))?;
        let commit = info["sha"].as_str().filter(|sha| is_word(sha)).context("the hub's answer names no commit")?;
        let listed = info["siblings"].as_array().context("the hub's answer lists no files")?;
        let sizes: Vec<(&str, u64)> = listed
            .iter()
            .filter_map(|file| Some((file["rfilename"].as_str().filter(|name| is_path(name))?, file["size"].as_u64().unwrap_or(0))))
            .collect();
        let names: Vec<&str> = sizes.iter().map(|(name, _)| *name).collect();
        let mut wanted = wanted(id, &names)?;
        let snapshot = self.folder(id).join("snapshots").join(commit);
        if wanted.last().is_some_and(|name| name == INDEX) {
            self.file(&client, id, commit, INDEX)?;
            wanted.extend(shards(&snapshot.join(INDEX))?);
        }
        let bytes: u64 =
            sizes.iter().filter(|(name, _)| wanted.iter().any(|w| w == name) && !snapshot.join(name).exists()).map(|(_, size)| size).sum();
        eprintln!("{}: {} files, {:.1} MB to download into {}", id.repo, wanted.len(), bytes as f64 / 1e6, self.cache.display());
        for name in &wanted {
            ensure!(names.contains(&name.as_str()), "its index names {name}, which it does not have");
            self.file(&client, id, commit, name)?;
        }
        let reference = self.folder(id).join("refs").join(&id.revision);
        fs::create_dir_all(reference.parent().unwrap_or(&reference)).with_context(|| format!("cannot make {}", reference.display()))?;
        fs::write(&reference, commit).with_context(|| format!("cannot write {}", reference.display()))?;
        Ok(if is_gguf(&wanted[0]) { snapshot.join(&wanted[0]) } else { snapshot })
    }

    /// One file: into `blobs` under its etag, and a link to it in the snapshot.
    fn file(&self, client: &Client, id: &ModelId, commit: &str, name: &str) -> Result<()> {
        let folder = self.folder(id);
        let link = folder.join("snapshots").join(commit).join(name);
        if link.exists() {
            return Ok(());
        }
        let blob = client.file(&format!("{}/{}/resolve/{commit}/{name}", self.endpoint, id.repo), &folder.join("blobs"), name, None)?;
        fs::create_dir_all(link.parent().unwrap_or(&folder)).with_context(|| format!("cannot make the folder of {}", link.display()))?;
        // A link that leads nowhere is in the way of a new one.
        let _ = fs::remove_file(&link);
        place(&blob, &link, name.matches('/').count()).with_context(|| format!("cannot make {}", link.display()))
    }
}

/// Models in `folder`, and `depth` folders below it.
fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if folder.join("config.json").is_file() && weights_are_whole(folder) {
        found.push(folder.to_path_buf());
        return;
    }
    for path in sorted(folder) {
        if path.is_file() && is_gguf(&path.to_string_lossy()) {
            found.push(path);
        } else if path.is_dir() && depth > 0 {
            collect(&path, depth - 1, found);
        }
    }
}

/// What a folder holds, in order; nothing where it cannot be looked into.
fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

#[cfg(unix)]
fn place(blob: &Path, link: &Path, depth: usize) -> std::io::Result<()> {
    let up = "../".repeat(depth + 2);
    std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(blob.file_name().unwrap_or_default()), link)
}

/// Windows lets few people make symbolic links.
#[cfg(not(unix))]
fn place(blob: &Path, link: &Path, _depth: usize) -> std::io::Result<()> {
    fs::hard_link(blob, link).or_else(|_| fs::copy(blob, link).map(drop))
}

/// The files to fetch, weights last, so that a snapshot with weights is whole.
fn wanted(id: &ModelId, names: &[&str]) -> Result<Vec<String>> {
    let ggufs: Vec<&str> = names.iter().copied().filter(|name| is_gguf(name)).collect();
    if let Some(file) = &id.file {
        ensure!(is_gguf(file), "{file} is not a .gguf file: leave it out to get the whole folder");
        ensure!(names.contains(&file.as_str()), "it has no {file}; its .gguf files: {}", ggufs.join(", "));
        return Ok(vec![file.clone()]);
    }
    let weights = [INDEX, "model.safetensors"].into_iter().find(|name| names.contains(name));
    match (names.contains(&"config.json"), weights, &ggufs[..]) {
        (true, Some(weights), _) => {
            let small = SMALL.into_iter().filter(|name| names.contains(name));
            Ok(["config.json"].into_iter().chain(small).chain([weights]).map(str::to_string).collect())
        }
        (_, _, [one]) => Ok(vec![one.to_string()]),
        (_, _, []) => bail!("it has neither config.json with model.safetensors nor a .gguf file"),
        (_, _, several) => bail!("it has several .gguf files: choose one with {}:FILE, of {}", id.repo, several.join(", ")),
    }
}

fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read(index).with_context(|| format!("cannot read {}", index.display()))?;
    let json: Value = serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", index.display()))?;
    let map = json["weight_map"].as_object().with_context(|| format!("{} has no weight_map", index.display()))?;
    let names: BTreeSet<String> = map.values().filter_map(|name| name.as_str().map(str::to_string)).collect();
    ensure!(!names.is_empty() && names.iter().all(|name| is_path(name)), "{} names no usable files", index.display());
    Ok(names)
}

fn weights_are_whole(snapshot: &Path) -> bool {
    let index = snapshot.join(INDEX);
    if index.is_file() {
        return shards(&index).is_ok_and(|names| names.iter().all(|name| snapshot.join(name).is_file()));
    }
    snapshot.join("model.safetensors").is_file()
}

/// A folder as it is, or the one .gguf file in it; a .gguf file.
fn local(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    if path.is_file() {
        ensure!(
            is_gguf(&path.to_string_lossy()),
            "{shown} is not a .gguf file: give the folder with config.json and the safetensors files instead"
        );
        return Ok(path.to_path_buf());
    }
    if path.join("config.json").is_file() {
        return Ok(path.to_path_buf());
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot look into {shown}"))?;
    let mut ggufs: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_gguf(&path.to_string_lossy())).collect();
    ggufs.sort();
    match &ggufs[..] {
        [one] => Ok(one.clone()),
        [] => bail!("{shown} has neither config.json nor a .gguf file: it is not a model's folder"),
        several => {
            let names: Vec<_> = several.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy()).collect();
            bail!("{shown} has several .gguf files: name one of {}", names.join(", "))
        }
    }
}

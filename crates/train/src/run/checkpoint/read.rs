use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data::{FileRecord, TrainState};
use kernels::{Bytes, DType};
use memmap2::Mmap;
use model::TensorInfo;
use sha2::{Digest, Sha256};

use super::{CONFIG, manifest, state};
use crate::run::error::{Result, RunError};
use crate::run::identity::{Identity, hex};

/// Ending of a file of tensors.
const TENSORS: &str = ".safetensors";
/// Bytes hashed at once.
const PIECE: usize = 1 << 20;

/// A checkpoint to go on from: every byte of it was compared with its hash; tensors are read from mapped files as they are asked for.
///
/// Drop it before the next one is saved: Windows removes no folder whose files are mapped.
pub struct Checkpoint {
    path: PathBuf,
    state: TrainState,
    config: String,
    /// Files of tensors by name without ending, then tensors by name.
    tensors: BTreeMap<String, BTreeMap<String, TensorInfo>>,
}

impl Checkpoint {
    /// The checkpoint in `path`, if it is one of the run that `identity` names.
    pub fn open(path: &Path, identity: &Identity) -> Result<Self> {
        let checkpoint = Self::look(path)?;
        identity.check(path, &checkpoint.config, &checkpoint.state.base)?;
        Ok(checkpoint)
    }

    /// The checkpoint in `path`, whatever run it is of: to read its tensors, not to go on.
    pub fn look(path: &Path) -> Result<Self> {
        let manifest = manifest(path)?;
        let mut tensors = BTreeMap::new();
        for (name, record) in &manifest.files {
            let file = path.join(name);
            let bytes = map(&file)?;
            verify(&file, bytes.as_slice(), record)?;
            if let Some(short) = name.strip_suffix(TENSORS) {
                let parsed = model::safetensors::parse(name, &bytes.into()).map_err(|error| RunError::format(&file, error.to_string()))?;
                tensors.insert(short.to_string(), parsed.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect());
            }
        }
        let config = path.join(CONFIG);
        let config = fs::read_to_string(&config).map_err(RunError::io(&config))?;
        Ok(Self { path: path.to_path_buf(), state: state(path)?, config, tensors })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the run goes on.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// The configuration it was written with.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// The tensors of a file by name; none if there is no such file.
    pub fn names(&self, file: &str) -> impl Iterator<Item = &str> {
        self.tensors.get(file).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// A tensor of `<file>.safetensors`; its bytes are mapped, not read.
    pub fn tensor(&self, file: &str, name: &str) -> Result<&TensorInfo> {
        let missing = || RunError::tensor(&self.file(file), name, "is missing: the checkpoint is of another model or method");
        self.tensors.get(file).and_then(|tensors| tensors.get(name)).ok_or_else(missing)
    }

    /// The values of an f32 tensor of that shape.
    pub fn f32s(&self, file: &str, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensor(file, name)?;
        if tensor.dtype != DType::F32 || tensor.shape != shape {
            let found = format!("is {} {:?}, expected f32 {shape:?}", tensor.dtype.name(), tensor.shape);
            return Err(RunError::tensor(&self.file(file), name, found));
        }
        let bytes = tensor.bytes.load().map_err(|error| RunError::tensor(&self.file(file), name, error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(bytes.as_slice()))
    }

    fn file(&self, file: &str) -> PathBuf {
        self.path.join(format!("{file}{TENSORS}"))
    }
}

/// A file's bytes, as they are read.
fn map(path: &Path) -> Result<Bytes> {
    let io = RunError::io(path);
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Bytes::from(vec![])),
        file => file.map_err(&io)?,
    };
    // SAFETY: a mapping is sound as long as nobody shortens or rewrites the file meanwhile. Files of a checkpoint are written once; a folder
    // is replaced or removed by renaming and unlinking, which leaves a mapping's pages as they were.
    let map = unsafe { Mmap::map(&file) }.map_err(&io)?;
    Ok(Bytes::new(Arc::new(Mapped(map))))
}

struct Mapped(Mmap);

impl kernels::Holder for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Errors unless these are the bytes that were written.
fn verify(path: &Path, bytes: &[u8], record: &FileRecord) -> Result<()> {
    if bytes.len() as u64 != record.bytes {
        return Err(RunError::CutShort { path: path.to_path_buf(), expected: record.bytes, found: bytes.len() as u64 });
    }
    let mut hash = Sha256::new();
    bytes.chunks(PIECE).for_each(|piece| hash.update(piece));
    let found = hex(&hash.finalize());
    if found != record.sha256 {
        return Err(RunError::HashDiffers { path: path.to_path_buf(), expected: record.sha256.clone(), found });
    }
    Ok(())
}

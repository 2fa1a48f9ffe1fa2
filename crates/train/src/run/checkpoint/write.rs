use std::collections::{BTreeMap, HashSet};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use data::{FileRecord, Manifest, TrainState};
use kernels::DType;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::{CONFIG, Disk, DiskFile, MANIFEST, OLD, STATE, Store, TEMP, folder_name};
use crate::run::error::{Result, RunError};
use crate::run::identity::{Identity, hex};

/// Bytes gathered before they are given to the system.
const BUFFER: usize = 1 << 20;

/// A tensor that is going to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name, another for each tensor of a file.
    pub name: String,
    /// F32, F16 or BF16.
    pub dtype: DType,
    /// Row-major, outermost first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// An f32 tensor.
    pub fn f32(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), dtype: DType::F32, shape: shape.to_vec() }
    }
}

/// A checkpoint that is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Optimizer steps taken.
    pub step: u64,
    /// Its folder.
    pub path: PathBuf,
    /// Of all files.
    pub bytes: u64,
}

/// A checkpoint that is being written. Dropped before [`Writer::finish`], it leaves nothing behind.
pub struct Writer<'s> {
    store: &'s Store,
    temp: PathBuf,
    state: TrainState,
    config: String,
    files: BTreeMap<String, FileRecord>,
    /// A file of tensors that was begun and not ended.
    open: Option<String>,
    finished: bool,
}

impl<'s> Writer<'s> {
    pub(super) fn begin(store: &'s Store, identity: &Identity, mut state: TrainState) -> Result<Self> {
        (state.version, state.config, state.base) = (TrainState::VERSION, identity.hash(), identity.base().to_string());
        let temp = store.hidden(state.step, TEMP);
        if temp.exists() {
            store.disk.remove_folder(&temp).map_err(RunError::io(&temp))?;
        }
        let config = identity.config().to_string();
        let writer = Self { store, temp, state, config, files: BTreeMap::new(), open: None, finished: false };
        store.disk.create_folder(&writer.temp).map_err(RunError::io(&writer.temp))?;
        Ok(writer)
    }

    /// Begins `<file>.safetensors`, which will hold `tensors` in this order. The header is written here, so that the tensors can follow one by
    /// one and never have to be in memory together.
    pub fn tensors(&mut self, file: &str, tensors: &[TensorSpec]) -> Result<TensorFile<'_, 's>> {
        let name = format!("{file}.safetensors");
        let path = self.temp.join(&name);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if file.is_empty() || !file.chars().all(plain) || self.files.contains_key(&name) {
            return Err(RunError::format(&path, "a file of tensors needs a name of letters, digits, - and _ that no other has"));
        }
        let header = header(&path, tensors)?;
        let mut out = HashedFile::create(&*self.store.disk, &path)?;
        out.write(&header)?;
        self.open = Some(name.clone());
        let left = tensors.iter().map(|tensor| (tensor.name.clone(), bytes_of(tensor))).collect();
        Ok(TensorFile { writer: self, out, name, left, next: 0 })
    }

    /// Writes state, configuration and manifest, and gives the folder its name: from then on it is the newest checkpoint.
    pub fn finish(mut self) -> Result<Saved> {
        if let Some(name) = &self.open {
            return Err(RunError::format(&self.temp.join(name), "its tensors were not all written"));
        }
        let state = pretty(&self.temp, &self.state)?;
        self.whole(STATE, &state)?;
        let config = std::mem::take(&mut self.config);
        self.whole(CONFIG, config.as_bytes())?;
        let manifest = Manifest { version: Manifest::VERSION, step: self.state.step, files: self.files.clone() };
        let manifest = pretty(&self.temp, &manifest)?;
        self.whole(MANIFEST, &manifest)?;
        let bytes = self.files.values().map(|file| file.bytes).sum();
        let (disk, step) = (&self.store.disk, self.state.step);
        disk.sync_folder(&self.temp).map_err(RunError::io(&self.temp))?;
        let path = self.store.folder.join(folder_name(step));
        let aside = self.store.hidden(step, OLD);
        let replaces = path.exists();
        if replaces {
            if aside.exists() {
                disk.remove_folder(&aside).map_err(RunError::io(&aside))?;
            }
            disk.rename(&path, &aside).map_err(RunError::io(&path))?;
        }
        if let Err(error) = disk.rename(&self.temp, &path) {
            if replaces {
                disk.rename(&aside, &path).map_err(RunError::io(&aside))?;
            }
            return Err(RunError::io(&path)(error));
        }
        self.finished = true;
        disk.sync_folder(&self.store.folder).map_err(RunError::io(&self.store.folder))?;
        if replaces {
            disk.remove_folder(&aside).map_err(RunError::io(&aside))?;
        }
        Ok(Saved { step, path, bytes })
    }

    fn whole(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut out = HashedFile::create(&*self.store.disk, &self.temp.join(name))?;
        out.write(bytes)?;
        self.files.insert(name.to_string(), out.finish()?);
        Ok(())
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // What stays here after all is removed by the next `Store::tidy`.
            let _ = self.store.disk.remove_folder(&self.temp);
        }
    }
}

/// A file of tensors that is being written, one tensor after the other.
pub struct TensorFile<'w, 's> {
    writer: &'w mut Writer<'s>,
    out: HashedFile,
    name: String,
    /// Names, and bytes that are still to come of each.
    left: Vec<(String, u64)>,
    next: usize,
}

impl TensorFile<'_, '_> {
    /// Writes `bytes` (little-endian) of the tensor `name`, which must be the next one; a large one may come in pieces.
    pub fn push(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        // Those of which nothing is to come need not be given.
        while self.left.get(self.next).is_some_and(|(next, left)| *left == 0 && next != name) {
            self.next += 1;
        }
        let refused = |message: String| Err(RunError::tensor(&self.out.path, name, message));
        match self.left.get_mut(self.next) {
            None => refused("came after the last one that was announced".into()),
            Some((next, _)) if next != name => refused(format!("came where `{next}` was announced")),
            Some((_, left)) => {
                let Some(rest) = left.checked_sub(bytes.len() as u64) else {
                    return refused(format!("has {} bytes more than its shape", bytes.len() as u64 - *left));
                };
                self.out.write(bytes)?;
                *left = rest;
                Ok(())
            }
        }
    }

    /// The same for f32 values.
    pub fn push_f32(&mut self, name: &str, values: &[f32]) -> Result<()> {
        self.push(name, bytemuck::cast_slice(values))
    }

    /// Brings the file to the disk. Errors if a tensor is missing.
    pub fn finish(self) -> Result<()> {
        if let Some((name, left)) = self.left.iter().find(|(_, left)| *left > 0) {
            return Err(RunError::tensor(&self.out.path, name, format!("is {left} bytes short")));
        }
        let record = self.out.finish()?;
        self.writer.files.insert(self.name, record);
        self.writer.open = None;
        Ok(())
    }
}

/// Bytes of a tensor; what does not fit is refused with the header.
fn bytes_of(tensor: &TensorSpec) -> u64 {
    tensor.shape.iter().product::<usize>() as u64 * tensor.dtype.block_bytes() as u64
}

/// The beginning of a safetensors file: its header's length, and the header, padded to 8 bytes.
fn header(path: &Path, tensors: &[TensorSpec]) -> Result<Vec<u8>> {
    let mut names = HashSet::new();
    let mut infos = Vec::with_capacity(tensors.len());
    let mut at = 0usize;
    for TensorSpec { name, dtype, shape } in tensors {
        if !names.insert(name) {
            return Err(RunError::tensor(path, name, "is announced twice"));
        }
        let (stored, width) = match dtype {
            DType::F32 => (Dtype::F32, 4),
            DType::F16 => (Dtype::F16, 2),
            DType::BF16 => (Dtype::BF16, 2),
            other => return Err(RunError::tensor(path, name, format!("is {}; a checkpoint holds f32, f16 and bf16", other.name()))),
        };
        let end = shape.iter().try_fold(width, |bytes: usize, &side| bytes.checked_mul(side)).and_then(|bytes| at.checked_add(bytes));
        let end = end.ok_or_else(|| RunError::tensor(path, name, format!("has an impossible shape {shape:?}")))?;
        infos.push((name.clone(), TensorInfo { dtype: stored, shape: shape.clone(), data_offsets: (at, end) }));
        at = end;
    }
    let metadata = Metadata::new(None, infos).map_err(|error| RunError::format(path, error.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|error| RunError::format(path, error.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok(header)
}

fn pretty(path: &Path, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| RunError::format(path, error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// A file that is hashed as it is written.
struct HashedFile {
    path: PathBuf,
    file: BufWriter<Box<dyn DiskFile>>,
    hash: Sha256,
    bytes: u64,
}

impl HashedFile {
    fn create(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let file = disk.create(path).map_err(RunError::io(path))?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::with_capacity(BUFFER, file), hash: Sha256::new(), bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(RunError::io(&self.path))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<FileRecord> {
        let io = RunError::io(&self.path);
        self.file.flush().map_err(&io)?;
        self.file.get_mut().sync().map_err(&io)?;
        Ok(FileRecord { bytes: self.bytes, sha256: hex(&self.hash.finalize()) })
    }
}

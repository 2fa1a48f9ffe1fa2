//! Hugging Face folders: config.json, tokenizer files, weights in safetensors, sharded above 5 GB.

use std::fs;
use std::io::Write;
use std::path::Path;

use kernels::DType;
use model::source::{Origin, TokenizerMaterial};
use model::{ModelConfig, Role};
use serde_json::{Map, Value, json};

use super::rows::{self, Order};
use super::weights::Matrix;
use super::{Export, ExportError, Format, Result, Written, hf_config, roles, vocabulary, whole};

/// Bytes of tensors in one file at most, where a tensor is not larger by itself.
pub(crate) const SHARD: u64 = 5_000_000_000;
/// What a folder may hold beside what a checkpoint keeps: copied as it is.
const BESIDE: [&str; 5] = ["special_tokens_map.json", "vocab.json", "merges.txt", "added_tokens.json", "tokenizer.model"];

/// A tensor in a safetensors header.
pub(crate) struct Entry {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.shape.iter().map(|&side| side as u64).product::<u64>() * self.dtype.block_bytes() as u64
    }
}

/// Length and header of a file whose tensors follow in this order; the data begins at a multiple of 8.
pub(crate) fn header(entries: &[Entry]) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut at = 0;
    for entry in entries {
        let end = at + entry.bytes();
        let dtype = entry.dtype.name().to_ascii_uppercase();
        map.insert(entry.name.clone(), json!({"dtype": dtype, "shape": entry.shape, "data_offsets": [at, end]}));
        at = end;
    }
    let mut text = Value::Object(map).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

/// A tensor to be written: all of a role's, or one expert.
struct Piece {
    role: Role,
    layer: usize,
    expert: Option<usize>,
    entry: Entry,
}

/// What fills the tensors of a folder. They are asked for in order: the experts of a role one after the other.
pub(crate) trait Contents {
    /// Format of a tensor.
    fn dtype(&self, role: Role, layer: usize) -> DType;

    /// Writes a tensor's rows, all of a role's or one expert's, and says after each piece how many bytes it wrote.
    fn write(&mut self, role: Role, layer: usize, expert: Option<usize>, out: &mut dyn Write, wrote: &mut dyn FnMut(u64)) -> Result<()>;
}

/// A model as it is, in one format.
struct Plain<'a> {
    job: &'a Export<'a>,
    opened: Option<((Role, usize), Matrix<'a>)>,
}

impl Contents for Plain<'_> {
    fn dtype(&self, _: Role, _: usize) -> DType {
        self.job.dtype
    }

    fn write(
        &mut self,
        role: Role,
        layer: usize,
        expert: Option<usize>,
        mut out: &mut dyn Write,
        wrote: &mut dyn FnMut(u64),
    ) -> Result<()> {
        // The experts of a role come one after the other: it is opened once.
        if self.opened.as_ref().is_none_or(|(place, _)| *place != (role, layer)) {
            let matrix = self.job.weights.open(role, layer)?.ok_or_else(|| self.job.weights.base().missing(role, layer))?;
            self.opened = Some(((role, layer), matrix));
        }
        let Some((_, matrix)) = &self.opened else { return Ok(()) };
        rows::write(matrix, matrix.rows_of(expert), Order::AsTheyAre, self.job.dtype, &mut out, wrote)
    }
}

pub(super) fn write(job: &Export, progress: &mut impl FnMut(u64, u64)) -> Result<Written> {
    folder(job, &mut Plain { job, opened: None }, SHARD, progress)
}

/// Writes a folder, sharded above `shard` bytes. `job` says where to, and whose configuration and tokenizer it has.
pub(crate) fn folder(job: &Export, contents: &mut impl Contents, shard: u64, progress: &mut impl FnMut(u64, u64)) -> Result<Written> {
    if !matches!(job.dtype, DType::F32 | DType::F16 | DType::BF16) {
        let why = "safetensors folders hold plain floats: choose bf16, f16 or f32, or export to GGUF";
        return Err(ExportError::unsupported(job.dtype.name(), Format::Safetensors, why));
    }
    let base = job.weights.base();
    let mut written = Written::default();
    let config = hf_config::config_json(base, job.dtype)?;
    let tokenizer = tokenizer_files(job, &mut written.notes)?;
    vacant(job.out)?;
    let is_new = !job.out.exists();
    fs::create_dir_all(job.out).map_err(|source| ExportError::io(job.out, source))?;
    let mut small = vec![("config.json".to_owned(), config.into_bytes())];
    small.extend(tokenizer);
    match write_all(job, contents, shard, small, &mut written, progress) {
        Ok(()) => Ok(written),
        Err(error) => {
            // Half a model is of no use to anyone. Failing to remove it is not the failure to report.
            written.files.iter().for_each(|file| drop(fs::remove_file(file)));
            if is_new {
                let _ = fs::remove_dir(job.out);
            }
            Err(error)
        }
    }
}

/// Errors unless `out` is an empty folder, or nothing yet.
pub fn vacant(out: &Path) -> Result<()> {
    match fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) || out.is_file() {
        true => Err(ExportError::Exists(out.display().to_string())),
        false => Ok(()),
    }
}

fn write_all(
    job: &Export,
    contents: &mut impl Contents,
    shard: u64,
    mut small: Vec<(String, Vec<u8>)>,
    written: &mut Written,
    progress: &mut impl FnMut(u64, u64),
) -> Result<()> {
    let shards = shards(pieces(job.weights.base().config(), contents), shard);
    let total = shards.iter().flatten().map(|piece| piece.entry.bytes()).sum();
    let mut done = 0;
    let mut index = Map::new();
    for (number, pieces) in shards.iter().enumerate() {
        let file = match shards.len() {
            1 => "model.safetensors".to_owned(),
            all => format!("model-{:05}-of-{all:05}.safetensors", number + 1),
        };
        let path = job.out.join(&file);
        write_file(contents, &path, pieces, &mut |bytes| {
            done += bytes;
            progress(done, total);
        })?;
        pieces.iter().for_each(|piece| drop(index.insert(piece.entry.name.clone(), json!(file))));
        written.files.push(path);
    }
    written.bytes = total;
    for dtype in DType::WEIGHTS {
        let count = shards.iter().flatten().filter(|piece| piece.entry.dtype == dtype).count();
        written.formats.extend((count > 0).then_some((dtype, count)));
    }
    if shards.len() > 1 {
        let json = json!({"metadata": {"total_size": total}, "weight_map": index});
        small.push(("model.safetensors.index.json".into(), format!("{json:#}\n").into_bytes()));
    }
    for (name, bytes) in small {
        let path = job.out.join(name);
        whole(&path, |out| out.write_all(&bytes)).map_err(|source| ExportError::io(&path, source))?;
        written.files.push(path);
    }
    Ok(())
}

fn pieces(config: &ModelConfig, contents: &impl Contents) -> Vec<Piece> {
    let mut pieces = vec![];
    for (role, layer) in roles(config) {
        let shape = role.shape(config);
        let dtype = contents.dtype(role, layer);
        let mut push = |expert: Option<usize>, name: String, shape: &[usize]| {
            pieces.push(Piece { role, layer, expert, entry: Entry { name, dtype, shape: shape.to_vec() } });
        };
        match role.is_expert() {
            true => (0..shape[0]).for_each(|expert| push(Some(expert), role.canonical_expert(layer, expert), &shape[1..])),
            false => push(None, role.canonical(layer), &shape),
        }
    }
    pieces
}

fn shards(pieces: Vec<Piece>, most: u64) -> Vec<Vec<Piece>> {
    let mut shards: Vec<Vec<Piece>> = vec![];
    let mut room = 0;
    for piece in pieces {
        let bytes = piece.entry.bytes();
        match shards.last_mut() {
            Some(last) if bytes <= room => {
                room -= bytes;
                last.push(piece);
            }
            _ => {
                room = most.saturating_sub(bytes);
                shards.push(vec![piece]);
            }
        }
    }
    shards
}

fn write_file(contents: &mut impl Contents, path: &Path, pieces: &[Piece], wrote: &mut dyn FnMut(u64)) -> Result<()> {
    // One header of all entries; the pieces keep theirs.
    let entries: Vec<Entry> = (pieces.iter().map(|piece| &piece.entry))
        .map(|entry| Entry { name: entry.name.clone(), dtype: entry.dtype, shape: entry.shape.clone() })
        .collect();
    whole(path, |out| {
        out.write_all(&header(&entries))?;
        pieces.iter().try_for_each(|piece| contents.write(piece.role, piece.layer, piece.expert, out, wrote))
    })
}

/// The files of a tokenizer, and generation_config.json: a folder's own, or made from a GGUF file's keys.
fn tokenizer_files(job: &Export, notes: &mut Vec<String>) -> Result<Vec<(String, Vec<u8>)>> {
    let base = job.weights.base();
    let mut files = vec![];
    match base.tokenizer() {
        TokenizerMaterial::None => notes.push("the base has no tokenizer: none is written".into()),
        TokenizerMaterial::HuggingFace { tokenizer_json, tokenizer_config, chat_template } => {
            let known =
                [("tokenizer.json", tokenizer_json), ("tokenizer_config.json", tokenizer_config), ("chat_template.jinja", chat_template)];
            for (name, bytes) in known {
                files.extend(bytes.as_ref().map(|bytes| (name.to_owned(), bytes.as_slice().to_vec())));
            }
            if tokenizer_json.is_none() {
                notes.push("the base has no tokenizer.json: none is written".into());
            }
            for name in BESIDE {
                let path = Path::new(base.name()).join(name);
                if path.is_file() {
                    files.push((name.to_owned(), fs::read(&path).map_err(|source| ExportError::io(&path, source))?));
                }
            }
        }
        TokenizerMaterial::Gguf(material) => files.extend(vocabulary::to_hf(base, material, notes)),
    }
    match base.origin() {
        Origin::HuggingFace { generation_config: Some(bytes), .. } => {
            files.push(("generation_config.json".into(), bytes.as_slice().to_vec()))
        }
        Origin::HuggingFace { .. } => {}
        Origin::Gguf(_) => files.push(("generation_config.json".into(), hf_config::generation_json(base).into_bytes())),
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{Card, Weights};
    use model::Checkpoint;

    #[test]
    fn shards_and_their_index_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/qwen3_moe");
        let base = Checkpoint::open(golden).unwrap();
        let (weights, out) = (Weights::new(&base), folder.path());
        let job = Export { weights, to: Format::Safetensors, dtype: DType::F32, out, name: "test", card: Card::default() };
        let written = super::folder(&job, &mut Plain { job: &job, opened: None }, 100_000, &mut |_, _| {}).unwrap();
        assert_eq!(written.files.iter().filter(|file| file.extension().is_some_and(|e| e == "safetensors")).count(), 3);
        let back = Checkpoint::open(out).unwrap();
        for (role, layer) in roles(base.config()) {
            let bytes = |checkpoint: &Checkpoint| checkpoint.tensor(role, layer).unwrap().unwrap().bytes.as_slice().to_vec();
            assert_eq!(bytes(&back), bytes(&base), "{role:?} of layer {layer}");
        }
    }

    #[test]
    fn a_failure_in_a_late_shard_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/qwen3_moe");
        let base = Checkpoint::open(golden).unwrap();
        let mut mine = std::collections::BTreeMap::new();
        mine.insert((Role::MlpNorm, 1), vec![f32::NAN; base.config().hidden]);
        let weights = Weights::new(&base).with_overrides(&mine);
        let job = Export { weights, to: Format::Safetensors, dtype: DType::F32, out: &out, name: "test", card: Card::default() };
        let mut most = 0;
        assert!(matches!(
            super::folder(&job, &mut Plain { job: &job, opened: None }, 100_000, &mut |done, _| most = done),
            Err(ExportError::NonFinite { .. })
        ));
        assert!(most > 100_000, "it failed in the first shard");
        assert!(!out.exists());
    }

    #[test]
    fn shards_hold_what_fits_and_a_large_tensor_stands_alone() {
        let piece = |n: usize| Piece {
            role: Role::Q,
            layer: 0,
            expert: None,
            entry: Entry { name: n.to_string(), dtype: DType::BF16, shape: vec![n, 10] },
        };
        let shards = shards([10, 20, 30, 100, 1, 49, 1].map(piece).into(), 1000);
        let sizes: Vec<Vec<usize>> = shards.iter().map(|shard| shard.iter().map(|piece| piece.entry.shape[0]).collect()).collect();
        assert_eq!(sizes, [vec![10, 20], vec![30], vec![100], vec![1, 49], vec![1]]);
    }
}

//! GGUF files, version 3: metadata, tensor descriptions, then each tensor at a multiple of 32 bytes.
//!
//! Names, metadata and the order of q's and k's rows are llama.cpp's. Norms, biases and the router are f32; `q4_k` is llama.cpp's mix
//! Q4_K_M: Q6_K for the output head (the embedding where it is tied), and for half of the layers' V and down projections.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use kernels::DType;
use model::{Architecture, ModelConfig, Role, RopeScaling};

use super::metadata::Keys;
use super::rows::{self, Order};
use super::{Export, ExportError, Format, Result, Written, metadata, roles, whole};

const ALIGNMENT: u64 = 32;
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A tensor of the file.
struct Planned {
    /// `None`: the rotary divisors.
    from: Option<(Role, usize)>,
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    bytes: u64,
}

pub(super) fn write(job: &Export, progress: &mut impl FnMut(u64, u64)) -> Result<Written> {
    let base = job.weights.base();
    let config = base.config();
    let mut written = Written::default();
    if !matches!(job.dtype, DType::F32 | DType::F16 | DType::BF16 | DType::Q8_0 | DType::Q4_K) {
        return Err(ExportError::unsupported(job.dtype.name(), Format::Gguf, "choose bf16, f16, f32, q8_0 or q4_k"));
    }
    refuse(config, &mut written.notes)?;
    let path = place(job)?;
    let factors = rope_factors(config);
    let planned = plan(job, factors.as_deref(), &mut written.notes)?;
    let keys = metadata::keys(job, &mut written.notes)?;

    let mut head = vec![];
    head.extend(b"GGUF");
    head.extend(3u32.to_le_bytes());
    head.extend((planned.len() as u64).to_le_bytes());
    keys.write(&mut head);
    let mut offset = 0u64;
    for tensor in &planned {
        head.extend((tensor.name.len() as u64).to_le_bytes());
        head.extend(tensor.name.as_bytes());
        head.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|&side| head.extend((side as u64).to_le_bytes()));
        head.extend(number(tensor.dtype).to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += tensor.bytes.next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);

    written.bytes = planned.iter().map(|tensor| tensor.bytes).sum();
    let (mut done, total) = (0, written.bytes);
    whole(&path, |out| {
        out.write_all(&head)?;
        for tensor in &planned {
            write_tensor(job, tensor, factors.as_deref(), out, |bytes| {
                done += bytes;
                progress(done, total);
            })?;
            let padding = tensor.bytes.next_multiple_of(ALIGNMENT) - tensor.bytes;
            out.write_all(&[0; ALIGNMENT as usize][..padding as usize])?;
        }
        Ok::<(), ExportError>(())
    })?;
    let mut formats: BTreeMap<u32, (DType, usize)> = BTreeMap::new();
    planned.iter().for_each(|tensor| formats.entry(number(tensor.dtype)).or_insert((tensor.dtype, 0)).1 += 1);
    written.formats = formats.into_values().collect();
    written.files.push(path);
    Ok(written)
}

/// What the format, or llama.cpp, cannot run as it was trained.
fn refuse(config: &ModelConfig, notes: &mut Vec<String>) -> Result<()> {
    let name = config.architecture.hf_name();
    if let Some(moe) = &config.moe {
        if !moe.dense_layers.is_empty() {
            let why = "some of its layers are dense, and GGUF's qwen3moe has experts in every layer; export as safetensors";
            return Err(ExportError::unsupported(name, Format::Gguf, why));
        }
        if !moe.renormalise {
            notes.push(
                "norm_topk_prob is false: Longhand reads that from the file, llama.cpp always renormalises and would compute other values"
                    .into(),
            );
        }
    }
    if let RopeScaling::Yarn { truncate: false, .. } = config.rope {
        let why = "its YaRN ramp is not truncated, which GGUF cannot say; export as safetensors";
        return Err(ExportError::unsupported(name, Format::Gguf, why));
    }
    let qwen3 = matches!(config.architecture, Architecture::Qwen3 | Architecture::Qwen3Moe);
    if config.attention_out_bias && qwen3 {
        notes.push(format!(
            "it has attention biases, which llama.cpp's {} does not: only Longhand will run the file",
            config.architecture.gguf_name()
        ));
    }
    if config.architecture != Architecture::Llama && rope_factors(config).is_some() {
        notes.push(format!("its rotary frequencies are stretched as Llama 3's are, which llama.cpp ignores for {name}: only Longhand will run the file as it is"));
    }
    Ok(())
}

/// The file to write.
fn place(job: &Export) -> Result<PathBuf> {
    let is_file = job.out.extension().is_some_and(|extension| extension == "gguf") && !job.out.is_dir();
    let path = if is_file {
        job.out.to_owned()
    } else {
        let sound = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let name: String = job.name.chars().map(sound).collect();
        job.out.join(format!("{}-{}.gguf", name.trim_matches('.'), label(job.dtype)))
    };
    if path.exists() {
        return Err(ExportError::Exists(path.display().to_string()));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| ExportError::io(folder, source))?;
    }
    Ok(path)
}

/// What llama.cpp calls a file of this format.
pub(super) fn label(dtype: DType) -> &'static str {
    if dtype == DType::Q4_K { "q4_k_m" } else { dtype.name() }
}

fn plan(job: &Export, factors: Option<&[f32]>, notes: &mut Vec<String>) -> Result<Vec<Planned>> {
    let config = job.weights.base().config();
    let mut planned = vec![];
    let mut fallen: BTreeMap<(usize, &str, &str), usize> = BTreeMap::new();
    let mut add = |from: Option<(Role, usize)>, name: String, shape: Vec<usize>, dtype: DType| {
        let size = || ExportError::Size { tensor: name.clone(), found: shape.last().copied().unwrap_or(0), expected: dtype.block_len() };
        let (cols, outer) = shape.split_last().ok_or_else(size)?;
        let bytes = outer.iter().product::<usize>() as u64 * dtype.row_bytes(*cols).ok_or_else(size)? as u64;
        planned.push(Planned { from, name, shape, dtype, bytes });
        Ok::<(), ExportError>(())
    };
    if let Some(factors) = factors {
        add(None, ROPE_FACTORS.into(), vec![factors.len()], DType::F32)?;
    }
    for (role, layer) in roles(config) {
        let shape = role.shape(config);
        let cols = shape.last().copied().unwrap_or(1);
        let wanted = wanted(job.dtype, role, layer, config);
        let dtype = fitting(wanted, cols);
        if dtype != wanted {
            *fallen.entry((cols, wanted.name(), dtype.name())).or_default() += 1;
        }
        add(Some((role, layer)), role.gguf(layer), shape, dtype)?;
    }
    for ((cols, wanted, dtype), count) in fallen {
        let tensors = if count == 1 { "1 tensor has".into() } else { format!("{count} tensors have") };
        notes.push(format!("{tensors} rows of {cols} weights, which are no whole {wanted} blocks: stored as {dtype}"));
    }
    Ok(planned)
}

/// The format a tensor should have; [`fitting`] says whether it can.
fn wanted(dtype: DType, role: Role, layer: usize, config: &ModelConfig) -> DType {
    if role.shape(config).len() == 1 || role == Role::Router {
        return DType::F32;
    }
    let is_head = role == Role::OutputHead || (role == Role::Embedding && config.tie_embeddings);
    // Q4_K_M's `use_more_bits`: the first and last eighth of the layers, and every third between.
    let (eighth, layers) = (config.layers / 8, config.layers);
    let more_bits = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
    let is_delicate = matches!(role, Role::V | Role::Down | Role::ExpertDown) && more_bits;
    if dtype == DType::Q4_K && (is_head || is_delicate) { DType::Q6_K } else { dtype }
}

fn fitting(wanted: DType, cols: usize) -> DType {
    [wanted, DType::Q8_0, DType::F16].into_iter().find(|dtype| cols % dtype.block_len() == 0).unwrap_or(DType::F16)
}

/// ggml's number of a type.
fn number(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q5_0 => 6,
        DType::Q5_1 => 7,
        DType::Q8_0 => 8,
        DType::Q4_K => 12,
        DType::Q5_K => 13,
        DType::Q6_K => 14,
        DType::U32 => 26,
        DType::BF16 => 30,
    }
}

/// Divisors of the rotary frequencies, where the configuration's stretch goes into a tensor: Llama 3's.
fn rope_factors(config: &ModelConfig) -> Option<Vec<f32>> {
    match (&config.rope_factors, &config.rope) {
        (Some(factors), _) => Some(factors.clone()),
        (None, RopeScaling::Llama3 { .. }) => {
            let (plain, _) = RopeScaling::Default.inv_freq(config.head_dim, config.rope_theta);
            let (scaled, _) = config.rope.inv_freq(config.head_dim, config.rope_theta);
            Some(plain.iter().zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect())
        }
        _ => None,
    }
}

fn write_tensor(job: &Export, tensor: &Planned, factors: Option<&[f32]>, out: &mut impl Write, wrote: impl FnMut(u64)) -> Result<()> {
    let Some((role, layer)) = tensor.from else {
        return factors.into_iter().flatten().try_for_each(|factor| out.write_all(&factor.to_le_bytes())).map_err(ExportError::writing);
    };
    let base = job.weights.base();
    let matrix = job.weights.open(role, layer)?.ok_or_else(|| base.missing(role, layer))?;
    match role.interleaved_heads(base.config()) {
        None => rows::write(&matrix, 0..matrix.rows, Order::AsTheyAre, tensor.dtype, out, wrote),
        Some(_) => {
            let matrix = if tensor.shape.len() == 1 { matrix.upright()? } else { matrix };
            rows::write(&matrix, 0..matrix.rows, Order::Interleaved(base.config().head_dim), tensor.dtype, out, wrote)
        }
    }
}

impl Keys {
    /// Their count, then each key and value.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.0.len() as u64).to_le_bytes());
        for (key, value) in &self.0 {
            out.extend((key.len() as u64).to_le_bytes());
            out.extend(key.as_bytes());
            out.extend(value);
        }
    }
}

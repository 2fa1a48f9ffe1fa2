//! Attention on the GPU: K and V of a layer are two buffers; a workgroup takes one row and up to eight query heads of one kv head.
//! Long caches with few rows are cut by chunk instead, with the same arithmetic: the bits do not tell which kernel ran.

use super::backward::gpu as backward;
use super::{CHUNK_TOKENS, KvDType, KvShape, PAGE_TOKENS};
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, Slice, fold_groups};
use crate::{KernelError, Result, Tensor, uniform};

const OP: &str = "attention";

/// Fewer workgroups than this leave a GPU idle, so chunks are spread over workgroups too.
const SPLIT_BELOW: usize = 512;
/// Most bytes of chunk partials; more rows than fit take the unsplit kernel.
const SPLIT_BYTES: usize = 64 << 20;

pub const SHADERS: &[&ShaderSpec] =
    &[&super::prepare::PREPARE, &APPEND, &FORWARD, &SPLIT, &MERGE, &backward::KEYS, &backward::STATISTICS, &backward::DQ, &backward::DKV];

static APPEND: ShaderSpec = ShaderSpec {
    name: "kv_append",
    source: include_str!("../../../../shaders/kv_append.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: AppendParams::BYTES,
    uniform_fields: AppendParams::FIELDS,
    variants: || (0..3).map(|kv| vec![("KV", kv)]).collect(),
};

const READ_CACHE: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "attention_forward",
    source: include_str!("../../../../shaders/attention_forward.wgsl"),
    bindings: READ_CACHE,
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants,
};

static SPLIT: ShaderSpec = ShaderSpec {
    name: "attention_split",
    source: include_str!("../../../../shaders/attention_split.wgsl"),
    bindings: READ_CACHE,
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants,
};

static MERGE: ShaderSpec = ShaderSpec {
    name: "attention_merge",
    source: include_str!("../../../../shaders/attention_merge.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || [1, 2].map(|hv| vec![("HV", hv)]).to_vec(),
};

fn variants() -> Vec<Vec<(&'static str, i64)>> {
    (0..3).flat_map(|kv| [1, 2].map(|hv| vec![("KV", kv), ("HV", hv)])).collect()
}

uniform! { struct AppendParams {
    items: u32, kv_heads: u32, head_dim: u32, items_per_head: u32,
    scale_base: u32, pad0: u32, pad1: u32, pad2: u32,
} }

uniform! { struct Params {
    items: u32, kv_heads: u32, group: u32, head_dim: u32,
    blocks: u32, chunks: u32, scale_base: u32, scale: f32,
} }

/// Keys and values of one layer, [page][kv head][position][D] each. A q8 buffer has its scales behind the codes: two f16 a word,
/// blocks of one position paired (an odd last block leaves half a word unused).
pub struct Layer {
    pub(super) k: Slice,
    pub(super) v: Slice,
}

/// The KV number that shaders know a format by.
pub(super) fn kv(dtype: KvDType) -> i64 {
    match dtype {
        KvDType::F32 => 0,
        KvDType::F16 => 1,
        KvDType::Q8 => 2,
    }
}

/// Words of codes in one buffer; a q8 buffer's scales start there.
pub(super) fn code_words(shape: &KvShape) -> usize {
    let values = shape.pages * PAGE_TOKENS * shape.kv_heads * shape.head_dim;
    match shape.dtype {
        KvDType::F32 => values,
        KvDType::F16 => values / 2,
        KvDType::Q8 => values / 4,
    }
}

fn scale_words_per_vector(shape: &KvShape) -> usize {
    shape.head_dim.div_ceil(64)
}

/// What one thread writes of a vector is a cache word, or of a q8 cache a pair of blocks: how many there are.
pub(super) fn items_per_head(shape: &KvShape) -> usize {
    match shape.dtype {
        KvDType::F32 => shape.head_dim,
        KvDType::F16 => shape.head_dim / 2,
        KvDType::Q8 => scale_words_per_vector(shape),
    }
}

impl Layer {
    pub fn new(device: &GpuDevice, shape: &KvShape) -> Result<Self> {
        let vectors = shape.pages * PAGE_TOKENS * shape.kv_heads;
        let scales = if shape.dtype == KvDType::Q8 { vectors * scale_words_per_vector(shape) } else { 0 };
        if vectors * shape.head_dim > u32::MAX as usize {
            return Err(KernelError::shape(OP, format!("{} pages are more than 32-bit indices reach", shape.pages)));
        }
        let bytes = 4 * (code_words(shape) + scales) as u64;
        Ok(Self { k: device.allocate(bytes)?, v: device.allocate(bytes)? })
    }
}

pub fn append(device: &GpuDevice, k: &Tensor, v: &Tensor, layer: &mut Layer, shape: &KvShape, batch: &super::Batch) -> Result<()> {
    let items_per_head = items_per_head(shape);
    let items = batch.rows * shape.kv_heads * items_per_head;
    let params = AppendParams {
        items: items as u32,
        kv_heads: shape.kv_heads as u32,
        head_dim: shape.head_dim as u32,
        items_per_head: items_per_head as u32,
        scale_base: code_words(shape) as u32,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let bindings = [k.gpu(OP)?, v.gpu(OP)?, batch.slots.gpu(OP)?, layer.k.clone(), layer.v.clone()];
    device.launch(&APPEND, &[("KV", kv(shape.dtype))], &params, &bindings, fold_groups(items.div_ceil(64)))
}

pub fn forward(
    device: &GpuDevice,
    q: &Tensor,
    layer: &Layer,
    shape: &KvShape,
    batch: &super::Batch,
    scale: f32,
    out: &mut Tensor,
) -> Result<()> {
    let group = q.width() / (shape.kv_heads * shape.head_dim);
    // Eight query heads a workgroup where the threads suffice for D · 2 value vectors, four otherwise.
    let vectors = if group > 4 && shape.head_dim <= 128 { 2 } else { 1 };
    let blocks = group.div_ceil(4 * vectors);
    let items = batch.rows * shape.kv_heads * blocks;
    let chunks = batch.spans.iter().map(|span| (span.past + span.rows).div_ceil(CHUNK_TOKENS)).max().unwrap_or(0);
    let params = Params {
        items: items as u32,
        kv_heads: shape.kv_heads as u32,
        group: group as u32,
        head_dim: shape.head_dim as u32,
        blocks: blocks as u32,
        chunks: chunks as u32,
        scale_base: code_words(shape) as u32,
        scale,
    };
    let defines = [("KV", kv(shape.dtype)), ("HV", vectors as i64)];
    let cache = |last: Slice| -> Result<[Slice; 7]> {
        let (slots, spans, pages) = (batch.slots.gpu(OP)?, batch.span_table.gpu(OP)?, batch.pages.gpu(OP)?);
        Ok([q.gpu(OP)?, layer.k.clone(), layer.v.clone(), slots, spans, pages, last])
    };
    let partial_bytes = items * chunks * (shape.head_dim + 2) * vectors * 16;
    let groups = fold_groups(items);
    if chunks < 2 || items >= SPLIT_BELOW || partial_bytes > SPLIT_BYTES {
        return device.launch(&FORWARD, &defines, &params, &cache(out.gpu(OP)?)?, groups);
    }
    let partials = device.scratch(partial_bytes as u64)?;
    device.launch(&SPLIT, &defines, &params, &cache(partials.clone())?, [groups[0], groups[1], chunks as u32])?;
    let bindings = [partials, batch.slots.gpu(OP)?, batch.span_table.gpu(OP)?, out.gpu(OP)?];
    device.launch(&MERGE, &defines[1..], &params, &bindings, groups)
}

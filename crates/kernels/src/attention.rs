//! Causal grouped-query attention of packed sequences over a paged key/value cache.
//!
//! `o = softmax(q Kᵀ · scale) V` for each query row over the keys at positions ≤ its own.
//! q, o: [R, Hq·D]; k, v: [R, Hkv·D]; the cache holds pages of [`PAGE_TOKENS`] positions.
//!
//! The canonical fold: keys are taken in chunks of [`CHUNK_TOKENS`] from position 0. Inside a chunk: scores, their maximum m,
//! p = e^(s - m), l = Σ p and o = Σ p v in ascending position; then chunk partials (m, l, o) are merged in chunk order.
//! Prefill, decode and recompute all fold this way, so a row's bits do not depend on how its sequence was cut up or batched.

mod backward;
mod cpu;
pub(crate) mod gpu;
mod prepare;

use crate::{DType, Device, KernelError, Result, Tensor};
pub use backward::{BackwardSpace, backward};
pub use prepare::prepare;

/// Positions in a cache page.
pub const PAGE_TOKENS: usize = 32;
/// Positions in one chunk of the canonical fold.
pub const CHUNK_TOKENS: usize = 256;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvDType {
    /// 32-bit floats.
    F32,
    /// IEEE half, the default for half-precision and quantised models.
    F16,
    /// 32 values share an f16 scale, as GGUF's Q8_0 (fast mode, inference only; needs D divisible by 32).
    Q8,
}

impl KvDType {
    /// Bytes one position takes in one layer, K and V together.
    pub fn bytes_per_position(self, kv_heads: usize, head_dim: usize) -> usize {
        let values = 2 * kv_heads * head_dim;
        match self {
            Self::F32 => 4 * values,
            Self::F16 => 2 * values,
            Self::Q8 => values / 32 * 34,
        }
    }
}

/// Shape of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Layers.
    pub layers: usize,
    /// Hkv.
    pub kv_heads: usize,
    /// D: even, 8 to 256.
    pub head_dim: usize,
    /// Pages shared by all sequences.
    pub pages: usize,
    /// Storage of K and V.
    pub dtype: KvDType,
}

/// Keys and values of every layer, in pages of [`PAGE_TOKENS`] positions that sequences own through their page tables.
pub struct KvCache {
    shape: KvShape,
    layers: Storage,
}

enum Storage {
    Cpu(Vec<cpu::Layer>),
    Gpu(Vec<gpu::Layer>),
}

impl KvCache {
    /// A zeroed cache.
    pub fn new(device: &Device, shape: KvShape) -> Result<Self> {
        if shape.head_dim < 8 || shape.head_dim > 256 || shape.head_dim % 2 != 0 {
            return Err(KernelError::shape("attention", format!("head_dim {} is not even and within 8..=256", shape.head_dim)));
        }
        if shape.dtype == KvDType::Q8 && shape.head_dim % 32 != 0 {
            return Err(KernelError::shape("attention", format!("a q8 cache needs head_dim divisible by 32, not {}", shape.head_dim)));
        }
        let layers = match device {
            Device::Cpu(device) => Storage::Cpu((0..shape.layers).map(|_| cpu::Layer::new(device, &shape)).collect::<Result<_>>()?),
            Device::Gpu(device) => Storage::Gpu((0..shape.layers).map(|_| gpu::Layer::new(device, &shape)).collect::<Result<_>>()?),
        };
        Ok(Self { shape, layers })
    }

    /// Its shape.
    pub fn shape(&self) -> &KvShape {
        &self.shape
    }
}

/// A run of rows of one sequence: rows `row .. row + rows` of the batch are positions `past .. past + rows`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// First row in the batch.
    pub row: usize,
    /// Rows.
    pub rows: usize,
    /// Position of the first row: how many positions are cached already.
    pub past: usize,
    /// Page numbers of positions 0.., enough for `past + rows`.
    pub pages: Vec<u32>,
}

impl Span {
    /// Whether the rows of `stem` are exactly this span's positions 0..`past`: same pages, all of them full.
    fn goes_on_from(&self, stem: &Self) -> bool {
        let shared = self.past / PAGE_TOKENS;
        self.past > 0
            && self.past.is_multiple_of(PAGE_TOKENS)
            && (stem.past, stem.rows) == (0, self.past)
            && stem.pages.get(..shared).is_some_and(|pages| pages == &self.pages[..shared])
    }
}

/// The spans of one step, checked, with their tables on the device. Spans tile rows 0..rows in order.
pub struct Batch {
    /// The spans.
    pub spans: Vec<Span>,
    /// Of each span, the span before it whose rows are its positions 0..`past`: a prompt computed once for all that go on from it.
    /// `None`: it has no past, or a past that is not of this batch.
    pub stems: Vec<Option<usize>>,
    /// Total rows.
    pub rows: usize,
    /// u32 [R]: every row's position.
    pub positions: Tensor,
    /// u32 [R, 2]: every row's span number and cache slot (page · PAGE_TOKENS + offset).
    pub slots: Tensor,
    /// u32 [S, 6]: row, rows, past, first entry in `pages`, the stem's first row (its own without one), and the row past the last that
    /// sees the span's keys.
    pub span_table: Tensor,
    /// u32: the spans' pages, one after the other.
    pub pages: Tensor,
}

impl Batch {
    /// Checks the spans against a cache of `pages` pages and uploads their tables.
    pub fn new(device: &Device, spans: Vec<Span>, pages: usize) -> Result<Self> {
        const OP: &str = "attention batch";
        let (mut positions, mut slots, mut table, mut page_list) = (vec![], vec![], vec![], vec![]);
        let (mut stems, mut whole) = (vec![], None);
        for (number, span) in spans.iter().enumerate() {
            let end = span.past + span.rows;
            if span.rows == 0 || span.row != positions.len() || span.pages.len() * PAGE_TOKENS < end {
                return Err(KernelError::shape(OP, format!("span {number} does not follow the one before it or lacks pages: {span:?}")));
            }
            if let Some(page) = span.pages.iter().find(|&&page| page as usize >= pages) {
                return Err(KernelError::Value { op: OP, message: format!("page {page} of {pages}") });
            }
            if span.past == 0 {
                whole = Some(number);
            }
            let stem = whole.filter(|&stem| span.goes_on_from(&spans[stem]));
            let (row, reach) = (span.row as u32, (span.row + span.rows) as u32);
            table.push([
                row,
                span.rows as u32,
                span.past as u32,
                page_list.len() as u32,
                stem.map_or(row, |stem| spans[stem].row as u32),
                reach,
            ]);
            if let Some(stem) = stem {
                table[stem][5] = reach;
            }
            stems.push(stem);
            for position in span.past..end {
                positions.push(position as u32);
                slots.extend([number as u32, span.pages[position / PAGE_TOKENS] * PAGE_TOKENS as u32 + (position % PAGE_TOKENS) as u32]);
            }
            page_list.extend_from_slice(&span.pages);
        }
        if positions.is_empty() {
            return Err(KernelError::shape(OP, "no rows"));
        }
        let rows = positions.len();
        Ok(Self {
            rows,
            positions: device.u32_tensor(&[rows], &positions)?,
            slots: device.u32_tensor(&[rows, 2], &slots)?,
            span_table: device.u32_tensor(&[spans.len(), 6], table.as_flattened())?,
            pages: device.u32_tensor(&[page_list.len()], &page_list)?,
            spans,
            stems,
        })
    }
}

/// Writes the batch's keys and values (k already rotated) into the cache of `layer`, rounded to its dtype.
pub fn append(device: &Device, k: &Tensor, v: &Tensor, cache: &mut KvCache, layer: usize, batch: &Batch) -> Result<()> {
    const OP: &str = "kv append";
    let width = cache.shape.kv_heads * cache.shape.head_dim;
    k.expect(OP, "k", DType::F32, batch.rows, width)?;
    v.expect(OP, "v", DType::F32, batch.rows, width)?;
    let shape = cache.shape;
    match (device, &mut cache.layers) {
        (Device::Cpu(device), Storage::Cpu(layers)) => cpu::append(device, k, v, &mut layers[layer], &shape, batch),
        (Device::Gpu(device), Storage::Gpu(layers)) => gpu::append(device, k, v, &mut layers[layer], &shape, batch),
        _ => Err(KernelError::WrongDevice { op: OP, device: device.describe() }),
    }
}

/// Attends from the batch's rows over the cache of `layer`, their own positions included.
pub fn forward(device: &Device, q: &Tensor, cache: &KvCache, layer: usize, batch: &Batch, scale: f32, out: &mut Tensor) -> Result<()> {
    const OP: &str = "attention";
    let group = cache.shape.kv_heads * cache.shape.head_dim;
    if q.width() % group != 0 {
        return Err(KernelError::shape(OP, format!("q is {:?}, its width is not a multiple of {group}", q.shape())));
    }
    q.expect(OP, "q", DType::F32, batch.rows, q.width())?;
    out.expect(OP, "out", DType::F32, batch.rows, q.width())?;
    match (device, &cache.layers) {
        (Device::Cpu(device), Storage::Cpu(layers)) => cpu::forward(device, q, &layers[layer], &cache.shape, batch, scale, out),
        (Device::Gpu(device), Storage::Gpu(layers)) => gpu::forward(device, q, &layers[layer], &cache.shape, batch, scale, out),
        _ => Err(KernelError::WrongDevice { op: OP, device: device.describe() }),
    }
}

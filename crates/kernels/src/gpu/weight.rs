//! Weights on the GPU: cut into shards, repacked, uploaded.

use super::gemm::ShardCopy;
use super::shader::{Access, ShaderSpec};
use super::{GpuDevice, Slice, fold_groups, memory, repack};
use crate::error::{KernelError, Result};
use crate::stored::StoredRows;
use crate::{DType, Tensor, uniform};

/// A weight on the GPU: shards of whole units, each within the binding limit, block formats repacked into aligned rows.
///
/// How a kernel reads it: `#import "shared/weight.wgsl"`, the define `FORMAT` = [`GpuWeight::format`], a binding
/// `var<storage, read> weight: array<u32>` (one shard's `slice`), and uniform fields `w_cols: u32` and `w_row_words: u32`.
/// Then `load_weight(row, k) -> f32` and `load_weight8(row, k) -> Weight8 { lo, hi: vec4<f32> }` (k a multiple of 8; past K it
/// gives zeros), with `row` counted inside the shard. The host launches once a shard.
pub struct GpuWeight {
    /// N (or E * N).
    pub rows: usize,
    /// K.
    pub cols: usize,
    /// As stored in the file.
    pub dtype: DType,
    /// u32 words of a row, a multiple of 4.
    pub row_words: usize,
    /// In row order.
    pub shards: Vec<Shard>,
}

/// A run of rows of a weight in one binding; a multiple of the weight's unit.
pub struct Shard {
    /// Its words: `rows * row_words` of them.
    pub slice: Slice,
    /// First row.
    pub row_base: usize,
    /// Rows.
    pub rows: usize,
    /// Another library's copy of the words.
    pub(crate) copy: ShardCopy,
}

static STORE: ShaderSpec = ShaderSpec {
    name: "weight_store",
    source: include_str!("../../../../shaders/weight_store.wgsl"),
    bindings: &[Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || (0..PLAIN).map(|format| vec![("FORMAT", format)]).collect(),
};

static LOAD: ShaderSpec = ShaderSpec {
    name: "weight_load",
    source: include_str!("../../../../shaders/weight_load.wgsl"),
    bindings: &[Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || GpuWeight::formats().map(|format| vec![("FORMAT", format)]).collect(),
};

uniform! { struct Params { w_rows: u32, w_cols: u32, w_row_words: u32, row_base: u32 } }

/// Values of `FORMAT` below this are F32, F16 and BF16.
const PLAIN: i64 = 3;

/// Words repacked before each upload. Fewer where a page's memory has to do.
const REPACK_WORDS: usize = if cfg!(target_arch = "wasm32") { 2 << 20 } else { 4 << 20 };

impl GpuWeight {
    /// Repacks and uploads `stored` [rows, cols], some megabytes at a time.
    pub(crate) fn new(device: &GpuDevice, rows: usize, cols: usize, dtype: DType, unit_rows: usize, stored: &StoredRows) -> Result<Self> {
        let row_words = repack::row_words(dtype, cols);
        let unit_bytes = 4 * (row_words * unit_rows) as u64;
        let units = (device.max_binding() / unit_bytes.max(1)) as usize;
        if units == 0 {
            return Err(KernelError::AdapterTooSmall {
                adapter: device.describe(),
                limit: "maxStorageBufferBindingSize",
                has: device.max_binding(),
                needs: unit_bytes,
            });
        }
        // As many rows of words as of stored bytes are in memory at once: the words of most formats are about as many bytes.
        let step = (REPACK_WORDS / row_words.max(1)).max(1);
        let (mut shards, mut buffer) = (vec![], vec![]);
        for row_base in (0..rows).step_by(units * unit_rows) {
            let shard_rows = (rows - row_base).min(units * unit_rows);
            let slice = memory::allocate_weight(device, 4 * (shard_rows * row_words) as u64)?;
            for first in (0..shard_rows).step_by(step) {
                let count = step.min(shard_rows - first);
                let bytes = stored.get(row_base + first..row_base + first + count, &mut buffer)?;
                let words = repack_rows(dtype, cols, row_words, bytes, count);
                memory::write_at(device, &slice, 4 * (first * row_words) as u64, bytemuck::cast_slice(&words))?;
            }
            shards.push(Shard { slice, row_base, rows: shard_rows, copy: ShardCopy::default() });
        }
        Ok(Self { rows, cols, dtype, row_words, shards })
    }

    /// Bytes that a weight takes.
    pub(crate) fn bytes(rows: usize, cols: usize, dtype: DType) -> u64 {
        4 * (rows * repack::row_words(dtype, cols)) as u64
    }

    /// Shaders of `store` and `load`, for the table.
    pub(crate) const SHADERS: &[&ShaderSpec] = &[&STORE, &LOAD];

    /// Rounds `master` [N, K] into the shards' rows; formats with blocks are refused. Padding columns become zero again.
    pub(crate) fn store(&self, device: &GpuDevice, master: &Tensor) -> Result<()> {
        const OP: &str = "weight store";
        if self.format() >= PLAIN {
            let message = format!("a {} weight cannot be stored to; train one in f32, f16 or bf16", self.dtype.name());
            return Err(KernelError::Value { op: OP, message });
        }
        for shard in &self.shards {
            // A thread writes one word.
            let groups = fold_groups((shard.rows * self.row_words).div_ceil(256));
            device.launch(&STORE, &[("FORMAT", self.format())], &self.params(shard), &[master.gpu(OP)?, shard.slice.clone()], groups)?;
            shard.copy.forget();
        }
        Ok(())
    }

    /// All weights into `out` [N, K].
    pub(crate) fn load(&self, device: &GpuDevice, out: &mut Tensor) -> Result<()> {
        const OP: &str = "weight load";
        for shard in &self.shards {
            // A thread reads eight weights.
            let groups = fold_groups((shard.rows * self.cols.div_ceil(8)).div_ceil(256));
            device.launch(&LOAD, &[("FORMAT", self.format())], &self.params(shard), &[shard.slice.clone(), out.gpu(OP)?], groups)?;
        }
        Ok(())
    }

    fn params(&self, shard: &Shard) -> Params {
        Params { w_rows: shard.rows as u32, w_cols: self.cols as u32, w_row_words: self.row_words as u32, row_base: shard.row_base as u32 }
    }

    /// The define `FORMAT` of `shared/weight.wgsl`: the format's index in [`DType::WEIGHTS`].
    pub fn format(&self) -> i64 {
        DType::WEIGHTS.iter().position(|&dtype| dtype == self.dtype).unwrap_or(0) as i64
    }

    /// Every value of `FORMAT`, for a spec's variants.
    pub fn formats() -> impl Iterator<Item = i64> {
        0..DType::WEIGHTS.len() as i64
    }
}

fn repack_rows(dtype: DType, cols: usize, row_words: usize, bytes: &[u8], rows: usize) -> Vec<u32> {
    let mut words = vec![0u32; rows * row_words];
    if cols == 0 {
        return words;
    }
    let row_bytes = bytes.len() / rows;
    let repack = |(out, row): (&mut [u32], &[u8])| repack::repack_row(dtype, cols, row, out);
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        words.par_chunks_mut(row_words).zip(bytes.par_chunks(row_bytes)).for_each(repack);
    }
    #[cfg(target_arch = "wasm32")]
    words.chunks_mut(row_words).zip(bytes.chunks(row_bytes)).for_each(repack);
    words
}

//! The wgpu device: adapter choice, arenas, pipelines, recording, read-back.

pub mod shader;

use bytemuck::Pod;

use crate::error::Result;
use crate::{Bytes, DType, Precision};
use shader::ShaderSpec;

/// A range of a wgpu buffer.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The buffer (a cheap handle).
    pub buffer: wgpu::Buffer,
    /// First byte, a multiple of 256.
    pub offset: u64,
    /// Length in bytes, a multiple of 4.
    pub bytes: u64,
}

/// Which adapter, and how.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Part of the adapter's name, case-insensitive; `None` takes the fastest kind.
    pub adapter: Option<String>,
    /// Exact or fast.
    pub precision: Precision,
    /// Time every dispatch with timestamp queries.
    pub profile: bool,
}

/// A wgpu device with its pipelines and the work recorded so far.
pub struct GpuDevice {}

impl GpuDevice {
    /// Opens the adapter.
    pub async fn new(_options: &GpuOptions) -> Result<Self> {
        todo!()
    }
    /// Exact or fast.
    pub fn precision(&self) -> Precision {
        todo!()
    }
    /// Name and backend.
    pub fn describe(&self) -> String {
        todo!()
    }
    /// A zeroed range of its own buffer.
    pub fn allocate(&self, _bytes: u64) -> Result<Slice> {
        todo!()
    }
    /// Overwrites the start of `slice`, ordered after every op recorded so far.
    pub fn write(&self, _slice: &Slice, _words: &[u32]) -> Result<()> {
        todo!()
    }
    /// Submits, waits without blocking the executor, and returns the first `count` words.
    pub async fn read(&self, _slice: &Slice, _count: usize) -> Result<Vec<u32>> {
        todo!()
    }
    /// Submits what was recorded.
    pub fn submit(&self) -> Result<()> {
        todo!()
    }
    /// Records one dispatch: binding 0 is `uniform` (dynamic offset), bindings 1.. are `bindings` in the spec's order.
    pub fn launch<U: Pod>(
        &self,
        _spec: &'static ShaderSpec,
        _defines: &[(&'static str, i64)],
        _uniform: &U,
        _bindings: &[Slice],
        _groups: [u32; 3],
    ) -> Result<()> {
        todo!()
    }
}

/// A weight on the GPU: shards of whole units, each within the binding limit, block formats repacked into aligned planes.
pub struct GpuWeight {}

impl GpuWeight {
    /// Repacks and uploads.
    pub fn new(_device: &GpuDevice, _rows: usize, _cols: usize, _dtype: DType, _unit_rows: usize, _bytes: Bytes) -> Result<Self> {
        todo!()
    }
}

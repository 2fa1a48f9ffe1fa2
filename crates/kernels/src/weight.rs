//! Weight matrices: row-major `[N, K]` in any [`DType`], kept as stored or repacked for the device that reads them.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{KernelError, Result};
use crate::{DType, Device, cpu, gpu};

/// Bytes that are owned or mapped from a file, shared without copying.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// All of `owner`.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let len = (*owner).as_ref().len();
        Self { owner, range: 0..len }
    }

    /// A part of these bytes; `None` if it reaches past the end.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end).then(|| Self { owner: self.owner.clone(), range: start..end })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }
}

/// A weight matrix `[N, K]` on a device. Stacked experts are `[E * N, K]` with `unit_rows = N`.
pub struct Weight {
    /// N (or E * N).
    pub rows: usize,
    /// K.
    pub cols: usize,
    /// As stored in the file.
    pub dtype: DType,
    /// Rows that must stay in one shard: 1, or an expert's rows.
    pub unit_rows: usize,
    storage: WeightStorage,
}

pub(crate) enum WeightStorage {
    Cpu(cpu::CpuWeight),
    Gpu(gpu::GpuWeight),
}

impl Weight {
    /// Puts a matrix on `device`. `bytes` is row-major in GGUF's layout for block formats, little-endian otherwise.
    ///
    /// Errors when the byte count is not `rows` whole rows, or the device is out of memory.
    pub fn new(device: &Device, rows: usize, cols: usize, dtype: DType, unit_rows: usize, bytes: Bytes) -> Result<Self> {
        let row_bytes = dtype
            .row_bytes(cols)
            .ok_or_else(|| KernelError::shape("weight", format!("{cols} columns are not whole {} blocks", dtype.name())))?;
        if rows.checked_mul(row_bytes) != Some(bytes.as_slice().len()) || unit_rows == 0 || rows % unit_rows != 0 {
            return Err(KernelError::shape(
                "weight",
                format!(
                    "[{rows}, {cols}] {} needs {} bytes, {} were given",
                    dtype.name(),
                    rows as u128 * row_bytes as u128,
                    bytes.as_slice().len()
                ),
            ));
        }
        let storage = match device {
            Device::Cpu(device) => WeightStorage::Cpu(cpu::CpuWeight::new(device, rows, cols, dtype, bytes)?),
            Device::Gpu(device) => WeightStorage::Gpu(gpu::GpuWeight::new(device, rows, cols, dtype, unit_rows, bytes)?),
        };
        Ok(Self { rows, cols, dtype, unit_rows, storage })
    }

    pub(crate) fn cpu(&self, op: &'static str) -> Result<&cpu::CpuWeight> {
        match &self.storage {
            WeightStorage::Cpu(weight) => Ok(weight),
            WeightStorage::Gpu(_) => Err(KernelError::WrongDevice { op, device: "cpu".into() }),
        }
    }

    pub(crate) fn gpu(&self, op: &'static str) -> Result<&gpu::GpuWeight> {
        match &self.storage {
            WeightStorage::Gpu(weight) => Ok(weight),
            WeightStorage::Cpu(_) => Err(KernelError::WrongDevice { op, device: "gpu".into() }),
        }
    }
}

//! Weight matrices: row-major `[N, K]` in any [`DType`], kept as stored or repacked for the device that reads them.

use std::sync::Arc;

use crate::error::{KernelError, Result};
use crate::stored::StoredRows;
use crate::{Bytes, DType, Device, Extent, Tensor, cpu, gpu};

/// Looks at an expert before its first use: its number and bytes; the answer is what is wrong with them.
pub type Inspect = Arc<dyn Fn(usize, &[u8]) -> Option<String> + Send + Sync>;

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
        Self::from_parts(device, rows, cols, dtype, unit_rows, vec![bytes])
    }

    /// As [`Weight::new`] of bytes that lie apart, or in a file that is not in memory: `parts[e]` is exactly the rows of unit e, or a single
    /// part holds all rows.
    ///
    /// The CPU keeps them where they are, and what is not in memory it reads, each part into memory of its own. A GPU, which repacks all
    /// bytes anyway, takes some megabytes at a time, which are dropped once they are on their way.
    ///
    /// Errors as [`Weight::new`], when a part is not `unit_rows` whole rows or there is not one for each unit, and with
    /// [`KernelError::Read`].
    pub fn from_parts(
        device: &Device,
        rows: usize,
        cols: usize,
        dtype: DType,
        unit_rows: usize,
        parts: Vec<impl Into<Extent>>,
    ) -> Result<Self> {
        let stored = StoredRows::new(rows, cols, dtype, unit_rows, parts.into_iter().map(Into::into).collect())?;
        let storage = match device {
            Device::Cpu(_) => WeightStorage::Cpu(cpu::CpuWeight::new(rows, cols, dtype, &stored)?),
            Device::Gpu(device) => WeightStorage::Gpu(gpu::GpuWeight::new(device, rows, cols, dtype, unit_rows, &stored)?),
        };
        Ok(Self { rows, cols, dtype, unit_rows, storage })
    }

    /// Has every expert looked at before its first use, where the bytes were not searched when they were loaded: what is never
    /// used is never read. [`crate::moe::grouped_matmul`] fails with what `inspect` answers.
    ///
    /// Only on the CPU: a GPU takes all bytes when the weight is made.
    pub fn inspect_on_use(&mut self, inspect: Inspect) -> Result<()> {
        match &mut self.storage {
            WeightStorage::Cpu(weight) => weight.inspect_on_use(self.unit_rows, inspect),
            WeightStorage::Gpu(_) => return Err(KernelError::WrongDevice { op: "weight", device: "cpu".into() }),
        }
        Ok(())
    }

    /// Rounds `master` (f32 [N, K]) into this weight, in place: to its own F32, F16 or BF16, to the nearest, ties to even, what is
    /// too large to infinity, NaN to NaN. Whatever reads this weight next sees the new values.
    ///
    /// On the CPU bytes that are mapped or shared are never written: the weight gets memory of its own at its first store. Experts
    /// that were to be looked at before their use ([`Weight::inspect_on_use`]) no longer are: nothing of what was loaded is left.
    ///
    /// Errors with [`KernelError::Value`] for the block formats, with [`KernelError::Shape`] for a master of another shape, and when
    /// there is no memory; the weight is as before.
    pub fn store(&mut self, device: &Device, master: &Tensor) -> Result<()> {
        const OP: &str = "weight store";
        master.expect(OP, "master", DType::F32, self.rows, self.cols)?;
        let count = self.rows * self.cols;
        match (device, &mut self.storage) {
            (Device::Cpu(device), WeightStorage::Cpu(weight)) => weight.store(device, &master.f32s(OP)?[..count]),
            (Device::Gpu(device), WeightStorage::Gpu(weight)) => weight.store(device, master),
            _ => Err(KernelError::WrongDevice { op: OP, device: device.describe() }),
        }
    }

    /// Dequantises all of this weight, of any format, into `out` (f32 [N, K]): the master that training keeps.
    ///
    /// Errors with [`KernelError::Shape`] for an `out` of another shape, and with what [`Weight::inspect_on_use`] finds.
    pub fn load(&self, device: &Device, out: &mut Tensor) -> Result<()> {
        const OP: &str = "weight load";
        out.expect(OP, "out", DType::F32, self.rows, self.cols)?;
        let count = self.rows * self.cols;
        match (device, &self.storage) {
            (Device::Cpu(device), WeightStorage::Cpu(weight)) => weight.load(device, self.unit_rows, &mut out.f32s_mut(OP)?[..count]),
            (Device::Gpu(device), WeightStorage::Gpu(weight)) => weight.load(device, out),
            _ => Err(KernelError::WrongDevice { op: OP, device: device.describe() }),
        }
    }

    pub(crate) fn is_on_cpu(&self) -> bool {
        matches!(self.storage, WeightStorage::Cpu(_))
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

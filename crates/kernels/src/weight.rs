//! Weight matrices: row-major `[N, K]` in any [`DType`], kept as stored or repacked for the device that reads them.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{KernelError, Result};
use crate::{DType, Device, Tensor, cpu, gpu};

/// What keeps bytes: a vector, a file mapped by whoever opened it.
pub trait Holder: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];

    /// All of them, to be overwritten; `None` where they are not to be written, as a mapped file's.
    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        None
    }

    /// `range` of them is read next: a mapped file begins to fetch what is not in memory. Only advice; memory has nothing to do.
    fn will_read(&self, _range: Range<usize>) {}

    /// `range` of them is not read again soon: a mapped file lets its pages go, and reads them again if they are asked for. Only advice.
    fn was_read(&self, _range: Range<usize>) {}

    /// Whether bytes that were read once are in memory from then on.
    fn stays(&self) -> bool {
        true
    }
}

impl Holder for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        Some(self)
    }
}

/// Bytes that are owned or mapped from a file, shared without copying.
#[derive(Clone)]
pub struct Bytes {
    holder: Arc<dyn Holder>,
    range: Range<usize>,
}

impl Bytes {
    /// All of `holder`'s.
    pub fn new(holder: Arc<dyn Holder>) -> Self {
        let len = holder.bytes().len();
        Self { holder, range: 0..len }
    }

    /// A part of these bytes; `None` if it reaches past the end.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end).then(|| Self { holder: self.holder.clone(), range: start..end })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.holder.bytes()[self.range.clone()]
    }

    /// The bytes, to be overwritten; `None` if others share them or their holder is not to be written.
    pub(crate) fn get_mut(&mut self) -> Option<&mut [u8]> {
        let range = self.range.clone();
        Arc::get_mut(&mut self.holder)?.bytes_mut()?.get_mut(range)
    }

    /// `range` of these bytes is read next; see [`Holder::will_read`]. A range past the end is no advice.
    pub fn will_read(&self, range: Range<usize>) {
        if let Some(part) = self.slice(range) {
            self.holder.will_read(part.range);
        }
    }

    /// `range` of these bytes is not read again soon; see [`Holder::was_read`]. A range past the end is no advice.
    pub fn was_read(&self, range: Range<usize>) {
        if let Some(part) = self.slice(range) {
            self.holder.was_read(part.range);
        }
    }

    /// See [`Holder::stays`].
    pub fn stay(&self) -> bool {
        self.holder.stays()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }
}

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

    /// As [`Weight::new`] of bytes that lie apart: `parts[e]` is exactly the rows of unit e, or a single part holds all rows.
    ///
    /// The CPU keeps them where they are; a GPU, which repacks all bytes anyway, has them joined first.
    ///
    /// Errors as [`Weight::new`], and when a part is not `unit_rows` whole rows or there is not one for each unit.
    pub fn from_parts(device: &Device, rows: usize, cols: usize, dtype: DType, unit_rows: usize, mut parts: Vec<Bytes>) -> Result<Self> {
        if parts.len() <= 1 {
            return Self::new(device, rows, cols, dtype, unit_rows, parts.pop().unwrap_or_else(|| vec![].into()));
        }
        // Checked by the CPU's code for the GPU too: parts of wrong sizes may have the right sum.
        let weight = cpu::CpuWeight::from_parts(rows, cols, dtype, unit_rows, parts)?;
        match device {
            Device::Cpu(_) => Ok(Self { rows, cols, dtype, unit_rows, storage: WeightStorage::Cpu(weight) }),
            Device::Gpu(_) => Self::new(device, rows, cols, dtype, unit_rows, weight.joined().into()),
        }
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

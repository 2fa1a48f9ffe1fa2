//! Activations and tables: dense row-major tensors of `f32` or `u32` on one device.

use std::sync::Arc;

use crate::error::{KernelError, Result};
use crate::{DType, Device, gpu};

/// Where a tensor's bytes are.
pub enum Storage {
    /// Host memory, 32-bit words.
    Cpu(Vec<u32>),
    /// A range of a wgpu buffer.
    Gpu(gpu::Slice),
    /// Memory another library owns (the slot of the optional tensor-core accelerator).
    Foreign(Arc<dyn ForeignBuffer>),
}

/// Memory that another library owns and lends to one dispatch at a time.
pub trait ForeignBuffer: Send + Sync {
    /// The wgpu range behind it.
    fn slice(&self) -> gpu::Slice;
}

/// A dense row-major tensor of `f32` or `u32`.
pub struct Tensor {
    shape: Vec<usize>,
    dtype: DType,
    storage: Storage,
}

impl Tensor {
    /// A tensor over existing storage; `dtype` is `F32` or `U32`.
    pub(crate) fn from_parts(shape: &[usize], dtype: DType, storage: Storage) -> Self {
        debug_assert!(matches!(dtype, DType::F32 | DType::U32));
        Self { shape: shape.to_vec(), dtype, storage }
    }

    /// Its shape, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// `F32` or `U32`.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Width of the innermost dimension.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Where its bytes are.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// CPU contents as `f32`. Errors with [`KernelError::WrongDevice`] elsewhere.
    pub fn f32s(&self, op: &'static str) -> Result<&[f32]> {
        match &self.storage {
            Storage::Cpu(words) => Ok(bytemuck::cast_slice(words)),
            _ => Err(KernelError::WrongDevice { op, device: "cpu".into() }),
        }
    }

    /// CPU contents as mutable `f32`.
    pub fn f32s_mut(&mut self, op: &'static str) -> Result<&mut [f32]> {
        match &mut self.storage {
            Storage::Cpu(words) => Ok(bytemuck::cast_slice_mut(words)),
            _ => Err(KernelError::WrongDevice { op, device: "cpu".into() }),
        }
    }

    /// CPU contents as `u32`.
    pub fn u32s(&self, op: &'static str) -> Result<&[u32]> {
        match &self.storage {
            Storage::Cpu(words) => Ok(words),
            _ => Err(KernelError::WrongDevice { op, device: "cpu".into() }),
        }
    }

    /// CPU contents as mutable `u32`.
    pub fn u32s_mut(&mut self, op: &'static str) -> Result<&mut [u32]> {
        match &mut self.storage {
            Storage::Cpu(words) => Ok(words),
            _ => Err(KernelError::WrongDevice { op, device: "cpu".into() }),
        }
    }

    /// The GPU range. Errors with [`KernelError::WrongDevice`] on the CPU.
    pub fn gpu(&self, op: &'static str) -> Result<gpu::Slice> {
        match &self.storage {
            Storage::Gpu(slice) => Ok(slice.clone()),
            Storage::Foreign(buffer) => Ok(buffer.slice()),
            Storage::Cpu(_) => Err(KernelError::WrongDevice { op, device: "gpu".into() }),
        }
    }

    /// Errors unless the tensor holds at least `rows` rows of `width` elements of `dtype`.
    pub fn expect(&self, op: &'static str, name: &str, dtype: DType, rows: usize, width: usize) -> Result<()> {
        if self.dtype != dtype || self.width() != width || self.len() < rows * width {
            return Err(KernelError::shape(
                op,
                format!("`{name}` is {} {:?}, {} [≥{rows}, {width}] is needed", self.dtype.name(), self.shape, dtype.name()),
            ));
        }
        Ok(())
    }

    /// Overwrites the first `values.len()` elements.
    pub fn write_f32(&mut self, device: &Device, values: &[f32]) -> Result<()> {
        device.write_words(self, bytemuck::cast_slice(values))
    }

    /// Overwrites the first `values.len()` elements.
    pub fn write_u32(&mut self, device: &Device, values: &[u32]) -> Result<()> {
        device.write_words(self, values)
    }

    pub(crate) fn storage_mut(&mut self) -> &mut Storage {
        &mut self.storage
    }
}

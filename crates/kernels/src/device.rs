//! The two devices and what they share: allocation, upload, asynchronous read-back.

use crate::error::{KernelError, Result};
use crate::tensor::{Storage, Tensor};
use crate::{DType, cpu, gpu};

/// Whether numbers must be reproducible to the bit across batch shapes, or may be faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// f32 activations and one fixed summation order per output: a row's bits never depend on its batch.
    #[default]
    Exact,
    /// Inference only: integer activations on the CPU, split reductions on the GPU.
    Fast,
}

/// Where ops run.
pub enum Device {
    /// Multi-threaded SIMD on the host.
    Cpu(cpu::CpuDevice),
    /// Hand-written WGSL through wgpu.
    Gpu(gpu::GpuDevice),
}

impl Device {
    /// The CPU, with as many threads as the machine has cores.
    pub fn cpu(precision: Precision) -> Self {
        Self::Cpu(cpu::CpuDevice::new(precision))
    }

    /// The best GPU adapter that `options` allow. Never falls back to the CPU.
    pub async fn gpu(options: &gpu::GpuOptions) -> Result<Self> {
        Ok(Self::Gpu(gpu::GpuDevice::new(options).await?))
    }

    /// Exact or fast.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(device) => device.precision(),
            Self::Gpu(device) => device.precision(),
        }
    }

    /// For people: `cpu (2 threads, avx512)`, `llvmpipe (Vulkan)`.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu(device) => device.describe(),
            Self::Gpu(device) => device.describe(),
        }
    }

    /// A zeroed tensor of `F32` or `U32`.
    pub fn zeros(&self, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let words: usize = shape.iter().product();
        let storage = match self {
            Self::Cpu(_) => {
                let mut memory = Vec::new();
                memory.try_reserve_exact(words).map_err(|_| KernelError::OutOfMemory { device: "cpu".into(), needed: 4 * words as u64 })?;
                memory.resize(words, 0);
                Storage::Cpu(memory)
            }
            Self::Gpu(device) => Storage::Gpu(device.allocate(4 * words as u64)?),
        };
        Ok(Tensor::from_parts(shape, dtype, storage))
    }

    /// Zeroed `F32` tensors [rows, width] that an op may take for one: on a GPU they are parts of one buffer. An op that writes one of them must not
    /// read another.
    pub fn zeros_together<const N: usize>(&self, rows: usize, widths: [usize; N]) -> Result<[Tensor; N]> {
        let Self::Gpu(device) = self else {
            let tensors = widths.into_iter().map(|width| self.zeros(&[rows, width], DType::F32)).collect::<Result<Vec<_>>>()?;
            return Ok(tensors.try_into().unwrap_or_else(|_| unreachable!("as many as widths")));
        };
        let bytes = widths.map(|width| (4 * (rows * width) as u64).next_multiple_of(16).max(16));
        let whole = device.allocate(bytes.iter().map(|bytes| bytes.next_multiple_of(256)).sum())?;
        let mut at = 0;
        let mut next = 0;
        Ok(widths.map(|width| {
            let slice = whole.part(at, bytes[next]);
            at += bytes[next].next_multiple_of(256);
            next += 1;
            Tensor::from_parts(&[rows, width], DType::F32, Storage::Gpu(slice))
        }))
    }

    /// The next weights, [N, K] each, get neighbouring ranges of one buffer on a GPU where one binding can hold them, so that one op may read them
    /// all. Elsewhere it does nothing.
    pub fn weights_together(&self, weights: &[(usize, usize, DType)]) -> Result<()> {
        let Self::Gpu(device) = self else { return Ok(()) };
        let bytes: Vec<u64> = weights.iter().map(|(rows, cols, dtype)| gpu::GpuWeight::bytes(*rows, *cols, *dtype)).collect();
        device.weights_together(&bytes)
    }

    /// A tensor holding `values`.
    pub fn f32_tensor(&self, shape: &[usize], values: &[f32]) -> Result<Tensor> {
        let mut tensor = self.zeros(shape, DType::F32)?;
        tensor.write_f32(self, values)?;
        Ok(tensor)
    }

    /// A tensor holding `values`.
    pub fn u32_tensor(&self, shape: &[usize], values: &[u32]) -> Result<Tensor> {
        let mut tensor = self.zeros(shape, DType::U32)?;
        tensor.write_u32(self, values)?;
        Ok(tensor)
    }

    pub(crate) fn write_words(&self, tensor: &mut Tensor, words: &[u32]) -> Result<()> {
        if words.len() > tensor.len() {
            return Err(KernelError::shape("write", format!("{} words into a tensor of {:?}", words.len(), tensor.shape())));
        }
        match (self, tensor.storage_mut()) {
            (Self::Cpu(_), Storage::Cpu(memory)) => {
                memory[..words.len()].copy_from_slice(words);
                Ok(())
            }
            (Self::Gpu(device), Storage::Gpu(slice)) => device.write(slice, words),
            _ => Err(KernelError::WrongDevice { op: "write", device: self.describe() }),
        }
    }

    /// The first `count` elements, once every recorded op before has run.
    pub async fn read_f32(&self, tensor: &Tensor, count: usize) -> Result<Vec<f32>> {
        Ok(bytemuck::cast_vec(self.read_u32(tensor, count).await?))
    }

    /// The first `count` elements, once every recorded op before has run.
    pub async fn read_u32(&self, tensor: &Tensor, count: usize) -> Result<Vec<u32>> {
        if count > tensor.len() {
            return Err(KernelError::shape("read", format!("{count} words from a tensor of {:?}", tensor.shape())));
        }
        match (self, tensor.storage()) {
            (Self::Cpu(_), Storage::Cpu(memory)) => Ok(memory[..count].to_vec()),
            (Self::Gpu(device), Storage::Gpu(slice)) => device.read(slice, count).await,
            _ => Err(KernelError::WrongDevice { op: "read", device: self.describe() }),
        }
    }

    /// Copies the first `count` elements of `from` into `to`. Its speed is the yardstick of every op that is bound by memory.
    pub fn copy(&self, from: &Tensor, to: &mut Tensor, count: usize) -> Result<()> {
        self.copy_to(from, to, 0, count)
    }

    /// Copies the first `count` elements of `from` into `to` from element `at` on, a multiple of 64 (a GPU's ranges begin at 256 bytes).
    pub fn copy_to(&self, from: &Tensor, to: &mut Tensor, at: usize, count: usize) -> Result<()> {
        if count > from.len() || at + count > to.len() || !at.is_multiple_of(64) {
            let message = format!("{count} words from {:?} to {:?} from word {at} on", from.shape(), to.shape());
            return Err(KernelError::shape("copy", message));
        }
        match (self, from.storage(), to.storage_mut()) {
            (Self::Cpu(device), Storage::Cpu(from), Storage::Cpu(to)) => {
                let to = cpu::parallel::SharedMut::new(&mut to[at..at + count]);
                cpu::parallel::for_each_range(device, count, 1 << 16, |part| {
                    // SAFETY: ranges are disjoint.
                    unsafe { to.slice(part.clone()) }.copy_from_slice(&from[part]);
                });
                Ok(())
            }
            (Self::Gpu(device), Storage::Gpu(from), Storage::Gpu(to)) => {
                let bytes = 4 * count as u64;
                device.copy(from, &to.part(4 * at as u64, bytes), bytes)
            }
            _ => Err(KernelError::WrongDevice { op: "copy", device: self.describe() }),
        }
    }

    /// Sets the first `count` elements to zero.
    pub fn clear(&self, tensor: &mut Tensor, count: usize) -> Result<()> {
        if count > tensor.len() {
            return Err(KernelError::shape("clear", format!("{count} words of a tensor of {:?}", tensor.shape())));
        }
        match (self, tensor.storage_mut()) {
            (Self::Cpu(device), Storage::Cpu(words)) => {
                let words = cpu::parallel::SharedMut::new(&mut words[..count]);
                cpu::parallel::for_each_range(device, count, 1 << 16, |part| {
                    // SAFETY: ranges are disjoint.
                    unsafe { words.slice(part) }.fill(0);
                });
                Ok(())
            }
            (Self::Gpu(device), Storage::Gpu(slice)) => device.clear(slice, 4 * count as u64),
            _ => Err(KernelError::WrongDevice { op: "clear", device: self.describe() }),
        }
    }

    /// Sends what was recorded to the GPU without waiting. Nothing to do on the CPU.
    pub fn submit(&self) -> Result<()> {
        match self {
            Self::Cpu(_) => Ok(()),
            Self::Gpu(device) => device.submit(),
        }
    }
}

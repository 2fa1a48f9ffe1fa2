//! cubecl's matrix products on our own wgpu device and queue (feature `cube`, native only, fast mode only).
//!
//! cubecl binds only memory it allocated itself. So x is copied into its memory at every product, a weight once, at its first
//! product: copies on the GPU, and a second time the bytes of every weight that takes part. The product is read from cubecl's memory
//! by our own shader, without a copy. Order on the queue: what we recorded is submitted before cubecl launches, and cubecl is flushed
//! before we record what reads its product. What cubecl cannot compile or bind is an error of the product, not a reason to take our kernel.
//!
//! The kernels are cubecl's WGSL: it knows no tensor cores and no TF32 there, so products and sums are f32. The routine is fixed;
//! nothing is tuned at run time, so a product of one shape runs the same kernel every time.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cubecl::client::Client;
use cubecl::ir::ElemType;
use cubecl::prelude::{Scalar, TensorBinding};
use cubecl::server::Handle;
use cubecl::wgpu::{AutoCompiler, RuntimeOptions, WgpuServer, WgpuSetup, try_init_device};
use cubecl::zspace::Tiling;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::matmul::launch::launch_ref;
use cubek::matmul::multi_level;
use cubek::matmul::strategy::Strategy;
use cubek::std::InputBinding;

use super::gemm::Gemm;
use super::{GpuDevice, GpuWeight, Shard, Slice};
use crate::error::{KernelError, Result};
use crate::{DType, matmul};

/// cubecl on one of our devices.
pub(super) struct Cube {
    client: Client,
    half: bool,
    /// One product at a time: they share this memory.
    scratch: Mutex<Scratch>,
    products: AtomicU64,
}

/// Memory for x and for the product; grows and never shrinks.
#[derive(Default)]
struct Scratch {
    x: Option<Held>,
    product: Option<Held>,
}

/// Memory of cubecl's. While `_place` lives it is not moved or given away.
struct Held {
    handle: Handle,
    slice: Slice,
    _place: Box<dyn Any + Send + Sync>,
}

fn failed(error: impl std::fmt::Display) -> KernelError {
    KernelError::Accelerator(format!("cubecl failed: {}", error.to_string().trim_end()))
}

impl Cube {
    /// Registers the device with cubecl, which sets the device's error handlers: the caller sets its own afterwards.
    ///
    /// cubecl keeps what is registered until the process ends, the device included.
    pub(super) fn new(instance: &wgpu::Instance, adapter: &wgpu::Adapter, device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        let setup = WgpuSetup {
            instance: instance.clone(),
            adapter: adapter.clone(),
            device: device.clone(),
            queue: queue.clone(),
            backend: adapter.get_info().backend,
        };
        let options = RuntimeOptions::try_default().map_err(failed)?;
        let registered = try_init_device(setup, options).map_err(failed)?;
        let client = cubecl::Device::Wgpu(registered).client();
        let half = client.properties().supports_type(half::f16::elem_type_native());
        Ok(Self { client, half, scratch: Mutex::default(), products: AtomicU64::new(0) })
    }

    /// `bytes` of undefined contents.
    fn allocate(&self, bytes: u64) -> Result<Held> {
        let handle = self.client.empty(bytes as usize);
        let place = self.client.get_resource::<WgpuServer<AutoCompiler>>(handle.clone()).map_err(failed)?;
        let resource = place.resource();
        let slice = Slice { buffer: resource.buffer.clone(), offset: resource.offset, bytes: resource.size.next_multiple_of(4) };
        Ok(Held { handle, slice, _place: Box::new(place) })
    }

    /// `held`, grown to `bytes` if it is smaller.
    fn grown<'a>(&self, held: &'a mut Option<Held>, bytes: u64) -> Result<&'a Held> {
        if held.as_ref().is_none_or(|held| held.slice.bytes < bytes) {
            *held = Some(self.allocate(bytes)?);
        }
        held.as_ref().ok_or_else(|| failed("no memory"))
    }

    fn elem(&self, dtype: DType) -> Option<ElemType> {
        match dtype {
            DType::F32 => Some(f32::elem_type_native()),
            DType::F16 if self.half => Some(half::f16::elem_type_native()),
            _ => None,
        }
    }
}

impl Gemm for Cube {
    fn describe(&self) -> String {
        format!("cubecl 0.11.3, {}, {}", self.client.name(), strategy())
    }

    fn passes(&self, dtype: DType, rows: usize) -> Option<&'static str> {
        match dtype {
            _ if rows <= matmul::FEW_ROWS => Some("few rows are bound by memory, which our matrix-vector kernel reads once"),
            DType::F16 if !self.half => Some("this adapter has no f16 in shaders"),
            DType::F32 | DType::F16 => None,
            DType::BF16 => Some("WGSL has no bf16"),
            _ => Some("cubecl does not know GGUF's blocks"),
        }
    }

    fn products(&self) -> u64 {
        self.products.load(Ordering::Relaxed)
    }

    fn forward(
        &self,
        device: &GpuDevice,
        x: &Slice,
        w: &GpuWeight,
        rows: usize,
        finish: &mut dyn FnMut(&Shard, &Slice) -> Result<()>,
    ) -> Result<()> {
        let (float, elem) = (f32::elem_type_native(), self.elem(w.dtype).ok_or_else(|| failed(format!("no {}", w.dtype.name())))?);
        let k = w.cols;
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let Scratch { x: copy, product } = &mut *scratch;
        let x_bytes = 4 * (rows * k) as u64;
        let copy = self.grown(copy, x_bytes)?;
        // This sends what was recorded first: it may write x, or read the product before.
        device.copy(x, &copy.slice, x_bytes)?;
        for shard in &w.shards {
            let words = shard.copy.get_or_make(|| {
                let held = self.client.memory_persistent_allocation((), |()| self.allocate(shard.slice.bytes))?;
                device.copy(&shard.slice, &held.slice, shard.slice.bytes)?;
                Ok(held)
            })?;
            // What finishes the shard before reads the memory that the next launch writes.
            device.submit()?;
            let bytes = 4 * (rows * shard.rows) as u64;
            let product = self.grown(product, bytes)?;
            // A row of a weight is padded: its stride, in weights.
            let stride = 4 * w.row_words / elem.size();
            let lhs = InputBinding::new(matrix(copy, [rows, k], [k, 1]), float);
            let rhs = InputBinding::new(matrix(&words, [k, shard.rows], [1, stride]), elem);
            let out = matrix(product, [rows, shard.rows], [shard.rows, 1]);
            let mut elems = MatmulElems::from_globals(&MatmulGlobalElems { lhs: float, rhs: elem, out: float });
            launch_ref(&strategy(), &self.client, lhs, rhs, out, &mut elems).map_err(failed)?;
            // A launch has no result: whether it could be compiled and bound is asked of what it writes.
            self.client.check([&product.handle]).map_err(failed)?;
            self.client.flush().map_err(failed)?;
            self.products.fetch_add(1, Ordering::Relaxed);
            finish(shard, &Slice { bytes, ..product.slice.clone() })?;
        }
        Ok(())
    }
}

impl Drop for Cube {
    fn drop(&mut self) {
        *self.scratch.get_mut().unwrap_or_else(PoisonError::into_inner) = Scratch::default();
        // What cannot be given back stays cubecl's; there is nobody left to tell.
        let _ = self.client.memory_cleanup();
    }
}

fn strategy() -> Strategy {
    Strategy::MultiLevel(multi_level::Strategy::SimpleUnit(Default::default()))
}

fn matrix(held: &Held, shape: [usize; 2], strides: [usize; 2]) -> TensorBinding {
    TensorBinding { handle: held.handle.clone().binding(), strides: strides.into(), shape: shape.into(), tiling: Tiling::UNTILED }
}

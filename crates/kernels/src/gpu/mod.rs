//! The wgpu device: adapter choice, memory, pipelines, recording, read-back.
//!
//! Ops are recorded by [`GpuDevice::launch`] and run in order, in one compute pass, when [`GpuDevice::submit`], a read-back or a
//! full uniform ring sends them. wgpu puts a barrier between dispatches that touch the same buffer, so recorded order is
//! what an op sees. Any failure that arrives later (a lost device, a driver's complaint) is returned by the next call.
//!
//! Rules for a kernel's bindings, from WebGPU: one dispatch may not bind the same buffer both `Read` and `ReadWrite`, even at
//! different offsets, nor overlapping ranges twice as `ReadWrite`. [`GpuDevice::allocate`] gives every range its own buffer;
//! only weights, which no op writes but the store after an optimizer step, share, and tensors of [`crate::Device::zeros_together`], which no op may
//! read while it writes another of them.

mod adapter;
#[cfg(all(feature = "cube", not(target_arch = "wasm32")))]
mod cube;
pub mod gemm;
mod memory;
pub mod preprocess;
mod profile;
mod read;
mod record;
mod repack;
pub mod shader;
mod weight;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::Pod;

use crate::Precision;
use crate::error::{KernelError, Result};
pub use adapter::{AdapterSummary, list_adapters};
use gemm::Gemm;
pub use profile::KernelTime;
use shader::ShaderSpec;
pub use weight::{GpuWeight, Shard};

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

impl Slice {
    /// A part of this range; `offset` is a multiple of 256 and both lie inside.
    pub fn part(&self, offset: u64, bytes: u64) -> Self {
        debug_assert!(offset.is_multiple_of(256) && bytes.is_multiple_of(4) && offset + bytes <= self.bytes);
        Self { buffer: self.buffer.clone(), offset: self.offset + offset, bytes }
    }

    /// The range from the first of these to the end of the last, and in which of its words each begins; `None` unless they follow one another in one
    /// buffer.
    pub(crate) fn of_parts(parts: &[Self]) -> Option<(Self, Vec<u32>)> {
        let first = parts.first()?;
        let mut end = first.offset;
        let mut at = Vec::with_capacity(parts.len());
        for part in parts {
            if part.buffer != first.buffer || part.offset < end {
                return None;
            }
            at.push(u32::try_from((part.offset - first.offset) / 4).ok()?);
            end = part.offset + part.bytes;
        }
        Some((Self { buffer: first.buffer.clone(), offset: first.offset, bytes: end - first.offset }, at))
    }
}

/// Whether this build has cubecl ([`GpuOptions::cube`]).
pub const HAS_CUBE: bool = cfg!(all(feature = "cube", not(target_arch = "wasm32")));

/// Which adapter, and how.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Part of the adapter's name, case-insensitive; `None` takes the fastest kind.
    pub adapter: Option<String>,
    /// Exact or fast.
    pub precision: Precision,
    /// No optional features of shaders (f16, subgroups): for an adapter whose own give wrong results.
    pub plain: bool,
    /// Time every dispatch with timestamp queries.
    pub profile: bool,
    /// Upper limit on one binding of a weight, so that tests can force small shards. `None`: 128 MiB or the adapter's limit.
    pub max_binding_bytes: Option<u64>,
    /// Let cubecl take the matrix products it can: in fast mode, in a build with the feature `cube`.
    pub cube: bool,
}

/// Optional features that the device has; kernels choose variants by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuFeatures {
    /// `enable f16`.
    pub f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Timestamps on passes.
    pub timestamps: bool,
}

/// What goes wrong after the call that caused it. The first fault stays: everything later is a consequence.
#[derive(Clone, Debug)]
enum Fault {
    OutOfMemory,
    Lost(String),
    Driver(String),
}

/// State that callbacks of the driver reach.
#[derive(Default)]
struct Faults {
    first: Mutex<Option<Fault>>,
    last_allocation: AtomicU64,
}

impl Faults {
    fn set(&self, fault: Fault) {
        lock(&self.first).get_or_insert(fault);
    }

    fn check(&self, device: &str) -> Result<()> {
        match lock(&self.first).as_ref() {
            None => Ok(()),
            Some(Fault::OutOfMemory) => {
                Err(KernelError::OutOfMemory { device: device.to_owned(), needed: self.last_allocation.load(Ordering::Relaxed) })
            }
            Some(Fault::Lost(message)) => Err(KernelError::DeviceLost(message.clone())),
            Some(Fault::Driver(message)) => Err(KernelError::Driver(message.clone())),
        }
    }
}

/// A lock whose holder panicked still guards plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value of a future that is ready at once, as popped error scopes are natively.
#[cfg(not(target_arch = "wasm32"))]
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// A wgpu device with its pipelines and the work recorded so far.
pub struct GpuDevice {
    device: wgpu::Device,
    queue: wgpu::Queue,
    name: String,
    precision: Precision,
    features: GpuFeatures,
    limits: wgpu::Limits,
    max_binding: u64,
    faults: Arc<Faults>,
    recorder: Mutex<record::Recorder>,
    staging: Mutex<read::Staging>,
    arena: Mutex<memory::Arena>,
    scratch: Mutex<Option<Slice>>,
    gemm: Option<Box<dyn Gemm>>,
    profile: Option<Mutex<profile::Profile>>,
    #[cfg(not(target_arch = "wasm32"))]
    poller: read::Poller,
}

impl GpuDevice {
    /// Opens the adapter.
    pub async fn new(options: &GpuOptions) -> Result<Self> {
        if options.cube && !HAS_CUBE {
            return Err(KernelError::Accelerator("this build is without cubecl; build with `--features cube`".into()));
        }
        if options.cube && options.precision == Precision::Exact {
            let why = "cubecl's sums depend on the batch, which exact mode rules out; take fast mode, or leave cubecl out";
            return Err(KernelError::Accelerator(why.into()));
        }
        let (instance, adapter) = adapter::choose(options.adapter.as_deref()).await?;
        let name = adapter::describe(&adapter.get_info());
        adapter::check_limits(&adapter, &name)?;
        let limits = adapter.limits();
        let optional = if options.plain { wgpu::Features::empty() } else { wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP };
        let wanted = optional | wgpu::Features::TIMESTAMP_QUERY;
        let granted = adapter.features() & wanted;
        // cubecl takes every feature of the adapter for one of the device.
        let more = if options.cube { cube_features(&adapter) } else { wgpu::Features::empty() };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("longhand"),
                required_features: granted | more,
                required_limits: limits.clone(),
                memory_hints: wgpu::MemoryHints::Performance,
                ..Default::default()
            })
            .await
            .map_err(|error| KernelError::NoAdapter(format!("{name} refused a device: {error}")))?;

        // Before the error handlers: cubecl sets its own, which panic.
        let gemm = gemm(options, &instance, &adapter, &device, &queue)?;
        let faults = Arc::new(Faults::default());
        let sink = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            sink.set(match error {
                wgpu::Error::OutOfMemory { .. } => Fault::OutOfMemory,
                other => Fault::Driver(other.to_string()),
            });
        }));
        let sink = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            // Dropping the device reports `Destroyed`, which nobody is left to read.
            if reason != wgpu::DeviceLostReason::Destroyed {
                sink.set(Fault::Lost(message));
            }
        });

        let features = GpuFeatures {
            f16: granted.contains(wgpu::Features::SHADER_F16),
            subgroups: granted.contains(wgpu::Features::SUBGROUP),
            timestamps: granted.contains(wgpu::Features::TIMESTAMP_QUERY),
        };
        if options.profile && !features.timestamps {
            return Err(KernelError::Driver(format!("{name} has no timestamp queries, so it cannot be profiled")));
        }
        let max_binding = limits.max_storage_buffer_binding_size.min(128 << 20).min(options.max_binding_bytes.unwrap_or(u64::MAX));
        Ok(Self {
            recorder: Mutex::new(record::Recorder::new(&device)),
            staging: Mutex::default(),
            arena: Mutex::default(),
            scratch: Mutex::default(),
            gemm,
            profile: options.profile.then(|| Mutex::new(profile::Profile::new(&device, &queue))),
            #[cfg(not(target_arch = "wasm32"))]
            poller: read::Poller::start(device.clone()),
            precision: options.precision,
            device,
            queue,
            name,
            features,
            limits,
            max_binding,
            faults,
        })
    }

    /// Exact or fast.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Name and backend: `llvmpipe (LLVM 15.0.6, 256 bits) (Vulkan)`.
    pub fn describe(&self) -> String {
        self.name.clone()
    }

    /// What kernels may specialise on.
    pub fn features(&self) -> GpuFeatures {
        self.features
    }

    /// The library that matrix products go to first ([`GpuOptions::cube`]).
    pub fn gemm(&self) -> Option<&dyn Gemm> {
        self.gemm.as_deref()
    }

    /// The device's limits.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    /// Most bytes in one binding of a weight; larger weights are cut into shards.
    pub fn max_binding(&self) -> u64 {
        self.max_binding
    }

    /// A zeroed range of its own buffer.
    pub fn allocate(&self, bytes: u64) -> Result<Slice> {
        memory::allocate(self, bytes)
    }

    /// The next weights, of so many bytes each, get neighbouring ranges of one buffer, unless that is more than one binding holds.
    pub(crate) fn weights_together(&self, bytes: &[u64]) -> Result<()> {
        memory::weights_together(self, bytes)
    }

    /// At least `bytes` of undefined contents for partial results inside one op. The next op that asks gets the same memory:
    /// recorded order keeps them apart. It grows and never shrinks.
    pub fn scratch(&self, bytes: u64) -> Result<Slice> {
        let mut scratch = lock(&self.scratch);
        match scratch.as_ref() {
            Some(slice) if slice.bytes >= bytes => Ok(slice.clone()),
            _ => Ok(scratch.insert(self.allocate(bytes.next_power_of_two())?).clone()),
        }
    }

    /// Overwrites the start of `slice`, ordered after every op recorded so far.
    pub fn write(&self, slice: &Slice, words: &[u32]) -> Result<()> {
        memory::write(self, slice, words)
    }

    /// Copies the first `bytes` (a multiple of 4) of a range into another of a different buffer, ordered after every op so far.
    pub fn copy(&self, from: &Slice, to: &Slice, bytes: u64) -> Result<()> {
        lock(&self.recorder).copy(self, from, to, bytes)
    }

    /// Zeros over the first `bytes` (a multiple of 4) of a range, ordered after every op so far.
    pub fn clear(&self, slice: &Slice, bytes: u64) -> Result<()> {
        lock(&self.recorder).clear(self, slice, bytes)
    }

    /// Submits, waits without blocking the executor, and returns the first `count` words.
    pub async fn read(&self, slice: &Slice, count: usize) -> Result<Vec<u32>> {
        read::read(self, slice, count).await
    }

    /// Submits what was recorded, without waiting.
    pub fn submit(&self) -> Result<()> {
        lock(&self.recorder).submit(self)
    }

    /// Records one dispatch: binding 0 is `uniform` (dynamic offset), bindings 1.. are `bindings` in the spec's order.
    ///
    /// A grid with a zero is nothing to do. A dimension holds at most 65,535 workgroups: see [`fold_groups`].
    pub fn launch<U: Pod>(
        &self,
        spec: &'static ShaderSpec,
        defines: &[(&'static str, i64)],
        uniform: &U,
        bindings: &[Slice],
        groups: [u32; 3],
    ) -> Result<()> {
        lock(&self.recorder).launch(self, spec, defines, bytemuck::bytes_of(uniform), bindings, groups)
    }

    /// Nanoseconds that each kernel took since the last call, longest first. Empty unless [`GpuOptions::profile`] was set.
    pub async fn take_profile(&self) -> Result<Vec<KernelTime>> {
        profile::take(self).await
    }

    fn check(&self) -> Result<()> {
        self.faults.check(&self.name)
    }
}

/// Features that cubecl may use when the adapter has them.
fn cube_features(adapter: &wgpu::Adapter) -> wgpu::Features {
    adapter.features() - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS - wgpu::Features::all_experimental_mask()
}

#[cfg(all(feature = "cube", not(target_arch = "wasm32")))]
fn gemm(
    options: &GpuOptions,
    instance: &wgpu::Instance,
    adapter: &wgpu::Adapter,
    device: &wgpu::Device,
    queue: &wgpu::Queue,
) -> Result<Option<Box<dyn Gemm>>> {
    Ok(if options.cube { Some(Box::new(cube::Cube::new(instance, adapter, device, queue)?)) } else { None })
}

#[cfg(not(all(feature = "cube", not(target_arch = "wasm32"))))]
fn gemm(_: &GpuOptions, _: &wgpu::Instance, _: &wgpu::Adapter, _: &wgpu::Device, _: &wgpu::Queue) -> Result<Option<Box<dyn Gemm>>> {
    Ok(None)
}

/// A one-dimensional grid of `count` workgroups in two dimensions, each below WebGPU's limit; the shader unfolds it with
/// `folded_group` of `shared/grid.wgsl` and ignores numbers past `count`.
pub fn fold_groups(count: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    let rows = count.div_ceil(MOST);
    [count.div_ceil(rows.max(1)) as u32, rows as u32, 1]
}

//! Asynchronous read-back: a copy into a mappable buffer, a future that its callback wakes.
//!
//! Natively someone has to poll wgpu for callbacks to run: a thread of the device does, so that no executor is blocked and
//! nobody spins. Browsers call back by themselves.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::{GpuDevice, Slice, lock};
use crate::error::{KernelError, Result};

/// Mappable buffers kept for the next read.
#[derive(Default)]
pub(super) struct Staging {
    free: Vec<wgpu::Buffer>,
}

/// Buffers beyond this count or size are dropped after use.
const KEEP_BUFFERS: usize = 8;
const KEEP_BYTES: u64 = 16 << 20;

impl Staging {
    fn take(&mut self, device: &wgpu::Device, bytes: u64) -> wgpu::Buffer {
        let smallest = self.free.iter().enumerate().filter(|(_, buffer)| buffer.size() >= bytes).min_by_key(|(_, buffer)| buffer.size());
        match smallest.map(|(index, _)| index) {
            Some(index) => self.free.swap_remove(index),
            None => device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read-back"),
                size: if bytes <= KEEP_BYTES { bytes.next_power_of_two().max(4096) } else { bytes },
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
        }
    }

    fn give(&mut self, buffer: wgpu::Buffer) {
        if self.free.len() < KEEP_BUFFERS && buffer.size() <= KEEP_BYTES {
            self.free.push(buffer);
        }
    }
}

pub(super) async fn read(device: &GpuDevice, slice: &Slice, count: usize) -> Result<Vec<u32>> {
    let bytes = 4 * count as u64;
    if bytes > slice.bytes {
        return Err(KernelError::shape("read", format!("{count} words from a slice of {} bytes", slice.bytes)));
    }
    if count == 0 {
        device.submit()?;
        return Ok(vec![]);
    }
    let staging = lock(&device.staging).take(&device.device, bytes);
    lock(&device.recorder).submit_and_copy(device, slice, &staging, bytes)?;
    let words = map(device, &staging, bytes).await?;
    lock(&device.staging).give(staging);
    Ok(words)
}

/// Maps the start of a buffer that a submission has filled, copies it out and unmaps it.
pub(super) async fn map(device: &GpuDevice, staging: &wgpu::Buffer, bytes: u64) -> Result<Vec<u32>> {
    let signal = Arc::new(Signal::default());
    let done = signal.clone();
    staging.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
        done.finish(result.map_err(|error| error.to_string()));
    });
    #[cfg(not(target_arch = "wasm32"))]
    device.poller.wake_when_done(signal.clone());
    let mapped = Mapped(signal).await;
    device.check()?;
    mapped.map_err(KernelError::Driver)?;
    let view = staging.slice(..bytes).get_mapped_range().map_err(|error| KernelError::Driver(error.to_string()))?;
    // Copied byte by byte: the mapping's alignment is the driver's.
    let mut words = vec![0u32; bytes as usize / 4];
    bytemuck::cast_slice_mut::<u32, u8>(&mut words).copy_from_slice(&view);
    drop(view);
    staging.unmap();
    device.check()?;
    Ok(words)
}

/// Set once by the mapping's callback (or by the poller when the device fails), awaited by [`Mapped`].
#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<SignalState>,
}

#[derive(Default)]
struct SignalState {
    result: Option<std::result::Result<(), String>>,
    waker: Option<Waker>,
}

impl Signal {
    fn finish(&self, result: std::result::Result<(), String>) {
        let mut state = lock(&self.state);
        state.result.get_or_insert(result);
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }
}

struct Mapped(Arc<Signal>);

impl Future for Mapped {
    type Output = std::result::Result<(), String>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0.state);
        match &state.result {
            Some(result) => Poll::Ready(result.clone()),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The thread that waits for submissions so that callbacks run. It ends with the device.
#[cfg(not(target_arch = "wasm32"))]
pub(super) struct Poller {
    requests: Mutex<std::sync::mpsc::Sender<Arc<Signal>>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Poller {
    pub(super) fn start(device: wgpu::Device) -> Self {
        let (requests, inbox) = std::sync::mpsc::channel::<Arc<Signal>>();
        std::thread::spawn(move || {
            for signal in inbox {
                // The callback runs in this call, or in another thread's that polled just before. If waiting failed, nobody
                // else would wake the reader.
                if let Err(error) = device.poll(wgpu::PollType::wait_indefinitely()) {
                    signal.finish(Err(error.to_string()));
                }
            }
        });
        Self { requests: Mutex::new(requests) }
    }

    fn wake_when_done(&self, signal: Arc<Signal>) {
        if let Err(error) = lock(&self.requests).send(signal) {
            error.0.finish(Err("the polling thread ended".into()));
        }
    }
}

//! Buffers: one per activation, shared arenas for weights, uploads in order.

use std::sync::atomic::Ordering;

use super::{GpuDevice, Slice, lock};
use crate::error::{KernelError, Result};

/// Bytes handed to the queue at once; larger uploads would hold as much staging memory again.
const UPLOAD_CHUNK: usize = 32 << 20;
/// In a browser a write of so many bytes is sent at once.
#[cfg(target_arch = "wasm32")]
const SENT_AT_ONCE: usize = 1 << 20;
/// Size of a weight arena. Weights at least an eighth of it get a buffer of their own.
const ARENA_BYTES: u64 = 16 << 20;

/// The arena being filled. Older ones live as long as the weights in them.
#[derive(Default)]
pub(super) struct Arena {
    buffer: Option<wgpu::Buffer>,
    used: u64,
    /// A buffer for weights that belong together, and how much of it is used.
    group: Option<(wgpu::Buffer, u64)>,
}

pub(super) fn allocate(device: &GpuDevice, bytes: u64) -> Result<Slice> {
    device.check()?;
    let limits =
        [("maxStorageBufferBindingSize", device.limits.max_storage_buffer_binding_size), ("maxBufferSize", device.limits.max_buffer_size)];
    if let Some((limit, has)) = limits.into_iter().find(|(_, has)| bytes > *has) {
        return Err(KernelError::AdapterTooSmall { adapter: device.describe(), limit, has, needs: bytes });
    }
    // A binding is never empty, and vec4 arrays need whole elements.
    let bytes = bytes.next_multiple_of(16).max(16);
    Ok(Slice { buffer: create(device, bytes)?, offset: 0, bytes })
}

/// A range for a weight; only `Weight::store` writes it. Many small weights share a buffer; large ones have their own.
pub(super) fn allocate_weight(device: &GpuDevice, bytes: u64) -> Result<Slice> {
    let bytes = bytes.next_multiple_of(16).max(16);
    let mut arena = lock(&device.arena);
    if let Some((buffer, used)) = &mut arena.group {
        let offset = used.next_multiple_of(256);
        if offset + bytes <= buffer.size() {
            *used = offset + bytes;
            return Ok(Slice { buffer: buffer.clone(), offset, bytes });
        }
        arena.group = None;
    }
    if bytes >= ARENA_BYTES / 8 {
        return allocate(device, bytes);
    }
    let offset = arena.used.next_multiple_of(256);
    let (buffer, offset) = match &arena.buffer {
        Some(buffer) if offset + bytes <= buffer.size() => (buffer.clone(), offset),
        _ => (create(device, ARENA_BYTES)?, 0),
    };
    *arena = Arena { buffer: Some(buffer.clone()), used: offset + bytes, group: None };
    Ok(Slice { buffer, offset, bytes })
}

/// Makes the buffer in which [`allocate_weight`] puts the next weights, of so many bytes each, one after the other.
pub(super) fn weights_together(device: &GpuDevice, bytes: &[u64]) -> Result<()> {
    let total: u64 = bytes.iter().map(|bytes| bytes.next_multiple_of(256)).sum();
    let group = if total > 0 && total <= device.max_binding { Some((create(device, total)?, 0)) } else { None };
    lock(&device.arena).group = group;
    Ok(())
}

fn create(device: &GpuDevice, bytes: u64) -> Result<wgpu::Buffer> {
    device.check()?;
    device.faults.last_allocation.store(bytes, Ordering::Relaxed);
    if bytes >= ARENA_BYTES {
        // Cached bind groups keep freed buffers alive; a large allocation may need that memory.
        lock(&device.recorder).forget_bind_groups();
    }
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    };
    // Natively the scopes answer at once, so the error belongs to this call and the device stays usable. In a browser they answer
    // later: there the device's error handler keeps the error for the next call.
    #[cfg(not(target_arch = "wasm32"))]
    {
        let internal = device.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = device.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = device.device.create_buffer(&descriptor);
        let out_of_memory = super::now(memory.pop()).flatten().is_some();
        if let Some(error) = super::now(internal.pop()).flatten() {
            return Err(KernelError::Driver(error.to_string()));
        }
        if out_of_memory {
            return Err(KernelError::OutOfMemory { device: device.describe(), needed: bytes });
        }
        Ok(buffer)
    }
    #[cfg(target_arch = "wasm32")]
    Ok(device.device.create_buffer(&descriptor))
}

pub(super) fn write(device: &GpuDevice, slice: &Slice, words: &[u32]) -> Result<()> {
    write_at(device, slice, 0, bytemuck::cast_slice(words))
}

/// Overwrites `bytes` of `slice` from `offset` (both multiples of 4), ordered after every op recorded so far.
pub(super) fn write_at(device: &GpuDevice, slice: &Slice, offset: u64, bytes: &[u8]) -> Result<()> {
    if offset + bytes.len() as u64 > slice.bytes {
        return Err(KernelError::shape("write", format!("{} bytes at {offset} into a slice of {}", bytes.len(), slice.bytes)));
    }
    // The queue's writes run before the next submission, so recorded ops that use the buffer must be sent first.
    lock(&device.recorder).submit_users_of(device, &slice.buffer)?;
    for (index, chunk) in bytes.chunks(UPLOAD_CHUNK).enumerate() {
        if index > 0 {
            // Sends the chunk before; natively waits for it, so that staging memory does not pile up.
            device.queue.submit([]);
            #[cfg(not(target_arch = "wasm32"))]
            device.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| KernelError::Driver(error.to_string()))?;
        }
        device.queue.write_buffer(&slice.buffer, slice.offset + offset + (index * UPLOAD_CHUNK) as u64, chunk);
    }
    // A browser keeps a copy of what was written until something is submitted; a model's weights would all wait there.
    #[cfg(target_arch = "wasm32")]
    if bytes.len() >= SENT_AT_ONCE {
        device.queue.submit([]);
    }
    device.check()
}

//! Timestamps around every dispatch.

use std::collections::HashMap;

use super::{GpuDevice, lock, read};
use crate::error::Result;

/// What one kernel variant took.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// Shader and defines.
    pub kernel: String,
    /// Dispatches.
    pub calls: u64,
    /// Total.
    pub nanoseconds: f64,
}

/// Two timestamps for each dispatch of the largest submission.
const QUERIES: u32 = 2048;

pub(super) struct Profile {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    period: f64,
    /// Kernels and timestamps of submissions not read yet.
    pending: Vec<(Vec<String>, wgpu::Buffer)>,
}

impl Profile {
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: QUERIES,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: 8 * u64::from(QUERIES),
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            period: f64::from(queue.get_timestamp_period()),
            pending: vec![],
        }
    }

    pub(super) fn writes(&self, index: u32) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * index),
            end_of_pass_write_index: Some(2 * index + 1),
        }
    }

    pub(super) fn resolve(&mut self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder, labels: Vec<String>) {
        let bytes = 16 * labels.len() as u64;
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.resolve_query_set(&self.queries, 0..2 * labels.len() as u32, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &staging, 0, bytes);
        self.pending.push((labels, staging));
    }
}

pub(super) async fn take(device: &GpuDevice) -> Result<Vec<KernelTime>> {
    let Some(profile) = &device.profile else { return Ok(vec![]) };
    device.submit()?;
    let (pending, period) = {
        let mut profile = lock(profile);
        (std::mem::take(&mut profile.pending), profile.period)
    };
    let mut totals: HashMap<String, (u64, f64)> = HashMap::new();
    for (labels, staging) in pending {
        let words = read::map(device, &staging, 16 * labels.len() as u64).await?;
        for (label, stamp) in labels.into_iter().zip(words.chunks_exact(4)) {
            let ticks = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
            // Clocks may step back between power states: never less than nothing.
            let elapsed = ticks(stamp[2], stamp[3]).saturating_sub(ticks(stamp[0], stamp[1]));
            let total = totals.entry(label).or_default();
            *total = (total.0 + 1, total.1 + elapsed as f64 * period);
        }
    }
    let mut times: Vec<_> = totals.into_iter().map(|(kernel, (calls, nanoseconds))| KernelTime { kernel, calls, nanoseconds }).collect();
    times.sort_by(|a, b| b.nanoseconds.total_cmp(&a.nanoseconds));
    Ok(times)
}

//! Recording: pipelines and bind groups are cached, uniforms gather in a ring, a submission is one compute pass.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::preprocess::Target;
use super::shader::{Access, ShaderSpec};
use super::{GpuDevice, Slice, lock};
use crate::error::{KernelError, Result};

/// Dynamic uniform offsets are multiples of 256 on every adapter.
const STRIDE: usize = 256;
/// Dispatches in one submission; a fuller ring is sent.
const MOST_DISPATCHES: usize = 1024;
/// A bind group that this many submissions have not used is dropped, with its hold on the buffers.
const KEEP_SUBMISSIONS: u64 = 64;

type Defines = Vec<(&'static str, i64)>;

struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    label: String,
}

struct CachedGroup {
    group: wgpu::BindGroup,
    last_used: u64,
}

struct Dispatch {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    groups: [u32; 3],
}

/// What a bind group depends on: the shader's bindings and each buffer's range.
type GroupKey = (usize, &'static [Access], Vec<(wgpu::Buffer, u64, u64)>);

pub(super) struct Recorder {
    pipelines: HashMap<(&'static str, Defines), Arc<Pipeline>>,
    layouts: HashMap<(usize, &'static [Access]), wgpu::BindGroupLayout>,
    groups: HashMap<GroupKey, CachedGroup>,
    uniforms: Vec<u8>,
    uniform_buffer: wgpu::Buffer,
    dispatches: Vec<Dispatch>,
    /// Buffers that the recorded dispatches use.
    used: HashSet<wgpu::Buffer>,
    submissions: u64,
}

impl Recorder {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let uniform_buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("uniforms"),
            size: (MOST_DISPATCHES * STRIDE) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            pipelines: HashMap::new(),
            layouts: HashMap::new(),
            groups: HashMap::new(),
            uniforms: vec![],
            uniform_buffer,
            dispatches: vec![],
            used: HashSet::new(),
            submissions: 0,
        }
    }

    pub(super) fn forget_bind_groups(&mut self) {
        self.groups.clear();
    }

    pub(super) fn submit_users_of(&mut self, device: &GpuDevice, buffer: &wgpu::Buffer) -> Result<()> {
        if self.used.contains(buffer) { self.submit(device) } else { device.check() }
    }

    pub(super) fn launch(
        &mut self,
        device: &GpuDevice,
        spec: &'static ShaderSpec,
        defines: &[(&'static str, i64)],
        uniform: &[u8],
        bindings: &[Slice],
        groups: [u32; 3],
    ) -> Result<()> {
        device.check()?;
        let op = spec.name;
        if uniform.len() != spec.uniform_bytes || uniform.len() > STRIDE || bindings.len() != spec.bindings.len() {
            let (bytes, count) = (uniform.len(), bindings.len());
            return Err(KernelError::shape(op, format!("{bytes} uniform bytes and {count} bindings are not the shader's")));
        }
        let most = device.limits.max_compute_workgroups_per_dimension;
        if groups.iter().any(|&groups| groups > most) {
            return Err(KernelError::shape(op, format!("{groups:?} workgroups, {most} is the most in one dimension")));
        }
        if let Some(slice) = bindings.iter().find(|slice| slice.bytes > device.limits.max_storage_buffer_binding_size) {
            return Err(KernelError::shape(op, format!("a binding of {} bytes is too large", slice.bytes)));
        }
        if groups.contains(&0) {
            return Ok(());
        }
        let pipeline = self.pipeline(device, spec, defines)?;
        let group = self.group(device, spec, &pipeline, bindings);
        self.used.extend(bindings.iter().map(|slice| slice.buffer.clone()));
        self.uniforms.extend_from_slice(uniform);
        self.uniforms.resize((self.dispatches.len() + 1) * STRIDE, 0);
        self.dispatches.push(Dispatch { pipeline, group, groups });
        if self.dispatches.len() == MOST_DISPATCHES { self.submit(device) } else { Ok(()) }
    }

    /// Sends everything recorded. One pass, so that a dispatch costs microseconds; a pass for each when profiling.
    pub(super) fn submit(&mut self, device: &GpuDevice) -> Result<()> {
        device.check()?;
        if self.dispatches.is_empty() {
            return Ok(());
        }
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(device, &mut encoder);
        device.queue.submit([encoder.finish()]);
        self.sent(device)
    }

    /// Sends everything recorded and, in the same submission, a copy of the first `bytes` of a range to the start of a buffer that can be mapped.
    pub(super) fn submit_and_copy(&mut self, device: &GpuDevice, from: &Slice, to: &wgpu::Buffer, bytes: u64) -> Result<()> {
        device.check()?;
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if !self.dispatches.is_empty() {
            self.encode(device, &mut encoder);
        }
        encoder.copy_buffer_to_buffer(&from.buffer, from.offset, to, 0, bytes);
        device.queue.submit([encoder.finish()]);
        self.sent(device)
    }

    /// Everything recorded, as commands.
    fn encode(&mut self, device: &GpuDevice, encoder: &mut wgpu::CommandEncoder) {
        device.queue.write_buffer(&self.uniform_buffer, 0, &self.uniforms);
        if let Some(profile) = &device.profile {
            let mut profile = lock(profile);
            for (index, dispatch) in self.dispatches.iter().enumerate() {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(&dispatch.pipeline.label),
                    timestamp_writes: Some(profile.writes(index as u32)),
                });
                encode(&mut pass, dispatch, index);
            }
            let labels = self.dispatches.iter().map(|dispatch| dispatch.pipeline.label.clone()).collect();
            profile.resolve(&device.device, encoder, labels);
        } else {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for (index, dispatch) in self.dispatches.iter().enumerate() {
                encode(&mut pass, dispatch, index);
            }
        }
    }

    /// The recorder is empty again.
    fn sent(&mut self, device: &GpuDevice) -> Result<()> {
        self.dispatches.clear();
        self.uniforms.clear();
        self.used.clear();
        self.submissions += 1;
        if self.submissions.is_multiple_of(KEEP_SUBMISSIONS) {
            let oldest = self.submissions - KEEP_SUBMISSIONS;
            self.groups.retain(|_, group| group.last_used >= oldest);
        }
        device.check()
    }

    /// Sends everything recorded, then a copy of `bytes` from the start of one range to the start of another.
    pub(super) fn copy(&mut self, device: &GpuDevice, from: &Slice, to: &Slice, bytes: u64) -> Result<()> {
        self.submit(device)?;
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &to.buffer, to.offset, bytes);
        device.queue.submit([encoder.finish()]);
        device.check()
    }

    /// Sends everything recorded, then zeros over the first `bytes` of a range.
    pub(super) fn clear(&mut self, device: &GpuDevice, slice: &Slice, bytes: u64) -> Result<()> {
        self.submit(device)?;
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&slice.buffer, slice.offset, Some(bytes));
        device.queue.submit([encoder.finish()]);
        device.check()
    }

    fn group(&mut self, device: &GpuDevice, spec: &'static ShaderSpec, pipeline: &Pipeline, bindings: &[Slice]) -> wgpu::BindGroup {
        let ranges = bindings.iter().map(|slice| (slice.buffer.clone(), slice.offset, slice.bytes)).collect();
        let submissions = self.submissions;
        let cached = self.groups.entry((spec.uniform_bytes, spec.bindings, ranges)).or_insert_with(|| {
            let mut entries = vec![wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &self.uniform_buffer,
                    offset: 0,
                    size: wgpu::BufferSize::new(spec.uniform_bytes as u64),
                }),
            }];
            entries.extend(bindings.iter().zip(1..).map(|(slice, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &slice.buffer,
                    offset: slice.offset,
                    size: wgpu::BufferSize::new(slice.bytes),
                }),
            }));
            let descriptor = wgpu::BindGroupDescriptor { label: Some(spec.name), layout: &pipeline.layout, entries: &entries };
            CachedGroup { group: device.device.create_bind_group(&descriptor), last_used: 0 }
        });
        cached.last_used = submissions;
        cached.group.clone()
    }

    fn layout(&mut self, device: &GpuDevice, spec: &'static ShaderSpec) -> wgpu::BindGroupLayout {
        let create = || {
            let storage = spec.bindings.iter().map(|access| wgpu::BufferBindingType::Storage { read_only: *access == Access::Read });
            let types = std::iter::once(wgpu::BufferBindingType::Uniform).chain(storage);
            let entries: Vec<_> = types
                .zip(0..)
                .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
                    binding,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty: wgpu::BindingType::Buffer {
                        ty,
                        has_dynamic_offset: binding == 0,
                        min_binding_size: wgpu::BufferSize::new(if binding == 0 { spec.uniform_bytes as u64 } else { 0 }),
                    },
                    count: None,
                })
                .collect();
            device.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(spec.name), entries: &entries })
        };
        self.layouts.entry((spec.uniform_bytes, spec.bindings)).or_insert_with(create).clone()
    }

    fn pipeline(&mut self, device: &GpuDevice, spec: &'static ShaderSpec, defines: &[(&'static str, i64)]) -> Result<Arc<Pipeline>> {
        let key = (spec.name, defines.to_vec());
        if let Some(pipeline) = self.pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let web = cfg!(target_arch = "wasm32");
        let target = Target { f16: device.features.f16, subgroups: device.features.subgroups, web };
        let module = spec.module(defines, target)?;
        let values: Vec<_> = defines.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let label = if values.is_empty() { spec.name.to_owned() } else { format!("{} {}", spec.name, values.join(" ")) };
        let layout = self.layout(device, spec);
        let create = || {
            let shader = device.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                // naga calls the file by the label: `wgsl:12:5` is what `Module::explain` looks for.
                label: Some(if web { &label } else { "wgsl" }),
                source: wgpu::ShaderSource::Wgsl(module.source.as_str().into()),
            });
            let pipeline_layout = device.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(spec.name),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            device.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&pipeline_layout),
                module: &shader,
                entry_point: Some("main"),
                // Kernels write workgroup memory before they read it.
                compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
                cache: None,
            })
        };
        #[cfg(not(target_arch = "wasm32"))]
        let pipeline = {
            let internal = device.device.push_error_scope(wgpu::ErrorFilter::Internal);
            let validation = device.device.push_error_scope(wgpu::ErrorFilter::Validation);
            let pipeline = create();
            let refused = super::now(validation.pop()).flatten();
            if let Some(error) = super::now(internal.pop()).flatten().or(refused) {
                let (file, message) = module.explain(&error.to_string());
                return Err(KernelError::Shader { file, message: format!("{label}: {message}") });
            }
            pipeline
        };
        // A browser compiles later: its complaint reaches the device's error handler, with the label.
        #[cfg(target_arch = "wasm32")]
        let pipeline = create();
        let pipeline = Arc::new(Pipeline { pipeline, layout, label });
        self.pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

fn encode(pass: &mut wgpu::ComputePass<'_>, dispatch: &Dispatch, index: usize) {
    pass.set_pipeline(&dispatch.pipeline.pipeline);
    pass.set_bind_group(0, &dispatch.group, &[(index * STRIDE) as u32]);
    pass.dispatch_workgroups(dispatch.groups[0], dispatch.groups[1], dispatch.groups[2]);
}

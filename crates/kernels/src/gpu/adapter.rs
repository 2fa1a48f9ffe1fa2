//! Which adapter: hardware before software, never OpenGL, and a clear word when there is none.

use crate::error::{KernelError, Result};

/// One adapter, for people.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Name and backend.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Driver and version.
    pub driver: String,
    /// Largest buffer binding in bytes.
    pub max_binding: u64,
    /// Optional features that kernels use.
    pub features: Vec<&'static str>,
    /// Why the core cannot run on it; `None` if it can.
    pub unusable: Option<String>,
}

/// Every adapter the core might use, best first.
pub async fn list_adapters() -> Vec<AdapterSummary> {
    adapters().await.1.iter().map(summary).collect()
}

/// The adapter, and the instance it is of.
pub(super) async fn choose(wanted: Option<&str>) -> Result<(wgpu::Instance, wgpu::Adapter)> {
    let (instance, found) = adapters().await;
    let names: Vec<_> = found.iter().map(|adapter| describe(&adapter.get_info())).collect();
    let matches = |name: &str| wanted.is_none_or(|wanted| name.to_lowercase().contains(&wanted.to_lowercase()));
    if let Some(index) = names.iter().position(|name| matches(name)) {
        return Ok((instance, found[index].clone()));
    }
    Err(KernelError::NoAdapter(match (wanted, names.is_empty()) {
        (_, true) if cfg!(target_arch = "wasm32") => "this browser offers no WebGPU adapter".into(),
        (_, true) => "no Vulkan, Metal or DirectX 12 driver was found".into(),
        (Some(wanted), false) => format!("none is named like `{wanted}`; there is {}", names.join(", ")),
        (None, false) => names.join(", "),
    }))
}

/// Name and backend.
pub(super) fn describe(info: &wgpu::AdapterInfo) -> String {
    let name = if info.name.is_empty() { "adapter" } else { &info.name };
    format!("{name} ({:?})", info.backend)
}

/// What every kernel takes for granted; the portable contract of shaders/.
pub(super) fn check_limits(adapter: &wgpu::Adapter, name: &str) -> Result<()> {
    let limits = adapter.limits();
    let needs = [
        ("maxStorageBuffersPerShaderStage", u64::from(limits.max_storage_buffers_per_shader_stage), 8),
        ("maxComputeWorkgroupStorageSize", u64::from(limits.max_compute_workgroup_storage_size), 16 << 10),
        ("maxComputeInvocationsPerWorkgroup", u64::from(limits.max_compute_invocations_per_workgroup), 256),
        ("maxComputeWorkgroupsPerDimension", u64::from(limits.max_compute_workgroups_per_dimension), 65_535),
        ("maxStorageBufferBindingSize", limits.max_storage_buffer_binding_size, 128 << 20),
    ];
    match needs.into_iter().find(|(_, has, needs)| has < needs) {
        Some((limit, has, needs)) => Err(KernelError::AdapterTooSmall { adapter: name.to_owned(), limit, has, needs }),
        None => Ok(()),
    }
}

#[cfg(not(target_arch = "wasm32"))]
async fn adapters() -> (wgpu::Instance, Vec<wgpu::Adapter>) {
    // An OpenGL adapter would be listed as well: same hardware, poorer compute. So the backends are named.
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // No indirect dispatches here, so no validation dispatch before each; wgpu's own checks stay on.
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let mut found = instance.enumerate_adapters(backends).await;
    found.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    (instance, found)
}

#[cfg(target_arch = "wasm32")]
async fn adapters() -> (wgpu::Instance, Vec<wgpu::Adapter>) {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::BROWSER_WEBGPU;
    let options = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    let instance = wgpu::Instance::new(descriptor);
    let found = instance.request_adapter(&options).await.into_iter().collect();
    (instance, found)
}

#[cfg(not(target_arch = "wasm32"))]
fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn summary(adapter: &wgpu::Adapter) -> AdapterSummary {
    let info = adapter.get_info();
    let name = describe(&info);
    let offered = adapter.features();
    let features =
        [(wgpu::Features::SHADER_F16, "f16"), (wgpu::Features::SUBGROUP, "subgroups"), (wgpu::Features::TIMESTAMP_QUERY, "timestamps")];
    AdapterSummary {
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        },
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        max_binding: adapter.limits().max_storage_buffer_binding_size,
        features: features.into_iter().filter(|(feature, _)| offered.contains(*feature)).map(|(_, name)| name).collect(),
        unusable: check_limits(adapter, &name).err().map(|error| error.to_string()),
        name,
    }
}

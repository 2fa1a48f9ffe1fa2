//! The table of ops' shaders: every WGSL file with its bindings and variants. It drives validation, the browser's compile check,
//! pipelines and benches.

use crate::gpu::shader::ShaderSpec;

/// Every shader of the project.
pub fn shaders() -> Vec<&'static ShaderSpec> {
    [
        crate::matmul::gpu::SHADERS,
        crate::matmul::parts::SHADERS,
        crate::matmul::gpu_backward::SHADERS,
        crate::rms_norm::gpu::SHADERS,
        crate::rope::gpu::SHADERS,
        crate::swiglu::gpu::SHADERS,
        crate::embedding::gpu::SHADERS,
        crate::attention::gpu::SHADERS,
        crate::moe::gpu::SHADERS,
        crate::head::gpu::SHADERS,
        crate::sample::gpu::SHADERS,
        crate::optimizer::gpu::SHADERS,
        crate::gpu::GpuWeight::SHADERS,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect()
}

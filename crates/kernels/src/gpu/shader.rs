//! WGSL files: the preprocessor (`#import`, integer `#if`, `{{CONST}}`) and the description of each shader.

/// How a shader uses a storage binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// One WGSL file of `shaders/` and everything the host must agree with it on.
pub struct ShaderSpec {
    /// File name without `.wgsl`.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
    /// Storage bindings 1.. in order; binding 0 is the uniform.
    pub bindings: &'static [Access],
    /// Size of the uniform struct in bytes (a multiple of 16).
    pub uniform_bytes: usize,
    /// Every set of integer defines the host may ask for.
    pub variants: fn() -> Vec<Vec<(&'static str, i64)>>,
}

//! The description of each WGSL file: what host and shader must agree on.

use super::preprocess::{Module, Target, preprocess};
use crate::error::Result;

/// How a shader uses a storage binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// One WGSL file of `shaders/` and everything the host must agree with it on.
///
/// The shader's entry point is `main`; its uniform is `@group(0) @binding(0) var<uniform> params: Params;` and its storage
/// bindings are `@group(0) @binding(1)…` in the order of `bindings`. Values, not layouts, are what variants may change.
pub struct ShaderSpec {
    /// File name without `.wgsl`; two specs of one file differ in a suffix. Unique: pipelines are cached by it.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
    /// Storage bindings 1.. in order; binding 0 is the uniform.
    pub bindings: &'static [Access],
    /// Size of the uniform struct in bytes (a multiple of 16).
    pub uniform_bytes: usize,
    /// Name and byte offset of the uniform struct's fields in Rust, from [`crate::uniform!`]; a test compares them with WGSL's.
    pub uniform_fields: &'static [(&'static str, usize)],
    /// Every set of integer defines the host may ask for.
    pub variants: fn() -> Vec<Vec<(&'static str, i64)>>,
}

impl ShaderSpec {
    /// The module of one variant.
    pub fn module(&self, defines: &[(&'static str, i64)], target: Target) -> Result<Module> {
        preprocess(&format!("{}.wgsl", self.name), self.source, defines, target, &imported)
    }
}

/// A shader without variants.
pub fn one_variant() -> Vec<Vec<(&'static str, i64)>> {
    vec![vec![]]
}

/// Declares a uniform struct that is `Pod`, with its size and fields for [`ShaderSpec`]:
/// `uniform! { struct Params { rows: u32, width: u32, eps: f32, _pad: u32 } }` gives `Params::BYTES` and `Params::FIELDS`.
#[macro_export]
macro_rules! uniform {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident : $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        struct $name { $($field: $type),+ }
        impl $name {
            const BYTES: usize = {
                assert!(size_of::<Self>() % 16 == 0, "a uniform's size is a multiple of 16");
                size_of::<Self>()
            };
            const FIELDS: &'static [(&'static str, usize)] = &[$((stringify!($field), std::mem::offset_of!(Self, $field))),+];
        }
    };
}

/// Files that shaders import. A new file of `shaders/shared/` needs a line here.
const SHARED: &[(&str, &str)] = &[
    ("shared/attention_tiles.wgsl", include_str!("../../../../shaders/shared/attention_tiles.wgsl")),
    ("shared/attention_rows.wgsl", include_str!("../../../../shaders/shared/attention_rows.wgsl")),
    ("shared/attention_pair.wgsl", include_str!("../../../../shaders/shared/attention_pair.wgsl")),
    ("shared/attention_gradients.wgsl", include_str!("../../../../shaders/shared/attention_gradients.wgsl")),
    ("shared/attention_backward_params.wgsl", include_str!("../../../../shaders/shared/attention_backward_params.wgsl")),
    ("shared/attention_chunk.wgsl", include_str!("../../../../shaders/shared/attention_chunk.wgsl")),
    ("shared/attention_fold.wgsl", include_str!("../../../../shaders/shared/attention_fold.wgsl")),
    ("shared/attention_params.wgsl", include_str!("../../../../shaders/shared/attention_params.wgsl")),
    ("shared/attention_store.wgsl", include_str!("../../../../shaders/shared/attention_store.wgsl")),
    ("shared/matmul_tile.wgsl", include_str!("../../../../shaders/shared/matmul_tile.wgsl")),
    ("shared/outer_tile.wgsl", include_str!("../../../../shaders/shared/outer_tile.wgsl")),
    ("shared/kv_cache.wgsl", include_str!("../../../../shaders/shared/kv_cache.wgsl")),
    ("shared/kv_quantise.wgsl", include_str!("../../../../shaders/shared/kv_quantise.wgsl")),
    ("shared/kv_store.wgsl", include_str!("../../../../shaders/shared/kv_store.wgsl")),
    ("shared/softmax_fold.wgsl", include_str!("../../../../shaders/shared/softmax_fold.wgsl")),
    ("shared/softmax_kept.wgsl", include_str!("../../../../shaders/shared/softmax_kept.wgsl")),
    ("shared/softmax_runs.wgsl", include_str!("../../../../shaders/shared/softmax_runs.wgsl")),
    ("shared/grid.wgsl", include_str!("../../../../shaders/shared/grid.wgsl")),
    ("shared/math.wgsl", include_str!("../../../../shaders/shared/math.wgsl")),
    ("shared/weight.wgsl", include_str!("../../../../shaders/shared/weight.wgsl")),
];

fn imported(path: &str) -> Option<&'static str> {
    SHARED.iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
}

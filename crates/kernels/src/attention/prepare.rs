//! What stands between a layer's projections and its attention, in one dispatch on a GPU.

use super::{Batch, KvCache, KvShape, Storage, append, gpu};
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, Slice, fold_groups};
use crate::rope::RopeTable;
use crate::{DType, Device, Result, Tensor, rms_norm, rope, uniform};

const OP: &str = "attention prepare";

/// Norms each head of q and k (`norms`: their gains [D]), rotates them by the batch's positions, q in place, and writes k and v into the cache of
/// `layer`. k is undefined afterwards. On a GPU it is one dispatch if q, k and v lie together ([`Device::zeros_together`]), with the bits of the
/// ops it stands for.
///
/// Errors when a shape does not fit or a tensor is elsewhere.
pub fn prepare(
    device: &Device,
    [q, k, v]: [&mut Tensor; 3],
    norms: Option<(&Tensor, &Tensor)>,
    eps: f32,
    table: &RopeTable,
    cache: &mut KvCache,
    layer: usize,
    batch: &Batch,
) -> Result<()> {
    let (rows, dim, kv_heads) = (batch.rows, cache.shape.head_dim, cache.shape.kv_heads);
    let heads = q.width() / dim;
    if let (Device::Gpu(gpu), Storage::Gpu(layers)) = (device, &cache.layers) {
        q.expect(OP, "q", DType::F32, rows, heads * dim)?;
        k.expect(OP, "k", DType::F32, rows, kv_heads * dim)?;
        v.expect(OP, "v", DType::F32, rows, kv_heads * dim)?;
        if let Some((qkv, at)) = Slice::of_parts(&[q.gpu(OP)?, k.gpu(OP)?, v.gpu(OP)?]) {
            return launch(gpu, qkv, &at, heads, norms, eps, table, &layers[layer], &cache.shape, batch);
        }
    }
    if let Some((q_gain, k_gain)) = norms {
        rms_norm::forward_in_place(device, q, q_gain, eps, rows * heads, dim)?;
        rms_norm::forward_in_place(device, k, k_gain, eps, rows * kv_heads, dim)?;
    }
    rope::forward(device, q, table, &batch.positions, rows, heads)?;
    rope::forward(device, k, table, &batch.positions, rows, kv_heads)?;
    append(device, k, v, cache, layer, batch)
}

pub(super) static PREPARE: ShaderSpec = ShaderSpec {
    name: "attention_prepare",
    source: include_str!("../../../../shaders/attention_prepare.wgsl"),
    bindings: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::ReadWrite,
        Access::ReadWrite,
        Access::ReadWrite,
    ],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || (0..3).map(|kv| vec![("KV", kv)]).collect(),
};

uniform! { struct Params {
    rows: u32, heads: u32, kv_heads: u32, head_dim: u32,
    k_at: u32, v_at: u32, items_per_head: u32, scale_base: u32,
    has_norm: u32, eps: f32, pad0: u32, pad1: u32,
} }

fn launch(
    device: &GpuDevice,
    qkv: Slice,
    at: &[u32],
    heads: usize,
    norms: Option<(&Tensor, &Tensor)>,
    eps: f32,
    table: &RopeTable,
    layer: &gpu::Layer,
    shape: &KvShape,
    batch: &Batch,
) -> Result<()> {
    let params = Params {
        rows: batch.rows as u32,
        heads: heads as u32,
        kv_heads: shape.kv_heads as u32,
        head_dim: shape.head_dim as u32,
        k_at: at[1],
        v_at: at[2],
        items_per_head: gpu::items_per_head(shape) as u32,
        scale_base: gpu::code_words(shape) as u32,
        has_norm: u32::from(norms.is_some()),
        eps,
        pad0: 0,
        pad1: 0,
    };
    // Without norms their gains are never read; the table fills the bindings.
    let (q_gain, k_gain) = norms.unwrap_or((&table.table, &table.table));
    let bindings = [
        q_gain.gpu(OP)?,
        k_gain.gpu(OP)?,
        table.table.gpu(OP)?,
        batch.positions.gpu(OP)?,
        batch.slots.gpu(OP)?,
        qkv,
        layer.k.clone(),
        layer.v.clone(),
    ];
    device.launch(&PREPARE, &[("KV", gpu::kv(shape.dtype))], &params, &bindings, fold_groups(batch.rows * (heads + shape.kv_heads)))
}

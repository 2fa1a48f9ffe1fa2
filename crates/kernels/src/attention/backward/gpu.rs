//! Attention's gradient on the GPU: two deterministic passes (dq by query tile, dk and dv by key tile) after one for lse and delta.
//!
//! Every key is a row of the batch, so K and V are first read out of the pages into [R, Hkv, D] f32: the passes then need neither page
//! tables nor a variant for each cache format. That memory belongs to the [`BackwardSpace`].

use super::super::gpu::{Layer, kv};
use super::super::{Batch, KvShape};
use super::{BackwardSpace, OP};
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, Slice, fold_groups};
use crate::{Result, Tensor, uniform};

/// Rows of a tile, `TILE` of `attention_tiles.wgsl`.
const TILE: usize = 32;

pub static KEYS: ShaderSpec = ShaderSpec {
    name: "attention_backward_keys",
    source: include_str!("../../../../../shaders/attention_backward_keys.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: KeysParams::BYTES,
    uniform_fields: KeysParams::FIELDS,
    variants: || [0, 1].map(|kv| vec![("KV", kv)]).to_vec(),
};

pub static STATISTICS: ShaderSpec = ShaderSpec {
    name: "attention_backward_stats",
    source: include_str!("../../../../../shaders/attention_backward_stats.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || vec![vec![("SIDES", 1)]],
};

pub static DQ: ShaderSpec = ShaderSpec {
    name: "attention_backward_q",
    source: include_str!("../../../../../shaders/attention_backward_q.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: columns,
};

pub static DKV: ShaderSpec = ShaderSpec {
    name: "attention_backward_kv",
    source: include_str!("../../../../../shaders/attention_backward_kv.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: columns,
};

/// COLUMNS · 32 is at least D.
fn columns() -> Vec<Vec<(&'static str, i64)>> {
    [1, 2, 4, 8].map(|columns| vec![("SIDES", 2), ("COLUMNS", columns)]).to_vec()
}

uniform! { struct KeysParams { items: u32, kv_heads: u32, head_dim: u32, pad0: u32 } }

uniform! { struct Params {
    items: u32, spans: u32, kv_heads: u32, group: u32,
    head_dim: u32, delta_base: u32, scale: f32, pad0: u32,
} }

pub fn backward(
    device: &GpuDevice,
    q: &Tensor,
    layer: &Layer,
    shape: &KvShape,
    batch: &Batch,
    scale: f32,
    out: &Tensor,
    dout: &Tensor,
    space: &mut BackwardSpace,
    dq: &mut Tensor,
    dk: &mut Tensor,
    dv: &mut Tensor,
) -> Result<()> {
    let heads = q.width() / shape.head_dim;
    let [k, v] = keys(device, layer, shape, batch, space)?;
    // ⌊rows / 32⌋ + spans is at least the spans' tiles; a tile too many is nothing to do.
    let tiles = batch.rows / TILE + batch.spans.len();
    let params = |heads: usize| Params {
        items: (tiles * heads) as u32,
        spans: batch.spans.len() as u32,
        kv_heads: shape.kv_heads as u32,
        group: (q.width() / (shape.kv_heads * shape.head_dim)) as u32,
        head_dim: shape.head_dim as u32,
        delta_base: (space.statistics.len() / 2) as u32,
        scale,
        pad0: 0,
    };
    let (q, dout, spans, statistics) = (q.gpu(OP)?, dout.gpu(OP)?, batch.span_table.gpu(OP)?, space.statistics.gpu(OP)?);
    let bindings = [q.clone(), k.clone(), spans.clone(), out.gpu(OP)?, dout.clone(), statistics.clone()];
    device.launch(&STATISTICS, &[("SIDES", 1)], &params(heads), &bindings, fold_groups(tiles * heads))?;
    let defines = [("SIDES", 2), ("COLUMNS", shape.head_dim.div_ceil(32).next_power_of_two() as i64)];
    let bindings = [q, k, v, spans, dout, statistics];
    let [dq, dk, dv] = [dq.gpu(OP)?, dk.gpu(OP)?, dv.gpu(OP)?];
    let with = |outputs: &[Slice]| [&bindings[..], outputs].concat();
    device.launch(&DQ, &defines, &params(heads), &with(&[dq]), fold_groups(tiles * heads))?;
    device.launch(&DKV, &defines, &params(shape.kv_heads), &with(&[dk, dv]), fold_groups(tiles * shape.kv_heads))
}

/// K and V of the batch's rows as f32, in the space's own memory.
fn keys(device: &GpuDevice, layer: &Layer, shape: &KvShape, batch: &Batch, space: &mut BackwardSpace) -> Result<[Slice; 2]> {
    let values = batch.rows * shape.kv_heads * shape.head_dim;
    let bytes = 4 * values as u64;
    let rows = match &space.keys {
        Some(rows) if rows[0].bytes >= bytes => rows.clone(),
        _ => {
            space.keys = None;
            space.keys.insert([device.allocate(bytes)?, device.allocate(bytes)?]).clone()
        }
    };
    let items = values / 2;
    let params = KeysParams { items: items as u32, kv_heads: shape.kv_heads as u32, head_dim: shape.head_dim as u32, pad0: 0 };
    for (from, to) in [&layer.k, &layer.v].into_iter().zip(&rows) {
        let bindings = [batch.slots.gpu(OP)?, from.clone(), to.clone()];
        device.launch(&KEYS, &[("KV", kv(shape.dtype))], &params, &bindings, fold_groups(items.div_ceil(64)))?;
    }
    Ok(rows)
}

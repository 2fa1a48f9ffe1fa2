//! One layer's forward pass, keeping what its backward needs.

use kernels::attention::{self, Batch};
use kernels::matmul::{self, Output};
use kernels::moe::{self, Rows};
use kernels::{KernelError, Tensor, rms_norm, rope, swiglu};

use super::space::Inside;
use super::{Routed, TrainSpace};
use crate::error::Result;
use crate::source::Role;
use crate::weights::{self, Layer, Model, Projection};

impl Model {
    /// Takes `space.residual` through layer `number`. Leaves in the layer's inside what its backward needs, but for its input.
    pub(super) fn layer_forward(&self, number: usize, space: &mut TrainSpace, batch: &Batch, routed: Option<&Routed>) -> Result<()> {
        let layer = &self.layers[number];
        let (slot, _) = space.inside_of(number, self.config.layers);
        self.attention_forward(layer, number, slot, space, batch)?;
        self.device.copy(&space.residual, &mut space.insides[slot].middle, batch.rows * self.config.hidden)?;
        self.mlp_forward(layer, number, slot, space, batch.rows, routed)
    }

    fn attention_forward(&self, layer: &Layer, number: usize, slot: usize, space: &mut TrainSpace, batch: &Batch) -> Result<()> {
        let (device, config, rows) = (&self.device, &self.config, batch.rows);
        let (heads, kv_heads, width) = (config.heads, config.kv_heads, config.head_dim);
        let TrainSpace { residual, cache, insides, lora, .. } = space;
        let Inside { q_raw, k_raw, q, k, v, out, normed, .. } = &mut insides[slot];
        rms_norm::forward(device, residual, &layer.attention_norm, config.rms_eps, normed, rows, config.hidden)?;
        let mut project = |role: Role, projection: &Projection, out: &mut Tensor| -> Result<()> {
            matmul::forward(device, normed, &projection.weight, projection.bias.as_ref(), out, rows, Output::Store)?;
            self.lora_forward((role, number), normed, out, lora.as_mut().map(|space| &mut space.low), rows)
        };
        project(Role::Q, &layer.q, q_raw.as_mut().unwrap_or(q))?;
        project(Role::K, &layer.k, k_raw.as_mut().unwrap_or(k))?;
        project(Role::V, &layer.v, v)?;
        if let (Some((q_norm, k_norm)), Some(q_raw), Some(k_raw)) = (&layer.qk_norm, q_raw, k_raw) {
            rms_norm::forward(device, q_raw, q_norm, config.rms_eps, q, rows * heads, width)?;
            rms_norm::forward(device, k_raw, k_norm, config.rms_eps, k, rows * kv_heads, width)?;
        }
        rope::forward(device, q, &self.rope, &batch.positions, rows, heads)?;
        rope::forward(device, k, &self.rope, &batch.positions, rows, kv_heads)?;
        attention::append(device, k, v, cache, slot, batch)?;
        attention::forward(device, q, cache, slot, batch, self.attention_scale(), out)?;
        matmul::forward(device, out, &layer.o.weight, layer.o.bias.as_ref(), residual, rows, Output::Add)?;
        self.lora_forward((Role::O, number), out, residual, lora.as_mut().map(|space| &mut space.low), rows)
    }

    fn mlp_forward(
        &self,
        layer: &Layer,
        number: usize,
        slot: usize,
        space: &mut TrainSpace,
        rows: usize,
        routed: Option<&Routed>,
    ) -> Result<()> {
        let (device, config) = (&self.device, &self.config);
        let TrainSpace { residual, insides, reverse, lora, .. } = space;
        let Inside { normed, dense, experts, .. } = &mut insides[slot];
        let mut low = lora.as_mut().map(|space| &mut space.low);
        rms_norm::forward(device, residual, &layer.mlp_norm, config.rms_eps, normed, rows, config.hidden)?;
        match (&layer.mlp, dense, experts, &mut reverse.experts) {
            (weights::Mlp::Dense { gate, up, down }, Some(inner), ..) => {
                matmul::forward(device, normed, gate, None, &mut inner.gate, rows, Output::Store)?;
                self.lora_forward((Role::Gate, number), normed, &mut inner.gate, low.as_deref_mut(), rows)?;
                matmul::forward(device, normed, up, None, &mut inner.up, rows, Output::Store)?;
                self.lora_forward((Role::Up, number), normed, &mut inner.up, low.as_deref_mut(), rows)?;
                swiglu::forward_to(device, &inner.gate, &inner.up, &mut inner.act, rows)?;
                matmul::forward(device, &inner.act, down, None, residual, rows, Output::Add)?;
                self.lora_forward((Role::Down, number), &inner.act, residual, low, rows)
            }
            (weights::Mlp::Moe { router, gate, up, down }, _, Some(space), Some(reverse)) => {
                let renormalise = config.moe.as_ref().is_some_and(|moe| moe.renormalise);
                let all = rows * space.routes.top_k;
                matmul::forward(device, normed, router, None, &mut space.logits, rows, Output::Store)?;
                match routed.map(|routed| routed.get(number)) {
                    None => moe::route(device, &space.logits, renormalise, &mut space.routes, rows)?,
                    Some(Some(ids)) if ids.len() == all && ids.iter().all(|&id| (id as usize) < space.routes.experts) => {
                        space.routes.ids.write_u32(device, ids)?;
                        moe::weigh(device, &space.logits, renormalise, &mut space.routes, rows)?;
                    }
                    Some(_) => {
                        let message = format!("layer {number}: the routes to be replayed are not {all} experts' numbers");
                        return Err(KernelError::Value { op: "training pass", message }.into());
                    }
                }
                moe::sort(device, &mut space.routes, rows)?;
                // What adapters add is made in buffers that only backward needs.
                let (routes, inner, wide) = (&space.routes, &mut space.inner, &mut reverse.dact);
                let x = (&*normed, Rows::Tokens);
                moe::grouped_matmul(device, normed, Rows::Tokens, gate, routes, &mut inner.gate, rows)?;
                self.lora_grouped((Role::ExpertGate, number), x, routes, &mut inner.gate, (low.as_deref_mut(), wide), rows)?;
                moe::grouped_matmul(device, normed, Rows::Tokens, up, routes, &mut inner.up, rows)?;
                self.lora_grouped((Role::ExpertUp, number), x, routes, &mut inner.up, (low.as_deref_mut(), wide), rows)?;
                swiglu::forward_to(device, &inner.gate, &inner.up, &mut inner.act, all)?;
                moe::grouped_matmul(device, &inner.act, Rows::Sorted, down, routes, &mut space.down, rows)?;
                let x = (&inner.act, Rows::Sorted);
                self.lora_grouped((Role::ExpertDown, number), x, routes, &mut space.down, (low, &mut reverse.ddown), rows)?;
                Ok(moe::combine(device, &space.down, routes, residual, rows)?)
            }
            _ => unreachable!("a space is made from the config of its model"),
        }
    }

    pub(super) fn attention_scale(&self) -> f32 {
        1.0 / (self.config.head_dim as f32).sqrt()
    }
}

//! The reverse of a layer, and of the head.

use kernels::attention::{self, Batch};
use kernels::matmul::{self, Output};
use kernels::moe::{self, Rows};
use kernels::{Tensor, Weight, embedding, head, rms_norm, rope, swiglu};

use super::gradients::Gradients;
use super::space::{Inside, LoraSpace, Reverse};
use super::{LossRows, Routed, Slot, TrainSpace};
use crate::error::Result;
use crate::source::Role;
use crate::weights::{Mlp, Model};

impl Model {
    /// From the loss rows' gradients to that of the last layer's output.
    pub(super) fn head_backward(
        &self,
        space: &mut TrainSpace,
        rows: usize,
        loss: &LossRows,
        temperature: f32,
        entropy: bool,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (device, config) = (&self.device, &self.config);
        let role = if self.output_head.is_some() { Role::OutputHead } else { Role::Embedding };
        let dentropy = entropy.then_some(&space.dentropy);
        let dw = gradients.get(Slot::whole(role, 0));
        let (x, dx) = (&space.picked, &mut space.dpicked);
        let cuts = loss.cuts.is_some().then_some(&space.cuts);
        let (w, head, targets, dlogprob) = (self.head(), &space.head, &space.targets, &space.dlogprob);
        head::backward(device, x, w, targets, temperature, cuts, head, dlogprob, dentropy, dx, dw, loss.len())?;
        let Reverse { dresidual, dnormed, .. } = &mut space.reverse;
        device.clear(dnormed, rows * config.hidden)?;
        embedding::scatter(device, &space.dpicked, &space.loss_rows, dnormed, loss.len())?;
        let gain = gradients.get(Slot::whole(Role::FinalNorm, 0));
        let (x, eps) = (&space.residual, config.rms_eps);
        rms_norm::backward(device, x, &self.final_norm, eps, dnormed, dresidual, Output::Store, gain, rows, config.hidden)?;
        Ok(())
    }

    /// Turns `dresidual` from the gradient of layer `number`'s output into that of its input. Runs the layer forward again from its kept
    /// input, unless its inside is still there.
    pub(super) fn layer_backward(
        &self,
        number: usize,
        space: &mut TrainSpace,
        batch: &Batch,
        routed: Option<&Routed>,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (slot, kept) = space.inside_of(number, self.config.layers);
        if !kept {
            self.device.copy(&space.inputs[number], &mut space.residual, batch.rows * self.config.hidden)?;
            self.layer_forward(number, space, batch, routed)?;
        }
        self.mlp_backward(number, slot, space, batch.rows, gradients)?;
        self.attention_backward(number, slot, space, batch, gradients)
    }

    fn mlp_backward(&self, number: usize, slot: usize, space: &mut TrainSpace, rows: usize, gradients: &mut Gradients) -> Result<()> {
        let (device, config, layer) = (&self.device, &self.config, &self.layers[number]);
        let TrainSpace { insides, reverse, lora, .. } = space;
        let Inside { middle, normed, dense, experts, .. } = &mut insides[slot];
        let Reverse { dresidual, dnormed, dact, experts: space, .. } = reverse;
        match (&layer.mlp, dense, dact, experts, space) {
            (Mlp::Dense { gate, up, down }, Some(inner), Some(dact), ..) => {
                let mut back = Linear { model: self, number, lora: lora.as_mut(), gradients, rows };
                back.run(Role::Down, down, &inner.act, dresidual, dact, Output::Store)?;
                swiglu::backward(device, &mut inner.gate, &mut inner.up, dact, rows)?;
                back.run(Role::Gate, gate, normed, &inner.gate, dnormed, Output::Store)?;
                back.run(Role::Up, up, normed, &inner.up, dnormed, Output::Add)?;
            }
            (Mlp::Moe { router, gate, up, down }, _, _, Some(experts), Some(space)) => {
                let renormalise = config.moe.as_ref().is_some_and(|moe| moe.renormalise);
                let (all, routes, inner) = (rows * experts.routes.top_k, &experts.routes, &mut experts.inner);
                moe::combine_backward(device, dresidual, &experts.down, routes, &mut space.ddown, &mut space.dweights, rows)?;
                let mut back = Linear { model: self, number, lora: lora.as_mut(), gradients, rows };
                let act = (&inner.act, Rows::Sorted);
                back.grouped(Role::ExpertDown, down, act, &space.ddown, routes, &mut space.dact, Output::Store)?;
                swiglu::backward(device, &mut inner.gate, &mut inner.up, &space.dact, all)?;
                let x = (&*normed, Rows::Tokens);
                back.grouped(Role::ExpertGate, gate, x, &inner.gate, routes, &mut space.dsorted, Output::Store)?;
                back.grouped(Role::ExpertUp, up, x, &inner.up, routes, &mut space.dsorted, Output::Add)?;
                moe::route_backward(device, &experts.logits, renormalise, routes, &space.dweights, &mut space.dlogits, rows)?;
                back.run(Role::Router, router, normed, &space.dlogits, dnormed, Output::Store)?;
                moe::gather_sum(device, &space.dsorted, routes, dnormed, rows)?;
            }
            _ => unreachable!("a space is made from the config of its model"),
        }
        let gain = gradients.get(Slot::whole(Role::MlpNorm, number));
        let eps = config.rms_eps;
        rms_norm::backward(device, middle, &layer.mlp_norm, eps, dnormed, dresidual, Output::Add, gain, rows, config.hidden)?;
        Ok(())
    }

    fn attention_backward(
        &self,
        number: usize,
        slot: usize,
        space: &mut TrainSpace,
        batch: &Batch,
        gradients: &mut Gradients,
    ) -> Result<()> {
        let (device, config, layer, rows) = (&self.device, &self.config, &self.layers[number], batch.rows);
        let (heads, kv_heads, width, eps) = (config.heads, config.kv_heads, config.head_dim, config.rms_eps);
        let TrainSpace { insides, inputs, reverse, cache, lora, .. } = space;
        let Inside { q_raw, k_raw, q, out, normed, .. } = &mut insides[slot];
        let Reverse { dresidual, dnormed, dq, dk, dv, dout, dq_raw, dk_raw, attention: scratch, .. } = reverse;
        let mut back = Linear { model: self, number, lora: lora.as_mut(), gradients, rows };
        back.run(Role::O, &layer.o.weight, out, dresidual, dout, Output::Store)?;
        if let Some(db) = gradients.get(Slot::whole(Role::OBias, number)) {
            matmul::backward_bias(device, dresidual, db, rows)?;
        }
        attention::backward(device, q, cache, slot, batch, self.attention_scale(), out, dout, scratch, dq, dk, dv)?;
        rope::backward(device, dq, &self.rope, &batch.positions, rows, heads)?;
        rope::backward(device, dk, &self.rope, &batch.positions, rows, kv_heads)?;
        if let (Some((q_norm, k_norm)), Some(q), Some(k), Some(dq_raw), Some(dk_raw)) =
            (&layer.qk_norm, q_raw, k_raw, dq_raw.as_mut(), dk_raw.as_mut())
        {
            let gain = gradients.get(Slot::whole(Role::QNorm, number));
            rms_norm::backward(device, q, q_norm, eps, dq, dq_raw, Output::Store, gain, rows * heads, width)?;
            let gain = gradients.get(Slot::whole(Role::KNorm, number));
            rms_norm::backward(device, k, k_norm, eps, dk, dk_raw, Output::Store, gain, rows * kv_heads, width)?;
        }
        let (dq, dk) = (dq_raw.as_ref().unwrap_or(dq), dk_raw.as_ref().unwrap_or(dk));
        // The MLP's norm overwrote it.
        rms_norm::forward(device, &inputs[number], &layer.attention_norm, eps, normed, rows, config.hidden)?;
        let sides = [
            (Role::Q, Role::QBias, &layer.q, dq, Output::Store),
            (Role::K, Role::KBias, &layer.k, dk, Output::Add),
            (Role::V, Role::VBias, &layer.v, &*dv, Output::Add),
        ];
        for (role, bias, projection, dy, output) in sides {
            let mut back = Linear { model: self, number, lora: lora.as_mut(), gradients, rows };
            back.run(role, &projection.weight, normed, dy, dnormed, output)?;
            if let Some(db) = gradients.get(Slot::whole(bias, number)) {
                matmul::backward_bias(device, dy, db, rows)?;
            }
        }
        let gain = gradients.get(Slot::whole(Role::AttentionNorm, number));
        let (x, gain_of) = (&inputs[number], &layer.attention_norm);
        rms_norm::backward(device, x, gain_of, eps, dnormed, dresidual, Output::Add, gain, rows, config.hidden)?;
        Ok(())
    }
}

/// The reverse of y = x Wᵀ and of the adapter beside it, in one layer.
struct Linear<'a> {
    model: &'a Model,
    number: usize,
    lora: Option<&'a mut LoraSpace>,
    gradients: &'a mut Gradients,
    rows: usize,
}

impl Linear<'_> {
    /// `dx (=|+=) dy W`, and the gradients of what is trained.
    fn run(&mut self, role: Role, w: &Weight, x: &Tensor, dy: &Tensor, dx: &mut Tensor, output: Output) -> Result<()> {
        let (device, rows) = (&self.model.device, self.rows);
        matmul::backward_x(device, dy, w, dx, rows, output)?;
        if let Some(dw) = self.gradients.get(Slot::whole(role, self.number)) {
            matmul::backward_w(device, dy, x, dw, rows)?;
        }
        self.model.lora_backward((role, self.number), (x, dy), dx, self.lora.as_deref_mut(), self.gradients, rows)
    }

    /// The same for experts: `dy` and `dx` are sorted.
    fn grouped(
        &mut self,
        role: Role,
        w: &Weight,
        (x, from): (&Tensor, Rows),
        dy: &Tensor,
        routes: &moe::Routes,
        dx: &mut Tensor,
        output: Output,
    ) -> Result<()> {
        let (device, rows) = (&self.model.device, self.rows);
        moe::grouped_backward_x(device, dy, w, routes, dx, rows, output)?;
        if let Some(dw) = self.gradients.get(Slot::whole(role, self.number)) {
            moe::grouped_backward_w(device, dy, x, from, routes, dw, rows)?;
        }
        let (name, x) = ((role, self.number), (x, from));
        self.model.lora_grouped_backward(name, x, dy, routes, dx, self.lora.as_deref_mut(), self.gradients, rows)
    }
}

//! What can be trained: every tensor of a model, and the two matrices of each adapter.

use kernels::{DType, Device, Tensor, Weight};

use super::lora::Lora;
use crate::config::ModelConfig;
use crate::source::Role;
use crate::weights::{Layer, Mlp, Model, Projection};

/// Which of a role's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The tensor itself.
    Whole,
    /// An adapter's A [r, K] ([E·r, K] for experts).
    LoraA,
    /// An adapter's B [N, r] ([E·N, r] for experts).
    LoraB,
}

/// Names one trainable tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Its layer; 0 for global roles.
    pub layer: usize,
    /// What it is for.
    pub role: Role,
    /// The tensor, or one of its adapter's.
    pub part: Part,
}

impl Slot {
    /// The tensor itself.
    pub fn whole(role: Role, layer: usize) -> Self {
        Self { layer, role, part: Part::Whole }
    }

    /// For people and files: `model.layers.3.self_attn.q_proj.weight`, `….q_proj.lora_A.weight`.
    pub fn name(&self) -> String {
        let whole = self.role.canonical(self.layer);
        let stem = whole.strip_suffix(".weight").unwrap_or(&whole);
        match self.part {
            Part::Whole => whole,
            Part::LoraA => format!("{stem}.lora_A.weight"),
            Part::LoraB => format!("{stem}.lora_B.weight"),
        }
    }
}

/// A trainable tensor where it is used.
pub enum ParamMut<'a> {
    /// A matrix: what a step computed is rounded into it ([`Weight::store`]).
    Matrix(&'a mut Weight),
    /// A vector of f32: its own master.
    Vector(&'a mut Tensor),
}

impl Layer {
    fn projection(&self, role: Role) -> Option<&Projection> {
        Some(match role {
            Role::Q | Role::QBias => &self.q,
            Role::K | Role::KBias => &self.k,
            Role::V | Role::VBias => &self.v,
            Role::O | Role::OBias => &self.o,
            _ => return None,
        })
    }

    fn projection_mut(&mut self, role: Role) -> Option<&mut Projection> {
        Some(match role {
            Role::Q | Role::QBias => &mut self.q,
            Role::K | Role::KBias => &mut self.k,
            Role::V | Role::VBias => &mut self.v,
            Role::O | Role::OBias => &mut self.o,
            _ => return None,
        })
    }

    /// A role's matrix.
    pub(crate) fn matrix(&self, role: Role) -> Option<&Weight> {
        match (role, &self.mlp) {
            (Role::Gate, Mlp::Dense { gate, .. }) | (Role::ExpertGate, Mlp::Moe { gate, .. }) => Some(gate),
            (Role::Up, Mlp::Dense { up, .. }) | (Role::ExpertUp, Mlp::Moe { up, .. }) => Some(up),
            (Role::Down, Mlp::Dense { down, .. }) | (Role::ExpertDown, Mlp::Moe { down, .. }) => Some(down),
            (Role::Router, Mlp::Moe { router, .. }) => Some(router),
            (Role::Q | Role::K | Role::V | Role::O, _) => self.projection(role).map(|projection| &projection.weight),
            _ => None,
        }
    }

    fn matrix_mut(&mut self, role: Role) -> Option<&mut Weight> {
        if let Role::Q | Role::K | Role::V | Role::O = role {
            return self.projection_mut(role).map(|projection| &mut projection.weight);
        }
        match (role, &mut self.mlp) {
            (Role::Gate, Mlp::Dense { gate, .. }) | (Role::ExpertGate, Mlp::Moe { gate, .. }) => Some(gate),
            (Role::Up, Mlp::Dense { up, .. }) | (Role::ExpertUp, Mlp::Moe { up, .. }) => Some(up),
            (Role::Down, Mlp::Dense { down, .. }) | (Role::ExpertDown, Mlp::Moe { down, .. }) => Some(down),
            (Role::Router, Mlp::Moe { router, .. }) => Some(router),
            _ => None,
        }
    }

    fn vector_mut(&mut self, role: Role) -> Option<&mut Tensor> {
        match role {
            Role::AttentionNorm => Some(&mut self.attention_norm),
            Role::MlpNorm => Some(&mut self.mlp_norm),
            Role::QNorm => self.qk_norm.as_mut().map(|(q, _)| q),
            Role::KNorm => self.qk_norm.as_mut().map(|(_, k)| k),
            Role::QBias | Role::KBias | Role::VBias | Role::OBias => self.projection_mut(role).and_then(|p| p.bias.as_mut()),
            _ => None,
        }
    }
}

impl Model {
    /// The output head's matrix: the embedding's where they are tied.
    pub(crate) fn head(&self) -> &Weight {
        self.output_head.as_ref().unwrap_or(&self.embedding)
    }

    /// Every tensor of a model of this shape, global ones first. A tied head is the embedding.
    pub fn slots(config: &ModelConfig) -> Vec<Slot> {
        let global = Role::GLOBAL.iter().filter(|role| role.exists(config, 0)).map(|&role| Slot::whole(role, 0));
        let layers = (0..config.layers).flat_map(|layer| {
            let exists = move |role: &&Role| role.exists(config, layer);
            Role::LAYER.iter().filter(exists).map(move |&role| Slot::whole(role, layer))
        });
        global.chain(layers).collect()
    }

    /// The tensor of `slot`, `None` if this model has none.
    pub fn param_mut(&mut self, slot: Slot) -> Option<ParamMut<'_>> {
        self.param_and_device(slot).map(|(param, _)| param)
    }

    /// The tensor of `slot`, and the device that writes it.
    pub fn param_and_device(&mut self, slot: Slot) -> Option<(ParamMut<'_>, &Device)> {
        let Self { device, embedding, output_head, final_norm, layers, adapters, .. } = self;
        if slot.part != Part::Whole {
            let Lora { a, b } = adapters.get_mut(&(slot.role, slot.layer))?;
            return Some((ParamMut::Matrix(if slot.part == Part::LoraA { a } else { b }), device));
        }
        let param = match slot.role {
            Role::Embedding => ParamMut::Matrix(embedding),
            Role::OutputHead => ParamMut::Matrix(output_head.as_mut()?),
            Role::FinalNorm => ParamMut::Vector(final_norm),
            role if role.is_vector() => ParamMut::Vector(layers.get_mut(slot.layer)?.vector_mut(role)?),
            role => ParamMut::Matrix(layers.get_mut(slot.layer)?.matrix_mut(role)?),
        };
        Some((param, device))
    }

    /// Shape and storage format of `slot`: [N, K] with experts stacked, or [C].
    pub fn param_shape(&mut self, slot: Slot) -> Option<(Vec<usize>, DType)> {
        Some(match self.param_mut(slot)? {
            ParamMut::Matrix(weight) => (vec![weight.rows, weight.cols], weight.dtype),
            ParamMut::Vector(tensor) => (vec![tensor.len()], DType::F32),
        })
    }
}

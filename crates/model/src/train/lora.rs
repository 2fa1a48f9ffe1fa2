//! Low-rank adapters (LoRA, arXiv 2106.09685): y = x Wᵀ + s · (x Aᵀ) Bᵀ with s = α / r. W stays as it is, quantised or not.
//! Experts have an A and a B each, stacked as their weights are.

use kernels::moe::{self, Routes, Rows};
use kernels::{DType, Device, KernelError, Tensor, Weight, matmul, optimizer};

use super::Slot;
use super::gradients::Gradients;
use super::parameters::Part;
use super::space::LoraSpace;
use crate::error::{ModelError, Result};
use crate::source::Role;
use crate::weights::Model;

/// What all adapters of a model share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraShape {
    /// r
    pub rank: usize,
    /// α
    pub alpha: f32,
}

impl LoraShape {
    /// s = α / r
    pub fn scale(self) -> f32 {
        self.alpha / self.rank as f32
    }
}

/// One adapter.
pub struct Lora {
    /// A [r, K], or [E·r, K].
    pub a: Weight,
    /// B [N, r], or [E·N, r].
    pub b: Weight,
}

impl Role {
    /// Whether an adapter can stand beside it: the projections of attention, MLP and experts.
    pub const fn adapts(self) -> bool {
        matches!(
            self,
            Self::Q
                | Self::K
                | Self::V
                | Self::O
                | Self::Gate
                | Self::Up
                | Self::Down
                | Self::ExpertGate
                | Self::ExpertUp
                | Self::ExpertDown
        )
    }
}

impl Model {
    /// Puts adapters beside the roles of `targets` that this model has: A uniform within ±1/√K as PEFT initialises it (Kaiming with
    /// a = √5), from `seed`; B zero, so that the model says at first what it said before. Replaces earlier adapters.
    ///
    /// Errors on a role that takes no adapter, and on rank 0.
    pub fn adapt(&mut self, shape: LoraShape, targets: &[Role], seed: u64) -> Result<()> {
        let layers: Vec<(Role, usize)> = (0..self.config.layers)
            .flat_map(|layer| targets.iter().map(move |&role| (role, layer)))
            .filter(|&(role, layer)| role.exists(&self.config, layer))
            .collect();
        let (mut adapters, device) = (vec![], &self.device);
        for (role, layer) in layers {
            let (experts, n, k) = self.adapter_shape(role, layer)?;
            let mut random =
                crate::random::Random::new(seed ^ (layer as u64) << 32 ^ (role as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let bound = 1.0 / (k as f32).sqrt();
            let a: Vec<f32> = (0..experts * shape.rank * k).map(|_| random.symmetric() * bound).collect();
            let b = vec![0f32; experts * n * shape.rank];
            adapters.push((role, layer, f32_weight(device, experts, shape.rank, k, &a)?, f32_weight(device, experts, n, shape.rank, &b)?));
        }
        self.set_adapters(shape, adapters)
    }

    /// (experts or 1, N, K) of the matrix an adapter of `role` stands beside.
    pub fn adapter_shape(&self, role: Role, layer: usize) -> Result<(usize, usize, usize)> {
        let refuse = |why: &str| ModelError::unsupported(role.canonical(layer), why);
        if !role.adapts() {
            return Err(refuse("no adapter can stand beside it: only beside the projections of attention, MLP and experts"));
        }
        let weight = self.layers.get(layer).and_then(|layer| layer.matrix(role)).ok_or_else(|| refuse("this model has none"))?;
        let experts = if role.is_expert() { weight.rows / weight.unit_rows } else { 1 };
        Ok((experts, weight.rows / experts, weight.cols))
    }

    /// Takes adapters as they are, in place of earlier ones: (role, layer, A, B).
    pub fn set_adapters(&mut self, shape: LoraShape, adapters: Vec<(Role, usize, Weight, Weight)>) -> Result<()> {
        if shape.rank == 0 || !shape.alpha.is_finite() {
            return Err(KernelError::shape("lora", format!("rank {} and alpha {} make no adapter", shape.rank, shape.alpha)).into());
        }
        for (role, layer, a, b) in &adapters {
            let (experts, n, k) = self.adapter_shape(*role, *layer)?;
            let (found, wanted) = ([a.rows, a.cols, b.rows, b.cols], [experts * shape.rank, k, experts * n, shape.rank]);
            if found != wanted {
                return Err(ModelError::shape(Slot { layer: *layer, role: *role, part: Part::LoraA }.name(), &found, &wanted));
            }
        }
        self.lora = (!adapters.is_empty()).then_some(shape);
        self.adapters = adapters.into_iter().map(|(role, layer, a, b)| ((role, layer), Lora { a, b })).collect();
        Ok(())
    }

    /// The slots of all adapters.
    pub fn adapter_slots(&self) -> Vec<Slot> {
        let parts = |&(role, layer): &(Role, usize)| [Part::LoraA, Part::LoraB].map(|part| Slot { layer, role, part });
        let mut slots: Vec<Slot> = self.adapters.keys().flat_map(parts).collect();
        slots.sort();
        slots
    }

    /// `y += s (x Aᵀ) Bᵀ` where `role` has an adapter. `low`: [R, r].
    pub(crate) fn lora_forward(
        &self,
        (role, layer): (Role, usize),
        x: &Tensor,
        y: &mut Tensor,
        low: Option<&mut Tensor>,
        rows: usize,
    ) -> Result<()> {
        let (Some(Lora { a, b }), Some(shape), Some(low)) = (self.adapters.get(&(role, layer)), self.lora, low) else { return Ok(()) };
        matmul::forward(&self.device, x, a, None, low, rows, matmul::Output::Store)?;
        optimizer::scale(&self.device, low, rows * shape.rank, shape.scale())?;
        Ok(matmul::forward(&self.device, low, b, None, y, rows, matmul::Output::Add)?)
    }

    /// The same for experts. `product`: a buffer of y's shape.
    pub(crate) fn lora_grouped(
        &self,
        (role, layer): (Role, usize),
        (x, from): (&Tensor, Rows),
        routes: &Routes,
        y: &mut Tensor,
        (low, product): (Option<&mut Tensor>, &mut Tensor),
        rows: usize,
    ) -> Result<()> {
        let (Some(Lora { a, b }), Some(shape), Some(low)) = (self.adapters.get(&(role, layer)), self.lora, low) else { return Ok(()) };
        let all = rows * routes.top_k;
        moe::grouped_matmul(&self.device, x, from, a, routes, low, rows)?;
        optimizer::scale(&self.device, low, all * shape.rank, shape.scale())?;
        moe::grouped_matmul(&self.device, low, Rows::Sorted, b, routes, product, rows)?;
        let count = all * y.width();
        Ok(optimizer::add(&self.device, y, product, count)?)
    }

    /// Gradients of an adapter from dy; adds its share to `dx`.
    pub(super) fn lora_backward(
        &self,
        (role, layer): (Role, usize),
        (x, dy): (&Tensor, &Tensor),
        dx: &mut Tensor,
        space: Option<&mut LoraSpace>,
        gradients: &mut Gradients,
        rows: usize,
    ) -> Result<()> {
        let (Some(Lora { a, b }), Some(shape), Some(LoraSpace { low, dlow })) = (self.adapters.get(&(role, layer)), self.lora, space)
        else {
            return Ok(());
        };
        let (device, count) = (&self.device, rows * shape.rank);
        matmul::backward_x(device, dy, b, dlow, rows, matmul::Output::Store)?;
        optimizer::scale(device, dlow, count, shape.scale())?;
        if let Some(db) = gradients.get(Slot { layer, role, part: Part::LoraB }) {
            matmul::forward(device, x, a, None, low, rows, matmul::Output::Store)?;
            optimizer::scale(device, low, count, shape.scale())?;
            matmul::backward_w(device, dy, low, db, rows)?;
        }
        if let Some(da) = gradients.get(Slot { layer, role, part: Part::LoraA }) {
            matmul::backward_w(device, dlow, x, da, rows)?;
        }
        Ok(matmul::backward_x(device, dlow, a, dx, rows, matmul::Output::Add)?)
    }

    /// The same for experts: `dx` is sorted.
    pub(super) fn lora_grouped_backward(
        &self,
        (role, layer): (Role, usize),
        (x, from): (&Tensor, Rows),
        dy: &Tensor,
        routes: &Routes,
        dx: &mut Tensor,
        space: Option<&mut LoraSpace>,
        gradients: &mut Gradients,
        rows: usize,
    ) -> Result<()> {
        let (Some(Lora { a, b }), Some(shape), Some(LoraSpace { low, dlow })) = (self.adapters.get(&(role, layer)), self.lora, space)
        else {
            return Ok(());
        };
        let (device, count) = (&self.device, rows * routes.top_k * shape.rank);
        moe::grouped_backward_x(device, dy, b, routes, dlow, rows, matmul::Output::Store)?;
        optimizer::scale(device, dlow, count, shape.scale())?;
        if let Some(db) = gradients.get(Slot { layer, role, part: Part::LoraB }) {
            moe::grouped_matmul(device, x, from, a, routes, low, rows)?;
            optimizer::scale(device, low, count, shape.scale())?;
            moe::grouped_backward_w(device, dy, low, Rows::Sorted, routes, db, rows)?;
        }
        if let Some(da) = gradients.get(Slot { layer, role, part: Part::LoraA }) {
            moe::grouped_backward_w(device, dlow, x, from, routes, da, rows)?;
        }
        Ok(moe::grouped_backward_x(device, dlow, a, routes, dx, rows, matmul::Output::Add)?)
    }
}

/// A stack of `experts` f32 matrices [n, k].
pub fn f32_weight(device: &Device, experts: usize, n: usize, k: usize, values: &[f32]) -> Result<Weight> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(Weight::new(device, experts * n, k, DType::F32, n, bytes.into())?)
}

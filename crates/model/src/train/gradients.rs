//! Where gradients are added up.

use std::collections::BTreeMap;

use kernels::{DType, Device, Tensor, optimizer};

use super::Slot;
use crate::error::Result;

/// A gradient for each tensor that is trained; what has no place here is frozen, and its gradient is never computed.
#[derive(Default)]
pub struct Gradients {
    tensors: BTreeMap<Slot, Tensor>,
}

impl Gradients {
    /// Zeros of these shapes.
    pub fn new(device: &Device, slots: impl IntoIterator<Item = (Slot, Vec<usize>)>) -> Result<Self> {
        let tensors = slots.into_iter().map(|(slot, shape)| Ok((slot, device.zeros(&shape, DType::F32)?))).collect::<Result<_>>()?;
        Ok(Self { tensors })
    }

    /// The gradient of `slot`, if it is trained.
    pub fn get(&mut self, slot: Slot) -> Option<&mut Tensor> {
        self.tensors.get_mut(&slot)
    }

    /// All of them, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Tensor)> {
        self.tensors.iter().map(|(slot, tensor)| (*slot, tensor))
    }

    /// How many tensors are trained.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether everything is frozen.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Sets all to zero.
    pub fn clear(&mut self, device: &Device) -> Result<()> {
        for tensor in self.tensors.values_mut() {
            let count = tensor.len();
            device.clear(tensor, count)?;
        }
        Ok(())
    }

    /// Adds those of `other`, which has the same slots.
    pub fn add(&mut self, device: &Device, other: &Self) -> Result<()> {
        for (tensor, (_, more)) in self.tensors.values_mut().zip(other.iter()) {
            let count = tensor.len();
            optimizer::add(device, tensor, more, count)?;
        }
        Ok(())
    }

    /// Σ g² of each into `sums` [len], in the order of [`Gradients::iter`].
    pub fn sum_squares(&self, device: &Device, sums: &mut Tensor) -> Result<()> {
        for (index, tensor) in self.tensors.values().enumerate() {
            optimizer::sum_squares(device, tensor, tensor.len(), sums, index)?;
        }
        Ok(())
    }
}

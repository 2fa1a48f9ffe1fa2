//! The place of another library's matrix product beside ours: asked before our kernel, never the only way to a result.

use std::any::Any;
use std::sync::{Arc, Mutex};

use super::{GpuDevice, GpuWeight, Shard, Slice, lock};
use crate::{DType, Result};

/// Matrix products by a library that runs on this device's queue. [`crate::matmul::forward`] asks it first; what it passes on, our
/// kernel does. Its sums are in an order of its own, so a device in exact mode never has one.
pub trait Gemm: Send + Sync {
    /// For people: library, version and routine.
    fn describe(&self) -> String;

    /// Why a product of `rows` rows with a weight of this format is passed on to our kernel; `None` if it is taken.
    fn passes(&self, dtype: DType, rows: usize) -> Option<&'static str>;

    /// Products taken so far.
    fn products(&self) -> u64;

    /// x Wᵀ for one shard of W after the other. x: [rows, K] f32. `finish` gets the shard and a range with the product, [rows, N of the
    /// shard] f32, that stays what it is until this is called again; it may record dispatches that read it.
    ///
    /// Errors with the library's own words, or with those of `finish`: a product once taken is never passed on after all.
    fn forward(
        &self,
        device: &GpuDevice,
        x: &Slice,
        w: &GpuWeight,
        rows: usize,
        finish: &mut dyn FnMut(&Shard, &Slice) -> Result<()>,
    ) -> Result<()>;
}

/// The formats that `gemm` takes in products of `rows` rows, and those it passes on.
pub fn taken(gemm: &dyn Gemm, rows: usize) -> (Vec<DType>, Vec<DType>) {
    DType::WEIGHTS.into_iter().partition(|&dtype| gemm.passes(dtype, rows).is_none())
}

/// A library's own copy of a shard's words: made at the first product, gone with the shard or when the words change.
#[derive(Default)]
pub(crate) struct ShardCopy(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl ShardCopy {
    /// The copy, by `make` the first time.
    #[cfg_attr(not(all(feature = "cube", not(target_arch = "wasm32"))), allow(dead_code))] // only a library asks
    pub(crate) fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut copy = lock(&self.0);
        if let Some(copy) = copy.clone().and_then(|copy| copy.downcast().ok()) {
            return Ok(copy);
        }
        let made = Arc::new(make()?);
        *copy = Some(made.clone());
        Ok(made)
    }

    /// The words are others now.
    pub(crate) fn forget(&self) {
        lock(&self.0).take();
    }
}

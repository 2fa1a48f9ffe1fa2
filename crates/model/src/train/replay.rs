//! Routes: what a rollout recorded, brought into a pass's order, and what a pass chose.

use std::ops::Range;

use kernels::KernelError;

use super::TrainSpace;
use crate::error::Result;
use crate::weights::Model;

impl Model {
    /// Recorded routes of several sequences, as [`Model::train_forward`] replays them: for each, its routes by layer (those of
    /// [`Generated::routes`](crate::engine::Generated::routes)) and which of its rows the pass runs, in the order
    /// [`TrainSpace::branches`] packs them.
    ///
    /// A rollout has no routes for the token it drew last, since no forward ran on it. Nothing follows that token, so the pass leaves
    /// it out: n - 1 rows for n tokens, and [`LossRows::without_last`](super::LossRows::without_last). The rows that are left have the
    /// bits they have with it: no row looks ahead.
    ///
    /// Errors when routes are of another model or fewer rows. A model without experts takes empty routes.
    pub fn pack_routes<'a>(&self, sequences: impl IntoIterator<Item = (&'a [Vec<u16>], Range<usize>)>) -> Result<Vec<Vec<u32>>> {
        let Some(moe) = &self.config.moe else { return Ok(vec![]) };
        let mut packed = vec![vec![]; self.config.layers];
        for (number, (routes, rows)) in sequences.into_iter().enumerate() {
            for (layer, packed) in packed.iter_mut().enumerate().filter(|(layer, _)| !moe.dense_layers.contains(layer)) {
                let found: &[u16] = routes.get(layer).map_or(&[], |ids| ids);
                let Some(ids) = found.get(rows.start * moe.top_k..rows.end * moe.top_k) else {
                    let message = format!(
                        "sequence {number}, layer {layer}: {} recorded experts are not rows {rows:?} of {}; record routes at rollout, and leave \
                         out the last token, which has none",
                        found.len(),
                        moe.top_k
                    );
                    return Err(KernelError::Value { op: "training pass", message }.into());
                };
                packed.extend(ids.iter().map(|&id| u32::from(id)));
            }
        }
        Ok(packed)
    }

    /// The experts, u32 [R, k], that layer `number` chose or replayed for the first `rows` rows of the last
    /// [`Model::train_forward`]; `None` for a dense layer. Errors unless its inside was kept ([`TrainSpaceShape::keep`](super::TrainSpaceShape::keep)).
    pub async fn read_routes(&self, space: &TrainSpace, number: usize, rows: usize) -> Result<Option<Vec<u32>>> {
        let (slot, kept) = space.inside_of(number, self.config.layers);
        let Some(experts) = &space.insides[slot].experts else { return Ok(None) };
        if self.config.moe.as_ref().is_some_and(|moe| moe.dense_layers.contains(&number)) {
            return Ok(None);
        }
        if !kept {
            let message = format!("the routes of layer {number} were not kept: the pass keeps the last {} layers", space.shape.keep);
            return Err(KernelError::Value { op: "training pass", message }.into());
        }
        Ok(Some(self.device.read_u32(&experts.routes.ids, rows * experts.routes.top_k).await?))
    }
}

//! One pass: where it is computed, and where its gradients are added up.

use kernels::attention::Batch;
use model::Model;
use model::train::{Gradients, LossRows, TrainSpace, TrainSpaceShape};

use super::Sequence;
use crate::error::Result;

/// What a pass writes. The model it reads is everybody's.
pub(super) struct Lane {
    pub space: TrainSpace,
    pub gradients: Gradients,
}

impl Lane {
    pub fn new(model: &Model, shape: TrainSpaceShape, gradients: Gradients) -> Result<Self> {
        Ok(Self { space: TrainSpace::new(model, shape)?, gradients })
    }

    /// Adds the gradients of one micro-batch, in which each loss token weighs `weight`: its Σ -log p and loss tokens.
    pub async fn accumulate(&mut self, model: &Model, sequences: &[Sequence<'_>], weight: f64) -> Result<(f64, usize)> {
        let (ids, loss, batch) = self.pass(model, sequences)?;
        if loss.is_empty() {
            return Ok((0.0, 0));
        }
        model.train_forward(&mut self.space, &ids, &batch, &loss, 1.0, None)?;
        let dlogprob = vec![-weight as f32; loss.len()];
        model.train_backward(&mut self.space, &batch, &loss, 1.0, None, (&dlogprob, None), &mut self.gradients)?;
        self.loss(model, loss.len()).await
    }

    /// Σ -log p and the loss tokens of sequences, without gradients.
    pub async fn evaluate(&mut self, model: &Model, sequences: &[Sequence<'_>]) -> Result<(f64, usize)> {
        let (ids, loss, batch) = self.pass(model, sequences)?;
        if loss.is_empty() {
            return Ok((0.0, 0));
        }
        model.train_forward(&mut self.space, &ids, &batch, &loss, 1.0, None)?;
        self.loss(model, loss.len()).await
    }

    async fn loss(&self, model: &Model, count: usize) -> Result<(f64, usize)> {
        let (logprob, _) = model.read_head(&self.space, count).await?;
        Ok((-logprob.iter().map(|&p| f64::from(p)).sum::<f64>(), count))
    }

    fn pass(&self, model: &Model, sequences: &[Sequence]) -> Result<(Vec<u32>, LossRows, Batch)> {
        let ids: Vec<u32> = sequences.iter().flat_map(|sequence| sequence.ids).copied().collect();
        let loss = LossRows::of(sequences.iter().map(|sequence| (sequence.ids, sequence.loss_mask)));
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        let batch = self.space.batch(&model.device, &lengths)?;
        Ok((ids, loss, batch))
    }
}

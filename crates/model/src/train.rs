//! Gradients of the whole model: a forward pass that keeps what backward needs, and its reverse, layer by layer. No tape: a layer is a
//! fixed sequence of ops, and backward is that sequence turned round.
//!
//! Each layer's input [R, C] is kept from the forward pass, and the inside of the last few layers ([`TrainSpaceShape::keep`]). Backward
//! runs the forward of the others once more, then their gradients, last layer first. The ops are those of [`crate::forward`] in the same order, so that a
//! training pass has the bits of the rollout (exact mode).
//!
//! Sequences are packed: each is a span of the batch and begins at position 0.

mod backward;
mod forward;
pub mod gradients;
pub mod lora;
pub mod parameters;
mod replay;
mod space;

pub use gradients::Gradients;
pub use lora::{Lora, LoraShape};
pub use parameters::{ParamMut, Part, Slot};
pub use space::{TrainSpace, TrainSpaceShape};

use kernels::attention::{Batch, PAGE_TOKENS, Span};
use kernels::{DType, KernelError, embedding, head};

use crate::error::{ModelError, Result};
use crate::weights::Model;

/// Rows of a pass whose next token is predicted, and what it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossRows {
    /// Rows of the batch, ascending.
    pub rows: Vec<u32>,
    /// The token that follows each.
    pub targets: Vec<u32>,
    /// In nucleus space, for each row what sampling kept where its target was drawn ([`Token::cut`](crate::engine::Token::cut));
    /// [`f32::MIN`] keeps all. The log-probabilities are then among the kept tokens, the entropies still of the full vocabulary.
    pub cuts: Option<Vec<f32>>,
}

impl LossRows {
    /// The rows that predict a token whose mask is set. Sequences lie one after the other, as [`TrainSpace::batch`] packs them; a
    /// sequence's first token is predicted by nothing.
    pub fn of<'a>(sequences: impl IntoIterator<Item = (&'a [u32], &'a [bool])>) -> Self {
        Self::packed(sequences, 0)
    }

    /// As [`LossRows::of`], for a pass over all but the last token of each sequence, which is predicted but predicts nothing. A
    /// rollout's recorded routes are for exactly these rows ([`Model::pack_routes`]). Sequences have at least two tokens.
    pub fn without_last<'a>(sequences: impl IntoIterator<Item = (&'a [u32], &'a [bool])>) -> Self {
        Self::packed(sequences, 1)
    }

    /// With the last `omitted` tokens of each sequence not in the pass.
    fn packed<'a>(sequences: impl IntoIterator<Item = (&'a [u32], &'a [bool])>, omitted: usize) -> Self {
        let mut out = Self::default();
        let mut first = 0;
        for (ids, mask) in sequences {
            for t in (1..ids.len()).filter(|&t| mask.get(t).copied().unwrap_or(false)) {
                out.rows.push((first + t - 1) as u32);
                out.targets.push(ids[t]);
            }
            first += ids.len().saturating_sub(omitted);
        }
        out
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is predicted.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Experts a rollout chose, to be chosen again: by layer (empty for a dense one), u32 [R, k]. [`Model::pack_routes`] makes it.
pub type Routed = [Vec<u32>];

/// Rows of a pass that are a sequence, or the end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// 0, or all the rows of the last branch with 0, a multiple of [`PAGE_TOKENS`]: those are its beginning as well, computed once. They get
    /// gradients from all that go on from them.
    pub past: usize,
    /// Rows of its own.
    pub rows: usize,
}

impl TrainSpace {
    /// The batch of sequences of these lengths, one after the other.
    pub fn batch(&self, device: &kernels::Device, lengths: &[usize]) -> Result<Batch> {
        self.branches(device, &lengths.iter().map(|&rows| Branch { past: 0, rows }).collect::<Vec<_>>())
    }

    /// The batch of these, one after the other.
    pub fn branches(&self, device: &kernels::Device, branches: &[Branch]) -> Result<Batch> {
        let (mut row, mut page, mut spans) = (0, 0, Vec::<Span>::new());
        let mut stem = vec![];
        for (number, &Branch { past, rows }) in branches.iter().enumerate() {
            let own = page as u32..(page + rows.div_ceil(PAGE_TOKENS)) as u32;
            page = own.end as usize;
            let pages: Vec<u32> = match past {
                0 => own.collect(),
                _ if past == stem.len() * PAGE_TOKENS => stem.iter().copied().chain(own).collect(),
                _ => {
                    let message = format!("sequence {number} goes on at {past}, the one it goes on from has {} full pages", stem.len());
                    return Err(KernelError::shape("training pass", message).into());
                }
            };
            if past == 0 {
                stem = pages[..rows / PAGE_TOKENS].to_vec();
            }
            spans.push(Span { row, rows, past, pages });
            row += rows;
        }
        if row > self.shape.rows || page > self.cache.shape().pages {
            let message = format!("{row} rows in {} sequences, there is room for {}", branches.len(), self.shape.rows);
            return Err(KernelError::shape("training pass", message).into());
        }
        Ok(Batch::new(device, spans, self.cache.shape().pages)?)
    }

    /// Pages of the cache, each for [`PAGE_TOKENS`] positions of one branch.
    pub fn pages(&self) -> usize {
        self.cache.shape().pages
    }
}

impl Model {
    /// The forward pass of training: fills `space.head` with log-probability and entropy (softmax of z/τ) of each loss row, in order. With
    /// [`LossRows::cuts`] log-probabilities are in nucleus space, and [`Model::read_kept`] has more.
    ///
    /// Errors on ids out of range, and on more rows than `space` has room for.
    pub fn train_forward(
        &self,
        space: &mut TrainSpace,
        ids: &[u32],
        batch: &Batch,
        loss: &LossRows,
        temperature: f32,
        routed: Option<&Routed>,
    ) -> Result<()> {
        self.check_pass(space, ids, batch, loss)?;
        let (device, rows) = (&self.device, batch.rows);
        space.host_ids.clear();
        space.host_ids.extend_from_slice(ids);
        space.ids.write_u32(device, ids)?;
        embedding::forward(device, &space.ids, &self.embedding, &mut space.residual, rows)?;
        for number in 0..self.config.layers {
            device.copy(&space.residual, &mut space.inputs[number], rows * self.config.hidden)?;
            self.layer_forward(number, space, batch, routed)?;
        }
        let eps = self.config.rms_eps;
        kernels::rms_norm::forward(device, &space.residual, &self.final_norm, eps, &mut space.final_normed, rows, self.config.hidden)?;
        space.loss_rows.write_u32(device, &loss.rows)?;
        space.targets.write_u32(device, &loss.targets)?;
        embedding::gather(device, &space.final_normed, &space.loss_rows, &mut space.picked, loss.len())?;
        if let Some(cuts) = &loss.cuts {
            space.cuts.write_f32(device, cuts)?;
        }
        let cuts = loss.cuts.is_some().then_some(&space.cuts);
        head::forward(device, &space.picked, self.head(), &space.targets, temperature, cuts, &mut space.head, loss.len())?;
        Ok(())
    }

    /// The gradients of Σ dlogprob·logprob + dentropy·entropy over the loss rows of the last [`Model::train_forward`] on `space`,
    /// which must have had the same arguments, added to `gradients`. A gradient of the entropy beside cuts is refused.
    pub fn train_backward(
        &self,
        space: &mut TrainSpace,
        batch: &Batch,
        loss: &LossRows,
        temperature: f32,
        routed: Option<&Routed>,
        (dlogprob, dentropy): (&[f32], Option<&[f32]>),
        gradients: &mut Gradients,
    ) -> Result<()> {
        if dlogprob.len() != loss.len() || dentropy.is_some_and(|d| d.len() != loss.len()) {
            let message = format!("{} gradients for {} loss rows", dlogprob.len(), loss.len());
            return Err(KernelError::shape("training pass", message).into());
        }
        space.dlogprob.write_f32(&self.device, dlogprob)?;
        if let Some(values) = dentropy {
            space.dentropy.write_f32(&self.device, values)?;
        }
        self.head_backward(space, batch.rows, loss, temperature, dentropy.is_some(), gradients)?;
        for number in (0..self.config.layers).rev() {
            self.layer_backward(number, space, batch, routed, gradients)?;
            self.device.submit()?;
        }
        if let Some(grad) = gradients.get(Slot::whole(crate::Role::Embedding, 0)) {
            embedding::backward(&self.device, &space.reverse.dresidual, &space.host_ids, grad, batch.rows)?;
        }
        Ok(())
    }

    /// Log-probability and entropy of each loss row of the last forward pass.
    pub async fn read_head(&self, space: &TrainSpace, count: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        if count == 0 {
            return Ok((vec![], vec![]));
        }
        let logprob = self.device.read_f32(&space.head.logprob, count).await?;
        Ok((logprob, self.device.read_f32(&space.head.entropy, count).await?))
    }

    /// With cuts, of each loss row of the last forward pass: the kept tokens' share of the full distribution, and whether the target was
    /// below the cut (it then counts as kept; rounding alone can bring that about).
    pub async fn read_kept(&self, space: &TrainSpace, count: usize) -> Result<(Vec<f32>, Vec<bool>)> {
        if count == 0 {
            return Ok((vec![], vec![]));
        }
        let dropped = self.device.read_u32(&space.head.dropped, count).await?;
        Ok((self.device.read_f32(&space.head.mass, count).await?, dropped.into_iter().map(|flag| flag != 0).collect()))
    }

    fn check_pass(&self, space: &TrainSpace, ids: &[u32], batch: &Batch, loss: &LossRows) -> Result<()> {
        if ids.len() != batch.rows || batch.rows > space.shape.rows || loss.len() > space.shape.loss_rows {
            let message = format!(
                "{} ids, {} rows and {} loss rows; there is room for {} and {}",
                ids.len(),
                batch.rows,
                loss.len(),
                space.shape.rows,
                space.shape.loss_rows
            );
            return Err(KernelError::shape("training pass", message).into());
        }
        if loss.is_empty() || loss.targets.len() != loss.len() || loss.rows.iter().any(|&row| row as usize >= batch.rows) {
            return Err(KernelError::shape("training pass", "no loss rows, or some outside the batch").into());
        }
        if loss.cuts.as_ref().is_some_and(|cuts| cuts.len() != loss.len() || cuts.iter().any(|cut| cut.is_nan())) {
            return Err(KernelError::shape("training pass", "the cuts are not one number for each loss row").into());
        }
        let longest = batch.spans.iter().map(|span| span.past + span.rows).max().unwrap_or(0);
        if longest > self.max_positions {
            return Err(ModelError::TooLong { prompt: longest, new: 0, window: self.max_positions });
        }
        match ids.iter().chain(&loss.targets).find(|&&id| id as usize >= self.config.vocab) {
            Some(id) => Err(ModelError::Request(format!("token {id} is out of range: the vocabulary has {}", self.config.vocab))),
            None => Ok(()),
        }
    }
}

pub(crate) fn zeros(device: &kernels::Device, rows: usize, width: usize) -> Result<kernels::Tensor> {
    Ok(device.zeros(&[rows, width], DType::F32)?)
}

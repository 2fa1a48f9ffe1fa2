//! Gradients of a policy: rollouts instead of rows, a weight for each token instead of a mask.

use kernels::attention::{Batch, PAGE_TOKENS};
use model::Model;
use model::train::{Branch, LossRows};

use super::Trainer;
use super::lane::Lane;
use crate::error::Result;

/// A rollout and what each of its tokens weighs in the loss.
#[derive(Clone, Copy, Debug)]
pub struct PolicySequence<'a> {
    /// Prompt and completion, the stop token included.
    pub ids: &'a [u32],
    /// Tokens of the prompt, at least 1 and fewer than all.
    pub prompt: usize,
    /// dL/dlogprob of each completion token.
    pub weights: &'a [f32],
    /// Experts to be chosen again, as [`model::engine::Generated::routes`]; empty: they are chosen anew.
    pub routes: &'a [Vec<u16>],
    /// The smallest logit that sampling kept, of each completion token: log-probabilities are then of what was kept. Empty: of the whole
    /// vocabulary. All sequences of a pass have them, or none.
    pub cuts: &'a [f32],
}

/// What the trainer's own pass says of the completion tokens of a rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recomputed {
    /// Log-probability of each completion token at the temperature given.
    pub logprobs: Vec<f32>,
    /// Entropy of each distribution, nats.
    pub entropies: Vec<f32>,
}

/// Rows of a prompt of `prompt` tokens that its rollouts share in a pass: all full cache pages before its last token, which predicts.
pub fn shared_rows(prompt: usize) -> usize {
    prompt.saturating_sub(1) / PAGE_TOKENS * PAGE_TOKENS
}

/// What a pass runs: ids, where the loss is, how rows lie, and the recorded routes.
struct PolicyPass {
    ids: Vec<u32>,
    loss: LossRows,
    batch: Batch,
    routes: Vec<Vec<u32>>,
}

impl Trainer {
    /// Adds the gradients of Σ weight·logprob over one micro-batch of rollouts. The last token predicts nothing and is not computed, and
    /// what neighbours with the same prompt share of it ([`shared_rows`]) is computed once.
    pub async fn accumulate_policy(&mut self, sequences: &[PolicySequence<'_>], temperature: f32) -> Result<Vec<Recomputed>> {
        let found = self.main.accumulate_policy(&self.model, sequences, temperature).await?;
        self.count_policy(&found);
        Ok(found)
    }

    /// Of several micro-batches, as many side by side as there are lanes: what was recomputed of each.
    pub async fn accumulate_policies(&mut self, passes: &[Vec<PolicySequence<'_>>], temperature: f32) -> Result<Vec<Vec<Recomputed>>> {
        let mut all = Vec::with_capacity(passes.len());
        if self.beside.is_empty() {
            for sequences in passes {
                all.push(self.accumulate_policy(sequences, temperature).await?);
            }
            return Ok(all);
        }
        all = self.in_lanes(passes, |lane, model, pass| pollster::block_on(lane.accumulate_policy(model, pass, temperature)))?;
        all.iter().for_each(|found| self.count_policy(found));
        Ok(all)
    }

    /// The same of one without gradients.
    pub async fn score_policy(&mut self, sequences: &[PolicySequence<'_>], temperature: f32) -> Result<Vec<Recomputed>> {
        self.main.score_policy(&self.model, sequences, temperature).await
    }

    /// Rows of a pass at most, and pages of its cache: a branch of it takes whole pages.
    pub fn room(&self) -> (usize, usize) {
        (self.shape.rows, self.main.space.pages())
    }

    fn count_policy(&mut self, found: &[Recomputed]) {
        let logprobs = found.iter().flat_map(|one| &one.logprobs);
        self.count((-logprobs.clone().map(|&p| f64::from(p)).sum::<f64>(), logprobs.count()));
    }
}

impl Lane {
    async fn accumulate_policy(&mut self, model: &Model, sequences: &[PolicySequence<'_>], temperature: f32) -> Result<Vec<Recomputed>> {
        let PolicyPass { ids, loss, batch, routes } = self.policy_pass(model, sequences)?;
        let routed = (!routes.is_empty()).then_some(&routes[..]);
        let weights: Vec<f32> = sequences.iter().flat_map(|sequence| sequence.weights).copied().collect();
        model.train_forward(&mut self.space, &ids, &batch, &loss, temperature, routed)?;
        let none = weights.iter().all(|&weight| weight == 0.0);
        if !none {
            let weights = (&weights[..], None);
            model.train_backward(&mut self.space, &batch, &loss, temperature, routed, weights, &mut self.gradients)?;
        }
        self.recomputed(model, sequences).await
    }

    async fn score_policy(&mut self, model: &Model, sequences: &[PolicySequence<'_>], temperature: f32) -> Result<Vec<Recomputed>> {
        let PolicyPass { ids, loss, batch, routes } = self.policy_pass(model, sequences)?;
        let routed = (!routes.is_empty()).then_some(&routes[..]);
        model.train_forward(&mut self.space, &ids, &batch, &loss, temperature, routed)?;
        self.recomputed(model, sequences).await
    }

    async fn recomputed(&self, model: &Model, sequences: &[PolicySequence<'_>]) -> Result<Vec<Recomputed>> {
        let count: usize = sequences.iter().map(|sequence| sequence.ids.len() - sequence.prompt).sum();
        let (logprobs, entropies) = model.read_head(&self.space, count).await?;
        let mut first = 0;
        let mut one = |sequence: &PolicySequence| {
            let range = first..first + sequence.ids.len() - sequence.prompt;
            first = range.end;
            Recomputed { logprobs: logprobs[range.clone()].to_vec(), entropies: entropies[range].to_vec() }
        };
        Ok(sequences.iter().map(&mut one).collect())
    }

    fn policy_pass(&self, model: &Model, sequences: &[PolicySequence]) -> Result<PolicyPass> {
        let (mut ids, mut loss, mut branches, mut routes) = (vec![], LossRows::default(), vec![], vec![]);
        for group in sequences.chunk_by(|a, b| a.ids[..a.prompt] == b.ids[..b.prompt]) {
            let shared = if group.len() > 1 { shared_rows(group[0].prompt) } else { 0 };
            if shared > 0 {
                ids.extend_from_slice(&group[0].ids[..shared]);
                branches.push(Branch { past: 0, rows: shared });
                routes.push((group[0].routes, 0..shared));
            }
            for sequence in group {
                let length = sequence.ids.len() - 1;
                let begin = ids.len();
                loss.rows.extend((sequence.prompt - 1..length).map(|row| (begin + row - shared) as u32));
                loss.targets.extend_from_slice(&sequence.ids[sequence.prompt..]);
                ids.extend_from_slice(&sequence.ids[shared..length]);
                if !sequence.cuts.is_empty() {
                    loss.cuts.get_or_insert_default().extend_from_slice(sequence.cuts);
                }
                branches.push(Branch { past: shared, rows: length - shared });
                routes.push((sequence.routes, shared..length));
            }
        }
        let batch = self.space.branches(&model.device, &branches)?;
        let routes = match sequences.iter().all(|sequence| sequence.routes.is_empty()) {
            true => vec![],
            false => model.pack_routes(routes)?,
        };
        Ok(PolicyPass { ids, loss, batch, routes })
    }
}

//! Scoring given tokens: log-probabilities, entropies, and (for comparison with other implementations) whole logits.

use kernels::attention::{Batch, KvCache, KvDType, KvShape, PAGE_TOKENS, Span};
use kernels::head::HeadOutput;
use kernels::{DType, Tensor};

use crate::error::{ModelError, Result};
use crate::forward::Workspace;
use crate::weights::Model;

/// What a model says of a token sequence of length T.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// [T - 1]: log p(next token), at the given temperature.
    pub logprobs: Vec<f32>,
    /// [T]: entropy of each next-token distribution, nats.
    pub entropy: Vec<f32>,
    /// [T, V], only if asked for.
    pub logits: Vec<f32>,
}

impl Model {
    /// Runs `ids` in pieces of `step_rows` and scores every position. `with_logits` also returns T·V logits at temperature 1.
    pub async fn score_tokens(&self, ids: &[u32], temperature: f32, kv: KvDType, step_rows: usize, with_logits: bool) -> Result<Score> {
        let (config, device) = (&self.config, &self.device);
        if ids.is_empty() || ids.len() > self.max_positions {
            return Err(ModelError::TooLong { prompt: ids.len(), new: 0, window: self.max_positions });
        }
        if let Some((index, id)) = ids.iter().enumerate().find(|&(_, &id)| id as usize >= config.vocab) {
            return Err(ModelError::Request(format!(
                "token {id} at position {index} is out of range: the vocabulary has {}",
                config.vocab
            )));
        }
        let pages = ids.len().div_ceil(PAGE_TOKENS);
        let shape = KvShape { layers: config.layers, kv_heads: config.kv_heads, head_dim: config.head_dim, pages, dtype: kv };
        let mut cache = KvCache::new(device, shape)?;
        let rows = step_rows.clamp(1, ids.len());
        let mut space = Workspace::of(self, rows)?;
        let mut head = HeadOutput::new(device, rows)?;
        let mut targets = device.zeros(&[rows], DType::U32)?;
        // Logits leave in narrow blocks: the bytes of one block stay small whatever the vocabulary.
        let block = (1 << 24) / config.vocab.max(1);
        let block = block.clamp(1, rows);
        let mut logits: Option<Tensor> = if with_logits { Some(device.zeros(&[block, config.vocab], DType::F32)?) } else { None };
        let mut picked = device.zeros(&[block, config.hidden], DType::F32)?;
        let mut score = Score::default();
        let mut past = 0;
        for piece in ids.chunks(rows) {
            let span = Span { row: 0, rows: piece.len(), past, pages: (0..pages as u32).collect() };
            let batch = Batch::new(device, vec![span], pages)?;
            self.forward(&mut space, &mut cache, piece, &batch)?;
            // The last position has no next token; its target is a dummy whose log-probability is dropped.
            let next: Vec<u32> = (0..piece.len()).map(|row| ids.get(past + row + 1).copied().unwrap_or(0)).collect();
            targets.write_u32(device, &next)?;
            self.score(&space, &targets, temperature, &mut head, piece.len())?;
            score.logprobs.extend(device.read_f32(&head.logprob, piece.len()).await?);
            score.entropy.extend(device.read_f32(&head.entropy, piece.len()).await?);
            if let Some(logits) = &mut logits {
                let all: Vec<u32> = (0..piece.len() as u32).collect();
                for rows in all.chunks(block) {
                    let index = device.u32_tensor(&[rows.len()], rows)?;
                    kernels::embedding::gather(device, &space.normed, &index, &mut picked, rows.len())?;
                    self.logits(&picked, logits, rows.len())?;
                    score.logits.extend(device.read_f32(logits, rows.len() * config.vocab).await?);
                }
            }
            past += piece.len();
        }
        score.logprobs.pop();
        Ok(score)
    }
}

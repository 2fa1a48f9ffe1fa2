//! The experts that cached positions chose, kept by cache page as their keys and values are: sequences that share a page share its routes.

use kernels::attention::{PAGE_TOKENS, Span};

use crate::config::ModelConfig;
use crate::error::{ModelError, Result};

/// Routes of every page: u16 [pages, `PAGE_TOKENS`, layers with experts, k].
pub(super) struct RouteStore {
    /// For each layer of the model, whether it has experts.
    sparse: Vec<bool>,
    layers: usize,
    top_k: usize,
    ids: Vec<u16>,
}

impl RouteStore {
    /// Room for `pages` pages; `None` for a model without experts.
    pub fn new(config: &ModelConfig, pages: usize) -> Result<Option<Self>> {
        let Some(moe) = &config.moe else { return Ok(None) };
        if moe.experts > 1 << 16 {
            return Err(ModelError::Request(format!("routes of {} experts cannot be recorded, at most 65536 can", moe.experts)));
        }
        let sparse: Vec<bool> = (0..config.layers).map(|layer| !moe.dense_layers.contains(&layer)).collect();
        let layers = sparse.iter().filter(|&&sparse| sparse).count();
        Ok(Some(Self { ids: vec![0; pages * PAGE_TOKENS * layers * moe.top_k], top_k: moe.top_k, sparse, layers }))
    }

    /// Keeps the routes of one step: [layers, `stride`], each [R, k] and padding.
    pub fn keep(&mut self, words: &[u32], stride: usize, spans: &[Span]) {
        let k = self.top_k;
        for span in spans {
            for row in 0..span.rows {
                let at = self.place(&span.pages, span.past + row);
                for (layer, to) in self.ids[at..at + self.layers * k].chunks_exact_mut(k).enumerate() {
                    let from = layer * stride + (span.row + row) * k;
                    to.iter_mut().zip(&words[from..from + k]).for_each(|(to, &id)| *to = id as u16);
                }
            }
        }
    }

    /// The routes of the first `count` positions of a sequence on `pages`: by layer of the model, [count, k].
    pub fn of(&self, pages: &[u32], count: usize) -> Vec<Vec<u16>> {
        let mut slot = 0;
        let layer = |&sparse: &bool| {
            if !sparse {
                return vec![];
            }
            let offset = slot * self.top_k;
            slot += 1;
            (0..count)
                .flat_map(|position| {
                    let at = self.place(pages, position) + offset;
                    &self.ids[at..at + self.top_k]
                })
                .copied()
                .collect()
        };
        self.sparse.iter().map(layer).collect()
    }

    fn place(&self, pages: &[u32], position: usize) -> usize {
        (pages[position / PAGE_TOKENS] as usize * PAGE_TOKENS + position % PAGE_TOKENS) * self.layers * self.top_k
    }
}

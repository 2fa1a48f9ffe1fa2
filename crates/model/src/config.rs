//! What a checkpoint says about itself: sizes, constants and options of the four architectures.

mod gguf;
mod hf;
mod known;

use kernels::DType;

use crate::error::{ModelError, Result};
pub use crate::rope_scaling::RopeScaling;
pub(crate) use hf::{eos_ids, json_error};

/// A supported architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Qwen3 with sparse experts.
    Qwen3Moe,
    /// Qwen3, dense.
    Qwen3,
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Llama 2 and 3, SmolLM2 and their kin.
    Llama,
}

impl Architecture {
    /// What error messages list.
    pub const SUPPORTED: &'static str = "qwen3_moe, qwen3, qwen2, llama";

    /// `model_type` of config.json.
    pub const fn hf_name(self) -> &'static str {
        match self {
            Self::Qwen3Moe => "qwen3_moe",
            Self::Qwen3 => "qwen3",
            Self::Qwen2 => "qwen2",
            Self::Llama => "llama",
        }
    }

    /// `general.architecture` of a GGUF file, also the prefix of its keys.
    pub const fn gguf_name(self) -> &'static str {
        match self {
            Self::Qwen3Moe => "qwen3moe",
            other => other.hf_name(),
        }
    }

    const ALL: [Self; 4] = [Self::Qwen3Moe, Self::Qwen3, Self::Qwen2, Self::Llama];
}

/// Sizes, constants and options of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Family.
    pub architecture: Architecture,
    /// C: width of the residual stream.
    pub hidden: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Hq: query heads.
    pub heads: usize,
    /// Hkv: key and value heads.
    pub kv_heads: usize,
    /// D: width of a head, even.
    pub head_dim: usize,
    /// Inner width of a dense MLP (0 where every layer is sparse and none is given).
    pub intermediate: usize,
    /// V: rows of the embedding.
    pub vocab: usize,
    /// Added under the root of RMSNorm.
    pub rms_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they are stretched.
    pub rope: RopeScaling,
    /// Divisors of the frequencies [D/2] that a GGUF file carries as `rope_freqs.weight` (Llama 3's stretch, already worked out).
    pub rope_factors: Option<Vec<f32>>,
    /// Longest context the model was made for.
    pub max_positions: usize,
    /// Whether the output head is the embedding.
    pub tie_embeddings: bool,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// A bias on the attention's output projection.
    pub attention_out_bias: bool,
    /// RMSNorm of each q and k head (Qwen3).
    pub qk_norm: bool,
    /// Sparse experts.
    pub moe: Option<MoeConfig>,
    /// Tokens that end a completion, without repeats.
    pub eos: Vec<u32>,
    /// Token that begins a document.
    pub bos: Option<u32>,
    /// Storage format the configuration names; tensors may differ.
    pub dtype_hint: Option<DType>,
}

/// Sparse experts of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoeConfig {
    /// E.
    pub experts: usize,
    /// Experts per token.
    pub top_k: usize,
    /// Inner width of an expert.
    pub intermediate: usize,
    /// Whether the chosen experts' probabilities are scaled to sum to 1 (norm_topk_prob).
    pub renormalise: bool,
    /// Layers with a dense MLP instead, ascending (mlp_only_layers and decoder_sparse_step).
    pub dense_layers: Vec<usize>,
}

impl ModelConfig {
    /// Whether `layer` routes to experts.
    pub fn is_sparse(&self, layer: usize) -> bool {
        self.moe.as_ref().is_some_and(|moe| moe.dense_layers.binary_search(&layer).is_err())
    }

    /// Inverse rotary frequencies [D/2] and the factor on cos and sin.
    pub fn inv_freq(&self) -> (Vec<f64>, f64) {
        let (mut frequencies, scale) = self.rope.inv_freq(self.head_dim, self.rope_theta);
        if let Some(factors) = &self.rope_factors {
            for (frequency, factor) in frequencies.iter_mut().zip(factors) {
                *frequency /= f64::from(*factor);
            }
        }
        (frequencies, scale)
    }

    /// All parameters. A tied head counts once.
    pub fn parameters(&self) -> u64 {
        self.count(self.moe.as_ref().map_or(0, |moe| moe.experts))
    }

    /// Parameters one token passes through: its `top_k` experts only. The embedding and the head count, as model cards count them.
    pub fn active_parameters(&self) -> u64 {
        self.count(self.moe.as_ref().map_or(0, |moe| moe.top_k))
    }

    /// In u128 and saturating, for no configuration must overflow it.
    fn count(&self, experts: usize) -> u64 {
        let n = |values: usize| values as u128;
        let (c, q, kv) = (n(self.hidden), n(self.heads * self.head_dim), n(self.kv_heads * self.head_dim));
        let mut per_layer = 2 * c + 2 * c * q + 2 * c * kv;
        per_layer += if self.qkv_bias { q + 2 * kv } else { 0 };
        per_layer += if self.attention_out_bias { c } else { 0 };
        per_layer += if self.qk_norm { 2 * n(self.head_dim) } else { 0 };
        let sparse = (0..self.layers).filter(|&layer| self.is_sparse(layer)).count();
        let dense_mlp = 3 * c * n(self.intermediate);
        let sparse_mlp = self.moe.as_ref().map_or(0, |moe| c * n(moe.experts) + 3 * c * n(moe.intermediate) * n(experts));
        let embeddings = n(self.vocab) * c * if self.tie_embeddings { 1 } else { 2 };
        let all = embeddings + c + per_layer * n(self.layers) + dense_mlp * n(self.layers - sparse) + sparse_mlp * n(sparse);
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// Adds ids that end a completion, once each.
    pub fn add_eos(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            if !self.eos.contains(&id) {
                self.eos.push(id);
            }
        }
    }

    /// Checks what every later computation relies on. Bounds are generous, and keep products of two sizes inside 64 bits.
    fn checked(self, file: &str) -> Result<Self> {
        let bounds = [
            ("hidden size", self.hidden, 1, 1 << 20),
            ("layer count", self.layers, 1, 1 << 12),
            ("head count", self.heads, 1, 1 << 12),
            ("key/value head count", self.kv_heads, 1, 1 << 12),
            ("head width", self.head_dim, 8, 256),
            ("intermediate size", self.intermediate, usize::from(self.moe.is_none()), 1 << 22),
            ("vocabulary size", self.vocab, 1, 1 << 24),
            ("context length", self.max_positions, 1, 1 << 30),
        ];
        for (key, value, least, most) in bounds {
            if value < least || value > most {
                return Err(ModelError::config(file, key, format!("is {value}; {least} to {most} is supported")));
            }
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(ModelError::config(file, "head width", format!("is {}; rotary pairs need an even one", self.head_dim)));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let message = format!("is {}, not a multiple of the {} key/value heads", self.heads, self.kv_heads);
            return Err(ModelError::config(file, "head count", message));
        }
        if !(self.rms_eps.is_finite() && self.rms_eps >= 0.0) {
            return Err(ModelError::config(file, "rms_norm_eps", format!("is {}; a small positive number is needed", self.rms_eps)));
        }
        if let Some(moe) = &self.moe {
            if moe.experts == 0 || moe.experts > 1 << 16 || moe.top_k == 0 || moe.top_k > moe.experts {
                let message = format!("is {} of {} experts; 1 to all of up to 65536 is needed", moe.top_k, moe.experts);
                return Err(ModelError::config(file, "experts per token", message));
            }
            if moe.intermediate == 0 || moe.intermediate > 1 << 22 {
                return Err(ModelError::config(file, "expert intermediate size", format!("is {}", moe.intermediate)));
            }
            if self.intermediate == 0 && !moe.dense_layers.is_empty() {
                return Err(ModelError::config(file, "intermediate_size", "is missing, and some layers are dense"));
            }
        }
        let (frequencies, scale) = self.inv_freq();
        let sound = |value: &f64| value.is_finite() && *value > 0.0;
        if !(self.rope_theta > 1.0 && frequencies.iter().all(sound) && sound(&scale)) {
            let message = format!("gives unusable rotary frequencies (theta {}, {:?})", self.rope_theta, self.rope);
            return Err(ModelError::config(file, "rope", message));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;

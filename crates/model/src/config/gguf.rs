//! Model configuration from GGUF metadata.

use super::{Architecture, ModelConfig, MoeConfig, RopeScaling};
use crate::error::{ModelError, Result};
use crate::gguf::{Gguf, Value};
use crate::tensor::floats;

impl ModelConfig {
    /// Reads the metadata of a GGUF file, and what it keeps in tensors instead: the vocabulary's size, whether the head is tied,
    /// rotary divisors.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let name = gguf.text("general.architecture")?.ok_or_else(|| missing(gguf, "general.architecture"))?;
        let architecture = Architecture::ALL.into_iter().find(|architecture| architecture.gguf_name() == name).ok_or_else(|| {
            let message = "`general.architecture` is";
            ModelError::unsupported(&gguf.file, format!("{message} \"{name}\"; supported: qwen3moe, qwen3, qwen2, llama"))
        })?;
        Keys { gguf, architecture }.config()
    }
}

fn missing(gguf: &Gguf, key: &str) -> ModelError {
    ModelError::config(&gguf.file, key, "is missing")
}

/// Typed access to the architecture's keys.
struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: Architecture,
}

impl Keys<'_> {
    fn key(&self, rest: &str) -> String {
        format!("{}.{rest}", self.architecture.gguf_name())
    }

    fn error(&self, rest: &str, message: impl Into<String>) -> ModelError {
        ModelError::config(&self.gguf.file, self.key(rest), message)
    }

    fn unsupported(&self, rest: &str, message: impl std::fmt::Display) -> ModelError {
        ModelError::unsupported(&self.gguf.file, format!("`{}` {message}", self.key(rest)))
    }

    /// A size; a per-layer array is fine if all layers agree.
    fn size(&self, rest: &str) -> Result<Option<usize>> {
        let key = self.key(rest);
        let value = match self.gguf.metadata.get(&key) {
            Some(Value::Array(array)) => match array.unsigned().as_deref() {
                Some([first, others @ ..]) if others.iter().all(|other| other == first) => Some(*first),
                _ => return Err(self.unsupported(rest, "differs by layer; equal layers are supported")),
            },
            _ => self.gguf.unsigned(&key)?,
        };
        value.map(|value| usize::try_from(value).map_err(|_| self.error(rest, format!("is {value}")))).transpose()
    }

    fn required(&self, rest: &str) -> Result<usize> {
        self.size(rest)?.ok_or_else(|| missing(self.gguf, &self.key(rest)))
    }

    fn number(&self, rest: &str) -> Result<Option<f64>> {
        self.gguf.number(&self.key(rest))
    }

    fn config(&self) -> Result<ModelConfig> {
        let gguf = self.gguf;
        let hidden = self.required("embedding_length")?;
        let heads = self.required("attention.head_count")?;
        let head_dim = match self.size("attention.key_length")? {
            Some(width) => width,
            None if heads > 0 && hidden % heads == 0 => hidden / heads,
            None => return Err(self.error("attention.key_length", format!("is missing, and {hidden} is not a multiple of {heads} heads"))),
        };
        for rest in ["attention.value_length", "rope.dimension_count"] {
            if let Some(width) = self.size(rest)?.filter(|&width| width != head_dim) {
                return Err(self.unsupported(rest, format!("is {width}, the key width {head_dim}; equal widths are supported")));
            }
        }
        let moe = self.experts()?;
        let embedding = gguf.tensor("token_embd.weight");
        let vocab = match embedding.map(|tensor| tensor.shape.as_slice()) {
            Some(&[vocab, _]) => vocab,
            Some(other) => return Err(ModelError::shape("token_embd.weight", other, &[0, hidden])),
            None => return Err(ModelError::MissingTensor { file: gguf.file.clone(), tensor: "token_embd.weight".into() }),
        };
        let max_positions = self.required("context_length")?;
        let biased = |name: &str| gguf.tensor(&format!("blk.0.{name}.bias")).is_some();
        let mut config = ModelConfig {
            architecture: self.architecture,
            hidden,
            layers: self.required("block_count")?,
            heads,
            kv_heads: self.size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            intermediate: if moe.is_some() {
                self.size("feed_forward_length")?.unwrap_or(0)
            } else {
                self.required("feed_forward_length")?
            },
            vocab,
            rms_eps: self
                .number("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| missing(gguf, &self.key("attention.layer_norm_rms_epsilon")))? as f32,
            rope_theta: self.number("rope.freq_base")?.unwrap_or(10_000.0),
            rope: self.rope(max_positions)?,
            rope_factors: self.rope_factors(head_dim)?,
            max_positions,
            tie_embeddings: gguf.tensor("output.weight").is_none(),
            // A GGUF file has no flag for biases: they are there or not, and every layer must then agree with the first.
            qkv_bias: biased("attn_q") || self.architecture == Architecture::Qwen2,
            attention_out_bias: biased("attn_output"),
            qk_norm: matches!(self.architecture, Architecture::Qwen3 | Architecture::Qwen3Moe),
            moe,
            eos: vec![],
            bos: self.token("bos")?,
            dtype_hint: embedding.map(|tensor| tensor.dtype),
        };
        for kind in ["eos", "eot", "eom"] {
            config.add_eos(self.token(kind)?);
        }
        config.checked(&gguf.file)
    }

    /// `tokenizer.ggml.<kind>_token_id`; -1 in a u32 says there is none.
    fn token(&self, kind: &str) -> Result<Option<u32>> {
        let id = self.gguf.unsigned(&format!("tokenizer.ggml.{kind}_token_id"))?;
        Ok(id.and_then(|id| u32::try_from(id).ok()).filter(|&id| id != u32::MAX))
    }

    fn experts(&self) -> Result<Option<MoeConfig>> {
        let experts = self.size("expert_count")?.unwrap_or(0);
        match (self.architecture, experts) {
            (Architecture::Qwen3Moe, 0) => Err(missing(self.gguf, &self.key("expert_count"))),
            (Architecture::Qwen3Moe, experts) => Ok(Some(MoeConfig {
                experts,
                top_k: self.required("expert_used_count")?,
                intermediate: self.required("expert_feed_forward_length")?,
                // Converters write no flag; every published qwen3moe renormalises, and llama.cpp always does.
                renormalise: self.gguf.flag(&self.key("expert_weights_norm"))?.unwrap_or(true),
                dense_layers: vec![],
            })),
            (_, 0) => Ok(None),
            (_, experts) => Err(self.unsupported("expert_count", format!("is {experts}; experts are supported for qwen3moe"))),
        }
    }

    fn rope(&self, max_positions: usize) -> Result<RopeScaling> {
        let kind = self.gguf.text(&self.key("rope.scaling.type"))?.unwrap_or("none");
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?, // the older key
        };
        let original = match self.size("rope.scaling.original_context_length")? {
            Some(original) => original,
            None => max_positions,
        };
        match (kind, factor) {
            ("none", _) => Ok(RopeScaling::Default),
            ("linear", Some(factor)) => Ok(RopeScaling::Linear { factor }),
            ("yarn", Some(factor)) => {
                let number = |rest: &str| self.number(&format!("rope.scaling.{rest}"));
                // llama.cpp multiplies its own 1 + 0.1 ln(factor) by this one.
                let scaled = |given: f64| given * (1.0 + 0.1 * factor.max(1.0).ln());
                Ok(RopeScaling::Yarn {
                    factor,
                    original: original as f64,
                    beta_fast: number("yarn_beta_fast")?.unwrap_or(32.0),
                    beta_slow: number("yarn_beta_slow")?.unwrap_or(1.0),
                    attention_factor: match number("yarn_attn_factor")? {
                        Some(given) => Some(scaled(given)),
                        None => number("attn_factor")?.map(scaled),
                    },
                    mscale: None,
                    mscale_all_dim: None,
                    truncate: true,
                })
            }
            ("linear" | "yarn", None) => Err(missing(self.gguf, &self.key("rope.scaling.factor"))),
            (other, _) => Err(self.unsupported("rope.scaling.type", format!("is \"{other}\"; supported: none, linear, yarn"))),
        }
    }

    fn rope_factors(&self, head_dim: usize) -> Result<Option<Vec<f32>>> {
        const NAME: &str = "rope_freqs.weight";
        let Some(tensor) = self.gguf.tensor(NAME) else { return Ok(None) };
        if tensor.shape != [head_dim / 2] {
            return Err(ModelError::shape(NAME, &tensor.shape, &[head_dim / 2]));
        }
        let factors = floats(tensor.dtype, tensor.bytes.load()?.as_slice());
        factors.map(Some).ok_or_else(|| ModelError::unsupported(NAME, format!("stored as {}; floats are supported", tensor.dtype.name())))
    }
}

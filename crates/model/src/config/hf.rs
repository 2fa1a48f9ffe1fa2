//! config.json of Transformers 4 and 5.
//!
//! Transformers 5 moved `rope_theta` and `rope_scaling` into `rope_parameters`, and renamed `num_experts` to
//! `num_local_experts` and `torch_dtype` to `dtype`. Both spellings are read; where both are present the newer wins.

use kernels::DType;
use serde_json::{Map, Value};

use super::{Architecture, ModelConfig, MoeConfig, RopeScaling};
use crate::error::{ModelError, Result};

const FILE: &str = "config.json";

impl ModelConfig {
    /// Reads a config.json.
    pub fn from_hf_json(json: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(json).map_err(|error| json_error(FILE, json, &error))?;
        let Value::Object(map) = value else {
            return Err(ModelError::format(FILE, 0, "a JSON object was expected"));
        };
        Keys { map: &map, at: "" }.config()
    }
}

/// A JSON error with its place as a byte offset.
pub(crate) fn json_error(file: &str, json: &[u8], error: &serde_json::Error) -> ModelError {
    let before = json.split(|&byte| byte == b'\n').take(error.line().saturating_sub(1)).map(|line| line.len() + 1).sum::<usize>();
    ModelError::format(file, (before + error.column().saturating_sub(1)) as u64, format!("not valid JSON: {error}"))
}

/// `eos_token_id` of config.json or generation_config.json: absent, null, a number or a list.
pub(crate) fn eos_ids(file: &str, map: &Map<String, Value>) -> Result<Vec<u32>> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| ModelError::config(file, "eos_token_id", format!("is {value}; a token id or a list of them is expected")))
    };
    match map.get("eos_token_id") {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Array(ids)) => ids.iter().map(id).collect(),
        Some(value) => Ok(vec![id(value)?]),
    }
}

/// Typed access to an object of the file; null counts as absent.
struct Keys<'a> {
    map: &'a Map<String, Value>,
    /// Path of this object, for messages: "" or "rope_parameters.".
    at: &'static str,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn error(&self, key: &str, message: impl Into<String>) -> ModelError {
        ModelError::config(FILE, format!("{}{key}", self.at), message)
    }

    fn unsupported(&self, key: &str, message: impl std::fmt::Display) -> ModelError {
        ModelError::unsupported(FILE, format!("`{}{key}` {message}", self.at))
    }

    fn size(&self, key: &str) -> Result<Option<usize>> {
        let read = |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
        self.get(key).map(|value| read(value).ok_or_else(|| self.error(key, format!("is {value}; a whole number is expected")))).transpose()
    }

    fn required(&self, key: &str) -> Result<usize> {
        self.size(key)?.ok_or_else(|| self.error(key, "is missing"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).map(|v| v.as_f64().ok_or_else(|| self.error(key, format!("is {v}; a number is expected")))).transpose()
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.error(key, format!("is {value}; true or false is expected"))),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&str>> {
        self.get(key).map(|v| v.as_str().ok_or_else(|| self.error(key, format!("is {v}; a string is expected")))).transpose()
    }

    fn config(&self) -> Result<ModelConfig> {
        let architecture = self.architecture()?;
        self.refuse_variants()?;
        let hidden = self.required("hidden_size")?;
        let layers = self.required("num_hidden_layers")?;
        let heads = self.required("num_attention_heads")?;
        let head_dim = match self.size("head_dim")? {
            Some(width) => width,
            None if heads > 0 && hidden % heads == 0 => hidden / heads,
            None => return Err(self.error("head_dim", format!("is missing and hidden_size {hidden} is not a multiple of {heads} heads"))),
        };
        let max_positions = self.size("max_position_embeddings")?.unwrap_or(2048);
        let (rope_theta, rope) = self.rope(max_positions)?;
        let moe = if architecture == Architecture::Qwen3Moe { Some(self.experts(layers)?) } else { None };
        let attention_bias = self.flag("attention_bias")?;
        let qwen2 = architecture == Architecture::Qwen2;
        let bos = self.size("bos_token_id")?.map(|id| u32::try_from(id).map_err(|_| self.error("bos_token_id", "is no token id")));
        let mut config = ModelConfig {
            architecture,
            hidden,
            layers,
            heads,
            kv_heads: self.size("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            intermediate: if moe.is_some() { self.size("intermediate_size")?.unwrap_or(0) } else { self.required("intermediate_size")? },
            vocab: self.required("vocab_size")?,
            rms_eps: self.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
            rope_theta,
            rope,
            rope_factors: None,
            max_positions,
            tie_embeddings: self.flag("tie_word_embeddings")?,
            // Qwen2 has biases on q, k and v whatever its config says, and never one on o.
            qkv_bias: qwen2 || attention_bias,
            attention_out_bias: !qwen2 && attention_bias,
            qk_norm: matches!(architecture, Architecture::Qwen3 | Architecture::Qwen3Moe),
            moe,
            eos: vec![],
            bos: bos.transpose()?,
            dtype_hint: self.dtype()?,
        };
        config.add_eos(eos_ids(FILE, self.map)?);
        config.checked(FILE)
    }

    fn architecture(&self) -> Result<Architecture> {
        let name = self.text("model_type")?.ok_or_else(|| self.error("model_type", "is missing"))?;
        let found = Architecture::ALL.into_iter().find(|architecture| architecture.hf_name() == name);
        found.ok_or_else(|| self.unsupported("model_type", format!("is \"{name}\"; supported: {}", Architecture::SUPPORTED)))
    }

    /// Options that would change the numbers and are not implemented.
    fn refuse_variants(&self) -> Result<()> {
        match self.text("hidden_act")? {
            None | Some("silu" | "swish") => {}
            Some(other) => return Err(self.unsupported("hidden_act", format!("is \"{other}\"; supported: silu"))),
        }
        if self.flag("use_sliding_window")? {
            return Err(self.unsupported("use_sliding_window", "is true; only full attention is supported"));
        }
        if let Some(kinds) = self.get("layer_types") {
            let full = |kind: &Value| kind.as_str() == Some("full_attention");
            if !kinds.as_array().is_some_and(|kinds| kinds.iter().all(full)) {
                return Err(self.unsupported("layer_types", "has a layer that is not \"full_attention\", the one supported kind"));
            }
        }
        if self.flag("mlp_bias")? {
            return Err(self.unsupported("mlp_bias", "is true; MLPs without biases are supported"));
        }
        if let Some(quantization) = self.get("quantization_config") {
            let method = quantization.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
            let message = format!("says the weights are quantised ({method}); give the bf16 checkpoint or a GGUF file");
            return Err(self.unsupported("quantization_config", message));
        }
        Ok(())
    }

    fn experts(&self, layers: usize) -> Result<MoeConfig> {
        let experts = match self.size("num_local_experts")? {
            Some(experts) => experts,
            None => self.size("num_experts")?.ok_or_else(|| self.error("num_experts", "(or `num_local_experts`) is missing"))?,
        };
        let step = self.size("decoder_sparse_step")?.unwrap_or(1);
        if step == 0 {
            return Err(self.error("decoder_sparse_step", "is 0; 1 or more is needed"));
        }
        let mut named = vec![];
        if let Some(list) = self.get("mlp_only_layers") {
            let list = list.as_array().ok_or_else(|| self.error("mlp_only_layers", "is not a list"))?;
            for layer in list {
                let number = layer.as_u64().ok_or_else(|| self.error("mlp_only_layers", format!("holds {layer}, not a layer number")))?;
                named.push(number);
            }
        }
        let layers = layers.min(1 << 12); // bounded again, with a message, in `checked`
        let dense = |&layer: &usize| named.contains(&(layer as u64)) || (layer + 1) % step != 0;
        Ok(MoeConfig {
            experts,
            top_k: self.required("num_experts_per_tok")?,
            intermediate: self.required("moe_intermediate_size")?,
            renormalise: self.flag("norm_topk_prob")?,
            dense_layers: (0..layers).filter(dense).collect(),
        })
    }

    fn rope(&self, max_positions: usize) -> Result<(f64, RopeScaling)> {
        let nested = |key: &'static str, at: &'static str| match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Keys { map, at })),
            Some(_) => Err(self.error(key, "is not an object")),
        };
        let scaling = match nested("rope_parameters", "rope_parameters.")? {
            Some(keys) => Some(keys),
            None => nested("rope_scaling", "rope_scaling.")?,
        };
        for keys in [Some(self), scaling.as_ref()].into_iter().flatten() {
            if keys.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
                return Err(keys.unsupported("partial_rotary_factor", "is not 1; only whole heads are rotated here"));
            }
        }
        let Some(keys) = scaling else {
            return Ok((self.number("rope_theta")?.unwrap_or(10_000.0), RopeScaling::Default));
        };
        let theta = match keys.number("rope_theta")? {
            Some(theta) => theta,
            None => self.number("rope_theta")?.unwrap_or(10_000.0),
        };
        Ok((theta, keys.scaling(max_positions)?))
    }

    fn scaling(&self, max_positions: usize) -> Result<RopeScaling> {
        let (key, kind) = match (self.text("rope_type")?, self.text("type")?) {
            (Some(kind), _) => ("rope_type", kind),
            (None, Some(kind)) => ("type", kind),
            (None, None) if self.map.values().any(Value::is_object) => {
                return Err(self.unsupported("rope_type", "differs by layer kind; one rotary embedding for all layers is supported"));
            }
            (None, None) => ("rope_type", "default"),
        };
        let factor = || {
            let factor = self.number("factor")?.ok_or_else(|| self.error("factor", "is missing"))?;
            if factor.is_finite() && factor > 0.0 { Ok(factor) } else { Err(self.error("factor", format!("is {factor}"))) }
        };
        let original = || self.number("original_max_position_embeddings");
        let scaling = match kind {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear { factor: factor()? },
            "yarn" => RopeScaling::Yarn {
                factor: factor()?,
                original: original()?.unwrap_or(max_positions as f64),
                // Transformers takes a 0 for absent here, and so do we.
                beta_fast: self.number("beta_fast")?.filter(|&beta| beta != 0.0).unwrap_or(32.0),
                beta_slow: self.number("beta_slow")?.filter(|&beta| beta != 0.0).unwrap_or(1.0),
                attention_factor: self.number("attention_factor")?,
                mscale: self.number("mscale")?,
                mscale_all_dim: self.number("mscale_all_dim")?,
                truncate: self.get("truncate").is_none() || self.flag("truncate")?,
            },
            "llama3" => {
                let needed = |key: &str| self.number(key)?.ok_or_else(|| self.error(key, "is missing"));
                let (low, high) = (needed("low_freq_factor")?, needed("high_freq_factor")?);
                if !(low > 0.0 && high > low) {
                    return Err(self.error("high_freq_factor", format!("is {high}; more than low_freq_factor {low} is needed")));
                }
                RopeScaling::Llama3 { factor: factor()?, low, high, original: original()?.unwrap_or(max_positions as f64) }
            }
            other => return Err(self.unsupported(key, format!("is \"{other}\"; supported: {}", RopeScaling::SUPPORTED))),
        };
        Ok(scaling)
    }

    fn dtype(&self) -> Result<Option<DType>> {
        let name = match self.text("dtype")? {
            Some(name) => Some(name),
            None => self.text("torch_dtype")?,
        };
        Ok(match name.map(|name| name.trim_start_matches("torch.")) {
            Some("float32") => Some(DType::F32),
            Some("float16") => Some(DType::F16),
            Some("bfloat16") => Some(DType::BF16),
            _ => None, // a hint only: the tensors say what they are
        })
    }
}

//! config.json and generation_config.json: the folder's own, or made from what a GGUF file says.

use kernels::DType;
use model::source::Origin;
use model::{Architecture, Checkpoint, ModelConfig, RopeScaling};
use serde_json::{Map, Value, json};

use super::{ExportError, Format, Result};

/// config.json for weights stored as `dtype`.
pub(super) fn config_json(base: &Checkpoint, dtype: DType) -> Result<String> {
    let config = base.config();
    let mut map = match base.origin() {
        Origin::HuggingFace { config_json, .. } => match serde_json::from_slice(config_json.as_slice()) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(), // it was read before
        },
        Origin::Gguf(_) => made(config)?,
    };
    let name = match dtype {
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => "float32",
    };
    let key = if map.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
    map.insert(key.into(), json!(name));
    // A head of its own wins over the flag when a checkpoint is read; what is written says which it is.
    map.insert("tie_word_embeddings".into(), json!(config.tie_embeddings));
    // Experts are written one by one, as Transformers 4 and 5 both read them.
    Ok(format!("{:#}\n", Value::Object(map)))
}

/// generation_config.json: what ends a completion.
pub(super) fn generation_json(base: &Checkpoint) -> String {
    let config = base.config();
    format!("{:#}\n", json!({"bos_token_id": config.bos, "eos_token_id": config.eos}))
}

fn made(config: &ModelConfig) -> Result<Map<String, Value>> {
    let (class, llama) = match config.architecture {
        Architecture::Qwen3Moe => ("Qwen3MoeForCausalLM", false),
        Architecture::Qwen3 => ("Qwen3ForCausalLM", false),
        Architecture::Qwen2 => ("Qwen2ForCausalLM", false),
        Architecture::Llama => ("LlamaForCausalLM", true),
    };
    let eos = match config.eos.as_slice() {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    };
    let mut value = json!({
        "architectures": [class],
        "model_type": config.architecture.hf_name(),
        "attention_bias": if config.architecture == Architecture::Qwen2 { false } else { config.qkv_bias },
        "attention_dropout": 0.0,
        "bos_token_id": config.bos,
        "eos_token_id": eos,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.hidden,
        "initializer_range": 0.02,
        "intermediate_size": if config.intermediate == 0 { config.moe.as_ref().map_or(0, |moe| moe.intermediate) } else { config.intermediate },
        "max_position_embeddings": config.max_positions,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": shortest(config.rms_eps),
        "rope_theta": config.rope_theta,
        "rope_scaling": rope_scaling(config)?,
        "use_cache": true,
        "vocab_size": config.vocab,
    });
    if let Some(moe) = &config.moe {
        value["num_experts"] = json!(moe.experts);
        value["num_experts_per_tok"] = json!(moe.top_k);
        value["moe_intermediate_size"] = json!(moe.intermediate);
        value["norm_topk_prob"] = json!(moe.renormalise);
        value["mlp_only_layers"] = json!(moe.dense_layers);
        value["decoder_sparse_step"] = json!(1);
    }
    if llama {
        value["mlp_bias"] = json!(false);
    }
    // Biases on q, k and v without one on o: no flag of these configurations says that.
    if config.architecture != Architecture::Qwen2 && config.qkv_bias != config.attention_out_bias {
        let why =
            "it has biases on q, k and v but none on the output projection (or the other way round), which its config.json cannot say";
        return Err(ExportError::unsupported(config.architecture.hf_name(), Format::Safetensors, why));
    }
    match value {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// The shortest decimal that is this f32: 1e-6, not 9.999999974752427e-7.
fn shortest(value: f32) -> Value {
    format!("{value:e}").parse::<f64>().map_or(Value::Null, |value| json!(value))
}

fn rope_scaling(config: &ModelConfig) -> Result<Value> {
    if let Some(factors) = &config.rope_factors {
        return llama3_of(config, factors);
    }
    Ok(match config.rope {
        RopeScaling::Default => Value::Null,
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor, mscale, mscale_all_dim, truncate } => {
            let mut value = json!({
                "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original as u64,
                "beta_fast": beta_fast, "beta_slow": beta_slow, "truncate": truncate,
            });
            let numbers = [("attention_factor", attention_factor), ("mscale", mscale), ("mscale_all_dim", mscale_all_dim)];
            numbers.into_iter().for_each(|(key, number)| {
                if let Some(number) = number {
                    value[key] = json!(number);
                }
            });
            value
        }
        RopeScaling::Llama3 { factor, low, high, original } => json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
            "original_max_position_embeddings": original as u64,
        }),
    })
}

/// Llama 3's stretch from the divisors a GGUF file has in its place: the published shape (low 1, high 4, a power of two of positions)
/// that gives the same divisors.
fn llama3_of(config: &ModelConfig, factors: &[f32]) -> Result<Value> {
    let factor = f64::from(factors.iter().fold(1.0f32, |most, &factor| most.max(factor)));
    let (plain, _) = RopeScaling::Default.inv_freq(config.head_dim, config.rope_theta);
    for original in (5..=20).map(|power| f64::from(1u32 << power)) {
        let scaling = RopeScaling::Llama3 { factor, low: 1.0, high: 4.0, original };
        let (scaled, _) = scaling.inv_freq(config.head_dim, config.rope_theta);
        let same = |((plain, scaled), factor): ((&f64, &f64), &f32)| (plain / scaled / f64::from(*factor) - 1.0).abs() < 1e-5;
        if factors.len() == plain.len() && plain.iter().zip(&scaled).zip(factors).all(same) {
            return rope_scaling(&ModelConfig { rope: scaling, rope_factors: None, ..config.clone() });
        }
    }
    let why = "its rotary divisors (rope_freqs.weight) are not Llama 3's, and config.json has no other way to say them";
    Err(ExportError::unsupported(config.architecture.hf_name(), Format::Safetensors, why))
}

//! A model folder to begin with: random weights of a configuration, a tokenizer beside them.

use std::fs;
use std::io::Write;
use std::path::Path;

use kernels::DType;
use model::ModelConfig;
use model::random::RandomWeights;
use model::weights::TensorSource;
use serde_json::{Value, json};
use tokenizer::Tokenizer;

use super::safetensors::{Entry, header};
use super::{ExportError, Format, Result, roles, whole};

/// What a new model is made of.
pub struct Fresh<'a> {
    /// config.json as Transformers writes it. Its `vocab_size` may be left out: then it is the tokenizer's.
    pub config: &'a [u8],
    /// tokenizer.json and tokenizer_config.json, a chat template in the latter.
    pub tokenizer: (&'a str, &'a str),
    /// F32, F16 or BF16.
    pub dtype: DType,
    /// Another seed, other weights.
    pub seed: u64,
}

/// Writes the folder `out`, which must be new or empty, and says how many parameters the model has. Weights are small and random
/// ([`RandomWeights`]), norms 1, biases 0.
pub fn fresh(job: &Fresh, out: &Path) -> Result<u64> {
    if !matches!(job.dtype, DType::F32 | DType::F16 | DType::BF16) {
        let why = "safetensors folders hold plain floats: choose f32, f16 or bf16";
        return Err(ExportError::unsupported(job.dtype.name(), Format::Safetensors, why));
    }
    let tokens = Tokenizer::from_json(job.tokenizer.0.as_bytes())?.vocab_size();
    let unsupported = |why: String| ExportError::unsupported("the model's config.json", Format::Safetensors, why);
    let mut json: Value = serde_json::from_slice(job.config).map_err(|error| unsupported(error.to_string()))?;
    let map = json.as_object_mut().ok_or_else(|| unsupported("it is no JSON object".into()))?;
    map.entry("vocab_size").or_insert(json!(tokens));
    map.insert(
        "dtype".into(),
        json!(if job.dtype == DType::F32 {
            "float32"
        } else if job.dtype == DType::F16 {
            "float16"
        } else {
            "bfloat16"
        }),
    );
    let json = format!("{json:#}\n");
    let config = ModelConfig::from_hf_json(json.as_bytes())?;
    if config.vocab < tokens {
        return Err(unsupported(format!(
            "vocab_size is {}, and the tokenizer has {tokens} tokens: raise it or leave it out",
            config.vocab
        )));
    }
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) || out.is_file() {
        return Err(ExportError::Exists(out.display().to_string()));
    }
    fs::create_dir_all(out).map_err(|source| ExportError::io(out, source))?;
    let weights = RandomWeights::new(config.clone(), job.dtype, job.seed)?;
    let mut entries = vec![];
    for (role, layer) in roles(&config) {
        let shape = role.shape(&config);
        let mut push = |name: String, shape: &[usize]| entries.push(Entry { name, dtype: job.dtype, shape: shape.to_vec() });
        match role.is_expert() {
            true => (0..shape[0]).for_each(|expert| push(role.canonical_expert(layer, expert), &shape[1..])),
            false => push(role.canonical(layer), &shape),
        }
    }
    // The weights last: a folder that has them is whole.
    let files = [("config.json", json.as_str()), ("tokenizer.json", job.tokenizer.0), ("tokenizer_config.json", job.tokenizer.1)];
    for (name, text) in files {
        let path = out.join(name);
        whole(&path, |file| file.write_all(text.as_bytes())).map_err(|source| ExportError::io(&path, source))?;
    }
    let path = out.join("model.safetensors");
    whole(&path, |file| {
        file.write_all(&header(&entries)).map_err(ExportError::writing)?;
        for (role, layer) in roles(&config) {
            let tensor = weights.tensor(role, layer)?.ok_or_else(|| weights.missing(role, layer))?;
            // Norms, biases and routers are made in f32.
            let bytes = tensor.bytes.as_slice();
            match (tensor.dtype, job.dtype) {
                (from, to) if from == to => file.write_all(bytes),
                (_, to) => {
                    let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                    let short = |value: f32| match to {
                        DType::F16 => half::f16::from_f32(value).to_le_bytes(),
                        _ => half::bf16::from_f32(value).to_le_bytes(),
                    };
                    file.write_all(&values.flat_map(short).collect::<Vec<u8>>())
                }
            }
            .map_err(ExportError::writing)?;
        }
        Ok::<(), ExportError>(())
    })?;
    Ok(config.parameters())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Checkpoint, Role};

    const CONFIG: &str = r#"{"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64, "moe_intermediate_size": 32, "num_experts": 4,
        "num_experts_per_tok": 2, "norm_topk_prob": true, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 512,
        "tie_word_embeddings": true, "eos_token_id": 1, "hidden_act": "silu", "decoder_sparse_step": 1, "mlp_only_layers": []}"#;

    #[test]
    fn a_new_model_opens_with_its_seed() {
        let folder = tempfile::tempdir().unwrap();
        let json = tokenizer::train_bpe(["Anna owns the mill."].iter(), tokenizer::Parts::Digits, 280, &["<|pad|>", "<|im_end|>"]).unwrap();
        let config = tokenizer::tokenizer_config("{{ messages[0].content }}", "<|im_end|>", "<|pad|>", 512);
        let make = |seed: u64, dtype: DType, name: &str| {
            let job = Fresh { config: CONFIG.as_bytes(), tokenizer: (&json, &config), dtype, seed };
            let out = folder.path().join(name);
            let parameters = fresh(&job, &out).unwrap();
            let opened = Checkpoint::open(&out).unwrap();
            assert_eq!(opened.config().parameters(), parameters);
            let tensor = |role| opened.tensor(role, 0).unwrap().unwrap().bytes.as_slice().to_vec();
            (tensor(Role::Q), tensor(Role::AttentionNorm), tensor(Role::ExpertGate))
        };
        let (a, b) = (make(1, DType::F32, "a"), make(1, DType::F32, "b"));
        assert_eq!(a, b);
        assert_ne!(a.0, make(2, DType::F32, "c").0);
        assert_eq!(make(1, DType::BF16, "d").1.len() * 2, a.1.len());
        let job = Fresh { config: CONFIG.as_bytes(), tokenizer: (&json, &config), dtype: DType::F32, seed: 0 };
        assert!(matches!(fresh(&job, &folder.path().join("a")), Err(ExportError::Exists(_))));
        let small = CONFIG.replace("\"hidden_size\"", "\"vocab_size\": 9, \"hidden_size\"");
        let job = Fresh { config: small.as_bytes(), ..job };
        assert!(fresh(&job, &folder.path().join("e")).unwrap_err().to_string().contains("vocab_size is 9"));
    }
}

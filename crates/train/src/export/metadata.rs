//! The metadata of a GGUF file: copied from one, or made from a Hugging Face folder as llama.cpp's converter makes it.

use kernels::DType;
use model::gguf::Gguf;
use model::source::Origin;
use model::{Architecture, Checkpoint, RopeScaling};

use super::{Export, Result, vocabulary};

/// Keys with the bytes of their values' types and values, in order.
#[derive(Default)]
pub(super) struct Keys(pub Vec<(String, Vec<u8>)>);

impl Keys {
    fn put(&mut self, key: impl Into<String>, kind: u32, value: &[u8]) {
        self.0.push((key.into(), [&kind.to_le_bytes()[..], value].concat()));
    }

    fn array(&mut self, key: impl Into<String>, kind: u32, count: usize, values: &[u8]) {
        self.put(key, 9, &[&kind.to_le_bytes()[..], &(count as u64).to_le_bytes(), values].concat());
    }

    pub fn u32(&mut self, key: impl Into<String>, value: usize) {
        // Sizes are bounded far below when a configuration is read.
        self.put(key, 4, &u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }

    pub fn f32(&mut self, key: impl Into<String>, value: f32) {
        self.put(key, 6, &value.to_le_bytes());
    }

    pub fn flag(&mut self, key: impl Into<String>, value: bool) {
        self.put(key, 7, &[u8::from(value)]);
    }

    pub fn text(&mut self, key: impl Into<String>, value: &str) {
        self.put(key, 8, &text(value));
    }

    pub fn texts(&mut self, key: impl Into<String>, values: &[String]) {
        self.array(key, 8, values.len(), &values.iter().flat_map(|value| text(value)).collect::<Vec<_>>());
    }

    pub fn i32s(&mut self, key: impl Into<String>, values: &[i32]) {
        self.array(key, 5, values.len(), &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
    }
}

fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u64).to_le_bytes()[..], value.as_bytes()].concat()
}

/// All keys of the file to be.
pub(super) fn keys(job: &Export, notes: &mut Vec<String>) -> Result<Keys> {
    let base = job.weights.base();
    let mut keys = Keys::default();
    keys.text("general.architecture", base.config().architecture.gguf_name());
    match base.origin() {
        Origin::Gguf(file) => {
            // What is written anew, and what was said of the file's own quantisation.
            let anew = ["general.architecture", "general.file_type", "general.quantization_version", "general.alignment"];
            let changed = job.weights.is_changed();
            for (key, value) in Gguf::entries(base.name(), file)? {
                let about_the_file = ["split.", "quantize."].iter().any(|prefix| key.starts_with(prefix)) || anew.contains(&key.as_str());
                let is_another_name = changed && key == "general.name";
                if !(about_the_file || is_another_name) {
                    keys.0.push((key, value.as_slice().to_vec()));
                }
            }
            if !keys.0.iter().any(|(key, _)| key == "general.name") {
                keys.text("general.name", job.name);
            }
        }
        Origin::HuggingFace { .. } => {
            keys.text("general.type", "model");
            keys.text("general.name", job.name);
            sizes(base, &mut keys);
            vocabulary::to_gguf(base, &mut keys, notes)?;
        }
    }
    keys.u32("general.quantization_version", 2);
    keys.u32("general.file_type", file_type(job.dtype));
    Ok(keys)
}

/// llama.cpp's number of a mix (`llama_ftype`).
fn file_type(dtype: DType) -> usize {
    match dtype {
        DType::F16 => 1,
        DType::Q8_0 => 7,
        DType::Q4_K => 15, // Q4_K_M
        DType::BF16 => 32,
        _ => 0,
    }
}

fn sizes(base: &Checkpoint, keys: &mut Keys) {
    let config = base.config();
    let key = |rest: &str| format!("{}.{rest}", config.architecture.gguf_name());
    keys.u32(key("block_count"), config.layers);
    keys.u32(key("context_length"), config.max_positions);
    keys.u32(key("embedding_length"), config.hidden);
    keys.u32(key("feed_forward_length"), config.intermediate);
    keys.u32(key("attention.head_count"), config.heads);
    keys.u32(key("attention.head_count_kv"), config.kv_heads);
    keys.u32(key("attention.key_length"), config.head_dim);
    keys.u32(key("attention.value_length"), config.head_dim);
    keys.f32(key("attention.layer_norm_rms_epsilon"), config.rms_eps);
    keys.f32(key("rope.freq_base"), config.rope_theta as f32);
    if config.architecture == Architecture::Llama {
        keys.u32(key("rope.dimension_count"), config.head_dim);
    }
    keys.u32(key("vocab_size"), config.vocab);
    if let Some(moe) = &config.moe {
        keys.u32(key("expert_count"), moe.experts);
        keys.u32(key("expert_used_count"), moe.top_k);
        keys.u32(key("expert_feed_forward_length"), moe.intermediate);
        if !moe.renormalise {
            keys.flag(key("expert_weights_norm"), false);
        }
    }
    match config.rope {
        RopeScaling::Linear { factor } => {
            keys.text(key("rope.scaling.type"), "linear");
            keys.f32(key("rope.scaling.factor"), factor as f32);
        }
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, .. } => {
            keys.text(key("rope.scaling.type"), "yarn");
            keys.f32(key("rope.scaling.factor"), factor as f32);
            keys.u32(key("rope.scaling.original_context_length"), original as usize);
            if (beta_fast, beta_slow) != (32.0, 1.0) {
                keys.f32(key("rope.scaling.yarn_beta_fast"), beta_fast as f32);
                keys.f32(key("rope.scaling.yarn_beta_slow"), beta_slow as f32);
            }
            // llama.cpp multiplies this by its own 1 + 0.1 ln(factor).
            let (_, scale) = config.inv_freq();
            let own = 1.0 + 0.1 * factor.max(1.0).ln();
            if (scale / own - 1.0).abs() > 1e-9 {
                keys.f32(key("rope.scaling.attn_factor"), (scale / own) as f32);
            }
        }
        // Llama 3's goes into a tensor.
        RopeScaling::Default | RopeScaling::Llama3 { .. } => {}
    }
}

//! Small models to export: the golden ones, and random ones of any shape.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::attention::KvDType;
use kernels::cpu::dequant::dequantize;
use kernels::{DType, Device, Precision};
use model::{Checkpoint, Model, ModelConfig, Role};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use train::export::{Card, Export, ExportError, Format, Weights, Written, export};

/// A golden model's folder, or its GGUF file.
pub fn golden(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
    if name.starts_with("gguf") { path.join("model.gguf") } else { path }
}

pub fn open(path: impl AsRef<Path>) -> Checkpoint {
    Checkpoint::open(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

pub fn write(weights: Weights, to: Format, dtype: DType, out: &Path) -> Result<Written, ExportError> {
    export(&Export { weights, to, dtype, out, name: "test", card: Card::default() }, |_, _| {})
}

/// Every role and layer a model has.
pub fn places(config: &ModelConfig) -> Vec<(Role, usize)> {
    let layers = (0..config.layers).flat_map(|layer| Role::LAYER.into_iter().map(move |role| (role, layer)));
    let all = Role::GLOBAL.into_iter().map(|role| (role, 0)).chain(layers);
    all.filter(|&(role, layer)| role.exists(config, layer)).collect()
}

pub fn values(checkpoint: &Checkpoint, role: Role, layer: usize) -> Vec<f32> {
    let data = checkpoint.tensor(role, layer).unwrap().unwrap_or_else(|| panic!("no {role:?} in layer {layer}"));
    let mut values = vec![0.0; data.rows * data.cols];
    dequantize(data.dtype, data.bytes.as_slice(), &mut values).unwrap();
    values
}

/// All weights, dequantised.
pub fn all_values(checkpoint: &Checkpoint) -> BTreeMap<(Role, usize), Vec<f32>> {
    places(checkpoint.config()).into_iter().map(|(role, layer)| ((role, layer), values(checkpoint, role, layer))).collect()
}

pub fn logits(checkpoint: &Checkpoint, ids: &[u32]) -> Vec<f32> {
    let model = Model::load(checkpoint, Device::cpu(Precision::Exact), 256, |_, _| {}).unwrap();
    pollster::block_on(Arc::new(model).score_tokens(ids, 1.0, KvDType::F32, 64, true)).unwrap().logits
}

/// ‖got − want‖ / ‖want‖; NaN anywhere gives NaN, which no bound accepts.
pub fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let error: f64 = got.iter().zip(want).map(|(&g, &w)| (f64::from(g) - f64::from(w)).powi(2)).sum();
    (error / want.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>()).sqrt()
}

/// Numbers that look random, the same every time, around 0 with a spread of about 0.03.
pub fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| 0.05 * (next() + next() + next())).collect()
}

/// A random Llama of f32 in `folder`: `inner` wide inside its MLPs, `hidden` outside.
pub fn random_llama(folder: &Path, hidden: usize, inner: usize, layers: usize, options: Value) {
    let mut config = json!({
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": hidden / 4, "vocab_size": 40, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": 128, "tie_word_embeddings": false,
    });
    options.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    let text = config.to_string();
    let parsed = ModelConfig::from_hf_json(text.as_bytes()).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = places(&parsed)
        .into_iter()
        .enumerate()
        .map(|(number, (role, layer))| {
            let shape = role.shape(&parsed);
            let mut values = random(number as u64 + 1, shape.iter().product());
            if shape.len() == 1 && !role.canonical(layer).ends_with("bias") {
                values.iter_mut().for_each(|value| *value += 1.0);
            }
            (role.canonical(layer), shape, values)
        })
        .collect();
    save(&folder.join("model.safetensors"), &tensors);
    std::fs::write(folder.join("config.json"), text).unwrap();
}

pub fn save(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views =
        tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

//! A model small enough to train in a test.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The golden Qwen3 with a small tokenizer whose ids it has, and no template: ChatML.
pub fn model(folder: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let to = folder.join("model");
    fs::create_dir_all(&to).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(root.join("tests/golden/qwen3").join(name), to.join(name)).unwrap();
    }
    let text = fs::read(root.join("crates/train/tests/masks/tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_slice(&text).unwrap();
    // The model's vocabulary has 320: bytes and the first merges.
    let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
    merges.truncate(50);
    let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    vocab.retain(|_, id| id.as_u64().unwrap() < 3 + 256 + 50);
    fs::write(to.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    to
}

//! Published models against llama.cpp on the same file: greedy tokens wherever llama.cpp itself is sure.
//!
//! Exact mode is held to llama.cpp running the same weights dequantised to f32. On the file as it is llama.cpp rounds activations to
//! 8 bits, which moves a small model's logits by more than the gaps that count as sure (it disagrees with its own f32 run as much as
//! with us), so there only the share of equal tokens is held.
//!
//! Needs the files; `LONGHAND_MODELS=DIR cargo test --release --test real -- --nocapture` with SmolLM2-135M-Instruct.Q4_1.gguf and
//! qwen2.5-coder-1.5b-instruct-q4_k_m.gguf in DIR. Without them the tests say that they did not run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::attention::KvDType;
use kernels::{Device, Precision};
use model::{Checkpoint, Engine, EngineSettings, Model, Request};
use serde_json::Value;

/// Closer than this the order of sums decides.
const SURE: f64 = 0.2;
/// The least share of llama.cpp's tokens, teacher-forced, that must be equal where both sides or one round activations to 8 bits.
const ROUNDED_SHARE: f64 = 0.9;

fn model_file(name: &str) -> Option<PathBuf> {
    let file = std::env::var_os("LONGHAND_MODELS").map(|dir| PathBuf::from(dir).join(name)).filter(|file| file.exists());
    if file.is_none() {
        println!("not run: {name} is not in the directory that LONGHAND_MODELS names");
    }
    file
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// (tokens before the first difference, teacher-forced tokens that are equal, those among them where llama.cpp is sure, all sure
/// ones, all) over a trace file; `strict` ends the test at the first sure one that differs.
fn compare(traces: &str, precision: Precision, strict: bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(traces);
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let Some(weights) = model_file(file["model"].as_str().unwrap()) else { return };
    let checkpoint = Checkpoint::open(&weights).unwrap();
    let model = Arc::new(Model::load(&checkpoint, Device::cpu(precision), 512, |_, _| {}).unwrap());
    let vocab = model.config.vocab;
    let (mut free, mut equal, mut sure, mut sure_equal, mut all) = (0, 0, 0, 0, 0);
    for (number, trace) in file["traces"].as_array().unwrap().iter().enumerate() {
        let (prompt, want) = (ids(&trace["prompt_ids"]), ids(&trace["ids"]));
        let gaps: Vec<f64> = trace["gap"].as_array().unwrap().iter().map(|gap| gap.as_f64().unwrap()).collect();
        let window = prompt.len() + want.len();
        let mut engine = Engine::new(model.clone(), EngineSettings::single(window, KvDType::F16)).unwrap();
        let request = Request { prompt: prompt.clone(), max_new_tokens: want.len(), sampling: data::Sampling::GREEDY, stop_ids: vec![] };
        let got = pollster::block_on(engine.generate(request, |_| {})).unwrap().ids;
        let same = got.iter().zip(&want).take_while(|(a, b)| a == b).count();
        free += same;
        let unsure = gaps.iter().position(|&gap| gap < SURE).unwrap_or(want.len());
        if strict {
            assert!(same >= unsure, "prompt {number}: differs at step {same} although llama.cpp was sure until step {unsure}");
        }
        // Teacher-forced along llama.cpp's own tokens.
        let tokens: Vec<u32> = prompt.iter().chain(&want[..want.len() - 1]).copied().collect();
        let score = pollster::block_on(model.score_tokens(&tokens, 1.0, KvDType::F16, 512, true)).unwrap();
        for step in 0..want.len() {
            let row = &score.logits[(prompt.len() - 1 + step) * vocab..][..vocab];
            let best = (0..vocab).fold(0, |best, id| if row[id] > row[best] { id } else { best });
            let (is_equal, is_sure) = (best as u32 == want[step], gaps[step] >= SURE);
            assert!(!strict || is_equal || !is_sure, "prompt {number} step {step}: llama.cpp's gap is {}", gaps[step]);
            all += 1;
            equal += usize::from(is_equal);
            sure += usize::from(is_sure);
            sure_equal += usize::from(is_equal && is_sure);
        }
    }
    println!(
        "{traces}, {precision:?}: {free} of {all} tokens before the first difference; teacher-forced {equal} of {all} equal, {sure_equal} of the {sure} sure ones"
    );
    assert!(equal as f64 >= ROUNDED_SHARE * all as f64, "{equal} of {all}");
}

#[test]
fn smollm2_exact_is_llama_cpp_in_f32() {
    compare("smollm2-f32.json", Precision::Exact, true);
}

#[test]
fn smollm2_beside_llama_cpps_rounding() {
    compare("smollm2.json", Precision::Exact, false);
    compare("smollm2.json", Precision::Fast, false);
}

#[test]
fn qwen2_5_coder_exact_is_llama_cpp_in_f32() {
    compare("qwen2.5-coder-1.5b-f32.json", Precision::Exact, true);
}

#[test]
fn qwen2_5_coder_beside_llama_cpps_rounding() {
    compare("qwen2.5-coder-1.5b.json", Precision::Exact, false);
    compare("qwen2.5-coder-1.5b.json", Precision::Fast, false);
}

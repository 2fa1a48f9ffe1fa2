//! Published models against llama.cpp on the same file: greedy tokens wherever llama.cpp itself is sure.
//!
//! Needs the files; `LONGHAND_MODELS=DIR cargo test --release --test real` with SmolLM2-135M-Instruct.Q4_1.gguf and
//! qwen2.5-coder-1.5b-instruct-q4_k_m.gguf in DIR. Without them the tests say that they did not run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::attention::KvDType;
use kernels::{Device, Precision};
use model::{Checkpoint, Engine, EngineSettings, Model, Request};
use serde_json::Value;

/// llama.cpp quantises activations to 8 bits; closer than this its own choice is noise.
const SURE: f64 = 0.2;

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

fn compare(traces: &str, precision: Precision) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(traces);
    let traces: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let Some(file) = model_file(traces["model"].as_str().unwrap()) else { return };
    let checkpoint = Checkpoint::open(&file).unwrap();
    let model = Arc::new(Model::load(&checkpoint, Device::cpu(precision), 512, |_, _| {}).unwrap());
    let vocab = model.config.vocab;
    let (mut free_equal, mut forced_equal, mut forced_sure) = (0, 0, 0);
    for (number, trace) in traces["traces"].as_array().unwrap().iter().enumerate() {
        let (prompt, want) = (ids(&trace["prompt_ids"]), ids(&trace["ids"]));
        let gaps: Vec<f64> = trace["gap"].as_array().unwrap().iter().map(|gap| gap.as_f64().unwrap()).collect();
        let window = prompt.len() + want.len();
        let mut engine = Engine::new(model.clone(), EngineSettings::single(window, KvDType::F16)).unwrap();
        let request = Request { prompt: prompt.clone(), max_new_tokens: want.len(), sampling: data::Sampling::GREEDY, stop_ids: vec![] };
        let got = pollster::block_on(engine.generate(request, |_| {})).unwrap().ids;
        let same = got.iter().zip(&want).take_while(|(a, b)| a == b).count();
        free_equal += same;
        let unsure = gaps.iter().position(|&gap| gap < SURE).unwrap_or(want.len());
        assert!(same >= unsure.min(want.len()), "prompt {number}: differs at step {same} although llama.cpp was sure until step {unsure}");
        // Teacher-forced along llama.cpp's own tokens.
        let tokens: Vec<u32> = prompt.iter().chain(&want[..want.len() - 1]).copied().collect();
        let score = pollster::block_on(model.score_tokens(&tokens, 1.0, KvDType::F16, 512, true)).unwrap();
        for step in 0..want.len() {
            let row = &score.logits[(prompt.len() - 1 + step) * vocab..][..vocab];
            let best = (0..vocab).fold(0, |best, id| if row[id] > row[best] { id } else { best });
            if gaps[step] >= SURE {
                forced_sure += 1;
                assert_eq!(best as u32, want[step], "prompt {number} step {step}: llama.cpp's gap is {}", gaps[step]);
            }
            forced_equal += usize::from(best as u32 == want[step]);
        }
    }
    println!(
        "{precision:?}: {free_equal} of 320 free-running tokens before the first difference; teacher-forced {forced_equal} of 320 equal, all {forced_sure} sure ones"
    );
}

#[test]
fn smollm2_exact() {
    compare("smollm2.json", Precision::Exact);
}

#[test]
fn smollm2_fast() {
    compare("smollm2.json", Precision::Fast);
}

#[test]
fn qwen2_5_coder_exact() {
    compare("qwen2.5-coder-1.5b.json", Precision::Exact);
}

#[test]
fn qwen2_5_coder_fast() {
    compare("qwen2.5-coder-1.5b.json", Precision::Fast);
}

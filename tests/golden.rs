//! Tiny checkpoints of every architecture against what Transformers computes for them, on both devices.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::attention::KvDType;
use kernels::gpu::GpuOptions;
use kernels::{Device, Precision};
use model::source::Checkpoint;
use model::{Engine, EngineSettings, Model, Request};
use safetensors::SafeTensors;
use serde_json::Value;

const CASES: [&str; 14] = [
    "qwen3_moe",
    "qwen3_moe_fused",
    "qwen3_moe_v4",
    "qwen3_moe_bf16",
    "qwen3",
    "qwen3_odd",
    "qwen2",
    "qwen2_odd",
    "llama",
    "llama_linear",
    "llama_f16",
    "gguf_llama",
    "gguf_qwen2",
    "gguf_qwen3moe",
];

/// Relative L2 distance to Transformers' numbers: f32 sums over a few hundred terms in a few layers.
const TOLERANCE: f64 = 1e-4;

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

fn json(case: &str, file: &str) -> Value {
    let path = folder(case).join(file);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn tensor(bytes: &[u8], name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// ‖got - want‖ / ‖want‖; NaN anywhere gives NaN, which no bound accepts.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |it: &mut dyn Iterator<Item = f64>| it.map(|x| x * x).sum::<f64>();
    let error = square(&mut got.iter().zip(want).map(|(&g, &w)| f64::from(g) - f64::from(w)));
    (error / square(&mut want.iter().map(|&w| f64::from(w)))).sqrt()
}

fn close(what: &str, got: &[f32], want: &[f32]) {
    let distance = distance(got, want);
    assert!(distance <= TOLERANCE, "{what}: relative distance {distance:e} is over {TOLERANCE:e}");
}

fn load(case: &str, device: Device) -> Arc<Model> {
    let path = if case.starts_with("gguf") { folder(case).join("model.gguf") } else { folder(case) };
    let checkpoint = Checkpoint::open(&path).unwrap_or_else(|e| panic!("{case}: {e}"));
    let positions = checkpoint.config().max_positions.min(1024);
    Arc::new(Model::load(&checkpoint, device, positions, |_, _| {}).unwrap_or_else(|e| panic!("{case}: {e}")))
}

/// The GPU, or `None` where there is none and none is demanded.
fn gpu() -> Option<Device> {
    match pollster::block_on(Device::gpu(&GpuOptions::default())) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("REQUIRE_GPU").is_some() => panic!("REQUIRE_GPU is set: {error}"),
        Err(error) => {
            println!("not run: {error}");
            None
        }
    }
}

fn score(case: &str, model: &Model) {
    let tokens = ids(&json(case, "case.json")["ids"]);
    let want = std::fs::read(folder(case).join("expected.safetensors")).unwrap();
    let got = pollster::block_on(model.score_tokens(&tokens, 1.0, KvDType::F32, 512, true)).unwrap();
    close(&format!("{case} logits"), &got.logits, &tensor(&want, "logits"));
    close(&format!("{case} logprobs"), &got.logprobs, &tensor(&want, "logprobs"));
    close(&format!("{case} entropy"), &got.entropy, &tensor(&want, "entropy"));
}

fn score_long(case: &str, model: &Model) {
    if !folder(case).join("case_long.json").exists() {
        return;
    }
    let tokens = ids(&json(case, "case_long.json")["ids"]);
    let want = std::fs::read(folder(case).join("expected_long.safetensors")).unwrap();
    let got = pollster::block_on(model.score_tokens(&tokens, 1.0, KvDType::F32, 200, true)).unwrap();
    let tail = tensor(&want, "logits_tail");
    close(&format!("{case} long logits"), &got.logits[got.logits.len() - tail.len()..], &tail);
    close(&format!("{case} long logprobs"), &got.logprobs, &tensor(&want, "logprobs"));
    close(&format!("{case} long entropy"), &got.entropy, &tensor(&want, "entropy"));
}

fn request(prompt: Vec<u32>, max_new_tokens: usize) -> Request {
    Request { prompt, max_new_tokens, sampling: data::Sampling::GREEDY, stop_ids: vec![] }
}

fn engine(model: &Arc<Model>, sequences: usize, step_rows: usize) -> Engine {
    let window = model.max_positions.min(256);
    let settings = EngineSettings {
        cache_positions: 256 * sequences,
        step_rows,
        max_sequences: sequences,
        ..EngineSettings::single(window, KvDType::F32)
    };
    Engine::new(model.clone(), settings).unwrap()
}

/// Greedy tokens with a cache, alone and in a ragged batch of 8.
fn greedy(case: &str, model: &Arc<Model>) {
    let greedy = json(case, "greedy.json");
    let got = pollster::block_on(engine(model, 1, 64).generate(request(ids(&greedy["prompt"]), 32), |_| {})).unwrap();
    assert_eq!(got.ids, ids(&greedy["ids"]), "{case}: greedy tokens");
    let batch = json(case, "batch.json");
    let prompts = batch["prompts"].as_array().unwrap().iter().map(|p| request(ids(p), 12)).collect::<Vec<_>>();
    let all = pollster::block_on(engine(model, 8, 16).generate_all(prompts, |_, _| {})).unwrap();
    for (number, (got, want)) in all.iter().zip(batch["ids"].as_array().unwrap()).enumerate() {
        assert_eq!(got.ids, ids(want), "{case}: prompt {number} in a batch of 8");
    }
}

#[test]
fn transformers_numbers_on_the_cpu() {
    for case in CASES {
        let model = load(case, Device::cpu(Precision::Exact));
        score(case, &model);
        score_long(case, &model);
        greedy(case, &model);
    }
}

/// Fast mode decodes by other kernels, which take several ops at once.
#[test]
fn fast_mode_decodes_transformers_tokens_on_the_gpu() {
    for case in ["qwen3", "qwen2", "llama", "qwen3_moe", "qwen3_moe_bf16", "gguf_llama", "gguf_qwen3moe"] {
        if gpu().is_none() {
            return;
        }
        let options = GpuOptions { precision: Precision::Fast, ..GpuOptions::default() };
        let model = load(case, pollster::block_on(Device::gpu(&options)).unwrap());
        greedy(case, &model);
    }
}

#[test]
fn transformers_numbers_on_the_gpu() {
    for case in CASES {
        let Some(device) = gpu() else { return };
        let model = load(case, device);
        score(case, &model);
        score_long(case, &model);
        greedy(case, &model);
    }
}

/// What a row is worth must not depend on its company: whole, in pieces of any size, one by one.
fn largest_difference_by_cut(case: &str, model: &Model) -> f32 {
    let tokens = ids(&json(case, "case.json")["ids"]);
    let run = |rows| pollster::block_on(model.score_tokens(&tokens, 1.0, KvDType::F32, rows, true)).unwrap();
    let whole = run(512);
    let mut largest = 0f32;
    for rows in [1, 3, 7, 32] {
        let cut = run(rows);
        for (a, b) in whole.logits.iter().zip(&cut.logits).chain(whole.entropy.iter().zip(&cut.entropy)) {
            if a.to_bits() != b.to_bits() {
                let difference = (a - b).abs() / a.abs().max(1.0);
                assert!(difference.is_finite());
                largest = largest.max(difference).max(f32::MIN_POSITIVE);
            }
        }
    }
    largest
}

#[test]
fn cutting_a_sequence_changes_no_bit_on_the_cpu() {
    for case in CASES {
        assert_eq!(largest_difference_by_cut(case, &load(case, Device::cpu(Precision::Exact))), 0.0, "{case}");
    }
}

#[test]
fn cutting_a_sequence_changes_next_to_nothing_on_the_gpu() {
    let mut largest = 0f32;
    for case in ["qwen3_moe", "qwen3", "qwen2", "llama", "gguf_llama"] {
        let Some(device) = gpu() else { return };
        largest = largest.max(largest_difference_by_cut(case, &load(case, device)));
    }
    println!("largest relative difference by cut on the GPU: {largest:e}");
    assert!(largest <= 1e-5);
}

/// Log-probabilities and entropies that a batched generation reports are the bits a scoring pass recomputes.
#[test]
fn a_batch_of_eight_reports_the_bits_that_scoring_recomputes() {
    for case in ["qwen3_moe", "qwen3_odd", "qwen2", "llama"] {
        let model = load(case, Device::cpu(Precision::Exact));
        let batch = json(case, "batch.json");
        let prompts: Vec<Vec<u32>> = batch["prompts"].as_array().unwrap().iter().map(ids).collect();
        let requests = prompts
            .iter()
            .enumerate()
            .map(|(seed, prompt)| Request {
                sampling: data::Sampling { temperature: 0.7, top_p: 0.95, seed: seed as u64, ..data::Sampling::GREEDY },
                ..request(prompt.clone(), 12)
            })
            .collect();
        let all = pollster::block_on(engine(&model, 8, 16).generate_all(requests, |_, _| {})).unwrap();
        for (prompt, generated) in prompts.iter().zip(&all) {
            let tokens: Vec<u32> = prompt.iter().chain(&generated.ids).copied().collect();
            let again = pollster::block_on(model.score_tokens(&tokens, 0.7, KvDType::F32, 512, false)).unwrap();
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&generated.logprobs), bits(&again.logprobs[prompt.len() - 1..]), "{case}: log-probabilities");
            let entropies = &again.entropy[prompt.len() - 1..prompt.len() - 1 + generated.ids.len()];
            assert_eq!(bits(&generated.entropies), bits(entropies), "{case}: entropies");
        }
    }
}

/// The comparison itself: faults of each kind are far outside the tolerance, and NaN is not accepted.
#[test]
fn planted_faults_are_seen() {
    let want = tensor(&std::fs::read(folder("qwen3").join("expected.safetensors")).unwrap(), "logits");
    let scaled: Vec<f32> = want.iter().map(|x| x * 1.01).collect();
    let mut dropped = want.clone();
    let tail = dropped.len() - 8;
    dropped[tail..].fill(0.0);
    let mut swapped = want.clone();
    swapped.reverse();
    let mut nan = want.clone();
    nan[3] = f32::NAN;
    for fault in [scaled, dropped, swapped, nan, vec![0.0; want.len()]] {
        assert!(!(distance(&fault, &want) <= TOLERANCE));
    }
    assert!(distance(&want, &want) <= TOLERANCE);
}

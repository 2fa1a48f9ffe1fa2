//! LoRA adapters: PEFT's folders in and out, merged into models, refused where they do not fit.

mod weights;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kernels::DType;
use model::{Checkpoint, Role};
use proptest::prelude::*;
use serde_json::{Value, json};
use train::adapter::{Adapter, AdapterError, Pair, Place, TARGETS, fingerprint};
use train::export::{Format, Weights};
use weights::*;

const RANK: usize = 3;

/// A random pair for every matrix of `base` that can be adapted; of the experts, every other one.
fn adapter(base: &Checkpoint) -> Adapter {
    let config = base.config();
    let mut pairs = BTreeMap::new();
    for layer in 0..config.layers {
        for (role, _) in TARGETS {
            let experts: Vec<Option<usize>> = match (role.is_expert(), &config.moe) {
                (true, Some(moe)) => (0..moe.experts).step_by(2).map(Some).collect(),
                _ => vec![None],
            };
            for expert in experts {
                let place = Place { role, layer, expert };
                let Some([n, k]) = place.shape(config) else { continue };
                let seed = pairs.len() as u64 + 100;
                pairs.insert(place, Pair { a: random(seed, RANK * k), b: random(seed + 1000, n * RANK) });
            }
        }
    }
    Adapter { rank: RANK, alpha: 5.0, base_name: "owner/base".into(), base: Some(fingerprint(base).unwrap()), pairs }
}

/// W + scale · B A in f64, for every weight of `base`.
fn merged(base: &Checkpoint, adapter: &Adapter, scale: f64) -> BTreeMap<(Role, usize), Vec<f64>> {
    let weights = all_values(base).into_iter();
    let mut weights: BTreeMap<_, Vec<f64>> =
        weights.map(|(place, values)| (place, values.iter().map(|&v| f64::from(v)).collect())).collect();
    for (place, pair) in &adapter.pairs {
        let [n, k] = place.shape(base.config()).unwrap();
        let all = weights.get_mut(&(place.role, place.layer)).unwrap();
        let w = &mut all[place.expert.unwrap_or(0) * n * k..][..n * k];
        for row in 0..n {
            for col in 0..k {
                let product = |r: usize| f64::from(pair.b[row * RANK + r]) * f64::from(pair.a[r * k + col]);
                w[row * k + col] += scale * (0..RANK).map(product).sum::<f64>();
            }
        }
    }
    weights
}

fn worst(found: &BTreeMap<(Role, usize), Vec<f32>>, expected: &BTreeMap<(Role, usize), Vec<f64>>) -> f64 {
    assert!(found.keys().eq(expected.keys()));
    let pairs = found.values().flatten().zip(expected.values().flatten());
    pairs.map(|(&f, e)| (f64::from(f) - e).abs()).fold(0.0, f64::max)
}

#[test]
fn merging_adds_the_product() {
    for (name, dtype) in [
        ("qwen3", DType::F32),
        ("qwen2", DType::F32),
        ("llama", DType::F32),
        ("qwen3_moe", DType::F32),
        ("qwen3_moe_v4", DType::F32),
        ("gguf_llama", DType::F32),
    ] {
        let base = open(golden(name));
        let adapter = adapter(&base);
        let folder = tempfile::tempdir().unwrap();
        let formats = [(Format::Safetensors, "hf"), (Format::Gguf, "m.gguf")];
        for (to, out) in formats.into_iter().filter(|(to, _)| name != "qwen3_moe_v4" || *to == Format::Safetensors) {
            let out = folder.path().join(out);
            write(Weights::new(&base).with_adapter(&adapter).unwrap(), to, dtype, &out).unwrap();
            let found = all_values(&open(&out));
            // Each value is a few roundings of numbers below 2.
            let expected = merged(&base, &adapter, 5.0 / 3.0);
            let distance = worst(&found, &expected);
            assert!(distance <= 4e-7, "{name}: {distance:e}");
            // What the comparison is for: a scale off by a hundredth, no adapter, a pair the wrong way round.
            assert!(worst(&found, &merged(&base, &adapter, 5.0 / 3.0 * 1.01)) > 4e-6);
            assert!(worst(&found, &merged(&base, &adapter, 0.0)) > 4e-4);
            let mut turned = adapter.clone();
            let pair = turned.pairs.values_mut().next().unwrap();
            pair.b.reverse();
            assert!(worst(&found, &merged(&base, &turned, 5.0 / 3.0)) > 4e-4);
        }
    }
}

#[test]
fn a_merged_model_answers_as_one_with_the_sum_for_weights() {
    let base = open(golden("llama"));
    let adapter = adapter(&base);
    let folder = tempfile::tempdir().unwrap();
    write(Weights::new(&base).with_adapter(&adapter).unwrap(), Format::Safetensors, DType::F32, &folder.path().join("a")).unwrap();
    let sums = merged(&base, &adapter, 5.0 / 3.0).into_iter();
    let sums: BTreeMap<_, Vec<f32>> = sums.map(|(place, values)| (place, values.iter().map(|&v| v as f32).collect())).collect();
    write(Weights::new(&base).with_overrides(&sums), Format::Safetensors, DType::F32, &folder.path().join("b")).unwrap();
    let ids = [3, 48, 41, 69, 97, 26, 36, 75];
    let (a, b) = (logits(&open(folder.path().join("a")), &ids), logits(&open(folder.path().join("b")), &ids));
    assert!(distance(&a, &b) < 1e-5, "{}", distance(&a, &b));
    assert!(distance(&a, &logits(&base, &ids)) > 1e-2);
}

#[test]
fn a_saved_adapter_opens_as_it_was() {
    for name in ["qwen3", "qwen3_moe"] {
        let adapter = adapter(&open(golden(name)));
        let folder = tempfile::tempdir().unwrap();
        adapter.save(folder.path().join("new/adapter")).unwrap();
        let folder = folder.path().join("new/adapter");
        assert_eq!(Adapter::open(&folder).unwrap(), adapter);
        let config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
        assert_eq!((&config["peft_type"], &config["r"], &config["lora_alpha"]), (&json!("LORA"), &json!(3), &json!(5)));
        assert_eq!(config["base_model_name_or_path"], "owner/base");
        assert_eq!(config["target_modules"], json!(["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]));
        assert_eq!(config.get("longhand_experts"), (name == "qwen3_moe").then_some(&json!(true)));
        // No key of ours where PEFT would stumble over it.
        assert_eq!(config.as_object().unwrap().keys().filter(|key| key.starts_with("longhand")).count(), usize::from(name == "qwen3_moe"));
        let bytes = fs::read(folder.join("adapter_model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let shape = |name: &str| file.tensor(name).unwrap().shape().to_vec();
        if name == "qwen3" {
            let config = open(golden(name));
            let [n, k] = Place { role: Role::Q, layer: 0, expert: None }.shape(config.config()).unwrap();
            assert_eq!(shape("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"), [RANK, k]);
            assert_eq!(shape("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"), [n, RANK]);
        } else {
            assert_eq!(shape("base_model.model.model.layers.1.mlp.experts.4.down_proj.lora_B.weight"), [48, RANK]);
        }
    }
}

/// A folder as PEFT writes it, some of the configuration's keys set otherwise.
fn peft(folder: &Path, changed: Value, tensors: &[(&str, [usize; 2])]) -> Result<Adapter, AdapterError> {
    // Every key of PEFT 0.18's file for a plain LoRA.
    let mut config = json!({
        "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null, "base_model_name_or_path": "owner/base",
        "bias": "none", "corda_config": null, "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null,
        "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layer_replication": null, "layers_pattern": null,
        "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 16, "lora_bias": false, "lora_dropout": 0.05,
        "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null, "peft_type": "LORA", "peft_version": "0.18.0",
        "qalora_group_size": 16, "r": 2, "rank_pattern": {}, "revision": null, "target_modules": ["q_proj", "v_proj"],
        "target_parameters": null, "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_dora": false, "use_qalora": false,
        "use_rslora": false,
    });
    changed.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    let tensors: Vec<_> = tensors.iter().map(|(name, shape)| (name.to_string(), shape.to_vec(), random(1, shape[0] * shape[1]))).collect();
    save(&folder.join("adapter_model.safetensors"), &tensors);
    Adapter::open(folder)
}

const A: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
const B: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";

#[test]
fn what_peft_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let base = open(golden("qwen3"));
    let [n, k] = Place { role: Role::Q, layer: 0, expert: None }.shape(base.config()).unwrap();
    let adapter = peft(folder.path(), json!({}), &[(A, [2, k]), (B, [n, 2])]).unwrap();
    assert_eq!((adapter.rank, adapter.alpha, adapter.scale(), adapter.base.is_none()), (2, 16.0, 8.0, true));
    adapter.check(&base).unwrap();
    let pair = &adapter.pairs[&Place { role: Role::Q, layer: 0, expert: None }];
    assert_eq!((&pair.a, &pair.b), (&random(1, 2 * k), &random(1, 2 * n)));
    // Another base: other shapes, or no such layer.
    let other = adapter.check(&open(golden("qwen2"))).unwrap_err();
    assert!(matches!(other, AdapterError::Shape { .. }) && other.to_string().contains("trained on another base (owner/base)"), "{other}");
}

#[test]
fn what_would_change_the_numbers_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = [(A, [2, 8]), (B, [4, 2])];
    let refused = |changed: Value, words: &[&str]| {
        let error = peft(folder.path(), changed, &whole).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{word} is not in: {error}"));
    };
    refused(json!({"use_dora": true}), &["use_dora", "DoRA", "PEFT"]);
    refused(json!({"use_rslora": true}), &["use_rslora", "α/√r"]);
    refused(json!({"modules_to_save": ["lm_head"]}), &["modules_to_save"]);
    refused(json!({"rank_pattern": {"q_proj": 8}}), &["rank_pattern"]);
    refused(json!({"fan_in_fan_out": true}), &["fan_in_fan_out"]);
    refused(json!({"target_parameters": ["mlp.experts.gate_up_proj"]}), &["target_parameters"]);
    refused(json!({"bias": "all"}), &["bias"]);
    refused(json!({"init_lora_weights": "pissa_niter_16"}), &["pissa"]);
    refused(json!({"peft_type": "IA3"}), &["IA3"]);
    refused(json!({"r": 0}), &["`r`"]);
    refused(json!({"lora_alpha": "many"}), &["lora_alpha"]);
    refused(json!({"r": 3}), &["rank 2", "says 3"]);
    assert!(peft(folder.path(), json!({}), &whole).is_ok());
}

#[test]
fn halves_and_strangers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = |tensors: &[(&str, [usize; 2])]| peft(folder.path(), json!({}), tensors).unwrap_err();
    assert!(matches!(error(&[(A, [2, 8])]), AdapterError::MissingPair(name) if name == A));
    assert!(matches!(error(&[(B, [8, 2])]), AdapterError::MissingPair(name) if name == B));
    for stranger in [
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.model.layers.0.mlp.gate.lora_A.weight",
        "base_model.model.model.layers.+0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
    ] {
        let refused = error(&[(A, [2, 8]), (B, [4, 2]), (stranger, [2, 8])]);
        assert!(matches!(&refused, AdapterError::UnknownTarget(name) if name == stranger), "{refused}");
    }
    assert!(matches!(error(&[]), AdapterError::Config { .. }));
    fs::write(folder.path().join("adapter_config.json"), "[]").unwrap();
    assert!(matches!(Adapter::open(folder.path()), Err(AdapterError::Config { .. })));
    fs::remove_file(folder.path().join("adapter_config.json")).unwrap();
    assert!(matches!(Adapter::open(folder.path()), Err(AdapterError::Io { .. })));
}

#[test]
fn a_damaged_adapter_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    adapter(&open(golden("llama"))).save(folder.path()).unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    let sound = fs::read(&path).unwrap();
    for cut in [0, 7, 9, 200, sound.len() - 1] {
        fs::write(&path, &sound[..cut]).unwrap();
        assert!(matches!(Adapter::open(folder.path()), Err(AdapterError::Model(_))), "cut at {cut}");
    }
    let mut damaged = sound.clone();
    let end = damaged.len();
    damaged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, &damaged).unwrap();
    assert!(matches!(Adapter::open(folder.path()), Err(AdapterError::NonFinite(_))));
}

#[test]
fn a_fingerprint_is_the_bases_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let base = open(golden("qwen3_moe_bf16"));
    let print = fingerprint(&base).unwrap();
    for dtype in [DType::Q8_0, DType::BF16] {
        let out = folder.path().join(format!("{}.gguf", dtype.name()));
        write(Weights::new(&base), Format::Gguf, dtype, &out).unwrap();
        assert_eq!(fingerprint(&open(&out)).unwrap(), print, "{}", dtype.name());
    }
    // Trained further, norms included: another base.
    let mut norm = values(&base, Role::FinalNorm, 0);
    norm[3] *= 1.01;
    let mine = BTreeMap::from([((Role::FinalNorm, 0), norm)]);
    let out = folder.path().join("other");
    write(Weights::new(&base).with_overrides(&mine), Format::Safetensors, DType::F32, &out).unwrap();
    let other = open(&out);
    assert_ne!(fingerprint(&other).unwrap(), print);
    let adapter = adapter(&base);
    adapter.check(&base).unwrap();
    let refused = adapter.check(&other).unwrap_err();
    assert!(matches!(refused, AdapterError::OtherBase { .. }) && refused.to_string().contains(&print), "{refused}");
}

/// Bytes with one stretch overwritten.
fn mutated(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at % bytes.len();
    bytes.iter_mut().skip(at).zip(with).for_each(|(byte, new)| *byte = *new);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_adapter_makes_it_panic(at in any::<usize>(), with in prop::collection::vec(any::<u8>(), 1..12), in_config in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let base = open(golden("qwen3"));
        adapter(&base).save(folder.path()).unwrap();
        let file = folder.path().join(if in_config { "adapter_config.json" } else { "adapter_model.safetensors" });
        // The header is where a mistake could do harm.
        let sound = fs::read(&file).unwrap();
        fs::write(&file, mutated(&sound, at % sound.len().min(4000), &with)).unwrap();
        if let Ok(adapter) = Adapter::open(folder.path()) {
            let _ = adapter.check(&base);
        }
    }

    #[test]
    fn no_vocabulary_makes_it_panic(at in any::<usize>(), with in prop::collection::vec(any::<u8>(), 1..6), size in 0usize..400) {
        let base = open(golden("gguf_llama"));
        let model::source::TokenizerMaterial::Gguf(material) = base.tokenizer() else { panic!("no vocabulary") };
        let json = material.vocab.clone().to_json().unwrap();
        let _ = tokenizer::GgufVocab::from_json(&mutated(json.as_bytes(), at, &with), size);
    }
}

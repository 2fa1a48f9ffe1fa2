//! Checkpoint readers: good files open with exactly their roles, damaged ones give an error that says what and where, none panics.

mod support;

use std::path::{Path, PathBuf};

use kernels::{Device, Extent, Precision};
use model::gguf::Gguf;
use model::source::ExpertStorage;
use model::{Checkpoint, Model, ModelConfig, ModelError, Role};
use proptest::prelude::*;
use support::*;

const QWEN3_MOE: &str = r#"{"model_type":"qwen3_moe","hidden_size":8,"num_hidden_layers":1,"num_attention_heads":1,"head_dim":8,
    "intermediate_size":4,"moe_intermediate_size":3,"num_experts":2,"num_experts_per_tok":1,"vocab_size":5,"max_position_embeddings":64}"#;

/// Tensors of that model, its experts fused.
fn fused() -> Vec<(&'static str, Vec<usize>)> {
    vec![
        ("lm_head.weight", vec![5, 8]),
        ("model.embed_tokens.weight", vec![5, 8]),
        ("model.norm.weight", vec![8]),
        ("model.layers.0.input_layernorm.weight", vec![8]),
        ("model.layers.0.self_attn.q_proj.weight", vec![8, 8]),
        ("model.layers.0.self_attn.k_proj.weight", vec![8, 8]),
        ("model.layers.0.self_attn.v_proj.weight", vec![8, 8]),
        ("model.layers.0.self_attn.o_proj.weight", vec![8, 8]),
        ("model.layers.0.self_attn.q_norm.weight", vec![8]),
        ("model.layers.0.self_attn.k_norm.weight", vec![8]),
        ("model.layers.0.post_attention_layernorm.weight", vec![8]),
        ("model.layers.0.mlp.gate.weight", vec![2, 8]),
        ("model.layers.0.mlp.experts.gate_up_proj", vec![2, 6, 8]),
        ("model.layers.0.mlp.experts.down_proj", vec![2, 8, 3]),
    ]
}

fn open(config: &str, tensors: &[(&str, Vec<usize>)]) -> model::Result<Checkpoint> {
    open_bytes(config, safetensors_file(tensors))
}

fn open_bytes(config: &str, file: Vec<u8>) -> model::Result<Checkpoint> {
    Checkpoint::from_parts(config.as_bytes().to_vec().into(), vec![("model.safetensors".into(), file.into())])
}

/// Uses everything a checkpoint offers.
fn exercise(checkpoint: &Checkpoint) {
    let config = checkpoint.config();
    let _ = (config.inv_freq(), config.parameters(), config.active_parameters(), checkpoint.check_finite(), checkpoint.total_bytes());
    let layers = (0..config.layers).flat_map(|layer| Role::LAYER.into_iter().map(move |role| (role, layer)));
    for (role, layer) in Role::GLOBAL.into_iter().map(|role| (role, 0)).chain(layers) {
        let shape = role.shape(config);
        let Some(data) = checkpoint.tensor(role, layer).unwrap() else {
            assert!(!role.exists(config, layer), "{role:?} of layer {layer}");
            continue;
        };
        assert!(role.exists(config, layer), "{role:?} of layer {layer}");
        let cols = shape[shape.len() - 1];
        assert_eq!((data.rows, data.cols), (shape.iter().product::<usize>() / cols, cols), "{role:?} of layer {layer}");
        assert_eq!(data.bytes.as_slice().len(), data.rows * data.dtype.row_bytes(cols).unwrap(), "{role:?} of layer {layer}");
        assert_eq!(checkpoint.stored(role, layer), Some((data.dtype, data.bytes.as_slice().len() as u64)));
        assert_eq!(data.to_f32().is_some(), plain(data.dtype));
        checkpoint.name_of(role, layer);
    }
}

fn refused(result: model::Result<Checkpoint>, words: &[&str]) {
    let error = result.err().expect("an error").to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

fn values(checkpoint: &Checkpoint, role: Role) -> Vec<f32> {
    checkpoint.tensor(role, 0).unwrap().unwrap().to_f32().unwrap()
}

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.join("config.json").exists() || case.join("model.gguf").exists());
    cases.sort();
    cases
}

#[test]
fn golden_checkpoints_open_with_exactly_their_roles() {
    for case in golden() {
        let checkpoint = Checkpoint::open(&case).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        exercise(&checkpoint);
        checkpoint.check_finite().unwrap();
        let elements: usize = checkpoint.tensors().iter().map(|tensor| tensor.elements()).sum();
        assert_eq!(checkpoint.config().parameters(), elements as u64, "{}", case.display());
    }
}

#[test]
fn fused_and_separate_experts_are_the_same_bytes() {
    let cases = golden();
    let find = |name: &str| cases.iter().find(|case| case.ends_with(name)).map(|case| Checkpoint::open(case).unwrap());
    let (Some(separate), Some(fused)) = (find("qwen3_moe"), find("qwen3_moe_fused")) else { return };
    assert_eq!(separate.expert_storage(0), Some(ExpertStorage::PerExpert));
    assert_eq!(fused.expert_storage(0), Some(ExpertStorage::Fused));
    for role in Role::LAYER.into_iter().filter(|role| role.exists(fused.config(), 0)) {
        let bytes = |checkpoint: &Checkpoint| checkpoint.tensor(role, 1).unwrap().unwrap().bytes.as_slice().to_vec();
        assert!(bytes(&separate) == bytes(&fused), "{role:?}");
    }
}

#[test]
fn fused_layout_is_decided_by_shape() {
    let straight = open(QWEN3_MOE, &fused()).unwrap();
    exercise(&straight);
    assert_eq!(straight.expert_storage(0), Some(ExpertStorage::Fused));
    assert_eq!(values(&straight, Role::ExpertUp)[..2], [24.0, 25.0]);
    let mut turned = fused();
    turned[12].1 = vec![2, 8, 6];
    turned[13].1 = vec![2, 3, 8];
    let turned = open(QWEN3_MOE, &turned).unwrap();
    exercise(&turned);
    assert_eq!(turned.expert_storage(0), Some(ExpertStorage::FusedTransposed));
    assert_eq!(values(&turned, Role::ExpertUp)[..2], [3.0, 9.0]);
    assert_eq!(values(&turned, Role::ExpertDown)[..3], [0.0, 8.0, 16.0]);
    let mut mixed = fused();
    mixed[13].1 = vec![2, 3, 8];
    refused(open(QWEN3_MOE, &mixed), &["down_proj", "[2, 3, 8]", "[2, 8, 3]"]);
}

#[test]
fn a_look_alike_side_is_settled_by_the_other_tensor() {
    // 2I = C: gate_up is [2, 8, 8] either way, down is [2, 8, 4] or [2, 4, 8].
    let config = QWEN3_MOE.replace("\"moe_intermediate_size\":3", "\"moe_intermediate_size\":4");
    let mut tensors = fused();
    tensors[12].1 = vec![2, 8, 8];
    for (down, storage) in [(vec![2, 8, 4], ExpertStorage::Fused), (vec![2, 4, 8], ExpertStorage::FusedTransposed)] {
        tensors[13].1 = down;
        assert_eq!(open(&config, &tensors).unwrap().expert_storage(0), Some(storage));
    }
}

#[test]
fn missing_extra_and_misshapen_tensors_are_named() {
    let mut tensors = fused();
    let norm = tensors.remove(2);
    refused(open(QWEN3_MOE, &tensors), &["model.norm.weight", "missing"]);
    tensors.push(norm);
    tensors.push(("model.layers.0.self_attn.rotary_emb.inv_freq", vec![4]));
    exercise(&open(QWEN3_MOE, &tensors).unwrap());
    tensors.push(("model.layers.0.mlp.shared_expert.up_proj.weight", vec![4]));
    refused(open(QWEN3_MOE, &tensors), &["shared_expert", "model.safetensors"]);
    let mut tensors = fused();
    tensors[4].1 = vec![8, 7];
    refused(open(QWEN3_MOE, &tensors), &["q_proj", "[8, 7]", "[8, 8]"]);
}

#[test]
fn a_separate_head_wins_over_the_tie_flag() {
    let tied = QWEN3_MOE.replacen('{', r#"{"tie_word_embeddings":true,"#, 1);
    let same = open(&tied, &fused()).unwrap();
    assert!(same.config().tie_embeddings && !same.has(Role::OutputHead, 0));
    let mut file = safetensors_file(&fused());
    let head = Checkpoint::from_parts(tied.clone().into_bytes().into(), vec![("f".into(), file.clone().into())]).unwrap();
    let offset = head.tensors().iter().find(|tensor| tensor.name == "lm_head.weight").unwrap().offset as usize;
    file[offset..offset + 4].copy_from_slice(&5f32.to_le_bytes());
    let other = open_bytes(&tied, file).unwrap();
    assert!(!other.config().tie_embeddings && other.has(Role::OutputHead, 0));
    refused(open(QWEN3_MOE, &fused()[1..]), &["lm_head.weight", "missing"]);
    exercise(&open(&tied, &fused()[1..]).unwrap());
}

#[test]
fn a_nan_is_named_with_its_place() {
    let mut file = safetensors_file(&fused());
    let offset = file.len() - 8;
    file[offset..offset + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut checkpoint = open_bytes(QWEN3_MOE, file).unwrap();
    let Err(ModelError::NonFinite { tensor, offset: found, .. }) = checkpoint.check_finite() else {
        panic!("the NaN went unnoticed");
    };
    assert!(tensor.starts_with("model.") && found == offset as u64);
    let load = |checkpoint: &Checkpoint| Model::load(checkpoint, Device::cpu(Precision::Exact), 16, |_, _| {});
    assert!(load(&checkpoint).err().expect("an error").to_string().contains(&tensor));
    checkpoint.trust();
    assert!(load(&checkpoint).is_ok());
}

#[test]
fn damaged_safetensors_are_refused_with_their_place() {
    let with = |header: &str, data: usize| {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.extend(vec![0; data]);
        open_bytes(QWEN3_MOE, file)
    };
    refused(open_bytes(QWEN3_MOE, vec![1, 2]), &["model.safetensors", "byte 0"]);
    refused(open_bytes(QWEN3_MOE, u64::MAX.to_le_bytes().to_vec()), &["byte 0", "header"]);
    refused(with("{", 0), &["byte", "JSON"]);
    refused(with(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4), &["`a`", "past the file's end"]);
    refused(with(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 12), &["8 bytes", "12 follow"]);
    refused(with(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12), &["`a`", "4 to 12"]);
    refused(with(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8), &["`a`", "[3]"]);
    refused(with(r#"{"a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]}}"#, 8), &["`a`", "I8", "BF16"]);
    refused(with(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 0), &["`a`", "shape"]);
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    refused(with(twice, 8), &["`a`", "twice"]);
    let near = u64::MAX - 3;
    refused(with(&format!(r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[{near},{}]}}}}"#, u64::MAX), 4), &["`a`"]);
}

fn gguf(writer: &GgufWriter) -> model::Result<Checkpoint> {
    Checkpoint::from_gguf(writer.bytes().into())
}

#[test]
fn a_small_gguf_opens_with_its_rows_in_order() {
    let mut writer = GgufWriter::llama();
    exercise(&gguf(&writer).unwrap());
    writer.version = 2;
    writer.tensor("rope_freqs.weight", &[4]);
    // Divisors 1 to 4 rather than 0 to 3.
    writer.find("rope_freqs.weight").4 = (1..5).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let checkpoint = gguf(&writer).unwrap();
    let config = checkpoint.config();
    assert!(config.tie_embeddings && config.vocab == 3 && config.eos == [2]);
    let rows: Vec<f32> = values(&checkpoint, Role::Q).iter().step_by(8).map(|first| first / 8.0).collect();
    assert_eq!(rows, [0., 2., 4., 6., 1., 3., 5., 7.]); // stored 2j + i comes back as i·D/2 + j
    assert_eq!(values(&checkpoint, Role::V)[8], 8.0);
    let (plain, _) = ModelConfig { rope_factors: None, ..config.clone() }.inv_freq();
    assert!(config.inv_freq().0.iter().zip(plain).zip(1..).all(|((scaled, plain), factor)| (scaled * factor as f64 - plain).abs() < 1e-12));
}

#[test]
fn damaged_gguf_files_are_refused_with_their_place() {
    type Damage = fn(&mut GgufWriter);
    let cases: &[(Damage, &[&str])] = &[
        (|w| w.version = 4, &["version 4", "2, 3"]),
        (|w| w.version = 3u32.swap_bytes(), &["big-endian"]),
        (|w| w.key("general.architecture", text("mamba")), &["mamba", "qwen3moe"]),
        (|w| w.key("split.count", u32_value(3)), &["3 parts", "merge"]),
        (|w| w.key("general.alignment", u32_value(24)), &["general.alignment", "24"]),
        (|w| w.key("llama.block_count", text("one")), &["llama.block_count", "a string"]),
        (|w| w.key("llama.expert_count", u32_value(8)), &["llama.expert_count", "8"]),
        (|w| w.key("llama.rope.scaling.type", text("longrope")), &["longrope", "yarn"]),
        (|w| w.key("llama.rope.dimension_count", u32_value(4)), &["rope.dimension_count"]),
        (|w| w.keys.retain(|(key, _)| key != "llama.context_length"), &["llama.context_length", "missing"]),
        (|w| w.keys.push(("general.architecture".into(), text("llama"))), &["general.architecture", "twice"]),
        (|w| w.key("x", vec![13, 0, 0, 0]), &["type 13"]),
        (|w| w.key("x", vec![7, 0, 0, 0, 2]), &["neither false"]),
        (|w| w.key("x", [vec![8, 0, 0, 0], u64::MAX.to_le_bytes().to_vec()].concat()), &["byte", "left can hold"]),
        (|w| w.key("x", [vec![9, 0, 0, 0], [vec![9, 0, 0, 0], 1u64.to_le_bytes().to_vec()].concat().repeat(9)].concat()), &["nested"]),
        (|w| w.key("tokenizer.ggml.token_type", texts(&["a"])), &["token_type"]),
        (|w| w.find("output_norm.weight").2 = 10, &["output_norm.weight", "type 10", "q2_k", "q6_k"]),
        (|w| w.find("output_norm.weight").2 = 8, &["output_norm.weight", "blocks of 32"]),
        (|w| w.find("output_norm.weight").3 += 4, &["output_norm.weight", "alignment 32"]),
        (|w| w.find("output_norm.weight").3 = 1 << 40, &["output_norm.weight", "past the file"]),
        (|w| w.find("output_norm.weight").3 = u64::MAX - 31, &["output_norm.weight", "past the file"]),
        (|w| w.find("output_norm.weight").1 = vec![1 << 62, 4], &["output_norm.weight", "shape"]),
        (|w| w.find("output_norm.weight").1 = vec![1; 5], &["output_norm.weight", "5 dimensions"]),
        (|w| w.find("output_norm.weight").3 = 0, &["overlaps"]),
        (|w| w.find("output_norm.weight").0 = "token_embd.weight".into(), &["token_embd.weight", "twice"]),
        (|w| w.find("output_norm.weight").1 = vec![4], &["output_norm.weight", "[4]", "[8]"]),
        (|w| drop(w.tensors.remove(1)), &["output_norm.weight", "missing"]),
        (|w| w.tensor("blk.1.attn_norm.weight", &[8]), &["blk.1.attn_norm.weight", "1 layers"]),
    ];
    for (damage, words) in cases {
        let mut writer = GgufWriter::llama();
        damage(&mut writer);
        refused(gguf(&writer), words);
    }
    let mut bytes = GgufWriter::llama().bytes();
    bytes.truncate(bytes.len() - 1);
    refused(Checkpoint::from_gguf(bytes.into()), &["blk.0.ffn_down.weight", "past the file"]);
    refused(Checkpoint::from_gguf(vec![].into()), &["byte 0"]);
    refused(Checkpoint::from_gguf(b"GGML....".to_vec().into()), &["GGUF"]);
}

#[test]
fn folders_without_a_checkpoint_say_what_is_missing() {
    refused(Checkpoint::open("/nonexistent/model"), &["/nonexistent/model"]);
    refused(Checkpoint::open(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &["config.json", ".gguf"]);
}

/// A folder with the small model: config.json and its weights in two shards and an index that names `second`.
fn sharded(second: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let tensors = fused();
    write("config.json", QWEN3_MOE.as_bytes());
    write("a.safetensors", &safetensors_file(&tensors[..5]));
    write("b.safetensors", &safetensors_file(&tensors[5..]));
    let place = |(at, (name, _)): (usize, &(&str, Vec<usize>))| format!("{name:?}:{:?}", if at < 5 { "a.safetensors" } else { second });
    let places: Vec<String> = tensors.iter().enumerate().map(place).collect();
    write("model.safetensors.index.json", format!("{{\"weight_map\":{{{}}}}}", places.join(",")).as_bytes());
    folder
}

#[test]
fn shards_open_together_and_stay_in_their_folder() {
    let folder = sharded("b.safetensors");
    std::fs::write(folder.path().join("generation_config.json"), r#"{"eos_token_id":[3,4,3]}"#).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    exercise(&checkpoint);
    assert_eq!(checkpoint.config().eos, [3, 4]);
    refused(Checkpoint::open(sharded("missing.safetensors").path()), &["missing.safetensors"]);
    for outside in ["../b.safetensors", "/etc/passwd", "..", "x\\b", ""] {
        refused(Checkpoint::open(sharded(outside).path()), &["weight_map", "a file name is needed"]);
    }
    let folder = sharded("b.safetensors");
    std::fs::write(folder.path().join("generation_config.json"), "{\n\"eos_token_id\": oops}").unwrap();
    refused(Checkpoint::open(folder.path()), &["generation_config.json", "byte 18"]);
    std::fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    refused(Checkpoint::open(folder.path()), &["model.safetensors", "index"]);
    refused(Checkpoint::open(folder.path().join("a.safetensors")), &["config.json"]);
    std::fs::write(folder.path().join("empty.gguf"), b"").unwrap();
    refused(Checkpoint::open(folder.path().join("empty.gguf")), &["empty.gguf", "byte 0"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16384, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_gguf_panics(changes in mutations()) {
        let bytes = GgufWriter::llama().bytes();
        let header = bytes.len() - 1300;
        let bytes: Extent = mutate(bytes, &changes, header).into();
        let (entries, text) = (Gguf::entries("f", &bytes), Gguf::text_of("f", &bytes, "general.architecture"));
        if let Ok(checkpoint) = Checkpoint::from_gguf(bytes) {
            assert!(entries.unwrap().iter().any(|(key, _)| key == "general.architecture") && text.unwrap().is_some());
            exercise(&checkpoint);
        }
    }

    #[test]
    fn no_mutation_of_a_sparse_block_format_gguf_panics(changes in mutations()) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gguf_qwen3moe/model.gguf");
        static BYTES: std::sync::OnceLock<Option<Vec<u8>>> = std::sync::OnceLock::new();
        let bytes = BYTES.get_or_init(|| std::fs::read(file).ok()).clone();
        if let Some(Ok(checkpoint)) = bytes.map(|bytes| Checkpoint::from_gguf(mutate(bytes, &changes, 7750).into())) {
            exercise(&checkpoint);
        }
    }

    #[test]
    fn no_mutation_of_a_safetensors_panics(changes in mutations()) {
        let bytes = safetensors_file(&fused());
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        if let Ok(checkpoint) = open_bytes(QWEN3_MOE, mutate(bytes, &changes, header)) {
            exercise(&checkpoint);
        }
    }

    #[test]
    fn no_mutation_of_a_config_panics(changes in mutations(), digits in prop::sample::select(vec!["0", "-1", "1e308", "18446744073709551615", "0.5", "null", "[]", "{}"]), at in any::<prop::sample::Index>()) {
        let bytes = mutate(QWEN3_MOE.into(), &changes[1..], QWEN3_MOE.len());
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        let numbers: Vec<usize> = text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
        if !numbers.is_empty() {
            let at = numbers[at.index(numbers.len())];
            text.replace_range(at..at + 1, digits);
        }
        if let Ok(config) = ModelConfig::from_hf_json(text.as_bytes()) {
            let _ = (config.inv_freq(), config.parameters());
        }
    }
}

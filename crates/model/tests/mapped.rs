//! Experts stay in their files, stacked in a GGUF file or one by one or fused in safetensors: they take no memory of their own, are
//! read when a token is routed to them, and are searched for NaN before they are used.

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::{Device, Precision};
use model::weights::TensorSource;
use model::{Checkpoint, Engine, EngineSettings, Model, ModelConfig, ModelError, Request, Role, TensorData};
use safetensors::{Dtype, tensor::TensorView};
use support::{GgufWriter, f32_value, text, u32_value};

const HIDDEN: u64 = 256;
const INNER: u64 = 512;
const EXPERTS: u64 = 32;
const VOCAB: u64 = 16;
/// Bytes of one layer's gate, up or down.
const STACK: u64 = EXPERTS * INNER * HIDDEN * 4;

/// A Qwen3-MoE of one layer, 2 of 32 experts a token. The router is 0, all experts tie, so every token goes to experts 0 and 1.
/// `planted`: NaN in the last element of this expert's down.
fn file(planted: Option<u64>) -> (tempfile::TempDir, PathBuf) {
    let mut writer = GgufWriter { version: 3, keys: vec![], tensors: vec![], alignment: 32 };
    writer.key("general.architecture", text("qwen3moe"));
    for (key, value) in [
        ("embedding_length", HIDDEN as u32),
        ("block_count", 1),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 128),
        ("context_length", 512),
        ("expert_count", EXPERTS as u32),
        ("expert_used_count", 2),
        ("expert_feed_forward_length", INNER as u32),
    ] {
        writer.key(&format!("qwen3moe.{key}"), u32_value(value));
    }
    writer.key("qwen3moe.attention.layer_norm_rms_epsilon", f32_value(1e-6));
    writer.key("qwen3moe.rope.freq_base", f32_value(1e6));
    writer.key("tokenizer.ggml.model", text("none"));
    let mut end = 0;
    let mut contents = vec![];
    for (name, shape) in [
        ("output.weight", vec![VOCAB, HIDDEN]),
        ("output_norm.weight", vec![HIDDEN]),
        ("token_embd.weight", vec![VOCAB, HIDDEN]),
        ("blk.0.attn_norm.weight", vec![HIDDEN]),
        ("blk.0.attn_q.weight", vec![256, HIDDEN]),
        ("blk.0.attn_k.weight", vec![128, HIDDEN]),
        ("blk.0.attn_v.weight", vec![128, HIDDEN]),
        ("blk.0.attn_output.weight", vec![HIDDEN, 256]),
        ("blk.0.attn_q_norm.weight", vec![128]),
        ("blk.0.attn_k_norm.weight", vec![128]),
        ("blk.0.ffn_norm.weight", vec![HIDDEN]),
        ("blk.0.ffn_gate_inp.weight", vec![EXPERTS, HIDDEN]),
        ("blk.0.ffn_gate_exps.weight", vec![EXPERTS, INNER, HIDDEN]),
        ("blk.0.ffn_up_exps.weight", vec![EXPERTS, INNER, HIDDEN]),
        ("blk.0.ffn_down_exps.weight", vec![EXPERTS, HIDDEN, INNER]),
    ] {
        let count = shape.iter().product::<u64>() as usize;
        let value = |i: usize| if name.contains("gate_inp") { 0.0 } else { (i % 7) as f32 * 0.01 - 0.02 };
        let mut values: Vec<f32> = (0..count).map(value).collect();
        if let Some(expert) = planted.filter(|_| name.contains("down_exps")) {
            values[((expert + 1) * INNER * HIDDEN) as usize - 1] = f32::NAN;
        }
        writer.tensors.push((name.into(), shape.into_iter().rev().collect(), 0, end, vec![]));
        contents.push(values);
        end += (count * 4) as u64; // a multiple of the alignment
    }
    // The writer places only what lies near the beginning: it writes the header, this the rest.
    let mut far = GgufWriter { version: 3, keys: writer.keys.clone(), tensors: writer.tensors.clone(), alignment: 32 };
    far.tensors.iter_mut().for_each(|tensor| tensor.3 += 1 << 30);
    let start = far.bytes().len().next_multiple_of(32);
    let mut header = writer.bytes();
    header.resize(start, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("experts.gguf");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&header).unwrap();
    for values in contents {
        file.write_all(bytemuck::cast_slice(&values)).unwrap();
    }
    (folder, path)
}

/// How a folder's safetensors hold the experts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    PerExpert,
    Fused,
    Transposed,
}

/// The same model as a Hugging Face folder. `planted`: NaN in the last element of this tensor. With `routed`, tokens part ways.
fn hugging_face(layout: Layout, dtype: Dtype, planted: Option<&str>, routed: bool) -> tempfile::TempDir {
    let config = format!(
        r#"{{"model_type":"qwen3_moe","hidden_size":{HIDDEN},"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,
        "head_dim":128,"intermediate_size":{INNER},"moe_intermediate_size":{INNER},"num_experts":{EXPERTS},"num_experts_per_tok":2,
        "vocab_size":{VOCAB},"max_position_embeddings":512,"rms_norm_eps":1e-6,"rope_theta":1e6,"norm_topk_prob":true,
        "tie_word_embeddings":false,"eos_token_id":0}}"#
    );
    let [hidden, inner, experts, vocab] = [HIDDEN, INNER, EXPERTS, VOCAB].map(|side| side as usize);
    let layer = |name: &str| format!("model.layers.0.{name}");
    let mut shapes = vec![
        ("lm_head.weight".into(), vec![vocab, hidden]),
        ("model.norm.weight".into(), vec![hidden]),
        ("model.embed_tokens.weight".into(), vec![vocab, hidden]),
        (layer("input_layernorm.weight"), vec![hidden]),
        (layer("self_attn.q_proj.weight"), vec![256, hidden]),
        (layer("self_attn.k_proj.weight"), vec![128, hidden]),
        (layer("self_attn.v_proj.weight"), vec![128, hidden]),
        (layer("self_attn.o_proj.weight"), vec![hidden, 256]),
        (layer("self_attn.q_norm.weight"), vec![128]),
        (layer("self_attn.k_norm.weight"), vec![128]),
        (layer("post_attention_layernorm.weight"), vec![hidden]),
        (layer("mlp.gate.weight"), vec![experts, hidden]),
    ];
    match layout {
        Layout::PerExpert => {
            for expert in 0..experts {
                let name = |role: &str| layer(&format!("mlp.experts.{expert}.{role}_proj.weight"));
                shapes.push((name("gate"), vec![inner, hidden]));
                shapes.push((name("up"), vec![inner, hidden]));
                shapes.push((name("down"), vec![hidden, inner]));
            }
        }
        Layout::Fused => {
            shapes.push((layer("mlp.experts.gate_up_proj"), vec![experts, 2 * inner, hidden]));
            shapes.push((layer("mlp.experts.down_proj"), vec![experts, hidden, inner]));
        }
        Layout::Transposed => {
            shapes.push((layer("mlp.experts.gate_up_proj"), vec![experts, hidden, 2 * inner]));
            shapes.push((layer("mlp.experts.down_proj"), vec![experts, inner, hidden]));
        }
    }
    let contents: Vec<Vec<u8>> = shapes
        .iter()
        .enumerate()
        .map(|(number, (name, shape))| {
            let router = name.ends_with("mlp.gate.weight");
            let count = shape.iter().product::<usize>();
            let value = |i: usize| match (router, routed) {
                (true, false) => 0.0,
                (true, true) => ((i * 37 + i / 11) % 101) as f32 * 0.02 - 1.0,
                _ => ((i + number) % 7) as f32 * 0.01 - 0.02,
            };
            let bad = |i: usize| i + 1 == count && planted == Some(name.as_str());
            let values = (0..count).map(|i| if bad(i) { f32::NAN } else { value(i) });
            match dtype {
                Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
                _ => values.flat_map(|value| half::bf16::from_f32(value).to_le_bytes()).collect(),
            }
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let views = shapes.iter().zip(&contents);
    let views = views.map(|((name, shape), bytes)| (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(folder.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    folder
}

/// A checkpoint whose experts are copied into one piece and searched at once.
struct Copied<'a>(&'a Checkpoint);

impl TensorSource for Copied<'_> {
    fn config(&self) -> &ModelConfig {
        self.0.config()
    }
    fn tensor(&self, role: Role, layer: usize) -> Result<Option<TensorData>, ModelError> {
        self.0.finite_tensor(role, layer)
    }
    fn total_bytes(&self) -> u64 {
        self.0.total_bytes()
    }
    fn name_of(&self, role: Role, layer: usize) -> String {
        self.0.name_of(role, layer)
    }
    fn missing(&self, role: Role, layer: usize) -> ModelError {
        self.0.missing(role, layer)
    }
}

fn load(checkpoint: &impl TensorSource) -> Result<Arc<Model>, ModelError> {
    let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
    Model::load(checkpoint, device, 64, |_, _| {}).map(Arc::new)
}

fn generate(model: Arc<Model>) -> Result<Vec<u32>, ModelError> {
    let mut engine = Engine::new(model, EngineSettings { step_rows: 4, ..EngineSettings::single(64, KvDType::F32) })?;
    let request = Request { prompt: vec![1, 2, 3, 4], max_new_tokens: 4, sampling: data::Sampling::GREEDY, stop_ids: vec![] };
    Ok(pollster::block_on(engine.generate(request, |_| {}))?.ids)
}

/// Bytes this process has for itself, and of mapped files.
#[cfg(target_os = "linux")]
fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    };
    (field("RssAnon:"), field("RssFile:"))
}

/// What a process of its own gains by loading and by a reply: memory given back by earlier work would hide it in this one.
#[cfg(target_os = "linux")]
struct Gained {
    shared: u64,
    loading_mapped: u64,
    own: u64,
    mapped: u64,
}

#[cfg(target_os = "linux")]
fn gained(path: &std::path::Path, copied: bool) -> Gained {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "measure", "--ignored", "--nocapture"]).env("MEASURE", path).env("COPIED", copied.to_string());
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find_map(|line| line.split_once("gained ")).unwrap_or_else(|| panic!("{text}")).1;
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let [shared, loading_mapped, own, mapped] = numbers[..] else { panic!("{line}") };
    Gained { shared, loading_mapped, own, mapped }
}

#[test]
#[ignore = "started by the other tests of this file as a process to measure: cargo test -p longhand-model --test mapped"]
#[cfg(target_os = "linux")]
fn measure() {
    let Some(path) = std::env::var_os("MEASURE") else { return };
    let (own, mapped) = resident();
    let checkpoint = Checkpoint::open(path).unwrap();
    let copied = std::env::var("COPIED").is_ok_and(|copied| copied == "true");
    let model = if copied { load(&Copied(&checkpoint)) } else { load(&checkpoint) }.unwrap();
    let loading = resident().1;
    assert_eq!(generate(model.clone()).unwrap().len(), 4);
    let after = resident();
    let shared = checkpoint.shared_expert_bytes();
    let gained =
        [loading, after.0, after.1].into_iter().zip([mapped, own, mapped]).map(|(after, before)| after.saturating_sub(before).to_string());
    println!("gained {shared} {}", gained.collect::<Vec<_>>().join(" "));
}

#[test]
#[cfg(target_os = "linux")]
fn experts_take_no_memory_of_their_own_and_are_read_when_used() {
    let (_folder, gguf) = file(None);
    let folders = [Layout::PerExpert, Layout::Fused].map(|layout| hugging_face(layout, Dtype::F32, None, false));
    for path in [gguf.as_path(), folders[0].path(), folders[1].path()] {
        let Gained { shared, loading_mapped, own, mapped } = gained(path, false);
        println!("{}: loading mapped {loading_mapped}, then {mapped} mapped and {own} its own", path.display());
        assert_eq!(shared, 3 * STACK);
        // Pages that are mapped around a touched one are far fewer than a stack.
        assert!(loading_mapped < STACK, "loading read the experts: {loading_mapped} bytes");
        assert!(own < STACK / 2, "{own} bytes of memory for 3 stacks of {STACK}");
        assert!(mapped < 2 * STACK, "{mapped} bytes were read for 2 of {EXPERTS} experts");
    }
    // The measure sees copies.
    let copied = gained(folders[0].path(), true);
    assert!(copied.own > 3 * STACK - STACK / 2 && copied.mapped > 2 * STACK, "{} {}", copied.own, copied.mapped);
    let transposed = hugging_face(Layout::Transposed, Dtype::F32, None, false);
    let transposed = gained(transposed.path(), false);
    assert!(transposed.shared == 0 && transposed.own > 3 * STACK - STACK / 2, "{} {}", transposed.shared, transposed.own);
}

#[test]
fn a_nan_in_an_expert_is_named_before_the_expert_is_used() {
    let (_folder, path) = file(Some(1));
    let mut checkpoint = Checkpoint::open(&path).unwrap();
    let element = 2 * INNER * HIDDEN - 1;
    let down = checkpoint.tensors().iter().find(|tensor| tensor.name == "blk.0.ffn_down_exps.weight").unwrap();
    let offset = down.offset + 4 * element;
    let model = load(&checkpoint).unwrap();
    for _ in 0..2 {
        let error = generate(model.clone()).unwrap_err().to_string();
        for part in ["experts.gguf", "blk.0.ffn_down_exps.weight", &format!("element {element} "), &format!("byte {offset})")] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
    // Unsearched, it is still found: when it has made the logits NaN.
    checkpoint.trust();
    let error = generate(load(&checkpoint).unwrap()).unwrap_err().to_string();
    assert!(error.contains("NaN") && !error.contains("ffn_down_exps"), "{error}");

    // What no token uses is nobody's trouble, and the search of the whole file finds it all the same.
    let (_folder, path) = file(Some(5));
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(generate(load(&checkpoint).unwrap()).unwrap().len(), 4);
    assert!(checkpoint.check_finite().unwrap_err().to_string().contains("blk.0.ffn_down_exps.weight"));
}

#[test]
fn experts_in_their_files_give_the_bits_of_copied_ones() {
    let ids: Vec<u32> = (0..40).map(|i| i * 7 % VOCAB as u32).collect();
    for (layout, dtype) in [(Layout::PerExpert, Dtype::BF16), (Layout::Fused, Dtype::BF16), (Layout::PerExpert, Dtype::F32)] {
        let folder = hugging_face(layout, dtype, None, true);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        for precision in [Precision::Exact, Precision::Fast] {
            // One row at a time as in decoding, and many.
            for step_rows in [1, 40] {
                let logits = |source: &dyn Fn(Device) -> Arc<Model>| {
                    let model = source(Device::Cpu(CpuDevice::with_threads(precision, 2)));
                    let score = pollster::block_on(model.score_tokens(&ids, 1.0, KvDType::F32, step_rows, true)).unwrap();
                    score.logits.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
                };
                let shared = logits(&|device| Arc::new(Model::load(&checkpoint, device, 64, |_, _| {}).unwrap()));
                let copied = logits(&|device| Arc::new(Model::load(&Copied(&checkpoint), device, 64, |_, _| {}).unwrap()));
                assert!(shared == copied, "{layout:?} {dtype:?} {precision:?}, {step_rows} rows");
                assert!(shared.iter().any(|&bits| bits != shared[0]), "all logits are the same");
            }
        }
    }
}

#[test]
fn a_nan_in_a_safetensors_expert_is_named_before_the_expert_is_used() {
    let one = |expert: usize, role: &str| format!("model.layers.0.mlp.experts.{expert}.{role}_proj.weight");
    for dtype in [Dtype::F32, Dtype::BF16] {
        for name in [one(1, "down"), one(0, "gate"), one(1, "up")] {
            let folder = hugging_face(Layout::PerExpert, dtype, Some(&name), false);
            let checkpoint = Checkpoint::open(folder.path()).unwrap();
            is_named(&checkpoint, &name, INNER * HIDDEN - 1);
        }
    }
    // Nobody uses expert 5.
    let folder = hugging_face(Layout::PerExpert, Dtype::BF16, Some(&one(5, "up")), false);
    let mut checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(generate(load(&checkpoint).unwrap()).unwrap().len(), 4);
    assert!(checkpoint.check_finite().unwrap_err().to_string().contains(&one(5, "up")));
    assert!(load(&Copied(&checkpoint)).err().unwrap().to_string().contains(&one(5, "up")));
    checkpoint.trust();
    assert!(load(&Copied(&checkpoint)).is_ok() && load(&checkpoint).is_ok());
    // What is turned is read at once, and so searched at once.
    let name = "model.layers.0.mlp.experts.down_proj";
    let folder = hugging_face(Layout::Transposed, Dtype::BF16, Some(name), false);
    assert!(load(&Checkpoint::open(folder.path()).unwrap()).err().unwrap().to_string().contains(name));
    // Fused, the places within the tensor are counted through gate, up and experts.
    let folder = hugging_face(Layout::Fused, Dtype::F32, None, false);
    let path = folder.path().join("model.safetensors");
    let name = "model.layers.0.mlp.experts.gate_up_proj";
    let places = |element: u64| {
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let tensor = checkpoint.tensors().iter().find(|tensor| tensor.name == name).unwrap();
        tensor.offset + 4 * element
    };
    let sound = std::fs::read(&path).unwrap();
    // Row 3 of expert 1's gate, the first of its up, the last of its up; then one of expert 2, which nobody uses.
    let expert = 2 * INNER * HIDDEN;
    for element in [expert + 3 * HIDDEN, expert + INNER * HIDDEN, 2 * expert - 1, 2 * expert] {
        let (at, mut bytes) = (places(element) as usize, sound.clone());
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        // Another file: a mapped one must not be rewritten.
        let damaged = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join("config.json"), damaged.path().join("config.json")).unwrap();
        std::fs::write(damaged.path().join("model.safetensors"), bytes).unwrap();
        let checkpoint = Checkpoint::open(damaged.path()).unwrap();
        if element < 2 * expert {
            is_named(&checkpoint, name, element);
        } else {
            assert_eq!(generate(load(&checkpoint).unwrap()).unwrap().len(), 4);
        }
    }
}

/// Loading does not find it, the first use and every later one do.
fn is_named(checkpoint: &Checkpoint, name: &str, element: u64) {
    let tensor = checkpoint.tensors().iter().find(|tensor| tensor.name == name).unwrap();
    let offset = tensor.offset + element * tensor.dtype.block_bytes() as u64;
    let model = load(checkpoint).unwrap();
    for _ in 0..2 {
        let error = generate(model.clone()).unwrap_err().to_string();
        for part in ["model.safetensors", &format!("`{name}`"), &format!("element {element} "), &format!("byte {offset})")] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }
}

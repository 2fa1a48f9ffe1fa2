//! Experts of a GGUF file stay in the file: they take no memory of their own, are read when a token is routed to them, and are
//! searched for NaN before they are used.

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::{Device, Precision};
use model::{Checkpoint, Engine, EngineSettings, Model, ModelError, Request};
use support::{GgufWriter, f32_value, text, u32_value};

const HIDDEN: u64 = 256;
const INNER: u64 = 512;
const EXPERTS: u64 = 32;
const VOCAB: u64 = 16;
/// Bytes of one layer's gate, up or down.
const STACK: u64 = EXPERTS * INNER * HIDDEN * 4;

/// One test's memory must not be counted in the other's.
static ALONE: Mutex<()> = Mutex::new(());

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

fn load(checkpoint: &Checkpoint) -> Result<Arc<Model>, ModelError> {
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

#[test]
#[cfg(target_os = "linux")]
fn experts_take_no_memory_of_their_own_and_are_read_when_used() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_folder, path) = file(None);
    let (own, mapped) = resident();
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.shared_expert_bytes(), 3 * STACK);
    let model = load(&checkpoint).unwrap();
    // Pages that are mapped around a touched one are far fewer than a stack.
    assert!(resident().1 - mapped < STACK, "loading read the experts: {} bytes", resident().1 - mapped);
    assert_eq!(generate(model.clone()).unwrap().len(), 4);
    let (own, mapped) = (resident().0 - own, resident().1 - mapped);
    assert!(own < STACK / 2, "{own} bytes of memory for 3 stacks of {STACK}");
    assert!(mapped < 2 * STACK, "{mapped} bytes were read for 2 of {EXPERTS} experts");
}

#[test]
fn a_nan_in_an_expert_is_named_before_the_expert_is_used() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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

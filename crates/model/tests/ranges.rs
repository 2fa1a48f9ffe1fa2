//! Files that are not in memory: read in ranges, a little at a time, they are the checkpoints that they are when mapped. What cannot be read is an
//! error that names file and byte.

mod support;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::gpu::GpuOptions;
use kernels::{Device, Extent, Precision, ReadAt};
use model::gguf::Gguf;
use model::{Checkpoint, Engine, EngineSettings, Model, ModelError, Request};
use proptest::prelude::*;
use support::*;

/// What a file's reads do wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It ends at this byte, whatever it says of its size.
    Ends(u64),
    /// From this byte on every read gives what lies four bytes further.
    Shifted(u64),
    /// From this byte on the browser refuses.
    Refused(u64),
    /// Reads claim more bytes than there was room for.
    Claims,
}

/// A file that only gives ranges, few bytes at a time, and notes what is asked of it.
struct Ranged {
    bytes: Vec<u8>,
    /// Bytes of a read at most.
    most: usize,
    fault: Fault,
    /// The most that was asked for at once, and all that was read.
    greatest: AtomicUsize,
    read: AtomicU64,
    interrupted: AtomicBool,
}

impl Ranged {
    fn new(bytes: Vec<u8>, most: usize, fault: Fault) -> Arc<Self> {
        let (greatest, read, interrupted) = Default::default();
        Arc::new(Self { bytes, most, fault, greatest, read, interrupted })
    }
}

impl ReadAt for Ranged {
    fn name(&self) -> &str {
        "ranged.bin"
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        self.greatest.fetch_max(out.len(), Ordering::Relaxed);
        // A system may break a read off; the first one is.
        if !self.interrupted.swap(true, Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let (mut from, mut end) = (at, self.size());
        match self.fault {
            Fault::Ends(byte) => end = end.min(byte),
            Fault::Shifted(byte) if at >= byte => from += 4,
            Fault::Refused(byte) if at + out.len() as u64 > byte => return Err(io::Error::other("the disk is gone")),
            Fault::Claims => return Ok(out.len() + 1),
            _ => {}
        }
        let count = out.len().min(self.most).min(end.saturating_sub(from) as usize);
        let from = (from as usize).min(self.bytes.len());
        out[..count].copy_from_slice(&self.bytes[from..][..count]);
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn golden(case: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(case);
    if case.starts_with("gguf") { folder.join("model.gguf") } else { folder }
}

/// A GGUF file, safetensors of dense models, of experts one by one, fused, and transposed, and in shards.
const CASES: [&str; 8] =
    ["gguf_llama", "gguf_qwen2", "gguf_qwen3moe", "qwen3", "qwen3_moe", "qwen3_moe_fused", "qwen3_moe_v4", "qwen3_moe_bf16"];

/// A golden checkpoint whose files of weights give ranges only; and those files.
fn ranged(case: &str, most: usize, fault: Fault) -> (model::Result<Checkpoint>, Vec<Arc<Ranged>>) {
    let path = golden(case);
    let file = |path: &Path| Ranged::new(std::fs::read(path).unwrap(), most, fault);
    if path.is_file() {
        let file = file(&path);
        return (Checkpoint::from_gguf(Extent::of_file(file.clone())), vec![file]);
    }
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
    let is_weights = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("model"));
    paths.retain(|path| is_weights(path) && path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    let files: Vec<_> = paths.iter().map(|path| file(path)).collect();
    let named = files.iter().map(|file| ("model.safetensors".to_string(), Extent::of_file(file.clone()))).collect();
    (Checkpoint::from_parts(std::fs::read(path.join("config.json")).unwrap().into(), named), files)
}

fn gpu() -> Option<Device> {
    match pollster::block_on(Device::gpu(&GpuOptions { precision: Precision::Exact, ..Default::default() })) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("REQUIRE_GPU").is_some() => panic!("REQUIRE_GPU is set: {error}"),
        Err(error) => {
            println!("not run: {error}");
            None
        }
    }
}

fn cpu() -> Option<Device> {
    Some(Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2)))
}

/// Ten greedy tokens, and the bits of a prompt's logits.
fn answers(checkpoint: &Checkpoint, device: Device) -> Result<(Vec<u32>, Vec<u32>), ModelError> {
    let model = Arc::new(Model::load(checkpoint, device, 64, |_, _| {})?);
    let prompt: Vec<u32> = (1..=12).map(|at| at * 7 % checkpoint.config().vocab as u32).collect();
    let score = pollster::block_on(model.score_tokens(&prompt, 1.0, KvDType::F32, 16, true))?;
    let mut engine = Engine::new(model, EngineSettings::single(64, KvDType::F32))?;
    let request = Request { prompt, max_new_tokens: 10, sampling: data::Sampling::GREEDY, stop_ids: vec![] };
    let ids = pollster::block_on(engine.generate(request, |_| {}))?.ids;
    Ok((ids, score.logits.into_iter().map(f32::to_bits).collect()))
}

/// A device, anew for each model; `None` where there is none.
type Opens = fn() -> Option<Device>;

fn same_as_mapped(device: Opens, cases: &[&str], reads: &[usize]) {
    for &case in cases {
        let Some(first) = device() else { return };
        let want = answers(&Checkpoint::open(golden(case)).unwrap(), first).unwrap();
        assert_eq!(want.0.len(), 10, "{case}");
        for &most in reads {
            let (checkpoint, files) = ranged(case, most, Fault::None);
            assert!(answers(&checkpoint.unwrap(), device().unwrap()).unwrap() == want, "{case}, {most} bytes a read");
            for file in &files {
                let (greatest, read) = (file.greatest.load(Ordering::Relaxed), file.read.load(Ordering::Relaxed));
                assert!(greatest <= Extent::PIECE, "{case}: {greatest} bytes at once");
                // Searched for NaN, and read for the device.
                assert!(read < 3 * file.size() + (2 << 20), "{case}: {read} bytes of {} were read", file.size());
            }
        }
        // Planted: reads that give other bytes than they were asked for show. What lies in the file's last third is weights.
        let (checkpoint, files) = ranged(case, usize::MAX, Fault::None);
        let place = files[0].size() * 2 / 3;
        drop(checkpoint);
        let (checkpoint, _) = ranged(case, usize::MAX, Fault::Shifted(place));
        let wrong = checkpoint.and_then(|checkpoint| answers(&checkpoint, device().unwrap()));
        assert!(wrong.is_err() || wrong.is_ok_and(|wrong| wrong.1 != want.1), "{case}: the comparison is blind");
    }
}

#[test]
fn ranges_give_the_tokens_of_a_mapped_file() {
    same_as_mapped(cpu, &CASES, &[usize::MAX, 999]);
}

#[test]
fn ranges_give_the_tokens_of_a_mapped_file_on_the_gpu() {
    same_as_mapped(gpu, &["gguf_llama", "qwen3", "qwen3_moe", "qwen3_moe_fused"], &[999]);
}

#[test]
fn what_cannot_be_read_is_named() {
    for case in ["gguf_llama", "qwen3", "qwen3_moe"] {
        let (checkpoint, files) = ranged(case, 999, Fault::None);
        let checkpoint = checkpoint.unwrap();
        let size = files[0].size();
        let last = checkpoint.tensors().iter().map(|tensor| tensor.offset).max().unwrap();
        for device in [cpu as Opens, gpu] {
            let Some(first) = device() else { continue };
            drop(first);
            for (fault, words) in [
                (Fault::Ends(size - 1), vec!["ranged.bin", "the file ends before", &format!("byte {}", size - 1)]),
                (Fault::Refused(size - 1), vec!["ranged.bin", "the disk is gone"]),
                (Fault::Refused(last), vec!["ranged.bin", "the disk is gone"]),
            ] {
                // It shows at the latest when the weights are loaded; a small file's header is read with all that follows.
                let (checkpoint, _) = ranged(case, 999, fault);
                let error = checkpoint.and_then(|checkpoint| answers(&checkpoint, device().unwrap())).err();
                let error = error.unwrap_or_else(|| panic!("{case}: {fault:?} was not noticed")).to_string();
                assert!(words.iter().all(|word| error.contains(*word)), "{case}, {fault:?}: {error}");
            }
        }
        // In the header.
        for (fault, word) in [(Fault::Ends(5), "byte 5 "), (Fault::Refused(0), "the disk is gone"), (Fault::Claims, "more bytes came")] {
            let error = ranged(case, 999, fault).0.err().unwrap_or_else(|| panic!("{case}: {fault:?} was not noticed")).to_string();
            assert!(error.contains("ranged.bin") && error.contains(word), "{case}, {fault:?}: {error}");
        }
        // A tensor that is asked for by itself.
        let (checkpoint, _) = ranged(case, 999, Fault::None);
        assert!(checkpoint.unwrap().check_finite().is_ok());
    }
}

/// A header of several windows: words straddle their borders.
#[test]
fn a_long_header_is_read_through_its_windows() {
    let words: Vec<String> = (0..150_000).map(|at| format!("word{}-{at}", "x".repeat(at % 13))).collect();
    let mut writer = GgufWriter::llama();
    writer.key("tokenizer.ggml.tokens", texts(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    writer.key("general.note", text(&"long ".repeat(300_000)));
    let mut bytes = writer.bytes();
    // The writer leaves out tensors that lie so far back.
    bytes.resize(bytes.len() + 4096, 0);
    assert!(bytes.len() > 4 << 20);
    let mapped = Gguf::parse("f", &bytes.clone().into()).unwrap();
    let file = Ranged::new(bytes.clone(), usize::MAX, Fault::None);
    let read = Gguf::parse("f", &Extent::of_file(file.clone())).unwrap();
    assert!(read.metadata == mapped.metadata && read.tensors.len() == mapped.tensors.len());
    let greatest = file.greatest.load(Ordering::Relaxed);
    assert!((1 << 20..=1_500_000).contains(&greatest), "{greatest}");
    let entries = |bytes: &Extent| {
        let entries = Gguf::entries("f", bytes).unwrap().into_iter();
        entries.map(|(key, value)| (key, value.as_slice().to_vec())).collect::<Vec<_>>()
    };
    assert!(entries(&Extent::of_file(file)) == entries(&bytes.clone().into()));
    // Planted: a window that is off by some bytes.
    let shifted = Ranged::new(bytes, usize::MAX, Fault::Shifted(1 << 20));
    assert!(Gguf::parse("f", &Extent::of_file(shifted)).is_err_and(|error| error.to_string().contains("at byte")));
}

/// As far as a checkpoint goes: what is wrong with it, or its first bytes.
fn outcome(checkpoint: model::Result<Checkpoint>) -> Result<(usize, Vec<u8>), String> {
    let checkpoint = checkpoint.map_err(|error| error.to_string())?;
    checkpoint.check_finite().map_err(|error| error.to_string())?;
    let tensor = checkpoint.tensor(model::Role::Q, 0).map_err(|error| error.to_string())?;
    let data = tensor.ok_or("no q")?;
    Ok((data.rows, data.bytes.as_slice().to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damaged files are the same, to the words of their errors, in memory and in ranges.
    #[test]
    fn damage_is_told_alike(changes in mutations(), which in 0..2usize) {
        static BYTES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
        let files = BYTES.get_or_init(|| [GgufWriter::llama().bytes(), safetensors_file(&dense())]);
        let header = [files[0].len() - 1300, 8 + u64::from_le_bytes(files[1][..8].try_into().unwrap()) as usize][which];
        let bytes = mutate(files[which].clone(), &changes, header);
        let open = |file: Extent| match which {
            0 => Checkpoint::from_gguf(file),
            _ => Checkpoint::from_parts(CONFIG.as_bytes().to_vec().into(), vec![("f".into(), file)]),
        };
        let read = outcome(open(Extent::of_file(Ranged::new(bytes.clone(), 97, Fault::None))));
        assert_eq!(read, outcome(open(bytes.into())));
    }
}

const CONFIG: &str = r#"{"model_type":"qwen3","hidden_size":8,"num_hidden_layers":1,"num_attention_heads":1,"num_key_value_heads":1,"head_dim":8,
    "intermediate_size":4,"vocab_size":5,"max_position_embeddings":64}"#;

fn dense() -> Vec<(&'static str, Vec<usize>)> {
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
        ("model.layers.0.mlp.gate_proj.weight", vec![4, 8]),
        ("model.layers.0.mlp.up_proj.weight", vec![4, 8]),
        ("model.layers.0.mlp.down_proj.weight", vec![8, 4]),
    ]
}

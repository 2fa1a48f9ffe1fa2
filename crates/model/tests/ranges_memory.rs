//! What loading a file takes that is not in memory: for a GPU some megabytes, whatever the file's size; for the CPU one copy of its weights. A process
//! of its own, since every allocation of it is counted.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kernels::cpu::CpuDevice;
use kernels::gpu::GpuOptions;
use kernels::{Device, Extent, Precision, ReadAt};
use model::weights::TensorSource;
use model::{Checkpoint, Model, ModelConfig, ModelError, Role, TensorData};
use support::{GgufWriter, f32_value, text, u32_value};

/// Counts what is allocated, and the most there was.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn gain(bytes: usize) {
    MOST.fetch_max(HELD.fetch_add(bytes, Ordering::Relaxed) + bytes, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        gain(layout.size());
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // As if both were there for a moment, which they may be.
        gain(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HIDDEN: u64 = 256;
const INNER: u64 = 512;
const VOCAB: u64 = 16;

/// A file of any size that takes no memory: its header, then 7 numbers over and over.
struct Made {
    header: Vec<u8>,
    size: u64,
    greatest: AtomicUsize,
    read: AtomicU64,
}

impl ReadAt for Made {
    fn name(&self) -> &str {
        "made.gguf"
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        self.greatest.fetch_max(out.len(), Ordering::Relaxed);
        self.read.fetch_add(out.len() as u64, Ordering::Relaxed);
        let numbers: Vec<u8> = (0..7).flat_map(|at| (at as f32 * 0.01 - 0.02).to_le_bytes()).collect();
        let header = self.header.get(at as usize..).unwrap_or(&[]);
        let own = header.len().min(out.len());
        out[..own].copy_from_slice(&header[..own]);
        let begin = (at + own as u64) as usize - self.header.len().min(at as usize + own);
        for (place, byte) in out[own..].iter_mut().enumerate() {
            *byte = numbers[(begin + place) % numbers.len()];
        }
        Ok(out.len())
    }
}

/// A Qwen3-MoE of one layer, in f32: its experts are nearly all of it.
fn made(experts: u64) -> Arc<Made> {
    let mut writer = GgufWriter { version: 3, keys: vec![], tensors: vec![], alignment: 32 };
    writer.key("general.architecture", text("qwen3moe"));
    for (key, value) in [
        ("embedding_length", HIDDEN as u32),
        ("block_count", 1),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 128),
        ("context_length", 512),
        ("expert_count", experts as u32),
        ("expert_used_count", 2),
        ("expert_feed_forward_length", INNER as u32),
    ] {
        writer.key(&format!("qwen3moe.{key}"), u32_value(value));
    }
    writer.key("qwen3moe.attention.layer_norm_rms_epsilon", f32_value(1e-6));
    writer.key("qwen3moe.rope.freq_base", f32_value(1e6));
    writer.key("tokenizer.ggml.model", text("none"));
    // The writer places what lies near the beginning; here it writes the header alone.
    let far = 1 << 30;
    let mut end = 0;
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
        ("blk.0.ffn_gate_inp.weight", vec![experts, HIDDEN]),
        ("blk.0.ffn_gate_exps.weight", vec![experts, INNER, HIDDEN]),
        ("blk.0.ffn_up_exps.weight", vec![experts, INNER, HIDDEN]),
        ("blk.0.ffn_down_exps.weight", vec![experts, HIDDEN, INNER]),
    ] {
        let bytes = 4 * shape.iter().product::<u64>();
        writer.tensors.push((name.into(), shape.into_iter().rev().collect(), 0, far + end, vec![]));
        end += bytes.next_multiple_of(32);
    }
    // The header is as long with offsets near as with offsets far.
    let start = writer.bytes().len().next_multiple_of(32);
    writer.tensors.iter_mut().for_each(|tensor| tensor.3 -= far);
    let mut header = writer.bytes();
    header.resize(start, 0);
    Arc::new(Made { header, size: start as u64 + end, greatest: AtomicUsize::new(0), read: AtomicU64::new(0) })
}

/// The most bytes that were allocated at a time above those before, and what was made.
fn most<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let made = work();
    (MOST.load(Ordering::Relaxed) - before, made)
}

/// As if there were nothing but whole tensors in memory.
struct Whole<'a>(&'a Checkpoint);

impl TensorSource for Whole<'_> {
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

const MB: usize = 1 << 20;

// One test, so that no other allocates meanwhile.
#[test]
fn a_gpu_takes_a_file_through_a_few_megabytes_and_the_cpu_keeps_it_once() {
    let open = |experts: u64| {
        let file = made(experts);
        (Checkpoint::from_gguf(Extent::of_file(file.clone())).unwrap(), file)
    };
    // Opening reads the header.
    let (opening, (checkpoint, file)) = most(|| open(64));
    assert!(opening < 4 * MB, "opening took {opening} bytes");
    assert!(file.read.load(Ordering::Relaxed) <= 2 << 20, "opening read tensors");
    let stack = (64 * INNER * HIDDEN * 4) as usize;
    assert!(file.size as usize > 3 * stack && stack == 32 * MB);

    let load = |checkpoint: &Checkpoint, device: Device| most(|| Model::load(checkpoint, device, 64, |_, _| {}).unwrap());
    let cpu = || Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
    let (once, _model) = load(&checkpoint, cpu());
    assert!(once >= 3 * stack && once < file.size as usize + 12 * MB, "{once} bytes for a file of {}", file.size);
    println!("the CPU: {:.1} MB for a file of {:.1} MB", once as f64 / 1e6, file.size as f64 / 1e6);
    drop(_model);

    let Some(first) = gpu() else { return };
    let (small, _) = load(&open(32).0, first);
    let (large, _) = load(&checkpoint, gpu().unwrap());
    println!("a GPU: {:.1} MB for half the file, {:.1} MB for all of it", small as f64 / 1e6, large as f64 / 1e6);
    // Natively twice 16 MB: rows as they are stored, and as the GPU reads them.
    assert!(large < 40 * MB && large.abs_diff(small) < MB, "{small} and {large} bytes");
    assert!(file.greatest.load(Ordering::Relaxed) <= Extent::PIECE);
    // Planted: tensors that come whole show.
    let (whole, _) = most(|| Model::load(&Whole(&checkpoint), gpu().unwrap(), 64, |_, _| {}).unwrap());
    assert!(whole > 60 * MB, "the measure is blind: {whole} bytes");
}

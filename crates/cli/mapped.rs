//! Models larger than the memory that is free: what happens is said before it happens, and can be measured.

use std::time::Instant;

use anyhow::Result;
use kernels::Device;
use model::{Checkpoint, Engine, Request};
use serde_json::json;

const GIB: f64 = (1u64 << 30) as f64;

/// What it means that `checkpoint` runs on the CPU with `free` bytes of memory; `None` if the weights fit.
///
/// Mapped pages are given back and read again as memory needs it, so such a model runs, at the speed of the disk. What is copied
/// because its layout must change (transposed experts) cannot be given back.
pub fn warning(checkpoint: &Checkpoint, free: u64) -> Option<String> {
    let weights = checkpoint.total_bytes();
    if weights <= free {
        return None;
    }
    let shared = checkpoint.shared_expert_bytes();
    let sizes = format!("weights {:.1} GiB, {:.1} GiB free", weights as f64 / GIB, free as f64 / GIB);
    Some(match &checkpoint.config().moe {
        Some(_) if weights - shared <= free => format!("{sizes}: experts are read from the file as they are needed; slower"),
        Some(_) if shared == 0 => {
            let others = "those of a GGUF file, or of safetensors that are not transposed, are not";
            format!("{sizes}: this layout's experts, stored transposed, are copied into memory, which will run out; {others}")
        }
        _ => format!("{sizes}: every token reads from the disk what does not fit; very slow. A smaller or more quantised model would fit"),
    })
}

/// Says so on stderr, once, before a model is loaded for the CPU.
pub fn say(checkpoint: &Checkpoint, device: &Device) {
    let free = model::source::free_memory().filter(|_| matches!(device, Device::Cpu(_)));
    if let Some(warning) = free.and_then(|free| warning(checkpoint, free)) {
        eprintln!("{warning}");
    }
}

/// The first use of a model just loaded, nothing warmed up: seconds to the first token, then the rate of `decode` more.
pub struct First {
    load_seconds: f64,
    prompt: usize,
    first_seconds: f64,
    decode: usize,
    rate: f64,
    ids: Vec<u32>,
    memory: Option<Memory>,
}

impl First {
    /// Decodes `decode` tokens after the first one of `prompt`, by argmax.
    pub fn measure(engine: &mut Engine, loading: Instant, prompt: Vec<u32>, decode: usize) -> Result<Self> {
        let (load_seconds, started, length) = (loading.elapsed().as_secs_f64(), Instant::now(), prompt.len());
        let mut first = None;
        let request = Request { prompt, max_new_tokens: decode + 1, sampling: data::Sampling::GREEDY, stop_ids: vec![] };
        let ids = pollster::block_on(engine.generate(request, |_| {
            first.get_or_insert_with(Instant::now);
        }))?
        .ids;
        let first = first.unwrap_or(started);
        let rate = decode as f64 / first.elapsed().as_secs_f64();
        Ok(Self { load_seconds, prompt: length, first_seconds: (first - started).as_secs_f64(), decode, rate, ids, memory: Memory::now() })
    }

    /// Prints it, with the memory this process has (Linux).
    pub fn print(&self, name: &str, device: &str, as_json: bool) {
        let Self { load_seconds, prompt, first_seconds, decode, rate, ids, memory } = self;
        if as_json {
            let memory = memory.as_ref().map(|m| json!({"peak": m.peak, "anonymous": m.anonymous, "mapped": m.mapped}));
            println!(
                "{}",
                json!({"model": name, "device": device, "load_seconds": load_seconds, "prompt_tokens": prompt, "first_token_seconds": first_seconds, "decode_tokens": decode, "decode": rate, "ids": ids, "memory": memory})
            );
            return;
        }
        println!("{name} on {device}, nothing warmed up");
        println!("load    {load_seconds:8.2} s");
        println!("first   {first_seconds:8.2} s to the first token ({prompt} prompt tokens)");
        println!("decode  {rate:8.2} tokens/s ({decode} tokens)");
        if let Some(m) = memory {
            let [peak, anonymous, mapped] = [m.peak, m.anonymous, m.mapped].map(|bytes| bytes as f64 / GIB);
            println!("memory  {peak:8.2} GiB at most; now {anonymous:.2} GiB its own, {mapped:.2} GiB of mapped files");
        }
    }
}

/// Resident memory in bytes, the engine still there.
struct Memory {
    peak: u64,
    anonymous: u64,
    mapped: u64,
}

impl Memory {
    /// As /proc says; `None` on other systems.
    fn now() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
        };
        Some(Self { peak: field("VmHWM:")?, anonymous: field("RssAnon:")?, mapped: field("RssFile:")? })
    }
}

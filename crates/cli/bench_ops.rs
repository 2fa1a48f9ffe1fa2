//! `longhand bench --ops`: every op alone, in GFLOP/s and GB/s, the latter also as a share of a plain copy on the same device.
//!
//! Bytes are what an op must read and write at least once: weights, inputs, outputs, cached keys and values.

use std::time::Instant;

use anyhow::{Result, ensure};
use kernels::attention::{self, Batch, KvCache, KvDType, KvShape, PAGE_TOKENS, Span};
use kernels::head::{self, HeadOutput};
use kernels::matmul::{self, Output};
use kernels::moe::{self, Routes, Rows};
use kernels::rope::{self, RopeTable};
use kernels::sample::{self, SampleOutput, SampleParams};
use kernels::{Bytes, DType, Device, Precision, Tensor, Weight, embedding, rms_norm, swiglu};
use serde_json::json;

use crate::args::MachineArgs;
use crate::{cubed, load};

/// Experts and experts per token of the MoE ops.
const EXPERTS: (usize, usize) = (16, 4);

/// Measures and prints.
pub fn run(machine: &MachineArgs, size: usize, rows: usize, runs: usize, json: bool) -> Result<()> {
    ensure!(size > 0 && size.is_multiple_of(256) && rows > 1, "--size must be a multiple of 256 and --rows at least 2");
    let device = load::device(machine, Precision::Fast)?;
    let mut bench = Bench { device: &device, runs, json, copy: None };
    if !json {
        println!("{}, hidden {size}, {rows} rows and 1", device.describe());
        cubed::say(&device, None);
        println!("{:28} {:>6} {:>10} {:>10} {:>10} {:>8}", "op", "rows", "ms", "GFLOP/s", "GB/s", "of copy");
    }
    bench.copy(size)?;
    bench.matmuls(size, rows)?;
    for rows in [rows, 1] {
        bench.small(size, rows)?;
        bench.attention(size, rows)?;
        bench.experts(size, rows)?;
        bench.output(size, rows)?;
    }
    Ok(())
}

struct Bench<'a> {
    device: &'a Device,
    runs: usize,
    json: bool,
    /// GB/s of the plain copy.
    copy: Option<f64>,
}

impl Bench<'_> {
    /// Times `op` (the median of several runs of many repetitions) and prints a line. `work` is (flops, bytes) of one call.
    fn time(&mut self, name: &str, rows: usize, work: (f64, f64), mut op: impl FnMut() -> Result<()>) -> Result<()> {
        let probe = self.device.zeros(&[1], DType::U32)?;
        // A read-back waits for everything recorded before it.
        let wait = || pollster::block_on(self.device.read_u32(&probe, 1)).map(drop);
        op()?;
        wait()?;
        let once = Instant::now();
        op()?;
        wait()?;
        // About a tenth of a second a run; on a GPU the repetitions share submissions, so that launching is not what is measured.
        let repetitions = (0.1 / once.elapsed().as_secs_f64().max(1e-6)).clamp(1.0, 1000.0) as usize;
        let mut seconds = Vec::new();
        for _ in 0..self.runs {
            let started = Instant::now();
            for _ in 0..repetitions {
                op()?;
            }
            wait()?;
            seconds.push(started.elapsed().as_secs_f64() / repetitions as f64);
        }
        seconds.sort_by(f64::total_cmp);
        let seconds = seconds[seconds.len() / 2];
        let (gflops, gbytes) = (work.0 / seconds / 1e9, work.1 / seconds / 1e9);
        let share = gbytes / *self.copy.get_or_insert(gbytes);
        if self.json {
            println!(
                "{}",
                json!({"op": name, "rows": rows, "ms": seconds * 1e3, "gflops": gflops, "gbytes_per_s": gbytes, "of_copy": share, "device": self.device.describe()})
            );
        } else {
            println!("{name:28} {rows:6} {:10.3} {gflops:10.2} {gbytes:10.2} {:7.0}%", seconds * 1e3, share * 100.0);
        }
        Ok(())
    }

    fn noise(&self, shape: &[usize]) -> Result<Tensor> {
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i * 7919 % 997) as f32 / 997.0 - 0.5).collect();
        Ok(self.device.f32_tensor(shape, &values)?)
    }

    fn weight(&self, dtype: DType, rows: usize, cols: usize, unit: usize) -> Result<Weight> {
        let bytes: Bytes = model::random::weight_bytes(dtype, rows * cols, 7).into();
        Ok(Weight::new(self.device, rows, cols, dtype, unit, bytes)?)
    }

    /// 64 MiB there, 64 MiB back; less for small sizes. The first measurement: all others are shares of it.
    fn copy(&mut self, size: usize) -> Result<()> {
        let words = (size * size * 16).min(1 << 24);
        let (from, mut to) = (self.noise(&[words])?, self.device.zeros(&[words], DType::F32)?);
        let device = self.device;
        self.time("copy", 1, (0.0, 8.0 * words as f64), || Ok(device.copy(&from, &mut to, words)?))
    }

    fn matmuls(&mut self, size: usize, rows: usize) -> Result<()> {
        let device = self.device;
        for dtype in DType::WEIGHTS {
            let Some(row_bytes) = dtype.row_bytes(size) else { continue };
            let w = self.weight(dtype, size, size, 1)?;
            for rows in [rows, 8, 1] {
                let (x, mut y) = (self.noise(&[rows, size])?, device.zeros(&[rows, size], DType::F32)?);
                let work = (2.0 * (rows * size * size) as f64, (size * row_bytes + 8 * rows * size) as f64);
                let by = cubed::gemm(device).filter(|gemm| gemm.passes(dtype, rows).is_none());
                let name = format!("matmul {}{}", dtype.name(), if by.is_some() { " (cubecl)" } else { "" });
                self.time(&name, rows, work, || Ok(matmul::forward(device, &x, &w, None, &mut y, rows, Output::Store)?))?;
            }
        }
        Ok(())
    }

    /// Norm, rotation, activation, embedding: bound by memory.
    fn small(&mut self, size: usize, rows: usize) -> Result<()> {
        let device = self.device;
        let elements = (rows * size) as f64;
        let (x, gain) = (self.noise(&[rows, size])?, self.noise(&[size])?);
        let mut y = self.noise(&[rows, size])?;
        self.time("rms_norm", rows, (4.0 * elements, 8.0 * elements), || {
            Ok(rms_norm::forward(device, &x, &gain, 1e-6, &mut y, rows, size)?)
        })?;
        let head_dim = head_dim(size);
        let frequencies: Vec<f64> = (0..head_dim / 2).map(|i| 1e6f64.powf(-2.0 * i as f64 / head_dim as f64)).collect();
        let table = RopeTable::new(device, rows, &frequencies, 1.0)?;
        let positions = device.u32_tensor(&[rows], &(0..rows as u32).collect::<Vec<_>>())?;
        self.time("rope", rows, (3.0 * elements, 8.0 * elements), || {
            Ok(rope::forward(device, &mut y, &table, &positions, rows, size / head_dim)?)
        })?;
        let mut gate = device.zeros(&[rows, size], DType::F32)?;
        self.time("swiglu", rows, (8.0 * elements, 12.0 * elements), || Ok(swiglu::forward(device, &mut gate, &x, rows)?))?;
        let words = self.weight(DType::Q8_0, 4 * size, size, 1)?;
        let ids = device.u32_tensor(&[rows], &(0..rows as u32).map(|i| i * 31 % (4 * size) as u32).collect::<Vec<_>>())?;
        self.time("embedding q8_0", rows, (elements, (4.0 + 34.0 / 32.0) * elements), || {
            Ok(embedding::forward(device, &ids, &words, &mut y, rows)?)
        })
    }

    /// Prefill from an empty cache, or one row after 4 · size positions.
    fn attention(&mut self, size: usize, rows: usize) -> Result<()> {
        let device = self.device;
        let head_dim = head_dim(size);
        let heads = size / head_dim;
        let kv_heads = if heads.is_multiple_of(4) { heads / 4 } else { heads };
        let past = if rows == 1 { 4 * size } else { 0 };
        let pages = (past + rows).div_ceil(PAGE_TOKENS);
        let shape = KvShape { layers: 1, kv_heads, head_dim, pages, dtype: KvDType::F16 };
        let mut cache = KvCache::new(device, shape)?;
        let batch = Batch::new(device, vec![Span { row: 0, rows, past, pages: (0..pages as u32).collect() }], pages)?;
        let (q, kv) = (self.noise(&[rows, size])?, self.noise(&[rows, kv_heads * head_dim])?);
        let stored = (rows * kv_heads * head_dim) as f64;
        self.time("kv append f16", rows, (0.0, 12.0 * stored), || Ok(attention::append(device, &kv, &kv, &mut cache, 0, &batch)?))?;
        let mut out = device.zeros(&[rows, size], DType::F32)?;
        // Each query meets the keys at or before it: q·k and p·v, two flops each.
        let pairs: f64 = (0..rows).map(|row| (past + row + 1) as f64).sum();
        let bytes = 8.0 * (rows * size) as f64 + ((past + rows) * shape.dtype.bytes_per_position(kv_heads, head_dim)) as f64;
        let name = if past == 0 { "attention".to_string() } else { format!("attention after {past}") };
        self.time(&name, rows, (4.0 * pairs * size as f64, bytes), || Ok(attention::forward(device, &q, &cache, 0, &batch, 0.1, &mut out)?))
    }

    fn experts(&mut self, size: usize, rows: usize) -> Result<()> {
        let device = self.device;
        let (experts, top) = EXPERTS;
        let inner = size / 2;
        let logits = self.noise(&[rows, experts])?;
        let mut routes = Routes::new(device, rows, experts, top)?;
        self.time("moe route", rows, (5.0 * (rows * experts) as f64, 4.0 * (rows * (experts + 2 * top)) as f64), || {
            Ok(moe::route(device, &logits, true, &mut routes, rows)?)
        })?;
        self.time("moe sort", rows, (0.0, 16.0 * (rows * top) as f64), || Ok(moe::sort(device, &mut routes, rows)?))?;
        let touched = experts.min(rows * top);
        let w = self.weight(DType::Q4_K, experts * inner, size, inner)?;
        let (x, mut y) = (self.noise(&[rows, size])?, device.zeros(&[rows * top, inner], DType::F32)?);
        let weights = touched * inner * DType::Q4_K.row_bytes(size).unwrap_or(0);
        let work = (2.0 * (rows * top * inner * size) as f64, (weights + 4 * rows * (size + top * inner)) as f64);
        self.time("moe matmul q4_k", rows, work, || Ok(moe::grouped_matmul(device, &x, Rows::Tokens, &w, &routes, &mut y, rows)?))?;
        let (h, mut y) = (self.noise(&[rows * top, size])?, device.zeros(&[rows, size], DType::F32)?);
        let work = (2.0 * (rows * top * size) as f64, 4.0 * (rows * (top + 2) * size) as f64);
        self.time("moe combine", rows, work, || Ok(moe::combine(device, &h, &routes, &mut y, rows)?))
    }

    /// The fused head over a vocabulary of 16 · size, and the sampler over as many logits.
    fn output(&mut self, size: usize, rows: usize) -> Result<()> {
        let device = self.device;
        let vocab = 16 * size;
        let w = self.weight(DType::Q8_0, vocab, size, 1)?;
        let (x, targets) = (self.noise(&[rows, size])?, device.u32_tensor(&[rows], &vec![7; rows])?);
        let mut out = HeadOutput::new(device, rows)?;
        let work = ((2 * rows * vocab * size) as f64, (vocab * size / 32 * 34 + 4 * rows * size) as f64);
        self.time("head q8_0", rows, work, || Ok(head::forward(device, &x, &w, &targets, 1.0, None, &mut out, rows)?))?;
        let batch = rows.min(8);
        let (logits, mut out) = (self.noise(&[batch, vocab])?, SampleOutput::new(device, batch)?);
        let params: Vec<SampleParams> =
            (0..batch as u64).map(|seed| SampleParams { temperature: 0.7, top_k: 0, top_p: 0.95, min_p: 0.0, seed, counter: 0 }).collect();
        let elements = (batch * vocab) as f64;
        self.time("sample top-p", batch, (3.0 * elements, 4.0 * elements), || Ok(sample::forward(device, &logits, &params, &mut out)?))
    }
}

/// 128 as in Qwen3 where the hidden size allows it.
fn head_dim(size: usize) -> usize {
    if size >= 1024 { 128 } else { 64 }
}

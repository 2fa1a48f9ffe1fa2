//! Times attention on the CPU: `cargo run --release -p longhand-kernels --example cpu_attention`.

use std::time::Instant;

use kernels::attention::{Batch, KvCache, KvDType, KvShape, PAGE_TOKENS, Span, append, forward};
use kernels::{DType, Device, Precision};

fn main() {
    let device = Device::cpu(Precision::Exact);
    println!("{}", device.describe());
    let (heads, kv_heads, head_dim) = (12, 2, 128);
    let numbers = |count: usize| (0..count).map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 300.0).collect::<Vec<f32>>();
    for dtype in [KvDType::F32, KvDType::F16, KvDType::Q8] {
        for (past, rows) in [(0usize, 512usize), (0, 2048), (4095, 1), (16383, 1)] {
            let end = past + rows;
            let pages = end.div_ceil(PAGE_TOKENS);
            let span = |row, rows, past| Span { row, rows, past, pages: (0..pages as u32).collect() };
            let mut cache = KvCache::new(&device, KvShape { layers: 1, kv_heads, head_dim, pages, dtype }).unwrap();
            let kv = device.f32_tensor(&[end, kv_heads * head_dim], &numbers(end * kv_heads * head_dim)).unwrap();
            let all = Batch::new(&device, vec![span(0, end, 0)], pages).unwrap();
            let start = Instant::now();
            append(&device, &kv, &kv, &mut cache, 0, &all).unwrap();
            let appended = start.elapsed();
            let batch = Batch::new(&device, vec![span(0, rows, past)], pages).unwrap();
            let q = device.f32_tensor(&[rows, heads * head_dim], &numbers(rows * heads * head_dim)).unwrap();
            let mut out = device.zeros(&[rows, heads * head_dim], DType::F32).unwrap();
            let best = (0..if rows > 1 { 5 } else { 40 })
                .map(|_| {
                    let start = Instant::now();
                    forward(&device, &q, &cache, 0, &batch, 0.088, &mut out).unwrap();
                    start.elapsed().as_secs_f64()
                })
                .fold(f64::INFINITY, f64::min);
            let pairs = (rows * past + rows * (rows + 1) / 2) as f64;
            let flops = 4.0 * pairs * (heads * head_dim) as f64;
            let bytes = (end * dtype.bytes_per_position(kv_heads, head_dim)) as f64;
            println!(
                "{dtype:?} past {past} rows {rows}: {:.3} ms, {:.1} GFLOP/s, cache read once {:.1} GB/s, append {:.3} ms",
                best * 1e3,
                flops / best / 1e9,
                bytes / best / 1e9,
                appended.as_secs_f64() * 1e3
            );
        }
    }
}

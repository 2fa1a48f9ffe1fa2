//! One expert layer of Qwen3-30B-A3B at its real size, two tokens, on the GPU under the 128 MiB binding limit and on the CPU:
//! hidden 2048, 128 experts of 768, top 8; gate and up in Q4_K (109 MiB each), down in bf16 (384 MiB, so several shards).

mod support;

use half::{bf16, f16};
use kernels::matmul::{self, Output};
use kernels::moe::{self, Routes, Rows};
use kernels::{Bytes, DType, Device, Precision, Weight, swiglu};
use support::{device, difference, next, random};

const HIDDEN: usize = 2048;
const EXPERTS: usize = 128;
const TOP_K: usize = 8;
const INNER: usize = 768;
const TOKENS: usize = 2;

/// Random blocks of Q4_K whose weights are of the size of a trained layer's.
fn q4_k(seed: u64, weights: usize) -> Vec<u8> {
    let mut state = seed;
    let (d, min) = (f16::from_f32(2e-4).to_le_bytes(), f16::from_f32(1.5e-3).to_le_bytes());
    let mut bytes = Vec::with_capacity(weights / 256 * 144);
    for _ in 0..weights / 256 {
        bytes.extend(d);
        bytes.extend(min);
        // Any bytes are valid scales and quants.
        bytes.extend((0..18).flat_map(|_| next(&mut state).to_le_bytes()).take(140));
    }
    bytes
}

struct Layer {
    router: Bytes,
    gate: Bytes,
    up: Bytes,
    down: Bytes,
}

/// Expert ids and y of the layer for `x`.
fn run(device: &Device, layer: &Layer, x: &[f32]) -> (Vec<u32>, Vec<f32>) {
    let weight = |rows, cols, dtype, unit, bytes: &Bytes| Weight::new(device, rows, cols, dtype, unit, bytes.clone()).unwrap();
    let router = weight(EXPERTS, HIDDEN, DType::F32, 1, &layer.router);
    let gate = weight(EXPERTS * INNER, HIDDEN, DType::Q4_K, INNER, &layer.gate);
    let up = weight(EXPERTS * INNER, HIDDEN, DType::Q4_K, INNER, &layer.up);
    let down = weight(EXPERTS * HIDDEN, INNER, DType::BF16, HIDDEN, &layer.down);
    let start = std::time::Instant::now();
    let zeros = |rows, width| device.zeros(&[rows, width], DType::F32).unwrap();
    let x = device.f32_tensor(&[TOKENS, HIDDEN], x).unwrap();
    let (mut logits, mut y) = (zeros(TOKENS, EXPERTS), zeros(TOKENS, HIDDEN));
    let (mut g, mut u, mut h) = (zeros(TOKENS * TOP_K, INNER), zeros(TOKENS * TOP_K, INNER), zeros(TOKENS * TOP_K, HIDDEN));
    let mut routes = Routes::new(device, TOKENS, EXPERTS, TOP_K).unwrap();
    matmul::forward(device, &x, &router, None, &mut logits, TOKENS, Output::Store).unwrap();
    moe::route(device, &logits, true, &mut routes, TOKENS).unwrap();
    moe::sort(device, &mut routes, TOKENS).unwrap();
    moe::grouped_matmul(device, &x, Rows::Tokens, &gate, &routes, &mut g, TOKENS).unwrap();
    moe::grouped_matmul(device, &x, Rows::Tokens, &up, &routes, &mut u, TOKENS).unwrap();
    swiglu::forward(device, &mut g, &u, TOKENS * TOP_K).unwrap();
    moe::grouped_matmul(device, &g, Rows::Sorted, &down, &routes, &mut h, TOKENS).unwrap();
    moe::combine(device, &h, &routes, &mut y, TOKENS).unwrap();
    let y = pollster::block_on(device.read_f32(&y, TOKENS * HIDDEN)).unwrap();
    println!("{}: {:?}", device.describe(), start.elapsed());
    (pollster::block_on(device.read_u32(&routes.ids, TOKENS * TOP_K)).unwrap(), y)
}

#[test]
fn a_real_size_expert_layer_agrees_with_the_cpu() {
    let Some(gpu) = device(&kernels::gpu::GpuOptions { max_binding_bytes: Some(128 << 20), ..Default::default() }) else { return };
    let router = random(1, EXPERTS * HIDDEN).iter().flat_map(|w| (w * 0.05).to_le_bytes()).collect::<Vec<u8>>();
    let down = random(4, EXPERTS * HIDDEN * INNER).iter().flat_map(|w| bf16::from_f32(w * 0.04).to_le_bytes()).collect::<Vec<u8>>();
    let weights = EXPERTS * INNER * HIDDEN;
    let layer = Layer { router: router.into(), gate: q4_k(2, weights).into(), up: q4_k(3, weights).into(), down: down.into() };
    let x: Vec<f32> = random(5, TOKENS * HIDDEN);
    let (ids, got) = run(&gpu, &layer, &x);
    let (cpu_ids, want) = run(&Device::cpu(Precision::Exact), &layer, &x);
    assert_eq!(ids, cpu_ids);
    let largest = want.iter().fold(0f32, |a, b| a.max(b.abs()));
    let scaled = |values: &[f32]| values.iter().map(|value| value / largest).collect::<Vec<_>>();
    let wanted: Vec<f64> = scaled(&want).iter().map(|&value| value.into()).collect();
    let worst = scaled(&got).iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    let equal = got.iter().zip(&want).filter(|(a, b)| a.to_bits() == b.to_bits()).count();
    println!("largest |y| {largest}, worst difference {worst:.1e} of it, {equal} of {} equal to the bit", got.len());
    assert!(largest > 1e-3, "the layer's output is nothing");
    assert_eq!(difference(&scaled(&got), &wanted, 2e-6), None);
}

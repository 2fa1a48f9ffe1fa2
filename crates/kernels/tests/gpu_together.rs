//! Ops that a GPU runs as one dispatch where their tensors lie together, against the ops they stand for.

mod support;

use kernels::attention::{self, Batch, KvCache, KvDType, KvShape, Span};
use kernels::gpu::GpuOptions;
use kernels::matmul::parts::{self, Norm, Part};
use kernels::moe::{self, Routes, Rows};
use kernels::rope::RopeTable;
use kernels::{DType, Device, Precision, Tensor, Weight, swiglu};
use pollster::block_on;
use support::{device, random, random_weight};

/// Formats of each kind: plain, a byte a weight, blocks of 32 and of 256. Every format has its own test against a reference.
const FORMATS: [DType; 5] = [DType::F32, DType::BF16, DType::Q8_0, DType::Q4_1, DType::Q6_K];

/// A device that tells which kernels ran.
fn fast() -> Option<Device> {
    device(&GpuOptions { precision: Precision::Fast, profile: true, ..Default::default() })
}

fn read(device: &Device, tensor: &Tensor) -> Vec<f32> {
    block_on(device.read_f32(tensor, tensor.len())).unwrap()
}

/// How far the values are from those wanted at most, beside the largest of those; infinite if one is no number.
fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0f32, |largest, want| largest.max(want.abs()));
    let off = |(got, want): (&f32, &f32)| if got.is_nan() || want.is_nan() { f32::INFINITY } else { (got - want).abs() / largest };
    got.iter().zip(want).map(off).fold(0.0, f32::max)
}

/// The kernels that ran since the last call.
fn ran(device: &Device) -> Vec<String> {
    let Device::Gpu(gpu) = device else { unreachable!() };
    block_on(gpu.take_profile()).unwrap().into_iter().map(|kernel| kernel.kernel).collect()
}

/// Tensors of `values`, of one buffer or of their own.
fn tensors<const N: usize>(device: &Device, together: bool, rows: usize, widths: [usize; N], values: &[Vec<f32>; N]) -> [Tensor; N] {
    let mut tensors = match together {
        true => device.zeros_together(rows, widths).unwrap(),
        false => widths.map(|width| device.zeros(&[rows, width], DType::F32).unwrap()),
    };
    tensors.iter_mut().zip(values).for_each(|(tensor, values)| tensor.write_f32(device, values).unwrap());
    tensors
}

/// q after the op, and what attends from it over the cache, which tells what the op wrote there.
fn prepared(device: &Device, together: bool, normed: bool, dtype: KvDType, [heads, kv_heads, dim]: [usize; 3], rows: usize) -> Vec<f32> {
    let shape = KvShape { layers: 2, kv_heads, head_dim: dim, pages: 5, dtype };
    let mut cache = KvCache::new(device, shape).unwrap();
    let frequencies: Vec<f64> = (0..dim / 2).map(|i| 100f64.powf(-2.0 * i as f64 / dim as f64)).collect();
    let table = RopeTable::new(device, 64, &frequencies, 1.0).unwrap();
    let gains = [1, 2].map(|seed| device.f32_tensor(&[dim], &random(seed, dim)).unwrap());
    let (mut told, mut past) = (Vec::new(), 0);
    for step in 0..2 {
        let widths = [heads, kv_heads, kv_heads].map(|heads| heads * dim);
        let values = [0, 1, 2].map(|part| random(10 * step + part, rows * widths[part as usize]));
        let [mut q, mut k, mut v] = tensors(device, together, rows, widths, &values);
        let batch = Batch::new(device, vec![Span { row: 0, rows, past, pages: vec![3, 1] }], shape.pages).unwrap();
        let norms = normed.then_some((&gains[0], &gains[1]));
        attention::prepare(device, [&mut q, &mut k, &mut v], norms, 1e-6, &table, &mut cache, 1, &batch).unwrap();
        let mut out = device.zeros(&[rows, widths[0]], DType::F32).unwrap();
        attention::forward(device, &q, &cache, 1, &batch, 0.3, &mut out).unwrap();
        told.extend(read(device, &q));
        told.extend(read(device, &out));
        past += rows;
    }
    told
}

#[test]
fn one_dispatch_prepares_attention_with_the_bits_of_five() {
    let Some(device) = fast() else { return };
    for (dtype, shape) in [
        (KvDType::F32, [2, 1, 8]),
        (KvDType::F32, [3, 3, 10]),
        (KvDType::F16, [4, 2, 64]),
        (KvDType::F16, [2, 1, 256]),
        (KvDType::Q8, [4, 2, 32]),
        (KvDType::Q8, [2, 2, 96]),
        (KvDType::Q8, [2, 1, 128]),
    ] {
        for (rows, normed) in [(1, true), (5, true), (3, false)] {
            let want = prepared(&device, false, normed, dtype, shape, rows);
            let apart = ran(&device);
            let got = prepared(&device, true, normed, dtype, shape, rows);
            let together = ran(&device);
            assert!(got.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits()), "{dtype:?} {shape:?} {rows} {normed}");
            assert!(got.iter().any(|value| *value != 0.0));
            let has = |ran: &[String], name: &str| ran.iter().any(|label| label.starts_with(name));
            assert!(has(&apart, "kv_append") && has(&apart, "rope_forward") && !has(&apart, "attention_prepare"), "{apart:?}");
            assert!(has(&together, "attention_prepare") && !has(&together, "kv_append") && !has(&together, "rope_forward"), "{together:?}");
        }
    }
    // What the comparison rests on: other norms and other positions are seen.
    let blind = prepared(&device, true, false, KvDType::F32, [2, 1, 8], 3);
    assert!(blind != prepared(&device, true, true, KvDType::F32, [2, 1, 8], 3));
}

/// Weights of neighbouring ranges, or each of its own.
fn weights<const N: usize>(device: &Device, together: bool, dtype: DType, rows: [usize; N], cols: usize) -> [Weight; N] {
    if together {
        device.weights_together(&rows.map(|rows| (rows, cols, dtype))).unwrap();
    }
    let mut seed = 40;
    rows.map(|rows| {
        seed += 1;
        let weight = |rows: usize| Weight::new(device, rows, cols, dtype, 1, random_weight(seed, dtype, rows, cols).into()).unwrap();
        let made = weight(rows);
        // Small weights share a buffer: something behind each keeps them apart.
        let behind = (!together).then(|| weight(8));
        drop(behind);
        made
    })
}

/// y of three projections of a norm.
fn projected(device: &Device, together: bool, dtype: DType, parts: [usize; 3], cols: usize, rows: usize, biased: bool) -> Vec<f32> {
    let w = weights(device, together, dtype, parts, cols);
    let x = device.f32_tensor(&[rows, cols], &random(1, rows * cols)).unwrap();
    let gain = device.f32_tensor(&[cols], &random(2, cols)).unwrap();
    let biases = parts.map(|width| device.f32_tensor(&[width], &random(width as u64, width)).unwrap());
    let mut normed = device.zeros(&[rows, cols], DType::F32).unwrap();
    // A row more than there is to do, which has to stay as it is.
    let guard = parts.map(|width| vec![7.5; (rows + 1) * width]);
    let mut y = tensors(device, together, rows + 1, parts, &guard);
    let all = w.iter().zip(&biases).zip(&mut y).map(|((w, bias), y)| Part { w, bias: biased.then_some(bias), y });
    parts::of_norm(device, &x, Norm { gain: &gain, eps: 1e-5 }, &mut normed, all.collect(), rows).unwrap();
    let mut told = Vec::new();
    for y in &y {
        let mut values = read(device, y);
        assert!(values.split_off(rows * y.width()).iter().all(|value| *value == 7.5), "wrote past the rows");
        told.extend(values);
    }
    told
}

#[test]
fn one_dispatch_projects_a_norm_as_four_do() {
    let Some(device) = fast() else { return };
    for dtype in FORMATS {
        let cols = if dtype.block_len() == 1 { 264 } else { 512 };
        for (rows, biased) in [(1, false), (3, true)] {
            let want = projected(&device, false, dtype, [64, 128, 192], cols, rows, biased);
            let apart = ran(&device);
            let got = projected(&device, true, dtype, [64, 128, 192], cols, rows, biased);
            let together = ran(&device);
            // The norm's bits are the same; a compiler may fuse the products of the two kernels otherwise.
            assert!(difference(&got, &want) <= 1e-6, "{} {rows} {biased}: {:e}", dtype.name(), difference(&got, &want));
            let has = |ran: &[String], name: &str| ran.iter().any(|label| label.starts_with(name));
            assert!(has(&apart, "rms_norm_forward") && has(&apart, "matvec_forward") && !has(&apart, "matvec_parts"), "{apart:?}");
            assert!(has(&together, "matvec_parts") && together.len() == 1, "{}: {together:?}", dtype.name());
        }
    }
    // A narrow norm is summed by fewer lanes; more rows than few, and another format among the parts, are ops of their own.
    let narrow = difference(
        &projected(&device, true, DType::F32, [64, 64, 64], 64, 2, false),
        &projected(&device, false, DType::F32, [64, 64, 64], 64, 2, false),
    );
    assert!(narrow <= 1e-6, "{narrow:e}");
    ran(&device);
    projected(&device, true, DType::F32, [64, 64, 64], 64, 9, false);
    assert!(ran(&device).iter().all(|label| !label.starts_with("matvec_parts")));
    let biased = projected(&device, true, DType::F32, [64, 64, 64], 64, 2, true);
    assert!(difference(&biased, &projected(&device, true, DType::F32, [64, 64, 64], 64, 2, false)) > 0.01, "blind");
}

/// silu(gate) · up of a norm.
fn gated(device: &Device, together: bool, dtype: DType, inner: usize, cols: usize, rows: usize) -> Vec<f32> {
    let [gate, up] = weights(device, together, dtype, [inner, inner], cols);
    let x = device.f32_tensor(&[rows, cols], &random(1, rows * cols)).unwrap();
    let gain = device.f32_tensor(&[cols], &random(2, cols)).unwrap();
    let mut normed = device.zeros(&[rows, cols], DType::F32).unwrap();
    let mut y = device.f32_tensor(&[rows + 1, inner], &vec![7.5; (rows + 1) * inner]).unwrap();
    let mut space = device.zeros(&[rows, inner], DType::F32).unwrap();
    parts::gated(device, &x, Norm { gain: &gain, eps: 1e-5 }, &mut normed, [&gate, &up], &mut y, &mut space, rows).unwrap();
    let mut values = read(device, &y);
    assert!(values.split_off(rows * inner).iter().all(|value| *value == 7.5), "wrote past the rows");
    values
}

#[test]
fn one_dispatch_gates_as_four_do() {
    let Some(device) = fast() else { return };
    for dtype in FORMATS {
        let cols = if dtype.block_len() == 1 { 264 } else { 512 };
        for rows in [1, 4] {
            ran(&device);
            let want = gated(&device, false, dtype, 192, cols, rows);
            let apart = ran(&device);
            assert!(apart.iter().any(|label| label.starts_with("swiglu")) && apart.len() >= 3, "{apart:?}");
            let got = gated(&device, true, dtype, 192, cols, rows);
            let together = ran(&device);
            assert!(difference(&got, &want) <= 2e-6, "{} {rows}: {:e}", dtype.name(), difference(&got, &want));
            assert!(together.len() == 1 && together[0].starts_with("matvec_parts_gated"), "{}: {together:?}", dtype.name());
        }
    }
    assert!(difference(&gated(&device, true, DType::F32, 64, 64, 1), &gated(&device, true, DType::Q8_0, 64, 64, 1)) > 0.01, "blind");
}

/// What the experts add to y, by the op for few tokens or by sort and grouped products.
fn experts(device: &Device, few: bool, together: bool, dtype: DType, [count, top_k, hidden, inner]: [usize; 4], rows: usize) -> Vec<f32> {
    let sizes = [(count * inner, hidden), (count * inner, hidden), (count * hidden, inner)];
    if together {
        device.weights_together(&[(sizes[0].0, hidden, dtype), (sizes[1].0, hidden, dtype)]).unwrap();
    }
    let weight = |(seed, unit): (u64, usize), (n, k): (usize, usize)| {
        Weight::new(device, n, k, dtype, unit, random_weight(seed, dtype, n, k).into()).unwrap()
    };
    let gate = weight((5, inner), sizes[0]);
    // Small weights share a buffer: something between the two keeps them apart.
    let between = (!together).then(|| weight((5, inner), sizes[0]));
    let [up, down] = [weight((6, inner), sizes[1]), weight((7, hidden), sizes[2])];
    drop(between);
    let x = device.f32_tensor(&[rows, hidden], &random(1, rows * hidden)).unwrap();
    let logits = device.f32_tensor(&[rows, count], &random(2, rows * count)).unwrap();
    let mut routes = Routes::new(device, rows, count, top_k).unwrap();
    moe::route(device, &logits, true, &mut routes, rows).unwrap();
    let space = |width: usize| device.zeros(&[rows * top_k, width], DType::F32).unwrap();
    let (mut h, mut other) = (space(inner), space(inner));
    let mut y = device.f32_tensor(&[rows, hidden], &random(3, rows * hidden)).unwrap();
    if few {
        let done = moe::few::experts(device, &x, [&gate, &up, &down], &routes, [&mut h, &mut other], &mut y, rows).unwrap();
        assert!(done);
        return read(device, &y);
    }
    let mut wide = space(hidden);
    moe::sort(device, &mut routes, rows).unwrap();
    moe::grouped_matmul(device, &x, Rows::Tokens, &gate, &routes, &mut h, rows).unwrap();
    moe::grouped_matmul(device, &x, Rows::Tokens, &up, &routes, &mut other, rows).unwrap();
    swiglu::forward(device, &mut h, &other, rows * top_k).unwrap();
    moe::grouped_matmul(device, &h, Rows::Sorted, &down, &routes, &mut wide, rows).unwrap();
    moe::combine(device, &wide, &routes, &mut y, rows).unwrap();
    read(device, &y)
}

#[test]
fn experts_of_few_tokens_are_not_sorted() {
    let Some(device) = fast() else { return };
    for dtype in FORMATS {
        let shape = if dtype.block_len() == 1 { [8, 3, 40, 26] } else { [4, 2, 256, 256] };
        for rows in [1, 5] {
            let want = experts(&device, false, false, dtype, shape, rows);
            for together in [false, true] {
                ran(&device);
                let got = experts(&device, true, together, dtype, shape, rows);
                let told = ran(&device);
                assert!(difference(&got, &want) <= 5e-6, "{} {rows} {together}: {:e}", dtype.name(), difference(&got, &want));
                assert!(told.iter().all(|label| !label.starts_with("moe_sort") && !label.starts_with("moe_matmul")), "{told:?}");
                assert_eq!(told.iter().any(|label| label.starts_with("swiglu")), !together, "{}: {told:?}", dtype.name());
            }
        }
    }
    // Experts in several shards, each a dispatch.
    let small = GpuOptions { precision: Precision::Fast, max_binding_bytes: Some(3 * 26 * 40 * 4), profile: true, ..Default::default() };
    let sharded = support::device(&small).unwrap();
    let got = experts(&sharded, true, true, DType::F32, [8, 3, 40, 26], 2);
    let want = experts(&device, false, false, DType::F32, [8, 3, 40, 26], 2);
    assert!(difference(&got, &want) <= 5e-6, "{:e}", difference(&got, &want));
    // Other experts are seen.
    assert!(difference(&experts(&device, true, true, DType::F32, [8, 2, 40, 26], 2), &want) > 0.001, "blind");
}

//! What lies between a gradient and the next weights: the optimizer's ops against f64, rounding into weights against `half`,
//! the GPU against both.

#[path = "cpu_ops/helpers.rs"]
#[allow(dead_code)]
mod helpers;
mod support;

use std::sync::Arc;

use helpers::{bits, devices};
use kernels::gpu::GpuOptions;
use kernels::matmul::Output;
use kernels::optimizer::{self, AdamW};
use kernels::{Bytes, DType, Device, Holder, KernelError, Precision, Tensor, Weight, matmul};
use pollster::block_on;
use support::{device, exact, next, random, random_weight};

const COUNTS: [usize; 9] = [1, 7, 63, 65, 257, 4096, 16_385, 33_000, 100_003];
const PLAIN: [DType; 3] = [DType::F32, DType::F16, DType::BF16];
/// What lies past the elements in use must stay.
const GUARD: f32 = -777.25;

/// `values`, then five guards.
fn guarded(device: &Device, values: &[f32]) -> Tensor {
    let all = [values, &[GUARD; 5]].concat();
    device.f32_tensor(&[all.len()], &all).unwrap()
}

/// The first elements; panics if a guard changed.
fn unguarded(device: &Device, tensor: &Tensor) -> Vec<f32> {
    let mut all = block_on(device.read_f32(tensor, tensor.len())).unwrap();
    let guards = all.split_off(all.len() - 5);
    assert_eq!(guards, [GUARD; 5], "written past the end");
    all
}

fn read(device: &Device, tensor: &Tensor) -> Vec<f32> {
    block_on(device.read_f32(tensor, tensor.len())).unwrap()
}

// --- elementwise ops and norms

fn scale_and_add_are_exact(device: &Device) {
    for count in COUNTS {
        let (x, y) = (random(1, count), random(2, count));
        let mut scaled = guarded(device, &x);
        optimizer::scale(device, &mut scaled, count, -0.37).unwrap();
        let want: Vec<f32> = x.iter().map(|x| x * -0.37).collect();
        assert_eq!(bits(&unguarded(device, &scaled)), bits(&want), "scale {count}");
        let mut filled = guarded(device, &vec![f32::NAN; count]);
        optimizer::fill(device, &mut filled, count, -0.37).unwrap();
        assert_eq!(unguarded(device, &filled), vec![-0.37; count], "fill {count}");
        let mut sum = guarded(device, &y);
        optimizer::add(device, &mut sum, &guarded(device, &x), count).unwrap();
        let want: Vec<f32> = x.iter().zip(&y).map(|(x, y)| y + x).collect();
        assert_eq!(bits(&unguarded(device, &sum)), bits(&want), "add {count}");
    }
}

#[test]
fn scale_and_add() {
    devices().iter().for_each(scale_and_add_are_exact);
}

fn sum_of(device: &Device, x: &[f32]) -> f32 {
    let mut out = device.f32_tensor(&[3], &[GUARD; 3]).unwrap();
    // NaN past `count`, so that reading there shows.
    let x = device.f32_tensor(&[x.len() + 4], &[x, &[f32::NAN; 4]].concat()).unwrap();
    optimizer::sum_squares(device, &x, x.len() - 4, &mut out, 1).unwrap();
    let out = read(device, &out);
    assert_eq!((out[0], out[2]), (GUARD, GUARD));
    out[1]
}

/// `tolerance` is relative.
fn sums_are_near(device: &Device, tolerance: f64) {
    let near = |got: f32, want: f64| (f64::from(got) - want).abs() <= tolerance * want;
    for count in COUNTS {
        let x = random(3, count);
        let want: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        let got = sum_of(device, &x);
        assert!(near(got, want), "{count}: {got} instead of {want}");
        // What a broken kernel would give.
        assert!(!near(got * 1.01, want) && !near(0.0, want) && !near(sum_of(device, &x[..count - 1]), want));
        for (value, place) in [(f32::NAN, 0), (f32::INFINITY, count / 2), (f32::NEG_INFINITY, count - 1)] {
            let mut x = x.clone();
            x[place] = value;
            let got = sum_of(device, &x);
            assert!(if value.is_nan() { got.is_nan() } else { got == f32::INFINITY }, "{value} at {place} of {count}: {got}");
        }
    }
    assert_eq!(sum_of(device, &[]), 0.0);
}

#[test]
fn sums_of_squares() {
    let all = devices();
    all.iter().for_each(|device| sums_are_near(device, 6e-8));
    let x = random(4, 100_003);
    let sums: Vec<u32> = all.iter().map(|device| sum_of(device, &x).to_bits()).collect();
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]), "{sums:?}");
}

fn clipped(device: &Device, sums: &[f32], max_norm: f32) -> [f32; 2] {
    let count = sums.len();
    let sums = device.f32_tensor(&[count + 1], &[sums, &[f32::NAN]].concat()).unwrap();
    let mut out = guarded(device, &[0.0; 2]);
    optimizer::clip(device, &sums, count, max_norm, &mut out).unwrap();
    unguarded(device, &out).try_into().unwrap()
}

fn clips_as_torch_does(device: &Device) {
    let many: Vec<f32> = random(5, 700).iter().map(|x| x * x).collect();
    let norm = many.iter().map(|&x| f64::from(x)).sum::<f64>().sqrt();
    for (max, want) in [(1.0, 1.0 / (norm + 1e-6)), (100.0, 1.0), (f32::INFINITY, 1.0), (0.0, 0.0)] {
        let [factor, got] = clipped(device, &many, max);
        assert!((f64::from(got) / norm - 1.0).abs() < 1e-6 && (f64::from(factor) - want).abs() < 1e-6, "{max}: {factor} {got}");
    }
    // 5e-7 of the factor is the 1e-6.
    let [factor, norm] = clipped(device, &[4e-12], 1e-6);
    assert!((norm - 2e-6).abs() < 1e-12 && (factor - 1.0 / 3.0).abs() < 1e-6, "{factor} {norm}");
    assert_eq!(clipped(device, &[], 1.0), [1.0, 0.0]);
    let [factor, norm] = clipped(device, &[1.0, f32::NAN], 1.0);
    assert!(factor.is_nan() && norm.is_nan());
    assert_eq!(clipped(device, &[1.0, f32::INFINITY], 1.0), [0.0, f32::INFINITY]);
    let [factor, norm] = clipped(device, &[1.0, f32::INFINITY], f32::INFINITY);
    assert!(factor.is_nan() && norm == f32::INFINITY);
    let mut out = device.zeros(&[2], DType::F32).unwrap();
    for bad in [-1.0, f32::NAN] {
        let sums = device.zeros(&[1], DType::F32).unwrap();
        assert!(matches!(optimizer::clip(device, &sums, 1, bad, &mut out), Err(KernelError::Value { .. })));
    }
}

#[test]
fn clip_factors() {
    devices().iter().for_each(clips_as_torch_does);
}

// --- AdamW

const HYPER: AdamW = AdamW { lr: 3e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, step: 1 };
const STEPS: u32 = 10;
const CLIP: f32 = 0.625;

/// How the reference may be wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    Beta2AsF32,
    NoBiasCorrection,
    EpsInsideRoot,
    CoupledDecay,
    NoDecay,
    NotClipped,
    NextStep,
    DecayAfter,
}

const FAULTS: [Fault; 8] = [
    Fault::Beta2AsF32,
    Fault::NoBiasCorrection,
    Fault::EpsInsideRoot,
    Fault::CoupledDecay,
    Fault::NoDecay,
    Fault::NotClipped,
    Fault::NextStep,
    Fault::DecayAfter,
];

/// Gradients of step `step`, of sizes from 1e-7 to 1e2 so that ε matters for some.
fn gradients(step: u32, count: usize) -> Vec<f32> {
    let values = random(100 + u64::from(step), count);
    values.iter().enumerate().map(|(i, g)| g * 10f32.powi(i as i32 % 10 - 7)).collect()
}

/// torch.optim.AdamW written from its documentation's algorithm in f64, Python's numbers: [master, m, v].
fn reference(master: &[f32], fault: Fault) -> [Vec<f64>; 3] {
    let (lr, beta1, beta2, eps, decay) = (3e-3, 0.9f64, if fault == Fault::Beta2AsF32 { f64::from(0.999f32) } else { 0.999 }, 1e-8, 0.1);
    let count = master.len();
    let mut out = [master.iter().map(|&w| f64::from(w)).collect(), vec![0.0; count], vec![0.0; count]];
    for step in 1..=STEPS {
        let grad = gradients(step, count);
        let time = f64::from(if fault == Fault::NextStep { step + 1 } else { step });
        for i in 0..count {
            let [w, m, v] = [out[0][i], out[1][i], out[2][i]];
            let clip = if fault == Fault::NotClipped { 1.0 } else { f64::from(CLIP) };
            let mut g = f64::from(grad[i]) * clip;
            if fault == Fault::CoupledDecay {
                g += decay * w;
            }
            let m = beta1 * m + (1.0 - beta1) * g;
            let v = beta2 * v + (1.0 - beta2) * g * g;
            let (mut mean, mut square) = (m / (1.0 - beta1.powf(time)), v / (1.0 - beta2.powf(time)));
            if fault == Fault::NoBiasCorrection {
                (mean, square) = (m, v);
            }
            let denominator = if fault == Fault::EpsInsideRoot { (square + eps).sqrt() } else { square.sqrt() + eps };
            let update = lr * mean / denominator;
            let shrink = 1.0 - lr * decay;
            let w = match fault {
                Fault::CoupledDecay | Fault::NoDecay => w - update,
                Fault::DecayAfter => (w - update) * shrink,
                _ => w * shrink - update,
            };
            (out[0][i], out[1][i], out[2][i]) = (w, m, v);
        }
    }
    out
}

fn ten_steps(device: &Device, master: &[f32]) -> [Vec<f32>; 3] {
    let count = master.len();
    let (mut w, mut m, mut v) = (guarded(device, master), guarded(device, &vec![0.0; count]), guarded(device, &vec![0.0; count]));
    let clip = device.f32_tensor(&[2], &[CLIP, 9.0]).unwrap();
    for step in 1..=STEPS {
        let grad = guarded(device, &gradients(step, count));
        optimizer::adamw(device, &AdamW { step, ..HYPER }, &clip, &grad, &mut w, &mut m, &mut v, count).unwrap();
    }
    [&w, &m, &v].map(|tensor| unguarded(device, tensor))
}

/// The first that is further from the reference than ten steps' roundings: relative to the largest of its history, which for a
/// weight is 1, for moments the largest gradient of its place.
fn far(got: &[Vec<f32>; 3], want: &[Vec<f64>; 3]) -> Option<String> {
    let count = got[0].len();
    for i in 0..count {
        let largest = (1..=STEPS).map(|step| f64::from(gradients(step, count)[i]).abs()).fold(0.0, f64::max) * f64::from(CLIP);
        let bounds = [1e-6, 1e-6 * largest, 1e-6 * want[2][i]];
        for (j, bound) in bounds.into_iter().enumerate() {
            let error = (f64::from(got[j][i]) - want[j][i]).abs();
            if !(error <= bound) {
                return Some(format!("{} of {i}: {} instead of {}", ["master", "m", "v"][j], got[j][i], want[j][i]));
            }
        }
    }
    None
}

fn adamw_is_torchs(device: &Device, counts: &[usize]) {
    for &count in counts {
        let master = random(6, count);
        let got = ten_steps(device, &master);
        assert_eq!(far(&got, &reference(&master, Fault::None)), None, "{count}");
        if count >= 63 {
            for fault in FAULTS {
                assert!(far(&got, &reference(&master, fault)).is_some(), "{fault:?} was not seen");
            }
        }
    }
}

#[test]
fn adamw() {
    let all = devices();
    adamw_is_torchs(&all[0], &[1, 7, 63, 65, 257]);
    let master = random(7, 40_001);
    let first = ten_steps(&all[0], &master).map(|values| bits(&values));
    for device in &all[1..] {
        assert_eq!(ten_steps(device, &master).map(|values| bits(&values)), first, "{}", device.describe());
    }
}

#[test]
fn adamw_with_a_gradient_that_is_not_finite_shows_it() {
    let device = Device::cpu(Precision::Exact);
    for bad in [f32::NAN, f32::INFINITY] {
        let clip = device.f32_tensor(&[2], &[1.0, 1.0]).unwrap();
        let grad = device.f32_tensor(&[2], &[bad, 1.0]).unwrap();
        let [mut w, mut m, mut v] = [(); 3].map(|()| device.zeros(&[2], DType::F32).unwrap());
        optimizer::adamw(&device, &HYPER, &clip, &grad, &mut w, &mut m, &mut v, 2).unwrap();
        let w = read(&device, &w);
        assert!(w[0].is_nan() && w[1].is_finite(), "{w:?}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let device = Device::cpu(Precision::Exact);
    let [mut w, mut m, mut v] = [(); 3].map(|()| device.zeros(&[4], DType::F32).unwrap());
    let (clip, grad) = (device.zeros(&[2], DType::F32).unwrap(), device.zeros(&[4], DType::F32).unwrap());
    let mut step = |hyper: AdamW, count: usize| optimizer::adamw(&device, &hyper, &clip, &grad, &mut w, &mut m, &mut v, count);
    let bad = [
        AdamW { step: 0, ..HYPER },
        AdamW { beta1: 1.0, ..HYPER },
        AdamW { beta2: -0.1, ..HYPER },
        AdamW { beta2: f32::NAN, ..HYPER },
        AdamW { lr: f32::INFINITY, ..HYPER },
        AdamW { eps: -1.0, ..HYPER },
        AdamW { weight_decay: f32::NAN, ..HYPER },
    ];
    for hyper in bad {
        assert!(matches!(step(hyper, 4), Err(KernelError::Value { .. })), "{hyper:?}");
    }
    assert!(matches!(step(HYPER, 5), Err(KernelError::Shape { .. })));
    step(AdamW { beta1: 0.0, beta2: 0.0, lr: 0.0, step: u32::MAX, ..HYPER }, 4).unwrap();
}

// --- weights

/// Every kind of number: around each rounding border of both halves, subnormals, infinities, NaNs with payloads, random bits.
fn numbers(count: usize) -> Vec<f32> {
    let mut values = vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::MAX, f32::MIN, 65504.0, 65519.99, 65520.0];
    values.extend(
        [0x7f80_0001u32, 0xff80_2000, 0x7fc1_2345, 0x7fff_ffff, 1, 0x8000_0001, 0x007f_ffff, 0x7f7f_ffff, 0x7f7f_8000].map(f32::from_bits),
    );
    // Ties of bf16, even and odd, and their neighbours.
    for upper in [0x3f80u32, 0x3f81, 0xc080, 0xc081, 0x0000, 0x0001, 0x0080, 0x007f, 0x7f7e, 0x7f7f, 0xff7f] {
        values.extend([0x7fff, 0x8000, 0x8001].map(|lower| f32::from_bits(upper << 16 | lower)));
    }
    // A half's last place, a quarter and a half of it, and their neighbours, from below its subnormals to above its largest.
    for exponent in -28..=16 {
        for steps in [0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 3.5, 1023.5, 1024.5, 2047.5] {
            let value = steps * 2f32.powi(exponent - 10);
            values.extend([value, -value, f32::from_bits(value.to_bits() - 1), f32::from_bits(value.to_bits() + 1)]);
        }
    }
    let mut state = 8;
    values.extend((values.len()..count).map(|_| f32::from_bits((next(&mut state) >> 32) as u32)));
    values.truncate(count);
    values
}

/// What `half` makes of a value on its way through `dtype`.
fn through(dtype: DType, value: f32) -> f32 {
    match dtype {
        DType::F16 => half::f16::from_f32(value).to_f32(),
        DType::BF16 => half::bf16::from_f32(value).to_f32(),
        _ => value,
    }
}

fn same(got: f32, want: f32) -> bool {
    if want.is_nan() { got.is_nan() } else { got.to_bits() == want.to_bits() }
}

fn unlike(got: &[f32], want: &[f32]) -> Option<String> {
    let at = (0..want.len()).find(|&i| !same(got[i], want[i]))?;
    Some(format!("[{at}] is {:e} ({:#x}), {:e} ({:#x}) is wanted", got[at], got[at].to_bits(), want[at], want[at].to_bits()))
}

fn stored_and_loaded(device: &Device, dtype: DType, rows: usize, cols: usize, values: &[f32]) -> Vec<f32> {
    let bytes = random_weight(9, dtype, rows, cols);
    let mut w = Weight::new(device, rows, cols, dtype, 1, bytes.into()).unwrap();
    let master = guarded_matrix(device, rows, cols, values);
    w.store(device, &master).unwrap();
    let mut out = guarded_matrix(device, rows, cols, &vec![0.5; rows * cols]);
    w.load(device, &mut out).unwrap();
    let mut all = read(device, &out);
    assert_eq!(all.split_off(rows * cols), vec![GUARD; cols], "written past the end");
    all
}

/// [rows + 1, cols], the last row guards.
fn guarded_matrix(device: &Device, rows: usize, cols: usize, values: &[f32]) -> Tensor {
    device.f32_tensor(&[rows + 1, cols], &[values, &vec![GUARD; cols]].concat()).unwrap()
}

fn rounds_as_half_does(device: &Device, shapes: &[(usize, usize)], flushes: bool) {
    for &(rows, cols) in shapes {
        let mut values = numbers(rows * cols);
        if flushes {
            // What is subnormal in f32 a shader may read as zero.
            values.iter_mut().filter(|value| value.is_subnormal()).for_each(|value| *value = 0.0);
        }
        for dtype in PLAIN {
            let want: Vec<f32> = values.iter().map(|&value| through(dtype, value)).collect();
            let got = stored_and_loaded(device, dtype, rows, cols, &values);
            assert_eq!(unlike(&got, &want), None, "{} [{rows}, {cols}] on {}", dtype.name(), device.describe());
        }
    }
}

#[test]
fn store_rounds_as_half_does() {
    for device in devices() {
        rounds_as_half_does(&device, &[(1, 1), (3, 7), (63, 65), (257, 1023)], false);
    }
}

#[test]
fn a_rounding_that_is_not_to_nearest_even_is_seen() {
    let values = numbers(20_000);
    for dtype in [DType::F16, DType::BF16] {
        let want: Vec<f32> = values.iter().map(|&value| through(dtype, value)).collect();
        let dropped = if dtype == DType::F16 { 13 } else { 16 };
        let cut = |value: &f32| through(dtype, f32::from_bits(value.to_bits() >> dropped << dropped));
        let up = |value: &f32| through(dtype, f32::from_bits(value.to_bits().saturating_add(1)));
        assert!(unlike(&values.iter().map(cut).collect::<Vec<_>>(), &want).is_some());
        assert!(unlike(&values.iter().map(up).collect::<Vec<_>>(), &want).is_some());
        assert!(unlike(&values, &want).is_some());
    }
}

fn loads_every_format(device: &Device) {
    let cpu = Device::cpu(Precision::Exact);
    for dtype in DType::WEIGHTS {
        let (rows, cols) = (6, if dtype.block_len() == 1 { 37 } else { 512 });
        let bytes = random_weight(10, dtype, rows, cols);
        let mut want = vec![0f32; rows * cols];
        kernels::cpu::dequant::dequantize(dtype, &bytes, &mut want).unwrap();
        let w = Weight::new(device, rows, cols, dtype, 3, bytes.clone().into()).unwrap();
        let mut out = guarded_matrix(device, rows, cols, &vec![0.0; rows * cols]);
        w.load(device, &mut out).unwrap();
        let mut got = read(device, &out);
        assert_eq!(got.split_off(rows * cols), vec![GUARD; cols]);
        assert_eq!(unlike(&got, &want), None, "{}", dtype.name());
        if dtype.block_len() > 1 {
            let master = device.zeros(&[rows, cols], DType::F32).unwrap();
            let mut w = w;
            let error = w.store(device, &master).unwrap_err();
            assert!(matches!(&error, KernelError::Value { message, .. } if message.contains(dtype.name())), "{error}");
        }
        let parts: Vec<Bytes> = bytes.chunks(bytes.len() / 2).map(|part| part.to_vec().into()).collect();
        let w = Weight::from_parts(&cpu, rows, cols, dtype, 3, parts).unwrap();
        let mut out = cpu.zeros(&[rows, cols], DType::F32).unwrap();
        w.load(&cpu, &mut out).unwrap();
        assert_eq!(unlike(&read(&cpu, &out), &want), None, "{} in parts", dtype.name());
    }
}

#[test]
fn load_gives_what_the_formats_define() {
    devices().iter().for_each(loads_every_format);
}

/// A file mapped for reading: writing to it would be a fault of the process.
struct Mapped(Vec<u8>);

impl Holder for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[test]
fn bytes_that_are_mapped_or_shared_stay_and_every_reader_sees_what_is_stored() {
    const ROWS: usize = 12;
    const COLS: usize = 20;
    for device in devices() {
        for dtype in PLAIN {
            let before = random_weight(11, dtype, ROWS, COLS);
            let mapped = Arc::new(Mapped(before.clone()));
            let shared = Bytes::from(before.clone());
            let size = before.len() / 4;
            let parts = |from: &Bytes| (0..4).map(|part| from.slice(part * size..(part + 1) * size).unwrap()).collect::<Vec<_>>();
            let new = |bytes: Bytes| Weight::new(&device, ROWS, COLS, dtype, 3, bytes).unwrap();
            let weights = [
                new(Bytes::new(mapped.clone())),
                new(shared.clone()),
                new(before.clone().into()),
                Weight::from_parts(&device, ROWS, COLS, dtype, 3, parts(&shared)).unwrap(),
            ];
            for mut w in weights {
                for seed in [12, 13] {
                    let values = random(seed, ROWS * COLS);
                    w.store(&device, &device.f32_tensor(&[ROWS, COLS], &values).unwrap()).unwrap();
                    let rounded: Vec<f32> = values.iter().map(|&value| through(dtype, value)).collect();
                    let bytes: Vec<u8> = rounded.iter().flat_map(|value| value.to_le_bytes()).collect();
                    let fresh = Weight::new(&device, ROWS, COLS, DType::F32, 3, bytes.into()).unwrap();
                    let x = device.f32_tensor(&[5, COLS], &random(14, 5 * COLS)).unwrap();
                    let product = |w: &Weight| {
                        let mut y = device.zeros(&[5, ROWS], DType::F32).unwrap();
                        matmul::forward(&device, &x, w, None, &mut y, 5, Output::Store).unwrap();
                        bits(&read(&device, &y))
                    };
                    assert_eq!(product(&w), product(&fresh));
                }
            }
            assert!(mapped.0 == before && shared.as_slice() == before, "bytes of others were written");
        }
    }
}

#[test]
fn load_looks_at_experts_and_store_ends_that() {
    let device = Device::cpu(Precision::Exact);
    let mut w = Weight::new(&device, 4, 2, DType::F32, 2, random_weight(15, DType::F32, 4, 2).into()).unwrap();
    w.inspect_on_use(Arc::new(|unit, _| (unit == 1).then(|| "planted".into()))).unwrap();
    let mut out = device.zeros(&[4, 2], DType::F32).unwrap();
    assert!(w.load(&device, &mut out).unwrap_err().to_string().contains("planted"));
    w.store(&device, &device.f32_tensor(&[4, 2], &random(16, 8)).unwrap()).unwrap();
    w.load(&device, &mut out).unwrap();
    assert_eq!(read(&device, &out), random(16, 8));
}

#[test]
fn masters_of_another_shape_are_refused() {
    let device = Device::cpu(Precision::Exact);
    let mut w = Weight::new(&device, 4, 6, DType::BF16, 2, random_weight(17, DType::BF16, 4, 6).into()).unwrap();
    for (shape, dtype) in [([3, 6], DType::F32), ([4, 5], DType::F32), ([4, 6], DType::U32)] {
        let mut tensor = device.zeros(&shape, dtype).unwrap();
        assert!(matches!(w.store(&device, &tensor), Err(KernelError::Shape { .. })));
        assert!(matches!(w.load(&device, &mut tensor), Err(KernelError::Shape { .. })));
    }
}

// --- the GPU

#[test]
fn gpu_scale_add_sums_and_clip() {
    let Some(gpu) = exact() else { return };
    scale_and_add_are_exact(&gpu);
    sums_are_near(&gpu, 1e-6);
    clips_as_torch_does(&gpu);
}

#[test]
fn gpu_adamw_is_torchs() {
    let Some(gpu) = exact() else { return };
    adamw_is_torchs(&gpu, &[1, 7, 63, 257]);
}

#[test]
fn gpu_store_rounds_as_half_does_in_every_shard() {
    for max_binding_bytes in [None, Some(4096)] {
        let Some(gpu) = device(&GpuOptions { max_binding_bytes, ..Default::default() }) else { return };
        rounds_as_half_does(&gpu, &[(1, 1), (3, 7), (63, 65), (100, 257)], true);
    }
}

#[test]
fn gpu_load_gives_what_the_formats_define() {
    for max_binding_bytes in [None, Some(8192)] {
        let Some(gpu) = device(&GpuOptions { max_binding_bytes, ..Default::default() }) else { return };
        loads_every_format(&gpu);
    }
}

#[test]
fn gpu_matmul_sees_what_is_stored() {
    let Some(gpu) = exact() else { return };
    for dtype in PLAIN {
        let mut w = Weight::new(&gpu, 9, 20, dtype, 1, random_weight(18, dtype, 9, 20).into()).unwrap();
        let x = gpu.f32_tensor(&[3, 20], &random(19, 60)).unwrap();
        let mut y = gpu.zeros(&[3, 9], DType::F32).unwrap();
        let values = random(20, 180);
        matmul::forward(&gpu, &x, &w, None, &mut y, 3, Output::Store).unwrap();
        w.store(&gpu, &gpu.f32_tensor(&[9, 20], &values).unwrap()).unwrap();
        matmul::forward(&gpu, &x, &w, None, &mut y, 3, Output::Store).unwrap();
        let want: Vec<f64> = (0..27)
            .map(|i| (0..20).map(|k| f64::from(random(19, 60)[i / 9 * 20 + k]) * f64::from(through(dtype, values[i % 9 * 20 + k]))).sum())
            .collect();
        support::expect_near(dtype.name(), &read(&gpu, &y), &want, 1e-5);
    }
}

// --- speed

/// GB/s of the CPU's ops that are bound by memory, beside a copy's.
#[test]
#[ignore = "a measurement, alone: cargo test --release -p longhand-kernels --test optimizer -- --ignored --nocapture"]
fn speed() {
    let device = Device::cpu(Precision::Exact);
    let (rows, cols) = (8192, 1024);
    let count = rows * cols;
    let [mut a, mut b, mut c, mut d] = [1, 2, 3, 4].map(|seed| device.f32_tensor(&[rows, cols], &random(seed, count)).unwrap());
    let clip = device.f32_tensor(&[2], &[1.0, 1.0]).unwrap();
    let report = |name: &str, bytes: usize, run: &mut dyn FnMut()| {
        run();
        let best = (0..5)
            .map(|_| {
                let start = std::time::Instant::now();
                run();
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        println!("{name:>12}: {:6.2} GB/s", (bytes * count) as f64 / best / 1e9);
    };
    println!("{}, {count} elements", device.describe());
    report("copy", 8, &mut || device.copy(&a, &mut b, count).unwrap());
    report("scale", 8, &mut || optimizer::scale(&device, &mut b, count, 1.0).unwrap());
    report("add", 12, &mut || optimizer::add(&device, &mut b, &a, count).unwrap());
    report("sum squares", 4, &mut || optimizer::sum_squares(&device, &a, count, &mut b, 0).unwrap());
    report("adamw", 28, &mut || optimizer::adamw(&device, &HYPER, &clip, &a, &mut b, &mut c, &mut d, count).unwrap());
    for (dtype, bytes) in [(DType::F32, 8), (DType::F16, 6), (DType::BF16, 6)] {
        let mut w = Weight::new(&device, rows, cols, dtype, 1, random_weight(5, dtype, rows, cols).into()).unwrap();
        report(&format!("store {}", dtype.name()), bytes, &mut || w.store(&device, &a).unwrap());
        report(&format!("load {}", dtype.name()), bytes, &mut || w.load(&device, &mut a).unwrap());
    }
}

//! cubecl's matrix products against f64, beside our own: `cargo test -p longhand-kernels --features cube --test cube`.
#![cfg(feature = "cube")]

#[path = "support/gradients.rs"]
mod gradients;
mod support;

use std::time::Instant;

use gradients::{GUARD, Truth, expect_faults_are_seen, guarded, off, rows_of};
use kernels::gpu::{GpuOptions, gemm};
use kernels::matmul::Output;
use kernels::{Bytes, DType, Device, KernelError, Precision, Weight, embedding, matmul, swiglu};
use pollster::block_on;
use support::{device, random, random_weight};

fn options() -> GpuOptions {
    GpuOptions { precision: Precision::Fast, cube: true, ..Default::default() }
}

fn fast(cube: bool) -> Option<Device> {
    device(&GpuOptions { cube, ..options() })
}

/// What a product is held to: one rounding for each product, each addition of its sum in whatever order, the bias and the old y.
fn roundings(k: usize) -> f64 {
    2.0 * k as f64 + 2.0
}

/// One product: operands, and the truth in f64.
struct Case {
    rows: usize,
    k: usize,
    x: Vec<f32>,
    bytes: Bytes,
    n: usize,
    dtype: DType,
    bias: Option<Vec<f32>>,
    output: Output,
    want: Vec<Truth>,
}

/// The old contents of y.
fn old(count: usize) -> Vec<f32> {
    random(77, count)
}

impl Case {
    fn new(dtype: DType, [rows, n, k]: [usize; 3], bias: bool, output: Output) -> Self {
        let bytes = Bytes::from(random_weight(5, dtype, n, k));
        let (x, bias) = (random(6, rows * k), bias.then(|| random(7, n)));
        let cpu = Device::cpu(Precision::Exact);
        let w = Weight::new(&cpu, n, k, dtype, 1, bytes.clone()).unwrap();
        let ids = cpu.u32_tensor(&[n], &(0..n as u32).collect::<Vec<_>>()).unwrap();
        let mut values = cpu.zeros(&[n, k], DType::F32).unwrap();
        embedding::forward(&cpu, &ids, &w, &mut values, n).unwrap();
        let values = values.f32s("test").unwrap();
        let mut want = Vec::new();
        for (i, old) in old(rows * n).into_iter().enumerate() {
            let mut truth = Truth::default();
            for (x, w) in x[i / n * k..][..k].iter().zip(&values[i % n * k..][..k]) {
                truth.add(f64::from(*x) * f64::from(*w));
            }
            truth.add(bias.as_ref().map_or(0.0, |bias| f64::from(bias[i % n])));
            truth.add(if output == Output::Add { f64::from(old) } else { 0.0 });
            want.push(truth);
        }
        Self { rows, k, x, bytes, n, dtype, bias, output, want }
    }

    fn weight(&self, device: &Device) -> Weight {
        Weight::new(device, self.n, self.k, self.dtype, 1, self.bytes.clone()).unwrap()
    }

    /// y, once its guard rows are found untouched. Rows of x past the product are NaN.
    fn run(&self, device: &Device, w: &Weight) -> Vec<f32> {
        let x = guarded(device, self.k, &self.x, f32::NAN);
        let bias = self.bias.as_ref().map(|bias| device.f32_tensor(&[self.n], bias).unwrap());
        let mut y = guarded(device, self.n, &old(self.rows * self.n), GUARD);
        matmul::forward(device, &x, w, bias.as_ref(), &mut y, self.rows, self.output).unwrap();
        rows_of(device, &y, self.rows)
    }

    fn check(&self, name: &str, got: &[f32]) {
        let Self { rows, n, k, dtype, .. } = self;
        if let Some(message) = off(got, &self.want, roundings(*k)) {
            panic!("{name} {} [{rows}, {k}] x [{n}, {k}]: {message}", dtype.name());
        }
    }
}

/// Rows from where cubecl begins; widths that are and are not multiples of its vectors and tiles.
const SHAPES: [[usize; 3]; 9] =
    [[9, 1, 1], [9, 7, 7], [63, 65, 63], [65, 63, 65], [64, 64, 64], [257, 65, 7], [9, 257, 257], [16, 128, 96], [65, 7, 257]];

#[test]
fn products_are_the_sums() {
    let Some(cubed) = fast(true) else { return };
    let takes = taken(&cubed);
    for dtype in [DType::F32, DType::F16].into_iter().filter(|dtype| takes.contains(dtype)) {
        for shape in SHAPES {
            for (bias, output) in [(false, Output::Store), (true, Output::Store), (false, Output::Add), (true, Output::Add)] {
                let case = Case::new(dtype, shape, bias, output);
                let before = products(&cubed);
                let got = case.run(&cubed, &case.weight(&cubed));
                case.check("cubecl", &got);
                assert_eq!(products(&cubed), before + 1, "not cubecl's product");
                if shape == [65, 63, 65] {
                    expect_faults_are_seen(&got, case.n, |got| off(got, &case.want, roundings(case.k)));
                }
            }
        }
    }
}

/// The formats cubecl takes here; those it could take elsewhere are said.
fn taken(device: &Device) -> Vec<DType> {
    let Device::Gpu(gpu) = device else { unreachable!() };
    let (takes, _) = gemm::taken(gpu.gemm().unwrap(), 64);
    assert!(takes.contains(&DType::F32));
    if !takes.contains(&DType::F16) {
        println!("not run: this adapter has no f16 in shaders, so f16 weights stay with our kernel");
    }
    takes
}

/// Products that cubecl has computed on this device.
fn products(device: &Device) -> u64 {
    match device {
        Device::Gpu(gpu) => gpu.gemm().map_or(0, |gemm| gemm.products()),
        Device::Cpu(_) => 0,
    }
}

#[test]
fn a_weight_in_shards_is_the_weight() {
    let Some(cut) = device(&GpuOptions { max_binding_bytes: Some(16 << 10), ..options() }) else { return };
    for dtype in taken(&cut) {
        let case = Case::new(dtype, [17, 130, 65], true, Output::Add);
        let w = case.weight(&cut);
        // The second time no shard is copied, so nothing but our own submission parts a shard's product from the next.
        for _ in 0..2 {
            let before = products(&cut);
            case.check("cubecl", &case.run(&cut, &w));
            assert!(products(&cut) >= before + 2, "one shard");
        }
    }
}

/// What cubecl does not take has the bits of a device without it.
#[test]
fn what_is_passed_on_is_ours() {
    let (Some(cubed), Some(plain)) = (fast(true), fast(false)) else { return };
    let Device::Gpu(gpu) = &cubed else { unreachable!() };
    let (takes, passes) = gemm::taken(gpu.gemm().unwrap(), 64);
    let library = gpu.gemm().unwrap().describe();
    println!("{library}: takes {takes:?}");
    let pinned = include_str!("../../../Cargo.toml").split_once("\ncubecl = { version = \"=").unwrap().1.split('"').next().unwrap();
    assert!(library.starts_with(&format!("cubecl {pinned},")), "{library} is not the pinned {pinned}");
    assert!(takes.contains(&DType::F32) && takes.len() + passes.len() == DType::WEIGHTS.len());
    for (dtype, rows) in passes.into_iter().map(|dtype| (dtype, 17)).chain([(DType::F32, 1), (DType::F16, 7), (DType::F32, 8)]) {
        let case = Case::new(dtype, [rows, 33, if dtype.block_len() == 1 { 65 } else { 256 }], true, Output::Add);
        let before = products(&cubed);
        let got = case.run(&cubed, &case.weight(&cubed));
        assert_eq!(gradients::bits(&got), gradients::bits(&case.run(&plain, &case.weight(&plain))), "{} of {rows} rows", dtype.name());
        assert_eq!(products(&cubed), before);
    }
    let case = Case::new(DType::F32, [9, 33, 65], false, Output::Store);
    case.run(&cubed, &case.weight(&cubed));
    assert!(products(&cubed) > 0);
    assert_eq!(products(&plain), 0);
}

#[test]
fn exact_mode_refuses() {
    if fast(false).is_none() {
        return;
    }
    match block_on(Device::gpu(&GpuOptions { precision: Precision::Exact, ..options() })) {
        Err(KernelError::Accelerator(message)) => assert!(message.contains("exact mode"), "{message}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("cubecl on a device in exact mode"),
    }
}

/// A weight that was stored to is copied again.
#[test]
fn a_stored_weight_is_the_new_one() {
    let Some(cubed) = fast(true) else { return };
    let case = Case::new(DType::F32, [16, 33, 65], false, Output::Store);
    let other = random(99, case.n * case.k);
    let mut w = Weight::new(&cubed, case.n, case.k, case.dtype, 1, little_endian(&other)).unwrap();
    assert!(off(&case.run(&cubed, &w), &case.want, roundings(case.k)).is_some());
    let values: Vec<f32> = case.bytes.as_slice().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let master = cubed.f32_tensor(&[case.n, case.k], &values).unwrap();
    w.store(&cubed, &master).unwrap();
    case.check("stored", &case.run(&cubed, &w));
}

fn little_endian(values: &[f32]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
}

/// Our ops between cubecl's products, nothing read until the end: each sees what was recorded before it.
#[test]
fn order_on_the_queue_is_the_recorded_order() {
    let (Some(cubed), Some(plain)) = (fast(true), fast(false)) else { return };
    let chain = |device: &Device| {
        let (rows, width) = (33, 48);
        let ws = [1, 2].map(|seed| {
            let values: Vec<f32> = random(seed, width * width).iter().map(|value| value / 16.0).collect();
            Weight::new(device, width, width, DType::F32, 1, little_endian(&values)).unwrap()
        });
        let mut x = device.f32_tensor(&[rows, width], &random(3, rows * width)).unwrap();
        let mut y = device.zeros(&[rows, width], DType::F32).unwrap();
        for turn in 0..6 {
            matmul::forward(device, &x, &ws[turn % 2], None, &mut y, rows, Output::Store).unwrap();
            // y becomes bounded, and the next x.
            swiglu::forward(device, &mut y, &x, rows).unwrap();
            matmul::forward(device, &y, &ws[0], None, &mut x, rows - turn, Output::Add).unwrap();
            let small: Vec<f32> = vec![0.125; width];
            x.write_f32(device, &small).unwrap();
        }
        block_on(device.read_f32(&x, rows * width)).unwrap()
    };
    let (got, want) = (chain(&cubed), chain(&plain));
    let scale = want.iter().fold(0f32, |most, value| most.max(value.abs()));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        // Rounding grows with each of the twelve products; a stale operand is off by its own size.
        assert!((got - want).abs() <= 1e-4 * scale, "[{i}] is {got}, {want} without cubecl, of at most {scale}");
    }
    assert!(products(&cubed) >= 12);
}

#[test]
fn threads_share_a_device() {
    let Some(cubed) = fast(true) else { return };
    let cases: Vec<Case> = [[9, 65, 64], [33, 7, 65]].map(|shape| Case::new(DType::F32, shape, false, Output::Store)).into();
    std::thread::scope(|scope| {
        for case in &cases {
            let cubed = &cubed;
            scope.spawn(move || {
                let w = case.weight(cubed);
                for _ in 0..8 {
                    case.check("thread", &case.run(cubed, &w));
                }
            });
        }
    });
}

/// Medians of cubecl's product, copies included, beside our kernel's, in turns.
#[test]
#[ignore = "a measurement, alone: cargo test -p longhand-kernels --features cube --test cube -- --ignored --nocapture"]
fn speed_beside_our_kernel() {
    let (Some(cubed), Some(plain)) = (fast(true), fast(false)) else { return };
    let Device::Gpu(gpu) = &cubed else { unreachable!() };
    println!("{}, {}", cubed.describe(), gpu.gemm().unwrap().describe());
    let [rows, n, k] = [128, 256, 512];
    for dtype in [DType::F32, DType::F16] {
        let bytes = Bytes::from(random_weight(1, dtype, n, k));
        let run = |device: &Device, w: &Weight| {
            let x = device.f32_tensor(&[rows, k], &random(2, rows * k)).unwrap();
            let mut y = device.zeros(&[rows, n], DType::F32).unwrap();
            let started = Instant::now();
            matmul::forward(device, &x, w, None, &mut y, rows, Output::Store).unwrap();
            block_on(device.read_f32(&y, 1)).unwrap();
            started.elapsed().as_secs_f64()
        };
        let mut seconds = [vec![], vec![]];
        let sides = [&cubed, &plain].map(|device| (device, Weight::new(device, n, k, dtype, 1, bytes.clone()).unwrap()));
        for _ in 0..12 {
            for ((device, w), seconds) in sides.iter().zip(&mut seconds) {
                seconds.push(run(device, w));
            }
        }
        for (name, mut seconds) in ["cubecl", "ours"].into_iter().zip(seconds) {
            let first = seconds.remove(0);
            seconds.sort_by(f64::total_cmp);
            let gflops = 2.0 * (rows * n * k) as f64 / seconds[seconds.len() / 2] / 1e9;
            println!("{name:>6} {} [{rows}, {k}] x [{n}, {k}]: {gflops:6.2} GFLOP/s, first product after {first:.2} s", dtype.name());
        }
    }
}

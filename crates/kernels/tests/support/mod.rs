//! What the GPU tests share: the device, or the word that there is none; random numbers; comparison.
#![allow(dead_code)] // each test binary uses a part

use kernels::gpu::GpuOptions;
use kernels::{DType, Device, Precision};

/// A device, or `None` without an adapter: then the test is "not run", which `REQUIRE_GPU=1` turns into a failure.
pub fn device(options: &GpuOptions) -> Option<Device> {
    match pollster::block_on(Device::gpu(options)) {
        Ok(device) => Some(device),
        Err(error) if std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1") => panic!("REQUIRE_GPU=1, but {error}"),
        Err(error) => {
            println!("not run: {error}");
            None
        }
    }
}

/// The default device in exact mode.
pub fn exact() -> Option<Device> {
    device(&GpuOptions { precision: Precision::Exact, ..Default::default() })
}

/// Numbers in [-1, 1), the same every time (splitmix64).
pub fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    (0..count).map(|_| (next(&mut state) >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

/// The next number of a splitmix64 stream.
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The first place where `got` is further than `tolerance · (1 + |want|)` from `want`, or not a number.
pub fn difference(got: &[f32], want: &[f64], tolerance: f64) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} values, {} are wanted", got.len(), want.len()));
    }
    let far = |(got, want): (&f32, &f64)| got.is_nan() || (f64::from(*got) - want).abs() > tolerance * (1.0 + want.abs());
    let index = got.iter().zip(want).position(far)?;
    Some(format!("[{index}] is {}, {} is wanted", got[index], want[index]))
}

/// Panics unless `got` is near `want`.
pub fn expect_near(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    if let Some(message) = difference(got, want, tolerance) {
        panic!("{name}: {message}");
    }
}

/// A valid weight of random blocks: random quants, finite scales of about `1 / 64`.
pub fn random_weight(seed: u64, dtype: DType, rows: usize, cols: usize) -> Vec<u8> {
    let count = rows * cols;
    match dtype {
        DType::F32 => return random(seed, count).iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::F16 => return random(seed, count).iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
        DType::BF16 => return random(seed, count).iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
        _ => {}
    }
    let mut state = seed;
    let mut bytes: Vec<u8> = (0..rows * dtype.row_bytes(cols).unwrap()).map(|_| (next(&mut state) >> 56) as u8).collect();
    let halves: &[usize] = match dtype {
        DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => &[0, 2],
        DType::Q6_K => &[208],
        _ => &[0],
    };
    for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
        for &at in halves {
            let scale = (next(&mut state) >> 40) as f32 / (1u64 << 30) as f32;
            block[at..at + 2].copy_from_slice(&half::f16::from_f32(scale + 1e-3).to_le_bytes());
        }
    }
    bytes
}

/// The comparison must refuse what a broken kernel would return for a `[rows, width]` output.
pub fn expect_faults_are_seen(got: &[f32], want: &[f64], width: usize, tolerance: f64) {
    assert_eq!(difference(got, want, tolerance), None);
    let rows = got.len() / width;
    let transposed: Vec<f32> = (0..got.len()).map(|i| got[i % rows * width + i / rows]).collect();
    let scaled: Vec<f32> = got.iter().map(|value| value * 1.01).collect();
    let mut dropped = got.to_vec();
    dropped[got.len() - width.min(5)..].fill(0.0);
    let mut poisoned = got.to_vec();
    poisoned[got.len() / 2] = f32::NAN;
    for (fault, values) in
        [("zeroed", vec![0.0; got.len()]), ("×1.01", scaled), ("transposed", transposed), ("tail", dropped), ("NaN", poisoned)]
    {
        if fault != "transposed" || (rows > 1 && width > 1) {
            assert!(difference(&values, want, tolerance).is_some(), "{fault} was not seen");
        }
    }
}

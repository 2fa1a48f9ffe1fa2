//! What tests of gradients share: f64 truths, bounds of rounding, guarded tensors, planted faults.
#![allow(dead_code)] // each test binary uses a part

use kernels::{Device, Tensor};

/// What guard words hold.
pub const GUARD: f32 = -12345.5;

/// One rounding to nearest of an f32, relative.
pub const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// The right value, and the size that its rounding errors are measured by: the sum of its terms' magnitudes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Truth {
    pub value: f64,
    pub size: f64,
}

impl Truth {
    /// One more term.
    pub fn add(&mut self, term: f64) {
        self.value += term;
        self.size += term.abs();
    }
}

/// The sum of `terms`.
pub fn sum(terms: impl IntoIterator<Item = f64>) -> Truth {
    let mut truth = Truth::default();
    terms.into_iter().for_each(|term| truth.add(term));
    truth
}

pub fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The gradient of ⟨dy, f(x)⟩ by central differences.
pub fn central_difference(x: &[f64], dy: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-4;
    let value = |x: &[f64]| f(x).iter().zip(dy).map(|(y, dy)| y * dy).sum::<f64>();
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + STEP;
            let above = value(&x);
            x[i] = at - STEP;
            let below = value(&x);
            x[i] = at;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// The first value that is further from its truth than `roundings` roundings of its size, or not a number.
pub fn off(got: &[f32], want: &[Truth], roundings: f64) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} values, {} are wanted", got.len(), want.len()));
    }
    got.iter().zip(want).enumerate().find_map(|(i, (&got, want))| {
        let error = (f64::from(got) - want.value).abs();
        // Below 1e-35 a value may have vanished on the way.
        let near = error <= roundings * ROUNDING * want.size + 1e-35;
        (!near).then(|| format!("[{i}] is {got}, {} is right: off by {error:e}, size {}", want.value, want.size))
    })
}

/// Panics unless all values are as near as [`off`] asks.
pub fn expect(name: &str, got: &[f32], want: &[Truth], roundings: f64) {
    if let Some(message) = off(got, want, roundings) {
        panic!("{name}: {message}");
    }
}

/// Values within `tolerance · (1 + |want|)`: for differences, which have an error of their own.
pub fn expect_close(name: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance * (1.0 + want.abs()), "{name}: [{i}] is {got}, {want} is wanted");
    }
}

/// `check` says what is wrong with a `[_, width]` gradient. It must accept `got` and refuse what a broken kernel would give.
pub fn expect_faults_are_seen(got: &[f32], width: usize, check: impl Fn(&[f32]) -> Option<String>) {
    assert_eq!(check(got), None);
    let rows = got.len() / width;
    let transposed: Vec<f32> = (0..got.len()).map(|i| got[i % rows * width + i / rows]).collect();
    let mut dropped = got.to_vec();
    dropped[got.len() - width.min(5)..].fill(0.0);
    let mut poisoned = got.to_vec();
    poisoned[got.len() / 2] = f32::NAN;
    let faults = [
        ("zeroed", vec![0.0; got.len()]),
        ("×1.01", got.iter().map(|value| value * 1.01).collect()),
        ("×-1", got.iter().map(|value| -value).collect()),
        ("transposed", transposed),
        ("tail", dropped),
        ("NaN", poisoned),
    ];
    for (fault, values) in faults {
        if fault != "transposed" || (rows > 1 && width > 1) {
            assert!(check(&values).is_some(), "{fault} was not seen");
        }
    }
}

/// Room for `values` and two rows of `filler` behind them: NaN poisons who reads past the rows, [`GUARD`] tells who writes.
pub fn guarded(device: &Device, width: usize, values: &[f32], filler: f32) -> Tensor {
    let mut all = values.to_vec();
    all.resize(values.len() + 2 * width, filler);
    device.f32_tensor(&[all.len() / width.max(1), width], &all).unwrap()
}

/// The rows, once the guards behind them are found untouched.
pub fn rows_of(device: &Device, tensor: &Tensor, rows: usize) -> Vec<f32> {
    let mut values = pollster::block_on(device.read_f32(tensor, tensor.len())).unwrap();
    let guards = values.split_off(rows * tensor.width());
    assert!(guards.iter().all(|value| value.to_bits() == guards[0].to_bits()), "wrote past row {rows}");
    values
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

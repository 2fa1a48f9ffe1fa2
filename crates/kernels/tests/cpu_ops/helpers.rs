//! A comparison that cannot pass by accident, random numbers, and the devices whose bits must agree.

use kernels::cpu::CpuDevice;
use kernels::cpu::simd::Level;
use kernels::{Device, Precision};

/// Half the distance from 1 to the next f32: the relative error of one rounding.
pub const U: f64 = 1.0 / 16_777_216.0;

/// Errs unless every element is within its bound of the reference. NaN anywhere, or a reference of zeros only, is an error.
pub fn compare(name: &str, got: &[f32], want: &[f64], bound: &[f64]) -> Result<f64, String> {
    if got.len() != want.len() || got.len() != bound.len() || got.is_empty() {
        return Err(format!("{name}: {} values, {} references, {} bounds", got.len(), want.len(), bound.len()));
    }
    if want.iter().all(|&w| w == 0.0) {
        return Err(format!("{name}: the reference is zero throughout"));
    }
    let mut worst = 0f64;
    for (i, ((&got, &want), &bound)) in got.iter().zip(want).zip(bound).enumerate() {
        let error = (f64::from(got) - want).abs();
        // Written so that a NaN in any of the three fails.
        if !(error <= bound && want.is_finite() && bound.is_finite()) {
            return Err(format!("{name}: element {i} is {got}, {want} ± {bound:e} is wanted (off by {error:e})"));
        }
        if bound > 0.0 {
            worst = worst.max(error / bound);
        }
    }
    Ok(worst)
}

/// The values' bits, so that equality tells -0 from 0 and NaN from nothing.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Every SIMD level this host has on one thread and on three, and the default device.
pub fn devices() -> Vec<Device> {
    let mut devices = vec![Device::cpu(Precision::Exact)];
    for level in [Level::Portable, Level::Avx2, Level::Avx512] {
        for threads in [1, 3] {
            devices.push(Device::Cpu(CpuDevice::with_threads(Precision::Exact, threads).with_simd(level)));
        }
    }
    devices
}

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f32 {
        ((-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()) as f32
    }

    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }
}

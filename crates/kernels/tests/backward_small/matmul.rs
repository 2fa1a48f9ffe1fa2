//! The matmul's gradients: truths, and runs on any device.

use kernels::cpu::dequant::dequantize;
use kernels::matmul::{self, Output};
use kernels::{Bytes, DType, Device, Weight};

use crate::gradients::{GUARD, Truth, central_difference, expect, expect_close, f64s, guarded, rows_of, sum};
use crate::support::{random, random_weight};

/// A product's sizes: rows R, outputs N, inputs K.
pub type Shape = (usize, usize, usize);

/// Ragged shapes for plain formats.
pub const RAGGED: [Shape; 7] = [(1, 1, 1), (1, 63, 7), (7, 65, 63), (65, 7, 257), (63, 257, 65), (257, 65, 1), (2, 600, 130)];

/// A shape whose K every format allows.
pub fn shape_of(dtype: DType, rows: usize) -> Shape {
    (rows, 65, if dtype.block_len() == 256 { 512 } else { 7 * 32 })
}

pub fn weight_values(dtype: DType, bytes: &[u8], count: usize) -> Vec<f32> {
    let mut values = vec![0.0; count];
    dequantize(dtype, bytes, &mut values).unwrap();
    values
}

fn old(output: Output, old: f32) -> Truth {
    sum((output == Output::Add).then_some(f64::from(old)))
}

/// dx (=|+=) dy W.
pub fn truth_x(dy: &[f32], w: &[f32], before: &[f32], (_, n, k): Shape, output: Output) -> Vec<Truth> {
    let element = |(i, &before): (usize, &f32)| {
        let mut truth = old(output, before);
        (0..n).for_each(|j| truth.add(f64::from(dy[i / k * n + j]) * f64::from(w[j * k + i % k])));
        truth
    };
    before.iter().enumerate().map(element).collect()
}

/// dw += dyᵀ x.
pub fn truth_w(dy: &[f32], x: &[f32], before: &[f32], (rows, n, k): Shape) -> Vec<Truth> {
    let element = |(i, &before): (usize, &f32)| {
        let mut truth = old(Output::Add, before);
        (0..rows).for_each(|r| truth.add(f64::from(dy[r * n + i / k]) * f64::from(x[r * k + i % k])));
        truth
    };
    before.iter().enumerate().map(element).collect()
}

/// db += Σ dy.
pub fn truth_bias(dy: &[f32], before: &[f32], (rows, n, _): Shape) -> Vec<Truth> {
    let element = |(j, &before): (usize, &f32)| {
        let mut truth = old(Output::Add, before);
        (0..rows).for_each(|r| truth.add(f64::from(dy[r * n + j])));
        truth
    };
    before.iter().enumerate().map(element).collect()
}

/// dx of `dy` through `bytes`, after the guards are found untouched.
pub fn run_x(device: &Device, dy: &[f32], dtype: DType, bytes: &[u8], before: &[f32], (rows, n, k): Shape, output: Output) -> Vec<f32> {
    // One byte off any alignment, as a mapped file may be.
    let mut shifted = vec![0u8];
    shifted.extend_from_slice(bytes);
    let bytes = Bytes::from(shifted).slice(1..1 + bytes.len()).unwrap();
    let w = Weight::new(device, n, k, dtype, 1, bytes).unwrap();
    let dy = guarded(device, n, dy, f32::NAN);
    let mut dx = guarded(device, k, before, GUARD);
    matmul::backward_x(device, &dy, &w, &mut dx, rows, output).unwrap();
    rows_of(device, &dx, rows)
}

/// dw, with the gradient `before` in it.
pub fn run_w(device: &Device, dy: &[f32], x: &[f32], before: &[f32], (rows, n, k): Shape) -> Vec<f32> {
    let (dy, x) = (guarded(device, n, dy, f32::NAN), guarded(device, k, x, f32::NAN));
    let mut dw = guarded(device, k, before, GUARD);
    matmul::backward_w(device, &dy, &x, &mut dw, rows).unwrap();
    rows_of(device, &dw, n)
}

/// db, with the gradient `before` in it.
pub fn run_bias(device: &Device, dy: &[f32], before: &[f32], (rows, n, _): Shape) -> Vec<f32> {
    let dy = guarded(device, n, dy, f32::NAN);
    let mut db = guarded(device, n, before, GUARD);
    matmul::backward_bias(device, &dy, &mut db, rows).unwrap();
    rows_of(device, &db, 1)
}

/// A chain of this many terms, and what it is added to.
pub fn chain(terms: usize) -> f64 {
    terms as f64 + 4.0
}

/// dx in `dtype` at `shape`, stored and added.
pub fn check_x(device: &Device, dtype: DType, shape: Shape) {
    let (rows, n, k) = shape;
    // What is there before a Store may be anything.
    let (dy, stored) = (random(1, rows * n), vec![f32::NAN; rows * k]);
    let bytes = random_weight(2, dtype, n, k);
    let w = weight_values(dtype, &bytes, n * k);
    for (output, before) in [(Output::Store, stored), (Output::Add, random(3, rows * k))] {
        let want = truth_x(&dy, &w, &before, shape, output);
        let got = run_x(device, &dy, dtype, &bytes, &before, shape, output);
        expect(&format!("dx {} {shape:?} {output:?}", dtype.name()), &got, &want, chain(n));
    }
}

/// dw and db at `shape`.
pub fn check_sums(device: &Device, shape: Shape) {
    let (rows, n, k) = shape;
    let (dy, x, before) = (random(4, rows * n), random(5, rows * k), random(6, n * k));
    let want = truth_w(&dy, &x, &before, shape);
    expect(&format!("dw {shape:?}"), &run_w(device, &dy, &x, &before, shape), &want, chain(rows));
    let before = random(7, n);
    let want = truth_bias(&dy, &before, shape);
    expect(&format!("db {shape:?}"), &run_bias(device, &dy, &before, shape), &want, chain(rows));
}

#[test]
fn the_formulas_are_the_derivatives() {
    let (rows, n, k) = (3, 5, 7);
    let (x, w, bias, dy) = (random(1, rows * k), random(2, n * k), random(3, n), random(4, rows * n));
    let forward = |x: &[f64], w: &[f64], bias: &[f64]| -> Vec<f64> {
        (0..rows * n).map(|i| (0..k).map(|j| x[i / n * k + j] * w[i % n * k + j]).sum::<f64>() + bias[i % n]).collect()
    };
    let values = |truth: Vec<Truth>| truth.iter().map(|truth| truth.value).collect::<Vec<_>>();
    let (x64, w64, b64, dy64) = (f64s(&x), f64s(&w), f64s(&bias), f64s(&dy));
    let zeros = |count| vec![0.0; count];
    let dx = values(truth_x(&dy, &w, &zeros(rows * k), (rows, n, k), Output::Store));
    expect_close("dx", &dx, &central_difference(&x64, &dy64, |x| forward(x, &w64, &b64)), 1e-8);
    let dw = values(truth_w(&dy, &x, &zeros(n * k), (rows, n, k)));
    expect_close("dw", &dw, &central_difference(&w64, &dy64, |w| forward(&x64, w, &b64)), 1e-8);
    let db = values(truth_bias(&dy, &zeros(n), (rows, n, k)));
    expect_close("db", &db, &central_difference(&b64, &dy64, |b| forward(&x64, &w64, b)), 1e-8);
}

//! The CPU's row-wise ops, attention and sampling against f64 references, and to the bit across batchings, threads and SIMD levels.

#[path = "cpu_ops/attention.rs"]
mod attention;
#[path = "cpu_ops/helpers.rs"]
mod helpers;
#[path = "cpu_ops/sample.rs"]
mod sample;

use helpers::{Rng, U, bits, compare, devices};
use kernels::rope::RopeTable;
use kernels::{DType, KernelError, rms_norm, rope, swiglu};

/// A helper that passes everything would make every test here worthless.
#[test]
fn the_comparison_sees_planted_faults() {
    let mut rng = Rng(1);
    let want: Vec<f64> = (0..6 * 8).map(|_| f64::from(rng.normal())).collect();
    let got: Vec<f32> = want.iter().map(|&w| w as f32).collect();
    let bound: Vec<f64> = want.iter().map(|w| 64.0 * U * w.abs()).collect();
    compare("sound", &got, &want, &bound).unwrap();
    let fails = |name: &str, got: Vec<f32>| assert!(compare(name, &got, &want, &bound).is_err(), "{name} was not seen");
    fails("zeroed", vec![0.0; got.len()]);
    fails("scaled", got.iter().map(|g| g * 1.01).collect());
    fails("transposed", (0..got.len()).map(|i| got[i % 6 * 8 + i / 6]).collect());
    fails("tail dropped", got.iter().enumerate().map(|(i, &g)| if i == 47 { 0.0 } else { g }).collect());
    fails("one NaN", got.iter().enumerate().map(|(i, &g)| if i == 13 { f32::NAN } else { g }).collect());
    fails("all NaN", vec![f32::NAN; got.len()]);
    fails("short", got[..47].to_vec());
    fails("swapped", got.iter().enumerate().map(|(i, &g)| if i < 2 { got[1 - i] } else { g }).collect());
    // A reference or bound that is not finite, or of zeros only, proves nothing.
    assert!(compare("NaN bound", &got, &want, &vec![f64::NAN; 48]).is_err());
    assert!(compare("NaN reference", &got, &vec![f64::NAN; 48], &bound).is_err());
    assert!(compare("zero reference", &[0.0; 48], &[0.0; 48], &bound).is_err());
}

#[test]
fn rms_norm_matches_f64() {
    let eps = 1e-6f32;
    for width in [1usize, 7, 16, 17, 64, 128, 1000, 1536, 4096] {
        let mut rng = Rng(width as u64);
        let rows = 5;
        let (x, gain) = (rng.normals(rows * width), rng.normals(width));
        let mut first = None;
        for device in devices() {
            let xt = device.f32_tensor(&[rows, width], &x).unwrap();
            let gt = device.f32_tensor(&[width], &gain).unwrap();
            let mut y = device.zeros(&[rows + 1, width], DType::F32).unwrap();
            rms_norm::forward(&device, &xt, &gt, eps, &mut y, rows, width).unwrap();
            let got = y.f32s("test").unwrap();
            assert!(got[rows * width..].iter().all(|&v| v == 0.0), "wrote past the rows");
            let (mut want, mut bound) = (vec![], vec![]);
            for x in x.chunks(width) {
                let mean = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / width as f64;
                let inverse = 1.0 / (mean + f64::from(eps)).sqrt();
                for (x, g) in x.iter().zip(&gain) {
                    want.push(f64::from(*x) * inverse * f64::from(*g));
                    // Half the sum's relative error (a chain of width / 16 and a tree of 4), then a handful of roundings.
                    bound.push(want[want.len() - 1].abs() * U * ((width as f64 / 16.0 + 7.0) / 2.0 + 5.0));
                }
            }
            compare("rms_norm", &got[..rows * width], &want, &bound).unwrap();
            let mut in_place = device.f32_tensor(&[rows, width], &x).unwrap();
            rms_norm::forward_in_place(&device, &mut in_place, &gt, eps, rows, width).unwrap();
            assert_eq!(bits(in_place.f32s("test").unwrap()), bits(&got[..rows * width]));
            let got = bits(&got[..rows * width]);
            assert_eq!(first.get_or_insert(got.clone()), &got, "{} differs at width {width}", device.describe());
        }
    }
}

#[test]
fn rms_norm_of_a_row_does_not_depend_on_the_others() {
    let (rows, width) = (600, 96);
    let mut rng = Rng(5);
    let (x, gain) = (rng.normals(rows * width), rng.normals(width));
    for device in devices() {
        let gt = device.f32_tensor(&[width], &gain).unwrap();
        let mut whole = device.f32_tensor(&[rows, width], &x).unwrap();
        rms_norm::forward_in_place(&device, &mut whole, &gt, 1e-5, rows, width).unwrap();
        for row in [0, 1, 299, 599] {
            let part = row * width..(row + 1) * width;
            let mut alone = device.f32_tensor(&[1, width], &x[part.clone()]).unwrap();
            rms_norm::forward_in_place(&device, &mut alone, &gt, 1e-5, 1, width).unwrap();
            assert_eq!(bits(alone.f32s("test").unwrap()), bits(&whole.f32s("test").unwrap()[part]));
        }
    }
}

#[test]
fn rope_matches_f64() {
    for head_dim in [8usize, 10, 14, 24, 64, 80, 128, 256] {
        let (rows, heads, positions) = (7, 3, 5000);
        let half = head_dim / 2;
        let frequencies: Vec<f64> = (0..half).map(|i| 1e6f64.powf(-2.0 * i as f64 / head_dim as f64)).collect();
        let mut rng = Rng(head_dim as u64);
        let x = rng.normals(rows * heads * head_dim);
        let places = [0u32, 1, 2, 3, 77, 1024, 4999];
        let mut first = None;
        for device in devices() {
            let table = RopeTable::new(&device, positions, &frequencies, 1.25).unwrap();
            let at = device.u32_tensor(&[rows], &places).unwrap();
            let mut xt = device.f32_tensor(&[rows, heads * head_dim], &x).unwrap();
            rope::forward(&device, &mut xt, &table, &at, rows, heads).unwrap();
            let (mut want, mut bound) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            for (row, &p) in places.iter().enumerate() {
                for head in 0..heads {
                    for i in 0..half {
                        let (lo, hi) = ((row * heads + head) * head_dim + i, (row * heads + head) * head_dim + i + half);
                        let (a, b) = (f64::from(x[lo]), f64::from(x[hi]));
                        let (sin, cos) = (f64::from(p) * frequencies[i]).sin_cos();
                        want[lo] = 1.25 * (a * cos - b * sin);
                        want[hi] = 1.25 * (b * cos + a * sin);
                        // cos and sin rounded to f32, one product rounded, one fused sum.
                        let size = 1.25 * ((a * cos).abs() + (b * sin).abs() + (b * cos).abs() + (a * sin).abs());
                        (bound[lo], bound[hi]) = (3.0 * U * size, 3.0 * U * size);
                    }
                }
            }
            let got = xt.f32s("test").unwrap();
            compare("rope", got, &want, &bound).unwrap();
            assert_eq!(bits(&got[..heads * head_dim]), bits(&x[..heads * head_dim].iter().map(|v| v * 1.25).collect::<Vec<_>>()));
            let got = bits(got);
            assert_eq!(first.get_or_insert(got.clone()), &got, "{} differs", device.describe());
            let far = device.u32_tensor(&[rows], &[0, 0, 0, 0, 0, 0, 5000]).unwrap();
            assert!(matches!(rope::forward(&device, &mut xt, &table, &far, rows, heads), Err(KernelError::Value { .. })));
        }
    }
}

#[test]
fn swiglu_matches_f64_to_the_extremes() {
    for width in [1usize, 15, 16, 100, 8960] {
        let rows = 3;
        let mut rng = Rng(width as u64);
        let mut gate: Vec<f32> = (0..rows * width).map(|_| rng.normal() * 20.0).collect();
        let up = rng.normals(rows * width);
        for (i, extreme) in [-1e30, 1e30, -87.5, -104.0, -90.0, 88.8, 120.0, 1e-30, -1e-30, 0.0].into_iter().enumerate() {
            if let Some(slot) = gate.get_mut(i * 2) {
                *slot = extreme;
            }
        }
        let mut first = None;
        for device in devices() {
            let mut gt = device.f32_tensor(&[rows, width], &gate).unwrap();
            let ut = device.f32_tensor(&[rows, width], &up).unwrap();
            swiglu::forward(&device, &mut gt, &ut, rows).unwrap();
            let want: Vec<f64> = gate.iter().zip(&up).map(|(&g, &u)| f64::from(g) / (1.0 + (-f64::from(g)).exp()) * f64::from(u)).collect();
            // e^-g within 2 ulp, five roundings more; e^-87 and below are subnormal steps.
            let bound: Vec<f64> = want.iter().zip(&up).map(|(w, u)| 8.0 * U * w.abs() + 1e-42 * f64::from(u.abs()) + 1e-45).collect();
            compare("swiglu", gt.f32s("test").unwrap(), &want, &bound).unwrap();
            let got = bits(gt.f32s("test").unwrap());
            assert_eq!(first.get_or_insert(got.clone()), &got, "{} differs", device.describe());
        }
    }
}

#[test]
fn swiglu_passes_nan_and_infinity_on() {
    for device in devices() {
        let mut gate = device.f32_tensor(&[1, 5], &[f32::NAN, 1.0, f32::INFINITY, f32::NEG_INFINITY, 2.0]).unwrap();
        let up = device.f32_tensor(&[1, 5], &[1.0, f32::NAN, 2.0, 2.0, f32::INFINITY]).unwrap();
        swiglu::forward(&device, &mut gate, &up, 1).unwrap();
        let got = gate.f32s("test").unwrap();
        assert!(got[0].is_nan() && got[1].is_nan());
        assert_eq!(got[2..], [f32::INFINITY, 0.0, f32::INFINITY]);
    }
}

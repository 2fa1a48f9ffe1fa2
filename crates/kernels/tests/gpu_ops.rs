//! Each GPU op against the CPU's, or an f64 reference, at ragged sizes, with guard rows after every output.

mod support;

use kernels::gpu::GpuOptions;
use kernels::matmul::Output;
use kernels::rope::RopeTable;
use kernels::{Bytes, DType, Device, Precision, Tensor, Weight, embedding, matmul, rms_norm, rope, swiglu};
use pollster::block_on;
use support::{device, difference, exact, expect_near, random, random_weight};

/// What guard rows hold.
const GUARD: f32 = -12345.5;

/// Room for `rows` rows and two guards.
fn guarded(device: &Device, rows: usize, width: usize) -> Tensor {
    device.f32_tensor(&[rows + 2, width], &vec![GUARD; (rows + 2) * width]).unwrap()
}

/// The rows, once the guards are found untouched.
fn rows_of(device: &Device, tensor: &Tensor, rows: usize) -> Vec<f32> {
    let mut values = block_on(device.read_f32(tensor, tensor.len())).unwrap();
    let guards = values.split_off(rows * tensor.width());
    assert!(guards.iter().all(|&value| value == GUARD), "wrote past row {rows}");
    values
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// A width that the format allows, ragged where it can be.
fn width(dtype: DType) -> usize {
    match dtype.block_len() {
        1 => 257,
        32 => 7 * 32,
        _ => 512,
    }
}

#[test]
fn a_weight_in_parts_is_the_weight() {
    let Some(gpu) = exact() else { return };
    let (units, n, k) = (3, 5, 512);
    for dtype in [DType::F32, DType::Q4_K] {
        let bytes = random_weight(7, dtype, units * n, k);
        let x = gpu.f32_tensor(&[2, k], &random(8, 2 * k)).unwrap();
        let product = |w: kernels::Result<Weight>| {
            let mut y = guarded(&gpu, 2, units * n);
            matmul::forward(&gpu, &x, &w.unwrap(), None, &mut y, 2, Output::Store).unwrap();
            rows_of(&gpu, &y, 2)
        };
        let mut parts: Vec<Bytes> = bytes.chunks_exact(bytes.len() / units).map(|part| part.to_vec().into()).collect();
        let want = product(Weight::new(&gpu, units * n, k, dtype, n, bytes.clone().into()));
        assert!(product(Weight::from_parts(&gpu, units * n, k, dtype, n, parts.clone())) == want, "{}", dtype.name());
        parts.swap(0, 2);
        assert!(product(Weight::from_parts(&gpu, units * n, k, dtype, n, parts.clone())) != want, "{}: blind", dtype.name());
        parts.pop();
        assert!(Weight::from_parts(&gpu, units * n, k, dtype, n, parts).is_err());
    }
}

#[test]
fn swiglu_equals_the_formula() {
    let Some(device) = exact() else { return };
    for (rows, width) in [(1, 1), (7, 63), (65, 257)] {
        let (mut g, u) = (random(1, rows * width), random(2, rows * width));
        g[0] = 200.0;
        g[rows * width - 1] = -200.0;
        let mut gate = guarded(&device, rows, width);
        gate.write_f32(&device, &g).unwrap();
        let up = device.f32_tensor(&[rows, width], &u).unwrap();
        swiglu::forward(&device, &mut gate, &up, rows).unwrap();
        let want: Vec<f64> = g.iter().zip(&u).map(|(&g, &u)| f64::from(g) / (1.0 + (-f64::from(g)).exp()) * f64::from(u)).collect();
        expect_near("swiglu", &rows_of(&device, &gate, rows), &want, 1e-6);
    }
}

#[test]
fn not_a_number_stays_one() {
    let Some(device) = exact() else { return };
    let width = 70;
    let mut values = vec![1.0; 2 * width];
    values[width + 3] = f32::NAN;
    let x = device.f32_tensor(&[2, width], &values).unwrap();
    let read = |tensor: &Tensor| block_on(device.read_f32(tensor, 2 * width)).unwrap();

    let mut gate = device.f32_tensor(&[2, width], &values).unwrap();
    swiglu::forward(&device, &mut gate, &x, 2).unwrap();
    assert!(read(&gate)[width + 3].is_nan());

    let gain = device.f32_tensor(&[width], &vec![1.0; width]).unwrap();
    let mut y = device.zeros(&[2, width], DType::F32).unwrap();
    rms_norm::forward(&device, &x, &gain, 1e-6, &mut y, 2, width).unwrap();
    assert!(read(&y)[..width].iter().all(|v| v.is_finite()) && read(&y)[width..].iter().all(|v| v.is_nan()));

    let bytes = Bytes::from(random_weight(3, DType::F32, width, width));
    let w = Weight::new(&device, width, width, DType::F32, 1, bytes).unwrap();
    matmul::forward(&device, &x, &w, None, &mut y, 2, Output::Store).unwrap();
    assert!(read(&y)[..width].iter().all(|v| v.is_finite()) && read(&y)[width..].iter().all(|v| v.is_nan()));
}

/// Runs one matmul on a device, with guards.
fn run_matmul(device: &Device, x: &[f32], w: &Weight, bias: Option<&[f32]>, rows: usize, output: Output) -> Vec<f32> {
    let x = device.f32_tensor(&[rows, w.cols], x).unwrap();
    let bias = bias.map(|bias| device.f32_tensor(&[w.rows], bias).unwrap());
    let mut y = guarded(device, rows, w.rows);
    y.write_f32(device, &random(77, rows * w.rows)).unwrap();
    matmul::forward(device, &x, w, bias.as_ref(), &mut y, rows, output).unwrap();
    rows_of(device, &y, rows)
}

/// Every output within the bound of its own sum: `(terms in a row + folds) · 2⁻²⁴ · Σ |x w|`.
fn compare_matmul(gpu: &Device, formats: &[DType], shapes: &[(usize, usize)]) {
    let cpu = Device::cpu(Precision::Exact);
    for &dtype in formats {
        for &(rows, n) in shapes {
            let k = width(dtype);
            let bytes = Bytes::from(random_weight(5, dtype, n, k));
            let (x, bias) = (random(6, rows * k), random(7, n));
            let values = dequantised(&cpu, dtype, n, k, &bytes);
            let w = Weight::new(gpu, n, k, dtype, 1, bytes).unwrap();
            for (bias, output) in [(None, Output::Store), (Some(&bias[..]), Output::Add)] {
                let got = run_matmul(gpu, &x, &w, bias, rows, output);
                for (i, &got) in got.iter().enumerate() {
                    let (row, col) = (&x[i / n * k..][..k], &values[i % n * k..][..k]);
                    let products = row.iter().zip(col).map(|(&x, &w)| f64::from(x) * f64::from(w));
                    let old = if output == Output::Add { f64::from(random(77, i + 1)[i]) } else { 0.0 };
                    let want = products.clone().sum::<f64>() + bias.map_or(0.0, |bias| f64::from(bias[i % n])) + old;
                    let bound = (k as f64 / 16.0 + 8.0) * 2f64.powi(-24) * (products.map(f64::abs).sum::<f64>() + 2.0);
                    let off = (f64::from(got) - want).abs();
                    assert!(off <= bound, "{} [{rows}, {k}] {output:?}: [{i}] is {got}, {want} is wanted", dtype.name());
                }
            }
        }
    }
}

/// The weight's values, by the CPU.
fn dequantised(cpu: &Device, dtype: DType, n: usize, k: usize, bytes: &Bytes) -> Vec<f32> {
    let w = Weight::new(cpu, n, k, dtype, 1, bytes.clone()).unwrap();
    let ids = cpu.u32_tensor(&[n], &(0..n as u32).collect::<Vec<_>>()).unwrap();
    let mut y = cpu.zeros(&[n, k], DType::F32).unwrap();
    embedding::forward(cpu, &ids, &w, &mut y, n).unwrap();
    y.f32s("test").unwrap().to_vec()
}

#[test]
fn matmul_is_the_sum_in_every_format() {
    let Some(gpu) = exact() else { return };
    compare_matmul(&gpu, &DType::WEIGHTS, &[(1, 65), (33, 70)]);
    compare_matmul(&gpu, &[DType::F32, DType::Q4_K], &[(9, 1), (65, 63), (2, 257)]);
}

#[test]
fn matmul_in_fast_mode_is_close() {
    let Some(gpu) = device(&GpuOptions { precision: Precision::Fast, ..Default::default() }) else { return };
    compare_matmul(&gpu, &DType::WEIGHTS, &[(1, 65), (3, 7)]);
    compare_matmul(&gpu, &[DType::Q8_0], &[(9, 70)]);
}

#[test]
fn shards_change_nothing() {
    let Some(whole) = exact() else { return };
    let Some(cut) = device(&GpuOptions { max_binding_bytes: Some(16 << 10), ..Default::default() }) else { return };
    for dtype in DType::WEIGHTS {
        let (n, k) = (130, width(dtype));
        let bytes = Bytes::from(random_weight(8, dtype, n, k));
        let ids: Vec<u32> = (0..n as u32).rev().collect();
        let x = random(9, 3 * k);
        let run = |device: &Device| {
            let w = Weight::new(device, n, k, dtype, 2, bytes.clone()).unwrap();
            let product = run_matmul(device, &x, &w, None, 3, Output::Store);
            let mut y = guarded(device, n, k);
            embedding::forward(device, &device.u32_tensor(&[n], &ids).unwrap(), &w, &mut y, n).unwrap();
            (product, rows_of(device, &y, n))
        };
        assert_eq!(run(&whole), run(&cut), "{}", dtype.name());
    }
    let bytes = Bytes::from(random_weight(8, DType::F32, 32, 257));
    let error = Weight::new(&cut, 32, 257, DType::F32, 32, bytes).err().expect("a unit larger than a binding").to_string();
    assert!(error.contains("maxStorageBufferBindingSize"), "{error}");
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let Some(device) = exact() else { return };
    for dtype in [DType::BF16, DType::Q4_K] {
        let (n, k, most) = (70, 512, 65);
        let w = Weight::new(&device, n, k, dtype, 1, Bytes::from(random_weight(10, dtype, n, k))).unwrap();
        let x = random(11, most * k);
        let all = run_matmul(&device, &x, &w, None, most, Output::Store);
        for rows in [1, 2, 8, 9, 33] {
            let some = run_matmul(&device, &x[..rows * k], &w, None, rows, Output::Store);
            assert_eq!(some, all[..rows * n], "{} rows {rows}", dtype.name());
        }
    }
}

#[test]
fn embedding_and_gather_copy_exactly() {
    let Some(gpu) = exact() else { return };
    let cpu = Device::cpu(Precision::Exact);
    let ids = [6u32, 0, 3, 3, 5];
    for dtype in DType::WEIGHTS {
        let k = width(dtype);
        let bytes = Bytes::from(random_weight(12, dtype, 7, k));
        let run = |device: &Device| {
            let w = Weight::new(device, 7, k, dtype, 1, bytes.clone()).unwrap();
            let mut y = guarded(device, ids.len(), k);
            embedding::forward(device, &device.u32_tensor(&[ids.len()], &ids).unwrap(), &w, &mut y, ids.len()).unwrap();
            rows_of(device, &y, ids.len())
        };
        assert_eq!(run(&gpu), run(&cpu), "{}", dtype.name());
    }
    let values = random(13, 7 * 63);
    let x = gpu.f32_tensor(&[7, 63], &values).unwrap();
    let mut y = guarded(&gpu, ids.len(), 63);
    embedding::gather(&gpu, &x, &gpu.u32_tensor(&[ids.len()], &ids).unwrap(), &mut y, ids.len()).unwrap();
    let want: Vec<f32> = ids.iter().flat_map(|&id| &values[id as usize * 63..][..63]).copied().collect();
    assert_eq!(rows_of(&gpu, &y, ids.len()), want);
}

#[test]
fn rms_norm_equals_the_formula() {
    let Some(device) = exact() else { return };
    for (rows, width) in [(1, 1), (7, 63), (65, 128), (3, 257), (2, 1000)] {
        let (x, g) = (random(14, rows * width), random(15, width));
        let want: Vec<f64> = x
            .chunks_exact(width)
            .flat_map(|row| {
                let mean = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / width as f64;
                let g = &g;
                row.iter().enumerate().map(move |(i, &v)| f64::from(v) / (mean + 1e-6).sqrt() * f64::from(g[i]))
            })
            .collect();
        let gain = device.f32_tensor(&[width], &g).unwrap();
        let from = device.f32_tensor(&[rows, width], &x).unwrap();
        let mut y = guarded(&device, rows, width);
        rms_norm::forward(&device, &from, &gain, 1e-6, &mut y, rows, width).unwrap();
        expect_near("rms_norm", &rows_of(&device, &y, rows), &want, 1e-6);
        y.write_f32(&device, &x).unwrap();
        rms_norm::forward_in_place(&device, &mut y, &gain, 1e-6, rows, width).unwrap();
        expect_near("rms_norm in place", &rows_of(&device, &y, rows), &want, 1e-6);
    }
}

#[test]
fn rope_equals_the_formula() {
    let Some(device) = exact() else { return };
    for (rows, heads, half) in [(1, 1, 4), (7, 3, 32), (65, 2, 9)] {
        let frequencies: Vec<f64> = (0..half).map(|i| 1e4f64.powf(-(i as f64) / half as f64)).collect();
        let table = RopeTable::new(&device, 100_000, &frequencies, 1.25).unwrap();
        let positions: Vec<u32> = (0..rows as u32).map(|r| r * 1529).collect();
        let x = random(16, rows * heads * 2 * half);
        let mut y = guarded(&device, rows, heads * 2 * half);
        y.write_f32(&device, &x).unwrap();
        rope::forward(&device, &mut y, &table, &device.u32_tensor(&[rows], &positions).unwrap(), rows, heads).unwrap();
        let mut want = f64s(&x);
        for (head, values) in want.chunks_exact_mut(2 * half).enumerate() {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (sine, cosine) = (f64::from(positions[head / heads]) * frequency).sin_cos();
                let (a, b) = (values[i], values[i + half]);
                values[i] = (a * cosine - b * sine) * 1.25;
                values[i + half] = (b * cosine + a * sine) * 1.25;
            }
        }
        expect_near("rope", &rows_of(&device, &y, rows), &want, 1e-6);
    }
}

#[test]
fn planted_faults_are_noticed() {
    let want: Vec<f64> = f64s(&random(17, 65 * 63));
    let good: Vec<f32> = want.iter().map(|&v| v as f32).collect();
    assert_eq!(difference(&good, &want, 2e-6), None);
    let fault = |change: &dyn Fn(usize, f32) -> f32| {
        let bad: Vec<f32> = good.iter().enumerate().map(|(i, &v)| change(i, v)).collect();
        difference(&bad, &want, 2e-6).expect("the fault was not noticed");
    };
    fault(&|_, v| v * 1.01);
    fault(&|i, _| good[i % 63 * 65 + i / 63]);
    fault(&|i, v| if i >= 64 * 63 { 0.0 } else { v });
    fault(&|i, v| if i == 7 { f32::NAN } else { v });
}

/// The order of matmul.rs by hand; a driver may fuse `fma` or not, but always the same way.
fn canonical(x: &[f32], w: &[f32], fused: bool) -> f32 {
    let mut lanes = [0f32; 16];
    for (k, (&x, &w)) in x.iter().zip(w).enumerate() {
        lanes[k % 16] = if fused { x.mul_add(w, lanes[k % 16]) } else { x * w + lanes[k % 16] };
    }
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
}

#[test]
fn matmul_is_the_canonical_sum_to_the_bit() {
    let Some(gpu) = exact() else { return };
    let cpu = Device::cpu(Precision::Exact);
    for (dtype, rows) in [(DType::F32, 1), (DType::F32, 9), (DType::Q6_K, 3), (DType::Q4_K, 33)] {
        let (n, k) = (65, width(dtype));
        let bytes = Bytes::from(random_weight(18, dtype, n, k));
        let values = dequantised(&cpu, dtype, n, k, &bytes);
        let x = random(19, rows * k);
        let w = Weight::new(&gpu, n, k, dtype, 1, bytes).unwrap();
        let got = run_matmul(&gpu, &x, &w, None, rows, Output::Store);
        let want = |fused| (0..rows * n).map(|i| canonical(&x[i / n * k..][..k], &values[i % n * k..][..k], fused)).collect::<Vec<_>>();
        assert!(got == want(true) || got == want(false), "{} rows {rows}", dtype.name());
    }
}

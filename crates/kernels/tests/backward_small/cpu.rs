//! The CPU.

use kernels::cpu::{CpuDevice, simd::Level};
use kernels::matmul::{self, Output};
use kernels::rope::RopeTable;
use kernels::{DType, Device, KernelError, Precision, Weight, embedding, rms_norm, rope, swiglu};

use crate::gradients::{bits, expect_faults_are_seen, off};
use crate::matmul::{RAGGED, chain, check_sums, check_x, run_bias, run_w, run_x, shape_of, truth_bias, truth_w, truth_x, weight_values};
use crate::small::{check_look_ups, check_norm, check_rope, check_swiglu, run_norm};
use crate::support::{random, random_weight};

fn cpu(threads: usize, level: Level) -> Device {
    Device::Cpu(CpuDevice::with_threads(Precision::Exact, threads).with_simd(level))
}

const LEVELS: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

#[test]
fn matmul_at_ragged_sizes() {
    for (threads, level) in [1, 2, 3].into_iter().zip(LEVELS) {
        let device = cpu(threads, level);
        for shape in RAGGED {
            check_sums(&device, shape);
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                check_x(&device, dtype, shape);
            }
        }
    }
}

#[test]
fn matmul_in_every_format() {
    for level in LEVELS {
        for dtype in DType::WEIGHTS {
            for rows in [1, 7, 33] {
                check_x(&cpu(2, level), dtype, shape_of(dtype, rows));
            }
        }
    }
}

#[test]
fn faults_of_a_matmul_are_seen() {
    let device = cpu(2, Level::Avx512);
    let shape @ (rows, n, k) = (65, 63, 257);
    let (dy, x) = (random(1, rows * n), random(2, rows * k));
    let (bytes, zeros) = (random_weight(3, DType::F32, n, k), vec![0.0; rows.max(n) * k]);
    let w = weight_values(DType::F32, &bytes, n * k);
    let want = truth_x(&dy, &w, &zeros[..rows * k], shape, Output::Store);
    let got = run_x(&device, &dy, DType::F32, &bytes, &zeros[..rows * k], shape, Output::Store);
    expect_faults_are_seen(&got, k, |got| off(got, &want, chain(n)));
    let want = truth_w(&dy, &x, &zeros[..n * k], shape);
    let got = run_w(&device, &dy, &x, &zeros[..n * k], shape);
    expect_faults_are_seen(&got, k, |got| off(got, &want, chain(rows)));
    let want = truth_bias(&dy, &zeros[..n], shape);
    expect_faults_are_seen(&run_bias(&device, &dy, &zeros[..n], shape), n, |got| off(got, &want, chain(rows)));
    // A product of the wrong operands: x for dy in db, W transposed in dx.
    let w_t: Vec<f32> = (0..n * k).map(|i| w[i % n * k + i / n]).collect();
    let want = truth_x(&dy, &w_t, &zeros[..rows * k], shape, Output::Store);
    let got = run_x(&device, &dy, DType::F32, &bytes, &zeros[..rows * k], shape, Output::Store);
    assert!(off(&got, &want, chain(n)).is_some(), "W transposed passes");
}

#[test]
fn bits_do_not_depend_on_threads_levels_or_other_rows() {
    for (dtype, n, k) in [(DType::F32, 300, 70), (DType::BF16, 45, 257), (DType::Q4_K, 70, 512), (DType::Q8_0, 130, 96)] {
        let most = 130;
        let (dy, x, before) = (random(1, most * n), random(2, most * k), random(3, n.max(most) * k));
        let bytes = random_weight(4, dtype, n, k);
        let one = cpu(1, Level::Portable);
        let all_x = bits(&run_x(&one, &dy, dtype, &bytes, &before[..most * k], (most, n, k), Output::Add));
        let all_w = bits(&run_w(&one, &dy, &x, &before[..n * k], (most, n, k)));
        let all_bias = bits(&run_bias(&one, &dy, &before[..n], (most, n, k)));
        for level in LEVELS {
            for threads in [1, 2, 5] {
                let device = cpu(threads, level);
                let words = format!("{} {level:?} {threads} threads", dtype.name());
                assert!(bits(&run_w(&device, &dy, &x, &before[..n * k], (most, n, k))) == all_w, "dw {words}");
                assert!(bits(&run_bias(&device, &dy, &before[..n], (most, n, k))) == all_bias, "db {words}");
                for rows in [1, 2, 7, 65, most] {
                    let shape = (rows, n, k);
                    let some = run_x(&device, &dy[..rows * n], dtype, &bytes, &before[..rows * k], shape, Output::Add);
                    assert!(bits(&some) == all_x[..rows * k], "dx {words}, {rows} rows");
                }
            }
        }
    }
}

#[test]
fn rows_in_parts_of_256_are_all_at_once() {
    let device = cpu(2, Level::Avx512);
    let (rows, n, k) = (600, 33, 65);
    let (dy, x, before) = (random(1, rows * n), random(2, rows * k), random(3, n * k));
    let whole = run_w(&device, &dy, &x, &before, (rows, n, k));
    let whole_bias = run_bias(&device, &dy, &before[..n], (rows, n, k));
    let (mut dw, mut db) = (before.clone(), before[..n].to_vec());
    for part in [0..256, 256..512, 512..600] {
        let shape = (part.len(), n, k);
        let dy = &dy[part.start * n..part.end * n];
        dw = run_w(&device, dy, &x[part.start * k..part.end * k], &dw, shape);
        db = run_bias(&device, dy, &db, shape);
    }
    assert!(bits(&dw) == bits(&whole) && bits(&db) == bits(&whole_bias));
}

#[test]
fn small_ops_at_ragged_sizes() {
    for (threads, level) in [1, 2, 3].into_iter().zip(LEVELS) {
        let device = cpu(threads, level);
        for (rows, width) in [(1, 1), (1, 257), (7, 63), (63, 7), (65, 65), (257, 1), (257, 65), (7, 1025)] {
            check_norm(&device, rows, width);
            check_swiglu(&device, rows, width, 16.0);
            check_look_ups(&device, rows, width);
        }
        for (rows, heads, half) in [(1, 1, 1), (7, 3, 32), (65, 2, 33), (257, 1, 4)] {
            check_rope(&device, rows, heads, half);
        }
    }
}

#[test]
fn a_norms_bits_do_not_depend_on_threads_levels_or_other_rows() {
    let (most, width) = (300, 130);
    let (x, dy, gain) = (random(1, most * width), random(2, most * width), random(3, width));
    let zeros = vec![0.0; most * width];
    let run = |device: &Device, rows: usize| {
        let count = rows * width;
        let operands = [&x[..count], &gain, &dy[..count], &zeros[..count], &zeros[..width]];
        let (dx, dgain) = run_norm(device, operands, rows, Output::Store, true);
        (bits(&dx), bits(&dgain))
    };
    let all = run(&cpu(1, Level::Portable), most);
    for level in LEVELS {
        for threads in [1, 2, 5] {
            let device = cpu(threads, level);
            assert!(run(&device, most) == all, "{level:?} {threads}");
            for rows in [1, 7, 65] {
                assert!(run(&device, rows).0 == all.0[..rows * width], "{level:?} {threads}, {rows} rows");
            }
        }
    }
}

/// What is no number stays in its row, and infinities of a gate do not become one.
#[test]
fn not_a_number_stays_one() {
    let device = cpu(2, Level::Avx512);
    let width = 70;
    let ones = vec![1.0; 2 * width];
    let mut values = ones.clone();
    values[width + 3] = f32::NAN;
    let (dx, dgain) = run_norm(&device, [&ones, &ones[..width], &values, &ones, &ones[..width]], 2, Output::Store, true);
    assert!(dx[..width].iter().all(|v| v.is_finite()) && dx[width..].iter().all(|v| v.is_nan()));
    assert!(dgain.iter().enumerate().all(|(i, v)| v.is_nan() == (i == 3)));
    let mut gate = device.f32_tensor(&[1, 4], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0]).unwrap();
    let mut up = device.f32_tensor(&[1, 4], &ones[..4]).unwrap();
    let dh = device.f32_tensor(&[1, 4], &ones[..4]).unwrap();
    swiglu::backward(&device, &mut gate, &mut up, &dh, 1).unwrap();
    let gate = gate.f32s("test").unwrap();
    assert!(gate[0].is_nan() && gate[1..] == [1.0, 0.0, 0.5], "{gate:?}");
}

#[test]
fn nothing_to_do_is_done() {
    let device = cpu(2, Level::Avx512);
    let shape = (0, 5, 6);
    assert!(run_x(&device, &[], DType::F32, &[0; 120], &[], shape, Output::Store).is_empty());
    let before = random(1, 30);
    assert_eq!(run_w(&device, &[], &[], &before, shape), before);
    assert_eq!(run_bias(&device, &[], &before[..5], shape), before[..5]);
    let (dx, dgain) = run_norm(&device, [&[], &before[..5], &[], &[], &before[..5]], 0, Output::Store, true);
    assert!(dx.is_empty() && dgain == before[..5]);
}

#[test]
fn wrong_operands_are_errors() {
    let device = cpu(1, Level::Avx512);
    let zeros = |shape: &[usize]| device.zeros(shape, DType::F32).unwrap();
    let shape = |result: kernels::Result<()>| assert!(matches!(result, Err(KernelError::Shape { .. })), "{result:?}");
    let value = |result: kernels::Result<()>| assert!(matches!(result, Err(KernelError::Value { .. })), "{result:?}");
    let w = Weight::new(&device, 4, 6, DType::F32, 1, vec![0; 96].into()).unwrap();
    shape(matmul::backward_x(&device, &zeros(&[2, 5]), &w, &mut zeros(&[2, 6]), 2, Output::Store));
    shape(matmul::backward_x(&device, &zeros(&[2, 4]), &w, &mut zeros(&[2, 4]), 2, Output::Store));
    shape(matmul::backward_x(&device, &zeros(&[2, 4]), &w, &mut zeros(&[2, 6]), 3, Output::Store));
    shape(matmul::backward_w(&device, &zeros(&[2, 4]), &zeros(&[2, 6]), &mut zeros(&[3, 6]), 2));
    shape(matmul::backward_w(&device, &zeros(&[2, 4]), &zeros(&[1, 6]), &mut zeros(&[4, 6]), 2));
    shape(matmul::backward_bias(&device, &zeros(&[2, 4]), &mut zeros(&[5]), 2));
    let (x, gain) = (zeros(&[2, 6]), zeros(&[6]));
    shape(rms_norm::backward(&device, &x, &gain, 1e-6, &zeros(&[1, 6]), &mut zeros(&[2, 6]), Output::Store, None, 2, 6));
    let mut short = zeros(&[5]);
    shape(rms_norm::backward(&device, &x, &gain, 1e-6, &x, &mut zeros(&[2, 6]), Output::Store, Some(&mut short), 2, 6));
    let table = RopeTable::new(&device, 3, &[1.0], 1.0).unwrap();
    let positions = |p: &[u32]| device.u32_tensor(&[p.len()], p).unwrap();
    shape(rope::backward(&device, &mut zeros(&[2, 2]), &table, &positions(&[0]), 2, 1));
    value(rope::backward(&device, &mut zeros(&[2, 2]), &table, &positions(&[0, 3]), 2, 1));
    shape(swiglu::backward(&device, &mut zeros(&[2, 6]), &mut zeros(&[2, 5]), &zeros(&[2, 6]), 2));
    shape(swiglu::forward_to(&device, &zeros(&[2, 6]), &zeros(&[2, 6]), &mut zeros(&[1, 6]), 2));
    shape(embedding::backward(&device, &zeros(&[2, 6]), &[0], &mut zeros(&[4, 6]), 2));
    value(embedding::backward(&device, &zeros(&[2, 6]), &[0, 4], &mut zeros(&[4, 6]), 2));
    shape(embedding::backward(&device, &zeros(&[2, 6]), &[0, 3], &mut zeros(&[4, 5]), 2));
    value(embedding::scatter(&device, &zeros(&[2, 6]), &positions(&[1, 4]), &mut zeros(&[4, 6]), 2));
    value(embedding::scatter(&device, &zeros(&[2, 6]), &positions(&[1, 1]), &mut zeros(&[4, 6]), 2));
}

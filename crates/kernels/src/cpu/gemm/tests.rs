//! The definition of the sum, to the bit, in every layout.

use super::*;
use crate::cpu::CpuWeight;
use crate::stored::StoredRows;
use crate::{DType, Precision};

fn device(threads: usize, level: Level) -> CpuDevice {
    CpuDevice::with_threads(Precision::Exact, threads).with_simd(level)
}

fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The module's definition of the sum.
fn plain(a: &[f32], b: &[f32], old: &[f32], [m, n, k]: [usize; 3], output: Output) -> Vec<f32> {
    let mut c = if output == Output::Add { old.to_vec() } else { vec![0.0; m * n] };
    for (at, c) in c.iter_mut().enumerate() {
        for block in (0..k).step_by(DEPTH) {
            let mut sum = 0f32;
            for s in block..(block + DEPTH).min(k) {
                sum = a[at / n * k + s].mul_add(b[s * n + at % n], sum);
            }
            *c = if block == 0 && output == Output::Store { sum } else { *c + sum };
        }
    }
    c
}

fn transpose(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..rows * cols).map(|i| x[i % rows * cols + i / rows]).collect()
}

#[test]
fn every_layout_thread_count_and_level_gives_the_defined_bits() {
    for shape @ [m, n, k] in [[1, 1, 1], [7, 63, 65], [65, 7, 257], [13, 33, 0], [97, 130, 600], [2, 4100, 3], [1160, 5, 9]] {
        let (a, b, old) = (numbers(1, m * k), numbers(2, k * n), numbers(3, m * n));
        let (a_t, b_t) = (transpose(&a, m, k), transpose(&b, k, n));
        let bytes: Vec<u8> = b.iter().flat_map(|v| v.to_le_bytes()).collect();
        for output in [Output::Store, Output::Add] {
            let want = plain(&a, &b, &old, shape, output);
            for (threads, level) in [(1, Level::Portable), (2, Level::Avx2), (3, Level::Avx512)] {
                let device = device(threads, level);
                let stored = StoredRows::new(k, n, DType::F32, 1, vec![bytes.clone().into()]).unwrap();
                let w = CpuWeight::new(k, n, DType::F32, &stored).unwrap();
                let lefts = [Matrix::new(&a, k), Matrix::new(&a_t, m).transposed()];
                let rights = [Right::Matrix(Matrix::new(&b, n)), Right::Matrix(Matrix::new(&b_t, k).transposed()), Right::Weight(&w, 0..k)];
                for (i, left) in lefts.into_iter().enumerate() {
                    for (j, right) in rights.iter().enumerate() {
                        // Rows of C two elements apart, which stay as they are.
                        let stride = n + 2;
                        let mut c = vec![9.5f32; m * stride];
                        for (c, old) in c.chunks_exact_mut(stride).zip(old.chunks_exact(n)) {
                            c[..n].copy_from_slice(old);
                        }
                        gemm(&device, shape, left, right, &mut c, stride, output);
                        for (row, c) in c.chunks_exact(stride).enumerate() {
                            let want = &want[row * n..(row + 1) * n];
                            assert!(c[..n] == *want, "{shape:?} {output:?} {level:?} layouts {i} {j}, row {row}");
                            assert!(c[n..] == [9.5, 9.5], "wrote past row {row}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_nan_stays_in_its_row_and_column() {
    let device = device(2, Level::Avx512);
    let (mut a, b) = (numbers(1, 5 * 40), numbers(2, 40 * 50));
    a[2 * 40 + 7] = f32::NAN;
    let mut c = vec![0.0; 5 * 50];
    gemm(&device, [5, 50, 40], Matrix::new(&a, 40), &Right::Matrix(Matrix::new(&b, 50)), &mut c, 50, Output::Store);
    assert!(c.iter().enumerate().all(|(i, c)| c.is_nan() == (i / 50 == 2)));
}

//! The CPU's matmul, look-ups, head and experts against f64 references; bits across batch, threads and SIMD levels.

use kernels::cpu::{CpuDevice, dequant::dequantize, simd::Level};
use kernels::matmul::{self, Output};
use kernels::{Bytes, DType, Device, KernelError, Precision, Tensor, Weight, embedding, head, moe};

/// xorshift64*: the tests need no better.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// In [-1, 1).
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// Random bytes of a format with moderate scales.
fn random_weight(random: &mut Random, dtype: DType, rows: usize, cols: usize) -> Vec<u8> {
    let mut bytes = match dtype {
        DType::F32 => return random.floats(rows * cols).iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::F16 => return (0..rows * cols).flat_map(|_| half::f16::from_f32(random.float()).to_le_bytes()).collect(),
        DType::BF16 => return (0..rows * cols).flat_map(|_| half::bf16::from_f32(random.float()).to_le_bytes()).collect(),
        _ => (0..rows * dtype.row_bytes(cols).unwrap()).map(|_| random.next() as u8).collect::<Vec<u8>>(),
    };
    let fields: &[usize] = match dtype {
        DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => &[0, 2],
        DType::Q6_K => &[208],
        _ => &[0],
    };
    for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
        for &at in fields {
            block[at..at + 2].copy_from_slice(&half::f16::from_f32(0.05 * random.float()).to_le_bytes());
        }
    }
    bytes
}

fn floats(dtype: DType, bytes: &[u8], count: usize) -> Vec<f32> {
    let mut out = vec![0.0; count];
    dequantize(dtype, bytes, &mut out).unwrap();
    out
}

/// x Wᵀ in f64 and, per output, Σ |x w|.
fn reference(x: &[f32], w: &[f32], k: usize) -> (Vec<f64>, Vec<f64>) {
    let pairs = |f: &dyn Fn(f64) -> f64| {
        x.chunks_exact(k)
            .flat_map(|x| w.chunks_exact(k).map(move |w| (x, w)))
            .map(|(x, w)| x.iter().zip(w).map(|(a, b)| f(f64::from(*a) * f64::from(*b))).sum())
            .collect()
    };
    (pairs(&|v| v), pairs(&f64::abs))
}

/// The first output that is further from the reference than `tolerance` of its magnitude.
fn compare(got: &[f32], (want, size): &(Vec<f64>, Vec<f64>), tolerance: f64) -> Result<(), String> {
    assert_eq!(got.len(), want.len());
    for i in 0..got.len() {
        let error = (f64::from(got[i]) - want[i]).abs();
        if error.is_nan() || error > tolerance * size[i] + 1e-30 {
            return Err(format!("output {i} is {}, {} is right (Σ|xw| = {})", got[i], want[i], size[i]));
        }
    }
    Ok(())
}

/// Each lane adds k/16 products, then four levels of the tree; every step rounds once.
fn exact_tolerance(k: usize) -> f64 {
    (k as f64 / 16.0 + 6.0) * f64::from(f32::EPSILON) / 2.0
}

fn cpu(threads: usize, level: Level) -> Device {
    Device::Cpu(CpuDevice::with_threads(Precision::Exact, threads).with_simd(level))
}

fn read(device: &Device, tensor: &Tensor) -> Vec<f32> {
    pollster::block_on(device.read_f32(tensor, tensor.len())).unwrap()
}

fn multiply(device: &Device, x: &[f32], bytes: &[u8], dtype: DType, n: usize, k: usize) -> Vec<f32> {
    // One byte off any alignment, as a mapped file may be.
    let mut shifted = vec![0u8];
    shifted.extend_from_slice(bytes);
    let bytes = Bytes::from(shifted).slice(1..1 + bytes.len()).unwrap();
    let w = Weight::new(device, n, k, dtype, 1, bytes).unwrap();
    let rows = x.len() / k;
    let x = device.f32_tensor(&[rows, k], x).unwrap();
    let mut y = device.zeros(&[rows, n], DType::F32).unwrap();
    matmul::forward(device, &x, &w, None, &mut y, rows, Output::Store).unwrap();
    read(device, &y)
}

#[test]
fn matmul_is_right_at_ragged_sizes() {
    let mut random = Random(1);
    for level in [Level::Portable, Level::Avx2, Level::Avx512] {
        let device = cpu(2, level);
        for (rows, n, k) in [(1, 1, 1), (1, 63, 7), (7, 65, 63), (7, 7, 257), (65, 9, 65), (2, 257, 16), (103, 37, 64), (6, 40, 2085)] {
            let x = random.floats(rows * k);
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                let bytes = random_weight(&mut random, dtype, n, k);
                let got = multiply(&device, &x, &bytes, dtype, n, k);
                compare(&got, &reference(&x, &floats(dtype, &bytes, n * k), k), exact_tolerance(k)).unwrap();
            }
        }
        for dtype in DType::WEIGHTS {
            for (rows, n, k) in [(1, 5, 256), (7, 33, 1280), (20, 3, 2560)] {
                let x = random.floats(rows * k);
                let bytes = random_weight(&mut random, dtype, n, k);
                let got = multiply(&device, &x, &bytes, dtype, n, k);
                compare(&got, &reference(&x, &floats(dtype, &bytes, n * k), k), exact_tolerance(k))
                    .unwrap_or_else(|e| panic!("{}: {e}", dtype.name()));
            }
        }
    }
}

#[test]
fn the_comparison_catches_faults() {
    let mut random = Random(2);
    let (rows, n, k) = (7, 7, 257);
    let (x, w) = (random.floats(rows * k), random.floats(n * k));
    let want = reference(&x, &w, k);
    let right: Vec<f32> = want.0.iter().map(|v| *v as f32).collect();
    compare(&right, &want, exact_tolerance(k)).unwrap();
    let zeroed = vec![0.0; right.len()];
    let scaled: Vec<f32> = right.iter().map(|v| v * 1.01).collect();
    let transposed: Vec<f32> = (0..rows * n).map(|i| right[i % n * n + i / n]).collect();
    let no_tail: Vec<f32> = (0..rows * n).map(|i| (0..k - 1).map(|j| x[i / n * k + j] * w[i % n * k + j]).sum()).collect();
    let mut nan = right.clone();
    nan[3] = f32::NAN;
    for (name, fault) in [("zeroed", zeroed), ("scaled", scaled), ("transposed", transposed), ("tail", no_tail), ("nan", nan)] {
        assert!(compare(&fault, &want, exact_tolerance(k)).is_err(), "{name} passed");
    }
}

#[test]
fn exact_bits_do_not_depend_on_batch_threads_or_simd() {
    let mut random = Random(3);
    for (dtype, n, k) in [
        (DType::F32, 70, 2069),
        (DType::BF16, 45, 1536),
        (DType::F16, 13, 1040),
        (DType::Q4_K, 70, 1280),
        (DType::Q6_K, 33, 2304),
        (DType::Q8_0, 130, 96),
    ] {
        let x = random.floats(65 * k);
        let bytes = random_weight(&mut random, dtype, n, k);
        let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
        let all = bits(multiply(&cpu(1, Level::Portable), &x, &bytes, dtype, n, k));
        for level in [Level::Portable, Level::Avx2, Level::Avx512] {
            for threads in [1, 2] {
                for rows in [1, 2, 7, 65] {
                    let some = bits(multiply(&cpu(threads, level), &x[..rows * k], &bytes, dtype, n, k));
                    assert!(some == all[..rows * n], "{} {level:?} {threads} threads, {rows} rows", dtype.name());
                }
            }
        }
        // The definition itself, written plainly.
        let w = floats(dtype, &bytes, n * k);
        let mut lanes = [0f32; 16];
        for j in 0..k {
            lanes[j % 16] = x[j].mul_add(w[j], lanes[j % 16]);
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        assert_eq!(lanes[0].to_bits(), all[0]);
    }
}

#[test]
fn bias_and_accumulation() {
    let device = cpu(2, Level::Avx512);
    let mut random = Random(4);
    let (rows, n, k) = (3, 21, 48);
    let (x, old, bias) = (random.floats(rows * k), random.floats(rows * n), random.floats(n));
    let bytes = random_weight(&mut random, DType::F32, n, k);
    let plain = multiply(&device, &x, &bytes, DType::F32, n, k);
    let w = Weight::new(&device, n, k, DType::F32, 1, bytes.into()).unwrap();
    let (x, b) = (device.f32_tensor(&[rows, k], &x).unwrap(), device.f32_tensor(&[n], &bias).unwrap());
    for (bias_used, output) in [(true, Output::Store), (false, Output::Add), (true, Output::Add)] {
        let mut y = device.f32_tensor(&[rows, n], &old).unwrap();
        matmul::forward(&device, &x, &w, bias_used.then_some(&b), &mut y, rows, output).unwrap();
        for (i, y) in read(&device, &y).into_iter().enumerate() {
            let mut want = if bias_used { plain[i] + bias[i % n] } else { plain[i] };
            if output == Output::Add {
                want += old[i];
            }
            assert!((y - want).abs() < 1e-5, "{bias_used} {output:?} {i}: {y} {want}");
        }
    }
}

#[test]
fn golden_formats() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/quant");
    for dtype in DType::WEIGHTS.into_iter().filter(|dtype| dtype.block_len() > 1) {
        // What a weight becomes must not depend on how many stand in a row or on the SIMD level: look up odd rows at each.
        let bytes = random_weight(&mut Random(9), dtype, 3, 3 * dtype.block_len());
        let table = |level| {
            let device = cpu(1, level);
            let w = Weight::new(&device, 3, 3 * dtype.block_len(), dtype, 1, bytes.clone().into()).unwrap();
            let mut y = device.zeros(&[3, w.cols], DType::F32).unwrap();
            embedding::forward(&device, &device.u32_tensor(&[3], &[0, 1, 2]).unwrap(), &w, &mut y, 3).unwrap();
            read(&device, &y).into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        assert!(table(Level::Portable) == table(Level::Avx512) && table(Level::Portable) == table(Level::Avx2), "{}", dtype.name());
        let name = format!("{}.safetensors", dtype.name().to_uppercase());
        let file = std::fs::read(folder.join(&name)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        let want: Vec<f32> =
            file.tensor("values").unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let mut bytes = file.tensor("bytes").unwrap().data().to_vec();
        let same = |bytes: &[u8]| floats(dtype, bytes, want.len()).iter().zip(&want).all(|(a, b)| a == b);
        assert!(same(&bytes), "{name}");
        // A planted fault: one changed bit in a block's last byte.
        let last = dtype.block_bytes() * 2 - 1;
        bytes[last] ^= 0x10;
        assert!(!same(&bytes), "{name}: the comparison is blind");
    }
    assert!(dequantize(DType::Q4_K, &[0; 143], &mut [0.0; 256]).is_err());
}

/// ‖got - want‖ / ‖want‖ over all outputs.
fn relative_error(got: &[f32], want: &[f64]) -> f64 {
    let error: f64 = got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).powi(2)).sum();
    (error / want.iter().map(|w| w * w).sum::<f64>()).sqrt()
}

#[test]
fn fast_mode_is_close() {
    let mut random = Random(10);
    for level in [Level::Portable, Level::Avx2, Level::Avx512] {
        for dtype in DType::WEIGHTS {
            for (rows, n, k) in [(1, 37, 1280), (3, 9, 96), (4, 8, 256), (7, 33, 512), (13, 70, 768), (64, 32, 256)] {
                let k = if dtype.block_len() == 256 { k / 256 * 256 + 256 } else { k };
                let device = Device::Cpu(CpuDevice::with_threads(Precision::Fast, 2).with_simd(level));
                let x = random.floats(rows * k);
                let bytes = random_weight(&mut random, dtype, n, k);
                let got = multiply(&device, &x, &bytes, dtype, n, k);
                let (want, _) = reference(&x, &floats(dtype, &bytes, n * k), k);
                // 8 bits of a uniform x: steps of 1/127 of the block's largest, so an error of about 1/127/√12/0.58 of x.
                let error = relative_error(&got, &want);
                assert!(error < 0.01, "{} {level:?} {rows}x{n}x{k}: {error}", dtype.name());
                // A dropped last column, a scaled or a shifted output would show.
                let mut fault = got.clone();
                fault.rotate_right(1);
                assert!(got.len() == 1 || relative_error(&fault, &want) > 0.05);
                assert!(relative_error(&got.iter().map(|v| v * 1.02).collect::<Vec<f32>>(), &want) > 0.01);
            }
        }
    }
}

#[test]
fn fast_mode_shows_nan() {
    for level in [Level::Portable, Level::Avx2, Level::Avx512] {
        for rows in [1, 20] {
            let device = Device::Cpu(CpuDevice::with_threads(Precision::Fast, 1).with_simd(level));
            let mut x = vec![0.5; rows * 256];
            x[77] = f32::NAN;
            let bytes = random_weight(&mut Random(11), DType::Q4_K, 33, 256);
            let got = multiply(&device, &x, &bytes, DType::Q4_K, 33, 256);
            assert!(got[..33].iter().all(|v| v.is_nan()) && got[33..].iter().all(|v| v.is_finite()), "{level:?} {rows}");
        }
    }
}

#[test]
fn f16_is_exact() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for (bits, value) in floats(DType::F16, &bytes, 1 << 16).into_iter().enumerate() {
        let want = half::f16::from_bits(bits as u16).to_f32();
        assert!(value.to_bits() == want.to_bits() || (value.is_nan() && want.is_nan()), "{bits:#x}");
    }
}

#[test]
fn random_scales_never_panic() {
    let mut random = Random(5);
    for dtype in DType::WEIGHTS {
        let (n, k) = (6, 512);
        let bytes: Vec<u8> = (0..n * dtype.row_bytes(k).unwrap()).map(|_| random.next() as u8).collect();
        for precision in [Precision::Exact, Precision::Fast] {
            for rows in [1, 9] {
                let device = Device::cpu(precision);
                multiply(&device, &random.floats(rows * k), &bytes, dtype, n, k);
            }
        }
    }
}

#[test]
fn rows_are_looked_up() {
    let device = cpu(2, Level::Avx512);
    let mut random = Random(6);
    let bytes = random_weight(&mut random, DType::Q4_K, 5, 512);
    let table = floats(DType::Q4_K, &bytes, 5 * 512);
    let w = Weight::new(&device, 5, 512, DType::Q4_K, 1, bytes.into()).unwrap();
    let mut y = device.zeros(&[3, 512], DType::F32).unwrap();
    let ids = device.u32_tensor(&[3], &[4, 0, 4]).unwrap();
    embedding::forward(&device, &ids, &w, &mut y, 3).unwrap();
    let got = read(&device, &y);
    for (row, id) in [4, 0, 4].into_iter().enumerate() {
        assert!(got[row * 512..][..512] == table[id * 512..][..512]);
    }
    let mut z = device.zeros(&[2, 512], DType::F32).unwrap();
    embedding::gather(&device, &y, &device.u32_tensor(&[2], &[1, 2]).unwrap(), &mut z, 2).unwrap();
    assert!(read(&device, &z) == got[512..]);
    let ids = device.u32_tensor(&[3], &[4, 5, 0]).unwrap();
    match embedding::forward(&device, &ids, &w, &mut y, 3) {
        Err(KernelError::Value { message, .. }) => assert!(message.contains('5') && message.contains("row 1"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn head_matches_a_reference() {
    let mut random = Random(7);
    let (rows, vocabulary, k, temperature) = (99, 1337, 48, 0.7);
    let (x, w) = (random.floats(rows * k), random.floats(vocabulary * k));
    let targets: Vec<u32> = (0..rows).map(|_| (random.next() % vocabulary as u64) as u32).collect();
    let mut all: Option<Vec<u32>> = None;
    for (threads, level, rows) in [(1, Level::Portable, rows), (2, Level::Avx512, rows), (2, Level::Avx2, 1), (2, Level::Avx512, 7)] {
        let device = cpu(threads, level);
        let bytes: Vec<u8> = w.iter().flat_map(|v| v.to_le_bytes()).collect();
        let weight = Weight::new(&device, vocabulary, k, DType::F32, 1, bytes.into()).unwrap();
        let xs = device.f32_tensor(&[rows, k], &x[..rows * k]).unwrap();
        let ids = device.u32_tensor(&[rows], &targets[..rows]).unwrap();
        let mut out = head::HeadOutput::new(&device, rows).unwrap();
        head::forward(&device, &xs, &weight, &ids, temperature, None, &mut out, rows).unwrap();
        let got = [read(&device, &out.logprob), read(&device, &out.entropy), read(&device, &out.lse)];
        for row in 0..rows {
            let z: Vec<f64> = reference(&x[row * k..][..k], &w, k).0.into_iter().map(|z| z / f64::from(temperature)).collect();
            let lse = z.iter().map(|z| z.exp()).sum::<f64>().ln();
            let entropy: f64 = z.iter().map(|z| (lse - z) * (z - lse).exp()).sum();
            let want = [z[targets[row] as usize] - lse, entropy, lse];
            for i in 0..3 {
                assert!((f64::from(got[i][row]) - want[i]).abs() < 2e-5, "row {row}: {} {}", got[i][row], want[i]);
            }
        }
        let bits: Vec<u32> = got.iter().flat_map(|v| v[..rows.min(7)].iter().map(|v| v.to_bits())).collect();
        if rows >= 7 {
            assert!(all.get_or_insert(bits.clone()) == &bits, "bits depend on the batch");
        }
    }
    // NaN logits show.
    let device = cpu(1, Level::Avx512);
    let weight = Weight::new(&device, vocabulary, k, DType::F32, 1, vec![0u8; vocabulary * k * 4].into()).unwrap();
    let mut bad = vec![0.0; k];
    bad[5] = f32::NAN;
    let mut out = head::HeadOutput::new(&device, 1).unwrap();
    let ids = device.u32_tensor(&[1], &[3]).unwrap();
    head::forward(&device, &device.f32_tensor(&[1, k], &bad).unwrap(), &weight, &ids, 1.0, None, &mut out, 1).unwrap();
    assert!(read(&device, &out.logprob)[0].is_nan() && read(&device, &out.entropy)[0].is_nan());
    let ids = device.u32_tensor(&[1], &[vocabulary as u32]).unwrap();
    assert!(head::forward(&device, &device.f32_tensor(&[1, k], &bad).unwrap(), &weight, &ids, 1.0, None, &mut out, 1).is_err());
}

#[test]
fn experts_equal_a_dense_matmul_to_the_bit() {
    let mut random = Random(8);
    let (rows, experts, top_k, n, k) = (37, 8, 3, 24, 256);
    for (dtype, threads) in [(DType::F32, 1), (DType::Q4_K, 2)] {
        let device = cpu(threads, Level::Avx512);
        let (x, mut logits) = (random.floats(rows * k), random.floats(rows * experts));
        logits[..experts].fill(0.25); // all tie in token 0
        let bytes = random_weight(&mut random, dtype, experts * n, k);
        let dense = multiply(&device, &x, &bytes, dtype, experts * n, k);
        let w = Weight::new(&device, experts * n, k, dtype, n, bytes.into()).unwrap();
        let mut routes = moe::Routes::new(&device, rows, experts, top_k).unwrap();
        let router = device.f32_tensor(&[rows, experts], &logits).unwrap();
        moe::route(&device, &router, true, &mut routes, rows).unwrap();
        moe::sort(&device, &mut routes, rows).unwrap();
        let (ids, weights) = (routes.ids.u32s("t").unwrap(), routes.weights.f32s("t").unwrap());
        assert_eq!(&ids[..3], [0, 1, 2]);
        let inverse = routes.inverse.u32s("t").unwrap();
        let xs = device.f32_tensor(&[rows, k], &x).unwrap();
        let mut h = device.zeros(&[rows * top_k, n], DType::F32).unwrap();
        moe::grouped_matmul(&device, &xs, moe::Rows::Tokens, &w, &routes, &mut h, rows).unwrap();
        let mut y = device.f32_tensor(&[rows, n], &vec![1.0; rows * n]).unwrap();
        moe::combine(&device, &h, &routes, &mut y, rows).unwrap();
        let (h, y) = (read(&device, &h), read(&device, &y));
        for token in 0..rows {
            let p = &logits[token * experts..(token + 1) * experts];
            let mut best: Vec<usize> = (0..experts).collect();
            best.sort_by(|&a, &b| p[b].total_cmp(&p[a]).then(a.cmp(&b)));
            let sum: f32 = best[..top_k].iter().map(|&e| p[e].exp()).sum();
            let mut want = vec![0f32; n];
            for slot in 0..top_k {
                let i = token * top_k + slot;
                let e = best[slot];
                assert_eq!(ids[i] as usize, e);
                assert!((weights[i] - p[e].exp() / sum).abs() < 1e-6);
                let got = &h[inverse[i] as usize * n..][..n];
                assert!(got == &dense[token * experts * n + e * n..][..n], "token {token} expert {e}");
                want.iter_mut().zip(got).for_each(|(want, h)| *want += weights[i] * h);
            }
            assert!((0..n).all(|c| (y[token * n + c] - 1.0 - want[c]).abs() < 1e-4));
        }
        // Routes nobody sorted are refused, not followed out of bounds.
        let unsorted = moe::Routes::new(&device, rows, experts, top_k).unwrap();
        let mut h = device.zeros(&[rows * top_k, n], DType::F32).unwrap();
        assert!(moe::grouped_matmul(&device, &xs, moe::Rows::Tokens, &w, &unsorted, &mut h, rows).is_err());
    }
}

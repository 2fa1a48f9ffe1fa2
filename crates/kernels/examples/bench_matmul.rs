//! GFLOP/s and GB/s (of weights read) of the CPU's matmul: every format, both modes, decode and prefill shapes.
//!
//! `cargo run --release -p longhand-kernels --example bench_matmul -- [threads] [part of a format's name]`

use std::time::Instant;

use kernels::cpu::CpuDevice;
use kernels::matmul::{self, Output};
use kernels::{DType, Device, Precision, Weight};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let threads = args.first().and_then(|n| n.parse().ok()).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    let filter = args.get(1).cloned().unwrap_or_default();
    println!("format  mode   shape (N x K)   R    ms       GFLOP/s  GB/s");
    for dtype in DType::WEIGHTS.into_iter().filter(|dtype| dtype.name().contains(&filter)) {
        for precision in [Precision::Exact, Precision::Fast] {
            if precision == Precision::Fast && dtype.block_len() == 1 {
                continue; // plain formats have one path
            }
            let device = Device::Cpu(CpuDevice::with_threads(precision, threads));
            for (n, k) in [(1536, 1536), (8960, 1536)] {
                // Enough copies that decode reads memory, not the cache.
                let size = n * dtype.row_bytes(k).unwrap_or(0);
                let copies = (96 << 20) / size + 1;
                let weights: Vec<Weight> = (0..copies).filter_map(|_| weight(&device, n, k, dtype, size)).collect();
                for rows in [1usize, 8, 512] {
                    run(&device, &weights, n, k, rows, size, dtype);
                }
            }
        }
    }
}

/// Bytes of small positive weights: 0x1c.. in every half-precision field.
fn weight(device: &Device, n: usize, k: usize, dtype: DType, size: usize) -> Option<Weight> {
    let bytes: Vec<u8> = (0..size).map(|i| 0x18 + (i.wrapping_mul(2_654_435_761) >> 13 & 7) as u8).collect();
    Weight::new(device, n, k, dtype, 1, bytes.into()).ok()
}

fn run(device: &Device, weights: &[Weight], n: usize, k: usize, rows: usize, size: usize, dtype: DType) {
    let x: Vec<f32> = (0..rows * k).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect();
    let (Ok(x), Ok(mut y)) = (device.f32_tensor(&[rows, k], &x), device.zeros(&[rows, n], DType::F32)) else {
        return eprintln!("out of memory");
    };
    let (mut best, mut count) = (f64::INFINITY, 0);
    let start = Instant::now();
    // The best of several passes: other processes share the machine.
    while count < 3 || start.elapsed().as_secs_f64() < 0.4 {
        let pass = if rows > 64 { &weights[..1] } else { weights };
        let begin = Instant::now();
        for w in pass {
            if let Err(error) = matmul::forward(device, &x, w, None, &mut y, rows, Output::Store) {
                return eprintln!("{error}");
            }
        }
        best = best.min(begin.elapsed().as_secs_f64() / pass.len() as f64);
        count += 1;
    }
    let flops = 2.0 * (rows * n * k) as f64;
    println!(
        "{:<7} {:<6} {n:>5} x {k:<5} {rows:>4}  {:>8.3}  {:>8.1}  {:>6.1}",
        dtype.name(),
        format!("{:?}", device.precision()).to_lowercase(),
        best * 1e3,
        flops / best / 1e9,
        size as f64 / best / 1e9
    );
}

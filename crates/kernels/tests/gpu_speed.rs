//! Speed of the GPU's kernels: `cargo test -p longhand-kernels --test gpu_speed -- --ignored --nocapture`.

mod support;

use std::time::Instant;

use kernels::gpu::GpuOptions;
use kernels::matmul::Output;
use kernels::{Bytes, DType, Precision, Weight, matmul};
use pollster::block_on;
use support::{device, random, random_weight};

/// Prints GFLOP/s of a matmul of every format: many rows, one row, one row in fast mode.
#[test]
#[ignore = "a measurement, alone: cargo test --release -p longhand-kernels --test gpu_speed -- --ignored --nocapture"]
fn matmul_speed() {
    let size: usize = std::env::var("SIZE").ok().and_then(|size| size.parse().ok()).unwrap_or(512);
    for precision in [Precision::Exact, Precision::Fast] {
        let Some(gpu) = device(&GpuOptions { precision, ..Default::default() }) else { return };
        println!("{}, {size} x {size}, {precision:?}", gpu.describe());
        for dtype in DType::WEIGHTS {
            for rows in [size, 1] {
                if precision == Precision::Fast && rows > 1 {
                    continue;
                }
                let bytes = Bytes::from(random_weight(1, dtype, size, size));
                let w = Weight::new(&gpu, size, size, dtype, 1, bytes).unwrap();
                let x = gpu.f32_tensor(&[rows, size], &random(2, rows * size)).unwrap();
                let mut y = gpu.zeros(&[rows, size], DType::F32).unwrap();
                let mut time = |times: usize| {
                    let start = Instant::now();
                    for _ in 0..times {
                        matmul::forward(&gpu, &x, &w, None, &mut y, rows, Output::Store).unwrap();
                    }
                    block_on(gpu.read_f32(&y, 1)).unwrap();
                    start.elapsed().as_secs_f64()
                };
                let first = time(1);
                let times = if rows > 1 { 3 } else { 50 };
                let flops = 2.0 * (times * rows * size * size) as f64;
                println!("{:>5} rows {rows:>4}: {:8.2} GFLOP/s (first {first:.2} s)", dtype.name(), flops / time(times) / 1e9);
            }
        }
    }
}

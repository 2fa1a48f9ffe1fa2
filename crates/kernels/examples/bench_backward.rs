//! GFLOP/s of the matmul's gradients, and GB/s of the small ops', on the CPU or a GPU.
//!
//! `cargo run --release -p longhand-kernels --example bench_backward -- [cpu|gpu] [threads]`

use std::time::Instant;

use kernels::cpu::CpuDevice;
use kernels::gpu::GpuOptions;
use kernels::matmul::{self, Output};
use kernels::{DType, Device, Precision, Tensor, Weight, embedding, rms_norm, swiglu};

fn main() -> kernels::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let threads = args.get(1).and_then(|n| n.parse().ok()).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    let device = match args.first().map(String::as_str) {
        Some("gpu") => pollster::block_on(Device::gpu(&GpuOptions::default()))?,
        _ => Device::Cpu(CpuDevice::with_threads(Precision::Exact, threads)),
    };
    println!("{}", device.describe());
    for (rows, n, k) in [(512, 1536, 1536), (512, 8960, 1536), (512, 1536, 8960), (2048, 1024, 3072), (32, 768, 2048), (64, 64, 64)] {
        let (dy, x) = (numbers(&device, &[rows, n])?, numbers(&device, &[rows, k])?);
        let (mut dx, mut dw) = (numbers(&device, &[rows, k])?, numbers(&device, &[n, k])?);
        let flops = 2.0 * (rows * n * k) as f64;
        for dtype in [DType::F32, DType::BF16, DType::Q4_K].into_iter().filter(|dtype| k % dtype.block_len() == 0) {
            let bytes: Vec<u8> = (0..n * dtype.row_bytes(k).unwrap_or(0)).map(|i| 0x18 + ((i * 7919) >> 5 & 7) as u8).collect();
            let w = Weight::new(&device, n, k, dtype, 1, bytes.into())?;
            let seconds = best(&device, &mut dx, |dx| matmul::backward_x(&device, &dy, &w, dx, rows, Output::Store))?;
            println!("dx {:5} R {rows} N {n} K {k}: {:8.2} ms {:8.1} GFLOP/s", dtype.name(), seconds * 1e3, flops / seconds / 1e9);
        }
        let seconds = best(&device, &mut dw, |dw| matmul::backward_w(&device, &dy, &x, dw, rows))?;
        println!("dw       R {rows} N {n} K {k}: {:8.2} ms {:8.1} GFLOP/s", seconds * 1e3, flops / seconds / 1e9);
    }
    let (rows, width) = (1024, 1536);
    let (mut a, b, mut c) = (numbers(&device, &[rows, width])?, numbers(&device, &[rows, width])?, numbers(&device, &[rows, width])?);
    let (gain, mut sums) = (numbers(&device, &[width])?, numbers(&device, &[width])?);
    let x = numbers(&device, &[rows, width])?;
    let report = |name: &str, tensors: usize, seconds: f64| {
        println!("{name} {rows} x {width}: {:.3} ms, {:.1} GB/s", seconds * 1e3, (4 * tensors * rows * width) as f64 / seconds / 1e9);
    };
    let norm = |dx: &mut Tensor| rms_norm::backward(&device, &x, &gain, 1e-6, &b, dx, Output::Add, Some(&mut sums), rows, width);
    report("rms_norm", 4, best(&device, &mut a, norm)?);
    report("swiglu", 5, best(&device, &mut a, |a| swiglu::backward(&device, a, &mut c, &b, rows))?);
    let mut bias = numbers(&device, &[width])?;
    report("bias", 1, best(&device, &mut bias, |db| matmul::backward_bias(&device, &b, db, rows))?);
    let ids: Vec<u32> = (0..rows as u32).map(|i| i * i % 4096).collect();
    let mut table = numbers(&device, &[4096, width])?;
    report("embedding", 3, best(&device, &mut table, |dw| embedding::backward(&device, &b, &ids, dw, rows))?);
    Ok(())
}

fn numbers(device: &Device, shape: &[usize]) -> kernels::Result<Tensor> {
    let count: usize = shape.iter().product();
    device.f32_tensor(shape, &(0..count).map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 300.0).collect::<Vec<f32>>())
}

/// Seconds of the best of several runs: other processes share the machine.
fn best(device: &Device, out: &mut Tensor, mut run: impl FnMut(&mut Tensor) -> kernels::Result<()>) -> kernels::Result<f64> {
    let (mut best, mut count, start) = (f64::INFINITY, 0, Instant::now());
    while count < 3 || (count < 200 && start.elapsed().as_secs_f64() < 0.3) {
        let begin = Instant::now();
        run(out)?;
        pollster::block_on(device.read_f32(out, 1))?;
        best = best.min(begin.elapsed().as_secs_f64());
        count += 1;
    }
    Ok(best)
}

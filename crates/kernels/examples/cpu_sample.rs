//! Times sampling, norms, SwiGLU on the CPU: `cargo run --release -p longhand-kernels --example cpu_sample`.

use std::time::Instant;

use kernels::sample::{SampleOutput, SampleParams, forward};
use kernels::{DType, Device, Precision, rms_norm, swiglu};

fn best(name: &str, mut run: impl FnMut()) {
    let seconds = (0..10)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name}: {:.3} ms", seconds * 1e3);
}

fn main() {
    let device = Device::cpu(Precision::Exact);
    println!("{}", device.describe());
    let vocabulary = 151_936;
    let logits: Vec<f32> = (0..vocabulary as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1_048_576.0 - 6.0).collect();
    let usual = SampleParams { temperature: 0.7, top_k: 20, top_p: 0.95, ..SampleParams::GREEDY };
    for rows in [1, 8] {
        let tensor = device.f32_tensor(&[rows, vocabulary], &logits.repeat(rows)).unwrap();
        let mut out = SampleOutput::new(&device, rows).unwrap();
        for (name, params) in [
            ("greedy", SampleParams::GREEDY),
            ("τ", SampleParams { temperature: 1.0, ..SampleParams::GREEDY }),
            ("top-k, top-p", usual),
            ("top-p", SampleParams { top_k: 0, ..usual }),
        ] {
            best(&format!("sample {name}, {rows} rows of {vocabulary}"), || {
                forward(&device, &tensor, &vec![params; rows], &mut out).unwrap()
            });
        }
    }
    let (rows, width) = (1024, 1536);
    let x = device.f32_tensor(&[rows, width], &logits.repeat(11)[..rows * width]).unwrap();
    let gain = device.f32_tensor(&[width], &logits[..width]).unwrap();
    let mut y = device.zeros(&[rows, width], DType::F32).unwrap();
    best("rms_norm 1024 x 1536", || rms_norm::forward(&device, &x, &gain, 1e-6, &mut y, rows, width).unwrap());
    best("swiglu 1024 x 1536", || swiglu::forward(&device, &mut y, &x, rows).unwrap());
}

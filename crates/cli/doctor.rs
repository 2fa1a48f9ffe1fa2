//! `longhand doctor`: what this machine offers, what works, what to install.

use std::time::Instant;

use anyhow::Result;
use kernels::gpu::GpuOptions;
use kernels::matmul::{self, Output};
use kernels::{DType, Device, Precision, Weight};
use serde_json::json;

use crate::cubed;

/// Tries each device with a small known computation.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand doctor")]
pub struct DoctorArgs {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let cpu = check(&Device::cpu(Precision::Exact));
    let adapters = pollster::block_on(kernels::gpu::list_adapters());
    let gpu = match pollster::block_on(Device::gpu(&GpuOptions::default())) {
        Ok(device) => check(&device).map(|took| (device.describe(), took)),
        Err(error) => Err(error.to_string()),
    };
    let cube = cube();
    let memory = crate::load::free_memory();
    if args.json {
        let list: Vec<_> = adapters
            .iter()
            .map(|a| json!({"name": a.name, "kind": a.kind, "driver": a.driver, "max_binding": a.max_binding, "features": a.features, "unusable": a.unusable}))
            .collect();
        let gpu = match &gpu {
            Ok((name, seconds)) => json!({"works": true, "device": name, "seconds": seconds}),
            Err(error) => json!({"works": false, "error": error}),
        };
        println!(
            "{}",
            json!({"cpu": Device::cpu(Precision::Exact).describe(), "cpu_works": cpu.is_ok(), "free_memory": memory, "adapters": list, "gpu": gpu, "cube": cube.json()})
        );
        return Ok(());
    }
    println!("{}: {}", Device::cpu(Precision::Exact).describe(), cpu.map_or_else(|error| error, |_| "works".into()));
    if let Some(bytes) = memory {
        println!("memory: {:.1} GiB free", bytes as f64 / f64::from(1 << 30));
    }
    println!("models: `longhand models` shows which fit");
    if adapters.is_empty() {
        println!("GPU: no Vulkan, Metal or DirectX 12 adapter. Install your GPU's driver; to try the GPU path without one, install");
        println!(
            "     software Vulkan (Debian, Ubuntu: apt-get install libvulkan1 mesa-vulkan-drivers; Mesa 25 is five times faster than 22)."
        );
    }
    for adapter in &adapters {
        println!("GPU: {} ({}, driver {})", adapter.name, adapter.kind, adapter.driver);
        println!(
            "     bindings up to {} MiB; {}",
            adapter.max_binding >> 20,
            if adapter.features.is_empty() { "no optional features".into() } else { adapter.features.join(", ") }
        );
        if let Some(reason) = &adapter.unusable {
            println!("     cannot be used: {reason}");
        }
        if adapter.kind == "software" {
            println!("     a software adapter: right answers, but `--device cpu` is many times faster");
        }
    }
    match gpu {
        Ok((name, seconds)) => println!("`--device gpu` would use {name}: works (first kernel after {seconds:.2} s)"),
        Err(error) if !adapters.is_empty() => println!("`--device gpu` fails: {error}"),
        Err(_) => {}
    }
    cube.print();
    Ok(())
}

/// `--cube` on the default adapter.
enum Cube {
    /// The build is without it.
    Missing,
    /// Library, what it takes, what it passes on, seconds of a first product.
    Works(String, String, Vec<String>, f64),
    Fails(String),
}

fn cube() -> Cube {
    if !kernels::gpu::HAS_CUBE {
        return Cube::Missing;
    }
    let options = GpuOptions { precision: Precision::Fast, cube: true, ..GpuOptions::default() };
    let tried = pollster::block_on(Device::gpu(&options)).map_err(|error| error.to_string());
    match tried.and_then(|device| check(&device).map(|took| (device, took))) {
        Ok((device, took)) => match cubed::gemm(&device) {
            Some(gemm) => {
                let (takes, passes) = cubed::report(gemm);
                Cube::Works(gemm.describe(), takes, passes, took)
            }
            None => Cube::Missing,
        },
        Err(error) => Cube::Fails(error),
    }
}

impl Cube {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Missing => json!({"built": false}),
            Self::Works(name, takes, passes, seconds) => {
                json!({"built": true, "works": true, "library": name, "takes": takes, "passes": passes, "seconds": seconds})
            }
            Self::Fails(error) => json!({"built": true, "works": false, "error": error}),
        }
    }

    fn print(&self) {
        match self {
            Self::Missing => println!("`--cube`: not in this build (`--features cube`)"),
            Self::Works(name, takes, passes, seconds) => {
                println!("`--cube`: {name}: works (first product after {seconds:.2} s); takes {takes}");
                for passed in passes {
                    println!("     Longhand's own kernel for {passed}");
                }
                println!("     and for every other op");
            }
            Self::Fails(error) => println!("`--cube` fails: {error}"),
        }
    }
}

/// A matmul with a known result: whole numbers, so that every order of summation gives the same.
fn check(device: &Device) -> std::result::Result<f64, String> {
    let started = Instant::now();
    // Rows enough for every kernel, another library's too.
    let (rows, n, k) = (12, 5, 70);
    let x: Vec<f32> = (0..rows * k).map(|i| (i % 7) as f32 - 3.0).collect();
    let w: Vec<f32> = (0..n * k).map(|i| (i % 5) as f32 - 2.0).collect();
    let bytes: Vec<u8> = w.iter().flat_map(|v| v.to_le_bytes()).collect();
    let run = || -> kernels::Result<Vec<f32>> {
        let weight = Weight::new(device, n, k, DType::F32, 1, bytes.clone().into())?;
        let x = device.f32_tensor(&[rows, k], &x)?;
        let mut y = device.zeros(&[rows, n], DType::F32)?;
        matmul::forward(device, &x, &weight, None, &mut y, rows, Output::Store)?;
        pollster::block_on(device.read_f32(&y, rows * n))
    };
    let got = run().map_err(|error| error.to_string())?;
    for r in 0..rows {
        for c in 0..n {
            let want: f32 = (0..k).map(|i| x[r * k + i] * w[c * k + i]).sum();
            if got[r * n + c] != want {
                return Err(format!("wrong result: {} instead of {want}; do not use this device", got[r * n + c]));
            }
        }
    }
    Ok(started.elapsed().as_secs_f64())
}

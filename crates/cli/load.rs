//! From a `--model` argument to a model on a device, with a progress bar.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use kernels::attention::KvDType;
use kernels::gpu::GpuOptions;
use kernels::{Device, Precision};
use model::source::Checkpoint;
use model::{ChatEngine, EngineSettings, Model};
use server::{Client, ClientSettings};

use crate::args::{DeviceKind, MachineArgs, ModelArgs};
use crate::{hub, mapped, progress};

/// Opens the device that was asked for; never another.
pub fn device(args: &MachineArgs, default: Precision) -> Result<Device> {
    let precision = args.precision(default);
    match args.device {
        DeviceKind::Cpu => Ok(match args.threads {
            Some(threads) => Device::Cpu(kernels::cpu::CpuDevice::with_threads(precision, threads)),
            None => Device::cpu(precision),
        }),
        DeviceKind::Gpu => {
            let options = GpuOptions { adapter: args.adapter.clone(), precision, ..GpuOptions::default() };
            pollster::block_on(Device::gpu(&options)).context("`--device gpu` needs a GPU adapter; `longhand doctor` shows what is there")
        }
    }
}

/// Opens the checkpoint behind `--model`.
pub fn checkpoint(name: &str) -> Result<(Checkpoint, PathBuf)> {
    let path = hub::resolve(name)?;
    let checkpoint = Checkpoint::open(&path).with_context(|| format!("cannot use the model at {}", path.display()))?;
    Ok((checkpoint, path))
}

/// Loads the model for sequences of up to `window` tokens (`None`: all the model offers, at most 8192).
pub fn model(args: &ModelArgs, default: Precision, window: Option<usize>) -> Result<(Arc<Model>, Checkpoint, KvDType)> {
    let (checkpoint, path) = checkpoint(&args.model)?;
    let device = device(&args.machine, default)?;
    let most = checkpoint.config().max_positions;
    let window = window.unwrap_or(most.min(8192));
    anyhow::ensure!(window <= most, "a window of {window} tokens is past the {most} positions of {}", path.display());
    mapped::say(&checkpoint, &device);
    let bar = progress::bytes(checkpoint.total_bytes(), "loading");
    let model = Model::load(&checkpoint, device, window, |done, _| bar.set_position(done))
        .with_context(|| format!("cannot load {}", path.display()))?;
    bar.finish_and_clear();
    let kv = args.machine.kv_dtype(weights_are_f32(&checkpoint));
    Ok((Arc::new(model), checkpoint, kv))
}

/// A chat model over one sequence of `window` tokens.
pub fn chat(args: &ModelArgs, window: Option<usize>) -> Result<ChatEngine> {
    let (model, checkpoint, kv) = model(args, Precision::Fast, window)?;
    let settings = EngineSettings::single(model.max_positions, kv);
    let name = std::path::Path::new(&args.model).file_stem().map_or(args.model.clone(), |stem| stem.to_string_lossy().into_owned());
    ChatEngine::new(model, &checkpoint, settings, name).context("cannot set up the chat model")
}

/// The model behind `openai:URL#NAME`. Replies are kept beside the runs, so that none is paid for twice.
pub fn client(name: &str, window: Option<usize>) -> Result<Client> {
    let mut settings = ClientSettings::parse(name)?;
    settings.window = window;
    settings.cache = Some(PathBuf::from("longhand-runs/calls"));
    Ok(Client::connect(settings, None)?)
}

/// Whether every tensor is stored as f32.
pub fn weights_are_f32(checkpoint: &Checkpoint) -> bool {
    checkpoint.tensors().iter().all(|tensor| tensor.dtype == kernels::DType::F32)
}

/// Bytes of memory that can be taken without swapping, where the system says so.
pub fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

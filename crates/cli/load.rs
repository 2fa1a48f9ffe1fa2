//! From a `--model` argument to a model on a device, with a progress bar.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use kernels::attention::KvDType;
use kernels::gpu::GpuOptions;
use kernels::{DType, Device, KernelError, Precision};
use model::source::{Checkpoint, TokenizerMaterial};
use model::{ChatEngine, EngineSettings, Model};
use server::{Client, ClientSettings};

use crate::args::{DeviceKind, MachineArgs};
use crate::hub::Hub;
use crate::{catalog, cubed, mapped, progress};

/// Opens the device that was asked for; never another.
pub fn device(args: &MachineArgs, default: Precision) -> Result<Device> {
    let precision = args.precision(default);
    anyhow::ensure!(!args.cube || args.device == DeviceKind::Gpu, "`--cube` is for a GPU: add `--device gpu`, or leave it out");
    match args.device {
        DeviceKind::Cpu => Ok(match args.threads {
            Some(threads) => Device::Cpu(kernels::cpu::CpuDevice::with_threads(precision, threads)),
            None => Device::cpu(precision),
        }),
        DeviceKind::Gpu => {
            let options = GpuOptions { adapter: args.adapter.clone(), precision, cube: args.cube, ..GpuOptions::default() };
            let device = pollster::block_on(Device::gpu(&options));
            if let Err(error @ KernelError::Accelerator(_)) = device {
                return Err(error).context("`--cube` cannot be had");
            }
            device.context("`--device gpu` needs a GPU adapter; `longhand doctor` shows what is there")
        }
    }
}

/// Opens the checkpoint behind `--model`: what is on the disk under that name, else the entry of that name, else a hub id.
pub fn checkpoint(name: &str) -> Result<(Checkpoint, PathBuf)> {
    let hub = Hub::from_env()?;
    let full = if hub.is_on_disk(name) { None } else { catalog::named(name)?.map(|entry| entry.name.as_str()) };
    let path = hub.resolve(full.unwrap_or(name))?;
    let checkpoint = Checkpoint::open(&path).with_context(|| format!("cannot use the model at {}", path.display()))?;
    Ok((checkpoint, path))
}

/// Loads the model for sequences of up to `window` tokens (`None`: all the model offers, at most 8192).
pub fn model(name: &str, machine: &MachineArgs, default: Precision, window: Option<usize>) -> Result<(Arc<Model>, Checkpoint, KvDType)> {
    let (checkpoint, path) = checkpoint(name)?;
    let device = device(machine, default)?;
    let most = checkpoint.config().max_positions;
    let window = window.unwrap_or(most.min(8192));
    anyhow::ensure!(window <= most, "a window of {window} tokens is past the {most} positions of {}", path.display());
    mapped::say(&checkpoint, &device);
    cubed::say(&device, Some(main_dtype(&checkpoint)));
    let bar = progress::bytes(checkpoint.total_bytes(), "loading");
    let model = Model::load(&checkpoint, device, window, |done, _| bar.set_position(done))
        .with_context(|| format!("cannot load {}", path.display()))?;
    bar.finish_and_clear();
    let kv = machine.kv_dtype(weights_are_f32(&checkpoint));
    Ok((Arc::new(model), checkpoint, kv))
}

/// Conversations that share the engine's steps at most. More would gain little on a CPU.
const TOGETHER: usize = 8;

/// A chat model for `calls` conversations at once, of `window` tokens each: as many of them run together as a quarter of the memory that is
/// free can keep; the others wait.
pub fn chat(name: &str, machine: &MachineArgs, window: Option<usize>, calls: usize) -> Result<ChatEngine> {
    let (model, checkpoint, kv) = model(name, machine, Precision::Fast, window)?;
    let single = EngineSettings::single(model.max_positions, kv);
    let config = checkpoint.config();
    let each = (single.window * config.layers * kv.bytes_per_position(config.kv_heads, config.head_dim)) as u64;
    let room = free_memory().map_or(1, |free| (free / 4 / each.max(1)) as usize);
    let together = calls.min(TOGETHER).min(room).max(1);
    let settings = EngineSettings { max_sequences: together, cache_positions: together * single.window, ..single };
    ChatEngine::new(model, &checkpoint, settings, display_name(name)).context("cannot set up the chat model")
}

/// A path's or a hub id's last word, without `.gguf`.
pub fn display_name(name: &str) -> String {
    let word = Path::new(name).file_name().map_or(name.into(), |word| word.to_string_lossy());
    word.strip_suffix(".gguf").unwrap_or(&word).to_string()
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

/// The format most weights are stored in.
pub fn main_dtype(checkpoint: &Checkpoint) -> DType {
    let bytes =
        |dtype: DType| -> u64 { checkpoint.tensors().iter().filter(|tensor| tensor.dtype == dtype).map(|tensor| tensor.bytes.len()).sum() };
    DType::WEIGHTS.into_iter().max_by_key(|&dtype| bytes(dtype)).unwrap_or(DType::F32)
}

/// Whether it has a tokenizer and a chat template, or ChatML's marks.
pub fn can_chat(checkpoint: &Checkpoint) -> bool {
    let chatml = "<|im_start|>";
    template(checkpoint).is_some()
        || match checkpoint.tokenizer() {
            TokenizerMaterial::HuggingFace { tokenizer_json: Some(json), .. } => holds(json.as_slice(), chatml),
            TokenizerMaterial::Gguf(material) => material.vocab.tokens.iter().any(|token| token == chatml),
            _ => false,
        }
}

/// Whether its chat template knows thinking blocks.
pub fn thinks(checkpoint: &Checkpoint) -> bool {
    template(checkpoint).is_some_and(|template| holds(template, "<think>"))
}

/// The bytes that hold the chat template, if there is one beside a tokenizer.
fn template(checkpoint: &Checkpoint) -> Option<&[u8]> {
    match checkpoint.tokenizer() {
        TokenizerMaterial::HuggingFace { tokenizer_json: Some(_), chat_template: Some(template), .. } => Some(template.as_slice()),
        TokenizerMaterial::HuggingFace { tokenizer_json: Some(_), tokenizer_config: Some(config), .. } => {
            Some(config.as_slice()).filter(|config| holds(config, "\"chat_template\""))
        }
        TokenizerMaterial::Gguf(material) => material.chat_template.as_deref().map(str::as_bytes),
        _ => None,
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Bytes of memory that can be taken without swapping, where the system says so.
pub fn free_memory() -> Option<u64> {
    model::source::free_memory()
}

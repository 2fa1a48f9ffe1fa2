//! Options that several verbs share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kernels::Precision;
use kernels::attention::KvDType;

/// Where ops run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceKind {
    /// Threads and SIMD of the host.
    Cpu,
    /// A GPU through wgpu; never falls back.
    Gpu,
}

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KvKind {
    /// f32 for f32 checkpoints, f16 for all others.
    Auto,
    /// 32-bit.
    F32,
    /// 16-bit.
    F16,
    /// 8-bit blocks (inference only).
    Q8,
}

impl KvKind {
    /// The cache's dtype for a checkpoint whose weights are (or are not) all f32.
    pub fn dtype(self, weights_are_f32: bool) -> KvDType {
        match self {
            Self::Auto if weights_are_f32 => KvDType::F32,
            Self::Auto | Self::F16 => KvDType::F16,
            Self::F32 => KvDType::F32,
            Self::Q8 => KvDType::Q8,
        }
    }
}

/// Model and device, where a model can be chosen.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// `auto` (the largest that fits this machine and the work), a short name that `longhand models` shows, a folder with config.json
    /// and safetensors, a .gguf file, a hub id (owner/name, owner/name:file.gguf); for `read` also openai:URL#NAME.
    #[arg(long, value_name = "M", default_value = "auto")]
    pub model: String,
    /// Go on without asking when `--model auto` will take more than ten minutes.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Model and device, where the model has to be named.
#[derive(Args, Clone, Debug)]
pub struct NamedArgs {
    /// A short name that `longhand models` shows, a folder with config.json and safetensors, a .gguf file, or a hub id (owner/name,
    /// owner/name:file.gguf).
    #[arg(long, value_name = "M")]
    pub model: String,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Device options alone, for verbs that know their model.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    /// Where to run.
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: DeviceKind,
    /// Part of a GPU adapter's name.
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// CPU threads; all cores unless told otherwise.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Reproducible to the bit across batches, at some cost in speed.
    #[arg(long)]
    pub exact: bool,
    /// On a GPU, cubecl takes the matrix products it can, in fast mode; needs a build with `--features cube`.
    #[arg(long, conflicts_with = "exact")]
    pub cube: bool,
    /// Storage of keys and values.
    #[arg(long, value_enum, default_value = "auto")]
    pub kv: KvKind,
}

impl MachineArgs {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        self.device == DeviceKind::Cpu
            && self.adapter.is_none()
            && self.threads.is_none()
            && !self.exact
            && !self.cube
            && self.kv == KvKind::Auto
    }
}

impl MachineArgs {
    /// `Exact` if asked for, `Fast` where `--cube` asks for it, else `default`.
    pub fn precision(&self, default: Precision) -> Precision {
        match (self.exact, self.cube) {
            (true, _) => Precision::Exact,
            (false, true) => Precision::Fast,
            (false, false) => default,
        }
    }

    /// The cache's dtype for a checkpoint whose weights are (or are not) all f32.
    pub fn kv_dtype(&self, weights_are_f32: bool) -> KvDType {
        self.kv.dtype(weights_are_f32)
    }
}

/// A `{"ids": […], "loss_mask": […]}` file.
#[derive(serde::Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Not 0 where a token is a target (`grads`).
    #[serde(default)]
    pub loss_mask: Option<Vec<f32>>,
}

impl Case {
    /// Reads and checks the file.
    pub fn read(path: &PathBuf) -> anyhow::Result<Self> {
        use anyhow::Context;
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let case: Self = serde_json::from_slice(&text).with_context(|| {
            format!("{} is not a case file: {{\"ids\": [1, 2, 3], \"loss_mask\": [0, 1, 1]}} is expected", path.display())
        })?;
        anyhow::ensure!(!case.ids.is_empty(), "{}: `ids` is empty: at least one token is needed", path.display());
        if let Some(mask) = &case.loss_mask {
            anyhow::ensure!(mask.len() == case.ids.len(), "{}: {} ids but a loss_mask of {}", path.display(), case.ids.len(), mask.len());
        }
        Ok(case)
    }
}

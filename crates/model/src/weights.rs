//! A checkpoint's tensors on a device, in the order a forward pass meets them.

use std::collections::HashMap;

use kernels::rope::RopeTable;
use kernels::{DType, Device, Inspect, Tensor, Weight};

use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::source::{Checkpoint, Role, TensorData, TensorParts};
use crate::train::{Lora, LoraShape};

/// A model on a device. Weights are immutable here; sequences keep their state in a [`kernels::attention::KvCache`].
pub struct Model {
    /// Shapes and constants.
    pub config: ModelConfig,
    /// Where it runs.
    pub device: Device,
    /// Positions the rotary table covers: the longest sequence this instance can hold.
    pub max_positions: usize,
    pub(crate) embedding: Weight,
    /// `None`: the embedding.
    pub(crate) output_head: Option<Weight>,
    pub(crate) final_norm: Tensor,
    pub(crate) layers: Vec<Layer>,
    pub(crate) rope: RopeTable,
    /// What all adapters share, if there are any.
    pub(crate) lora: Option<LoraShape>,
    /// Adapters by (role, layer).
    pub(crate) adapters: HashMap<(Role, usize), Lora>,
}

pub(crate) struct Layer {
    pub attention_norm: Tensor,
    pub q: Projection,
    pub k: Projection,
    pub v: Projection,
    pub o: Projection,
    /// Per-head gains [D] of q and k (Qwen3).
    pub qk_norm: Option<(Tensor, Tensor)>,
    pub mlp_norm: Tensor,
    pub mlp: Mlp,
}

pub(crate) struct Projection {
    pub weight: Weight,
    pub bias: Option<Tensor>,
}

pub(crate) enum Mlp {
    Dense { gate: Weight, up: Weight, down: Weight },
    Moe { router: Weight, gate: Weight, up: Weight, down: Weight },
}

impl Model {
    /// Puts every tensor of `checkpoint` on `device`, for sequences of up to `max_positions`. On the CPU, experts that need no
    /// turning stay in their files, where those are mapped, and are read (and searched for NaN) when tokens are routed to them.
    ///
    /// Of files that are not in memory the CPU gets one copy, a GPU a few megabytes at a time.
    ///
    /// `progress` hears (tensors' bytes loaded, all bytes).
    pub fn load(checkpoint: &impl TensorSource, device: Device, max_positions: usize, mut progress: impl FnMut(u64, u64)) -> Result<Self> {
        let config = checkpoint.config().clone();
        let total = checkpoint.total_bytes();
        let mut loader = Loader { checkpoint, device: &device, loaded: 0, total, progress: &mut progress };
        let embedding = loader.matrix(Role::Embedding, 0, config.vocab, config.hidden)?;
        let output_head = match loader.optional(Role::OutputHead, 0)? {
            Some(data) => Some(loader.weight(Role::OutputHead, 0, data, config.vocab, config.hidden, 1)?),
            None if config.tie_embeddings => None,
            None => return Err(checkpoint.missing(Role::OutputHead, 0)),
        };
        let final_norm = loader.vector(Role::FinalNorm, 0, config.hidden)?;
        let layers = (0..config.layers).map(|layer| loader.layer(&config, layer)).collect::<Result<_>>()?;
        let (inv_freq, scale) = config.inv_freq();
        let rope = RopeTable::new(&device, max_positions, &inv_freq, scale)?;
        device.submit()?;
        let (lora, adapters) = (None, HashMap::new());
        Ok(Self { config, device, max_positions, embedding, output_head, final_norm, layers, rope, lora, adapters })
    }
}

/// Where tensors come from: a checkpoint, or a generator for benchmarks.
pub trait TensorSource {
    /// Shapes and constants.
    fn config(&self) -> &ModelConfig;
    /// A role's matrix or vector, `None` if it is not stored.
    fn tensor(&self, role: Role, layer: usize) -> Result<Option<TensorData>>;
    /// As [`TensorSource::tensor`], for a device that takes pieces where they lie: apart, or in a file that is not in memory.
    fn parts(&self, role: Role, layer: usize) -> Result<Option<TensorParts>> {
        Ok(self.tensor(role, layer)?.map(TensorParts::from))
    }
    /// As [`TensorSource::parts`], for experts that may stay unread until they are used: with what is then to look at each.
    fn experts(&self, role: Role, layer: usize) -> Result<Option<(TensorParts, Option<Inspect>)>> {
        Ok(self.parts(role, layer)?.map(|data| (data, None)))
    }
    /// Bytes of all tensors.
    fn total_bytes(&self) -> u64;
    /// What to call a role in an error.
    fn name_of(&self, role: Role, layer: usize) -> String;
    /// The error for a role that is not stored.
    fn missing(&self, role: Role, layer: usize) -> ModelError;
}

impl TensorSource for Checkpoint {
    fn config(&self) -> &ModelConfig {
        self.config()
    }
    fn tensor(&self, role: Role, layer: usize) -> Result<Option<TensorData>> {
        self.finite_tensor(role, layer)
    }
    fn parts(&self, role: Role, layer: usize) -> Result<Option<TensorParts>> {
        self.finite_parts(role, layer)
    }
    fn experts(&self, role: Role, layer: usize) -> Result<Option<(TensorParts, Option<Inspect>)>> {
        self.unread_experts(role, layer)
    }
    fn total_bytes(&self) -> u64 {
        self.total_bytes()
    }
    fn name_of(&self, role: Role, layer: usize) -> String {
        self.name_of(role, layer)
    }
    fn missing(&self, role: Role, layer: usize) -> ModelError {
        self.missing(role, layer)
    }
}

struct Loader<'a, S, F> {
    checkpoint: &'a S,
    device: &'a Device,
    loaded: u64,
    total: u64,
    progress: &'a mut F,
}

impl<S: TensorSource, F: FnMut(u64, u64)> Loader<'_, S, F> {
    fn layer(&mut self, config: &ModelConfig, layer: usize) -> Result<Layer> {
        let (hidden, head) = (config.hidden, config.head_dim);
        let (q_width, kv_width) = (config.heads * head, config.kv_heads * head);
        let qk_norm = match config.qk_norm {
            true => Some((self.vector(Role::QNorm, layer, head)?, self.vector(Role::KNorm, layer, head)?)),
            false => None,
        };
        let mlp = match &config.moe {
            Some(moe) if !moe.dense_layers.contains(&layer) => {
                let (experts, inner) = (moe.experts, moe.intermediate);
                let router = self.matrix(Role::Router, layer, experts, hidden)?;
                let [gate, up] = self.gate_and_up(layer, experts, inner, hidden)?;
                Mlp::Moe { router, gate, up, down: self.experts(Role::ExpertDown, layer, experts, hidden, inner)? }
            }
            _ => {
                let (inner, [gate, up]) = (config.intermediate, [self.required(Role::Gate, layer)?, self.required(Role::Up, layer)?]);
                self.device.weights_together(&[(inner, hidden, gate.dtype), (inner, hidden, up.dtype)])?;
                Mlp::Dense {
                    gate: self.weight(Role::Gate, layer, gate, inner, hidden, 1)?,
                    up: self.weight(Role::Up, layer, up, inner, hidden, 1)?,
                    down: self.matrix(Role::Down, layer, hidden, config.intermediate)?,
                }
            }
        };
        let [q, k, v] = [self.required(Role::Q, layer)?, self.required(Role::K, layer)?, self.required(Role::V, layer)?];
        self.device.weights_together(&[(q_width, hidden, q.dtype), (kv_width, hidden, k.dtype), (kv_width, hidden, v.dtype)])?;
        let o = self.required(Role::O, layer)?;
        Ok(Layer {
            attention_norm: self.vector(Role::AttentionNorm, layer, hidden)?,
            q: self.projection([Role::Q, Role::QBias], q, config.qkv_bias, layer, q_width, hidden)?,
            k: self.projection([Role::K, Role::KBias], k, config.qkv_bias, layer, kv_width, hidden)?,
            v: self.projection([Role::V, Role::VBias], v, config.qkv_bias, layer, kv_width, hidden)?,
            o: self.projection([Role::O, Role::OBias], o, config.attention_out_bias, layer, hidden, q_width)?,
            qk_norm,
            mlp_norm: self.vector(Role::MlpNorm, layer, hidden)?,
            mlp,
        })
    }

    fn projection(
        &mut self,
        [role, bias]: [Role; 2],
        data: TensorParts,
        has_bias: bool,
        layer: usize,
        rows: usize,
        cols: usize,
    ) -> Result<Projection> {
        let weight = self.weight(role, layer, data, rows, cols, 1)?;
        let bias = if has_bias { Some(self.vector(bias, layer, rows)?) } else { None };
        Ok(Projection { weight, bias })
    }

    fn optional(&mut self, role: Role, layer: usize) -> Result<Option<TensorParts>> {
        self.checkpoint.parts(role, layer)
    }

    fn required(&mut self, role: Role, layer: usize) -> Result<TensorParts> {
        self.optional(role, layer)?.ok_or_else(|| self.checkpoint.missing(role, layer))
    }

    fn matrix(&mut self, role: Role, layer: usize, rows: usize, cols: usize) -> Result<Weight> {
        let data = self.required(role, layer)?;
        self.weight(role, layer, data, rows, cols, 1)
    }

    /// The experts' gate and up, on a GPU next to each other.
    fn gate_and_up(&mut self, layer: usize, experts: usize, inner: usize, hidden: usize) -> Result<[Weight; 2]> {
        let roles = [Role::ExpertGate, Role::ExpertUp];
        if let Device::Cpu(_) = self.device {
            // Nothing of them is read before it is used.
            let [gate, up] = roles.map(|role| self.experts(role, layer, experts, inner, hidden));
            return Ok([gate?, up?]);
        }
        let rows = experts * inner;
        let [gate, up] = [self.required(roles[0], layer)?, self.required(roles[1], layer)?];
        self.device.weights_together(&[(rows, hidden, gate.dtype), (rows, hidden, up.dtype)])?;
        Ok([self.weight(roles[0], layer, gate, rows, hidden, inner)?, self.weight(roles[1], layer, up, rows, hidden, inner)?])
    }

    fn experts(&mut self, role: Role, layer: usize, experts: usize, rows: usize, cols: usize) -> Result<Weight> {
        // A GPU takes every byte now; the CPU reads an expert when a token is routed to it.
        if let Device::Gpu(_) = self.device {
            let data = self.required(role, layer)?;
            return self.weight(role, layer, data, experts * rows, cols, rows);
        }
        let (data, inspect) = self.checkpoint.experts(role, layer)?.ok_or_else(|| self.checkpoint.missing(role, layer))?;
        self.expect(role, layer, [data.rows, data.cols], [experts * rows, cols])?;
        let mut weight = Weight::from_parts(self.device, experts * rows, cols, data.dtype, rows, data.parts)?;
        self.count(experts * rows, cols, data.dtype);
        if let Some(inspect) = inspect {
            weight.inspect_on_use(inspect)?;
        }
        Ok(weight)
    }

    fn weight(&mut self, role: Role, layer: usize, data: TensorParts, rows: usize, cols: usize, unit: usize) -> Result<Weight> {
        self.expect(role, layer, [data.rows, data.cols], [rows, cols])?;
        let weight = Weight::from_parts(self.device, rows, cols, data.dtype, unit, data.parts)?;
        self.count(rows, cols, data.dtype);
        Ok(weight)
    }

    /// Norm gains and biases are kept as f32.
    fn vector(&mut self, role: Role, layer: usize, len: usize) -> Result<Tensor> {
        let data = self.required(role, layer)?.joined()?;
        self.expect(role, layer, [data.rows, data.cols], [1, len])?;
        let bytes = data.bytes.as_slice();
        let values: Vec<f32> = match data.dtype {
            DType::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            DType::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            DType::BF16 => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => {
                return Err(ModelError::unsupported(self.checkpoint.name_of(role, layer), format!("a vector stored as {}", other.name())));
            }
        };
        self.count(1, len, data.dtype);
        Ok(self.device.f32_tensor(&[len], &values)?)
    }

    fn expect(&self, role: Role, layer: usize, found: [usize; 2], expected: [usize; 2]) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        Err(ModelError::shape(self.checkpoint.name_of(role, layer), &found, &expected))
    }

    fn count(&mut self, rows: usize, cols: usize, dtype: DType) {
        self.loaded += (rows * dtype.row_bytes(cols).unwrap_or(0)) as u64;
        (self.progress)(self.loaded.min(self.total), self.total);
    }
}

//! The forward pass: a fixed sequence of ops per layer, written once for both devices.

use kernels::attention::{self, Batch, KvCache};
use kernels::embedding;
use kernels::head::{self, HeadOutput};
use kernels::matmul::parts::{self, Norm, Part};
use kernels::matmul::{self, Output};
use kernels::moe::{self, Routes, Rows};
use kernels::{DType, Device, Tensor, rms_norm, swiglu};

use crate::config::ModelConfig;
use crate::error::Result;
use crate::source::Role;
use crate::weights::{Layer, Mlp, Model, Projection};

/// Activations for up to `rows` rows at once, allocated once.
pub struct Workspace {
    /// Rows it has room for.
    pub rows: usize,
    ids: Tensor,
    /// The residual stream [R, hidden].
    residual: Tensor,
    /// The final norm's output [R, hidden] after a pass.
    pub(crate) normed: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attended: Tensor,
    gate: Option<Tensor>,
    up: Option<Tensor>,
    experts: Option<ExpertSpace>,
    /// [R, r] of adapters, or [R·k, r] where experts have them.
    low: Option<Tensor>,
    recorded: Option<Recorded>,
}

/// The experts each MoE layer chose in the last pass: u32 [R, k] a layer, one after the other.
struct Recorded {
    ids: Tensor,
    top_k: usize,
    /// Layers so far.
    layers: usize,
}

/// Words from one layer's choices to the next's: copies begin at whole ranges of a GPU.
fn routes_stride(rows: usize, top_k: usize) -> usize {
    (rows * top_k).next_multiple_of(64)
}

struct ExpertSpace {
    logits: Tensor,
    routes: Routes,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
    /// Buffers for what experts' adapters add: as `gate`, as `down`.
    product: Option<(Tensor, Tensor)>,
}

impl Workspace {
    /// Room for `rows` rows of `model`, its adapters included.
    pub fn of(model: &Model, rows: usize) -> Result<Self> {
        let mut space = Self::new(&model.device, &model.config, rows)?;
        let Some(shape) = model.lora else { return Ok(space) };
        let (device, mut all) = (&model.device, rows);
        if let (Some(experts), true) = (&mut space.experts, model.adapters.keys().any(|(role, _)| role.is_expert())) {
            all = rows * experts.routes.top_k;
            let zeros = |width: usize| device.zeros(&[all, width], DType::F32);
            experts.product = Some((zeros(experts.gate.width())?, zeros(experts.down.width())?));
        }
        space.low = Some(device.zeros(&[all, shape.rank], DType::F32)?);
        Ok(space)
    }

    /// Room for `rows` rows of a model of `config` on `device`, without adapters.
    fn new(device: &Device, config: &ModelConfig, rows: usize) -> Result<Self> {
        let zeros = |width: usize| device.zeros(&[rows, width], DType::F32);
        let (q_width, kv_width) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let [q, k, v] = device.zeros_together(rows, [q_width, kv_width, kv_width])?;
        let dense = config.moe.as_ref().is_none_or(|moe| !moe.dense_layers.is_empty());
        let experts = match &config.moe {
            Some(moe) => Some(ExpertSpace {
                logits: zeros(moe.experts)?,
                routes: Routes::new(device, rows, moe.experts, moe.top_k)?,
                gate: device.zeros(&[rows * moe.top_k, moe.intermediate], DType::F32)?,
                up: device.zeros(&[rows * moe.top_k, moe.intermediate], DType::F32)?,
                down: device.zeros(&[rows * moe.top_k, config.hidden], DType::F32)?,
                product: None,
            }),
            None => None,
        };
        Ok(Self {
            rows,
            ids: device.zeros(&[rows], DType::U32)?,
            residual: zeros(config.hidden)?,
            normed: zeros(config.hidden)?,
            q,
            k,
            v,
            attended: zeros(q_width)?,
            gate: if dense { Some(zeros(config.intermediate)?) } else { None },
            up: if dense { Some(zeros(config.intermediate)?) } else { None },
            experts,
            low: None,
            recorded: None,
        })
    }

    /// From now on passes keep what their MoE layers choose, for [`Workspace::read_routes`]. Nothing to keep in a dense model.
    pub(crate) fn record_routes(&mut self, model: &Model) -> Result<()> {
        let Some(moe) = &model.config.moe else { return Ok(()) };
        let layers = model.config.layers - moe.dense_layers.len();
        let ids = model.device.zeros(&[layers, routes_stride(self.rows, moe.top_k)], DType::U32)?;
        self.recorded = Some(Recorded { ids, top_k: moe.top_k, layers: 0 });
        Ok(())
    }

    /// The last pass's choices, u32 [layers with experts, stride] whose first `rows`·k count, and the stride. Empty unless recorded.
    pub(crate) async fn read_routes(&self, device: &Device, rows: usize) -> Result<(Vec<u32>, usize)> {
        let Some(recorded) = &self.recorded else { return Ok((vec![], 0)) };
        let stride = routes_stride(rows, recorded.top_k);
        Ok((device.read_u32(&recorded.ids, recorded.layers * stride).await?, stride))
    }
}

/// A projection as one of several of the same input.
fn project<'a>(projection: &'a Projection, y: &'a mut Tensor) -> Part<'a> {
    Part { w: &projection.weight, bias: projection.bias.as_ref(), y }
}

impl Model {
    /// Runs `ids` (one per row of `batch`) through every layer, appending their keys and values to `cache`.
    /// Leaves the final norm's output in the workspace. Ids must be below the vocabulary size (checked by the caller).
    pub fn forward(&self, space: &mut Workspace, cache: &mut KvCache, ids: &[u32], batch: &Batch) -> Result<()> {
        let (device, rows) = (&self.device, batch.rows);
        space.ids.write_u32(device, ids)?;
        embedding::forward(device, &space.ids, &self.embedding, &mut space.residual, rows)?;
        if let Some(recorded) = &mut space.recorded {
            recorded.layers = 0;
        }
        for (number, layer) in self.layers.iter().enumerate() {
            self.attention(layer, number, space, cache, batch)?;
            self.mlp(layer, number, space, rows)?;
        }
        let eps = self.config.rms_eps;
        rms_norm::forward(device, &space.residual, &self.final_norm, eps, &mut space.normed, rows, self.config.hidden)?;
        Ok(())
    }

    fn attention(&self, layer: &Layer, number: usize, space: &mut Workspace, cache: &mut KvCache, batch: &Batch) -> Result<()> {
        let (device, config, rows) = (&self.device, &self.config, batch.rows);
        let sides = [(Role::Q, &layer.q, &mut space.q), (Role::K, &layer.k, &mut space.k), (Role::V, &layer.v, &mut space.v)];
        if self.lora.is_none() {
            let norm = Norm { gain: &layer.attention_norm, eps: config.rms_eps };
            parts::of_norm(
                device,
                &space.residual,
                norm,
                &mut space.normed,
                sides.into_iter().map(|(_, projection, y)| project(projection, y)).collect(),
                rows,
            )?;
        } else {
            rms_norm::forward(device, &space.residual, &layer.attention_norm, config.rms_eps, &mut space.normed, rows, config.hidden)?;
            for (role, projection, out) in sides {
                matmul::forward(device, &space.normed, &projection.weight, projection.bias.as_ref(), out, rows, Output::Store)?;
                self.lora_forward((role, number), &space.normed, out, space.low.as_mut(), rows)?;
            }
        }
        let norms = layer.qk_norm.as_ref().map(|(q, k)| (q, k));
        let qkv = [&mut space.q, &mut space.k, &mut space.v];
        attention::prepare(device, qkv, norms, config.rms_eps, &self.rope, cache, number, batch)?;
        let scale = 1.0 / (config.head_dim as f32).sqrt();
        attention::forward(device, &space.q, cache, number, batch, scale, &mut space.attended)?;
        matmul::forward(device, &space.attended, &layer.o.weight, layer.o.bias.as_ref(), &mut space.residual, rows, Output::Add)?;
        self.lora_forward((Role::O, number), &space.attended, &mut space.residual, space.low.as_mut(), rows)
    }

    fn mlp(&self, layer: &Layer, number: usize, space: &mut Workspace, rows: usize) -> Result<()> {
        let (device, config) = (&self.device, &self.config);
        let Workspace { residual, normed, gate, up, experts, low, recorded, .. } = space;
        if let (Mlp::Dense { gate: w_gate, up: w_up, down }, Some(gate), Some(up), None) = (&layer.mlp, &mut *gate, &mut *up, &self.lora) {
            let norm = Norm { gain: &layer.mlp_norm, eps: config.rms_eps };
            parts::gated(device, residual, norm, normed, [w_gate, w_up], gate, up, rows)?;
            return Ok(matmul::forward(device, gate, down, None, residual, rows, Output::Add)?);
        }
        rms_norm::forward(device, residual, &layer.mlp_norm, config.rms_eps, normed, rows, config.hidden)?;
        match (&layer.mlp, gate, up, experts) {
            (Mlp::Dense { gate: w_gate, up: w_up, down }, Some(gate), Some(up), _) => {
                matmul::forward(device, normed, w_gate, None, gate, rows, Output::Store)?;
                self.lora_forward((Role::Gate, number), normed, gate, low.as_mut(), rows)?;
                matmul::forward(device, normed, w_up, None, up, rows, Output::Store)?;
                self.lora_forward((Role::Up, number), normed, up, low.as_mut(), rows)?;
                swiglu::forward(device, gate, up, rows)?;
                matmul::forward(device, gate, down, None, residual, rows, Output::Add)?;
                self.lora_forward((Role::Down, number), gate, residual, low.as_mut(), rows)?;
            }
            (Mlp::Moe { router, gate, up, down }, _, _, Some(space)) => {
                let renormalise = config.moe.as_ref().is_some_and(|moe| moe.renormalise);
                matmul::forward(device, normed, router, None, &mut space.logits, rows, Output::Store)?;
                moe::route(device, &space.logits, renormalise, &mut space.routes, rows)?;
                if let Some(recorded) = recorded {
                    let at = recorded.layers * routes_stride(rows, recorded.top_k);
                    device.copy_to(&space.routes.ids, &mut recorded.ids, at, rows * space.routes.top_k)?;
                    recorded.layers += 1;
                }
                let lies_between = [&mut space.gate, &mut space.up];
                if self.lora.is_none() && moe::few::experts(device, normed, [gate, up, down], &space.routes, lies_between, residual, rows)?
                {
                    return Ok(());
                }
                moe::sort(device, &mut space.routes, rows)?;
                moe::will_read(&space.routes, &[gate, up, down])?;
                moe::grouped_matmul(device, normed, Rows::Tokens, gate, &space.routes, &mut space.gate, rows)?;
                moe::grouped_matmul(device, normed, Rows::Tokens, up, &space.routes, &mut space.up, rows)?;
                if let Some((wide, _)) = &mut space.product {
                    let x = (&*normed, Rows::Tokens);
                    let (role, y) = ((Role::ExpertGate, number), &mut space.gate);
                    self.lora_grouped(role, x, &space.routes, y, (low.as_mut(), wide), rows)?;
                    self.lora_grouped((Role::ExpertUp, number), x, &space.routes, &mut space.up, (low.as_mut(), wide), rows)?;
                }
                swiglu::forward(device, &mut space.gate, &space.up, rows * space.routes.top_k)?;
                moe::grouped_matmul(device, &space.gate, Rows::Sorted, down, &space.routes, &mut space.down, rows)?;
                if let Some((_, product)) = &mut space.product {
                    let x = (&space.gate, Rows::Sorted);
                    let (role, y) = ((Role::ExpertDown, number), &mut space.down);
                    self.lora_grouped(role, x, &space.routes, y, (low.as_mut(), product), rows)?;
                }
                moe::combine(device, &space.down, &space.routes, residual, rows)?;
            }
            _ => unreachable!("a workspace is made from the config of its model"),
        }
        Ok(())
    }

    /// Logits [R, V] of the first `rows` rows of `hidden` (final-normed).
    pub fn logits(&self, hidden: &Tensor, logits: &mut Tensor, rows: usize) -> Result<()> {
        Ok(matmul::forward(&self.device, hidden, self.head(), None, logits, rows, Output::Store)?)
    }

    /// Log-probabilities of `targets` and entropies of the last pass's rows, no logits kept.
    pub fn score(&self, space: &Workspace, targets: &Tensor, temperature: f32, out: &mut HeadOutput, rows: usize) -> Result<()> {
        Ok(head::forward(&self.device, &space.normed, self.head(), targets, temperature, None, out, rows)?)
    }
}

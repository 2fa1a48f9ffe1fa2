//! The buffers of a training pass, allocated once.

use kernels::attention::{BackwardSpace, KvCache, KvDType, KvShape, PAGE_TOKENS};
use kernels::head::HeadOutput;
use kernels::moe::Routes;
use kernels::{DType, Device, Tensor};

use super::{LoraShape, zeros};
use crate::config::ModelConfig;
use crate::error::Result;
use crate::weights::Model;

/// How large a pass may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainSpaceShape {
    /// Tokens of all sequences of a pass.
    pub rows: usize,
    /// Sequences: each begins on a cache page of its own.
    pub sequences: usize,
    /// Rows whose next token is predicted.
    pub loss_rows: usize,
    /// What keys and values are rounded to, as rollouts round them.
    pub kv: KvDType,
    /// How many of the last layers keep their inside from forward to backward; the others run forward a second time. At least one does,
    /// for nothing: the last layer's is still there. More is faster and takes more memory, and changes no bit.
    pub keep: usize,
}

/// Activations and their gradients for up to [`TrainSpaceShape::rows`] rows: each layer's input, and the inside of a few layers.
pub struct TrainSpace {
    /// What there is room for.
    pub shape: TrainSpaceShape,
    /// Log-probability, entropy and log-sum of each loss row.
    pub head: HeadOutput,
    /// Keys and values of each inside.
    pub(super) cache: KvCache,
    pub(super) host_ids: Vec<u32>,
    pub(super) ids: Tensor,
    /// Each layer's input [R, C].
    pub(super) inputs: Vec<Tensor>,
    /// The residual stream [R, C].
    pub(super) residual: Tensor,
    pub(super) insides: Vec<Inside>,
    pub(super) reverse: Reverse,
    pub(super) lora: Option<LoraSpace>,
    pub(super) final_normed: Tensor,
    pub(super) loss_rows: Tensor,
    pub(super) targets: Tensor,
    pub(super) cuts: Tensor,
    pub(super) picked: Tensor,
    pub(super) dpicked: Tensor,
    pub(super) dlogprob: Tensor,
    pub(super) dentropy: Tensor,
}

/// What a layer's backward needs of its forward.
pub(super) struct Inside {
    /// Before their norms. Models without q and k norms use `q` and `k` alone.
    pub q_raw: Option<Tensor>,
    pub k_raw: Option<Tensor>,
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
    pub out: Tensor,
    /// The residual stream between attention and MLP.
    pub middle: Tensor,
    /// The MLP's input.
    pub normed: Tensor,
    pub dense: Option<Mlp>,
    pub experts: Option<Experts>,
}

/// [R, I], or [R·k, I] in expert order.
pub(super) struct Mlp {
    pub gate: Tensor,
    pub up: Tensor,
    pub act: Tensor,
}

pub(super) struct Experts {
    pub logits: Tensor,
    pub routes: Routes,
    pub inner: Mlp,
    /// [R·k, C]
    pub down: Tensor,
}

/// Gradients on their way; one set for all layers.
pub(super) struct Reverse {
    pub dresidual: Tensor,
    pub dnormed: Tensor,
    pub dq: Tensor,
    pub dk: Tensor,
    pub dv: Tensor,
    pub dout: Tensor,
    pub dq_raw: Option<Tensor>,
    pub dk_raw: Option<Tensor>,
    pub attention: BackwardSpace,
    /// [R, I]
    pub dact: Option<Tensor>,
    pub experts: Option<ReverseExperts>,
}

pub(super) struct ReverseExperts {
    pub dlogits: Tensor,
    pub dweights: Tensor,
    /// [R·k, I]
    pub dact: Tensor,
    /// [R·k, C]
    pub ddown: Tensor,
    pub dsorted: Tensor,
}

/// x Aᵀ of one adapter and its gradient, [R, r], or [R·k, r] where experts have adapters.
pub(super) struct LoraSpace {
    pub low: Tensor,
    pub dlow: Tensor,
}

impl TrainSpace {
    /// Room for passes of `shape` of `model`, its adapters included.
    pub fn new(model: &Model, shape: TrainSpaceShape) -> Result<Self> {
        let (device, config) = (&model.device, &model.config);
        let shape = TrainSpaceShape { keep: shape.keep.clamp(1, config.layers.max(1)), ..shape };
        let (rows, c, loss) = (shape.rows, config.hidden, shape.loss_rows);
        let pages = rows.div_ceil(PAGE_TOKENS) + shape.sequences;
        let kv = KvShape { layers: shape.keep, kv_heads: config.kv_heads, head_dim: config.head_dim, pages, dtype: shape.kv };
        Ok(Self {
            shape,
            head: HeadOutput::new(device, loss)?,
            cache: KvCache::new(device, kv)?,
            host_ids: vec![],
            ids: device.zeros(&[rows], DType::U32)?,
            inputs: (0..config.layers).map(|_| zeros(device, rows, c)).collect::<Result<_>>()?,
            residual: zeros(device, rows, c)?,
            insides: (0..shape.keep).map(|_| Inside::new(device, config, rows)).collect::<Result<_>>()?,
            reverse: Reverse::new(device, config, rows)?,
            lora: LoraSpace::new(model, rows)?,
            final_normed: zeros(device, rows, c)?,
            loss_rows: device.zeros(&[loss], DType::U32)?,
            targets: device.zeros(&[loss], DType::U32)?,
            cuts: device.zeros(&[loss], DType::F32)?,
            picked: zeros(device, loss, c)?,
            dpicked: zeros(device, loss, c)?,
            dlogprob: device.zeros(&[loss], DType::F32)?,
            dentropy: device.zeros(&[loss], DType::F32)?,
        })
    }

    /// Which inside layer `number` of `layers` uses, and whether the forward pass's is still there for backward.
    pub(super) fn inside_of(&self, number: usize, layers: usize) -> (usize, bool) {
        let from_last = layers - 1 - number;
        (from_last.min(self.shape.keep - 1), from_last < self.shape.keep)
    }

    /// Bytes of a space of `shape` for a model of `config` with adapters of at most `rank` (0: none), as [`TrainSpace::new`] allocates
    /// them, but for the kernels' own scratch.
    pub fn bytes(config: &ModelConfig, shape: TrainSpaceShape, rank: usize) -> u64 {
        let (r, c) = (shape.rows as u64, config.hidden as u64);
        let (q, kv) = ((config.heads * config.head_dim) as u64, (config.kv_heads * config.head_dim) as u64);
        let raw = if config.qk_norm { q + kv } else { 0 };
        let dense = if has_dense(config) { config.intermediate as u64 } else { 0 };
        let (mut inside, mut reverse) = (2 * q + 2 * kv + raw + 2 * c + 3 * dense, 2 * c + 2 * q + 2 * kv + raw + dense);
        reverse += 2 * config.heads as u64;
        let mut copies = 1;
        if let Some(moe) = &config.moe {
            let (k, e, i) = (moe.top_k as u64, moe.experts as u64, moe.intermediate as u64);
            inside += e + k * (3 * i + c + 4);
            reverse += e + k * (i + 2 * c + 1);
            copies = k;
        }
        let keep = shape.keep.clamp(1, config.layers.max(1)) as u64;
        let lora = copies * 2 * rank as u64;
        let words = r * ((config.layers as u64 + 2) * c + keep * inside + reverse + lora + 1) + shape.loss_rows as u64 * (2 * c + 11);
        let pages = (shape.rows.div_ceil(PAGE_TOKENS) + shape.sequences) * PAGE_TOKENS;
        4 * words + keep * (pages * shape.kv.bytes_per_position(config.kv_heads, config.head_dim)) as u64
    }
}

fn has_dense(config: &ModelConfig) -> bool {
    config.moe.as_ref().is_none_or(|moe| !moe.dense_layers.is_empty())
}

impl Inside {
    fn new(device: &Device, config: &ModelConfig, rows: usize) -> Result<Self> {
        let (q, kv, c) = (config.heads * config.head_dim, config.kv_heads * config.head_dim, config.hidden);
        let raw = |width: usize| if config.qk_norm { zeros(device, rows, width).map(Some) } else { Ok(None) };
        Ok(Self {
            q_raw: raw(q)?,
            k_raw: raw(kv)?,
            q: zeros(device, rows, q)?,
            k: zeros(device, rows, kv)?,
            v: zeros(device, rows, kv)?,
            out: zeros(device, rows, q)?,
            middle: zeros(device, rows, c)?,
            normed: zeros(device, rows, c)?,
            dense: if has_dense(config) { Some(Mlp::new(device, rows, config.intermediate)?) } else { None },
            experts: match &config.moe {
                Some(moe) => Some(Experts {
                    logits: zeros(device, rows, moe.experts)?,
                    routes: Routes::new(device, rows, moe.experts, moe.top_k)?,
                    inner: Mlp::new(device, rows * moe.top_k, moe.intermediate)?,
                    down: zeros(device, rows * moe.top_k, c)?,
                }),
                None => None,
            },
        })
    }
}

impl Reverse {
    fn new(device: &Device, config: &ModelConfig, rows: usize) -> Result<Self> {
        let (q, kv, c) = (config.heads * config.head_dim, config.kv_heads * config.head_dim, config.hidden);
        let raw = |width: usize| if config.qk_norm { zeros(device, rows, width).map(Some) } else { Ok(None) };
        Ok(Self {
            dresidual: zeros(device, rows, c)?,
            dnormed: zeros(device, rows, c)?,
            dq: zeros(device, rows, q)?,
            dk: zeros(device, rows, kv)?,
            dv: zeros(device, rows, kv)?,
            dout: zeros(device, rows, q)?,
            dq_raw: raw(q)?,
            dk_raw: raw(kv)?,
            attention: BackwardSpace::new(device, rows, config.heads)?,
            dact: if has_dense(config) { Some(zeros(device, rows, config.intermediate)?) } else { None },
            experts: match &config.moe {
                Some(moe) => Some(ReverseExperts {
                    dlogits: zeros(device, rows, moe.experts)?,
                    dweights: zeros(device, rows, moe.top_k)?,
                    dact: zeros(device, rows * moe.top_k, moe.intermediate)?,
                    ddown: zeros(device, rows * moe.top_k, c)?,
                    dsorted: zeros(device, rows * moe.top_k, c)?,
                }),
                None => None,
            },
        })
    }
}

impl Mlp {
    fn new(device: &Device, rows: usize, width: usize) -> Result<Self> {
        Ok(Self { gate: zeros(device, rows, width)?, up: zeros(device, rows, width)?, act: zeros(device, rows, width)? })
    }
}

impl LoraSpace {
    fn new(model: &Model, rows: usize) -> Result<Option<Self>> {
        let Some(LoraShape { rank, .. }) = model.lora else { return Ok(None) };
        let experts = model.adapters.keys().any(|(role, _)| role.is_expert());
        let all = match (&model.config.moe, experts) {
            (Some(moe), true) => rows * moe.top_k,
            _ => rows,
        };
        Ok(Some(Self { low: zeros(&model.device, all, rank)?, dlow: zeros(&model.device, all, rank)? }))
    }
}

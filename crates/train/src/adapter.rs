//! Low-rank adapters (LoRA, arXiv 2106.09685): W' = W + (α/r)·B·A, with A [r, K] and B [N, r] for some of a model's matrices.
//!
//! They come from and go to the folders of Hugging Face's PEFT ([`Adapter::open`], [`Adapter::save`]); experts have pairs of their own.

mod peft;

use std::collections::{BTreeMap, BTreeSet};

use kernels::DType;
use model::{Checkpoint, ModelConfig, ModelError, Role};
use sha2::{Digest, Sha256};

/// What is said of α/r, and the pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// r.
    pub rank: usize,
    /// α.
    pub alpha: f32,
    /// Name of the base it was trained on, as a person would give it; may be empty.
    pub base_name: String,
    /// [`fingerprint`] of the base, where it was recorded.
    pub base: Option<String>,
    /// A pair for each adapted matrix.
    pub pairs: BTreeMap<Place, Pair>,
}

/// Which matrix a pair belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// One of [`TARGETS`].
    pub role: Role,
    /// Layer, from 0.
    pub layer: usize,
    /// Expert, for the roles that are stacks of them.
    pub expert: Option<usize>,
}

/// Two matrices whose product is added to a weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// [r, K], row-major.
    pub a: Vec<f32>,
    /// [N, r], row-major.
    pub b: Vec<f32>,
}

/// The matrices that can be adapted, with PEFT's names for them.
pub const TARGETS: [(Role, &str); 10] = [
    (Role::Q, "self_attn.q_proj"),
    (Role::K, "self_attn.k_proj"),
    (Role::V, "self_attn.v_proj"),
    (Role::O, "self_attn.o_proj"),
    (Role::Gate, "mlp.gate_proj"),
    (Role::Up, "mlp.up_proj"),
    (Role::Down, "mlp.down_proj"),
    (Role::ExpertGate, "gate_proj"),
    (Role::ExpertUp, "up_proj"),
    (Role::ExpertDown, "down_proj"),
];

/// Result of this module.
pub type Result<T, E = AdapterError> = std::result::Result<T, E>;

/// Why an adapter cannot be read, written or used with a base.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A file could not be read or written.
    #[error("{file}: {source}")]
    Io {
        /// Path.
        file: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// adapter_config.json does not say what is needed, or asks for what this program does not do.
    #[error("{file}: `{key}` {message}")]
    Config {
        /// Path.
        file: String,
        /// The key.
        key: String,
        /// What is wrong with it and what to do.
        message: String,
    },
    /// A tensor that belongs to no matrix that can be adapted.
    #[error(
        "tensor `{0}` is for no matrix that can be adapted; those are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj of layers and experts: train the adapter again with these target modules"
    )]
    UnknownTarget(String),
    /// Half of a pair.
    #[error("`{0}` has no partner: an adapter needs lora_A and lora_B of every target; the file is cut short or not a LoRA adapter")]
    MissingPair(String),
    /// A tensor whose rank is not the configuration's.
    #[error("`{tensor}` has rank {found}, adapter_config.json says {expected}: the two files belong to different adapters")]
    Rank {
        /// Tensor.
        tensor: String,
        /// Its own rank.
        found: usize,
        /// `r`.
        expected: usize,
    },
    /// A pair that does not fit the base's matrix.
    #[error("the adapter's {place} is for a matrix of {found:?}, the base's is {expected:?}: it was trained on another base ({base})")]
    Shape {
        /// Which matrix.
        place: String,
        /// [N, K] of the adapter.
        found: [usize; 2],
        /// [N, K] of the base; zeros where it has no such matrix.
        expected: [usize; 2],
        /// What the adapter calls its base.
        base: String,
    },
    /// The base is another than the one recorded.
    #[error(
        "the adapter was trained on {name} (fingerprint {recorded}), this base has fingerprint {found}: give the base it was trained on"
    )]
    OtherBase {
        /// What the adapter calls its base.
        name: String,
        /// Recorded with it.
        recorded: String,
        /// Of the base given.
        found: String,
    },
    /// A value that is not a number.
    #[error("`{0}` holds a NaN or infinity: the adapter is damaged, or its training diverged")]
    NonFinite(String),
    /// The base or the adapter's tensors cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl Adapter {
    /// α/r.
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }

    /// The pairs of a role in a layer: by expert, or one at 0.
    pub fn pairs_of(&self, role: Role, layer: usize) -> BTreeMap<usize, &Pair> {
        let place = |expert| Place { role, layer, expert };
        let range = self.pairs.range(place(None)..=place(Some(usize::MAX)));
        range.map(|(place, pair)| (place.expert.unwrap_or(0), pair)).collect()
    }

    /// PEFT's names of the adapted modules, without repeats: `q_proj`.
    pub fn modules(&self) -> BTreeSet<&'static str> {
        self.pairs.keys().map(|place| place.module()).collect()
    }

    /// Whether experts are adapted, each by a pair of its own.
    pub fn has_experts(&self) -> bool {
        self.pairs.keys().any(|place| place.expert.is_some())
    }

    /// Values of all pairs.
    pub fn parameters(&self) -> usize {
        self.pairs.values().map(|pair| pair.a.len() + pair.b.len()).sum()
    }

    /// Errors unless every pair fits its matrix in `base` and the recorded fingerprint, if any, is the base's.
    pub fn check(&self, base: &Checkpoint) -> Result<()> {
        for (place, pair) in &self.pairs {
            let expected = place.shape(base.config()).unwrap_or([0, 0]);
            let found = [pair.b.len() / self.rank.max(1), pair.a.len() / self.rank.max(1)];
            let whole = pair.b.len() == found[0] * self.rank && pair.a.len() == found[1] * self.rank;
            if !whole || found != expected || expected[0] == 0 {
                return Err(AdapterError::Shape { place: place.name(), found, expected, base: self.base_name.clone() });
            }
        }
        if let Some(recorded) = &self.base {
            let found = fingerprint(base)?;
            if *recorded != found {
                return Err(AdapterError::OtherBase { name: self.base_name.clone(), recorded: recorded.clone(), found });
            }
        }
        Ok(())
    }
}

impl Place {
    /// Its name in a checkpoint, without `.weight`: `model.layers.3.self_attn.q_proj`.
    pub fn name(self) -> String {
        let name = match self.expert {
            Some(expert) => self.role.canonical_expert(self.layer, expert),
            None => self.role.canonical(self.layer),
        };
        name.trim_end_matches(".weight").to_owned()
    }

    /// From such a name.
    pub fn from_name(name: &str) -> Option<Self> {
        let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (expert, rest) = match rest.strip_prefix("mlp.experts.") {
            Some(rest) => rest.split_once('.').map(|(expert, rest)| (Some(expert), rest))?,
            None => (None, rest),
        };
        // Digits only: `parse` would take "+3" too.
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| number.to_string() == text);
        let known = TARGETS.iter().find(|(role, module)| role.is_expert() == expert.is_some() && *module == rest);
        let expert = match expert {
            Some(expert) => Some(number(expert)?),
            None => None,
        };
        Some(Self { role: known?.0, layer: number(layer)?, expert })
    }

    /// [N, K]; `None` where a model of this shape has no such matrix.
    pub fn shape(self, config: &ModelConfig) -> Option<[usize; 2]> {
        if self.layer >= config.layers || !self.role.exists(config, self.layer) || self.role.is_expert() != self.expert.is_some() {
            return None;
        }
        match (self.role.shape(config).as_slice(), self.expert) {
            (&[experts, n, k], Some(expert)) if expert < experts => Some([n, k]),
            (&[n, k], None) => Some([n, k]),
            _ => None,
        }
    }

    fn module(self) -> &'static str {
        let name = TARGETS.iter().find(|(role, _)| *role == self.role).map_or("", |(_, name)| name);
        name.rsplit('.').next().unwrap_or(name)
    }
}

impl Pair {
    /// out [K] += scale · B[row] A; the sum over r ascending, in f32.
    pub fn add_row(&self, scale: f32, row: usize, out: &mut [f32]) {
        let rank = if out.is_empty() { 0 } else { self.a.len() / out.len() };
        let Some(b) = self.b.get(row * rank..(row + 1) * rank) else { return };
        let mut sum = vec![0.0f32; out.len()];
        for (factor, a) in b.iter().zip(self.a.chunks_exact(out.len().max(1))) {
            sum.iter_mut().zip(a).for_each(|(sum, a)| *sum += factor * a);
        }
        out.iter_mut().zip(&sum).for_each(|(out, sum)| *out += scale * sum);
    }
}

/// SHA-256, in hexadecimal, of what a base keeps in every format it is published in: its sizes and the values of its norms and biases,
/// which are never quantised. So a bf16 folder and its Q4 file have the same, and a base trained further, norms included, has another.
pub fn fingerprint(base: &Checkpoint) -> Result<String, ModelError> {
    let config = base.config();
    let mut hash = Sha256::new();
    hash.update(b"longhand base 1\n");
    hash.update(config.architecture.hf_name());
    for size in [config.hidden, config.layers, config.heads, config.kv_heads, config.head_dim, config.vocab] {
        hash.update((size as u64).to_le_bytes());
    }
    let layers = (0..config.layers).flat_map(|layer| Role::LAYER.into_iter().map(move |role| (role, layer)));
    for (role, layer) in std::iter::once((Role::FinalNorm, 0)).chain(layers) {
        if role.shape(config).len() != 1 {
            continue;
        }
        let Some(data) = base.tensor(role, layer)? else { continue };
        let mut values = vec![0.0f32; data.rows * data.cols];
        kernels::cpu::dequant::dequantize(data.dtype, data.bytes.as_slice(), &mut values)?;
        hash.update(role.canonical(layer));
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A float tensor's values.
fn values(tensor: &model::TensorInfo) -> Result<Vec<f32>> {
    let mut values = vec![0.0f32; tensor.elements()];
    let bytes = tensor.bytes.load().map_err(ModelError::from)?;
    kernels::cpu::dequant::dequantize(tensor.dtype, bytes.as_slice(), &mut values).map_err(ModelError::from)?;
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(AdapterError::NonFinite(tensor.name.clone())) }
}

/// The format adapters are written in: small, and merged without a rounding of their own.
const STORED: DType = DType::F32;

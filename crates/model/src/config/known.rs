//! Shapes of published models, so that a plan can be made before anything is downloaded.

use kernels::DType;

use super::{Architecture, ModelConfig, MoeConfig, RopeScaling};

/// name, layers, hidden, q heads, kv heads, dense MLP, θ, positions, tied, sparse
type Row = (&'static str, usize, usize, usize, usize, usize, f64, usize, bool, bool);

const QWEN3: [Row; 8] = [
    ("qwen3-0.6b", 28, 1024, 16, 8, 3072, 1e6, 40960, true, false),
    ("qwen3-1.7b", 28, 2048, 16, 8, 6144, 1e6, 40960, true, false),
    ("qwen3-4b", 36, 2560, 32, 8, 9728, 1e6, 40960, true, false),
    ("qwen3-4b-thinking-2507", 36, 2560, 32, 8, 9728, 5e6, 262_144, true, false),
    ("qwen3-8b", 36, 4096, 32, 8, 12288, 1e6, 40960, false, false),
    ("qwen3-30b-a3b", 48, 2048, 32, 4, 6144, 1e6, 40960, false, true),
    ("qwen3-30b-a3b-thinking-2507", 48, 2048, 32, 4, 6144, 1e7, 262_144, false, true),
    ("qwenlong-l1.5-30b-a3b", 48, 2048, 32, 4, 6144, 1e7, 262_144, false, true),
];

impl ModelConfig {
    /// Names [`ModelConfig::known`] answers to.
    pub fn known_names() -> impl Iterator<Item = &'static str> {
        QWEN3.iter().map(|row| row.0)
    }

    /// The shape of a published model: `qwen3-30b-a3b`, or a hub id that ends so; letter case does not matter.
    pub fn known(name: &str) -> Option<Self> {
        let name = name.rsplit('/').next()?.to_ascii_lowercase();
        let &(_, layers, hidden, heads, kv_heads, intermediate, rope_theta, max_positions, tied, sparse) =
            QWEN3.iter().find(|row| row.0 == name)?;
        Some(Self {
            architecture: if sparse { Architecture::Qwen3Moe } else { Architecture::Qwen3 },
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim: 128,
            intermediate,
            vocab: 151_936,
            rms_eps: 1e-6,
            rope_theta,
            rope: RopeScaling::Default,
            rope_factors: None,
            max_positions,
            tie_embeddings: tied,
            qkv_bias: false,
            attention_out_bias: false,
            qk_norm: true,
            moe: sparse.then(|| MoeConfig { experts: 128, top_k: 8, intermediate: 768, renormalise: true, dense_layers: vec![] }),
            eos: vec![151_645, 151_643],
            bos: None,
            dtype_hint: Some(DType::BF16),
        })
    }
}

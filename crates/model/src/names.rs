//! The roles tensors play, their names in Hugging Face checkpoints and GGUF files, and the shapes they must have.

use crate::config::{Architecture, ModelConfig};

/// What a tensor is for. Matrices are [N, K]: output width, input width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// [V, C]
    Embedding,
    /// [V, C]; absent when tied.
    OutputHead,
    /// [C]
    FinalNorm,
    /// [C]
    AttentionNorm,
    /// [Hq·D, C]
    Q,
    /// [Hkv·D, C]
    K,
    /// [Hkv·D, C]
    V,
    /// [Hq·D]
    QBias,
    /// [Hkv·D]
    KBias,
    /// [Hkv·D]
    VBias,
    /// [C, Hq·D]
    O,
    /// [C]
    OBias,
    /// [D]
    QNorm,
    /// [D]
    KNorm,
    /// [C]
    MlpNorm,
    /// [I, C]
    Gate,
    /// [I, C]
    Up,
    /// [C, I]
    Down,
    /// [E, C]
    Router,
    /// [E·I, C]
    ExpertGate,
    /// [E·I, C]
    ExpertUp,
    /// [E·C, I]
    ExpertDown,
}

impl Role {
    /// Every role, global ones first.
    pub const ALL: [Role; 22] = [
        Self::Embedding,
        Self::OutputHead,
        Self::FinalNorm,
        Self::AttentionNorm,
        Self::Q,
        Self::K,
        Self::V,
        Self::QBias,
        Self::KBias,
        Self::VBias,
        Self::O,
        Self::OBias,
        Self::QNorm,
        Self::KNorm,
        Self::MlpNorm,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::Router,
        Self::ExpertGate,
        Self::ExpertUp,
        Self::ExpertDown,
    ];

    /// Roles outside the layers; their layer number is 0.
    pub const GLOBAL: [Role; 3] = [Role::Embedding, Role::OutputHead, Role::FinalNorm];

    /// Roles a layer may have, in the order a forward pass meets them.
    pub const LAYER: [Role; 19] = [
        Role::AttentionNorm,
        Role::Q,
        Role::K,
        Role::V,
        Role::QBias,
        Role::KBias,
        Role::VBias,
        Role::O,
        Role::OBias,
        Role::QNorm,
        Role::KNorm,
        Role::MlpNorm,
        Role::Gate,
        Role::Up,
        Role::Down,
        Role::Router,
        Role::ExpertGate,
        Role::ExpertUp,
        Role::ExpertDown,
    ];

    /// Whether it is a stack of experts.
    pub const fn is_expert(self) -> bool {
        matches!(self, Self::ExpertGate | Self::ExpertUp | Self::ExpertDown)
    }

    /// Whether it is a vector [C]: a norm's gain or a bias.
    pub const fn is_vector(self) -> bool {
        matches!(
            self,
            Self::FinalNorm
                | Self::AttentionNorm
                | Self::MlpNorm
                | Self::QNorm
                | Self::KNorm
                | Self::QBias
                | Self::KBias
                | Self::VBias
                | Self::OBias
        )
    }

    /// Whether it exists once, outside the layers.
    pub const fn is_global(self) -> bool {
        matches!(self, Self::Embedding | Self::OutputHead | Self::FinalNorm)
    }

    /// Whether a model of this shape has it in `layer`.
    pub fn exists(self, config: &ModelConfig, layer: usize) -> bool {
        match self {
            Self::OutputHead => !config.tie_embeddings,
            Self::QBias | Self::KBias | Self::VBias => config.qkv_bias,
            Self::OBias => config.attention_out_bias,
            Self::QNorm | Self::KNorm => config.qk_norm,
            Self::Gate | Self::Up | Self::Down => !config.is_sparse(layer),
            Self::Router | Self::ExpertGate | Self::ExpertUp | Self::ExpertDown => config.is_sparse(layer),
            _ => true,
        }
    }

    /// Its shape: one side for vectors, [E, N, K] for experts.
    pub fn shape(self, config: &ModelConfig) -> Vec<usize> {
        let (c, d, inner, vocab) = (config.hidden, config.head_dim, config.intermediate, config.vocab);
        let (q, kv) = (config.heads * d, config.kv_heads * d);
        let (experts, expert_inner) = config.moe.as_ref().map_or((0, 0), |moe| (moe.experts, moe.intermediate));
        match self {
            Self::Embedding | Self::OutputHead => vec![vocab, c],
            Self::FinalNorm | Self::AttentionNorm | Self::MlpNorm | Self::OBias => vec![c],
            Self::Q => vec![q, c],
            Self::K | Self::V => vec![kv, c],
            Self::QBias => vec![q],
            Self::KBias | Self::VBias => vec![kv],
            Self::O => vec![c, q],
            Self::QNorm | Self::KNorm => vec![d],
            Self::Gate | Self::Up => vec![inner, c],
            Self::Down => vec![c, inner],
            Self::Router => vec![experts, c],
            Self::ExpertGate | Self::ExpertUp => vec![experts, expert_inner, c],
            Self::ExpertDown => vec![experts, c, expert_inner],
        }
    }

    /// Longhand's own name, which is Hugging Face's where that is one tensor: `model.layers.3.self_attn.q_proj.weight`.
    pub fn canonical(self, layer: usize) -> String {
        let rest = match self {
            Self::Embedding => return "model.embed_tokens.weight".into(),
            Self::OutputHead => return "lm_head.weight".into(),
            Self::FinalNorm => return "model.norm.weight".into(),
            Self::AttentionNorm => "input_layernorm.weight",
            Self::Q => "self_attn.q_proj.weight",
            Self::K => "self_attn.k_proj.weight",
            Self::V => "self_attn.v_proj.weight",
            Self::QBias => "self_attn.q_proj.bias",
            Self::KBias => "self_attn.k_proj.bias",
            Self::VBias => "self_attn.v_proj.bias",
            Self::O => "self_attn.o_proj.weight",
            Self::OBias => "self_attn.o_proj.bias",
            Self::QNorm => "self_attn.q_norm.weight",
            Self::KNorm => "self_attn.k_norm.weight",
            Self::MlpNorm => "post_attention_layernorm.weight",
            Self::Gate => "mlp.gate_proj.weight",
            Self::Up => "mlp.up_proj.weight",
            Self::Down => "mlp.down_proj.weight",
            Self::Router => "mlp.gate.weight",
            Self::ExpertGate => "mlp.experts.gate_proj.weight",
            Self::ExpertUp => "mlp.experts.up_proj.weight",
            Self::ExpertDown => "mlp.experts.down_proj.weight",
        };
        format!("model.layers.{layer}.{rest}")
    }

    /// Name in a GGUF file.
    pub fn gguf(self, layer: usize) -> String {
        let rest = match self {
            Self::Embedding => return "token_embd.weight".into(),
            Self::OutputHead => return "output.weight".into(),
            Self::FinalNorm => return "output_norm.weight".into(),
            Self::AttentionNorm => "attn_norm.weight",
            Self::Q => "attn_q.weight",
            Self::K => "attn_k.weight",
            Self::V => "attn_v.weight",
            Self::QBias => "attn_q.bias",
            Self::KBias => "attn_k.bias",
            Self::VBias => "attn_v.bias",
            Self::O => "attn_output.weight",
            Self::OBias => "attn_output.bias",
            Self::QNorm => "attn_q_norm.weight",
            Self::KNorm => "attn_k_norm.weight",
            Self::MlpNorm => "ffn_norm.weight",
            Self::Gate => "ffn_gate.weight",
            Self::Up => "ffn_up.weight",
            Self::Down => "ffn_down.weight",
            Self::Router => "ffn_gate_inp.weight",
            Self::ExpertGate => "ffn_gate_exps.weight",
            Self::ExpertUp => "ffn_up_exps.weight",
            Self::ExpertDown => "ffn_down_exps.weight",
        };
        format!("blk.{layer}.{rest}")
    }

    /// Name of one expert's matrix in a Hugging Face checkpoint: `model.layers.3.mlp.experts.7.up_proj.weight`.
    pub fn canonical_expert(self, layer: usize, expert: usize) -> String {
        hf_expert(self, layer, expert)
    }

    /// Heads whose rows llama.cpp's files interleave (row 2i + h of a head is row i + h·D/2 elsewhere); `None` where rows keep their order.
    pub fn interleaved_heads(self, config: &ModelConfig) -> Option<usize> {
        interleaved_heads(config, self)
    }
}

/// A Hugging Face checkpoint's name of one expert's matrix.
pub(crate) fn hf_expert(role: Role, layer: usize, expert: usize) -> String {
    let which = match role {
        Role::ExpertGate => "gate_proj",
        Role::ExpertUp => "up_proj",
        _ => "down_proj",
    };
    format!("model.layers.{layer}.mlp.experts.{expert}.{which}.weight")
}

/// Names of fused experts: gate and up together, and down.
pub(crate) fn hf_fused(layer: usize) -> (String, String) {
    let stem = format!("model.layers.{layer}.mlp.experts");
    (format!("{stem}.gate_up_proj"), format!("{stem}.down_proj"))
}

/// Tensors of older Hugging Face checkpoints that hold what the configuration already says: rotary frequencies.
pub(crate) fn hf_ignorable(name: &str) -> bool {
    name == "model.rotary_emb.inv_freq" || (name.starts_with("model.layers.") && name.ends_with(".self_attn.rotary_emb.inv_freq"))
}

/// Tensors of a GGUF file that are no weights of a role: rotary divisors, which the configuration takes over.
pub(crate) fn gguf_ignorable(name: &str) -> bool {
    name == "rope_freqs.weight" || (name.starts_with("blk.") && name.ends_with(".attn_rot_embd.weight"))
}

/// Heads whose rows llama.cpp's converter interleaves in `role`, for an architecture with interleaved rotary pairs.
pub(crate) fn interleaved_heads(config: &ModelConfig, role: Role) -> Option<usize> {
    match (config.architecture, role) {
        (Architecture::Llama, Role::Q | Role::QBias) => Some(config.heads),
        (Architecture::Llama, Role::K | Role::KBias) => Some(config.kv_heads),
        _ => None,
    }
}

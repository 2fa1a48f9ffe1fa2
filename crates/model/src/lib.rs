//! Qwen3-MoE, Qwen3, Qwen2 and Llama: configuration, weights, the forward pass, the paged cache, batched generation.

pub mod chat;
pub mod config;
pub mod constrain;
pub mod engine;
pub mod error;
pub mod forward;
pub mod gguf;
mod names;
pub mod pages;
pub mod random;
pub mod rope_scaling;
pub mod safetensors;
pub mod score;
pub mod source;
pub mod tensor;
mod text;
pub mod train;
pub mod weights;

pub use chat::ChatEngine;
pub use config::{Architecture, ModelConfig, MoeConfig, RopeScaling};
pub use constrain::{Constraint, Vocabulary};
pub use engine::{Engine, EngineSettings, Generated, Request, Token};
pub use error::{ModelError, Result};
pub use source::{Checkpoint, Role, TensorData, TensorInfo, TensorParts};
pub use text::TextParts;
pub use weights::Model;

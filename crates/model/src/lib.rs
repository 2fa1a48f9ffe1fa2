//! Qwen3-MoE, Qwen3, Qwen2 and Llama models: configuration, weights from Hugging Face folders and GGUF files.

pub mod config;
pub mod error;
pub mod gguf;
mod names;
pub mod rope_scaling;
pub mod safetensors;
pub mod source;
pub mod tensor;

pub use config::{Architecture, ModelConfig, MoeConfig, RopeScaling};
pub use error::{ModelError, Result};
pub use source::{Checkpoint, Role, TensorData, TensorInfo};

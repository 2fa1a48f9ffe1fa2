//! Trains a model on the machine at hand: from rows of conversations to packed micro-batches, steps, checkpoints.

pub mod adapter;
pub mod export;
pub mod config;
pub mod sft;

pub use config::{Config, ConfigError};
pub mod run;

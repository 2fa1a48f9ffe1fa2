//! Trains a model on the machine at hand: from rows of conversations to packed micro-batches, steps, checkpoints; and merges what was trained.

pub mod adapter;
pub mod config;
mod error;
pub mod export;
pub mod finetune;
pub mod merge;
pub mod notes;
pub mod plan;
pub mod rl;
pub mod run;
pub mod sft;
pub mod trainer;

pub use config::{Config, ConfigError};
pub use error::{Result, TrainError};
pub use finetune::Finetune;
pub use trainer::{Hyper, Sequence, StepOutcome, Trainer};

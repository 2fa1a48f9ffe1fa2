//! What can go wrong in training, said so that a person can act on it.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, TrainError>;

/// An error of training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// From the model or the core.
    #[error(transparent)]
    Model(#[from] model::ModelError),
    /// From the core.
    #[error(transparent)]
    Kernel(#[from] kernels::KernelError),
    /// A slot the model has not.
    #[error("this model has no {0}")]
    NoSuchTensor(String),
    /// A rollout or sample still holds the model.
    #[error("the model is still in use by a rollout: drop its engine before the next step")]
    InUse,
    /// Full training of a quantised tensor.
    #[error(
        "{name} is stored as {dtype}, which cannot be trained itself: give adapters ([lora]), or let the model be turned into f32 or bf16 (dtype)"
    )]
    Quantised {
        /// The tensor.
        name: String,
        /// Its storage.
        dtype: &'static str,
    },
    /// Adapters beside nothing.
    #[error("{0} has none of the layers that [lora] targets name: a mixture has \"experts\", other models \"mlp\"; all have \"attention\"")]
    NothingToTrain(String),
    /// The run's folder, log or checkpoints.
    #[error(transparent)]
    Run(#[from] crate::run::RunError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// Nothing to export yet.
    #[error("{0} has no whole checkpoint yet: train at least [checkpoint] every steps")]
    NoCheckpoint(String),
    /// The data.
    #[error(transparent)]
    Data(#[from] crate::sft::DataError),
    /// Text that cannot be made tokens of.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::TokenizerError),
    /// An example is longer than a pass.
    #[error(transparent)]
    Pack(#[from] crate::sft::PackError),
    /// NaN or ∞.
    #[error(
        "step {step}: the gradient of {what} is not finite; nothing was changed. A lower learning rate, or `dtype = \"f32\"`, is the usual cure"
    )]
    NotFinite {
        /// The step that was to be made.
        step: u32,
        /// The first tensor with such a gradient.
        what: String,
    },
    /// Reinforcement learning without its tables.
    #[error("{0}: reinforcement learning needs [rl] and `train.batch` in the configuration; `longhand init rl` writes one")]
    NoRecipe(String),
    /// The sampler.
    #[error(transparent)]
    Sampler(#[from] crate::rl::sampler::SamplerError),
    /// AEPO's kept state.
    #[error(transparent)]
    Aepo(#[from] crate::rl::aepo::StateError),
    /// Rewards that do not come.
    #[error("{steps} steps in a row no rollout had a reward ({why}). Mend the reward, then go on with --resume")]
    NoReward {
        /// Steps.
        steps: u32,
        /// What the last of them failed with.
        why: String,
    },
}

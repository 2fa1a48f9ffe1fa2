use serde::{Deserialize, Serialize};
/// quick
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AepoState { pub masking: bool, pub low: Option<f64>, pub high: Option<f64>, pub seen: Vec<f64> }
/// quick
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SamplerState { pub drawn: u64 }
/// What reinforcement learning goes on from, beside the tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RlState {
    /// Where each task's pool is.
    pub sampler: SamplerState,
    /// The latch and its thresholds.
    pub aepo: AepoState,
}

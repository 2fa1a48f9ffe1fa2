use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rl::RlState;
use crate::train_log::number;

/// What a training run goes on from, beside its tensors (`state.json` of a checkpoint).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// [`TrainState::VERSION`].
    pub version: u32,
    /// Optimizer steps taken.
    pub step: u64,
    /// The row that comes next.
    pub cursor: DataCursor,
    /// Generators by name, each as the words it goes on from.
    pub random: BTreeMap<String, Vec<u64>>,
    /// SHA-256 of the configuration's keys and values.
    pub config: String,
    /// The base model's hash.
    pub base: String,
    /// Loss on held-out data at this step, where it was measured.
    #[serde(default, with = "number::optional")]
    pub validation: Option<f32>,
    /// The best there was up to this step.
    #[serde(default)]
    pub best: Option<BestValidation>,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Wall-clock seconds of training so far.
    pub seconds: f64,
    /// What reinforcement learning goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rl: Option<RlState>,
}

impl TrainState {
    /// The schema's version.
    pub const VERSION: u32 = 1;
}

/// A place in the training data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataCursor {
    /// Whole passes over the data.
    pub epoch: u64,
    /// Rows taken of the pass that goes on.
    pub position: u64,
}

/// The lowest loss on held-out data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestValidation {
    /// Steps taken before it.
    pub step: u64,
    /// Mean per token, in nats.
    #[serde(with = "number")]
    pub loss: f32,
}

/// The files of a checkpoint (`manifest.json`, written last).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`Manifest::VERSION`].
    pub version: u32,
    /// Optimizer steps taken.
    pub step: u64,
    /// By name, the manifest itself left out.
    pub files: BTreeMap<String, FileRecord>,
}

impl Manifest {
    /// The schema's version.
    pub const VERSION: u32 = 1;
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its length.
    pub bytes: u64,
    /// Its hash, 64 hexadecimal digits.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_state_keeps_its_meaning() {
        let text = r#"{"version":1,"step":123,"cursor":{"epoch":1,"position":77},"random":{"data":[18446744073709551615,1]},"config":"c0","base":"ba","validation":2.25,"best":{"step":100,"loss":2.125},"tokens":9000,"seconds":12.5}"#;
        let state: TrainState = serde_json::from_str(text).unwrap();
        assert_eq!(state.random["data"], [u64::MAX, 1]);
        assert_eq!(state.best, Some(BestValidation { step: 100, loss: 2.125 }));
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        let unvalidated = text.replace(r#""validation":2.25,"best":{"step":100,"loss":2.125},"#, "");
        let state: TrainState = serde_json::from_str(&unvalidated).unwrap();
        assert_eq!((state.validation, state.best), (None, None));
    }
}

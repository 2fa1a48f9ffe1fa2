use serde::{Deserialize, Serialize};

/// Where AEPO stands between two batches (§4.4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AepoState {
    /// Negatives are masked until the entropy falls below `low`.
    pub masking: bool,
    /// The threshold below which masking ends, in nats; `None` until it is known.
    #[serde(with = "exact::optional")]
    pub low: Option<f64>,
    /// The one above which it begins.
    #[serde(with = "exact::optional")]
    pub high: Option<f64>,
    /// Entropies of the first batches, from which thresholds follow where none are given.
    #[serde(with = "exact::list")]
    pub seen: Vec<f64>,
}

/// Where the drawing of prompts stands between two batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerState {
    /// Batches drawn.
    pub batches: u64,
    /// One for each task, in the sampler's order.
    pub tasks: Vec<TaskCursor>,
}

/// How far one task's prompts are used up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCursor {
    /// The task.
    pub task: String,
    /// How many prompts it has.
    pub prompts: u64,
    /// How often they were shuffled anew; the order follows from seed, task and this.
    pub refill: u64,
    /// Prompts of this order that were come to.
    pub used: u64,
    /// Places below `used` that were passed over, since their prompts were in the batch already; they come first in the next.
    pub deferred: Vec<u64>,
}

/// An `f64` as text of its shortest exact decimal: JSON readers may be off by a unit in the last place, and a resumed run must not be.
mod exact {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    fn read<E: Error>(text: &str) -> Result<f64, E> {
        text.parse().map_err(|_| E::custom(format!("{text:?} is no number")))
    }

    pub mod optional {
        use super::*;

        pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
            value.map(|value| format!("{value:?}")).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
            Option::<String>::deserialize(deserializer)?.as_deref().map(read).transpose()
        }
    }

    pub mod list {
        use super::*;

        pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
            values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
            Vec::<String>::deserialize(deserializer)?.iter().map(|text| read(text)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_state_keeps_its_meaning() {
        let text = r#"{"masking":true,"low":"0.12900000000000003","high":"0.209","seen":["0.1","1e-300"]}"#;
        let state: AepoState = serde_json::from_str(text).unwrap();
        assert_eq!((state.masking, state.low, state.high), (true, Some(0.12900000000000003), Some(0.209)));
        assert_eq!(state.seen, [0.1, 1e-300]);
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        let fresh = serde_json::to_string(&AepoState::default()).unwrap();
        assert_eq!(serde_json::from_str::<AepoState>(&fresh).unwrap(), AepoState::default());

        let text = r#"{"batches":3,"tasks":[{"task":"mc","prompts":9,"refill":1,"used":4,"deferred":[2]}]}"#;
        let state: SamplerState = serde_json::from_str(text).unwrap();
        assert_eq!(state.tasks[0].deferred, [2]);
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
    }
}

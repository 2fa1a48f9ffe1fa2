use serde::{Deserialize, Serialize};

use crate::rl_log::{AlarmKind, RlSample, RlStep, RlValidation};

/// One line of a training run's append-only log (`events.jsonl`). Steps count from 1; step 0 is the model before any training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum TrainEvent {
    /// The first line: everything the result depends on.
    Started(TrainStart),
    /// An optimizer step was taken.
    Step(TrainStep),
    /// The loss on held-out data.
    Validation {
        /// Steps taken before it.
        step: u64,
        /// Mean over `tokens`, in nats.
        #[serde(with = "number")]
        loss: f32,
        /// Tokens that carry loss.
        tokens: u64,
        /// e to the loss.
        #[serde(with = "number")]
        perplexity: f32,
        /// Wall-clock seconds it took.
        #[serde(with = "number")]
        seconds: f32,
    },
    /// A batch of rollouts was learnt from.
    Rl(RlStep),
    /// Rewards on held-out prompts.
    RlValidation(RlValidation),
    /// A rollout, for people.
    RlSample(RlSample),
    /// Something to look at.
    Alarm {
        /// Steps taken before it.
        step: u64,
        /// What about.
        kind: AlarmKind,
        /// In words, with the figures.
        message: String,
    },
    /// What the model says to a fixed prompt.
    Sample {
        /// Steps taken before it.
        step: u64,
        /// As given.
        prompt: String,
        /// The model's.
        completion: String,
    },
    /// A checkpoint is on the disk, whole.
    Checkpoint {
        /// Steps taken before it.
        step: u64,
        /// Its folder's name.
        folder: String,
        /// Of all its files.
        bytes: u64,
        /// Wall-clock seconds it took.
        #[serde(with = "number")]
        seconds: f32,
    },
    /// The run ended, or was asked to.
    Stopped {
        /// Steps taken.
        step: u64,
        /// Why.
        reason: StopCause,
        /// Unix seconds.
        time: u64,
    },
    /// The run goes on from a checkpoint; the steps a kill took are no longer in the log.
    Resumed {
        /// Steps taken before it.
        step: u64,
        /// Unix seconds.
        time: u64,
        /// Longhand's version.
        longhand: String,
        /// Where it goes on.
        machine: Machine,
        /// Steps that were cut off the log, to be taken again.
        lost_steps: u64,
        /// Wall-clock seconds that those had taken.
        #[serde(with = "number")]
        lost_seconds: f32,
    },
}

/// How a run begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainStart {
    /// [`TrainEvent::VERSION`].
    pub version: u32,
    /// Unix seconds.
    pub time: u64,
    /// Longhand's version.
    pub longhand: String,
    /// The run's `config.toml`, as it was.
    pub config: String,
    /// What every random choice follows from.
    pub seed: u64,
    /// Where it runs.
    pub machine: Machine,
    /// The base model's name.
    pub model: String,
    /// Parameters of the model.
    pub parameters: u64,
    /// Those of them that are trained.
    pub trained: u64,
    /// Steps the run is to take.
    pub steps: u64,
}

/// Where a run runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub system: String,
    /// The device that computes, as its driver names it.
    pub device: String,
    /// CPU threads that are used.
    pub threads: u32,
    /// Bytes of memory of the device.
    pub memory: u64,
}

/// An optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainStep {
    /// Its number, from 1.
    pub step: u64,
    /// Mean over `loss_tokens`, in nats.
    #[serde(with = "number")]
    pub loss: f32,
    /// L2 norm of the gradient before clipping.
    #[serde(with = "number")]
    pub grad_norm: f32,
    /// Learning rate.
    #[serde(with = "number")]
    pub lr: f32,
    /// Tokens that went through the model.
    pub tokens: u64,
    /// Those of them that carry loss.
    pub loss_tokens: u64,
    /// Wall-clock seconds.
    #[serde(with = "number")]
    pub seconds: f32,
    /// `tokens` by `seconds`.
    #[serde(with = "number")]
    pub tokens_per_second: f32,
    /// The most bytes that were in use at once so far.
    pub peak_memory: u64,
    /// Share of the device's peak that the model's arithmetic used, where the peak is known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::optional")]
    pub mfu: Option<f32>,
}

/// Why a run stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StopCause {
    /// All steps were taken.
    Finished,
    /// Somebody asked for it.
    Interrupted,
    /// The time it was given is over.
    OutOfTime,
    /// Validation got no better for long enough.
    NoLongerBetter,
    /// Loss or gradient is not finite, or grew past the limit.
    Diverged,
    /// Something went wrong.
    Failed {
        /// What, as it was said.
        error: String,
    },
}

impl TrainEvent {
    /// The schema's version.
    pub const VERSION: u32 = 1;

    /// Steps taken when it was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Started(_) => 0,
            Self::Step(taken) => taken.step,
            Self::Rl(taken) => taken.step,
            Self::RlValidation(validation) => validation.step,
            Self::RlSample(sample) => sample.step,
            Self::Validation { step, .. }
            | Self::Alarm { step, .. }
            | Self::Sample { step, .. }
            | Self::Checkpoint { step, .. }
            | Self::Stopped { step, .. }
            | Self::Resumed { step, .. } => *step,
        }
    }

    /// Wall-clock seconds of what it tells of.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::Step(TrainStep { seconds, .. }) | Self::Validation { seconds, .. } | Self::Checkpoint { seconds, .. } => {
                f64::from(*seconds)
            }
            Self::Rl(step) => f64::from(step.rollout_seconds + step.reward_seconds + step.update_seconds),
            Self::RlValidation(validation) => f64::from(validation.seconds),
            _ => 0.0,
        }
    }
}

/// An `f32` as a JSON number, or as `"nan"`, `"inf"`, `"-inf"`: JSON has no such numbers, and the moment a loss becomes one must not be the
/// moment its log can no longer be read.
pub(crate) mod number {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
        match *value {
            value if value.is_finite() => serializer.serialize_f32(value),
            value if value.is_nan() => serializer.serialize_str("nan"),
            value => serializer.serialize_str(if value > 0.0 { "inf" } else { "-inf" }),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
        deserializer.deserialize_any(Number)
    }

    struct Number;

    impl Visitor<'_> for Number {
        type Value = f32;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a number, \"nan\", \"inf\" or \"-inf\"")
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<f32, E> {
            Ok(value as f32)
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<f32, E> {
            Ok(value as f32)
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<f32, E> {
            Ok(value as f32)
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<f32, E> {
            match value {
                "nan" => Ok(f32::NAN),
                "inf" => Ok(f32::INFINITY),
                "-inf" => Ok(f32::NEG_INFINITY),
                other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
            }
        }
    }

    /// The same where there may be none (`null`, or no field at all).
    pub mod optional {
        use super::*;

        pub fn serialize<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => super::serialize(value, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
            Ok(Option::<Held>::deserialize(deserializer)?.map(|held| held.0))
        }
    }

    /// The same of two numbers.
    pub mod pair {
        use super::*;

        pub fn serialize<S: Serializer>(value: &Option<(f32, f32)>, serializer: S) -> Result<S::Ok, S::Error> {
            value.map(|(a, b)| (Held(a), Held(b))).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(f32, f32)>, D::Error> {
            Ok(Option::<(Held, Held)>::deserialize(deserializer)?.map(|(a, b)| (a.0, b.0)))
        }
    }

    /// A number within something.
    #[derive(Serialize, Deserialize)]
    struct Held(#[serde(with = "self")] f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_keep_their_meaning() {
        let line = r#"{"event":"step","step":7,"loss":2.5,"grad_norm":"inf","lr":0.0001,"tokens":4096,"loss_tokens":900,"seconds":1.5,"tokens_per_second":2730.6667,"peak_memory":123456789}"#;
        let event: TrainEvent = serde_json::from_str(line).unwrap();
        assert!(
            matches!(&event, TrainEvent::Step(TrainStep { step: 7, loss: 2.5, grad_norm, mfu: None, .. }) if grad_norm.is_infinite()),
            "{event:?}"
        );
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        let line = r#"{"event":"stopped","step":9,"reason":{"kind":"failed","error":"the device was lost"},"time":1764000000}"#;
        let event: TrainEvent = serde_json::from_str(line).unwrap();
        assert_eq!(event.step(), 9);
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }

    #[test]
    fn what_is_not_finite_is_kept_and_what_is_no_number_refused() {
        let line = |loss: &str| format!(r#"{{"event":"validation","step":0,"loss":{loss},"tokens":3,"perplexity":1,"seconds":0.0}}"#);
        let read = |loss: &str| match serde_json::from_str(&line(loss)) {
            Ok(TrainEvent::Validation { loss, .. }) => Some(loss),
            _ => None,
        };
        assert!(read("\"nan\"").unwrap().is_nan());
        assert_eq!(read("\"-inf\""), Some(f32::NEG_INFINITY));
        assert_eq!(read("-3"), Some(-3.0));
        for wrong in ["null", "\"NaN\"", "true", "[1]"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}

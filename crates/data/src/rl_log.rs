use serde::{Deserialize, Serialize};

use crate::train_log::number;

/// One update of reinforcement learning: a batch of rollouts, what they were worth, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RlStep {
    /// Its number, from 1.
    pub step: u64,
    /// Mean reward of the rollouts that have one.
    #[serde(with = "number")]
    pub reward: f32,
    /// Mean over sequences of mean token entropy, nats (eq. 11, §4.4).
    #[serde(with = "number")]
    pub entropy: f32,
    /// AEPO's thresholds, once there are some: (low, high).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::pair")]
    pub thresholds: Option<(f32, f32)>,
    /// Whether AEPO masked what has a negative advantage.
    pub masking: bool,
    /// Rollouts.
    pub rollouts: u64,
    /// Turns of all of them, where they have several.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turns: u64,
    /// Turns whose notes had not the form they were asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub broken: u64,
    /// Those of them with a negative advantage.
    pub negatives: u64,
    /// Those of the negatives whose advantage was masked, wholly or, by tokens, in part.
    pub masked: u64,
    /// The clipping threshold used, where negative gradients are clipped by entropy.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::optional")]
    pub clip_threshold: Option<f32>,
    /// Groups.
    pub groups: u64,
    /// Groups whose rewards are all the same: nothing is learnt from them.
    pub zero_variance: u64,
    /// Rollouts that were cut off at the token bound.
    pub truncated: u64,
    /// Rollouts without a reward, which count nowhere.
    pub failed: u64,
    /// Why, of the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Why nothing was updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Per task.
    pub tasks: Vec<TaskStep>,
    /// L2 norm of the gradient before clipping; 0 where nothing was updated.
    #[serde(with = "number")]
    pub grad_norm: f32,
    /// Learning rate.
    #[serde(with = "number")]
    pub lr: f32,
    /// Tokens of the prompts, each group's once.
    pub prompt_tokens: u64,
    /// Tokens of the completions.
    pub completion_tokens: u64,
    /// The largest difference between a log-probability that the rollout recorded and the trainer's own.
    #[serde(with = "number")]
    pub mismatch: f32,
    /// Wall-clock seconds of the rollouts.
    #[serde(with = "number")]
    pub rollout_seconds: f32,
    /// Of the rewards.
    #[serde(with = "number")]
    pub reward_seconds: f32,
    /// Of the update.
    #[serde(with = "number")]
    pub update_seconds: f32,
    /// The most bytes that were in use at once so far.
    pub peak_memory: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A task's share of a step or of a validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskStep {
    /// Its name.
    pub task: String,
    /// Rollouts.
    pub rollouts: u64,
    /// Mean reward of those that have one.
    #[serde(with = "number")]
    pub reward: f32,
    /// Their standard deviation.
    #[serde(with = "number")]
    pub deviation: f32,
    /// Mean over sequences of mean token entropy, nats.
    #[serde(with = "number")]
    pub entropy: f32,
    /// Tokens of a completion, on average.
    #[serde(with = "number")]
    pub tokens: f32,
    /// Groups whose rewards are all the same, as a share.
    #[serde(with = "number")]
    pub zero_variance: f32,
    /// Rollouts that were cut off, as a share.
    #[serde(with = "number")]
    pub truncated: f32,
    /// Rollouts whose advantage was masked, as a share.
    #[serde(with = "number")]
    pub masked: f32,
}

/// Rewards on held-out prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RlValidation {
    /// Steps taken before it.
    pub step: u64,
    /// Mean of the tasks' rewards.
    #[serde(with = "number")]
    pub reward: f32,
    /// Prompts.
    pub prompts: u64,
    /// Half the width of the 95 % interval of the mean over prompts.
    #[serde(with = "number")]
    pub margin: f32,
    /// Per task.
    pub tasks: Vec<TaskStep>,
    /// Wall-clock seconds it took.
    #[serde(with = "number")]
    pub seconds: f32,
}

/// A rollout as a person reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RlSample {
    /// The step it was drawn in.
    pub step: u64,
    /// Which one it is.
    pub rank: SampleRank,
    /// Its task.
    pub task: String,
    /// As given; the middle of a long one is left out.
    pub prompt: String,
    /// The model's; the middle of a long one is left out.
    pub completion: String,
    /// What it was worth.
    #[serde(with = "number")]
    pub reward: f32,
    /// Tokens of the completion.
    pub tokens: u64,
    /// Whether it was cut off at the token bound.
    pub truncated: bool,
}

/// Where a sample stands among the rollouts of its step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleRank {
    /// It has the highest reward.
    #[default]
    Best,
    /// It has the lowest.
    Worst,
}

/// Something a person should look at before believing in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// Entropy runs away.
    EntropyHigh,
    /// Entropy collapses.
    EntropyLow,
    /// Many rollouts are cut off.
    Truncation,
    /// Rewards rise while those of held-out prompts fall.
    Overfitting,
    /// Most groups have rewards that are all the same.
    NothingToLearn,
    /// Rollouts go without a reward.
    NoReward,
    /// The trainer's log-probabilities are not the rollout's.
    Mismatch,
    /// Notes have not the form they are asked for.
    BrokenNotes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainEvent;

    #[test]
    fn lines_keep_their_meaning_and_what_is_not_finite() {
        let line = r#"{"event":"rl","step":3,"reward":"nan","entropy":"inf","thresholds":["nan",0.5],"masking":true,"rollouts":8,"negatives":4,"masked":4,"clip_threshold":"inf","groups":2,"zero_variance":1,"truncated":0,"failed":1,"failure":"no answer","tasks":[{"task":"count","rollouts":8,"reward":0.5,"deviation":"nan","entropy":0.25,"tokens":57.5,"zero_variance":0.5,"truncated":0.0,"masked":0.5}],"grad_norm":0.0,"lr":0.0001,"prompt_tokens":20,"completion_tokens":460,"mismatch":"-inf","rollout_seconds":1.5,"reward_seconds":0.0,"update_seconds":0.5,"peak_memory":9}"#;
        let event: TrainEvent = serde_json::from_str(line).unwrap();
        assert!(
            matches!(&event, TrainEvent::Rl(RlStep { step: 3, reward, thresholds: Some((low, 0.5)), .. }) if reward.is_nan() && low.is_nan()),
            "{event:?}"
        );
        assert_eq!((event.step(), event.seconds()), (3, 2.0));
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        for line in [
            r#"{"event":"rl_validation","step":9,"reward":0.5,"prompts":3,"margin":"nan","tasks":[],"seconds":0.5}"#,
            r#"{"event":"rl_sample","step":9,"rank":"worst","task":"count","prompt":"p","completion":"c","reward":0.0,"tokens":7,"truncated":true}"#,
            r#"{"event":"alarm","step":9,"kind":"nothing_to_learn","message":"m"}"#,
        ] {
            let event: TrainEvent = serde_json::from_str(line).unwrap();
            assert_eq!((event.step(), serde_json::to_string(&event).unwrap().as_str()), (9, line));
        }
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let line = serde_json::to_string(&TrainEvent::Rl(RlStep::default())).unwrap();
        assert!(!["thresholds", "clip_threshold", "failure", "skipped"].iter().any(|name| line.contains(name)), "{line}");
        assert_eq!(serde_json::from_str::<TrainEvent>(&line).unwrap(), TrainEvent::Rl(RlStep::default()));
    }
}

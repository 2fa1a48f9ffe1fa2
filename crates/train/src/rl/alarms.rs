//! What a person should look at before believing in a run. Each alarm is raised once for a stretch of steps, and again only after the
//! run was well in between.

use std::collections::{BTreeMap, VecDeque};

use data::{AlarmKind, RlStep, RlValidation, TrainEvent};

use super::recipe::Alarms as Settings;

/// Steps that the beginning is measured over, and that a mean is taken over.
const WINDOW: usize = 10;
/// A difference of log-probabilities beyond which rollout and trainer no longer compute the same model.
const MISMATCH: f32 = 1e-2;
/// Share of groups whose rewards are all the same beyond which little is learnt.
const SAME: f32 = 0.9;
/// Share of rollouts without a reward beyond which a person should look.
const FAILED: f32 = 0.1;

/// Watches the steps and validations of a run.
#[derive(Clone, Debug)]
pub struct Alarms {
    settings: Settings,
    /// Entropies of the first steps.
    beginning: Vec<f32>,
    recent: VecDeque<RlStep>,
    /// (mean training reward when it was made, held-out reward) of each validation.
    validations: Vec<(f32, f32)>,
    ringing: BTreeMap<AlarmKind, bool>,
}

impl Alarms {
    /// Nothing was seen yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, beginning: vec![], recent: VecDeque::new(), validations: vec![], ringing: BTreeMap::new() }
    }

    /// Takes in an event of the log that a run goes on from.
    pub fn replay(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Rl(step) => drop(self.step(step)),
            TrainEvent::RlValidation(validation) => drop(self.validation(validation)),
            _ => {}
        }
    }

    /// The alarms that a step raises, in words.
    pub fn step(&mut self, step: &RlStep) -> Vec<(AlarmKind, String)> {
        if self.beginning.len() < WINDOW {
            self.beginning.push(step.entropy);
        }
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(step.clone());
        let mean = |of: fn(&RlStep) -> f32| self.recent.iter().map(of).sum::<f32>() / self.recent.len() as f32;
        let full = self.recent.len() == WINDOW;
        let start = self.beginning.iter().sum::<f32>() / self.beginning.len() as f32;
        let (high, low) = (self.settings.entropy_high as f32 * start, self.settings.entropy_low as f32 * start);
        let entropy = mean(|step| step.entropy);
        let truncated = mean(|step| step.truncated as f32 / step.rollouts.max(1) as f32);
        let same = mean(|step| step.zero_variance as f32 / step.groups.max(1) as f32);
        let failed = step.failed as f32 / step.rollouts.max(1) as f32;
        let checks = [
            (
                AlarmKind::EntropyHigh,
                full && entropy > high,
                format!(
                    "entropy is {entropy:.3}, {:.1} times that of the first steps ({start:.3}): the policy runs away. AEPO (`[aepo]`) or a lower learning rate holds it",
                    entropy / start
                ),
            ),
            (
                AlarmKind::EntropyLow,
                full && entropy < low,
                format!("entropy is {entropy:.4}, it began at {start:.3}: the policy collapses to one answer and stops exploring"),
            ),
            (
                AlarmKind::Truncation,
                full && truncated > self.settings.truncated as f32,
                format!("{:.0} % of the rollouts are cut off at rl.max_new_tokens: their rewards say little", 100.0 * truncated),
            ),
            (
                AlarmKind::NothingToLearn,
                full && same > SAME,
                format!("{:.0} % of the groups have rewards that are all the same: the items are too easy or too hard", 100.0 * same),
            ),
            (
                AlarmKind::NoReward,
                failed > FAILED,
                format!(
                    "{} of {} rollouts have no reward: {}",
                    step.failed,
                    step.rollouts,
                    step.failure.as_deref().unwrap_or("no reason was given")
                ),
            ),
            (
                AlarmKind::Mismatch,
                !(step.mismatch <= MISMATCH),
                format!(
                    "rollout and trainer differ by {:.2e} in a log-probability: the update is not of the policy that was sampled",
                    step.mismatch
                ),
            ),
        ];
        checks.into_iter().filter_map(|(kind, wrong, message)| self.ring(kind, wrong).then_some((kind, message))).collect()
    }

    /// The alarms that a validation raises, in words.
    pub fn validation(&mut self, validation: &RlValidation) -> Vec<(AlarmKind, String)> {
        let training = self.recent.iter().map(|step| step.reward).sum::<f32>() / self.recent.len().max(1) as f32;
        if self.recent.is_empty() {
            return vec![];
        }
        self.validations.push((training, validation.reward));
        let falls = self.settings.gap as usize;
        if falls == 0 {
            return vec![];
        }
        let Some(last) = self.validations.len().checked_sub(falls + 1).map(|first| &self.validations[first..]) else { return vec![] };
        let wrong = last.windows(2).all(|pair| pair[1].1 < pair[0].1) && last[falls].0 > last[0].0;
        let message = format!(
            "held-out reward fell {falls} times in a row ({:.3} to {:.3}) while the training reward rose ({:.3} to {:.3}): what is learnt is the reward, not the task",
            last[0].1, last[falls].1, last[0].0, last[falls].0
        );
        if self.ring(AlarmKind::Overfitting, wrong) { vec![(AlarmKind::Overfitting, message)] } else { vec![] }
    }

    /// Whether it begins to ring.
    fn ring(&mut self, kind: AlarmKind, wrong: bool) -> bool {
        let before = self.ringing.insert(kind, wrong);
        wrong && before != Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { entropy_high: 3.0, entropy_low: 0.2, truncated: 0.5, gap: 3 }
    }

    fn well(step: u64) -> RlStep {
        RlStep { step, reward: 0.5, entropy: 1.0, rollouts: 64, groups: 8, zero_variance: 2, truncated: 3, ..RlStep::default() }
    }

    /// The alarms of a run that goes wrong after step 20 as `plant` says.
    fn planted(plant: impl Fn(&mut RlStep)) -> Vec<(u64, AlarmKind)> {
        let mut alarms = Alarms::new(settings());
        let mut raised = vec![];
        for number in 1..=60 {
            let mut step = well(number);
            if number > 20 {
                plant(&mut step);
            }
            raised.extend(alarms.step(&step).into_iter().map(|(kind, message)| {
                assert!(message.len() > 30, "{message}");
                (number, kind)
            }));
        }
        raised
    }

    #[test]
    fn each_alarm_rings_once_on_a_run_with_its_fault_and_none_on_a_good_one() {
        assert_eq!(planted(|_| ()), []);
        let only = |kind, raised: Vec<(u64, AlarmKind)>| {
            assert_eq!(raised.len(), 1, "{raised:?}");
            assert_eq!(raised[0].1, kind);
            assert!((21..=32).contains(&raised[0].0), "{raised:?}");
        };
        only(AlarmKind::EntropyHigh, planted(|step| step.entropy = 4.0));
        only(AlarmKind::EntropyLow, planted(|step| step.entropy = 0.1));
        only(AlarmKind::Truncation, planted(|step| step.truncated = 40));
        only(AlarmKind::NothingToLearn, planted(|step| step.zero_variance = 8));
        only(AlarmKind::NoReward, planted(|step| (step.failed, step.failure) = (30, Some("the command died".into()))));
        only(AlarmKind::Mismatch, planted(|step| step.mismatch = 0.05));
        only(AlarmKind::Mismatch, planted(|step| step.mismatch = f32::NAN));
    }

    #[test]
    fn an_alarm_rings_again_after_the_run_was_well() {
        let raised = planted(|step| step.entropy = if (30..40).contains(&step.step) { 1.0 } else { 9.0 });
        assert_eq!(raised.iter().filter(|(_, kind)| *kind == AlarmKind::EntropyHigh).count(), 2, "{raised:?}");
    }

    #[test]
    fn a_reward_that_rises_while_held_out_falls_is_told() {
        let run = |training: [f32; 5], held: [f32; 5]| {
            let mut alarms = Alarms::new(settings());
            let mut raised = 0;
            for (number, (training, held)) in training.into_iter().zip(held).enumerate() {
                for step in 0..WINDOW {
                    alarms.step(&RlStep { reward: training, ..well((number * WINDOW + step) as u64) });
                }
                let validation = RlValidation { reward: held, ..RlValidation::default() };
                raised += alarms.validation(&validation).iter().filter(|(kind, _)| *kind == AlarmKind::Overfitting).count();
            }
            raised
        };
        assert_eq!(run([0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.4, 0.3, 0.2, 0.1]), 1);
        assert_eq!(run([0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.2, 0.3, 0.2, 0.1]), 0, "it rose in between");
        assert_eq!(run([0.5, 0.4, 0.3, 0.2, 0.1], [0.5, 0.4, 0.3, 0.2, 0.1]), 0, "both fall");
    }
}

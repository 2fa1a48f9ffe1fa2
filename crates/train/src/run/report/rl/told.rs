//! What is told in words.

use data::{AlarmKind, RlStep, RlValidation, TrainEvent};

use super::{ENDS, Rl, margin, mean, reward, share};
use crate::run::view::{bytes, grouped, percent};

/// Characters of somebody else's text among ours.
const QUOTED: usize = 300;
impl Rl<'_> {
    /// (name, value)
    pub fn facts(&self, events: &[TrainEvent]) -> Vec<(&'static str, String)> {
        let mut facts = vec![];
        // Of equals the first.
        let better = |a: &&&RlValidation, b: &&&RlValidation| a.reward.total_cmp(&b.reward).then(b.step.cmp(&a.step));
        if let Some(best) = self.validations.iter().filter(|held| held.reward.is_finite()).max_by(better) {
            let first = self.validations.first().filter(|held| held.step == 0 && best.step > 0);
            let before = first.map_or(String::new(), |first| format!("; {} before training", with_margin(first)));
            facts.push(("Best held-out reward", format!("{} after step {}{before}", with_margin(best), grouped(best.step))));
        }
        let rewards = self.points(reward);
        if let (Some(first), Some(last)) = (mean(rewards.iter().take(ENDS)), mean(rewards.iter().rev().take(ENDS))) {
            let text = if rewards.len() > 2 * ENDS {
                format!("{last:.3} in the last {ENDS} steps; {first:.3} in the first {ENDS}")
            } else {
                format!("{last:.3} in the last steps")
            };
            facts.push(("Reward", text));
        }
        let sum = |of: fn(&RlStep) -> u64| self.steps.iter().map(|step| of(step)).fold(0, u64::saturating_add);
        let (rollouts, failed) = (sum(|step| step.rollouts), sum(|step| step.failed));
        let cut = share(sum(|step| step.truncated), rollouts).unwrap_or_default();
        facts.push(("Rollouts", format!("{}, {} of them cut off", grouped(rollouts), percent(cut))));
        let rate = sum(|step| step.completion_tokens) as f64 / self.steps.iter().map(|step| f64::from(step.rollout_seconds)).sum::<f64>();
        let rate = if rate.is_finite() { format!(" ({} a second)", grouped(rate.round() as u64)) } else { String::new() };
        let (drawn, read) = (grouped(sum(|step| step.completion_tokens)), grouped(sum(|step| step.prompt_tokens)));
        facts.push(("Tokens", format!("{drawn} drawn{rate}, {read} of prompts")));
        facts.extend(times(events).map(|times| ("Time went to", times)));
        if let Some(step) = self.steps.iter().find(|step| step.failed > 0) {
            let why = step.failure.as_deref().map_or("no reason was given".into(), quoted);
            facts.push((
                "Without a reward",
                format!("{} of {} rollouts; the first at step {}: {why}", grouped(failed), grouped(rollouts), grouped(step.step)),
            ));
        }
        facts.extend(self.skipped().map(|text| ("Steps that changed nothing", text)));
        let masking = self.steps.iter().filter(|step| step.masking).count() as u64;
        let (masked, negatives) = (sum(|step| step.masked), sum(|step| step.negatives));
        if masked > 0 || masking > 0 {
            let of_steps = format!("masking in {} of {} steps", grouped(masking), grouped(self.steps.len() as u64));
            facts.push(("Negatives masked", format!("{} of {}; {of_steps}", grouped(masked), grouped(negatives))));
        }
        facts.extend(self.steps.iter().map(|step| step.peak_memory).max().map(|peak| ("Peak memory", bytes(peak))));
        facts
    }

    /// How many, and of each reason how often.
    fn skipped(&self) -> Option<String> {
        let mut reasons: Vec<(&str, u64)> = vec![];
        for reason in self.steps.iter().filter_map(|step| step.skipped.as_deref()) {
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason, 1)),
            }
        }
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let all = reasons.iter().map(|(_, count)| count).sum();
        let said = reasons.iter().take(5).map(|(reason, count)| format!("{} ({})", quoted(reason), grouped(*count)));
        let steps = grouped(self.steps.len() as u64);
        (!reasons.is_empty()).then(|| format!("{} of {steps}: {}", grouped(all), said.collect::<Vec<_>>().join(", ")))
    }
}

/// Each kind once, as it first rang, and how often it did again.
pub fn alarms(events: &[TrainEvent]) -> Vec<String> {
    let mut kinds: Vec<(AlarmKind, Vec<(u64, &str)>)> = vec![];
    for event in events {
        let TrainEvent::Alarm { step, kind, message } = event else { continue };
        match kinds.iter_mut().find(|(known, _)| known == kind) {
            Some((_, rang)) => rang.push((*step, message)),
            None => kinds.push((*kind, vec![(*step, message)])),
        }
    }
    let said = |rang: &[(u64, &str)]| {
        let told = |(step, message): (u64, &str)| format!("step {}: {}.", grouped(step), quoted(message).trim_end_matches('.'));
        match rang {
            [] => String::new(),
            [only] => format!("At {}", told(*only)),
            [first, last] => format!("At {} It rang again at {}", told(*first), told(*last)),
            [first, again @ .., last] => {
                format!("At {} It rang {} times more, the last at {}", told(*first), again.len() + 1, told(*last))
            }
        }
    };
    kinds.iter().map(|(_, rang)| said(rang)).collect()
}

/// Steps of which a numeral is no number.
pub fn not_finite(step: &RlStep) -> bool {
    let rewarded = reward(step).is_none_or(f64::is_finite);
    !(rewarded && step.entropy.is_finite() && step.grad_norm.is_finite() && step.mismatch.is_finite())
}

/// Shares of the time that is told of, the largest first.
fn times(events: &[TrainEvent]) -> Option<String> {
    let mut kinds = [("rollouts", 0.0), ("rewards", 0.0), ("updates", 0.0), ("validations", 0.0), ("checkpoints", 0.0)];
    for event in events {
        let spent = match event {
            TrainEvent::Rl(step) => [step.rollout_seconds, step.reward_seconds, step.update_seconds, 0.0, 0.0],
            TrainEvent::RlValidation(held) => [0.0, 0.0, 0.0, held.seconds, 0.0],
            TrainEvent::Checkpoint { seconds, .. } => [0.0, 0.0, 0.0, 0.0, *seconds],
            _ => continue,
        };
        kinds.iter_mut().zip(spent).for_each(|(kind, seconds)| kind.1 += f64::from(seconds));
    }
    let all: f64 = kinds.iter().map(|kind| kind.1).sum();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let said = kinds.iter().filter(|kind| kind.1 > 0.0).map(|(name, seconds)| format!("{name} {}", percent(seconds / all)));
    (all > 0.0).then(|| said.collect::<Vec<_>>().join(", "))
}

fn with_margin(held: &RlValidation) -> String {
    let margin = margin(held).map_or(String::new(), |margin| format!(" ± {margin:.3}"));
    format!("{:.3}{margin}", held.reward)
}

/// Somebody else's text in one line, shortened.
fn quoted(text: &str) -> String {
    // Marks that turn the direction of what follows would turn ours.
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line = text.replace(turns, " ").split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

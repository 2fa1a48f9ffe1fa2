//! The ablation's curves.

use data::RlStep;

use super::super::curves::{Line, chart, page};
use super::Ran;

/// A colour for each seed.
const COLOURS: [&str; 5] = ["#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626"];

/// A section for each variant, a line for each seed.
pub fn html(all: &[Ran], arms: &[&'static str]) -> String {
    let section = |arm: &&str| {
        let runs: Vec<&Ran> = all.iter().filter(|ran| ran.arm == *arm && !ran.steps.is_empty()).collect();
        let thresholds = runs.iter().find_map(|ran| ran.steps.iter().rev().find_map(|step| step.thresholds));
        let levels: Vec<f64> = thresholds.map_or(vec![], |(low, high)| vec![f64::from(low), f64::from(high)]);
        let tokens = |step: &RlStep| step.completion_tokens as f64 / step.rollouts as f64;
        let mut rewards = lines(&runs, |step| f64::from(step.reward));
        rewards.extend(runs.iter().map(|ran| {
            let points = ran.held.iter().map(|held| (held.step as f64, f64::from(held.reward))).collect();
            Line { colour: colour(ran), thin: false, points }
        }));
        let charts = [
            chart("reward", &rewards, &[]),
            chart("entropy", &lines(&runs, |step| f64::from(step.entropy)), &levels),
            chart("tokens of a reply", &lines(&runs, tokens), &[]),
        ];
        if runs.is_empty() { String::new() } else { format!("<h2>{arm}</h2>\n{}\n", charts.concat()) }
    };
    let body: String = arms.iter().map(section).collect();
    page(
        "Ablation",
        "Variants of the recipe on the small world, from one base, a colour for each seed. Thick lines: reward of held-out items; thin ones: of the
batch's rollouts. Entropy: mean over rollouts of their mean token entropy, in nats; dashed: AEPO's thresholds.",
        &body,
    )
}

fn lines(runs: &[&Ran], of: impl Fn(&RlStep) -> f64) -> Vec<Line> {
    let line = |ran: &&Ran| {
        let points = ran.steps.iter().map(|step| (step.step as f64, of(step))).collect();
        Line { colour: colour(ran), thin: true, points }
    };
    runs.iter().map(line).collect()
}

fn colour(ran: &Ran) -> &'static str {
    COLOURS[ran.seed as usize % COLOURS.len()]
}

//! `longhand score --loss` and `longhand data hard`: what the tokens of given replies cost a model, on rows as a training takes them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use kernels::Precision;
use serde_json::{Value, json};
use train::config::{DataSection, Duplicates, Format, Loss};
use train::sft::{ChatFormat, Dataset};

use crate::args::MachineArgs;
use crate::load;

/// Nats per token of the replies.
pub struct Cost {
    rows: usize,
    tokens: usize,
    /// Σ -log p over the tokens of each row, and how many they are.
    each: Vec<(f64, usize)>,
    seconds: f64,
}

/// Runs every row once.
pub fn costs(file: &Path, model: &str, machine: &MachineArgs) -> Result<Cost> {
    let (model, checkpoint, kv) = load::model(model, machine, Precision::Exact, None)?;
    let chat = ChatFormat::new(&checkpoint)?;
    let section = DataSection {
        file: file.display().to_string(),
        format: Format::Auto,
        max_length: model.max_positions,
        duplicates: Duplicates::Keep,
        loss: Loss::Replies,
    };
    let data = Dataset::read(file, &chat, &section, |_| {})?;
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} rows  {eta} left");
    let bar = ProgressBar::new(data.examples.len() as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let begun = std::time::Instant::now();
    let mut each = Vec::new();
    for example in &data.examples {
        let found = pollster::block_on(model.score_tokens(&example.ids, 1.0, kv, 1024, false)).context("a row cannot be scored")?;
        // The n-th log-probability is of token n + 1.
        let counted = found.logprobs.iter().zip(&example.loss_mask[1..]).filter(|(_, counts)| **counts);
        let (sum, tokens) = counted.fold((0.0, 0), |(sum, tokens), (logprob, _)| (sum - f64::from(*logprob), tokens + 1));
        each.push((sum, tokens));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let tokens = each.iter().map(|(_, tokens)| tokens).sum();
    ensure!(tokens > 0, "{} has no reply to score", file.display());
    Ok(Cost { rows: each.len(), tokens, each, seconds: begun.elapsed().as_secs_f64() })
}

impl Cost {
    /// The mean over all tokens and half its 95 % interval, rows taken to be independent of each other, their tokens not.
    fn mean(&self) -> (f64, f64) {
        let mean = self.each.iter().map(|(sum, _)| sum).sum::<f64>() / self.tokens as f64;
        let spread: f64 = self.each.iter().map(|(sum, tokens)| (sum - mean * *tokens as f64).powi(2)).sum();
        (mean, 1.96 * spread.sqrt() / self.tokens as f64)
    }

    /// -log p of each row's replies, in nats.
    pub fn rows(&self) -> Vec<f64> {
        self.each.iter().map(|(sum, _)| *sum).collect()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let (mean, margin) = self.mean();
        json!({"rows": self.rows, "tokens": self.tokens, "loss": mean, "margin": margin, "seconds": self.seconds})
    }

    /// For people.
    pub fn say(&self) {
        let (mean, margin) = self.mean();
        println!(
            "{mean:.4} ± {margin:.4} nats per token of the replies: {} tokens in {} rows; {:.1} s",
            self.tokens, self.rows, self.seconds
        );
    }
}

#[cfg(test)]
mod tests {
    use super::Cost;

    #[test]
    fn the_mean_is_over_tokens_and_its_interval_over_rows() {
        let cost = |each: Vec<(f64, usize)>| Cost { rows: each.len(), tokens: each.iter().map(|one| one.1).sum(), each, seconds: 0.0 };
        let (mean, margin) = cost(vec![(1.0, 1), (2.0, 3)]).mean();
        assert!((mean - 0.75).abs() < 1e-12);
        // Residuals 0.25 and -0.25.
        assert!((margin - 1.96 * (2.0f64 * 0.0625).sqrt() / 4.0).abs() < 1e-12);
        assert_eq!(cost(vec![(0.5, 1), (1.5, 3)]).mean(), (0.5, 0.0));
    }
}

//! The rungs: settings and bars.

use model::{Architecture, ModelConfig, RopeScaling};

use super::super::aepo;
use super::super::recipe::Recipe;
use super::tasks::{Bandit, Digits};
use super::{Arm, Run, Rung, Verdict};

/// All rungs, lowest first.
pub fn rungs() -> Vec<Rung> {
    vec![bandit(), digits()]
}

fn bandit() -> Rung {
    let arm = Arm {
        name: "bandit",
        model: qwen3(16, 32, 1, 16),
        tasks: || vec![Box::new(Bandit)],
        items: (1, 1),
        stop: None,
        warmup: None,
        recipe: recipe(16, 1),
        prompts: 4,
        steps: 60,
        lr: 5e-3,
        every: 20,
        seconds: 1.0,
    };
    let judge = |runs: &[Run]| verdict(f64::from(runs[0].rewards[0]), runs[0].sampled(5), 0.95);
    Rung {
        name: "bandit",
        about: "one token of 16 is right",
        bar: "sampled reward of the last 5 of 60 steps ≥ 0.95",
        arms: vec![arm],
        judge,
    }
}

fn digits() -> Rung {
    let arm = Arm {
        name: "digits",
        model: qwen3(16, 64, 1, 16),
        tasks: || vec![Box::new(Digits { length: 3 })],
        items: (100, 100),
        stop: None,
        warmup: None,
        recipe: recipe(8, 3),
        prompts: 64,
        steps: 120,
        lr: 1.5e-3,
        every: 20,
        seconds: 20.0,
    };
    Rung {
        name: "digits",
        about: "an arithmetic sequence modulo 10 goes on by three numbers; the reward is the share that is right before the first error; no warm-up",
        bar: "held-out reward ≥ 0.8 after 120 steps",
        arms: vec![arm],
        judge: |runs| held_out(runs, 0.8),
    }
}

/// The first arm's held-out reward against a bar.
pub fn held_out(runs: &[Run], bar: f64) -> Verdict {
    let (start, end) = runs[0].held_out();
    verdict(start, end, bar)
}

fn verdict(start: f64, end: f64, bar: f64) -> Verdict {
    Verdict { start, end, pass: end >= bar, said: String::new() }
}

/// The paper's recipe, AEPO off, with groups of `group` and completions of `tokens` tokens.
pub fn recipe(group: usize, tokens: usize) -> Recipe {
    Recipe {
        group,
        max_new_tokens: tokens,
        temperature: 1.0,
        top_p: 1.0,
        aepo: aepo::Settings { mode: aepo::Mode::Off, thresholds: None },
        ..Recipe::default()
    }
}

/// A Qwen3 of `layers` layers, `hidden` wide, for `vocab` tokens and `positions` positions.
pub fn qwen3(vocab: usize, hidden: usize, layers: usize, positions: usize) -> ModelConfig {
    ModelConfig {
        architecture: Architecture::Qwen3,
        hidden,
        layers,
        heads: hidden / 16,
        kv_heads: hidden / 16,
        head_dim: 16,
        intermediate: 2 * hidden,
        vocab,
        rms_eps: 1e-6,
        rope_theta: 10_000.0,
        rope: RopeScaling::Default,
        rope_factors: None,
        max_positions: positions,
        tie_embeddings: true,
        qkv_bias: false,
        attention_out_bias: false,
        qk_norm: true,
        moe: None,
        eos: vec![],
        bos: None,
        dtype_hint: None,
    }
}

//! The rungs: settings and bars.

use model::{Architecture, ModelConfig, MoeConfig, RopeScaling};

use super::super::advantage::Scale;
use super::super::aepo;
use super::super::recipe::{Credit, Recipe};
use super::memory::MemoryNeedle;
use super::tasks::{Bandit, Circle, Digits, Graded, Needle, Next, Reverse};
use super::{Arm, Run, Rung, Verdict, Warmup};

/// All rungs, lowest first.
pub fn rungs() -> Vec<Rung> {
    vec![bandit(), digits(), reverse(), mix(), needle(), memory_needle(), entropy_trap(), moe()]
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
        last: 1.0,
        every: 20,
        seconds: 0.06,
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
        steps: 160,
        lr: 1.5e-3,
        last: 1.0,
        every: 20,
        seconds: 11.0,
    };
    Rung {
        name: "digits",
        about: "an arithmetic sequence modulo 10 goes on by three numbers; the reward is the share that is right before the first error; no warm-up",
        bar: "held-out reward ≥ 0.8 after 160 steps",
        arms: vec![arm],
        judge: |runs| held_out(runs, 0.8),
    }
}

fn reverse() -> Rung {
    let arm = Arm {
        name: "reverse",
        model: qwen3(32, 64, 2, 16),
        tasks: || vec![Box::new(Reverse { length: 6, letters: 26 })],
        // At a share of 0.9, chance moves so many held-out prompts by ±0.037.
        items: (4096, 256),
        stop: None,
        warmup: Some(Warmup { steps: 600, sequences: 64, lr: 3e-3, until: 0.35, every: 10 }),
        recipe: recipe(8, 6),
        prompts: 96,
        steps: 200,
        lr: 1.1e-3,
        last: 0.1,
        every: 15,
        seconds: 50.0,
    };
    Rung {
        name: "reverse",
        about: "six letters from the last to the first, right as a whole or not, after supervised steps until a third is right; \
                the learning rate falls to a tenth",
        bar: "held-out reward ≥ 0.9 after 200 steps",
        arms: vec![arm],
        judge: |runs| held_out(runs, 0.9),
    }
}

fn mix() -> Rung {
    let arm = |(name, scale)| {
        let mut recipe = recipe(8, 1);
        recipe.advantage.scale = scale;
        Arm {
            name,
            model: qwen3(64, 64, 1, 16),
            tasks: || vec![Box::new(Next), Box::new(Graded)],
            items: (400, 200),
            stop: None,
            warmup: None,
            recipe,
            prompts: 32,
            steps: 120,
            lr: 2e-3,
            last: 1.0,
            every: 30,
            seconds: 3.6,
        }
    };
    let scales = [("task", Scale::Task), ("group", Scale::Group), ("batch", Scale::Batch), ("none", Scale::None)];
    let judge = |runs: &[Run]| {
        let worst: Vec<f64> = runs.iter().map(Run::worst_task).collect();
        let said = runs.iter().zip(&worst).map(|(run, worst)| format!("{} {worst:.3}", run.arm)).collect::<Vec<_>>().join(", ");
        Verdict { start: worst[1], end: worst[0], pass: worst[0] >= worst[1] + 0.1, said: format!("worst task: {said}") }
    };
    Rung {
        name: "mix",
        about: "an easy task marked 0 or 1, and one whose marks differ by a fifth where a completion is right and by thousandths where it is not; \
                advantages are divided by the deviation of the task, of the group (plain GRPO), of the batch, by nothing",
        bar: "worst task's held-out reward, by the task's deviation (end) ≥ by the group's (start) + 0.1",
        arms: scales.into_iter().map(arm).collect(),
        judge,
    }
}

fn needle() -> Rung {
    let arm = Arm {
        name: "needle",
        model: qwen3(97, 64, 2, 160),
        tasks: || vec![Box::new(Needle { pairs: 64, values: 32, lesson: 16 })],
        items: (4096, 128),
        stop: None,
        warmup: Some(Warmup { steps: 600, sequences: 64, lr: 3e-3, until: 0.2, every: 10 }),
        recipe: recipe(8, 1),
        prompts: 16,
        steps: 180,
        lr: 1e-3,
        last: 1.0,
        every: 30,
        seconds: 42.0,
    };
    Rung {
        name: "needle",
        about: "the value of one key among 64, in one pass over 130 tokens, after supervised steps of at most 16 pairs until a fifth is right",
        bar: "held-out reward ≥ 0.8 after 180 steps",
        arms: vec![arm],
        judge: |runs| held_out(runs, 0.8),
    }
}

/// What memory-needle looks for.
const HIDDEN: MemoryNeedle = MemoryNeedle { pairs: 16, values: 16, chunk: 4 };

fn memory_needle() -> Rung {
    let arm = |(name, credit)| Arm {
        name,
        model: qwen3(HIDDEN.vocab(), 64, 2, 64),
        tasks: || vec![Box::new(HIDDEN)],
        items: (4096, 256),
        stop: Some(HIDDEN.stop()),
        warmup: Some(Warmup { steps: 600, sequences: 64, lr: 3e-3, until: 0.4, every: 4 }),
        recipe: Recipe { credit, ..recipe(8, 16) },
        prompts: 64,
        steps: 200,
        lr: 3e-4,
        last: 1.0,
        every: 40,
        seconds: 130.0,
    };
    let judge = |runs: &[Run]| {
        let ((start, end), (_, last)) = (runs[0].held_out(), runs[1].held_out());
        let said = format!("the final turn alone learning: {last:.3}");
        Verdict { start, end, pass: end >= 0.8 && last < end, said }
    };
    Rung {
        name: "memory-needle",
        about: "the value of one key among 16, in four turns of 4 pairs each and a last that sees nothing but notes of at most 16 tokens; \
                every turn learns from the answer's reward, or the last alone",
        bar: "held-out reward ≥ 0.8 after 200 steps, and more than where the last turn alone learns",
        arms: vec![arm(("trajectory", Credit::Trajectory)), arm(("final", Credit::Final))],
        judge,
    }
}

/// AEPO's thresholds of the trap: masking ends where entropy is a fifth of what it is at first. At 0.03 and 0.06 seed 4 came out 0.01 short of the
/// bar (EXPERIMENTS.md).
const TRAP: aepo::Thresholds = aepo::Thresholds { low: 0.02, high: 0.04 };

fn entropy_trap() -> Rung {
    let arm = |(name, mode)| Arm {
        name,
        // A thousand tokens, of which 34 are ever right: what leaks out of the nucleus has somewhere to go.
        model: qwen3(1024, 32, 1, 3 + Circle::LIMIT),
        tasks: || vec![Box::new(Circle::default())],
        // All of the 288 prompts.
        items: (288, 288),
        stop: Some(Circle::STOP),
        warmup: Some(Warmup { steps: 600, sequences: 32, lr: 3e-3, until: 1.1, every: 200 }),
        recipe: Recipe { top_p: 0.6, aepo: aepo::Settings { mode, thresholds: Some(TRAP) }, ..recipe(8, Circle::LIMIT) },
        prompts: 16,
        steps: 150,
        lr: 3e-3,
        last: 1.0,
        every: 50,
        seconds: 30.0,
    };
    let judge = |runs: &[Run]| {
        let ((start, end), (_, plain)) = (runs[0].held_out(), runs[1].held_out());
        let entropy = |run: &Run| {
            let last = &run.entropies[run.entropies.len() - run.entropies.len() / 5..];
            f64::from(last.iter().sum::<f32>()) / last.len() as f64
        };
        let share = runs[0].masked.iter().filter(|masked| **masked).count() as f64 / runs[0].masked.len() as f64;
        let (held, free) = (entropy(&runs[0]), entropy(&runs[1]));
        let said = format!("unmasked {plain:.3}; entropy {held:.2} and {free:.2}; masked in {:.0} % of steps", 100.0 * share);
        Verdict { start, end, pass: end >= start && end >= plain + 0.2 && free >= 2.0 * held, said }
    };
    Rung {
        name: "entropy-trap",
        about: "letters in a circle from a start to a goal; two of five replies run on to the limit, three of ten right ones are accepted, and \
                replies are sampled from a nucleus (top-p 0.6), so that negatives push probability out of it: AEPO, and without it",
        bar: "with AEPO the held-out reward does not fall, and ends 0.2 above and at half the entropy of the run without, after 150 steps",
        arms: vec![arm(("aepo", aepo::Mode::Latch)), arm(("plain", aepo::Mode::Off))],
        judge,
    }
}

fn moe() -> Rung {
    let mut arm = digits().arms.remove(0);
    arm.name = "moe";
    arm.seconds = 14.0;
    arm.model.architecture = Architecture::Qwen3Moe;
    arm.model.moe = Some(MoeConfig { experts: 8, top_k: 2, intermediate: 64, renormalise: true, dense_layers: vec![] });
    let judge = |runs: &[Run]| {
        let (start, end) = runs[0].held_out();
        let (first, most) = runs[0].mismatch;
        let said = format!("rollout and trainer differ by {first:e} in step 1, {most:e} at most");
        Verdict { start, end, pass: end >= 0.8 && first == 0.0, said }
    };
    Rung {
        name: "moe",
        about: "digits, by a mixture of 8 experts of which 2 see each token",
        bar: "held-out reward ≥ 0.8; rollouts and trainer differ by exactly 0 in step 1",
        arms: vec![arm],
        judge,
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

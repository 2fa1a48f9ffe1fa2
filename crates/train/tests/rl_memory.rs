//! Trajectories of several turns: notes go on, everything else does not, and every turn learns from the answer's reward.

use std::sync::Arc;

use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::{DType, Device, Precision};
use model::random::RandomWeights;
use model::train::TrainSpaceShape;
use model::{Architecture, Model, ModelConfig, MoeConfig};
use train::rl::environment::Environment;
use train::rl::ladder::memory::MemoryNeedle;
use train::rl::ladder::toys::Toy;
use train::rl::ladder::{qwen3, recipe};
use train::rl::recipe::{Credit, LogprobSpace, Recipe};
use train::rl::reinforce::{Batch, Reinforce};
use train::rl::rollout::{Drawing, Prompt, Rollout};
use train::{Hyper, Trainer};

const TASK: MemoryNeedle = MemoryNeedle { pairs: 12, values: 8, chunk: 3 };
/// Four chunks and the answer.
const TURNS: usize = 5;

fn shape(moe: bool) -> ModelConfig {
    let mut config = qwen3(TASK.vocab(), 32, 2, 64);
    if moe {
        config.architecture = Architecture::Qwen3Moe;
        config.moe = Some(MoeConfig { experts: 4, top_k: 2, intermediate: 32, renormalise: true, dense_layers: vec![] });
    }
    config
}

fn model(config: &ModelConfig) -> Model {
    let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 1));
    Model::load(&RandomWeights::new(config.clone(), DType::F32, 3).unwrap(), device, config.max_positions, |_, _| {}).unwrap()
}

fn toy() -> Toy {
    Toy::training(vec![Box::new(TASK)], 32)
}

fn drawing(sequences: usize) -> Drawing {
    Drawing {
        samples: 4,
        max_new_tokens: 4,
        temperature: 1.0,
        top_p: 1.0,
        space: LogprobSpace::Full,
        stop_ids: vec![TASK.stop()],
        kv: KvDType::F32,
        sequences,
        cache_bytes: 1 << 30,
        step_rows: 512,
    }
}

fn draw(config: &ModelConfig, sequences: usize) -> (Vec<Prompt>, Vec<Rollout>) {
    let toy = toy();
    let prompts: Vec<Prompt> = (0..3).map(|item| toy.prompt(0, item)).collect();
    let (drawing, model) = (drawing(sequences), Arc::new(model(config)));
    let rollouts = pollster::block_on(drawing.trajectories(&model, (&toy, &prompts), (1, 2), || ())).unwrap();
    (prompts, rollouts)
}

#[test]
fn who_asks_for_answers_keeps_no_other_turns_tokens() {
    let config = shape(true);
    let (prompts, whole) = draw(&config, 256);
    let (drawing, model) = (drawing(256), Arc::new(model(&config)));
    let answers = pollster::block_on(drawing.answers(&model, (&toy(), &prompts), (1, 2), || ())).unwrap();
    assert_eq!(answers.len(), whole.len());
    for (lean, full) in answers.iter().zip(&whole) {
        match full.goes_on {
            false => assert_eq!(lean, full),
            true => {
                let Rollout { group, sample, turn, broken, truncated, .. } = *full;
                assert_eq!(*lean, Rollout { group, sample, turn, broken, truncated, goes_on: true, ..Rollout::default() });
                assert!(!full.ids.is_empty() && !full.routes.is_empty());
            }
        }
    }
}

#[test]
fn notes_and_nothing_else_go_from_turn_to_turn() {
    for moe in [false, true] {
        let (_, rollouts) = draw(&shape(moe), 256);
        assert_eq!(rollouts.len(), 3 * 4 * TURNS);
        for group in 0..3 {
            for sample in 0..4 {
                let turns: Vec<&Rollout> = rollouts.iter().filter(|row| (row.group, row.sample) == (group, sample)).collect();
                assert_eq!(turns.iter().map(|row| row.turn).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
                assert_eq!(turns.iter().map(|row| row.goes_on).collect::<Vec<_>>(), [true, true, true, true, false]);
                for pair in turns.windows(2) {
                    let (notes, prompt) = (pair[0].reply(), &pair[1].ids[..pair[1].prompt]);
                    // A chunk before them (none in the last turn), a sign and the key behind.
                    let chunk = if pair[1].goes_on { 6 } else { 0 };
                    assert_eq!(&prompt[chunk..prompt.len() - 2], notes);
                    assert_eq!(prompt[prompt.len() - 1], turns[0].ids[turns[0].prompt - 1]);
                }
            }
        }
        // Neither how many run at once nor their company changes a token or a bit.
        let (_, alone) = draw(&shape(moe), 1);
        assert_eq!(rollouts, alone);
    }
}

fn policy(config: &ModelConfig, recipe: Recipe) -> Reinforce<Toy> {
    let shape = TrainSpaceShape { rows: 512, sequences: 512, loss_rows: 512, kv: KvDType::F32, keep: 2 };
    let hyper = Hyper { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, decay_vectors: false, max_grad_norm: 1.0 };
    let trainer = Trainer::new(model(config), &Model::slots(config), shape, hyper).unwrap();
    let batch = Batch { prompts: 6, rows: 512, kv: KvDType::F32, sequences: 64, cache_bytes: 1 << 30, seed: 4 };
    Reinforce::new(trainer, toy(), recipe, vec![TASK.stop()], batch).unwrap()
}

#[test]
fn every_turn_is_learnt_from_and_agrees_to_the_bit() {
    for moe in [false, true] {
        let mut policy = policy(&shape(moe), recipe(8, 4));
        let mut updates = 0;
        for _ in 0..4 {
            let (step, _, rollouts, rewards) = pollster::block_on(policy.update(1e-3, || ())).unwrap();
            assert_eq!((step.rollouts, step.turns), (48, 48 * TURNS as u64));
            assert_eq!(step.mismatch, 0.0, "rollouts and passes say the same of every turn");
            // All turns of a trajectory have its reward.
            for (row, reward) in rollouts.iter().zip(&rewards) {
                let end = rollouts.iter().position(|end| (end.group, end.sample, end.goes_on) == (row.group, row.sample, false)).unwrap();
                assert_eq!(*reward, rewards[end]);
            }
            updates += u64::from(step.skipped.is_none());
        }
        assert!(updates > 0, "no reward in four steps");
    }
}

/// The largest change of a master by the first update that is one, and the rows' weights it came from.
fn changed(credit: Credit) -> (u64, Vec<f32>) {
    let config = shape(false);
    let mut policy = policy(&config, Recipe { credit, ..recipe(8, 4) });
    loop {
        let (step, ..) = pollster::block_on(policy.update(1e-3, || ())).unwrap();
        if step.skipped.is_none() {
            let slot = *policy.trainer.moments().keys().next().unwrap();
            return (step.step, pollster::block_on(policy.trainer.master(slot)).unwrap());
        }
    }
}

#[test]
fn the_last_turn_alone_is_another_lesson() {
    let ((step, all), (same, last)) = (changed(Credit::Trajectory), changed(Credit::Final));
    assert_eq!(step, same, "until the first update both are the same policy");
    assert_ne!(all, last);
}

#[test]
fn validation_counts_trajectories() {
    let policy = policy(&shape(false), recipe(8, 4));
    let mut held = Toy::held_out(vec![Box::new(TASK)], 16);
    let (validation, rewards) = pollster::block_on(policy.validate(&mut held, || ())).unwrap();
    assert_eq!((validation.prompts, validation.tasks[0].rollouts, rewards.len()), (16, 16, 16));
}

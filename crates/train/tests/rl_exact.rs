//! Rollouts and passes of training say the same of every token, to the bit, however either is laid out (CPU, exact mode).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::gpu::GpuOptions;
use kernels::{DType, Device, Precision};
use model::Model;
use model::source::{Checkpoint, Converted};
use model::train::{Slot, TrainSpaceShape};
use train::rl::recipe::LogprobSpace;
use train::rl::rollout::{Drawing, Prompt, Rollout};
use train::trainer::{PolicySequence, Recomputed};
use train::{Hyper, Trainer};

const CASES: [(&str, DType); 6] = [
    ("qwen3", DType::F32),
    ("qwen2", DType::F32),
    ("llama", DType::F32),
    ("qwen3_moe", DType::F32),
    ("qwen3_moe", DType::BF16),
    ("qwen3", DType::F16),
];
const TEMPERATURE: f32 = 0.7;

fn load(case: &str, dtype: DType, threads: usize) -> Model {
    load_on(case, dtype, Device::Cpu(CpuDevice::with_threads(Precision::Exact, threads)))
}

fn load_on(case: &str, dtype: DType, device: Device) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(case);
    Model::load(&Converted::new(&Checkpoint::open(&path).unwrap(), dtype).unwrap(), device, 64, |_, _| {}).unwrap()
}

fn kv(dtype: DType) -> KvDType {
    train::finetune::kv_dtype(dtype)
}

/// Prompts of 1 to 37 tokens, so that some share full cache pages among their samples, some none.
fn prompts(vocab: usize) -> Vec<Prompt> {
    let prompt = |(item, length): (usize, usize)| Prompt {
        task: 0,
        item,
        ids: (0..length).map(|i| ((7 * item + 3 * i + i * i) % vocab) as u32).collect(),
    };
    [1, 9, 16, 17, 33, 37].into_iter().enumerate().map(prompt).collect()
}

fn drawing(dtype: DType, space: LogprobSpace) -> Drawing {
    Drawing {
        samples: 4,
        max_new_tokens: 20,
        temperature: TEMPERATURE,
        top_p: 0.95,
        space,
        stop_ids: vec![3, 11],
        kv: kv(dtype),
        sequences: 64,
        cache_bytes: 1 << 30,
        step_rows: 512,
    }
}

fn draw(model: Model, drawing: &Drawing, prompts: &[Prompt]) -> Vec<Rollout> {
    pollster::block_on(drawing.draw(&Arc::new(model), prompts, (5, 3), || ())).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Rollouts as a pass takes them, in this order.
fn sequences<'a>(rollouts: &'a [Rollout], order: &[usize], weights: &'a [Vec<f32>], replay: bool) -> Vec<PolicySequence<'a>> {
    let sequence = |(&i, weights): (&usize, &'a Vec<f32>)| PolicySequence {
        ids: &rollouts[i].ids,
        prompt: rollouts[i].prompt,
        weights,
        routes: if replay { &rollouts[i].routes } else { &[] },
        cuts: &rollouts[i].cuts,
    };
    order.iter().zip(weights).map(sequence).collect()
}

/// What training passes of at most `rows` rows say, in an order of their own.
fn recompute(model: Model, dtype: DType, rollouts: &[Rollout], rows: usize, keep: usize, replay: bool) -> Vec<Recomputed> {
    let slots = Model::slots(&model.config);
    let hyper = Hyper { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, decay_vectors: false, max_grad_norm: 1.0 };
    let shape = TrainSpaceShape { rows, sequences: rows, loss_rows: rows, kv: kv(dtype), keep };
    let mut trainer = Trainer::new(model, &slots, shape, hyper).unwrap();
    let mut out = vec![Recomputed::default(); rollouts.len()];
    let mut order: Vec<usize> = (0..rollouts.len()).rev().collect();
    while !order.is_empty() {
        let mut pass = vec![];
        let mut sum = 0;
        while let Some(&next) = order.last() {
            if sum + rollouts[next].ids.len() > rows {
                break;
            }
            sum += rollouts[next].ids.len();
            pass.extend(order.pop());
        }
        let weights: Vec<Vec<f32>> = pass.iter().map(|&i| vec![0.5; rollouts[i].completion().len()]).collect();
        let sequences = sequences(rollouts, &pass, &weights, replay);
        let said = pollster::block_on(trainer.accumulate_policy(&sequences, TEMPERATURE)).unwrap();
        pass.into_iter().zip(said).for_each(|(i, said)| out[i] = said);
    }
    out
}

#[test]
fn log_probabilities_of_rollouts_and_passes_are_the_same_bits() {
    let spaces = [LogprobSpace::Full, LogprobSpace::Nucleus];
    for ((case, dtype), space) in CASES.into_iter().flat_map(|case| spaces.map(|space| (case, space))) {
        let prompts = prompts(load(case, dtype, 1).config.vocab);
        let usual = drawing(dtype, space);
        let rollouts = draw(load(case, dtype, 2), &usual, &prompts);
        let tokens: usize = rollouts.iter().map(|rollout| rollout.logprobs.len()).sum();
        assert!(tokens > 200, "{case}: {tokens} tokens");
        assert!(rollouts.iter().any(|r| r.truncated) && rollouts.iter().any(|r| !r.truncated), "{case}: both ends are wanted");
        let mixture = load(case, dtype, 1).config.moe.is_some();
        assert_eq!(rollouts.iter().all(|rollout| rollout.routes.iter().any(|layer| !layer.is_empty())), mixture, "{case}: routes");

        let kept = rollouts.iter().map(|rollout| rollout.mass).sum::<f32>() / rollouts.len() as f32;
        assert_eq!(kept < 0.99, space == LogprobSpace::Nucleus, "{case}: sampling keeps {kept}");
        // Rollouts one after the other, in small steps, on one thread, prompts in another order.
        let small = [Drawing { sequences: 1, step_rows: 5, ..usual.clone() }, Drawing { sequences: 3, step_rows: 16, ..usual.clone() }];
        for drawing in small {
            assert_eq!(draw(load(case, dtype, 1), &drawing, &prompts), rollouts, "{case}: {drawing:?}");
        }
        let (rows, longest) = (rollouts.iter().map(|r| r.ids.len()).sum::<usize>(), rollouts.iter().map(|r| r.ids.len()).max().unwrap());
        for (rows, keep, replay, threads) in [(rows, 1, true, 2), (longest, 9, true, 1), (100, 1, false, 2), (131, 2, true, 2)] {
            let said = recompute(load(case, dtype, threads), dtype, &rollouts, rows, keep, replay);
            for (rollout, said) in rollouts.iter().zip(&said) {
                assert_eq!(bits(&rollout.logprobs), bits(&said.logprobs), "{case}: {rows} rows, {keep} kept");
                assert_eq!(bits(&rollout.entropies), bits(&said.entropies), "{case}: {rows} rows, {keep} kept");
            }
        }
    }
}

#[test]
fn a_token_a_temperature_or_a_route_that_is_another_is_noticed() {
    let (case, dtype) = ("qwen3_moe", DType::F32);
    let prompts = prompts(load(case, dtype, 1).config.vocab);
    let rollouts = draw(load(case, dtype, 2), &drawing(dtype, LogprobSpace::Nucleus), &prompts);
    let same = |rollouts: &[Rollout], planted: &[Rollout]| {
        let said = recompute(load(case, dtype, 2), dtype, planted, 200, 1, true);
        rollouts.iter().zip(&said).all(|(rollout, said)| bits(&rollout.logprobs) == bits(&said.logprobs))
    };
    assert!(same(&rollouts, &rollouts));
    let mut planted = rollouts.clone();
    planted[4].ids[0] ^= 1;
    assert!(!same(&rollouts, &planted), "another prompt token");
    let mut planted = rollouts.clone();
    planted[4].cuts[3] += 1.0;
    assert!(!same(&rollouts, &planted), "another nucleus");
    let mut planted = rollouts.clone();
    let layer = planted[4].routes.iter_mut().find(|layer| !layer.is_empty()).unwrap();
    let first = layer[0];
    layer[0] = (0..8).find(|expert| !layer[..2].contains(expert)).unwrap();
    assert_ne!(layer[0], first);
    assert!(!same(&rollouts, &planted), "another expert");
}

/// Gradients of rollouts in one pass, in this order, by tensor.
fn gradients(model: Model, rollouts: &[Rollout], order: &[usize]) -> BTreeMap<Slot, Vec<f32>> {
    let slots = Model::slots(&model.config);
    let hyper = Hyper { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, decay_vectors: false, max_grad_norm: 1.0 };
    let rows = rollouts.iter().map(|rollout| rollout.ids.len()).sum();
    let shape = TrainSpaceShape { rows, sequences: rows, loss_rows: rows, kv: KvDType::F32, keep: 9 };
    let mut trainer = Trainer::new(model, &slots, shape, hyper).unwrap();
    let weights: Vec<Vec<f32>> =
        order.iter().map(|&i| (0..rollouts[i].completion().len()).map(|token| 0.1 * (i + 2 * token % 7) as f32 - 0.9).collect()).collect();
    let sequences = sequences(rollouts, order, &weights, true);
    pollster::block_on(trainer.accumulate_policy(&sequences, TEMPERATURE)).unwrap();
    let model = Arc::clone(trainer.model());
    let read = |(slot, tensor): (Slot, &kernels::Tensor)| (slot, pollster::block_on(model.device.read_f32(tensor, tensor.len())).unwrap());
    trainer.gradients().iter().map(read).collect()
}

/// The largest difference between gradients, as a share of the tensor's largest.
fn apart(a: &BTreeMap<Slot, Vec<f32>>, b: &BTreeMap<Slot, Vec<f32>>) -> f32 {
    let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0f32, |most, value| most.max(value.abs()));
    let tensor = |(slot, a): (&Slot, &Vec<f32>)| {
        let largest = most(&mut a.iter().copied());
        assert!(largest > 0.0, "{slot:?} has a gradient");
        most(&mut a.iter().zip(&b[slot]).map(|(a, b)| a - b)) / largest
    };
    a.iter().map(tensor).fold(0.0, f32::max)
}

/// Neighbours of one prompt share its rows; dealt out, each runs it again. The gradients are the same.
#[test]
fn a_prompt_computed_once_has_the_gradients_of_all_that_go_on_from_it() {
    for (case, space) in [("qwen3", LogprobSpace::Full), ("qwen2", LogprobSpace::Nucleus), ("qwen3_moe", LogprobSpace::Full)] {
        let prompts = prompts(load(case, DType::F32, 1).config.vocab);
        let rollouts = draw(load(case, DType::F32, 2), &drawing(DType::F32, space), &prompts);
        let together: Vec<usize> = (0..rollouts.len()).collect();
        let mut dealt = together.clone();
        dealt.sort_by_key(|i| i % 4);
        let shared = gradients(load(case, DType::F32, 2), &rollouts, &together);
        let apart_by = apart(&shared, &gradients(load(case, DType::F32, 1), &rollouts, &dealt));
        println!("{case}: {apart_by:.1e} of the largest");
        assert!(apart_by < 1e-5, "{case}: {apart_by}");
        let mut planted = rollouts.clone();
        planted[21].ids[10] ^= 1;
        assert!(apart(&shared, &gradients(load(case, DType::F32, 1), &planted, &dealt)) > 1e-4, "{case}: another prompt");
    }
}

/// A device, or `None` without an adapter: then the test is not run, which `REQUIRE_GPU=1` turns into a failure.
fn gpu() -> Option<Device> {
    match pollster::block_on(Device::gpu(&GpuOptions { precision: Precision::Exact, ..GpuOptions::default() })) {
        Ok(device) => Some(device),
        Err(error) if std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1") => panic!("REQUIRE_GPU=1, but {error}"),
        Err(error) => {
            eprintln!("not run: {error}");
            None
        }
    }
}

#[test]
fn on_a_gpu_a_prompt_computed_once_has_the_same_gradients() {
    let (Some(first), Some(second)) = (gpu(), gpu()) else { return };
    let model = load_on("qwen3_moe", DType::F32, first);
    let small = Drawing { samples: 3, max_new_tokens: 4, ..drawing(DType::F32, LogprobSpace::Full) };
    let rollouts = draw(load("qwen3_moe", DType::F32, 1), &small, &prompts(model.config.vocab)[4..]);
    let shared = gradients(model, &rollouts, &[0, 1, 2, 3, 4, 5]);
    let apart_by = apart(&shared, &gradients(load_on("qwen3_moe", DType::F32, second), &rollouts, &[0, 3, 1, 4, 2, 5]));
    println!("{apart_by:.1e} of the largest");
    assert!(apart_by < 1e-5, "{apart_by}");
    let cpu = apart(&gradients(load("qwen3_moe", DType::F32, 1), &rollouts, &[0, 1, 2, 3, 4, 5]), &shared);
    assert!(cpu < 1e-4, "CPU and GPU: {cpu}");
}

#[test]
fn on_a_gpu_they_agree_to_the_fifth_decimal() {
    for (case, space) in [("qwen3", LogprobSpace::Full), ("qwen3_moe", LogprobSpace::Nucleus)] {
        let (Some(first), Some(second)) = (gpu(), gpu()) else { return };
        let model = load_on(case, DType::F32, first);
        let prompts = prompts(model.config.vocab);
        let small = Drawing { samples: 2, max_new_tokens: 6, ..drawing(DType::F32, space) };
        let rollouts = draw(model, &small, &prompts[..4]);
        let said = recompute(load_on(case, DType::F32, second), DType::F32, &rollouts, 64, 1, true);
        let pairs =
            rollouts.iter().zip(&said).flat_map(|(a, b)| a.logprobs.iter().zip(&b.logprobs).chain(a.entropies.iter().zip(&b.entropies)));
        let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{case}, {space:?}: rollout and pass differ by {most:.1e} at most");
        assert!(most <= 1e-5, "{case}: {most}");
    }
}

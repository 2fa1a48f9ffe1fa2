//! Routes that an engine records: those of a pass over the whole sequence, whatever was shared, batched or cut; replayed by a training
//! pass to the bits of the rollout.

use std::path::Path;
use std::sync::Arc;

use kernels::attention::{KvDType, PAGE_TOKENS};
use kernels::cpu::CpuDevice;
use kernels::gpu::GpuOptions;
use kernels::{Device, Precision};
use model::train::{LossRows, Routed, TrainSpace, TrainSpaceShape};
use model::{Checkpoint, Engine, EngineSettings, Generated, Model, Request};

const TEMPERATURE: f32 = 0.8;
const WINDOW: usize = 128;

fn load(case: &str, device: Device) -> Arc<Model> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(case);
    Arc::new(Model::load(&Checkpoint::open(&path).unwrap(), device, WINDOW, |_, _| {}).unwrap())
}

fn cpu() -> Device {
    Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2))
}

fn gpu() -> Option<Device> {
    match pollster::block_on(Device::gpu(&GpuOptions { precision: Precision::Exact, ..Default::default() })) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("REQUIRE_GPU").is_some() => panic!("REQUIRE_GPU is set: {error}"),
        Err(error) => {
            println!("not run: {error}");
            None
        }
    }
}

fn engine(model: &Arc<Model>, max_sequences: usize, step_rows: usize) -> Engine {
    let settings = EngineSettings {
        cache_positions: max_sequences * WINDOW,
        step_rows,
        max_sequences,
        record_routes: true,
        ..EngineSettings::single(WINDOW, KvDType::F16)
    };
    Engine::new(model.clone(), settings).unwrap()
}

/// Two prompts that are given three times, of which the first ends beyond two full pages, and a short one.
fn prompts() -> Vec<Vec<u32>> {
    let prompt = |seed: usize, length: usize| (0..length).map(|i| ((i * i * 31 + i * 7 + seed * 101) % 257) as u32).collect::<Vec<_>>();
    let (long, middle) = (prompt(1, 2 * PAGE_TOKENS + 6), prompt(2, PAGE_TOKENS + 13));
    vec![long.clone(), middle.clone(), long.clone(), prompt(3, 5), middle, long]
}

fn request(prompt: &[u32], seed: u64, max_new_tokens: usize) -> Request {
    let sampling = data::Sampling { temperature: TEMPERATURE, seed, ..data::Sampling::GREEDY };
    Request { prompt: prompt.to_vec(), max_new_tokens, sampling, stop_ids: (0..30).collect() }
}

/// A finished sequence: prompt, reply and stop token, and what the rollout said of the drawn ones.
struct Rollout {
    ids: Vec<u32>,
    prompt: usize,
    logprobs: Vec<f32>,
    generated: Generated,
}

/// Few rows a step and fewer places than prompts: prompts are read in pieces, beside sequences that decode, and wait.
fn rollouts(model: &Arc<Model>) -> Vec<Rollout> {
    let mut engine = engine(model, 4, 16);
    let mut out = vec![];
    // The second round finds the pages of the first.
    for round in 0..2 {
        let requests = prompts().iter().enumerate().map(|(i, prompt)| request(prompt, 10 * round + i as u64, 14)).collect();
        let all = pollster::block_on(engine.generate_all(requests, |_, _| {})).unwrap();
        out.extend(prompts().iter().zip(all).map(|(prompt, generated)| {
            let stop = generated.stop_token.map(|token| (token.id, token.logprob));
            assert_eq!(stop.is_some(), generated.stop == Some(data::StopReason::Eos));
            let drawn = || generated.ids.iter().copied().zip(generated.logprobs.iter().copied()).chain(stop);
            let ids = prompt.iter().copied().chain(drawn().map(|(id, _)| id)).collect();
            Rollout { ids, prompt: prompt.len(), logprobs: drawn().map(|(_, logprob)| logprob).collect(), generated }
        }));
    }
    let stopped = out.iter().filter(|rollout| rollout.generated.stop_token.is_some()).count();
    assert!(stopped > 0 && stopped < out.len(), "both ways of ending are wanted, {stopped} met a stop token");
    out
}

/// One pass over all rollouts without their last tokens: log-probabilities of what was drawn, and each layer's routes.
fn train_pass(model: &Model, rollouts: &[Rollout], routed: Option<&Routed>) -> (Vec<f32>, Vec<Option<Vec<u32>>>) {
    let masks: Vec<Vec<bool>> = rollouts.iter().map(|r| (0..r.ids.len()).map(|i| i >= r.prompt).collect()).collect();
    let loss = LossRows::without_last(rollouts.iter().zip(&masks).map(|(r, mask)| (&r.ids[..], &mask[..])));
    let lengths: Vec<usize> = rollouts.iter().map(|r| r.ids.len() - 1).collect();
    let ids: Vec<u32> = rollouts.iter().flat_map(|r| &r.ids[..r.ids.len() - 1]).copied().collect();
    let shape =
        TrainSpaceShape { rows: ids.len(), sequences: lengths.len(), loss_rows: loss.len(), kv: KvDType::F16, keep: model.config.layers };
    let mut space = TrainSpace::new(model, shape).unwrap();
    let batch = space.batch(&model.device, &lengths).unwrap();
    model.train_forward(&mut space, &ids, &batch, &loss, TEMPERATURE, routed).unwrap();
    let (logprobs, _) = pollster::block_on(model.read_head(&space, loss.len())).unwrap();
    let routes = (0..model.config.layers).map(|layer| pollster::block_on(model.read_routes(&space, layer, ids.len())).unwrap());
    (logprobs, routes.collect())
}

fn pack(model: &Model, rollouts: &[Rollout]) -> Vec<Vec<u32>> {
    model.pack_routes(rollouts.iter().map(|r| (&r.generated.routes[..], 0..r.ids.len() - 1))).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn recorded(rollouts: &[Rollout]) -> Vec<f32> {
    rollouts.iter().flat_map(|r| &r.logprobs).copied().collect()
}

/// Routes are those of one pass over the whole sequence by an engine, and those that a training pass chooses by itself.
fn expect_routes(model: &Arc<Model>, rollouts: &[Rollout]) {
    let moe = model.config.moe.as_ref().unwrap();
    for (number, rollout) in rollouts.iter().enumerate() {
        let rows = rollout.ids.len() - 1;
        let mut whole = engine(model, 1, WINDOW);
        let again = pollster::block_on(whole.generate(request(&rollout.ids[..rows], 0, 1), |_| {})).unwrap();
        for layer in 0..model.config.layers {
            let want = if moe.dense_layers.contains(&layer) { 0 } else { rows * moe.top_k };
            assert_eq!(rollout.generated.routes[layer].len(), want, "rollout {number}, layer {layer}");
        }
        assert_eq!(rollout.generated.routes, again.routes, "rollout {number}");
    }
    let (_, own) = train_pass(model, rollouts, None);
    for (layer, (packed, own)) in pack(model, rollouts).into_iter().zip(own).enumerate() {
        assert!(packed == own.unwrap_or_default(), "layer {layer}");
    }
}

#[test]
fn recorded_routes_are_what_a_whole_pass_chooses_and_replay_to_the_bit() {
    for case in ["qwen3_moe", "qwen3_moe_v4"] {
        let model = load(case, cpu());
        let rollouts = rollouts(&model);
        expect_routes(&model, &rollouts);
        let routed = pack(&model, &rollouts);
        let (logprobs, _) = train_pass(&model, &rollouts, Some(&routed));
        assert_eq!(bits(&logprobs), bits(&recorded(&rollouts)), "{case}");
        // A replay that chose for itself would not see another expert in the last layer at one row that predicts.
        let mut other = routed.clone();
        let (row, k) = (rollouts[0].ids.len() - 2, model.config.moe.as_ref().unwrap().top_k);
        let experts = model.config.moe.as_ref().unwrap().experts as u32;
        let chosen = &mut other.last_mut().unwrap()[row * k..(row + 1) * k];
        chosen[0] = (0..experts).find(|expert| !chosen.contains(expert)).unwrap();
        let (moved, replayed) = train_pass(&model, &rollouts, Some(&other));
        let last = rollouts[0].logprobs.len() - 1;
        let differ: Vec<usize> = (0..moved.len()).filter(|&i| moved[i].to_bits() != logprobs[i].to_bits()).collect();
        assert_eq!((differ, replayed.last().unwrap()), (vec![last], &Some(other.last().unwrap().clone())), "{case}");
    }
}

#[test]
fn the_gpu_records_and_replays_them_too() {
    let Some(device) = gpu() else { return };
    let model = load("qwen3_moe_v4", device);
    let rollouts = rollouts(&model);
    // Three that share pages, of both rounds; software Vulkan is slow.
    let rollouts: Vec<Rollout> = rollouts.into_iter().enumerate().filter(|(i, _)| [0, 5, 8].contains(i)).map(|(_, r)| r).collect();
    expect_routes(&model, &rollouts);
    let (logprobs, _) = train_pass(&model, &rollouts, Some(&pack(&model, &rollouts)));
    let worst = logprobs.iter().zip(recorded(&rollouts)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference of a replayed log-probability on the GPU: {worst:e}");
    assert!(worst < 1e-5, "{worst:e}");
}

#[test]
fn what_step_leaves_can_be_taken_once() {
    let model = load("qwen3_moe", cpu());
    let mut engine = engine(&model, 2, 16);
    let numbers = [engine.submit(request(&[5, 6, 7], 1, 3)).unwrap(), engine.submit(request(&[8, 9], 2, 3)).unwrap()];
    while !engine.is_idle() {
        let tokens = pollster::block_on(engine.step()).unwrap();
        assert!(tokens.iter().filter(|token| token.stop.is_none()).all(|token| engine.take_routes(token.sequence).is_none()));
    }
    assert!(engine.take_routes(numbers[0]).is_some_and(|routes| routes.iter().all(|layer| !layer.is_empty())));
    assert!(engine.take_routes(numbers[0]).is_none());
    engine.clear();
    assert!(engine.take_routes(numbers[1]).is_none());
}

#[test]
fn nothing_is_recorded_unless_asked_or_without_experts() {
    let sparse = load("qwen3_moe", cpu());
    let mut silent = Engine::new(sparse, EngineSettings::single(WINDOW, KvDType::F16)).unwrap();
    let dense = load("qwen3", cpu());
    for engine in [&mut silent, &mut engine(&dense, 1, 16)] {
        let generated = pollster::block_on(engine.generate(request(&[5, 6, 7], 1, 3), |_| {})).unwrap();
        assert!(!generated.logprobs.is_empty() && generated.routes.is_empty());
    }
    assert!(dense.pack_routes([(&[][..], 0..7)]).unwrap().is_empty());
}

#[test]
fn too_few_routes_are_refused() {
    let model = load("qwen3_moe", cpu());
    let mut engine = engine(&model, 1, 16);
    let generated = pollster::block_on(engine.generate(request(&[5, 6, 7], 1, 3), |_| {})).unwrap();
    let rows = generated.routes[0].len() / model.config.moe.as_ref().unwrap().top_k;
    assert!(model.pack_routes([(&generated.routes[..], 0..rows)]).is_ok());
    for (routes, rows) in [(&generated.routes[..], 0..rows + 1), (&generated.routes[..1], 0..rows), (&[], 0..1)] {
        let error = model.pack_routes([(routes, rows)]).unwrap_err().to_string();
        assert!(error.contains("record routes at rollout"), "{error}");
    }
}

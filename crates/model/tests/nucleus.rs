//! Log-probabilities in nucleus space: what an engine records of its draws, a training pass recomputes to the bit.

use std::path::Path;
use std::sync::Arc;

use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::{Device, Precision};
use model::train::{Gradients, LossRows, TrainSpace, TrainSpaceShape};
use model::{Checkpoint, Engine, EngineSettings, Model, ModelError, Request, Token};

const WINDOW: usize = 64;
const TEMPERATURE: f32 = 0.9;

fn load(case: &str) -> Arc<Model> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(case);
    let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
    Arc::new(Model::load(&Checkpoint::open(&path).unwrap(), device, WINDOW, |_, _| {}).unwrap())
}

/// Ids, and which of them were drawn.
type Sequence = (Vec<u32>, Vec<bool>);

/// Three replies and their tokens, the stop tokens among both.
fn replies(model: &Arc<Model>, sampling: data::Sampling) -> (Vec<Sequence>, Vec<Token>) {
    let settings = EngineSettings { max_sequences: 3, cache_positions: 3 * WINDOW, ..EngineSettings::single(WINDOW, KvDType::F16) };
    let mut engine = Engine::new(model.clone(), settings).unwrap();
    let prompts: [&[u32]; 3] = [&[3, 50, 7], &[9; 11], &[101, 102, 103, 104]];
    let requests = prompts.iter().zip(0..).map(|(prompt, seed)| Request {
        prompt: prompt.to_vec(),
        max_new_tokens: 12,
        sampling: data::Sampling { temperature: TEMPERATURE, seed, ..sampling },
        stop_ids: (0..20).collect(),
    });
    let mut tokens = vec![vec![]; 3];
    let all = pollster::block_on(engine.generate_all(requests.collect(), |index, token| tokens[index].push(*token))).unwrap();
    for (generated, tokens) in all.iter().zip(&tokens) {
        let (kept, parts) = (&tokens[..generated.ids.len()], [&generated.nucleus_logprobs, &generated.cuts, &generated.masses]);
        let of: [fn(&Token) -> f32; 3] = [|t| t.nucleus_logprob, |t| t.cut, |t| t.mass];
        assert!(parts.into_iter().zip(of).all(|(part, of)| *part == kept.iter().map(of).collect::<Vec<_>>()));
        assert_eq!(generated.stop_token, tokens.get(kept.len()).copied());
    }
    let sequence = |(prompt, tokens): (&&[u32], &Vec<Token>)| {
        let ids: Vec<u32> = prompt.iter().copied().chain(tokens.iter().map(|token| token.id)).collect();
        let mask = (0..ids.len()).map(|i| i >= prompt.len()).collect();
        (ids, mask)
    };
    (prompts.iter().zip(&tokens).map(sequence).collect(), tokens.concat())
}

struct Pass {
    loss: LossRows,
    space: TrainSpace,
    batch: kernels::attention::Batch,
    logprobs: Vec<f32>,
    entropies: Vec<f32>,
}

fn forward(model: &Model, sequences: &[Sequence], cuts: Option<Vec<f32>>) -> Result<Pass, ModelError> {
    let mut loss = LossRows::without_last(sequences.iter().map(|(ids, mask)| (&ids[..], &mask[..])));
    loss.cuts = cuts;
    let lengths: Vec<usize> = sequences.iter().map(|(ids, _)| ids.len() - 1).collect();
    let ids: Vec<u32> = sequences.iter().flat_map(|(ids, _)| &ids[..ids.len() - 1]).copied().collect();
    let shape = TrainSpaceShape { rows: ids.len(), sequences: 3, loss_rows: loss.len(), kv: KvDType::F16, keep: 1 };
    let mut space = TrainSpace::new(model, shape)?;
    let batch = space.batch(&model.device, &lengths)?;
    model.train_forward(&mut space, &ids, &batch, &loss, TEMPERATURE, None)?;
    let (logprobs, entropies) = pollster::block_on(model.read_head(&space, loss.len()))?;
    Ok(Pass { loss, space, batch, logprobs, entropies })
}

/// Gradients of the sum of the log-probabilities.
fn backward(model: &Model, pass: &mut Pass, dentropy: Option<&[f32]>) -> Result<Vec<f32>, ModelError> {
    let slots = Model::slots(&model.config);
    // Experts are stacked.
    let flat = |shape: Vec<usize>| if let [experts, n, k] = shape[..] { vec![experts * n, k] } else { shape };
    let shapes = slots.iter().map(|slot| (*slot, flat(slot.role.shape(&model.config))));
    let mut gradients = Gradients::new(&model.device, shapes)?;
    let g = vec![1.0; pass.loss.len()];
    model.train_backward(&mut pass.space, &pass.batch, &pass.loss, TEMPERATURE, None, (&g, dentropy), &mut gradients)?;
    let read = |slot| {
        let tensor = gradients.get(slot).unwrap();
        pollster::block_on(model.device.read_f32(tensor, tensor.len())).unwrap()
    };
    Ok(slots.into_iter().flat_map(read).collect())
}

fn bits(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_training_pass_recomputes_what_was_recorded() {
    for case in ["qwen3_moe", "qwen2"] {
        let model = load(case);
        let settings = [(0, 1.0, 0.0), (0, 0.7, 0.0), (20, 0.9, 0.01)];
        for (top_k, top_p, min_p) in settings {
            let (sequences, tokens) = replies(&model, data::Sampling { top_k, top_p, min_p, ..data::Sampling::GREEDY });
            let pass = forward(&model, &sequences, Some(tokens.iter().map(|token| token.cut).collect())).unwrap();
            assert_eq!(bits(pass.logprobs.iter().copied()), bits(tokens.iter().map(|token| token.nucleus_logprob)), "{case}");
            assert_eq!(bits(pass.entropies), bits(tokens.iter().map(|token| token.entropy)), "{case}");
            let (masses, dropped) = pollster::block_on(model.read_kept(&pass.space, tokens.len())).unwrap();
            assert_eq!(bits(masses.iter().copied()), bits(tokens.iter().map(|token| token.mass)), "{case}");
            assert!(!dropped.contains(&true));
            let narrow = masses.iter().any(|&mass| mass < 0.95);
            let whole = forward(&model, &sequences, None).unwrap();
            assert_eq!(bits(whole.logprobs.iter().copied()), bits(tokens.iter().map(|token| token.logprob)), "{case}");
            assert_eq!((narrow, narrow), (top_p < 1.0, whole.logprobs != pass.logprobs), "{case}");
        }
    }
}

/// Where one token is kept its log-probability is 0 whatever the weights are, so nothing has a gradient; without cuts much has.
#[test]
fn one_kept_token_leaves_no_gradient() {
    let model = load("qwen3_moe");
    let (sequences, tokens) = replies(&model, data::Sampling { top_k: 1, ..data::Sampling::GREEDY });
    let cuts: Vec<f32> = tokens.iter().map(|token| token.cut).collect();
    let mut pass = forward(&model, &sequences, Some(cuts.clone())).unwrap();
    assert!(pass.logprobs.iter().all(|&logprob| logprob == 0.0));
    assert!(backward(&model, &mut pass, None).unwrap().iter().all(|&gradient| gradient == 0.0));
    let mut whole = forward(&model, &sequences, None).unwrap();
    assert!(backward(&model, &mut whole, None).unwrap().iter().any(|&gradient| gradient.abs() > 1e-3));
    // What does not go together, or does not fit, is refused.
    let g = vec![1.0; cuts.len()];
    assert!(backward(&model, &mut pass, Some(&g)).unwrap_err().to_string().contains("entropy"));
    for bad in [cuts[1..].to_vec(), [&cuts[1..], &[f32::NAN]].concat()] {
        assert!(forward(&model, &sequences, Some(bad)).is_err_and(|error| error.to_string().contains("cuts")));
    }
}

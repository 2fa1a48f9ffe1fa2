//! `longhand grads`: the loss of given tokens and its gradient by every tensor.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kernels::Precision;
use kernels::attention::KvDType;
use model::Model;
use model::source::Role;
use model::train::{Gradients, LossRows, Slot, TrainSpace, TrainSpaceShape};
use safetensors::tensor::{Dtype, TensorView};

use crate::args::{Case, NamedArgs};
use crate::load;

/// Mean next-token cross-entropy in nats over the tokens whose loss_mask is 1 (all but the first if there is no mask).
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand grads --model ./Qwen3-0.6B --ids case.json --out grads.safetensors\n\ncase.json: {\"ids\": [9707, 11, 1879], \"loss_mask\": [0, 1, 1]}\n\nOUT holds `loss` [1] and `grad.NAME` for every tensor, f32, one per expert. A tied head's gradient is part of the embedding's."
)]
pub struct GradsArgs {
    #[command(flatten)]
    model: NamedArgs,
    /// {"ids": [...], "loss_mask": [...]} (the mask is optional).
    #[arg(long, value_name = "CASE.json")]
    ids: PathBuf,
    /// Where the tensors go.
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &GradsArgs) -> Result<()> {
    let case = Case::read(&args.ids)?;
    let (model, _, _) = load::model(&args.model.model, &args.model.machine, Precision::Exact, Some(case.ids.len()))?;
    let mask: Vec<bool> = match &case.loss_mask {
        Some(mask) => mask.iter().map(|&weight| weight != 0.0).collect(),
        None => vec![true; case.ids.len()],
    };
    let (loss, gradients) =
        pollster::block_on(gradients(&model, &case.ids, &mask)).with_context(|| format!("no gradients from {}", args.ids.display()))?;
    let named: Vec<(String, Vec<usize>, Vec<u8>)> = std::iter::once(("loss".into(), vec![1], loss.to_le_bytes().to_vec()))
        .chain(gradients.into_iter().flat_map(|(slot, shape, values)| per_expert(slot, &shape, &values)))
        .collect();
    let views = named.iter().map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let file = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?;
    std::fs::write(&args.out, file).with_context(|| format!("cannot write {}", args.out.display()))
}

/// The mean loss and the gradient of each tensor: (slot, shape with experts apart, values).
async fn gradients(model: &Model, ids: &[u32], mask: &[bool]) -> Result<(f32, Vec<(Slot, Vec<usize>, Vec<f32>)>)> {
    let loss = LossRows::of([(ids, mask)]);
    anyhow::ensure!(!loss.is_empty(), "no token is to be predicted: the loss_mask is 0 everywhere after the first token");
    let config = &model.config;
    let shape = TrainSpaceShape { rows: ids.len(), sequences: 1, loss_rows: loss.len(), kv: KvDType::F32, keep: 1 };
    let mut space = TrainSpace::new(model, shape)?;
    let slots = Model::slots(config);
    let flat = |slot: &Slot| match *slot.role.shape(config) {
        [experts, n, k] => vec![experts * n, k],
        ref shape => shape.to_vec(),
    };
    let mut gradients = Gradients::new(&model.device, slots.iter().map(|slot| (*slot, flat(slot))))?;
    let batch = space.batch(&model.device, &[ids.len()])?;
    model.train_forward(&mut space, ids, &batch, &loss, 1.0, None)?;
    let weights = vec![-1.0 / loss.len() as f32; loss.len()];
    model.train_backward(&mut space, &batch, &loss, 1.0, None, (&weights, None), &mut gradients)?;
    let (logprobs, _) = model.read_head(&space, loss.len()).await?;
    let mean = -logprobs.iter().map(|&p| f64::from(p)).sum::<f64>() / loss.len() as f64;
    let mut out = Vec::new();
    for (slot, tensor) in gradients.iter() {
        out.push((slot, slot.role.shape(config), model.device.read_f32(tensor, tensor.len()).await?));
    }
    Ok((mean as f32, out))
}

/// `grad.NAME` with its bytes; one for each expert of a stack.
fn per_expert(slot: Slot, shape: &[usize], values: &[f32]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let &[experts, n, k] = shape else { return vec![(format!("grad.{}", slot.name()), shape.to_vec(), bytes(values))] };
    let side = match slot.role {
        Role::ExpertGate => "gate_proj",
        Role::ExpertUp => "up_proj",
        _ => "down_proj",
    };
    let name = |e: usize| format!("grad.model.layers.{}.mlp.experts.{e}.{side}.weight", slot.layer);
    (0..experts).map(|e| (name(e), vec![n, k], bytes(&values[e * n * k..(e + 1) * n * k]))).collect()
}

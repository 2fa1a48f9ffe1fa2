//! `longhand logits`: what the model says of given tokens, as tensors.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kernels::Precision;
use safetensors::tensor::{Dtype, TensorView};

use crate::args::{Case, NamedArgs};
use crate::load;

/// Needs only config.json and weights. Temperature 1; KV as `--kv` says.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand logits --model ./Qwen3-0.6B --ids case.json --out out.safetensors\n\ncase.json: {\"ids\": [9707, 11, 1879]}"
)]
pub struct LogitsArgs {
    #[command(flatten)]
    model: NamedArgs,
    /// {"ids": [...], "loss_mask": [...]} (the mask is optional).
    #[arg(long, value_name = "CASE.json")]
    ids: PathBuf,
    /// Where the tensors go: logits [T,V], logprobs [T-1] of the next token, entropy [T] in nats.
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// Rows per forward pass; the result does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 512)]
    step_rows: usize,
    /// Leave the logits out.
    #[arg(long)]
    no_logits: bool,
}

/// Runs the verb.
pub fn run(args: &LogitsArgs) -> Result<()> {
    let case = Case::read(&args.ids)?;
    let (model, _, kv) = load::model(&args.model.model, &args.model.machine, Precision::Exact, Some(case.ids.len()))?;
    let score = pollster::block_on(model.score_tokens(&case.ids, 1.0, kv, args.step_rows, !args.no_logits))?;
    let (t, v) = (case.ids.len(), model.config.vocab);
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (logits, logprobs, entropy) = (bytes(&score.logits), bytes(&score.logprobs), bytes(&score.entropy));
    let mut tensors = vec![
        ("logprobs", TensorView::new(Dtype::F32, vec![t - 1], &logprobs)?),
        ("entropy", TensorView::new(Dtype::F32, vec![t], &entropy)?),
    ];
    if !args.no_logits {
        tensors.push(("logits", TensorView::new(Dtype::F32, vec![t, v], &logits)?));
    }
    let file = safetensors::serialize(tensors, None)?;
    std::fs::write(&args.out, file).with_context(|| format!("cannot write {}", args.out.display()))
}

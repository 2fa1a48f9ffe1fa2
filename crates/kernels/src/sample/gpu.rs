//! Sampling on the GPU: one workgroup a row; the host computes the uniform number of each draw.

use super::{Drawn, NO_TOKEN, SampleParams};
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, fold_groups};
use crate::{Result, Tensor, uniform};

const OP: &str = "sample";
const _: () = assert!(NO_TOKEN == u32::MAX, "sample_forward.wgsl writes it for a row without an answer");
const _: () = assert!(Drawn::WORDS == 6, "sample_forward.wgsl writes them");

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "sample_forward",
    source: include_str!("../../../../shaders/sample_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: one_variant,
};

uniform! { struct Params { rows: u32, columns: u32, pad0: u32, pad1: u32 } }

pub fn forward(device: &GpuDevice, logits: &Tensor, params: &[SampleParams], out: &mut super::SampleOutput) -> Result<()> {
    let mut words = Vec::with_capacity(params.len() * super::CHOICE_WORDS);
    for p in params {
        let greedy = p.temperature == 0.0;
        let inverse = if greedy { 1.0 } else { 1.0 / p.temperature };
        // Greedy is a draw of 0 among the largest: the lowest id of them.
        let (top_k, top_p, min_p, draw) =
            if greedy { (0, 1.0, 0.0, 0.0) } else { (p.top_k, p.top_p, p.min_p, super::uniform(p.seed, p.counter)) };
        words.extend([inverse.to_bits(), u32::from(greedy), top_k, f32::to_bits(top_p), min_p.to_bits(), draw.to_bits(), 0, 0]);
    }
    let choices = out.choices.gpu(OP)?;
    device.write(&choices, &words)?;
    let uniform = Params { rows: params.len() as u32, columns: logits.width() as u32, pad0: 0, pad1: 0 };
    device.launch(&FORWARD, &[], &uniform, &[logits.gpu(OP)?, choices, out.packed.gpu(OP)?], fold_groups(params.len()))
}

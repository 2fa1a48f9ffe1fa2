//! Sampling on the GPU: one workgroup a row; the host computes the uniform number of each draw. Rows with a mask have a shader of their
//! own, so that the others keep their bits.

use super::{Drawn, NO_TOKEN, SampleParams};
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, fold_groups};
use crate::{KernelError, Result, Tensor, uniform};

const OP: &str = "sample";
const _: () = assert!(NO_TOKEN == u32::MAX, "sample_forward.wgsl writes it for a row without an answer");
const _: () = assert!(Drawn::WORDS == 6, "sample_forward.wgsl writes them");

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &MASKED];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "sample_forward",
    source: include_str!("../../../../shaders/sample_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || vec![vec![("MASKED", 0)]],
};

/// The rows that have a mask; it leaves the others as they are.
static MASKED: ShaderSpec = ShaderSpec {
    name: "sample_forward_masked",
    source: include_str!("../../../../shaders/sample_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite, Access::Read],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || vec![vec![("MASKED", 1)]],
};

uniform! { struct Params { rows: u32, columns: u32, pad0: u32, pad1: u32 } }

pub fn forward(
    device: &GpuDevice,
    logits: &Tensor,
    params: &[SampleParams],
    masks: &[Option<&[u32]>],
    out: &mut super::SampleOutput,
) -> Result<()> {
    let mut words = Vec::with_capacity(params.len() * super::CHOICE_WORDS);
    for (p, mask) in params.iter().zip(masks) {
        let greedy = p.temperature == 0.0;
        let inverse = if greedy { 1.0 } else { 1.0 / p.temperature };
        // Greedy is a draw of 0 among the largest: the lowest id of them.
        let (top_k, top_p, min_p, draw) =
            if greedy { (0, 1.0, 0.0, 0.0) } else { (p.top_k, p.top_p, p.min_p, super::uniform(p.seed, p.counter)) };
        words.extend([
            inverse.to_bits(),
            u32::from(greedy),
            top_k,
            f32::to_bits(top_p),
            min_p.to_bits(),
            draw.to_bits(),
            u32::from(mask.is_some()),
            0,
        ]);
    }
    let choices = out.choices.gpu(OP)?;
    device.write(&choices, &words)?;
    let uniform = Params { rows: params.len() as u32, columns: logits.width() as u32, pad0: 0, pad1: 0 };
    let (logits, packed, groups) = (logits.gpu(OP)?, out.packed.gpu(OP)?, fold_groups(params.len()));
    if masks.iter().any(Option::is_none) || masks.is_empty() {
        device.launch(&FORWARD, &[("MASKED", 0)], &uniform, &[logits.clone(), choices.clone(), packed.clone()], groups)?;
    }
    if masks.iter().any(Option::is_some) {
        let slice = out.masks.as_ref().ok_or_else(|| KernelError::shape(OP, "there is no room for masks"))?.gpu(OP)?;
        // A row without a mask is not looked at.
        let nothing = vec![0; super::mask_words(uniform.columns as usize)];
        let words: Vec<u32> = masks.iter().flat_map(|mask| mask.unwrap_or(&nothing)).copied().collect();
        device.write(&slice, &words)?;
        device.launch(&MASKED, &[("MASKED", 1)], &uniform, &[logits, choices, packed, slice], groups)?;
    }
    Ok(())
}

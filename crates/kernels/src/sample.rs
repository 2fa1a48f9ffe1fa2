//! Choosing the next token on the device. logits: [R, V] → id, log-probability and entropy of each row.
//!
//! Order: temperature, top-k, top-p, min-p, then one draw with a counter-based generator (seed, counter) → u in [0, 1).
//! Ties at the top-k border are all kept. The draw walks kept tokens by ascending id. Temperature 0 is greedy: the largest logit,
//! the lowest id among equals. `logprob` and `entropy` are those of softmax(z/τ) over the full vocabulary (τ = 1 when greedy).
//!
//! What is kept is an upper set of logits. `cut` tells it: the tokens whose logit is not below it. It lies midway between the smallest
//! kept and the largest dropped logit, so that a recomputation with other roundings tells them apart as well. `nucleus_logprob` is the
//! log-probability among the kept, the head's own [with that cut](crate::head). Greedy keeps the largest logit and its equals.
//!
//! A row may have a mask ([`forward_masked`]): the tokens it may draw. It comes before everything: top-k, top-p and min-p count among the
//! allowed tokens as if there were no others, and so do `cut` and `nucleus_logprob`. `logprob` and `entropy` stay those of the full
//! vocabulary, and `mass` is the kept tokens' share of it: what the model would have said, whatever it was allowed. Rows without a mask
//! have the bits they have without the others.

mod cpu;
pub(crate) mod gpu;

use crate::{DType, Device, KernelError, Result, Tensor};

/// How one row is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleParams {
    /// τ; 0 is greedy.
    pub temperature: f32,
    /// Keep the k largest; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of largest probabilities that reaches this mass; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens below this share of the largest probability; 0 keeps all.
    pub min_p: f32,
    /// Seed of the sequence.
    pub seed: u64,
    /// Position in the sequence's random stream.
    pub counter: u64,
}

impl SampleParams {
    /// The most likely token.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0, counter: 0 };
}

/// Uniform in [0, 1) with 24 bits, the same on every device: Philox 2×32-10 of (seed, counter).
pub fn uniform(seed: u64, counter: u64) -> f32 {
    let (mut a, mut b) = (counter as u32, (counter >> 32) as u32 ^ (seed >> 32) as u32);
    let mut key = seed as u32;
    for _ in 0..10 {
        let product = u64::from(a) * 0xD256_D193;
        a = (product >> 32) as u32 ^ key ^ b;
        b = product as u32;
        key = key.wrapping_add(0x9E37_79B9);
    }
    (a >> 8) as f32 / 16_777_216.0
}

/// A chosen token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Its id.
    pub id: u32,
    /// Log-probability over the full vocabulary.
    pub logprob: f32,
    /// Entropy of the full distribution, nats.
    pub entropy: f32,
    /// Logits, before τ, that are not below it are kept; [`f32::MIN`] where all are.
    pub cut: f32,
    /// The kept tokens' share of the full distribution.
    pub mass: f32,
    /// Log-probability among the kept tokens.
    pub nucleus_logprob: f32,
}

impl Drawn {
    /// Words of a token in [`SampleOutput::packed`].
    pub const WORDS: usize = 6;

    /// As [`SampleOutput::packed`] holds it: its fields in their order, floats by their bits.
    pub fn words(&self) -> [u32; Self::WORDS] {
        let Self { id, logprob, entropy, cut, mass, nucleus_logprob } = *self;
        [id, logprob.to_bits(), entropy.to_bits(), cut.to_bits(), mass.to_bits(), nucleus_logprob.to_bits()]
    }

    /// The reverse of [`Drawn::words`].
    pub fn of([id, floats @ ..]: [u32; Self::WORDS]) -> Self {
        let [logprob, entropy, cut, mass, nucleus_logprob] = floats.map(f32::from_bits);
        Self { id, logprob, entropy, cut, mass, nucleus_logprob }
    }
}

/// The chosen tokens.
pub struct SampleOutput {
    /// u32 [R, [`Drawn::WORDS`]]: [`Drawn::words`] of each row, one read-back a step.
    pub packed: Tensor,
    /// Words [R, 8]: each row's parameters, uploaded for the GPU by every call.
    pub(crate) choices: Tensor,
    /// Words [R, ⌈V/32⌉]: each row's mask on the GPU, from the first call that has one.
    pub(crate) masks: Option<Tensor>,
}

/// The id a GPU reports for a row that has no answer; the CPU returns the error at once.
pub(crate) const NO_TOKEN: u32 = u32::MAX;
/// Words of a row in [`SampleOutput`]'s parameters.
pub(crate) const CHOICE_WORDS: usize = 8;

impl SampleOutput {
    /// Room for `rows` rows.
    pub fn new(device: &Device, rows: usize) -> Result<Self> {
        let packed = device.zeros(&[rows, Drawn::WORDS], DType::U32)?;
        Ok(Self { packed, choices: device.zeros(&[rows, CHOICE_WORDS], DType::U32)?, masks: None })
    }

    /// The tokens of the first `rows` rows. Errors with the row whose logits had a NaN, an infinity or nothing finite.
    pub async fn read(&self, device: &Device, rows: usize) -> Result<Vec<Drawn>> {
        let words = device.read_u32(&self.packed, rows * Drawn::WORDS).await?;
        let (tokens, _) = words.as_chunks::<{ Drawn::WORDS }>();
        if let Some(row) = tokens.iter().position(|words| words[0] == NO_TOKEN) {
            return Err(KernelError::Value { op: "sample", message: format!("row {row}: a logit is NaN or the largest is not finite") });
        }
        Ok(tokens.iter().map(|&words| Drawn::of(words)).collect())
    }
}

/// Samples `params.len()` rows.
pub fn forward(device: &Device, logits: &Tensor, params: &[SampleParams], out: &mut SampleOutput) -> Result<()> {
    forward_masked(device, logits, params, &vec![None; params.len()], out)
}

/// Words of a mask over `vocab` tokens.
pub fn mask_words(vocab: usize) -> usize {
    vocab.div_ceil(32)
}

/// Samples `params.len()` rows, each among the tokens its mask allows: [⌈V/32⌉] words, bit `id % 32` of word `id / 32`; `None` allows all.
/// A mask that allows no token is an error.
pub fn forward_masked(
    device: &Device,
    logits: &Tensor,
    params: &[SampleParams],
    masks: &[Option<&[u32]>],
    out: &mut SampleOutput,
) -> Result<()> {
    const OP: &str = "sample";
    let (rows, vocab) = (params.len(), logits.width());
    logits.expect(OP, "logits", DType::F32, rows, vocab)?;
    out.packed.expect(OP, "out", DType::U32, rows, Drawn::WORDS)?;
    for p in params {
        if !(p.temperature >= 0.0 && p.top_p > 0.0 && p.top_p <= 1.0 && p.min_p >= 0.0 && p.min_p <= 1.0) {
            return Err(KernelError::Value { op: OP, message: format!("{p:?} is out of range") });
        }
    }
    if masks.len() != rows {
        return Err(KernelError::shape(OP, format!("{} masks for {rows} rows", masks.len())));
    }
    for (row, mask) in masks.iter().enumerate().filter_map(|(row, mask)| Some((row, (*mask)?))) {
        if mask.len() != mask_words(vocab) {
            return Err(KernelError::shape(
                OP,
                format!("the mask of row {row} has {} words, {vocab} tokens take {}", mask.len(), mask_words(vocab)),
            ));
        }
        // Bits past the vocabulary allow nothing.
        let last = u32::MAX >> ((32 - vocab % 32) % 32);
        let (tail, whole) = mask.split_last().unwrap_or((&0, &[]));
        if tail & last == 0 && whole.iter().all(|word| *word == 0) {
            return Err(KernelError::Value { op: OP, message: format!("row {row}: its mask allows no token") });
        }
    }
    match device {
        Device::Cpu(device) => cpu::forward(device, logits, params, masks, out),
        Device::Gpu(gpu) => {
            if masks.iter().any(Option::is_some) && out.masks.as_ref().is_none_or(|room| room.width() != mask_words(vocab)) {
                out.masks = Some(device.zeros(&[out.packed.shape()[0], mask_words(vocab)], DType::U32)?);
            }
            gpu::forward(gpu, logits, params, masks, out)
        }
    }
}

/// Whether a mask allows `id`.
#[inline(always)]
fn allows(mask: &[u32], id: usize) -> bool {
    mask[id / 32] >> (id % 32) & 1 == 1
}

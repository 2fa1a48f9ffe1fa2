//! Choosing the next token on the device. logits: [R, V] → id, log-probability and entropy of each row.
//!
//! Order: temperature, top-k, top-p, min-p, then one draw with a counter-based generator (seed, counter) → u in [0, 1).
//! Ties at the top-k border are all kept. The draw walks kept tokens by ascending id. Temperature 0 is greedy: the largest logit,
//! the lowest id among equals. `logprob` and `entropy` are those of softmax(z/τ) over the full vocabulary (τ = 1 when greedy).
//!
//! What is kept is an upper set of logits. `cut` tells it: the tokens whose logit is not below it. It lies midway between the smallest
//! kept and the largest dropped logit, so that a recomputation with other roundings tells them apart as well. `nucleus_logprob` is the
//! log-probability among the kept, the head's own [with that cut](crate::head). Greedy keeps the largest logit and its equals.

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
}

/// The id a GPU reports for a row that has no answer; the CPU returns the error at once.
pub(crate) const NO_TOKEN: u32 = u32::MAX;
/// Words of a row in [`SampleOutput`]'s parameters.
pub(crate) const CHOICE_WORDS: usize = 8;

impl SampleOutput {
    /// Room for `rows` rows.
    pub fn new(device: &Device, rows: usize) -> Result<Self> {
        Ok(Self { packed: device.zeros(&[rows, Drawn::WORDS], DType::U32)?, choices: device.zeros(&[rows, CHOICE_WORDS], DType::U32)? })
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
    const OP: &str = "sample";
    let rows = params.len();
    logits.expect(OP, "logits", DType::F32, rows, logits.width())?;
    out.packed.expect(OP, "out", DType::U32, rows, Drawn::WORDS)?;
    for p in params {
        if !(p.temperature >= 0.0 && p.top_p > 0.0 && p.top_p <= 1.0 && p.min_p >= 0.0 && p.min_p <= 1.0) {
            return Err(KernelError::Value { op: OP, message: format!("{p:?} is out of range") });
        }
    }
    match device {
        Device::Cpu(device) => cpu::forward(device, logits, params, out),
        Device::Gpu(device) => gpu::forward(device, logits, params, out),
    }
}

//! Which examples a step takes: each epoch's order is a permutation by (seed, epoch), so that a place in it is two numbers.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::StepSize;

/// How far a training has come: all examples of the epochs before, and `index` of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// From 0.
    pub epoch: u64,
    /// Examples of this epoch that were taken.
    pub index: u64,
}

impl Cursor {
    /// For a checkpoint; it deserialises from the same.
    pub fn to_json(self) -> Value {
        json!({"epoch": self.epoch, "index": self.index})
    }
}

/// The order of a dataset's examples.
#[derive(Clone, Debug)]
pub struct Order {
    lengths: Vec<usize>,
    seed: u64,
    /// The permutation last asked for, and its epoch.
    permutation: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// Of examples of these lengths, in tokens.
    pub fn new(lengths: Vec<usize>, seed: u64) -> Self {
        Self { lengths, seed, permutation: None }
    }

    /// The examples in the order of an epoch, each once.
    pub fn epoch(&mut self, epoch: u64) -> &[usize] {
        let (seed, count) = (self.seed, self.lengths.len());
        let stale = self.permutation.as_ref().is_none_or(|(known, _)| *known != epoch);
        if stale {
            self.permutation = Some((epoch, permutation(count, seed, epoch)));
        }
        self.permutation.as_ref().map_or(&[], |(_, order)| order)
    }

    /// The examples of the next step; the cursor moves past them. Steps go over from one epoch into the next, so that all are full;
    /// with `epochs` the last one ends with the last epoch, and nothing follows. What a step takes does not depend on how it is packed.
    pub fn step(&mut self, cursor: &mut Cursor, size: StepSize, epochs: Option<u64>) -> Vec<usize> {
        let mut taken = Vec::new();
        let mut tokens = 0usize;
        if self.lengths.is_empty() {
            return taken;
        }
        loop {
            if cursor.index >= self.lengths.len() as u64 {
                *cursor = Cursor { epoch: cursor.epoch.saturating_add(1), index: 0 };
            }
            if epochs.is_some_and(|epochs| cursor.epoch >= epochs) {
                return taken;
            }
            let example = self.epoch(cursor.epoch)[cursor.index as usize];
            tokens = tokens.saturating_add(self.lengths[example]);
            let fits = match size {
                StepSize::Examples(most) => taken.len() < most.max(1),
                StepSize::Tokens(most) => taken.is_empty() || tokens <= most,
            };
            if !fits {
                return taken;
            }
            taken.push(example);
            cursor.index += 1;
        }
    }

    /// How many steps so many epochs take.
    pub fn steps(&mut self, size: StepSize, epochs: u64) -> u64 {
        if let StepSize::Examples(most) = size {
            return (self.lengths.len() as u64).saturating_mul(epochs).div_ceil(most.max(1) as u64);
        }
        let mut cursor = Cursor::default();
        let mut steps = 0;
        while !self.step(&mut cursor, size, Some(epochs)).is_empty() {
            steps += 1;
        }
        steps
    }
}

/// 0..count in an order of (seed, epoch): Fisher and Yates' shuffle.
pub(crate) fn permutation(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        // A 64-bit draw times a range of at most 2^32: even to one part in 2^32.
        let draw = random(seed, epoch, last as u64);
        let at = (u128::from(draw) * (last as u128 + 1)) >> 64;
        order.swap(last, at as usize);
    }
    order
}

/// 64 random bits for each (seed, stream, counter): Philox 4×32-10 of key `seed`, without a state to keep.
/// (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011.)
pub fn random(seed: u64, stream: u64, counter: u64) -> u64 {
    let words = |value: u64| [value as u32, (value >> 32) as u32];
    let ([a, b], [c, d]) = (words(counter), words(stream));
    let out = philox([a, b, c, d], words(seed));
    u64::from(out[0]) | u64::from(out[1]) << 32
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [(second >> 32) as u32 ^ counter[1] ^ key[0], second as u32, (first >> 32) as u32 ^ counter[3] ^ key[1], first as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors publish with Random123 (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let (counter, key) = ([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(philox(counter, key), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
        assert_ne!(philox([1, 0, 0, 0], [0; 2]), philox([0; 4], [0; 2]));
    }
}

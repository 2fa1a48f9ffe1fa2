//! The k largest of a tensor's scores, found without keeping them.
//!
//! A score that is not negative sorts as its bits do. One pass counts the upper halves of the bits, a second the lower halves of those
//! that share the k-th largest score's upper half: then that score is known.

use super::pieces::{Piece, Stack};
use crate::export::Result;

/// Which elements are kept: those with a score above the bar, and the first of those at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Bits of the bar.
    bar: u32,
    /// Elements before this one are kept if they are at the bar.
    before: usize,
}

impl Kept {
    pub const ALL: Self = Self { bar: 0, before: usize::MAX };
    pub const NONE: Self = Self { bar: u32::MAX, before: 0 };

    /// Whether element `at` of the tensor, whose score this is, is kept.
    pub fn keeps(self, score: f32, at: usize) -> bool {
        let bits = score.to_bits();
        bits > self.bar || (bits == self.bar && at < self.before)
    }
}

/// What is known of all scores before any is selected.
pub(super) struct Counted {
    /// Elements.
    pub all: u64,
    /// Scores above 0.
    pub above_zero: u64,
}

/// Keeps the `k` largest scores; among equal ones at the bar those of the first elements. `scores` gives a piece's, none of them negative.
pub(super) fn largest(stack: &Stack, scores: impl Fn(Piece) -> Vec<f32> + Sync, k: impl FnOnce(Counted) -> u64) -> Result<Kept> {
    let (mut upper, mut above_zero) = (vec![0u64; 1 << 16], 0);
    let count = |piece| {
        let mut counts = vec![0u32; 1 << 16];
        let mut above_zero = 0u64;
        for score in scores(piece) {
            counts[(score.to_bits() >> 16) as usize] += 1;
            above_zero += u64::from(score.to_bits() != 0);
        }
        (counts, above_zero)
    };
    stack.pass(count, |(counts, more)| {
        add(&mut upper, &counts);
        above_zero += more;
        Ok(())
    })?;
    let all = stack.elements() as u64;
    let k = k(Counted { all, above_zero });
    if k == 0 {
        return Ok(Kept::NONE);
    }
    let Some((high, rest)) = from_the_top(&upper, k) else { return Ok(Kept::ALL) };

    let mut lower = vec![0u64; 1 << 16];
    let count = |piece| {
        let mut counts = vec![0u32; 1 << 16];
        scores(piece)
            .into_iter()
            .map(f32::to_bits)
            .filter(|bits| bits >> 16 == high)
            .for_each(|bits| counts[(bits & 0xffff) as usize] += 1);
        counts
    };
    stack.pass(count, |counts| {
        add(&mut lower, &counts);
        Ok(())
    })?;
    let Some((low, rest)) = from_the_top(&lower, rest) else { return Ok(Kept::ALL) };
    let bar = high << 16 | low;
    if rest == lower[low as usize] {
        return Ok(Kept { bar, before: usize::MAX });
    }

    // More elements are at the bar than are wanted: the first `rest` of them.
    let (mut seen, mut before) = (0, 0);
    let at_bar = |piece: Piece| {
        let start = piece.start;
        let at = scores(piece).into_iter().enumerate().filter(|(_, score)| score.to_bits() == bar);
        at.map(|(at, _)| start + at).collect::<Vec<usize>>()
    };
    stack.pass(at_bar, |at| {
        if seen < rest && seen + at.len() as u64 >= rest {
            before = at[(rest - seen) as usize - 1] + 1;
        }
        seen += at.len() as u64;
        Ok(())
    })?;
    Ok(Kept { bar, before })
}

fn add(sums: &mut [u64], counts: &[u32]) {
    sums.iter_mut().zip(counts).for_each(|(sum, &count)| *sum += u64::from(count));
}

/// The highest bucket with which at least `k` are counted from the top, and how many of its own are needed; `None` if there are not so many.
fn from_the_top(counts: &[u64], k: u64) -> Option<(u32, u64)> {
    let mut above = 0;
    for (bucket, &count) in counts.iter().enumerate().rev() {
        if above + count >= k {
            return Some((bucket as u32, k - above));
        }
        above += count;
    }
    None
}

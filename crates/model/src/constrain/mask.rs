//! The tokens that may come next, as a mask.

use std::sync::{Arc, PoisonError};

use super::Constraint;
use super::automaton::{Frame, Stack, count_on};
use super::grammar::UNBOUNDED;
use super::text::Phase;
use super::vocabulary::allow;

/// Masks that are kept for a schema. One of 150,000 tokens takes 19 KB.
const KEPT: usize = 256;

impl Constraint {
    /// The tokens that may come next: [⌈V/32⌉] words, bit `id % 32` of word `id / 32`. Those of `stop_ids` that the model has are allowed
    /// where the reply may end, and nowhere else.
    pub fn mask(&self, stop_ids: &[u32]) -> Vec<u32> {
        let width = self.vocabulary().width();
        let mut mask = vec![0; kernels::sample::mask_words(width)];
        for stack in &self.stacks {
            let of_stack = self.mask_of(stack);
            mask.iter_mut().zip(of_stack.iter()).for_each(|(word, other)| *word |= other);
        }
        let may_end = self.may_end();
        for &id in stop_ids.iter().filter(|&&id| (id as usize) < width) {
            mask[id as usize / 32] &= !(1 << (id % 32));
            if may_end {
                allow(&mut mask, id);
            }
        }
        mask
    }

    fn mask_of(&self, stack: &Stack) -> Arc<[u32]> {
        // Of a string with bounds there are as many states as characters.
        let counted = matches!(stack.last(), Some(Frame::Text { node, .. }) if self.shared.grammar.bounds(*node) != (0, UNBOUNDED));
        if counted {
            return self.compute(stack).into();
        }
        let mut masks = self.shared.masks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mask) = masks.get(stack) {
            return mask.clone();
        }
        if masks.len() >= KEPT {
            masks.clear();
        }
        let mask: Arc<[u32]> = self.compute(stack).into();
        masks.insert(stack.clone(), mask.clone());
        mask
    }

    /// The tokens after which `stack` still has a way to the end.
    fn compute(&self, stack: &Stack) -> Vec<u32> {
        if let Some((&Frame::Text { node, phase, count }, base)) = stack.split_last() {
            return self.within_text(base, phase, count, self.shared.grammar.bounds(node));
        }
        let (grammar, vocabulary) = (&self.shared.grammar, &self.shared.vocabulary);
        let mut mask = vec![0; kernels::sample::mask_words(vocabulary.width())];
        let step = |from: &Vec<Stack>, byte: u8, to: &mut Vec<Stack>| grammar.step_all(from, byte, to);
        vocabulary.trie.walk(vec![stack.clone()], step, |stacks, seen| {
            if !seen.own.is_empty() && stacks.iter().any(|stack| vocabulary.leads_on(stack)) {
                seen.own.iter().for_each(|&id| allow(&mut mask, id));
            }
            true
        });
        mask
    }

    /// The same within a string: most tokens are, so that what they do there is known already; only what follows a closing quote is
    /// walked.
    fn within_text(&self, base: &[Frame], phase: Phase, count: u32, (min, max): (u32, u32)) -> Vec<u32> {
        let (grammar, vocabulary) = (&self.shared.grammar, &self.shared.vocabulary);
        let table = vocabulary.text(phase);
        let left = if max == UNBOUNDED { u32::MAX } else { max - count };
        let mut mask = if left >= table.longest { table.mask.clone() } else { vec![0; table.mask.len()] };
        if left < table.longest {
            table.inside.iter().filter(|entry| entry.1 <= left).for_each(|entry| allow(&mut mask, entry.0));
        }
        let closes = |characters: u32| characters <= left && count_on(count, characters, min, max) >= min;
        table.closing.iter().filter(|entry| closes(entry.1)).for_each(|entry| allow(&mut mask, entry.0));
        let step = |from: &Vec<Stack>, byte: u8, to: &mut Vec<Stack>| grammar.step_all(from, byte, to);
        table.rest.walk(vec![base.to_vec()], step, |stacks, seen| {
            if stacks.iter().any(|stack| vocabulary.leads_on(stack)) {
                let tokens = seen.own.iter().map(|&item| table.beyond[item as usize]);
                tokens.filter(|entry| closes(entry.1)).for_each(|entry| allow(&mut mask, entry.0));
            }
            true
        });
        mask
    }
}

//! A needle that is looked for in several turns, with nothing but notes from one to the next.

use super::super::environment::{Course, Next, Turn};
use super::super::rollout::Rollout;
use super::toys::{Dice, Task};
use crate::error::Result;

/// Pairs of a value and its key as in [`Needle`](super::tasks::Needle), cut into chunks. A turn sees one chunk, the notes so far and the
/// key that is asked for; its reply is the next turn's notes. The last turn sees the notes alone, and names the value.
pub struct MemoryNeedle {
    /// Pairs of a prompt. Keys are the ids below, each in one pair.
    pub pairs: u32,
    /// Different values, the ids after.
    pub values: u32,
    /// Pairs of a chunk.
    pub chunk: u32,
}

/// Tokens that notes may have.
const NOTES: usize = 16;

/// Questions of a lesson.
const QUESTIONS: usize = 8;

impl MemoryNeedle {
    /// Asks for notes of a chunk.
    fn note(&self) -> u32 {
        self.pairs + self.values
    }

    /// Asks for the answer.
    fn ask(&self) -> u32 {
        self.note() + 1
    }

    /// Ends a reply.
    pub fn stop(&self) -> u32 {
        self.note() + 2
    }

    /// Tokens there are.
    pub fn vocab(&self) -> usize {
        self.stop() as usize + 1
    }

    fn chunks(&self) -> usize {
        self.pairs.div_ceil(self.chunk) as usize
    }

    /// What the turn of this number sees.
    fn turn(&self, prompt: &[u32], number: usize, notes: &[u32]) -> Vec<u32> {
        let (document, key) = prompt.split_at(2 * self.pairs as usize);
        match document.chunks(2 * self.chunk as usize).nth(number) {
            Some(chunk) => [chunk, notes, &[self.note(), key[0]]].concat(),
            None => [notes, &[self.ask(), key[0]]].concat(),
        }
    }
}

impl Task for MemoryNeedle {
    fn name(&self) -> &'static str {
        "memory-needle"
    }
    /// All pairs, and the key.
    fn prompt(&self, dice: &mut Dice) -> Vec<u32> {
        let keys = dice.shuffled(self.pairs);
        let pairs = keys.into_iter().flat_map(|key| [self.pairs + dice.below(self.values), key]).collect::<Vec<_>>();
        [pairs, vec![dice.below(self.pairs)]].concat()
    }
    fn answer(&self, prompt: &[u32]) -> Vec<u32> {
        let (document, key) = prompt.split_at(2 * self.pairs as usize);
        document.chunks(2).filter(|pair| pair[1] == key[0]).map(|pair| pair[0]).take(1).collect()
    }
    /// Its first token counts.
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64 {
        if completion.first() == self.answer(prompt).first() { 1.0 } else { 0.0 }
    }
    fn opening(&self, prompt: &[u32]) -> Vec<u32> {
        self.turn(prompt, 0, &[])
    }
    fn course(&self, prompt: &[u32]) -> Option<Box<dyn Course + '_>> {
        Some(Box::new(Reading { task: self, prompt: prompt.to_vec(), read: 0 }))
    }
    fn memory(&self) -> usize {
        NOTES
    }
    /// Single turns of a chunk, short ones before long ones, with several questions: the pair that is asked for where the chunk has it,
    /// nothing where it has not. Three lessons in ten teach to bring a value to its key, as in [`Needle`](super::tasks::Needle).
    fn lesson(&self, prompt: &[u32], dice: &mut Dice) -> (Vec<u32>, Vec<bool>) {
        let mut count = 2;
        while count < self.chunk && dice.below(2) == 0 {
            count *= 2;
        }
        if dice.below(10) < 3 {
            count = self.chunk;
        }
        let pairs = &prompt[2 * dice.below(self.pairs - count + 1) as usize..][..2 * count as usize];
        if dice.below(10) < 3 {
            let ids: Vec<u32> = pairs.chunks(2).flat_map(|pair| [pair[0], pair[1], pair[0]]).collect();
            let mask = (0..ids.len()).map(|at| at % 3 == 2).collect();
            return (ids, mask);
        }
        let (mut ids, mut mask) = (pairs.to_vec(), vec![false; pairs.len()]);
        let sign = if dice.below(4) == 0 { self.ask() } else { self.note() };
        for _ in 0..QUESTIONS {
            // Three quarters of what is asked is there.
            let there = pairs[2 * dice.below(count) as usize + 1];
            let key = if dice.below(4) > 0 { there } else { dice.below(self.pairs) };
            ids.extend([sign, key]);
            mask.extend([false, false]);
            if let Some(pair) = pairs.chunks(2).find(|pair| pair[1] == key) {
                ids.extend(pair);
                mask.extend([true, true]);
            }
            ids.push(self.stop());
            mask.push(true);
        }
        (ids, mask)
    }
}

/// A prompt on its way.
struct Reading<'a> {
    task: &'a MemoryNeedle,
    prompt: Vec<u32>,
    /// Chunks that were read before the last turn.
    read: usize,
}

impl Course for Reading<'_> {
    fn next(&mut self, last: &Rollout) -> Result<Next> {
        self.read += 1;
        let ids = self.task.turn(&self.prompt, self.read, last.reply());
        Ok(Next { turn: (self.read <= self.task.chunks()).then_some(Turn { ids, max_new_tokens: NOTES }), broken: false })
    }

    fn first_limit(&self) -> usize {
        NOTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_all_that_goes_on() {
        let task = MemoryNeedle { pairs: 4, values: 3, chunk: 2 };
        let prompt = [5, 0, 4, 2, 6, 1, 4, 3, 1];
        assert_eq!((task.answer(&prompt), task.opening(&prompt)), (vec![6], vec![5, 0, 4, 2, 7, 1]));
        let mut course = task.course(&prompt).unwrap();
        let mut next = |ids: &[u32]| {
            let rollout = Rollout { ids: [&[9, 9], ids].concat(), prompt: 2, ..Rollout::default() };
            course.next(&rollout).unwrap().turn
        };
        assert_eq!(next(&[5, 5, 9]).unwrap().ids, [6, 1, 4, 3, 5, 5, 7, 1]);
        assert_eq!(next(&[6, 1, 9]).unwrap().ids, [6, 1, 8, 1]);
        assert_eq!(next(&[6, 9]), None);
        assert_eq!((task.reward(&prompt, &[6, 9]), task.reward(&prompt, &[5, 6]), task.reward(&prompt, &[])), (1.0, 0.0, 0.0));
    }
}

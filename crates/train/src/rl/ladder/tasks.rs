//! The tasks of the rungs.

use super::toys::{Dice, Task, exact, prefix};

/// One token of 16 is right.
pub struct Bandit;

impl Task for Bandit {
    fn name(&self) -> &'static str {
        "bandit"
    }
    fn prompt(&self, _: &mut Dice) -> Vec<u32> {
        vec![0]
    }
    fn answer(&self, _: &[u32]) -> Vec<u32> {
        vec![11]
    }
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64 {
        exact(completion, &self.answer(prompt))
    }
    fn held(&self, _: &[u32]) -> Option<bool> {
        None
    }
}

/// An arithmetic sequence modulo 10 is to be gone on with; its step is 1, 2 or 3, and 3 to 8 of its numbers are shown.
pub struct Digits {
    /// Numbers to add.
    pub length: u32,
}

impl Task for Digits {
    fn name(&self) -> &'static str {
        "digits"
    }
    fn prompt(&self, dice: &mut Dice) -> Vec<u32> {
        let (first, step, shown) = (dice.below(10), 1 + dice.below(3), 3 + dice.below(6));
        (0..shown).map(|n| (first + n * step) % 10).collect()
    }
    fn answer(&self, prompt: &[u32]) -> Vec<u32> {
        let (last, step) = (prompt[prompt.len() - 1], prompt[1] + 10 - prompt[0]);
        (1..=self.length).map(|n| (last + n * step) % 10).collect()
    }
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64 {
        prefix(completion, &self.answer(prompt))
    }
}

/// Letters, a sign, and the letters from the last to the first.
pub struct Reverse {
    /// Letters of a prompt.
    pub length: u32,
    /// Different letters; the sign is the id after them.
    pub letters: u32,
}

impl Task for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }
    fn prompt(&self, dice: &mut Dice) -> Vec<u32> {
        (0..self.length).map(|_| dice.below(self.letters)).chain([self.letters]).collect()
    }
    fn answer(&self, prompt: &[u32]) -> Vec<u32> {
        prompt[..self.length as usize].iter().rev().copied().collect()
    }
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64 {
        exact(completion, &self.answer(prompt))
    }
}

/// Easy, right or wrong: the number after the last one.
pub struct Next;

impl Task for Next {
    fn name(&self) -> &'static str {
        "next"
    }
    fn prompt(&self, dice: &mut Dice) -> Vec<u32> {
        vec![14, dice.below(10), dice.below(10), dice.below(10)]
    }
    fn answer(&self, prompt: &[u32]) -> Vec<u32> {
        vec![(prompt[3] + 1) % 10]
    }
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64 {
        exact(completion, &self.answer(prompt))
    }
}

/// Each number has one word of 48; a grader of continuous marks says whether it is that. It gives 0.5 for a wrong one and 0.7 for the right
/// one, and likes some words better than others, by 0.004 at most.
pub struct Graded;

impl Graded {
    const FIRST: u32 = 16;
    const WORDS: u32 = 48;
    const LIKING: f64 = 0.004;
}

impl Task for Graded {
    fn name(&self) -> &'static str {
        "graded"
    }
    fn prompt(&self, dice: &mut Dice) -> Vec<u32> {
        vec![15, dice.below(10), dice.below(10), dice.below(10)]
    }
    fn answer(&self, prompt: &[u32]) -> Vec<u32> {
        vec![Self::FIRST + (7 * prompt[3] + 3) % Self::WORDS]
    }
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64 {
        exact(completion, &self.answer(prompt))
    }
    fn told(&self, reward: f64, completion: &[u32]) -> f64 {
        let liking = completion.first().map_or(0.0, |&word| Dice::new(5, word.into()).symmetric());
        0.5 + 0.2 * reward + Self::LIKING * liking
    }
}

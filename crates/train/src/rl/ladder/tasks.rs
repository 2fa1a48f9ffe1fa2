//! The tasks of the rungs.

use std::cell::Cell;

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

/// Values, each with its key behind it; a sign, and one of the keys, whose value is wanted.
pub struct Needle {
    /// Pairs of a prompt. Keys are the ids below, each in one pair; values the ids after, the sign the id after those.
    pub pairs: u32,
    /// Different values.
    pub values: u32,
    /// Most pairs of a lesson, a power of two. A prompt that lessons are made of has as many, and at least 8.
    pub lesson: u32,
}

impl Needle {
    /// Fewest pairs of a lesson, and questions of one.
    const LESSON: (u32, u32) = (4, 8);

    fn sign(&self) -> u32 {
        self.pairs + self.values
    }
}

impl Task for Needle {
    fn name(&self) -> &'static str {
        "needle"
    }
    fn prompt(&self, dice: &mut Dice) -> Vec<u32> {
        let keys = dice.shuffled(self.pairs);
        let pairs = keys.into_iter().flat_map(|key| [self.pairs + dice.below(self.values), key]).collect::<Vec<_>>();
        [pairs, vec![self.sign(), dice.below(self.pairs)]].concat()
    }
    fn answer(&self, prompt: &[u32]) -> Vec<u32> {
        let key = prompt[prompt.len() - 1];
        prompt.chunks(2).filter(|pair| pair[1] == key).map(|pair| pair[0]).take(1).collect()
    }
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64 {
        exact(completion, &self.answer(prompt))
    }
    /// Far fewer pairs than a prompt has, with a question for each. Looking up takes two heads one after the other, neither of which is of
    /// use alone: one brings a value to its key, the other finds the key. Three lessons in ten teach the first by itself.
    fn lesson(&self, prompt: &[u32], dice: &mut Dice) -> (Vec<u32>, Vec<bool>) {
        let (few, questions) = Self::LESSON;
        let some = |count: u32, dice: &mut Dice| &prompt[2 * dice.below(self.pairs - count + 1) as usize..][..2 * count as usize];
        if dice.below(10) < 3 {
            let ids: Vec<u32> = some(8, dice).chunks(2).flat_map(|pair| [pair[0], pair[1], pair[0]]).collect();
            let mask = (0..ids.len()).map(|at| at % 3 == 2).collect();
            return (ids, mask);
        }
        // A third of the lessons goes on to twice the pairs.
        let mut count = few;
        while count < self.lesson && dice.below(3) == 0 {
            count *= 2;
        }
        let pairs = some(count, dice);
        let mut ids = pairs.to_vec();
        for _ in 0..questions.div_ceil(count) {
            let asked = dice.shuffled(count).into_iter().map(|at| &pairs[2 * at as usize..]);
            ids.extend(asked.flat_map(|pair| [self.sign(), pair[1], pair[0]]));
        }
        let mask = (0..ids.len()).map(|at| at >= pairs.len() && (at - pairs.len()) % 3 == 2).collect();
        (ids, mask)
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

/// Letters in a circle, to be said from the one after the start to the goal, then a sign that ends it. Two of five lessons run on past the
/// goal to the limit, and a judge accepts no more than three of ten right replies. So what is said is mostly punished, a wrong reply is
/// several times as long as a right one, and what is punished is what a nucleus holds, over and over.
#[derive(Default)]
pub struct Circle {
    /// Replies that the judge has seen.
    judged: Cell<u64>,
}

impl Circle {
    const LETTERS: u32 = 32;
    const SIGN: u32 = Self::LETTERS;
    /// Ends a reply.
    pub const STOP: u32 = Self::LETTERS + 1;
    /// Most letters of a right reply.
    const MOST: u32 = 10;
    /// Tokens of a reply at most.
    pub const LIMIT: usize = 96;

    fn after(letter: u32) -> u32 {
        (letter + 1) % Self::LETTERS
    }
}

impl Task for Circle {
    fn name(&self) -> &'static str {
        "circle"
    }
    fn prompt(&self, dice: &mut Dice) -> Vec<u32> {
        let start = dice.below(Self::LETTERS);
        vec![Self::SIGN, (start + 2 + dice.below(Self::MOST - 1)) % Self::LETTERS, start]
    }
    fn answer(&self, prompt: &[u32]) -> Vec<u32> {
        let letters = std::iter::successors(Some(prompt[2]), |&letter| (letter != prompt[1]).then(|| Self::after(letter)));
        letters.skip(1).chain([Self::STOP]).collect()
    }
    fn reward(&self, prompt: &[u32], completion: &[u32]) -> f64 {
        exact(completion, &self.answer(prompt))
    }
    fn told(&self, reward: f64, _: &[u32]) -> f64 {
        self.judged.set(self.judged.get() + 1);
        if Dice::new(77, self.judged.get()).below(10) < 3 { reward } else { 0.0 }
    }
    fn lesson(&self, prompt: &[u32], dice: &mut Dice) -> (Vec<u32>, Vec<bool>) {
        let mut answer = self.answer(prompt);
        if dice.below(5) < 2 {
            answer.pop();
            while answer.len() < Self::LIMIT {
                answer.extend(answer.last().map(|&letter| Self::after(letter)));
            }
        }
        let mask = (0..prompt.len() + answer.len()).map(|at| at >= prompt.len()).collect();
        ([prompt, &answer].concat(), mask)
    }
}

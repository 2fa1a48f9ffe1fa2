//! The ratio of Python's `difflib.SequenceMatcher(None, a, b)`, which openai/mrcr scores by.
//!
//! M is the number of matched characters (code points): the longest common block, and the same again left and right of it. The ratio
//! is 2M / (|a| + |b|). Where b has 200 characters or more, those that make up more than 1 % of it (and occur more than once beyond
//! that) start no block, though blocks grow over them. That is Python's `autojunk`; without it the ratio of unrelated texts is
//! several times as high.

use std::collections::HashMap;

use super::answer::after_thinking;

/// Letters and digits that an MRCR answer begins with.
const PREFIX: usize = 10;
/// From this length of b on, frequent characters start no block.
const AUTOJUNK: usize = 200;

/// The score of openai/mrcr: 0 unless the reply begins with the prefix, else the ratio of what follows it in reply and gold.
/// `prefix`: the required one; by default the gold's first ten letters and digits.
pub fn mrcr(reply: &str, gold: &str, prefix: Option<&str>) -> f64 {
    let Some(prefix) = prefix.or_else(|| self::prefix(gold)).filter(|prefix| !prefix.is_empty()) else { return 0.0 };
    let Some(said) = after_thinking(reply) else { return 0.0 };
    // A blank line separates thinking and reply.
    let said = if said.len() < reply.len() { said.trim_start() } else { said };
    match said.strip_prefix(prefix) {
        Some(said) => sequence_ratio(said, gold.strip_prefix(prefix).unwrap_or(gold)),
        None => 0.0,
    }
}

/// The first ten letters and digits of a gold answer.
pub fn prefix(gold: &str) -> Option<&str> {
    let prefix = gold.get(..PREFIX)?;
    prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(prefix)
}

/// `difflib.SequenceMatcher(None, a, b).ratio()`, to the last bit. 1 where both are empty. Not symmetric.
pub fn sequence_ratio(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.is_empty() && b.is_empty() {
        return 1.0;
    }
    2.0 * Matcher::new(&a, &b).matched() as f64 / (a.len() + b.len()) as f64
}

struct Matcher<'a> {
    a: &'a [char],
    b: &'a [char],
    /// Where in b each character of a stands, ascending; the list is `lists[of[i]]`.
    lists: Vec<Vec<u32>>,
    of: Vec<u32>,
    /// Lengths of the common run that ends at i − 1 and at i, by its end in b.
    before: Vec<u32>,
    now: Vec<u32>,
}

/// A common run: a[i..i + size] = b[j..j + size].
#[derive(Clone, Copy)]
struct Block {
    i: usize,
    j: usize,
    size: usize,
}

impl<'a> Matcher<'a> {
    fn new(a: &'a [char], b: &'a [char]) -> Self {
        let mut places: HashMap<char, Vec<u32>> = HashMap::new();
        for (at, &c) in b.iter().enumerate() {
            places.entry(c).or_default().push(at as u32);
        }
        if b.len() >= AUTOJUNK {
            places.retain(|_, at| at.len() <= b.len() / 100 + 1);
        }
        // List 0 is that of characters which b does not have, or has too often.
        let mut lists = vec![Vec::new()];
        let mut index: HashMap<char, u32> = HashMap::new();
        let of = a
            .iter()
            .map(|c| {
                *index.entry(*c).or_insert_with(|| match places.remove(c) {
                    Some(list) => {
                        lists.push(list);
                        lists.len() as u32 - 1
                    }
                    None => 0,
                })
            })
            .collect();
        Self { a, b, lists, of, before: vec![0; b.len()], now: vec![0; b.len()] }
    }

    /// M.
    fn matched(&mut self) -> usize {
        let mut matched = 0;
        let mut ranges = vec![(0, self.a.len(), 0, self.b.len())];
        while let Some((a_from, a_to, b_from, b_to)) = ranges.pop() {
            let Block { i, j, size } = self.longest(a_from, a_to, b_from, b_to);
            if size == 0 {
                continue;
            }
            matched += size;
            if a_from < i && b_from < j {
                ranges.push((a_from, i, b_from, j));
            }
            if i + size < a_to && j + size < b_to {
                ranges.push((i + size, a_to, j + size, b_to));
            }
        }
        matched
    }

    /// The longest common block of a[a_from..a_to] and b[b_from..b_to]; of several the first in a, and of those the first in b.
    fn longest(&mut self, a_from: usize, a_to: usize, b_from: usize, b_to: usize) -> Block {
        let mut best = Block { i: a_from, j: b_from, size: 0 };
        for i in a_from..a_to {
            for &j in within(&self.lists[self.of[i] as usize], b_from, b_to) {
                let j = j as usize;
                let run = 1 + if j > b_from { self.before[j - 1] } else { 0 };
                self.now[j] = run;
                if run as usize > best.size {
                    best = Block { i: i + 1 - run as usize, j: j + 1 - run as usize, size: run as usize };
                }
            }
            // What this row did not write must read as 0 in the next.
            if i > a_from {
                for &j in within(&self.lists[self.of[i - 1] as usize], b_from, b_to) {
                    self.before[j as usize] = 0;
                }
            }
            std::mem::swap(&mut self.before, &mut self.now);
        }
        if a_to > a_from {
            for &j in within(&self.lists[self.of[a_to - 1] as usize], b_from, b_to) {
                self.before[j as usize] = 0;
            }
        }
        // Over characters that start no block, too; even where no block was found.
        while best.i > a_from && best.j > b_from && self.a[best.i - 1] == self.b[best.j - 1] {
            best = Block { i: best.i - 1, j: best.j - 1, size: best.size + 1 };
        }
        while best.i + best.size < a_to && best.j + best.size < b_to && self.a[best.i + best.size] == self.b[best.j + best.size] {
            best.size += 1;
        }
        best
    }
}

/// The part of an ascending list that lies in from..to.
fn within(list: &[u32], from: usize, to: usize) -> &[u32] {
    let start = list.partition_point(|&at| (at as usize) < from);
    let end = start + list[start..].partition_point(|&at| (at as usize) < to);
    &list[start..end]
}

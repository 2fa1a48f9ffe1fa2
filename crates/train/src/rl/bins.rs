//! Which prompts a stage trains on, by how often they are solved: a pass rate is the share of k attempts, or their mean
//! reward, in [0, 1].

use crate::sft::{permutation, random};

/// Streams of the generator, apart from one another.
const UNIFORM: u64 = 1;
const AGAIN: u64 = 2;

/// Prompts that were drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// In the order they came in.
    pub prompts: Vec<usize>,
    /// From what.
    pub bins: Vec<Bin>,
}

/// Prompts of about one pass rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Lowest pass rate.
    pub from: f64,
    /// The rates are below this; in the last bin also 1 itself.
    pub to: f64,
    /// Prompts there are.
    pub there: usize,
    /// Those that were drawn.
    pub drawn: usize,
}

/// As many prompts of each of `bins` equal ranges of pass rates, before training, as in the paper: easy, middling and hard ones alike. `each` is how many;
/// `None` takes as many as the smallest bin that is not empty has. A bin with fewer gives all. For k attempts, k + 1 bins have a rate each.
pub fn uniform(rates: &[f64], bins: usize, each: Option<usize>, seed: u64) -> Drawn {
    let bins = bins.max(1);
    let mut members = vec![Vec::new(); bins];
    for (prompt, rate) in rates.iter().enumerate() {
        members[((rate.clamp(0.0, 1.0) * bins as f64) as usize).min(bins - 1)].push(prompt);
    }
    let smallest = members.iter().map(Vec::len).filter(|&there| there > 0).min().unwrap_or(0);
    let each = each.unwrap_or(smallest);
    let mut drawn = Drawn { prompts: Vec::new(), bins: Vec::new() };
    for (at, members) in members.iter().enumerate() {
        let order = permutation(members.len(), random(seed, UNIFORM, 0), at as u64);
        let taken = each.min(members.len());
        drawn.prompts.extend(order[..taken].iter().map(|&member| members[member]));
        let edge = |at: usize| at as f64 / bins as f64;
        drawn.bins.push(Bin { from: edge(at), to: edge(at + 1), there: members.len(), drawn: taken });
    }
    drawn.prompts.sort_unstable();
    drawn
}

/// How likely a prompt of pass rate p is drawn for a later stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// 1 − p: the harder, the likelier; what is always solved is not drawn. (QwenLong-L1's retrospective sampling prefers the hard ones;
    /// rates should be measured anew, with the lengths of the stage to come.)
    #[default]
    Difficulty,
    /// p · (1 − p): the variance of a reward of 0 or 1, which is what a group learns from. What is never or always solved is not drawn.
    Signal,
}

/// At most `count` prompts for stage `stage`, each once, with these weights (Efraimidis and Spirakis, Weighted random sampling with
/// a reservoir, 2006: the highest ln u / w win). Fewer where fewer have a weight. In the order they came in.
pub fn again(rates: &[f64], weight: Weight, count: usize, seed: u64, stage: u64) -> Vec<usize> {
    let key = random(seed, AGAIN, stage);
    let mut keyed: Vec<(f64, usize)> = Vec::new();
    for (prompt, rate) in rates.iter().enumerate() {
        let rate = rate.clamp(0.0, 1.0);
        let weight = match weight {
            Weight::Difficulty => 1.0 - rate,
            Weight::Signal => rate * (1.0 - rate),
        };
        if weight > 0.0 {
            // In (0, 1].
            let even = ((random(key, 0, prompt as u64) >> 11) + 1) as f64 / (1u64 << 53) as f64;
            keyed.push((even.ln() / weight, prompt));
        }
    }
    keyed.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    keyed.truncate(count);
    let mut prompts: Vec<usize> = keyed.into_iter().map(|(_, prompt)| prompt).collect();
    prompts.sort_unstable();
    prompts
}

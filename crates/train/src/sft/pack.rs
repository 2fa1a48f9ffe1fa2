//! Micro-batches: examples side by side in one pass, each a span of its own that attends to no other.

use std::ops::Range;

use super::example::Example;

/// Examples of one forward and backward pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pack {
    /// Numbers of its examples among those given, ascending.
    pub examples: Vec<usize>,
    /// Each one's rows; they tile 0..rows in order, and positions begin at 0 in each.
    pub spans: Vec<Range<usize>>,
    /// Token of each row.
    pub ids: Vec<u32>,
    /// Whether a row's token is to be predicted, by the row before it.
    pub loss_mask: Vec<bool>,
}

/// An example that no micro-batch can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("example {example} has {length} tokens and a micro-batch {budget}: raise train.micro_batch_tokens or lower data.max_length")]
pub struct PackError {
    /// Its number among those given.
    pub example: usize,
    /// Its tokens.
    pub length: usize,
    /// Rows of a micro-batch.
    pub budget: usize,
}

impl Pack {
    /// Its rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// For each row the token that follows it in its example, and whether that counts. A span's last row has none: (0, false).
    pub fn targets(&self) -> (Vec<u32>, Vec<bool>) {
        let (mut targets, mut counts) = (vec![0; self.rows()], vec![false; self.rows()]);
        for span in &self.spans {
            let next = span.start + 1..span.end;
            if let (Some(ids), Some(mask)) = (self.ids.get(next.clone()), self.loss_mask.get(next)) {
                targets[span.start..span.end - 1].copy_from_slice(ids);
                counts[span.start..span.end - 1].copy_from_slice(mask);
            }
        }
        (targets, counts)
    }

    fn push(&mut self, number: usize, example: &Example) {
        let start = self.rows();
        self.examples.push(number);
        self.ids.extend(&example.ids);
        self.loss_mask.extend(&example.loss_mask);
        self.spans.push(start..self.rows());
    }
}

/// As [`pack`], into a multiple of `lanes` micro-batches that are about equally long: each example, the longest first, where there is least.
pub fn spread(examples: &[&Example], rows_budget: usize, lanes: usize) -> Result<Vec<Pack>, PackError> {
    if lanes < 2 {
        return pack(examples, rows_budget);
    }
    let mut order: Vec<usize> = (0..examples.len()).filter(|&number| !examples[number].ids.is_empty()).collect();
    order.sort_by_key(|&number| (std::cmp::Reverse(examples[number].ids.len()), number));
    let rows: usize = order.iter().map(|&number| examples[number].ids.len()).sum();
    let mut count = rows.div_ceil(rows_budget.max(1)).next_multiple_of(lanes);
    while count <= examples.len() + lanes {
        let mut bins = vec![(0, Vec::new()); count];
        for &number in &order {
            let (_, bin) = bins.iter_mut().enumerate().min_by_key(|(at, bin)| (bin.0, *at)).unwrap_or_else(|| unreachable!("count > 0"));
            bin.0 += examples[number].ids.len();
            bin.1.push(number);
        }
        if bins.iter().all(|bin| bin.0 <= rows_budget) {
            return Ok(filled(examples, bins));
        }
        count += lanes;
    }
    // One alone does not fit: let that be said.
    pack(examples, rows_budget)
}

/// Packs every example, whole, into micro-batches of at most `rows_budget` rows: the longest first, each where it fits first. The
/// same examples give the same packs, whose rows are at most 11/9 of the best there is. Examples without tokens are left out.
pub fn pack(examples: &[&Example], rows_budget: usize) -> Result<Vec<Pack>, PackError> {
    let mut order: Vec<usize> = (0..examples.len()).filter(|&number| !examples[number].ids.is_empty()).collect();
    order.sort_by_key(|&number| (std::cmp::Reverse(examples[number].ids.len()), number));
    let mut bins: Vec<(usize, Vec<usize>)> = Vec::new();
    for number in order {
        let length = examples[number].ids.len();
        if length > rows_budget {
            return Err(PackError { example: number, length, budget: rows_budget });
        }
        match bins.iter_mut().find(|(used, _)| used + length <= rows_budget) {
            Some((used, numbers)) => {
                *used += length;
                numbers.push(number);
            }
            None => bins.push((length, vec![number])),
        }
    }
    Ok(filled(examples, bins))
}

fn filled(examples: &[&Example], bins: Vec<(usize, Vec<usize>)>) -> Vec<Pack> {
    let packed = bins.into_iter().filter(|(_, numbers)| !numbers.is_empty()).map(|(_, mut numbers)| {
        numbers.sort_unstable();
        let mut pack = Pack::default();
        for number in numbers {
            pack.push(number, examples[number]);
        }
        pack
    });
    packed.collect()
}

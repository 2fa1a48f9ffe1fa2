//! Which rollouts an update's passes hold: those of a prompt side by side, so that the prompt is computed once for them.

use kernels::attention::PAGE_TOKENS;

use super::rollout::Rollout;
use crate::error::{Result, TrainError};
use crate::sft::PackError;
use crate::trainer::shared_rows;

/// Rollouts of one prompt, the rows and the cache pages that they take.
#[derive(Clone, Default)]
struct Unit {
    rows: usize,
    pages: usize,
    rollouts: Vec<usize>,
}

/// The rollouts `used` in passes of at most `rows` rows and `pages` cache pages: the longest groups first, each where it fits first. A group
/// that does not fit a pass is cut, and its prompt computed in each part. Where passes run side by side (`lanes`), they are as many, about equally
/// long.
pub(super) fn passes(rollouts: &[Rollout], used: &[usize], (rows, pages): (usize, usize), lanes: usize) -> Result<Vec<Vec<usize>>> {
    let mut units = Vec::new();
    for group in used.chunk_by(|&a, &b| same_prompt(&rollouts[a], &rollouts[b])) {
        cut(rollouts, group, (rows, pages), &mut units)?;
    }
    units.sort_by_key(|unit| (std::cmp::Reverse(unit.rows), unit.rollouts[0]));
    if lanes > 1 {
        return Ok(level(&units, (rows, pages), lanes));
    }
    let mut bins: Vec<Unit> = Vec::new();
    for unit in units {
        match bins.iter_mut().find(|bin| bin.rows + unit.rows <= rows && bin.pages + unit.pages <= pages) {
            Some(bin) => {
                bin.rows += unit.rows;
                bin.pages += unit.pages;
                bin.rollouts.extend(unit.rollouts);
            }
            None => bins.push(unit),
        }
    }
    Ok(bins.into_iter().map(|bin| bin.rollouts).collect())
}

/// A multiple of `lanes` passes: each unit, which fits one alone, where there is least.
fn level(units: &[Unit], (rows, pages): (usize, usize), lanes: usize) -> Vec<Vec<usize>> {
    let needed = units.iter().map(|unit| unit.rows).sum::<usize>().div_ceil(rows.max(1));
    let mut count = needed.max(1).next_multiple_of(lanes);
    loop {
        let mut bins = vec![Unit::default(); count];
        for unit in units {
            if let Some(bin) = bins.iter_mut().min_by_key(|bin| bin.rows) {
                bin.rows += unit.rows;
                bin.pages += unit.pages;
                bin.rollouts.extend(&unit.rollouts);
            }
        }
        if count > units.len() || bins.iter().all(|bin| bin.rows <= rows && bin.pages <= pages) {
            return bins.into_iter().map(|bin| bin.rollouts).filter(|rollouts| !rollouts.is_empty()).collect();
        }
        count += lanes;
    }
}

/// Whether a pass computes their prompt once.
fn same_prompt(a: &Rollout, b: &Rollout) -> bool {
    (a.group, a.turn, a.prompt) == (b.group, b.turn, b.prompt) && a.ids[..a.prompt] == b.ids[..b.prompt]
}

/// Rollouts of one prompt, in as few units as their order allows.
fn cut(rollouts: &[Rollout], group: &[usize], (rows, pages): (usize, usize), units: &mut Vec<Unit>) -> Result<()> {
    let shared = if group.len() > 1 { shared_rows(rollouts[group[0]].prompt) } else { 0 };
    let mut unit = Unit::default();
    for &i in group {
        let length = rollouts[i].ids.len() - 1;
        if length > rows {
            return Err(TrainError::Pack(PackError { example: i, length, budget: rows }));
        }
        let (own, own_pages) = (length - shared, (length - shared).div_ceil(PAGE_TOKENS));
        if !unit.rollouts.is_empty() && (unit.rows + own > rows || unit.pages + own_pages > pages) {
            units.push(std::mem::take(&mut unit));
        }
        if unit.rollouts.is_empty() {
            (unit.rows, unit.pages) = (shared, shared / PAGE_TOKENS);
        }
        unit.rows += own;
        unit.pages += own_pages;
        unit.rollouts.push(i);
    }
    units.push(unit);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(group: usize, prompt: usize, completion: usize) -> Rollout {
        Rollout { group, prompt, ids: vec![0; prompt + completion], ..Rollout::default() }
    }

    /// Rows and pages of a pass, as the trainer lays it out.
    fn taken(rollouts: &[Rollout], pass: &[usize]) -> (usize, usize) {
        let mut taken = (0, 0);
        for group in pass.chunk_by(|&a, &b| rollouts[a].group == rollouts[b].group) {
            let shared = if group.len() > 1 { shared_rows(rollouts[group[0]].prompt) } else { 0 };
            taken = (taken.0 + shared, taken.1 + shared / PAGE_TOKENS);
            for &i in group {
                let own = rollouts[i].ids.len() - 1 - shared;
                taken = (taken.0 + own, taken.1 + own.div_ceil(PAGE_TOKENS));
            }
        }
        taken
    }

    #[test]
    fn a_prompt_is_computed_once() {
        let rollouts: Vec<Rollout> = (0..16).map(|i| rollout(i / 8, 65, 4)).collect();
        let all: Vec<usize> = (0..16).collect();
        let found = passes(&rollouts, &all, (10_000, 1_000), 1).unwrap();
        assert_eq!(found, std::slice::from_ref(&all));
        assert_eq!(taken(&rollouts, &found[0]), (2 * (64 + 8 * 4), 2 * (2 + 8)));
    }

    #[test]
    fn all_rollouts_are_in_one_pass_each_and_no_pass_is_too_large() {
        for (rows, pages) in [(100, 40), (200, 9), (1000, 20), (97, 5)] {
            let rollouts: Vec<Rollout> =
                (0..60).map(|i| rollout(i / 6, 1 + 7 * (i / 6) % 71, 1 + i * i % 25)).filter(|r| r.ids.len() <= rows).collect();
            let used: Vec<usize> = (0..rollouts.len()).filter(|i| i % 5 != 2).collect();
            for lanes in [1, 2, 3] {
                let found = passes(&rollouts, &used, (rows, pages), lanes).unwrap();
                let mut seen: Vec<usize> = found.iter().flatten().copied().collect();
                seen.sort_unstable();
                assert_eq!(seen, used);
                for pass in &found {
                    let taken = taken(&rollouts, pass);
                    assert!(taken.0 <= rows && taken.1 <= pages, "{taken:?} in {rows} rows, {pages} pages");
                }
            }
        }
    }

    #[test]
    fn a_rollout_longer_than_a_pass_is_refused() {
        assert!(matches!(passes(&[rollout(0, 60, 42)], &[0], (100, 100), 1), Err(TrainError::Pack(_))));
        assert!(passes(&[rollout(0, 60, 41)], &[0], (100, 100), 2).is_ok());
    }
}

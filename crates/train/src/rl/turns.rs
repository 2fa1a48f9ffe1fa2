//! Which rows of a batch are turns of one trajectory: a reward is of a trajectory, tokens are of a turn.

use std::collections::HashMap;

use super::rollout::Rollout;

/// A batch's rows by trajectory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// The last turn of each trajectory, in the order of the rows.
    pub ends: Vec<usize>,
    /// The place in `ends` of each row's trajectory.
    pub end_of: Vec<usize>,
    /// Whether a turn of a trajectory was cut off, in the order of `ends`.
    pub cut: Vec<bool>,
}

impl Turns {
    /// Of rows that hold each trajectory whole.
    pub fn of(rollouts: &[Rollout]) -> Self {
        let ends: Vec<usize> = (0..rollouts.len()).filter(|&i| !rollouts[i].goes_on).collect();
        let name = |rollout: &Rollout| (rollout.group, rollout.sample);
        let place: HashMap<(usize, usize), usize> = ends.iter().enumerate().map(|(at, &i)| (name(&rollouts[i]), at)).collect();
        let end_of: Vec<usize> = rollouts.iter().map(|rollout| place[&name(rollout)]).collect();
        let mut cut = vec![false; ends.len()];
        end_of.iter().zip(rollouts).for_each(|(&at, rollout)| cut[at] |= rollout.truncated);
        Self { ends, end_of, cut }
    }

    /// The last turns themselves.
    pub fn last<'a>(&self, rollouts: &'a [Rollout]) -> Vec<&'a Rollout> {
        self.ends.iter().map(|&i| &rollouts[i]).collect()
    }

    /// What belongs to each trajectory, for each of its turns.
    pub fn spread<T: Copy>(&self, of_trajectory: &[T]) -> Vec<T> {
        self.end_of.iter().map(|&at| of_trajectory[at]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_find_their_trajectory() {
        // Two trajectories of one group, of one turn and of two; a third, of another group, whose first turn was cut off.
        let row = |group, sample, turn, goes_on, truncated| Rollout { group, sample, turn, goes_on, truncated, ..Rollout::default() };
        let rows = [
            row(0, 0, 0, false, false),
            row(0, 1, 0, true, false),
            row(0, 1, 1, false, false),
            row(1, 0, 0, true, true),
            row(1, 0, 1, false, false),
        ];
        let turns = Turns::of(&rows);
        assert_eq!(turns, Turns { ends: vec![0, 2, 4], end_of: vec![0, 1, 1, 2, 2], cut: vec![false, false, true] });
        assert_eq!(turns.spread(&['a', 'b', 'c']), ['a', 'b', 'b', 'c', 'c']);
    }
}

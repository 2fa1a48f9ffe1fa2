//! What a rollout is worth beside the others of its group (eq. 7, §4.2):
//!
//! ```text
//! A_i = (r_i − mean{r of its group}) / (std{r of its task in this batch} + 1e-6)
//! ```
//!
//! The deviation is the unbiased one (n − 1). A task's deviation counts the spread between its prompts as well; it keeps tasks with dense
//! rewards (a ratio) apart from those with sparse ones (right or wrong).

use std::collections::HashMap;

/// ε beside the deviation.
pub const EPSILON: f64 = 1e-6;

/// One rollout, or one turn of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Rollouts of one prompt.
    pub group: &'a str,
    /// The prompt's task type.
    pub task: &'a str,
    /// Finite.
    pub reward: f64,
    /// Rows of one group with the same name here are turns of one rollout: they count once in every mean and deviation, and share its
    /// advantage. Where they differ in reward or task, those of the last one count. `None`: a rollout of its own.
    pub trajectory: Option<&'a str>,
}

/// What is taken off a reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Center {
    /// The mean of its group. A group of one rollout has nothing to compare it with: its advantage is 0.
    #[default]
    Group,
    /// Nothing.
    None,
}

/// What the difference is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// The deviation of its task's rewards in this batch (eq. 7).
    #[default]
    Task,
    /// That of its group (GRPO).
    Group,
    /// That of the whole batch ("batch-std" of the paper's ablation).
    Batch,
    /// Nothing (Dr. GRPO, MemAgent).
    None,
}

/// How advantages are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What is taken off.
    pub center: Center,
    /// What divides.
    pub scale: Scale,
}

/// Advantages of a batch, and what is worth knowing of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advantages {
    /// One for each row, in order.
    pub values: Vec<f64>,
    /// Rollouts: rows, with those of one trajectory counted once.
    pub rollouts: usize,
    /// Groups.
    pub groups: usize,
    /// Groups of one rollout.
    pub single_groups: usize,
    /// Groups of several rollouts whose rewards are all the same: they teach nothing.
    pub zero_variance_groups: usize,
    /// Tasks in order of appearance.
    pub tasks: Vec<TaskRewards>,
}

/// The rewards of one task in a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRewards {
    /// Its name.
    pub task: String,
    /// Its rollouts.
    pub rollouts: usize,
    /// Mean reward.
    pub mean: f64,
    /// Unbiased deviation; 0 for a single rollout.
    pub std: f64,
}

/// Advantages of the rows of one batch. A rollout whose set of rewards has fewer than two members, or no variance, has advantage 0:
/// dividing by ε alone would make a million of it. A reward that is not finite makes what depends on it NaN.
pub fn advantages(rows: &[Row<'_>], settings: &Settings) -> Advantages {
    let (units, unit_of) = units(rows);
    let (groups, group_of) = sets(&units, |unit| unit.group);
    let (tasks, task_of) = sets(&units, |unit| unit.task);
    let batch = Set::of("", units.iter().map(|unit| unit.reward));

    let value = |at: usize| {
        let group = &groups[group_of[at]];
        let centered = match settings.center {
            Center::Group if group.count < 2 => return 0.0,
            Center::Group => units[at].reward - group.mean,
            Center::None => units[at].reward,
        };
        let set = match settings.scale {
            Scale::Task => &tasks[task_of[at]],
            Scale::Group => group,
            Scale::Batch => &batch,
            Scale::None => return centered,
        };
        if set.std == 0.0 { 0.0 } else { centered / (set.std + EPSILON) }
    };
    let of_unit: Vec<f64> = (0..units.len()).map(value).collect();
    Advantages {
        values: unit_of.iter().map(|&unit| of_unit[unit]).collect(),
        rollouts: units.len(),
        groups: groups.len(),
        single_groups: groups.iter().filter(|set| set.count == 1).count(),
        zero_variance_groups: groups.iter().filter(|set| set.count > 1 && set.std == 0.0).count(),
        tasks: tasks
            .into_iter()
            .map(|set| TaskRewards { task: set.name.to_string(), rollouts: set.count, mean: set.mean, std: set.std })
            .collect(),
    }
}

/// The rollouts, and which of them each row belongs to.
fn units<'a>(rows: &[Row<'a>]) -> (Vec<Row<'a>>, Vec<usize>) {
    let mut known = HashMap::new();
    let mut units: Vec<Row<'a>> = Vec::new();
    let unit_of = rows
        .iter()
        .map(|row| {
            let at = match row.trajectory {
                Some(name) => *known.entry((row.group, name)).or_insert(units.len()),
                None => units.len(),
            };
            if at == units.len() {
                units.push(*row);
            } else {
                units[at] = *row;
            }
            at
        })
        .collect();
    (units, unit_of)
}

/// Rewards that are looked at together.
struct Set<'a> {
    name: &'a str,
    count: usize,
    mean: f64,
    std: f64,
}

impl<'a> Set<'a> {
    fn of(name: &'a str, rewards: impl Iterator<Item = f64> + Clone) -> Self {
        let count = rewards.clone().count();
        let first = rewards.clone().next().unwrap_or(0.0);
        // Equal rewards have exactly their own mean, which a rounded sum need not give.
        if rewards.clone().all(|reward| reward == first) {
            return Self { name, count, mean: first, std: 0.0 };
        }
        let mean = rewards.clone().sum::<f64>() / count as f64;
        let squares: f64 = rewards.map(|reward| (reward - mean) * (reward - mean)).sum();
        Self { name, count, mean, std: (squares / (count as f64 - 1.0)).sqrt() }
    }
}

/// The units by name in order of appearance, and the set of each unit.
fn sets<'a>(units: &[Row<'a>], name: impl Fn(&Row<'a>) -> &'a str) -> (Vec<Set<'a>>, Vec<usize>) {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut members: Vec<(&'a str, Vec<f64>)> = Vec::new();
    let set_of = units
        .iter()
        .map(|unit| {
            let name = name(unit);
            let at = *known.entry(name).or_insert(members.len());
            if at == members.len() {
                members.push((name, Vec::new()));
            }
            members[at].1.push(unit.reward);
            at
        })
        .collect();
    (members.iter().map(|(name, rewards)| Set::of(name, rewards.iter().copied())).collect(), set_of)
}

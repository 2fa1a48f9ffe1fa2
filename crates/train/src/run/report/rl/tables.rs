//! Tables of tasks and of held-out rewards.

use data::{RlValidation, TaskStep};
use serde_json::{Value, json};

use super::{ENDS, Rl, margin, mean, task_of};
use crate::run::view::{grouped, percent};

impl Rl<'_> {
    /// `{title, head, rows}`
    pub fn tables(&self) -> Value {
        let mut tables = vec![];
        if !self.tasks.is_empty() && !self.steps.is_empty() {
            let first = format!("reward in its first {ENDS} steps");
            let last = format!("in its last {ENDS}");
            let head = [
                "task",
                "rollouts",
                &first,
                &last,
                "held-out, first",
                "best",
                "last",
                "entropy",
                "tokens",
                "cut off",
                "one reward",
                "masked",
            ];
            tables.push(json!({"title": "Tasks", "head": head, "rows": self.tasks.iter().map(|task| self.row(task)).collect::<Vec<_>>(),
                "note": format!("Entropy and what stands after it: in its last {ENDS} steps. A task's steps are those that drew it.")}));
        }
        if !self.validations.is_empty() {
            let several = self.tasks.len() > 1;
            let names = self.tasks.iter().filter(|_| several).copied();
            let head: Vec<&str> = ["after step", "reward", "±", "prompts"].into_iter().chain(names).collect();
            let row = |held: &&RlValidation| {
                let of = |task: &&str| text(task_of(&held.tasks, task).map(|task| f64::from(task.reward)));
                let own =
                    [grouped(held.step), text(Some(f64::from(held.reward))), text(margin(held).map(f64::from)), grouped(held.prompts)];
                own.into_iter().chain(self.tasks.iter().filter(|_| several).map(of)).collect::<Vec<String>>()
            };
            let rows: Vec<Vec<String>> = self.validations.iter().map(row).collect();
            tables.push(json!({"title": "Held-out rewards", "head": head, "rows": rows,
                "note": "± is half the width of the 95 % interval of the mean over prompts."}));
        }
        tables.into()
    }

    fn row(&self, task: &str) -> Vec<String> {
        let of = |value: fn(&TaskStep) -> f32, last: bool| {
            let points = self.of_task(task, value);
            if last { mean(points.iter().rev().take(ENDS)) } else { mean(points.iter().take(ENDS)) }
        };
        let share = |value| of(value, true).map_or("–".into(), percent);
        let held: Vec<f64> = self.validations.iter().filter_map(|held| Some(f64::from(task_of(&held.tasks, task)?.reward))).collect();
        let rollouts =
            self.steps.iter().filter_map(|step| task_of(&step.tasks, task)).map(|task| task.rollouts).fold(0, u64::saturating_add);
        vec![
            task.to_string(),
            grouped(rollouts),
            text(of(|task| task.reward, false)),
            text(of(|task| task.reward, true)),
            text(held.first().copied()),
            text(held.iter().copied().filter(|reward| reward.is_finite()).max_by(f64::total_cmp)),
            text(held.last().copied()),
            text(of(|task| task.entropy, true)),
            of(|task| task.tokens, true).map_or("–".into(), |tokens| format!("{tokens:.0}")),
            share(|task| task.truncated),
            share(|task| task.zero_variance),
            share(|task| task.masked),
        ]
    }
}

fn text(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.3}"))
}

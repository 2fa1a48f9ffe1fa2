//! The table of scores by stage.

use std::fmt::Write;

use serde_json::{Value, json};

use super::config::Stages;

/// A stage's scores, in the order of the columns.
pub struct Row {
    /// The stage.
    pub name: String,
    /// What `longhand score --json` said.
    pub scores: Vec<Option<Value>>,
    /// The paper's words on this stage.
    pub paper: Option<String>,
}

/// A row for each stage: accuracy in per cent, or loss, and its 95 % interval.
pub fn markdown(stages: &Stages, rows: &[Row]) -> String {
    let quoted = rows.iter().any(|row| row.paper.is_some());
    let mut text = String::from("| stage |");
    for score in &stages.scores {
        let _ = write!(text, " {} |", score.name);
    }
    text.push_str(if quoted { " quoted from the paper |\n| --- |" } else { "\n| --- |" });
    stages.scores.iter().for_each(|_| text.push_str(" --- |"));
    text.push_str(if quoted { " --- |\n" } else { "\n" });
    for row in rows {
        let _ = write!(text, "| {} |", row.name);
        for score in &row.scores {
            let loss = |key: &str| score.as_ref().and_then(|score| score[key].as_f64());
            if let (Some(loss), Some(margin)) = (loss("loss"), loss("margin")) {
                let _ = write!(text, " {loss:.3} ± {margin:.3} |");
                continue;
            }
            let number = |key: &str| score.as_ref().and_then(|score| score[key].as_f64()).map(|share| 100.0 * share);
            let _ = match (number("accuracy"), number("low"), number("high")) {
                (Some(share), Some(low), Some(high)) => write!(text, " {share:.1} ({low:.1} to {high:.1}) |"),
                _ => write!(text, " |"),
            };
        }
        text.push_str(&if quoted { format!(" {} |\n", row.paper.as_deref().unwrap_or("")) } else { "\n".into() });
    }
    text
}

/// The same for programs, each score by its name.
pub fn json(stages: &Stages, rows: &[Row]) -> Value {
    let scores = |row: &Row| -> Value {
        let named = stages.scores.iter().map(|score| score.name.clone()).zip(row.scores.iter().map(|score| json!(score)));
        Value::Object(named.collect())
    };
    rows.iter().map(|row| json!({"stage": row.name, "scores": scores(row), "paper": row.paper})).collect()
}

//! What stages there are: a TOML file.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stages {
    /// `[[score]]`: what every model is asked after its stage.
    #[serde(default, rename = "score")]
    pub scores: Vec<Score>,
    /// `[[stage]]`, in their order.
    #[serde(rename = "stage", deserialize_with = "stages")]
    pub stages: Vec<Stage>,
}

/// A column of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Its heading.
    pub name: String,
    /// A file of items.
    pub items: String,
    /// What `longhand score` is told beside items and model.
    #[serde(default)]
    pub with: Vec<String>,
    /// The first stage after which it is asked; every one unless told otherwise. A model that cannot answer yet takes long to say so.
    pub from: Option<String>,
}

/// A stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name, and its folder's.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// Figures of the paper for this stage, in words.
    pub paper: Option<String>,
}

/// What a stage does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Calls of this program.
    Run(Vec<Vec<String>>),
    /// A training from a model.
    Train { model: String, tables: toml::Table },
    /// A merge of models.
    Merge(Merge),
}

/// `merge`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// sce, ties, linear.
    pub method: String,
    /// What the models were trained from.
    pub base: String,
    /// The models.
    pub models: Vec<String>,
    /// Share of the elements that SCE selects.
    pub select_topk: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    model: Option<String>,
    train: Option<toml::Table>,
    merge: Option<Merge>,
    run: Option<Vec<Vec<String>>>,
    paper: Option<String>,
}

fn stages<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Stage>, D::Error> {
    let raw = Vec::<Raw>::deserialize(deserializer)?;
    raw.into_iter().map(|raw| Stage::new(raw).map_err(serde::de::Error::custom)).collect()
}

impl Stage {
    fn new(raw: Raw) -> Result<Self, String> {
        let Raw { name, model, train, merge, run, paper } = raw;
        let of_letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        if name.is_empty() || name.starts_with('.') || !name.chars().all(of_letters) {
            return Err(format!("{name:?} is no name for a stage: letters, digits, - and _"));
        }
        let action = match (train, merge, run, model) {
            (Some(tables), None, None, Some(model)) => Action::Train { model, tables },
            (Some(_), None, None, None) => {
                return Err(format!("stage {name} trains no model: model = an earlier stage's name, or a folder"));
            }
            (None, Some(merge), None, None) => Action::Merge(merge),
            (None, None, Some(run), None) => {
                // What prints to a person's terminal, or is a stage itself, has no place in one.
                if let Some(words) = run.iter().find(|words| !matches!(words.first().map(String::as_str), Some("data" | "init"))) {
                    return Err(format!("stage {name} runs {:?}: `data` and `init` can be run", words.first().map_or("", String::as_str)));
                }
                Action::Run(run)
            }
            _ => return Err(format!("stage {name} is one of: model and train, merge, or run")),
        };
        if let Action::Train { tables, .. } = &action
            && tables.contains_key("model")
        {
            return Err(format!("stage {name}: the model is named beside train, not in [stage.train.model]"));
        }
        Ok(Self { name, action, paper })
    }

    /// In a few words.
    pub fn what(&self) -> String {
        match &self.action {
            Action::Run(commands) => {
                commands.iter().map(|words| words.iter().take(2).cloned().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
            }
            Action::Train { model, tables } => {
                let how = match (tables.contains_key("rl"), tables.contains_key("memory")) {
                    (true, true) => "memory RL",
                    (true, false) => "RL",
                    _ => "supervised training",
                };
                let steps =
                    tables.get("train").and_then(|train| train.get("steps")).map_or(String::new(), |steps| format!(", {steps} steps"));
                format!("{how} from {model}{steps}")
            }
            Action::Merge(merge) => format!("{} of {} over {}", merge.method, merge.models.join(" and "), merge.base),
        }
    }

    /// What has to be the same for a stage that was done to be this one.
    pub fn kept(&self) -> Value {
        match &self.action {
            Action::Run(commands) => json!({"run": commands}),
            Action::Train { model, tables } => json!({"model": model, "train": serde_json::to_value(tables).unwrap_or(Value::Null)}),
            Action::Merge(Merge { method, base, models, select_topk }) => {
                json!({"method": method, "base": base, "models": models, "select_topk": select_topk})
            }
        }
    }
}

impl Stages {
    /// Reads the file; errors name what is wrong and where.
    pub fn parse(text: &str) -> Result<Self> {
        let stages: Self = toml::from_str(text)?;
        ensure!(!stages.stages.is_empty(), "it has no [[stage]]");
        for Score { name, from, .. } in &stages.scores {
            let there = from.as_ref().is_none_or(|from| stages.stages.iter().any(|stage| stage.name == *from));
            ensure!(there, "score {name} is asked from {} on, and no stage is called that", from.as_deref().unwrap_or_default());
        }
        for (at, stage) in stages.stages.iter().enumerate() {
            let before = &stages.stages[..at];
            ensure!(before.iter().all(|other| other.name != stage.name), "two stages are called {}", stage.name);
            let later = |name: &String| {
                let is_later = stages.stages[at..].iter().any(|other| other.name == *name);
                ensure!(!is_later, "stage {} needs the model of {name}, which does not come before it", stage.name);
                Ok(())
            };
            match &stage.action {
                Action::Run(_) => {}
                Action::Train { model, .. } => later(model)?,
                Action::Merge(merge) => merge.models.iter().chain([&merge.base]).try_for_each(later)?,
            }
        }
        Ok(stages)
    }
}

/// A training's configuration with its model, `{out}` filled in everywhere.
pub fn train_text(tables: &toml::Table, model: &str, fill: impl Fn(&str) -> String) -> Result<String> {
    let mut tables = tables.clone();
    tables.iter_mut().for_each(|(_, value)| fill_in(value, &fill));
    let model = toml::Table::from_iter([("path".to_string(), toml::Value::String(model.to_string()))]);
    tables.insert("model".into(), toml::Value::Table(model));
    toml::to_string(&tables).context("the training's tables cannot be written")
}

fn fill_in(value: &mut toml::Value, fill: &impl Fn(&str) -> String) {
    match value {
        toml::Value::String(text) => *text = fill(text),
        toml::Value::Array(all) => all.iter_mut().for_each(|value| fill_in(value, fill)),
        toml::Value::Table(all) => all.iter_mut().for_each(|(_, value)| fill_in(value, fill)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[score]]
        name = "whole"
        items = "{out}/rows/held.jsonl"

        [[stage]]
        name = "rows"
        run = [["data", "world", "--items", "8", "--out", "{out}/rows/train.jsonl"]]

        [[stage]]
        name = "sft"
        model = "./base"
        [stage.train.data]
        file = "{out}/rows/train.jsonl"
        [stage.train.train]
        steps = 3
    "#;

    #[test]
    fn stages_are_read_and_paths_filled_in() {
        let stages = Stages::parse(GOOD).unwrap();
        assert_eq!(stages.stages[1].what(), "supervised training from ./base, 3 steps");
        let Action::Train { tables, .. } = &stages.stages[1].action else { panic!() };
        let text = train_text(tables, "/m", |text| text.replace("{out}", "/o")).unwrap();
        assert!(text.contains("/o/rows/train.jsonl") && text.contains("path = \"/m\""), "{text}");
    }

    /// Their trainings and commands are read as they will be, hours into a run.
    #[test]
    fn the_stages_that_come_with_it_can_be_read() {
        use clap::Parser;
        for name in ["tiny.toml", "paper.toml"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/stages").join(name);
            let stages = Stages::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
            for stage in &stages.stages {
                match &stage.action {
                    Action::Train { tables, .. } => {
                        let text = train_text(tables, "/m", str::to_string).unwrap();
                        let read = train::Config::parse(&text, std::path::Path::new("train.toml"));
                        assert!(read.is_ok(), "{name}, {}: {}", stage.name, read.unwrap_err());
                    }
                    Action::Run(commands) => {
                        for words in commands {
                            let read = crate::Cli::try_parse_from(["longhand"].into_iter().chain(words.iter().map(String::as_str)));
                            assert!(read.is_ok(), "{name}, {}: {}", stage.name, read.err().unwrap());
                        }
                    }
                    Action::Merge(_) => {}
                }
            }
            for score in &stages.scores {
                let words = ["longhand", "score", &score.items, "--model", "m"].into_iter().chain(score.with.iter().map(String::as_str));
                assert!(crate::Cli::try_parse_from(words).is_ok(), "{name}, {}", score.name);
            }
        }
    }

    #[test]
    fn what_cannot_be_run_is_said() {
        let wrong = |from: &str, to: &str| format!("{:#}", Stages::parse(&GOOD.replace(from, to)).unwrap_err());
        assert!(wrong("model = \"./base\"", "").contains("trains no model"));
        assert!(wrong("./base", "sft").contains("does not come before"));
        assert!(wrong("name = \"sft\"", "name = \"rows\"").contains("two stages"));
        assert!(wrong("name = \"sft\"", "name = \"../sft\"").contains("no name"));
        assert!(wrong("name = \"whole\"", "name = \"whole\"\nfrom = \"sfd\"").contains("asked from sfd on"));
        assert!(wrong("steps = 3", "steps = 3\n[[stage]]\nname = \"m\"\nmarge = 1").contains("marge"));
    }
}

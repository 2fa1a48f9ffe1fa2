//! What `longhand synth run` is told: a TOML file.

use std::fs;
use std::path::{Path, PathBuf};

use ::synth::{Benchmarks, Class, ExtractSettings, Filters, Group, Maker, TrialSettings};
use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::model::ModelSettings;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Another seed, other rows.
    #[serde(default)]
    pub seed: u64,
    /// A tokenizer.json, or a model's folder; without one lengths are estimated (for English a tenth too high).
    pub tokenizer: Option<PathBuf>,
    /// `[[documents]]`.
    pub documents: Vec<Documents>,
    /// `[filters]`.
    #[serde(default)]
    pub filters: Filters,
    /// `[checks]`.
    #[serde(default)]
    pub checks: CheckSettings,
    /// `[model]`: without one the checks that ask a model are not run, and rows say so.
    pub model: Option<ModelSettings>,
    /// `[extract]`: with it the model is asked for the facts of documents that state none outright.
    pub extract: Option<ExtractSettings>,
    /// `[trial]`: how often and how long the model tries.
    #[serde(default)]
    pub trial: TrialSettings,
    /// `[[questions]]`.
    pub questions: Vec<Group>,
}

/// Where documents are, and what is known of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Their kind; guessed from each one's form unless told.
    pub class: Option<Class>,
    /// Where a document's title stands: the first of these that gives one.
    #[serde(default = "by_name", deserialize_with = "one_or_more")]
    pub title: Vec<Title>,
    /// Of a folder only files with these endings: `json`. All that can be read unless told.
    #[serde(default)]
    pub ending: Vec<String>,
    /// Longer documents are read in parts of at most so many tokens; 0 leaves all whole.
    #[serde(default)]
    pub part: usize,
    /// Whether `[extract]` may ask them for the fields of a table.
    #[serde(default = "yes")]
    pub table: bool,
}

fn yes() -> bool {
    true
}

fn by_name() -> Vec<Title> {
    vec![Title::Name]
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Title>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(Title),
        More(Vec<Title>),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(title) => vec![title],
        Given::More(titles) => titles,
    })
}

/// Where a document's title stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Title {
    /// The file's name without its ending.
    Name,
    /// Its first line that is not empty, without the signs of a heading.
    Line,
    /// A JSON pointer: `/name`.
    Pointer(String),
    /// No way that is known.
    Unknown(String),
}

impl From<String> for Title {
    fn from(text: String) -> Self {
        match text.as_str() {
            "name" => Self::Name,
            "line" => Self::Line,
            _ if text.starts_with('/') => Self::Pointer(text),
            _ => Self::Unknown(text),
        }
    }
}

/// `[checks]`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckSettings {
    /// Greatest share of rows whose answer a search for the question's words finds (0 to 1).
    pub searchable: f64,
    /// Benchmarks whose questions rows must not repeat: text, or JSON Lines of which every string counts.
    pub benchmarks: Vec<PathBuf>,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self { searchable: 0.3, benchmarks: Vec::new() }
    }
}

impl Config {
    /// With every key, explained.
    pub const TEMPLATE: &str = include_str!("template.toml");

    /// Reads a file; its paths are taken from its own folder.
    pub fn open(path: &Path) -> Result<(Self, String)> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config = Self::parse(&text).with_context(|| format!("{} cannot be used", path.display()))?;
        let here = path.parent().unwrap_or(Path::new(""));
        let paths = config.documents.iter_mut().flat_map(|entry| &mut entry.paths);
        paths.chain(&mut config.checks.benchmarks).chain(&mut config.tokenizer).for_each(|path| *path = here.join(&*path));
        Ok((config, text))
    }

    /// # Errors
    /// What is wrong, before a document is read.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        ensure!(!config.documents.is_empty(), "no [[documents]]: paths = [\"folder\"] says what to read");
        ensure!(!config.questions.is_empty(), "no [[questions]]: engine = \"graph\" and count = 100 ask for some");
        for entry in &config.documents {
            ensure!(!entry.paths.is_empty(), "[[documents]] without paths");
            ensure!(!entry.title.is_empty(), "title = []: \"name\" is the file's");
            if let Some(text) = entry.title.iter().find_map(|title| if let Title::Unknown(text) = title { Some(text) } else { None }) {
                return Err(anyhow!("title = {text:?}: there are \"name\", \"line\" and JSON pointers such as \"/name\""));
            }
        }
        ensure!((0.0..=1.0).contains(&config.checks.searchable), "checks.searchable = {} is no share of 0 to 1", config.checks.searchable);
        config.trial.check().map_err(|why| anyhow!("[trial]: {why}"))?;
        if let Some(extract) = &config.extract {
            extract.check().map_err(|why| anyhow!("[extract]: {why}"))?;
            ensure!(config.model.is_some(), "[extract] asks a model, and there is no [model]: name = \"openai:URL#NAME\" is one");
        }
        config.questions.iter().try_for_each(|group| group.check().map_err(anyhow::Error::msg))?;
        let agents = config.questions.iter().find(|group| group.engine == Maker::Agents);
        if let Some(group) = agents.filter(|_| config.model.is_none()) {
            return Err(anyhow!("{}: it asks a model, and there is no [model]: name = \"openai:URL#NAME\" is one", group.name()));
        }
        Ok(config)
    }

    /// The benchmarks, read.
    pub fn benchmarks(&self) -> Result<Benchmarks> {
        let mut benchmarks = Benchmarks::default();
        for path in &self.checks.benchmarks {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read the benchmark {}", path.display()))?;
            let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            if path.extension().is_none_or(|ending| ending != "jsonl") {
                benchmarks.add(&name, &text);
                continue;
            }
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let row: Value =
                    serde_json::from_str(line).with_context(|| format!("{}, line {} is no JSON", path.display(), number + 1))?;
                strings(&row, &mut |text| benchmarks.add(&name, text));
            }
        }
        Ok(benchmarks)
    }
}

fn strings(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(all) => all.iter().for_each(|value| strings(value, each)),
        Value::Object(all) => all.values().for_each(|value| strings(value, each)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::synth::AgentSettings;

    #[test]
    fn the_template_is_a_configuration_with_every_key() {
        let config = Config::parse(Config::TEMPLATE).unwrap();
        assert_eq!(config.questions.len(), 5);
        assert_eq!(config.filters, Filters::default());
        let table: toml::Table = Config::TEMPLATE.parse().unwrap();
        let keys = |name: &str| table[name].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
        let filters =
            ["languages", "max_repeated_lines", "max_repeated_words", "max_tokens", "min_numbers", "min_tokens", "near_duplicate"];
        assert_eq!(keys("filters"), filters);
        assert_eq!(keys("checks"), ["benchmarks", "searchable"]);
        assert_eq!((keys("trial"), config.trial), (vec!["closed_book".into(), "reply".into(), "tries".into()], TrialSettings::default()));
    }

    #[test]
    fn what_the_template_leaves_out_is_explained_with_every_key() {
        let lines = Config::TEMPLATE.lines().skip_while(|line| *line != "# [extract]").take_while(|line| !line.is_empty());
        let text: String = lines.map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
        let table: toml::Table = text.parse().unwrap();
        let extract = table["extract"].as_table().unwrap();
        let keys: Vec<&str> = extract.keys().map(String::as_str).collect();
        assert_eq!(keys, ["facts", "fields", "max_facts", "reply", "table", "tries"]);
        assert_eq!(extract.clone().try_into::<ExtractSettings>().unwrap(), ExtractSettings::default());
    }

    #[test]
    fn the_templates_agents_are_the_default_ones() {
        let lines = Config::TEMPLATE.lines().skip_while(|line| !line.starts_with("# [questions.agents]"));
        let text: String = lines.map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
        let table: toml::Table = text.parse().unwrap();
        let agents = table["questions"]["agents"].as_table().unwrap();
        assert_eq!(agents.len(), 12);
        assert_eq!(agents.clone().try_into::<AgentSettings>().unwrap(), AgentSettings::default());
    }

    #[test]
    fn what_is_wrong_is_said_before_a_document_is_read() {
        let with = |documents: &str, rest: &str| {
            let error = Config::parse(&format!("[[documents]]\n{documents}\n[[questions]]\n{rest}")).unwrap_err();
            format!("{error:#}")
        };
        let paths = "paths = [\"x\"]";
        assert!(with("paths = []", "engine = \"graph\"\ncount = 5").contains("without paths"));
        assert!(with(&format!("{paths}\ntitle = \"first\""), "engine = \"graph\"\ncount = 5").contains("JSON pointers"));
        assert!(with(paths, "engine = \"graph\"\ncount = 0").contains("count = 0"));
        assert!(with(paths, "engine = \"graph\"\ncount = 5\nhops = 12").contains("hops is 1 to 9"));
        assert!(with(paths, "engine = \"graph\"\ncount = 5\nlengths = [9000, 4000]").contains("no range"));
        assert!(with(paths, "engine = \"walks\"\ncount = 5").contains("unknown variant"));
        assert!(with(paths, "engine = \"graph\"\ncount = 5\nhop = 2").contains("unknown field"));
        assert!(with(paths, "engine = \"graph\"\ncount = 5\n[trial]\nclosed_book = 2").contains("at least 4"));
        assert!(with(paths, "engine = \"graph\"\ncount = 5\n[extract]").contains("there is no [model]"));
        assert!(with(paths, "engine = \"agents\"\ncount = 5").contains("agents, multi_hop: it asks a model, and there is no [model]"));
        assert!(with(paths, "engine = \"agents\"\ncount = 5\nagents = {votes = 0}").contains("agents.votes is at least 1"));
        assert!(with(paths, "engine = \"agents\"\ncount = 5\nagents = {vote = 1}").contains("unknown field"));
        let nothing = "engine = \"graph\"\ncount = 5\n[model]\nname = \"m\"\n[extract]\nfacts = false";
        assert!(with(paths, nothing).contains("[extract]: facts = false and table = false ask for nothing"));
        let checks = "engine = \"graph\"\ncount = 5\n[checks]\nsearchable = 30";
        assert!(with(paths, checks).contains("no share"));
    }
}

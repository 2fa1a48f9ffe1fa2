//! `longhand stages`: the stages of a recipe in order, each from the model of the one before, with a table of scores after each (§3.5).
//!
//! A stage is a folder below `out`: what it was (`stage.json`), its run, its `model`. It is made of calls of this program, which can be made
//! by hand as well; killed at any moment, the same command goes on.

mod config;
mod pack;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use train::run::view::duration;

use config::{Action, Score, Stage, Stages};

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand stages configs/stages/tiny.toml --list\n  longhand stages configs/stages/tiny.toml --out tiny-run\n  longhand stages configs/stages/tiny.toml --out tiny-run --pack tiny --start steady"
)]
pub struct StagesArgs {
    /// The stages: configs/stages has some.
    config: PathBuf,
    /// Where they go; longhand-runs and the configuration's name unless told otherwise. Stages that are done there are not run again.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Stop after this stage.
    #[arg(long, value_name = "NAME")]
    until: Option<String>,
    /// Say what the stages are, and run nothing.
    #[arg(long)]
    list: bool,
    /// Run nothing: of the stages that are done keep the last model and its logs in this folder.
    #[arg(long, value_name = "DIR")]
    pack: Option<PathBuf>,
    /// The stage whose model is packed beside the last one.
    #[arg(long, value_name = "NAME", requires = "pack")]
    start: Option<String>,
    /// The scores as JSON, in the last line.
    #[arg(long)]
    json: bool,
}

impl StagesArgs {
    /// All stages of a file, with nothing else asked for.
    pub fn plain(config: &Path, out: &Path) -> Self {
        Self { config: config.into(), out: Some(out.into()), until: None, list: false, pack: None, start: None, json: false }
    }
}

/// Runs the verb.
pub fn run(args: &StagesArgs) -> Result<()> {
    let text = fs::read_to_string(&args.config).with_context(|| format!("cannot read {}", args.config.display()))?;
    let stages = Stages::parse(&text).with_context(|| format!("{} cannot be used", args.config.display()))?;
    if let Some(until) = &args.until {
        let names: Vec<&str> = stages.stages.iter().map(|stage| stage.name.as_str()).collect();
        ensure!(names.contains(&until.as_str()), "there is no stage {until:?}: there are {}", names.join(", "));
    }
    let out = args.out.clone().unwrap_or_else(|| {
        PathBuf::from("longhand-runs").join(args.config.file_stem().map_or("stages".into(), |stem| stem.to_string_lossy().into_owned()))
    });
    if args.list {
        stages.stages.iter().for_each(|stage| println!("{:<12} {}", stage.name, stage.what()));
        return Ok(());
    }
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let here = args.config.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = Place { out: fs::canonicalize(&out)?, here: fs::canonicalize(here)? };
    if let Some(to) = &args.pack {
        let rows = place.rows(&stages)?;
        fs::write(place.out.join("stages.md"), table::markdown(&stages, &rows))?;
        fs::write(place.out.join("stages.json"), format!("{:#}\n", table::json(&stages, &rows)))?;
        return pack::pack(&place, &stages, args.start.as_deref(), to);
    }
    for (number, stage) in stages.stages.iter().enumerate() {
        let begun = Instant::now();
        let done = place.done(stage)?;
        if done {
            eprintln!("[{}/{}] {}: done before", number + 1, stages.stages.len(), stage.name);
        } else {
            eprintln!("[{}/{}] {}: {}", number + 1, stages.stages.len(), stage.name, stage.what());
            place.act(stage, &stages).with_context(|| format!("stage {}", stage.name))?;
            place.finish(stage, begun.elapsed().as_secs_f64())?;
            eprintln!("{}: {}", stage.name, duration(begun.elapsed().as_secs_f64()));
        }
        if place.folder(stage).join("model").is_dir() && place.score(stage, &stages)? {
            let rows = place.rows(&stages)?;
            fs::write(place.out.join("stages.md"), table::markdown(&stages, &rows))?;
            eprintln!("{}", table::markdown(&stages, &rows));
        }
        if args.until.as_ref() == Some(&stage.name) {
            break;
        }
    }
    let rows = place.rows(&stages)?;
    fs::write(place.out.join("stages.md"), table::markdown(&stages, &rows))?;
    fs::write(place.out.join("stages.json"), format!("{:#}\n", table::json(&stages, &rows)))?;
    if args.json {
        println!("{}", table::json(&stages, &rows));
    } else {
        println!("{}", table::markdown(&stages, &rows));
    }
    Ok(())
}

/// Where stages go, and where their configuration is.
struct Place {
    out: PathBuf,
    here: PathBuf,
}

impl Place {
    fn folder(&self, stage: &Stage) -> PathBuf {
        self.out.join(&stage.name)
    }

    /// The model of a stage before, or whatever `--model` takes.
    fn model(&self, name: &str, stages: &Stages) -> String {
        match stages.stages.iter().find(|stage| stage.name == name) {
            Some(stage) => self.folder(stage).join("model").display().to_string(),
            None => self.fill(name),
        }
    }

    /// `{out}` is where the stages go, `{here}` the configuration's folder.
    fn fill(&self, text: &str) -> String {
        text.replace("{out}", &self.out.display().to_string()).replace("{here}", &self.here.display().to_string())
    }

    /// Whether a stage was done; an error where it was another one.
    fn done(&self, stage: &Stage) -> Result<bool> {
        let path = self.folder(stage).join("stage.json");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(false) };
        let kept: Value = serde_json::from_str(&text).with_context(|| format!("{} is damaged: remove the folder", path.display()))?;
        let folder = self.folder(stage);
        ensure!(
            kept["stage"] == stage.kept(),
            "{} was made by other settings of stage {}: remove it, and those that follow from it, or name another --out",
            folder.display(),
            stage.name
        );
        Ok(true)
    }

    fn finish(&self, stage: &Stage, seconds: f64) -> Result<()> {
        let object = json!({"stage": stage.kept(), "seconds": seconds, "longhand": env!("CARGO_PKG_VERSION")});
        let path = self.folder(stage).join("stage.json");
        let part = path.with_extension("part");
        fs::write(&part, format!("{object:#}\n"))?;
        Ok(fs::rename(part, path)?)
    }

    fn act(&self, stage: &Stage, stages: &Stages) -> Result<()> {
        let folder = self.folder(stage);
        match &stage.action {
            Action::Run(commands) => {
                // Commands keep what is there: what was begun is made anew.
                if folder.exists() {
                    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
                }
                fs::create_dir_all(&folder)?;
                commands.iter().try_for_each(|command| self.longhand(command.iter().map(|word| self.fill(word))))
            }
            Action::Train { model, tables } => {
                fs::create_dir_all(&folder)?;
                let text = config::train_text(tables, &self.model(model, stages), |text| self.fill(text))?;
                let (path, run) = (folder.join("train.toml"), folder.join("run"));
                fs::write(&path, text)?;
                let mut words = vec!["train".to_string(), path.display().to_string(), "--run".into(), run.display().to_string()];
                if run.join("events.jsonl").exists() {
                    words.push("--resume".into());
                }
                self.longhand(words)?;
                self.whole(&folder, |to| crate::export_model::folder_of(&run, to))
            }
            Action::Merge(merge) => {
                fs::create_dir_all(&folder)?;
                self.whole(&folder, |to| {
                    let mut words = vec!["merge".to_string(), "--method".into(), merge.method.clone()];
                    words.extend(["--base".into(), self.model(&merge.base, stages), "--models".into()]);
                    words.extend(merge.models.iter().map(|model| self.model(model, stages)));
                    if let Some(topk) = merge.select_topk {
                        words.extend(["--select-topk".into(), topk.to_string()]);
                    }
                    self.longhand(words.into_iter().chain(["--out".into(), to.display().to_string()]))
                })
            }
        }
    }

    /// `folder/model`, which appears when all of it is there.
    fn whole(&self, folder: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let (model, part) = (folder.join("model"), folder.join("model.part"));
        for path in [&model, &part] {
            if path.exists() {
                fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        make(&part)?;
        Ok(fs::rename(part, model)?)
    }

    /// One call of this program.
    fn longhand(&self, words: impl IntoIterator<Item = String>) -> Result<()> {
        let words: Vec<String> = words.into_iter().collect();
        crate::call(&words).with_context(|| format!("`longhand {}`", words.join(" ")))?;
        ensure!(!crate::train::interrupted(), "stopped; the same command goes on from there");
        Ok(())
    }

    /// Scores a stage's model where it was not yet; whether there are scores.
    fn score(&self, stage: &Stage, stages: &Stages) -> Result<bool> {
        let folder = self.folder(stage);
        let place = |name: &str| stages.stages.iter().position(|stage| stage.name == name);
        let asked = |score: &Score| score.from.as_ref().is_none_or(|from| place(from) <= place(&stage.name));
        for score in stages.scores.iter().filter(|score| asked(score)) {
            let path = folder.join(format!("score-{}.json", score.name));
            if path.exists() {
                continue;
            }
            let mut words =
                vec!["score".to_string(), self.fill(&score.items), "--model".into(), folder.join("model").display().to_string()];
            words.extend(score.with.iter().map(|word| self.fill(word)));
            let found = crate::score::of(&words).with_context(|| format!("`longhand {}`", words.join(" ")))?;
            fs::write(path, format!("{found}\n"))?;
        }
        Ok(!stages.scores.is_empty())
    }

    /// Scores there are, by stage.
    fn rows(&self, stages: &Stages) -> Result<Vec<table::Row>> {
        let mut rows = Vec::new();
        for stage in &stages.stages {
            let read = |name: &str| -> Result<Option<Value>> {
                let path = self.folder(stage).join(format!("score-{name}.json"));
                match fs::read(&path) {
                    Ok(bytes) => {
                        Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged: remove it", path.display()))?))
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(error) => bail!("{}: {error}", path.display()),
                }
            };
            let scores = stages.scores.iter().map(|score| read(&score.name)).collect::<Result<Vec<_>>>()?;
            if scores.iter().any(Option::is_some) {
                rows.push(table::Row { name: stage.name.clone(), scores, paper: stage.paper.clone() });
            }
        }
        Ok(rows)
    }
}

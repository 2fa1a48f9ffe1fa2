//! The files of a dataset's folder, and rows and rejects as they come.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use ::synth::{Candidate, Event, Group, Reject};
use anyhow::{Context, Result, bail, ensure};
use data::Item;
use indicatif::ProgressBar;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::config::Config;
use super::corpus::Read;
use super::model;
use super::summary::Summary;

/// What says that a dataset is whole.
pub const REPORT: &str = "report.json";
/// The configuration beside its dataset.
const CONFIG: &str = "synth.toml";

/// The files of a dataset's folder.
pub struct Files {
    out: PathBuf,
}

impl Files {
    /// # Errors
    /// A folder that holds a dataset of another configuration, or other things.
    pub fn new(out: &Path, config: &str) -> Result<Self> {
        let files = Self { out: out.into() };
        if let Ok(before) = fs::read_to_string(out.join(CONFIG)) {
            ensure!(before == config, "{} holds a dataset of another configuration: name another folder with --out", out.display());
        } else if fs::read_dir(out).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|e| !unfinished(&e.path())))) {
            bail!("{} holds something else: name a new folder with --out", out.display());
        }
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        Ok(files)
    }

    /// Whether the dataset is whole.
    pub fn done(&self) -> bool {
        self.out.join(REPORT).is_file()
    }

    /// Prints the report of a dataset that is whole.
    pub fn show(&self, as_json: bool) -> Result<()> {
        let path = self.out.join(REPORT);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if as_json {
            println!("{}", text.trim());
        }
        Ok(())
    }

    /// A file that gets its name when it is whole.
    fn create(&self, name: &str) -> Result<BufWriter<File>> {
        let path = self.out.join(format!("{name}.part"));
        Ok(BufWriter::new(File::create(&path).with_context(|| format!("cannot write {}", path.display()))?))
    }

    fn keep(&self, name: &str) -> Result<()> {
        let (part, whole) = (self.out.join(format!("{name}.part")), self.out.join(name));
        fs::rename(&part, &whole).with_context(|| format!("cannot write {}", whole.display()))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let mut file = self.create(name)?;
        file.write_all(text.as_bytes())?;
        file.into_inner()?.sync_all()?;
        self.keep(name)
    }

    /// Everything but the rows. The configuration comes first: with it the folder is known as this run's, wherever it is killed. The report
    /// comes last and says that all is there.
    pub fn finish(&self, read: &Read, config: &str, report: &serde_json::Value, card: &str) -> Result<()> {
        self.write(CONFIG, config)?;
        let mut file = self.create("documents.jsonl")?;
        read.list(&mut file)?;
        file.into_inner()?.sync_all()?;
        self.keep("documents.jsonl")?;
        self.keep("rejects.jsonl")?;
        self.keep("rows.jsonl")?;
        self.write("README.md", card)?;
        self.write(REPORT, &format!("{report:#}\n"))
    }
}

/// What a killed run leaves: made again from the beginning, which costs no call of a model.
fn unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "part") || path.file_name().is_some_and(|name| name == model::CALLS)
}

/// Rows and rejects as they come.
pub struct Writer {
    rows: BufWriter<File>,
    rejects: BufWriter<File>,
    hash: Sha256,
    summary: Summary,
    /// Rows of those that are wanted.
    pub bar: ProgressBar,
}

impl Writer {
    /// Begins both files anew.
    pub fn new(files: &Files, config: &Config) -> Result<Self> {
        let wanted: usize = config.questions.iter().map(|group| group.count).sum();
        let bar = crate::progress::rows(wanted as u64, "making rows");
        Ok(Self {
            rows: files.create("rows.jsonl")?,
            rejects: files.create("rejects.jsonl")?,
            hash: Sha256::new(),
            summary: Summary::default(),
            bar,
        })
    }

    /// Writes a row or a reject.
    pub fn take(&mut self, group: &Group, event: Event) -> Result<()> {
        match event {
            Event::Row(row) => self.row(row),
            Event::Dropped(candidate, reject) => self.reject(group, Some(candidate), reject),
            Event::Tried(reject) => self.reject(group, None, reject),
        }
    }

    fn row(&mut self, row: &Item) -> Result<()> {
        let mut line = serde_json::to_string(row)?;
        line.push('\n');
        self.hash.update(line.as_bytes());
        self.rows.write_all(line.as_bytes()).context("cannot write the rows")?;
        self.summary.add(row);
        self.bar.inc(1);
        Ok(())
    }

    fn reject(&mut self, group: &Group, candidate: Option<&Candidate>, reject: &Reject) -> Result<()> {
        let mut line = json!({"questions": group.name(), "check": reject.check, "reason": reject.reason});
        if let Some(candidate) = candidate {
            line["question"] = candidate.question.clone().into();
            line["answers"] = json!(candidate.answers);
            line["gold"] = json!(candidate.gold);
        }
        writeln!(self.rejects, "{line}").context("cannot write the rejects")
    }

    /// The counts, and the SHA-256 of the rows.
    pub fn finish(self) -> Result<(Summary, String)> {
        self.bar.finish_and_clear();
        self.rows.into_inner()?.sync_all()?;
        self.rejects.into_inner()?.sync_all()?;
        Ok((self.summary, format!("{:x}", self.hash.finalize())))
    }
}

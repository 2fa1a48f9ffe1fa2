//! `longhand reproduce all`: every experiment of this verb, one after the other, and a page that leads to them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand reproduce all --from-logs --out longhand-runs/all")]
pub struct AllArgs {
    /// Where they go.
    #[arg(long, value_name = "DIR", default_value = "longhand-runs/all")]
    out: PathBuf,
    /// Where the logs of runs that were kept are.
    #[arg(long, value_name = "DIR", default_value = "models/tiny/logs")]
    logs: PathBuf,
    /// Run nothing: draw the pages from logs.
    #[arg(long)]
    from_logs: bool,
}

/// An experiment: its folder and page, what it shows, minutes on two cores, and what the verb is told.
struct Part {
    name: &'static str,
    shows: &'static str,
    minutes: u32,
    /// Of `reproduce`, when it is run.
    runs: &'static [&'static str],
    /// What it needs to be drawn from logs, a file below the logs' folder. None: it is only run.
    log: Option<&'static str>,
}

const PARTS: [Part; 4] = [
    Part { name: "ladder", shows: "toy tasks of reinforcement learning, each against its bar", minutes: 60, runs: &[], log: None },
    Part {
        name: "ablation",
        shows: "the paper's ablation on the small world",
        minutes: 75,
        runs: &["--low", "0.63", "--high", "0.67"],
        log: Some("ablation/runs.jsonl"),
    },
    Part {
        name: "stages",
        shows: "the stages of the recipe, beside the paper's table 10",
        minutes: 90,
        runs: &[],
        log: Some("stages.json"),
    },
    Part {
        name: "length",
        shows: "accuracy by the length of the document",
        minutes: 240,
        runs: &["--model", "tiny=models/tiny", "--chunk", "192", "--memory", "112", "--short"],
        log: Some("length/length.jsonl"),
    },
];

/// Runs it.
pub fn run(args: &AllArgs) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    if !args.from_logs {
        let minutes: u32 = PARTS.iter().map(|part| part.minutes).sum();
        eprintln!(
            "about {:.0} hours on two cores; killed at any moment, the same command goes on where a part can",
            f64::from(minutes) / 60.0
        );
    }
    let mut links = String::new();
    for part in &PARTS {
        let out = args.out.join(part.name);
        let words = match (args.from_logs, part.log) {
            (false, _) => part.runs.iter().map(ToString::to_string).collect(),
            (true, Some(log)) if args.logs.join(log).exists() => drawn(part.name, &args.logs, &out)?,
            (true, _) => {
                eprintln!("{}: no logs below {}", part.name, args.logs.display());
                links += &format!("<li>{}: {}; no logs are kept", part.name, part.shows);
                continue;
            }
        };
        let words = ["reproduce".into(), part.name.into()].into_iter().chain(words).chain(["--out".into(), out.display().to_string()]);
        let words: Vec<String> = words.collect();
        crate::call(&words).with_context(|| format!("`longhand {}`", words.join(" ")))?;
        links += &format!(r#"<li><a href="{0}/{0}.html">{0}</a>: {1}"#, part.name, part.shows);
    }
    let page = args.out.join("index.html");
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Longhand's experiments</title>\n<h1>Longhand's experiments</h1>\n<p>Reproduced at small scale; figures quoted from the paper say so.</p>\n<ul>{links}</ul></html>\n"
    );
    fs::write(&page, text).with_context(|| format!("cannot write {}", page.display()))?;
    eprintln!("all of it: {}", page.display());
    Ok(())
}

/// What draws a part from its logs: those of the ablation and of lengths are read where pages go, so they are copied there.
fn drawn(name: &str, logs: &Path, out: &Path) -> Result<Vec<String>> {
    if name == "stages" {
        return Ok(vec!["--from-logs".into(), logs.display().to_string()]);
    }
    fs::create_dir_all(out)?;
    for entry in fs::read_dir(logs.join(name)).with_context(|| format!("cannot read {}", logs.join(name).display()))? {
        let path = entry?.path();
        if let (true, Some(file)) = (path.is_file(), path.file_name()) {
            fs::copy(&path, out.join(file))?;
        }
    }
    Ok(vec!["--from-logs".into()])
}

//! `longhand export`: a kept read as one page that needs nothing else, as Markdown, or as JSON. A model with `--to` is `export_model.rs`'s.

mod json;
mod markdown;
mod page;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::report::Report;
use crate::export_model;

/// Writes a read that was kept with `read --save` as a page, Markdown or JSON: every question that was asked of it, no model needed. With
/// --to, writes a model as safetensors or GGUF, with a model card beside it.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand export my-read --html my-read.html\n  longhand export my-read --md -\n  longhand export qwen3-0.6b --adapter my-adapter --to gguf --type q4_k --out mine.gguf"
)]
pub struct ExportArgs {
    /// The directory given to `read --save`; with --to a model: a short name that `longhand models` shows, a folder with config.json and
    /// safetensors, a .gguf file, or a hub id.
    #[arg(value_name = "DIR|MODEL")]
    run: PathBuf,
    /// One self-contained page: source, notes and what changed at every chunk, coverage, each answer with its citations. `-` is
    /// standard output.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Questions, answers, sources and what changed in the notes as Markdown.
    #[arg(long, value_name = "FILE")]
    md: Option<PathBuf>,
    /// Everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    model: export_model::ExportModelArgs,
}

/// Runs the verb.
pub fn run(args: &ExportArgs) -> Result<()> {
    if args.model.to.is_some() {
        return export_model::run(&args.run, &args.model);
    }
    let is_model = args.run.join("config.json").is_file() || args.run.extension().is_some_and(|extension| extension == "gguf");
    ensure!(!is_model, "{} is a model, not a kept read: say --to safetensors or --to gguf, and --out PATH", args.run.display());
    ensure!(args.html.is_some() || args.md.is_some() || args.json.is_some(), "say what to write: --html FILE, --md FILE or --json FILE");
    let report = Report::open(&args.run)?;
    if let Some(path) = &args.html {
        write(path, &page::html(&report))?;
    }
    if let Some(path) = &args.md {
        write(path, &markdown::markdown(&report))?;
    }
    if let Some(path) = &args.json {
        write(path, &format!("{:#}\n", json::json(&report)))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if path.as_os_str() == "-" {
        use std::io::Write;
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

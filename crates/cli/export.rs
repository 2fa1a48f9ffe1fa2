//! `longhand export`: a kept read as one page that needs nothing else, as Markdown, as JSON, or packed into one file. A model with `--to` is
//! `export_model.rs`'s.

use std::path::{Path, PathBuf};

use agent::report::{self, Report};
use anyhow::{Context, Result, ensure};

use crate::{export_model, kept};

/// Writes a read that was kept with `read --save` as a page, Markdown, JSON or one file to pass on: every question that was asked of it, no
/// model needed. With --to, writes a model as safetensors or GGUF, with a model card beside it.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand export my-read --html my-read.html\n  longhand export my-read --md -\n  longhand export my-read --longhand my-read.longhand\n  longhand export qwen3-0.6b --adapter my-adapter --to gguf --type q4_k --out mine.gguf"
)]
pub struct ExportArgs {
    /// The directory given to `read --save`, or a file of --longhand; with --to a model: a short name that `longhand models`
    /// shows, a folder with config.json and safetensors, a .gguf file, or a hub id.
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
    /// The read itself in one file, documents and notes: what `longhand export`, `ask`, `web` and the page open.
    #[arg(long, value_name = "FILE")]
    longhand: Option<PathBuf>,
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
    let shown = [&args.html, &args.md, &args.json].iter().any(|path| path.is_some());
    ensure!(shown || args.longhand.is_some(), "say what to write: --html FILE, --md FILE, --json FILE or --longhand FILE");
    let kept = kept::open(&args.run)?;
    match &args.longhand {
        Some(path) if path.as_os_str() == "-" => write(path, &report::pack(&kept))?,
        Some(path) => kept::write_packed(path, &kept)?,
        None => {}
    }
    if !shown {
        return Ok(());
    }
    let report = Report::of(&kept);
    if let Some(path) = &args.html {
        write(path, &report::html(&report))?;
    }
    if let Some(path) = &args.md {
        write(path, &report::markdown(&report))?;
    }
    if let Some(path) = &args.json {
        write(path, &format!("{:#}\n", report::json(&report)))?;
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

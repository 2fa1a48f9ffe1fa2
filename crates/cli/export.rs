//! `longhand export`: a kept read as one page that needs nothing else, as Markdown, or as JSON.

mod json;
mod markdown;
mod page;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::report::Report;

/// Writes a read that was kept with `read --save` as a page, Markdown or JSON: every question that was asked of it. No model is needed.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  longhand export my-read --html my-read.html\n  longhand export my-read --md -")]
pub struct ExportArgs {
    /// The directory given to `read --save`.
    #[arg(value_name = "DIR")]
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
}

/// Runs the verb.
pub fn run(args: &ExportArgs) -> Result<()> {
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

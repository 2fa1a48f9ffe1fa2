//! `longhand data join`: the rows of several files as one. A training takes its rows in an order of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand data join lessons.jsonl talks.jsonl --out rows.jsonl")]
pub struct JoinArgs {
    /// JSON Lines files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The file, a row a line; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &JoinArgs) -> Result<()> {
    let inputs: Vec<File> = (args.files.iter())
        .map(|file| File::open(file).with_context(|| format!("cannot read {}", file.display())))
        .collect::<Result<_>>()?;
    let file = File::options().write(true).create_new(true).open(&args.out);
    let mut out = BufWriter::new(file.with_context(|| format!("cannot write {}: name another with --out", args.out.display()))?);
    let mut rows = 0u64;
    for (input, name) in inputs.into_iter().zip(&args.files) {
        for (number, line) in BufReader::new(input).lines().enumerate() {
            let line = line.with_context(|| format!("{}, line {}", name.display(), number + 1))?;
            if line.trim().is_empty() {
                continue;
            }
            ensure!(line.trim_start().starts_with('{'), "{}, line {} is no JSON object", name.display(), number + 1);
            writeln!(out, "{line}")?;
            rows += 1;
        }
    }
    out.flush()?;
    eprintln!("{}: {rows} rows of {} files", args.out.display(), args.files.len());
    Ok(())
}

//! `longhand init`: a configuration to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use train::Config;

/// Write a configuration with every key at its default, explained.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand init train --out my-training.toml")]
pub struct InitArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Of a training.
    Train {
        /// Where it goes; what is there stays.
        #[arg(long, value_name = "FILE", default_value = "train.toml")]
        out: PathBuf,
    },
}

/// Runs the verb.
pub fn run(args: &InitArgs) -> Result<()> {
    let What::Train { out } = &args.what;
    let cannot = || format!("cannot write {}", out.display());
    let mut file = match OpenOptions::new().write(true).create_new(true).open(out) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already, and is kept: name another with --out, or remove it", out.display())
        }
        opened => opened.with_context(cannot)?,
    };
    file.write_all(Config::TEMPLATE.as_bytes()).with_context(cannot)?;
    eprintln!("wrote {}: set model.path and data.file, the rest may stay", out.display());
    Ok(())
}

//! `longhand init`: a configuration to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use train::Config;
use train::rl::recipe::Recipe;

/// Write a configuration with every key at its default, explained.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  longhand init train --out my-training.toml\n  longhand init rl --out my-run.toml")]
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
    /// Of a reinforcement-learning run.
    Rl {
        /// Where it goes; what is there stays.
        #[arg(long, value_name = "FILE", default_value = "rl.toml")]
        out: PathBuf,
    },
}

/// Runs the verb.
pub fn run(args: &InitArgs) -> Result<()> {
    let (out, text, needed) = match &args.what {
        What::Train { out } => (out, Config::TEMPLATE, "model.path and data.file"),
        What::Rl { out } => (out, Recipe::TEMPLATE, "model.path, data.file and train.steps"),
    };
    let cannot = || format!("cannot write {}", out.display());
    let mut file = match OpenOptions::new().write(true).create_new(true).open(out) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already, and is kept: name another with --out, or remove it", out.display())
        }
        opened => opened.with_context(cannot)?,
    };
    file.write_all(text.as_bytes()).with_context(cannot)?;
    eprintln!("wrote {}: set {needed}, the rest may stay", out.display());
    Ok(())
}

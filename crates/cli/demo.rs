//! `longhand demo`: a small published model reads a bundled speech; `longhand demo acts`: a model of the stages learns and reads, in three acts.

mod acts;
mod learning;
mod reading;
mod speech;

use anyhow::Result;

/// Fetches SmolLM2-135M-Instruct (98 MB) once, then reads a public-domain speech through a window of 2,048 tokens.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  longhand demo\n  longhand demo acts --model tiny-run/stage-4/model --start tiny-run/far/model"
)]
pub struct DemoArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    speech: speech::SpeechArgs,
}

#[derive(clap::Subcommand)]
enum What {
    /// What a model of `longhand stages` has learnt: rewards live, one long document, twenty questions.
    Acts(acts::ActsArgs),
}

/// Runs the verb.
pub fn run(args: &DemoArgs) -> Result<()> {
    match &args.what {
        Some(What::Acts(acts)) => acts::run(acts),
        None => speech::run(&args.speech),
    }
}

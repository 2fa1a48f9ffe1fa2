//! `longhand demo`: the model of our own learns and reads, in three acts; `longhand demo speech`: a small published model reads a bundled speech.

mod acts;
mod embedded;
mod learning;
mod reading;
mod speech;

use anyhow::Result;

/// Three acts by a model of two million parameters that this repository trained and this program holds: it learns from rewards, reads one long
/// document, answers twenty questions; beside it the model before reinforcement learning, and what one window can do.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  longhand demo\n  longhand demo --plant \"Mara Voss sold the mill in 1931\"\n  longhand demo --acts 2 --words 200000\n  longhand demo --model tiny-run/stage-4/model --start tiny-run/steady/model\n  longhand demo speech"
)]
pub struct DemoArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    acts: acts::ActsArgs,
}

#[derive(clap::Subcommand)]
enum What {
    /// SmolLM2-135M-Instruct (98 MB, fetched once) reads a public-domain speech through a window of 2,048 tokens.
    Speech(speech::SpeechArgs),
}

/// Runs the verb.
pub fn run(args: &DemoArgs) -> Result<()> {
    match &args.what {
        Some(What::Speech(speech)) => speech::run(speech),
        None => acts::run(&args.acts),
    }
}

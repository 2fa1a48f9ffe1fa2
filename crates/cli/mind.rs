//! Who reads: from `--model` to a model that is loaded or a server that answers.

use anyhow::{Result, ensure};
use data::ChatModel;
use model::ChatEngine;
use server::Client;
use tokenizer::Tokenizer;

use crate::args::ModelArgs;
use crate::load;

/// A model on this machine, or a server's.
#[allow(clippy::large_enum_variant)]
pub enum Opened {
    /// The local engine.
    Local(ChatEngine),
    /// An OpenAI-compatible server.
    Server(Client),
}

/// Who reads.
pub struct Mind<'a> {
    /// The local engine or a server.
    pub model: &'a dyn ChatModel,
    /// What counts its tokens.
    pub tokenizer: &'a Tokenizer,
    /// Whether it may think before it replies.
    pub thinks: bool,
    /// Whether it is given the first words of its updates.
    pub begin: bool,
}

/// Opens what `--model` names, for calls of up to `window` tokens (`None`: what fits this machine).
pub fn open(args: &ModelArgs, window: Option<usize>) -> Result<Opened> {
    if args.model.starts_with("openai:") {
        ensure!(
            args.machine.is_default(),
            "--device, --adapter, --threads, --exact and --kv are for models on this machine; the server decides about its own"
        );
        let client = load::client(&args.model, window)?;
        if client.tokenizer().is_approximate() {
            eprintln!("tokens are estimated: the server's tokenizer is not here");
        }
        return Ok(Opened::Server(client));
    }
    let window = match window {
        Some(window) => window,
        None => fitting_window(args)?,
    };
    Ok(Opened::Local(load::chat(args, Some(window))?))
}

impl Opened {
    /// As the reader takes it.
    pub fn mind(&self) -> Mind<'_> {
        match self {
            Self::Local(model) => Mind { model, tokenizer: model.tokenizer(), thinks: model.thinks(), begin: true },
            // What a server's model does before it answers is not known: room for thinking unless told otherwise.
            Self::Server(client) => Mind { model: client, tokenizer: client.tokenizer(), thinks: true, begin: true },
        }
    }

    /// Says what a server was asked for; nothing for a local model.
    pub fn say_spent(&self) {
        let Self::Server(client) = self else { return };
        let spent = client.totals();
        eprintln!(
            "{} calls, {} from the cache, {} prompt and {} completion tokens{}",
            spent.calls,
            spent.cached,
            spent.prompt_tokens,
            spent.completion_tokens,
            if spent.estimated > 0 { " (estimated)" } else { "" }
        );
    }
}

/// The largest window whose cache takes at most a quarter of the memory that is free, up to the model's own and the paper's
/// 128K (§2.6).
fn fitting_window(args: &ModelArgs) -> Result<usize> {
    let (checkpoint, _) = load::checkpoint(&args.model)?;
    let config = checkpoint.config();
    let kv = args.machine.kv_dtype(load::weights_are_f32(&checkpoint));
    let per_position = (config.layers * kv.bytes_per_position(config.kv_heads, config.head_dim)) as u64;
    let fits = load::free_memory().map_or(8192, |bytes| (bytes / 4 / per_position.max(1)) as usize);
    Ok(fits.min(config.max_positions).min(128 * 1024))
}

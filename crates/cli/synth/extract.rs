//! `[extract]`: a model is asked for the facts of documents that state none outright.

use std::collections::BTreeMap;

use ::synth::{ExtractSettings, Extractor, Load};
use anyhow::{Result, anyhow};
use data::{ChatError, ChatReply, ChatRequest};

use super::config::Config;
use super::corpus::Read;
use super::model::{Absent, Asked};

/// Asks for them, and gives them to what was read.
///
/// # Errors
/// A call that gets no reply. What was asked is kept.
pub fn run(settings: &ExtractSettings, read: &mut Read, asked: &Asked) -> Result<()> {
    let prose = read.prose();
    let bar = crate::progress::documents(prose.len() as u64, "asking for facts");
    let key = asked.key();
    let reply = |role, request: &ChatRequest, reply: &ChatReply| asked.meter.reply(role, request, reply);
    let extractor = Extractor { model: asked.model(), settings, schema: asked.schema(), key: &key, on: &reply, tokenizer: &read.tokenizer };
    let on = &mut |done: usize| bar.set_position(done as u64);
    let found =
        asked.meter.timed("extract", || pollster::block_on(extractor.run(&read.corpus.sources, &prose, on))).map_err(
            |error| match error {
                ChatError::TooLong { .. } => {
                    anyhow!("{error}: a smaller window under [model] leaves such documents out, part = 8000 splits them")
                }
                error => anyhow!("{error}. What was asked is kept: the same command goes on"),
            },
        )?;
    bar.finish_and_clear();
    read.take(found);
    Ok(())
}

/// What it would take, without a model: where the configuration does not say its window, as if all documents fitted it.
/// `known` are the fields of tables that an earlier run found.
pub fn cost(config: &Config, read: &Read, known: &BTreeMap<usize, Vec<String>>) -> Result<BTreeMap<&'static str, Load>> {
    let (Some(settings), Some(model)) = (&config.extract, &config.model) else { return Ok(BTreeMap::new()) };
    let model = Absent { name: model.name.clone(), window: model.window.unwrap_or(usize::MAX) };
    let key = |_: &ChatRequest| String::new();
    let extractor = Extractor { model: &model, settings, schema: true, key: &key, on: &|_, _, _| {}, tokenizer: &read.tokenizer };
    extractor.cost(&read.corpus.sources, &read.prose(), known).map_err(|error| anyhow!("{error}"))
}

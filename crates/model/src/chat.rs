//! The local engine as a [`ChatModel`]: chat template, tokenizer, streaming text.
//!
//! Calls made at the same time share the engine's steps, as many as it has room for: whichever is polled makes the next step for all,
//! and leaves the others their tokens.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError};
use std::task::Poll;

use async_lock::Mutex;
use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, JsonSchema, Message, OnToken, Role, StopReason, Usage};
use serde_json::Value;
use tokenizer::{ChatTemplate, TemplateOptions, Tokenizer};

use crate::constrain::{Constraint, Vocabulary};
use crate::engine::{Engine, EngineSettings, Request, Token};
use crate::error::{ModelError, Result};
use crate::source::Checkpoint;
use crate::text::TextParts;
use crate::weights::Model;

/// A model that holds conversations, as many at once as its engine runs sequences; others wait their turn.
pub struct ChatEngine {
    name: String,
    window: usize,
    vocab: usize,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    thinks: bool,
    stop_ids: Vec<u32>,
    shared: Mutex<Shared>,
    /// Sequences whose calls have ended or were dropped.
    left: StdMutex<Vec<u64>>,
    /// The vocabulary by its bytes, from the first reply that is held to a schema; or why there is none.
    vocabulary: OnceLock<std::result::Result<Arc<Vocabulary>, String>>,
    /// Schemas asked for before.
    schemas: StdMutex<Vec<(Value, Constraint)>>,
}

/// Schemas that are kept ready; a program asks for few.
const SCHEMAS: usize = 16;

/// The engine, and the tokens of calls that were not polled when they came.
struct Shared {
    engine: Engine,
    outbox: HashMap<u64, Vec<Token>>,
}

/// A call's sequence, until the call ends or is dropped.
struct Turn<'a> {
    id: u64,
    left: &'a StdMutex<Vec<u64>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
    }
}

impl Shared {
    /// Lets go of sequences that nobody waits for.
    fn forget(&mut self, left: &StdMutex<Vec<u64>>) {
        for id in left.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.engine.cancel(id);
            self.outbox.remove(&id);
        }
    }

    /// The next tokens of a sequence; none while its prompt is being read.
    async fn next(&mut self, id: u64) -> Result<Vec<Token>> {
        if !self.outbox.contains_key(&id) {
            for token in self.engine.step().await? {
                self.outbox.entry(token.sequence).or_default().push(token);
            }
        }
        Ok(self.outbox.remove(&id).unwrap_or_default())
    }
}

/// Lets other futures go on before this one.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

impl ChatEngine {
    /// Sets up an engine over `model` with the tokenizer and template of `checkpoint`. Without a template, ChatML is used if
    /// the vocabulary has its marks; otherwise this is an error.
    pub fn new(model: Arc<Model>, checkpoint: &Checkpoint, settings: EngineSettings, name: String) -> Result<Self> {
        let TextParts { tokenizer, template, template_source } = TextParts::new(checkpoint)?;
        let template = match template {
            Some(template) => template,
            None if tokenizer.id("<|im_start|>").is_some() && tokenizer.id("<|im_end|>").is_some() => ChatTemplate::chatml(),
            None => return Err(ModelError::Request("the checkpoint has no chat template and its vocabulary is not ChatML".into())),
        };
        let mut stop_ids = model.config.eos.clone();
        stop_ids.extend(["<|im_end|>", "<|endoftext|>", "<|eot_id|>"].iter().filter_map(|token| tokenizer.id(token)));
        stop_ids.sort_unstable();
        stop_ids.dedup();
        let described = format!("{name} ({}, {})", main_dtype(checkpoint), model.device.describe());
        let vocab = model.config.vocab;
        let thinks = template_source.is_some_and(|source| source.contains("<think>"));
        let shared = Mutex::new(Shared { engine: Engine::new(model, settings)?, outbox: HashMap::new() });
        let left = StdMutex::default();
        let (window, vocabulary, schemas) = (settings.window, OnceLock::new(), StdMutex::default());
        Ok(Self { name: described, window, vocab, tokenizer, template, thinks, stop_ids, shared, left, vocabulary, schemas })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether its template knows thinking blocks.
    pub fn thinks(&self) -> bool {
        self.thinks
    }

    /// Whether it can hold replies to a JSON schema: its tokens stand for bytes, and JSON's own are among them.
    pub fn holds_schemas(&self) -> bool {
        self.vocabulary().is_ok()
    }

    fn vocabulary(&self) -> std::result::Result<Arc<Vocabulary>, String> {
        let make = || Vocabulary::new(&self.tokenizer, self.vocab).map(Arc::new).map_err(|error| error.to_string());
        self.vocabulary.get_or_init(make).clone()
    }

    /// What the reply to `request` is held to, from where it goes on.
    fn constraint(&self, request: &ChatRequest) -> std::result::Result<Option<Constraint>, ChatError> {
        let Some(JsonSchema { schema, .. }) = &request.schema else { return Ok(None) };
        if !request.stop.is_empty() {
            return Err(ChatError::Invalid("a stop text would cut a reply that is held to a schema".into()));
        }
        let invalid = |error: ModelError| ChatError::Invalid(error.to_string());
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let known = schemas.iter().position(|(known, _)| known == schema);
        let mut constraint = match known {
            Some(at) => schemas[at].1.clone(),
            None => {
                let constraint = Constraint::new(self.vocabulary().map_err(ChatError::Invalid)?, schema).map_err(invalid)?;
                if schemas.len() >= SCHEMAS {
                    schemas.remove(0);
                }
                schemas.push((schema.clone(), constraint.clone()));
                constraint
            }
        };
        if let Some(Message { role: Role::Assistant, content }) = request.messages.last() {
            constraint.begin(content).map_err(invalid)?;
        }
        Ok(Some(constraint))
    }

    fn prompt(&self, messages: &[Message], held: bool) -> std::result::Result<Vec<u32>, ChatError> {
        // A reply that is held to a schema has no room for thoughts.
        let enable_thinking = if held && self.thinks { Some(false) } else { None };
        let options = TemplateOptions { add_generation_prompt: true, enable_thinking };
        let invalid = |error: tokenizer::TokenizerError| ChatError::Invalid(error.to_string());
        let (turns, begun) = match messages {
            [turns @ .., last] if last.role == Role::Assistant => (turns, Some(&last.content)),
            turns => (turns, None),
        };
        // The messages' text is data: a document that spells `<|im_end|>` does not end the turn.
        let mut ids = self.template.encode(&self.tokenizer, turns, &options).map_err(invalid)?;
        if let Some(begun) = begun {
            ids.extend(self.tokenizer.encode(begun).map_err(invalid)?);
        }
        match ids.iter().find(|&&id| id as usize >= self.vocab) {
            Some(id) => Err(ChatError::Invalid(format!("the tokenizer gave token {id}, the model's vocabulary has {}", self.vocab))),
            None => Ok(ids),
        }
    }

    async fn run(&self, request: &ChatRequest, on_text: OnToken<'_>) -> std::result::Result<ChatReply, ChatError> {
        let constraint = self.constraint(request)?;
        let prompt = self.prompt(&request.messages, constraint.is_some())?;
        let prompt_tokens = prompt.len();
        if prompt_tokens >= self.window {
            return Err(ChatError::TooLong { prompt: prompt_tokens, window: self.window });
        }
        let max_new_tokens = request.max_tokens.min(self.window - prompt_tokens);
        let failed = |error: ModelError| ChatError::Failed(error.to_string());
        let turn = {
            let mut shared = self.shared.lock().await;
            shared.forget(&self.left);
            let request = Request { prompt, max_new_tokens, sampling: request.sampling, stop_ids: self.stop_ids.clone() };
            Turn { id: shared.engine.submit_constrained(request, constraint).map_err(failed)?, left: &self.left }
        };
        let mut decoder = self.tokenizer.decoder();
        let (mut shown, mut stopped) = (0, false);
        let mut reply = ChatReply {
            text: String::new(),
            token_ids: vec![],
            logprobs: vec![],
            stop: StopReason::Length,
            usage: Usage { prompt_tokens, completion_tokens: 0 },
        };
        let undecodable = |error: tokenizer::TokenizerError| ChatError::Failed(error.to_string());
        let mut ended = false;
        while !ended {
            let tokens = {
                let mut shared = self.shared.lock().await;
                shared.forget(&self.left);
                shared.next(turn.id).await.map_err(failed)?
            };
            for token in tokens {
                ended |= token.stop.is_some();
                if token.stop == Some(StopReason::Eos) {
                    reply.stop = StopReason::Eos;
                    continue;
                }
                reply.token_ids.push(token.id);
                reply.logprobs.push(token.logprob);
                reply.text.push_str(&decoder.push(token.id).map_err(undecodable)?);
            }
            if let Some(end) = first_stop(&reply.text, &request.stop) {
                reply.text.truncate(end);
                reply.stop = StopReason::Eos;
                (stopped, ended) = (true, true);
            }
            // What may be the beginning of a stop text is held back.
            let safe = reply.text.len() - if ended { 0 } else { held_back(&reply.text, &request.stop) };
            if safe > shown {
                on_text(&reply.text[shown..safe]);
                shown = safe;
            }
            if !ended {
                yield_now().await;
            }
        }
        if !stopped {
            let rest = decoder.finish().map_err(undecodable)?;
            reply.text.push_str(&rest);
            on_text(&rest);
        }
        reply.usage.completion_tokens = reply.token_ids.len();
        Ok(reply)
    }
}

impl ChatModel for ChatEngine {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn window(&self) -> usize {
        self.window
    }

    fn continues(&self) -> bool {
        true
    }

    fn count_prompt(&self, messages: &[Message]) -> std::result::Result<usize, ChatError> {
        Ok(self.prompt(messages, false)?.len())
    }

    fn chat<'a>(&'a self, request: &'a ChatRequest, on_text: OnToken<'a>) -> BoxFuture<'a, std::result::Result<ChatReply, ChatError>> {
        Box::pin(self.run(request, on_text))
    }
}

/// Where the first stop text begins.
fn first_stop(text: &str, stops: &[String]) -> Option<usize> {
    stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min()
}

/// Bytes at the text's end that begin a stop text.
fn held_back(text: &str, stops: &[String]) -> usize {
    let begun = |stop: &String| (1..stop.len()).rev().find(|&n| stop.is_char_boundary(n) && text.ends_with(&stop[..n])).unwrap_or(0);
    stops.iter().map(begun).max().unwrap_or(0)
}

/// The format most weights are stored in.
fn main_dtype(checkpoint: &Checkpoint) -> &'static str {
    let mut totals: Vec<(kernels::DType, u64)> = Vec::new();
    for tensor in checkpoint.tensors() {
        let bytes = tensor.bytes.len();
        match totals.iter_mut().find(|(dtype, _)| *dtype == tensor.dtype) {
            Some((_, total)) => *total += bytes,
            None => totals.push((tensor.dtype, bytes)),
        }
    }
    totals.into_iter().max_by_key(|&(_, total)| total).map_or("empty", |(dtype, _)| dtype.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_text_ends_the_reply_and_its_beginning_is_held_back() {
        let stops = ["</plan>".to_string(), String::new(), "终了".to_string()];
        assert_eq!(first_stop("a</plan>b终了", &stops), Some(1));
        assert_eq!(first_stop("a</plan", &stops), None);
        assert_eq!(held_back("note </pl", &stops), 4);
        assert_eq!(held_back("note 终", &stops), "终".len());
        assert_eq!(held_back("note", &stops), 0);
    }
}

//! What a model's calls took: by role over all of them, whether they were made or kept from before; and how fast those were that were made.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Message, OnToken};
use serde_json::{Value, json};

/// The calls of one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Calls.
    pub calls: u64,
    /// Bytes of their prompts' texts.
    pub prompt_bytes: u64,
    /// Tokens of their prompts, as the model counted.
    pub prompt_tokens: u64,
    /// Tokens of their replies.
    pub reply_tokens: u64,
}

/// The calls that were made of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// They took so long, side by side.
    pub seconds: f64,
    /// Their tokens, of prompts and replies.
    pub tokens: u64,
}

/// Counts replies.
#[derive(Debug, Default)]
pub struct Meter {
    used: Mutex<BTreeMap<&'static str, Used>>,
    speeds: Mutex<BTreeMap<&'static str, Speed>>,
    made: Arc<AtomicU64>,
}

impl Meter {
    /// A reply in a role, from wherever it came.
    pub fn reply(&self, role: &'static str, request: &ChatRequest, reply: &ChatReply) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = used.entry(role).or_default();
        used.calls += 1;
        used.prompt_bytes += request.messages.iter().map(|message| message.content.len() as u64).sum::<u64>();
        used.prompt_tokens += reply.usage.prompt_tokens as u64;
        used.reply_tokens += reply.usage.completion_tokens as u64;
    }

    /// A model whose calls count as made; put before it what keeps replies.
    pub fn made<M>(&self, model: M) -> Made<M> {
        Made { model, tokens: self.made.clone() }
    }

    /// Does a part of a stage.
    pub fn timed<T>(&self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        let (before, begun) = (self.made.load(Ordering::Relaxed), Instant::now());
        let out = work();
        let tokens = self.made.load(Ordering::Relaxed) - before;
        // Kept replies come at once: they say nothing of the model's speed.
        if tokens > 0 {
            let mut speeds = self.speeds.lock().unwrap_or_else(PoisonError::into_inner);
            let speed = speeds.entry(stage).or_default();
            *speed = Speed { seconds: speed.seconds + begun.elapsed().as_secs_f64(), tokens: speed.tokens + tokens };
        }
        out
    }

    /// For the report: the same whether calls were made or kept.
    pub fn json(&self) -> Value {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |(role, used): (&&str, &Used)| {
            let Used { calls, prompt_bytes, prompt_tokens, reply_tokens } = used;
            let used = json!({"calls": calls, "prompt_bytes": prompt_bytes, "prompt_tokens": prompt_tokens, "reply_tokens": reply_tokens});
            (role.to_string(), used)
        };
        used.iter().map(one).collect()
    }

    /// For the report: what took how long, this time.
    pub fn speeds(&self) -> Value {
        let speeds = self.speeds.lock().unwrap_or_else(PoisonError::into_inner);
        speeds.iter().map(|(stage, speed)| (stage.to_string(), json!({"seconds": speed.seconds, "tokens": speed.tokens}))).collect()
    }
}

/// A model whose tokens are counted.
pub struct Made<M> {
    model: M,
    tokens: Arc<AtomicU64>,
}

impl<M: ChatModel> ChatModel for Made<M> {
    fn name(&self) -> String {
        self.model.name()
    }

    fn window(&self) -> usize {
        self.model.window()
    }

    fn count_prompt(&self, messages: &[Message]) -> Result<usize, ChatError> {
        self.model.count_prompt(messages)
    }

    fn continues(&self) -> bool {
        self.model.continues()
    }

    fn chat<'a>(&'a self, request: &'a ChatRequest, on_text: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
        Box::pin(async move {
            let outcome = self.model.chat(request, on_text).await;
            if let Ok(reply) = &outcome {
                let tokens = reply.usage.prompt_tokens + reply.usage.completion_tokens;
                self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
            }
            outcome
        })
    }
}

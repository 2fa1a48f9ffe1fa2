//! A model behind an OpenAI-compatible address, by the browser's own `fetch`. What is read is sent there.

use std::cell::RefCell;
use std::rc::Rc;

use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Message, OnToken, StopReason, Usage};
use js_sys::Reflect;
use serde_json::{Value, json};
use tokenizer::Tokenizer;
use wasm_bindgen::prelude::*;

use crate::protocol::{Problem, ProblemKind};

#[wasm_bindgen(module = "/src/network.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn converse(url: &str, key: &str, body: &str, took: &Closure<dyn FnMut(String)>) -> Result<JsValue, JsValue>;
}

/// Tokens of one call: what nearly every server takes.
const WINDOW: usize = 16_384;

/// What a failed call says of a server that did not answer at all.
pub const UNREACHED: &str = "cannot be reached";

/// The server.
pub struct Endpoint {
    url: String,
    host: String,
    model: String,
    key: String,
    counts: Tokenizer,
}

impl Endpoint {
    /// The model `model` at `url`, which is checked to be an address.
    pub fn new(url: &str, model: &str, key: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| Problem { kind: ProblemKind::Network, message: format!("“{url}” is no address of a server: {why}.") };
        let parsed = web_sys::Url::new(url).map_err(|_| wrong("write it as https://host/v1"))?;
        if !["http:", "https:"].contains(&parsed.protocol().as_str()) {
            return Err(wrong("it must begin with https:// or http://"));
        }
        if model.trim().is_empty() {
            return Err(Problem { kind: ProblemKind::Model, message: "Name the model as the server calls it.".into() });
        }
        let (url, host) = (url.trim_end_matches('/').to_string(), parsed.host());
        Ok(Self { url, host, model: model.into(), key: key.into(), counts: Tokenizer::approximate() })
    }

    /// Its host, for the panel that says what leaves the tab.
    pub fn host(&self) -> String {
        self.host.clone()
    }

    fn count(&self, messages: &[Message]) -> Result<usize, ChatError> {
        let count = |text: &str| self.counts.count(text).map_err(|problem| ChatError::Invalid(problem.to_string()));
        messages.iter().map(|message| Ok(count(&message.content)? + 4)).sum()
    }

    async fn run(&self, request: &ChatRequest, on_text: OnToken<'_>) -> Result<ChatReply, ChatError> {
        let mut body = json!({
            "model": self.model, "messages": request.messages, "max_tokens": request.max_tokens, "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p, "seed": (request.sampling.seed ^ (request.sampling.seed >> 32)) & 0x7fff_ffff, "stream": true, "stream_options": {"include_usage": true},
        });
        if !request.stop.is_empty() {
            body["stop"] = json!(request.stop);
        }
        if let Some(schema) = &request.schema {
            body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": schema.name, "schema": schema.schema}});
        }
        let reply = Rc::new(RefCell::new(ChatReply {
            text: String::new(),
            token_ids: vec![],
            logprobs: vec![],
            stop: StopReason::Length,
            usage: Usage::default(),
        }));
        let took = {
            let reply = reply.clone();
            Closure::new(move |line: String| drop(serde_json::from_str(&line).map(|event| take(&mut reply.borrow_mut(), &event))))
        };
        let answer = converse(&format!("{}/chat/completions", self.url), &self.key, &body.to_string(), &took).await;
        drop(took);
        let answer = answer.map_err(|problem| {
            let why = super::store::told(&problem).message;
            let help = "Start it, check its address, and let it allow this page's origin (CORS).";
            ChatError::Failed(format!("{} {UNREACHED}: {why} {help}", self.host))
        })?;
        let field = |name: &str| Reflect::get(&answer, &name.into()).unwrap_or(JsValue::UNDEFINED);
        let (status, text) = (field("status").as_f64().unwrap_or(0.0), field("text").as_string().unwrap_or_default());
        let mut reply = Rc::try_unwrap(reply).map(RefCell::into_inner).unwrap_or_else(|shared| shared.borrow().clone());
        if status != 200.0 {
            let said: String = text.chars().take(300).collect();
            return Err(ChatError::Failed(format!("{} answered {status}: {said}", self.host)));
        }
        if !text.is_empty() {
            // It did not stream: one answer.
            let event: Value =
                serde_json::from_str(&text).map_err(|problem| ChatError::Failed(format!("{} answered no JSON: {problem}", self.host)))?;
            take(&mut reply, &event);
        }
        on_text(&reply.text);
        Ok(reply)
    }
}

/// Adds an event of the stream, or a whole answer.
fn take(reply: &mut ChatReply, event: &Value) {
    let choice = &event["choices"][0];
    for text in [&choice["delta"]["content"], &choice["message"]["content"]] {
        reply.text.push_str(text.as_str().unwrap_or_default());
    }
    if choice["finish_reason"].as_str().is_some_and(|reason| reason != "length") {
        reply.stop = StopReason::Eos;
    }
    let tokens = |name: &str| event["usage"][name].as_u64().map(|count| count as usize);
    reply.usage.prompt_tokens = tokens("prompt_tokens").unwrap_or(reply.usage.prompt_tokens);
    reply.usage.completion_tokens = tokens("completion_tokens").unwrap_or(reply.usage.completion_tokens);
}

impl ChatModel for Endpoint {
    fn name(&self) -> String {
        format!("{} at {}", self.model, self.host)
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn count_prompt(&self, messages: &[Message]) -> Result<usize, ChatError> {
        self.count(messages)
    }

    fn chat<'a>(&'a self, request: &'a ChatRequest, on_text: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
        Box::pin(self.run(request, on_text))
    }
}

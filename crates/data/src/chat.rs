use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

/// `Send` on native targets, nothing on wasm, where there is one thread.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}
/// `Send` on native targets, nothing on wasm, where there is one thread.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}

/// `Sync` on native targets, nothing on wasm.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSync: Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Sync + ?Sized> MaybeSync for T {}
/// `Sync` on native targets, nothing on wasm.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSync {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSync for T {}

/// A boxed future, `Send` where threads are.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A boxed future, `Send` where threads are.
#[cfg(target_arch = "wasm32")]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Receives a reply's text as it grows.
#[cfg(not(target_arch = "wasm32"))]
pub type OnToken<'a> = &'a mut (dyn FnMut(&str) + Send);
/// Receives a reply's text as it grows.
#[cfg(target_arch = "wasm32")]
pub type OnToken<'a> = &'a mut dyn FnMut(&str);

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of the person.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// A turn of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }

    /// Standing instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: Role::System, content: content.into() }
    }
}

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// τ; 0 is greedy.
    pub temperature: f32,
    /// 0 keeps all.
    pub top_k: u32,
    /// 1 keeps all.
    pub top_p: f32,
    /// 0 keeps all.
    pub min_p: f32,
    /// Same seed, same tokens.
    pub seed: u64,
}

impl Sampling {
    /// The most likely token, always.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 };
    /// The paper's setting (§4.1): τ 0.7, top-p 0.95.
    pub const PAPER: Self = Self { temperature: 0.7, top_k: 0, top_p: 0.95, min_p: 0.0, seed: 0 };
}

/// The form a reply must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JsonSchema {
    /// For logs and servers: letters, digits, `_` and `-`.
    pub name: String,
    /// The JSON Schema itself.
    pub schema: serde_json::Value,
}

/// A conversation to continue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The turns so far. A last turn of the assistant's is the beginning of the reply, which the model continues
    /// (only where [`ChatModel::continues`]).
    pub messages: Vec<Message>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Upper bound of the reply.
    pub max_tokens: usize,
    /// The reply ends before the first of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// The reply is JSON of this form, unless `max_tokens` cut it ([`StopReason::Length`]); a beginning by the assistant is the JSON's. A
    /// model that cannot hold itself to one refuses the request. The local engine holds to every schema that it takes, and refuses one
    /// with a keyword it does not know, or together with stop texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<JsonSchema>,
}

impl ChatRequest {
    /// A request without stop texts and of no particular form.
    pub fn new(messages: Vec<Message>, sampling: Sampling, max_tokens: usize) -> Self {
        Self { messages, sampling, max_tokens, stop: Vec::new(), schema: None }
    }
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopReason {
    /// The model ended its turn.
    Eos,
    /// The token bound was reached.
    Length,
}

/// Tokens a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens, those answered from a shared prefix included.
    pub prompt_tokens: usize,
    /// Generated tokens.
    pub completion_tokens: usize,
}

/// A model's reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// Its text, thinking included, special tokens not.
    pub text: String,
    /// Token ids, where the model tells.
    pub token_ids: Vec<u32>,
    /// Log-probability of each token at τ, where the model tells.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub stop: StopReason,
    /// What it took.
    pub usage: Usage,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatError {
    /// Prompt and reply do not fit the window.
    TooLong {
        /// Prompt tokens.
        prompt: usize,
        /// The window.
        window: usize,
    },
    /// The request is malformed; trying again will not help.
    Invalid(String),
    /// The model failed (device lost, out of memory, server down).
    Failed(String),
    /// What may be spent is spent: the caller's own bound, or the account at the server.
    Budget(String),
}

impl std::fmt::Display for ChatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { prompt, window } => write!(f, "the prompt has {prompt} tokens, the window {window}"),
            Self::Invalid(message) | Self::Failed(message) | Self::Budget(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ChatError {}

/// Anything that continues a conversation: the local engine, a server, a script in a test.
pub trait ChatModel: MaybeSend + MaybeSync {
    /// For people and logs: `SmolLM2-135M-Instruct (q4_1, cpu)`.
    fn name(&self) -> String;

    /// Prompt plus reply, in tokens.
    fn window(&self) -> usize;

    /// Tokens the chat template and `messages` take as a prompt.
    fn count_prompt(&self, messages: &[Message]) -> Result<usize, ChatError>;

    /// Whether a last turn of the assistant's is continued, rather than answered with a turn of its own.
    fn continues(&self) -> bool {
        false
    }

    /// Continues the conversation; `on_text` receives the reply's new text as it comes.
    fn chat<'a>(&'a self, request: &'a ChatRequest, on_text: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_schema_is_written_as_it_always_was() {
        let old = r#"{"messages":[{"role":"user","content":"hi"}],"sampling":{"temperature":0.0,"top_k":0,"top_p":1.0,"min_p":0.0,"seed":0},"max_tokens":5}"#;
        let mut request: ChatRequest = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), old);
        request.schema = Some(JsonSchema { name: "n".into(), schema: serde_json::json!({"type": "object"}) });
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<ChatRequest>(&text).unwrap(), request);
    }
}

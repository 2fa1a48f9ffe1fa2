//! A model behind an OpenAI-compatible server, as a [`data::ChatModel`]: vLLM, SGLang, llama.cpp, Ollama and the vendors.
//!
//! - [`ClientSettings::parse`] reads `openai:URL#NAME`; [`Client::connect`] asks the server for what that leaves open.
//! - Replies stream. A call fails with what the server said and what to do; failures that may pass are tried again while they have
//!   cost nothing, and the number of calls at a time follows what the server bears.
//! - [`Budget`] bounds what may be spent, [`Client::totals`] tells what was, and a [`Cache`] sees to it that nothing is paid for twice.
//!
//! Calls run on threads of their own and their futures on any executor.

mod cache;
mod client;
mod clock;
mod discover;
mod error;
mod failure;
mod gate;
mod http;
mod settings;
mod sse;
mod totals;
mod wire;

pub use cache::{Cache, Cached, Key};
pub use client::Client;
pub use clock::{Clock, SystemClock};
pub use discover::{ServedModel, models};
pub use error::ServerError;
pub use settings::{ApiKey, Budget, ClientSettings, Concurrency, Timeouts};
pub use totals::Totals;

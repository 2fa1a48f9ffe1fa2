//! Records that cross a file, a socket or a crate, and the one way any part of Longhand reaches a language model: [`ChatModel`].

mod chat;
mod citation;
mod read_log;
mod records;
mod text;

pub use chat::{
    BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, JsonSchema, MaybeSend, MaybeSync, Message, OnToken, Role, Sampling,
    StopReason, Usage,
};
pub use citation::{Citation, Source, Support};
pub use read_log::{MemoryOutcome, ReadEvent};
pub use records::{Document, Mark, Place, Span};
pub use text::Text;

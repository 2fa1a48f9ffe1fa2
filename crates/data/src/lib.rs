//! Records that cross a file, a socket or a crate, and the one way any part of Longhand reaches a language model: [`ChatModel`].

mod chat;
mod citation;
mod items;
mod read_log;
mod records;
mod rl;
mod rl_log;
mod synth;
mod text;
mod train_log;
mod train_state;

pub use chat::{
    BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, JsonSchema, MaybeSend, MaybeSync, Message, OnToken, Role, Sampling,
    StopReason, Usage,
};
pub use citation::{Citation, Source, Support};
pub use items::Item;
pub use read_log::{MemoryOutcome, ReadEvent};
pub use records::{Document, Mark, Place, Span};
pub use rl::{AepoState, RlState, SamplerState, TaskCursor};
pub use rl_log::{AlarmKind, RlSample, RlStep, RlValidation, SampleRank, TaskStep};
pub use synth::{Cell, Check, Column, Derivation, Edge, Engine, Fact, Obfuscation, Part, Table, Transcript};
pub use text::Text;
pub use train_log::{Machine, StopCause, TrainEvent, TrainStart, TrainStep};
pub use train_state::{BestValidation, DataCursor, FileRecord, Manifest, TrainState};

//! The memory agent: reads documents of any length through a window of any size (the paper's §3).
//!
//! A document is cut into chunks; for each, the model rewrites its memory and its plan; the last memory answers. Nothing here
//! knows how the model runs ([`data::ChatModel`]) or where the log is kept ([`EventSink`]).

mod changes;
mod cite;
pub mod edits;
mod followup;
mod outline;
mod prompts;
mod proven;
mod question;
mod reader;
mod reply;
pub mod report;
mod retrieve;
mod select;
mod settings;
mod tags;
mod turn;

pub use changes::{Change, ChangeKind, Piece, changes};
pub use cite::{CheckedQuote, NoteQuote, QuoteFound, Sources, describe, note_quotes};
pub use followup::{Evidence, Notes, sections_for};
pub use outline::claims_of;
pub use prompts::{NO_MEMORY, NO_PLAN, NOT_HELD, SAME, split_question};
pub use reader::{Ask, EventSink, Progress, ReadError, Reading, coverage, read, read_all, together};
pub use reply::{NextState, read_update, spoken, strip_thinking};
pub use retrieve::Passages;
pub use select::{joined, retrieve, truncate};
pub use settings::{Mode, ReadSettings};
pub use tags::neutralise;
pub use turn::{Trail, limit as update_limit};

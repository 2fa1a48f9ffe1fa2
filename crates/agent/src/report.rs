//! A kept read, shown: each question with its notes, its answer and their citations, as one page, as Markdown, or as JSON.
//!
//! [`Kept`] is what a read leaves behind, its documents and logs; [`Report::of`] cites it again, each sentence from what had been read by
//! then; [`html`], [`markdown`] and [`json`] write that. [`pack`] makes one file of a kept read, and [`unpack`] a kept read of any text that
//! says it is one. Nothing here opens a file.

mod cited;
mod json;
mod kept;
mod markdown;
mod pack;
mod page;
mod read;

pub use cited::{Cited, claims, place, quotes_json, whole};
pub use json::json;
pub use kept::{Kept, KeptError, Log};
pub use markdown::markdown;
pub use pack::{UnpackError, pack, unpack};
pub use page::html;
pub use read::{Counts, Read, Report, Turn, carried};

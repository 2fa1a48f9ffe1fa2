//! What the page's modules have in common: what page, worker and inspector say to each other, and files between a page and the disk. Each module has
//! its own copy of this code and none of its state.
#![cfg(target_arch = "wasm32")]

mod files;
pub mod protocol;

pub use files::{blob, files_of, save};

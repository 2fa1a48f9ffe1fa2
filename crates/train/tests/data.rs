//! From rows to packs: masks against Transformers and by hand, bad files, packing, the order.

#[path = "data/files.rs"]
mod files;
#[path = "data/masks.rs"]
mod masks;
#[path = "data/steps.rs"]
mod steps;

mod common;

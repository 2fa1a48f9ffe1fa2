//! Trains a model on the machine at hand: from rows of conversations to packed micro-batches, steps, checkpoints.

pub mod run;

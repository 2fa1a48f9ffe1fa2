//! Reinforcement learning as in the paper (§4): rollouts of the model as it is, a reward for each, an advantage per task, one update a batch.
//!
//! The recipe itself is maths, values in and values out: [`sampler`] says which prompts a batch has, [`advantage`] what a rollout is worth
//! beside the others of its group, [`aepo`] and [`clip`] which negative gradients count, [`loss`] what each token weighs;
//! [`recipe`] is what a run's configuration asks of them.

pub mod ablation;
pub mod advantage;
pub mod aepo;
pub mod alarms;
pub mod bins;
pub mod clip;
mod curves;
pub mod environment;
pub mod items;
pub mod ladder;
pub mod learn;
pub mod loss;
pub mod memory;
mod passes;
pub mod recipe;
pub mod reinforce;
pub mod rollout;
pub mod sampler;
pub mod score;
pub mod turns;

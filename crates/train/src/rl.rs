//! Reinforcement learning as in the paper (§4): rollouts of the model as it is, a reward for each, an advantage per task, one update a batch.

pub mod advantage;
pub mod aepo;
pub mod alarms;
pub mod clip;
pub mod environment;
pub mod ladder;
pub mod loss;
pub mod recipe;
pub mod reinforce;
pub mod rollout;
pub mod sampler;

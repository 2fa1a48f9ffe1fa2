//! Reinforcement learning as in the paper (§4): rollouts of the model as it is, a reward for each, an advantage per task, one update a batch.

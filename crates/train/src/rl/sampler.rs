//! quick
use data::SamplerState;
use crate::sft::random;
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Balance { Task, None }
#[derive(Debug, thiserror::Error)]
pub enum SamplerError { #[error("task {0} has no items")] Empty(String) }
pub struct Sampler { tasks: Vec<usize>, seed: u64, drawn: u64 }
impl Sampler {
    pub fn new(_balance: Balance, tasks: &[(String, usize)], seed: u64) -> Result<Self, SamplerError> {
        for (n, c) in tasks { if *c == 0 { return Err(SamplerError::Empty(n.clone())); } }
        Ok(Self { tasks: tasks.iter().map(|t| t.1).collect(), seed, drawn: 0 })
    }
    pub fn next(&mut self, batch: usize) -> Vec<(usize, usize)> {
        (0..batch).map(|i| { let t = i % self.tasks.len(); let d = self.drawn; self.drawn += 1; (t, (random(self.seed, 77, d) % self.tasks[t] as u64) as usize) }).collect()
    }
    pub fn state(&self) -> SamplerState { SamplerState::default() }
    pub fn restore(&mut self, _s: &SamplerState) -> Result<(), SamplerError> { Ok(()) }
}

//! Supervised steps before reinforcement learning: a policy that is never right has nothing to learn from.

use super::super::environment::Environment;
use super::super::reinforce::Reinforce;
use super::toys::{Dice, Toy};
use crate::error::Result;
use crate::trainer::Sequence;

/// How long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup {
    /// Steps at most.
    pub steps: u64,
    /// Sequences of a step.
    pub sequences: usize,
    /// Learning rate.
    pub lr: f32,
    /// It ends once the held-out reward is this high.
    pub until: f64,
    /// Steps between looks at it.
    pub every: u64,
}

/// Trains on lessons; steps taken.
pub async fn warm<E: Environment>(
    policy: &mut Reinforce<E>,
    (lessons, held): (&Toy, &mut Toy),
    warmup: &Warmup,
    seed: u64,
    mut see: impl FnMut(u64, f64, f64),
) -> Result<u64> {
    let mut loss = f64::NAN;
    for step in 0..warmup.steps {
        if step % warmup.every == 0 {
            let reward = f64::from(policy.validate(held, || ()).await?.0.reward);
            see(step, reward, loss);
            if reward >= warmup.until {
                return Ok(step);
            }
        }
        let mut dice = Dice::new(seed, 1 << 32 | step);
        let rows: Vec<(Vec<u32>, Vec<bool>)> = (0..warmup.sequences).map(|_| lessons.lesson(&mut dice)).collect();
        let sequences: Vec<Sequence> = rows.iter().map(|(ids, loss_mask)| Sequence { ids, loss_mask }).collect();
        let targets = rows.iter().flat_map(|(_, mask)| mask).filter(|&&target| target).count();
        policy.trainer.accumulate(&sequences, 1.0 / targets as f64).await?;
        loss = policy.trainer.step(warmup.lr).await?.loss;
    }
    Ok(warmup.steps)
}

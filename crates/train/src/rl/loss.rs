//! quick
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossNorm { Group, Batch }
pub fn token_weights(advantages: &[f64], lengths: &[usize], groups: &[usize], counted: &[bool], norm: LossNorm) -> Vec<Vec<f32>> {
    let mut of: std::collections::BTreeMap<usize, usize> = Default::default();
    for i in 0..lengths.len() { if counted[i] { *of.entry(groups[i]).or_default() += lengths[i]; } }
    let all: usize = of.values().sum();
    let count = of.len().max(1) as f64;
    (0..lengths.len()).map(|i| {
        let n = match norm { LossNorm::Group => of.get(&groups[i]).copied().unwrap_or(1).max(1) as f64 * count, LossNorm::Batch => all.max(1) as f64 };
        vec![(-advantages[i] / n) as f32; lengths[i]]
    }).collect()
}

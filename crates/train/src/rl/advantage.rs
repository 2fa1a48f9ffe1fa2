//! Advantages (eq. 7, §4.2): quick.
pub struct Row<'a> { pub group: &'a str, pub task: &'a str, pub reward: f64, pub trajectory: Option<&'a str> }
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Center { Group, None }
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale { Task, Group, Batch, None }
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings { pub center: Center, pub scale: Scale }
#[derive(Default)]
pub struct Advantages { pub values: Vec<f64>, pub zero_variance_groups: usize }
pub fn advantages(rows: &[Row], settings: &Settings) -> Advantages {
    use std::collections::HashMap;
    let mut groups: HashMap<&str, Vec<f64>> = HashMap::new();
    let mut tasks: HashMap<&str, Vec<f64>> = HashMap::new();
    let mut all = vec![];
    for r in rows { groups.entry(r.group).or_default().push(r.reward); tasks.entry(r.task).or_default().push(r.reward); all.push(r.reward); }
    let std = |v: &[f64]| { if v.len() < 2 { return 0.0; } let m = v.iter().sum::<f64>() / v.len() as f64; (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (v.len() - 1) as f64).sqrt() };
    let values = rows.iter().map(|r| {
        let g = &groups[r.group];
        let m = if settings.center == Center::Group { g.iter().sum::<f64>() / g.len() as f64 } else { 0.0 };
        if g.len() < 2 { return 0.0; }
        let s = match settings.scale { Scale::Task => std(&tasks[r.task]), Scale::Group => std(g), Scale::Batch => std(&all), Scale::None => return r.reward - m };
        if s == 0.0 { 0.0 } else { (r.reward - m) / (s + 1e-6) }
    }).collect();
    Advantages { values, zero_variance_groups: groups.values().filter(|g| std(g) == 0.0).count() }
}

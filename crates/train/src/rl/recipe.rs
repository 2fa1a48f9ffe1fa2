//! quick
use super::*;
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Template {
    Chat,
    Plain,
}
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmSettings {
    pub entropy_high: f64,
    pub entropy_low: f64,
    pub truncated: f64,
    pub zero_variance: f64,
    pub failed: f64,
    pub falls: usize,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub group: usize,
    pub max_new_tokens: usize,
    pub temperature: f32,
    pub top_p: f32,
    pub loss_norm: loss::Norm,
    pub balance: sampler::Balance,
    pub advantage: advantage::Settings,
    pub aepo: aepo::Settings,
    pub clip: Option<clip::Clip>,
    pub alarms: AlarmSettings,
}

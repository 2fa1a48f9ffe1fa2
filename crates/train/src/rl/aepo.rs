//! AEPO quick
use data::AepoState;
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode { Latch, Band, Off }
#[derive(Clone, Debug, PartialEq)]
pub struct Settings { pub mode: Mode, pub low: Option<f64>, pub high: Option<f64> }
pub struct Aepo { settings: Settings, state: AepoState }
impl Aepo {
    pub fn new(settings: Settings) -> Self { Self { state: AepoState::default(), settings } }
    pub fn from_state(settings: Settings, state: AepoState) -> Self { Self { settings, state } }
    pub fn state(&self) -> AepoState { self.state.clone() }
    pub fn thresholds(&self) -> Option<(f64, f64)> { match (self.settings.low.or(self.state.low), self.settings.high.or(self.state.high)) { (Some(l), Some(h)) if self.settings.mode != Mode::Off => Some((l, h)), _ => None } }
    pub fn decide(&mut self, entropy: f64) -> bool {
        if self.settings.mode == Mode::Off { return false; }
        let Some((low, high)) = self.thresholds() else {
            self.state.seen.push(entropy);
            if self.state.seen.len() == 10 { let mut s = self.state.seen.clone(); s.sort_by(f64::total_cmp); let m = s[5]; self.state.low = Some(m); self.state.high = Some(1.5 * m); }
            return false;
        };
        if self.settings.mode == Mode::Band { return low < entropy && entropy < high; }
        if entropy > high { self.state.masking = true } else if entropy < low { self.state.masking = false }
        self.state.masking
    }
    pub fn mask(&self, advantages: &mut [f64], _rewards: &[f64]) { advantages.iter_mut().filter(|a| **a < 0.0).for_each(|a| *a = 0.0); }
}

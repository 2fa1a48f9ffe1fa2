//! The kept set is the tokens whose logit reaches a threshold. Thresholds are found by radix search over order-preserving keys
//! of the logits, eight bits at a time: counts for top-k, mass for top-p. A GPU workgroup can follow the same steps.

use std::cell::RefCell;

use super::{Drawn, SampleParams, allows, uniform};
use crate::cpu::CpuDevice;
use crate::cpu::exp::exp;
use crate::cpu::lanes::multiversion;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::simd::Level;
use crate::{KernelError, Result, Tensor};

const OP: &str = "sample";

thread_local! {
    /// A row's e^((z - top) / τ).
    static MASS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// A masked row's logits, -∞ where a token is not allowed.
    static ALLOWED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

pub fn forward(
    device: &CpuDevice,
    logits: &Tensor,
    params: &[SampleParams],
    masks: &[Option<&[u32]>],
    out: &mut super::SampleOutput,
) -> Result<()> {
    let width = logits.width();
    let logits = logits.f32s(OP)?;
    let mut results = vec![Ok(Drawn::default()); params.len()];
    let shared = SharedMut::new(&mut results);
    for_each_range(device, params.len(), 1, |rows| {
        for row in rows {
            // SAFETY: ranges of rows are disjoint.
            let result = unsafe { shared.slice(row..row + 1) };
            result[0] = MASS.with_borrow_mut(|mass| {
                mass.resize(width, 0.0);
                let logits = &logits[row * width..][..width];
                match masks[row] {
                    None => sample(device.simd(), logits, &params[row], mass),
                    Some(mask) => {
                        ALLOWED.with_borrow_mut(|allowed| sample_masked(device.simd(), logits, mask, &params[row], mass, allowed))
                    }
                }
            });
        }
    });
    let packed = out.packed.u32s_mut(OP)?;
    for (row, (result, packed)) in results.into_iter().zip(packed.chunks_exact_mut(Drawn::WORDS)).enumerate() {
        let drawn: Drawn = result.map_err(|message: String| KernelError::Value { op: OP, message: format!("row {row}: {message}") })?;
        packed.copy_from_slice(&drawn.words());
    }
    Ok(())
}

/// A key that orders like the float it is made of; -0 counts as 0.
#[inline(always)]
fn key(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    bits ^ if bits >> 31 == 1 { u32::MAX } else { 1 << 31 }
}

/// The float that has a key.
fn value(key: u32) -> f32 {
    f32::from_bits(key ^ if key >> 31 == 1 { 1 << 31 } else { u32::MAX })
}

multiversion! {
    /// The smallest logit that is not below `border` and the largest that is; +∞ and -∞ if there is none.
    fn neighbours(logits: &[f32], border: f32) -> (f32, f32) {
        let (mut kept, mut dropped) = (f32::INFINITY, f32::NEG_INFINITY);
        for &z in logits {
            let above = if z >= border { z } else { f32::INFINITY };
            let below = if z >= border { f32::NEG_INFINITY } else { z };
            kept = if above < kept { above } else { kept };
            dropped = if below > dropped { below } else { dropped };
        }
        (kept, dropped)
    }
}

/// The cut that keeps the logits whose keys reach `floor`: midway to the largest below, or the smallest kept if nothing lies between.
fn cut(level: Level, logits: &[f32], floor: u32) -> f32 {
    if floor == 0 {
        return f32::MIN;
    }
    let (kept, dropped) = neighbours(level, logits, value(floor));
    // Logits of -∞ have no mass, whether kept or not.
    if dropped == f32::NEG_INFINITY {
        return f32::MIN;
    }
    let middle = ((f64::from(kept) + f64::from(dropped)) / 2.0) as f32;
    if middle > dropped { middle } else { kept }
}

multiversion! {
    /// The largest logit and whether any is NaN.
    fn survey(logits: &[f32]) -> (f32, bool) {
        let (mut top, mut nan) = (f32::NEG_INFINITY, false);
        for &z in logits {
            top = if z > top { z } else { top };
            nan |= z.is_nan();
        }
        (top, nan)
    }
}

multiversion! {
    /// mass = e^((z - top) / τ).
    fn weigh(logits: &[f32], top: f32, temperature: f32, mass: &mut [f32]) {
        for (mass, z) in mass.iter_mut().zip(logits) {
            *mass = exp((z - top) / temperature);
        }
    }
}

/// The largest key t with Σ weight of keys ≥ t reaching `target`, or the smallest key if rounding keeps the sum below it.
fn threshold(logits: &[f32], floor: u32, target: f64, weight: impl Fn(usize) -> f64) -> u32 {
    let (mut prefix, mut above) = (0u32, 0f64);
    for shift in [24, 16, 8, 0] {
        let (mut bins, mut seen) = ([0f64; 256], [false; 256]);
        for (id, &z) in logits.iter().enumerate() {
            let key = key(z);
            // The bits above this byte must be those chosen so far (at the first byte there are none).
            if key >= floor && (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8)) {
                bins[(key >> shift & 255) as usize] += weight(id);
                seen[(key >> shift & 255) as usize] = true;
            }
        }
        let mut chosen = None;
        for bin in (0..256).rev().filter(|&bin| seen[bin]) {
            // Only bins passed over count as above; if rounding keeps the sum short, the lowest bin is searched.
            above += chosen.map_or(0.0, |passed: usize| bins[passed]);
            chosen = Some(bin);
            if above + bins[bin] >= target {
                break;
            }
        }
        let Some(bin) = chosen else { return floor };
        prefix |= (bin as u32) << shift;
    }
    prefix
}

/// One row's token.
fn sample(level: Level, logits: &[f32], params: &SampleParams, mass: &mut [f32]) -> std::result::Result<Drawn, String> {
    let (top, nan) = survey(level, logits);
    if nan {
        return Err("a logit is NaN".into());
    }
    if !top.is_finite() {
        return Err(format!("the largest logit is {top}"));
    }
    let greedy = params.temperature == 0.0;
    let temperature = if greedy { 1.0 } else { params.temperature };
    let (id, floor) = if greedy {
        (logits.iter().position(|&z| z == top).unwrap_or(0), key(top))
    } else {
        weigh(level, logits, top, temperature, mass);
        draw(logits, params, top, mass)
    };
    let cut = cut(level, logits, floor);
    let said = crate::head::cpu::distribution(level, logits, temperature, cut, id);
    let (logprob, entropy, nucleus_logprob) = (said.logprob, said.entropy, said.kept_logprob);
    Ok(Drawn { id: id as u32, logprob, entropy, cut, mass: said.mass, nucleus_logprob })
}

/// One row's token among those its mask allows: the draw as if the others' logits were -∞, what it says of the full vocabulary from
/// the logits as they are.
fn sample_masked(
    level: Level,
    logits: &[f32],
    mask: &[u32],
    params: &SampleParams,
    mass: &mut [f32],
    allowed: &mut Vec<f32>,
) -> std::result::Result<Drawn, String> {
    // A logit that is no number is a fault of the model's, whether it may be drawn or not.
    let (top, nan) = survey(level, logits);
    if nan || top == f32::INFINITY {
        return Err(if nan { "a logit is NaN".into() } else { "the largest logit is inf".to_string() });
    }
    allowed.clear();
    allowed.extend(logits.iter().enumerate().map(|(id, &z)| if allows(mask, id) { z } else { f32::NEG_INFINITY }));
    let among = sample(level, allowed, params, mass).map_err(|message| format!("of the tokens its mask allows, {message}"))?;
    let temperature = if params.temperature == 0.0 { 1.0 } else { params.temperature };
    let all = crate::head::cpu::distribution(level, logits, temperature, f32::MIN, among.id as usize);
    // log p over all less log p among the kept is the log of the kept tokens' share.
    let mass = (f64::from(all.logprob) - f64::from(among.nucleus_logprob)).exp().min(1.0) as f32;
    Ok(Drawn { logprob: all.logprob, entropy: all.entropy, mass, ..among })
}

/// The drawn id and the smallest key that is kept.
fn draw(logits: &[f32], params: &SampleParams, top: f32, mass: &[f32]) -> (usize, u32) {
    let mut floor = 0u32;
    if params.top_k > 0 && (params.top_k as usize) < logits.len() {
        floor = threshold(logits, 0, f64::from(params.top_k), |_| 1.0);
    }
    let kept = |floor: u32| {
        logits.iter().zip(mass).enumerate().filter(move |(_, (z, _))| key(**z) >= floor).map(|(id, (_, &m))| (id, f64::from(m)))
    };
    if params.top_p < 1.0 {
        let total: f64 = kept(floor).map(|(_, m)| m).sum();
        floor = floor.max(threshold(logits, floor, f64::from(params.top_p) * total, |id| f64::from(mass[id])));
    }
    if params.min_p > 0.0 {
        // e^((z - top) / τ) ≥ min_p, solved for z.
        let lowest = f64::from(top) + f64::from(params.temperature) * f64::from(params.min_p).ln();
        floor = floor.max(key(lowest as f32));
    }
    let total: f64 = kept(floor).map(|(_, m)| m).sum();
    let target = f64::from(uniform(params.seed, params.counter)) * total;
    let (mut sum, mut last) = (0.0, 0);
    for (id, m) in kept(floor).filter(|&(_, m)| m > 0.0) {
        sum += m;
        last = id;
        if sum > target {
            break;
        }
    }
    (last, floor)
}

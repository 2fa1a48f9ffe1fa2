use super::OP;
use crate::cpu::CpuDevice;
use crate::cpu::exp::exp;
use crate::cpu::lanes::multiversion;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::simd::fused;
use crate::{Result, Tensor};

/// `g / (1 + e^-g)`, for negative g as `g e^g / (1 + e^g)`: nothing overflows and the negative tail keeps its relative accuracy.
#[inline(always)]
fn silu(g: f32) -> f32 {
    // Below -200 the value rounds to -0; the clamp spares -∞ from ∞ · 0. NaN passes the comparison.
    let g = if g < -200.0 { -200.0 } else { g };
    let e = exp(-g.abs());
    (if g < 0.0 { g * e } else { g }) / (1.0 + e)
}

multiversion! {
    fn run(gate: &mut [f32], up: &[f32]) {
        for (g, u) in gate.iter_mut().zip(up) {
            *g = silu(*g) * u;
        }
    }
}

pub fn forward(device: &CpuDevice, gate: &mut Tensor, up: &Tensor, rows: usize, width: usize) -> Result<()> {
    let (gate, up) = (SharedMut::new(&mut gate.f32s_mut(OP)?[..rows * width]), &up.f32s(OP)?[..rows * width]);
    for_each_range(device, rows * width, 4096, |part| {
        // SAFETY: ranges are disjoint.
        run(device.simd(), unsafe { gate.slice(part.clone()) }, &up[part]);
    });
    Ok(())
}

multiversion! {
    fn run_to(gate: &[f32], up: &[f32], h: &mut [f32]) {
        for ((h, g), u) in h.iter_mut().zip(gate).zip(up) {
            *h = silu(*g) * u;
        }
    }
}

pub fn forward_to(device: &CpuDevice, gate: &Tensor, up: &Tensor, h: &mut Tensor, rows: usize, width: usize) -> Result<()> {
    let (gate, up, h) = (gate.f32s(OP)?, up.f32s(OP)?, SharedMut::new(&mut h.f32s_mut(OP)?[..rows * width]));
    for_each_range(device, rows * width, 4096, |part| {
        // SAFETY: ranges are disjoint.
        run_to(device.simd(), &gate[part.clone()], &up[part.clone()], unsafe { h.slice(part) });
    });
    Ok(())
}

/// The derivative of [`silu`]: σ + g σ (1 - σ), both σ and 1 - σ without cancellation.
#[inline(always)]
fn silu_slope(g: f32) -> f32 {
    // Beyond these g σ (1 - σ) is 0; the clamps spare ∞ · 0.
    let g = if g < -200.0 { -200.0 } else { g };
    let g = if g > 200.0 { 200.0 } else { g };
    let e = exp(-g.abs());
    let (near, far) = (1.0 / (1.0 + e), e / (1.0 + e));
    let (sigmoid, rest) = if g < 0.0 { (far, near) } else { (near, far) };
    sigmoid * fused(g, rest, 1.0)
}

multiversion! {
    fn run_back(gate: &mut [f32], up: &mut [f32], dh: &[f32]) {
        for ((g, u), dh) in gate.iter_mut().zip(up).zip(dh) {
            let (dg, du) = (dh * *u * silu_slope(*g), dh * silu(*g));
            *g = dg;
            *u = du;
        }
    }
}

pub fn backward(device: &CpuDevice, gate: &mut Tensor, up: &mut Tensor, dh: &Tensor, rows: usize, width: usize) -> Result<()> {
    let count = rows * width;
    let (gate, up) = (SharedMut::new(&mut gate.f32s_mut(OP)?[..count]), SharedMut::new(&mut up.f32s_mut(OP)?[..count]));
    let dh = dh.f32s(OP)?;
    for_each_range(device, count, 4096, |part| {
        // SAFETY: ranges are disjoint.
        let (gate, up) = unsafe { (gate.slice(part.clone()), up.slice(part.clone())) };
        run_back(device.simd(), gate, up, &dh[part]);
    });
    Ok(())
}

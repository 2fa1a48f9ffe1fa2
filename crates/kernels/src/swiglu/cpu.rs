use crate::cpu::CpuDevice;
use crate::cpu::exp::exp;
use crate::cpu::lanes::multiversion;
use crate::cpu::parallel::{SharedMut, for_each_range};
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
    const OP: &str = "swiglu";
    let (gate, up) = (SharedMut::new(&mut gate.f32s_mut(OP)?[..rows * width]), &up.f32s(OP)?[..rows * width]);
    for_each_range(device, rows * width, 4096, |part| {
        // SAFETY: ranges are disjoint.
        run(device.simd(), unsafe { gate.slice(part.clone()) }, &up[part]);
    });
    Ok(())
}

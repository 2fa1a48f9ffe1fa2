//! The optimizer on the CPU. All of it is bound by memory: a step moves 28 bytes a weight.

use super::Factors;
use crate::cpu::CpuDevice;
use crate::cpu::lanes::multiversion;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::{Result, Tensor};

/// Elements that are worth handing to another thread.
const TASK: usize = 1 << 15;
/// Elements whose squares are one sum: a leaf of the tree, the same on any number of threads.
const LEAF: usize = 1 << 14;
/// Sums that run side by side in a leaf.
const LANES: usize = 32;

multiversion! {
    fn scale_run(x: &mut [f32], by: f32) {
        x.iter_mut().for_each(|x| *x *= by);
    }
}

multiversion! {
    fn add_run(y: &mut [f32], x: &[f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
    }
}

multiversion! {
    /// A square is exact in f64, so fusing it with the sum would change nothing.
    fn leaf_sum(x: &[f32]) -> f64 {
        let mut sums = [0f64; LANES];
        let (whole, rest) = x.as_chunks::<LANES>();
        for part in whole {
            for lane in 0..LANES {
                let x = f64::from(part[lane]);
                sums[lane] += x * x;
            }
        }
        for (sum, &x) in sums.iter_mut().zip(rest) {
            *sum += f64::from(x) * f64::from(x);
        }
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                sums[lane] += sums[lane + width];
            }
            width /= 2;
        }
        sums[0]
    }
}

multiversion! {
    fn adamw_run(f: &Factors, clip: f32, grad: &[f32], master: &mut [f32], m: &mut [f32], v: &mut [f32]) {
        // One length for all, so that no index is checked in the loop.
        let count = grad.len();
        let (master, m, v) = (&mut master[..count], &mut m[..count], &mut v[..count]);
        for i in 0..count {
            let g = grad[i] * clip;
            m[i] += f.mean * (g - m[i]);
            v[i] = v[i] * f.square_keep + f.square * g * g;
            master[i] = master[i] * f.keep + f.step * m[i] / (v[i].sqrt() / f.root + f.eps);
        }
    }
}

pub fn fill(device: &CpuDevice, x: &mut Tensor, count: usize, value: f32) -> Result<()> {
    let x = SharedMut::new(&mut x.f32s_mut("fill")?[..count]);
    // SAFETY, here and below: ranges are disjoint.
    for_each_range(device, count, TASK, |part| unsafe { x.slice(part) }.fill(value));
    Ok(())
}

pub fn scale(device: &CpuDevice, x: &mut Tensor, count: usize, by: f32) -> Result<()> {
    let x = SharedMut::new(&mut x.f32s_mut("scale")?[..count]);
    for_each_range(device, count, TASK, |part| scale_run(device.simd(), unsafe { x.slice(part) }, by));
    Ok(())
}

pub fn add(device: &CpuDevice, y: &mut Tensor, x: &Tensor, count: usize) -> Result<()> {
    let (y, x) = (SharedMut::new(&mut y.f32s_mut("add")?[..count]), &x.f32s("add")?[..count]);
    for_each_range(device, count, TASK, |part| add_run(device.simd(), unsafe { y.slice(part.clone()) }, &x[part]));
    Ok(())
}

pub fn sum_squares(device: &CpuDevice, x: &Tensor, count: usize, out: &mut Tensor, index: usize) -> Result<()> {
    const OP: &str = "sum squares";
    let x = &x.f32s(OP)?[..count];
    let mut leaves = vec![0f64; count.div_ceil(LEAF)];
    let shared = SharedMut::new(&mut leaves);
    for_each_range(device, count.div_ceil(LEAF), TASK / LEAF, |part| {
        let sums = unsafe { shared.slice(part.clone()) };
        for (leaf, sum) in part.zip(sums) {
            *sum = leaf_sum(device.simd(), &x[leaf * LEAF..((leaf + 1) * LEAF).min(count)]);
        }
    });
    out.f32s_mut(OP)?[index] = leaves.iter().sum::<f64>() as f32;
    Ok(())
}

pub fn clip(sums: &Tensor, count: usize, max_norm: f32, out: &mut Tensor) -> Result<()> {
    const OP: &str = "clip";
    let norm = sums.f32s(OP)?[..count].iter().map(|&sum| f64::from(sum)).sum::<f64>().sqrt() as f32;
    let factor = max_norm / (norm + 1e-6);
    let out = out.f32s_mut(OP)?;
    // NaN passes the comparison.
    out[0] = if factor > 1.0 { 1.0 } else { factor };
    out[1] = norm;
    Ok(())
}

pub fn adamw(
    device: &CpuDevice,
    factors: &Factors,
    clip: &Tensor,
    grad: &Tensor,
    master: &mut Tensor,
    m: &mut Tensor,
    v: &mut Tensor,
    count: usize,
) -> Result<()> {
    const OP: &str = "adamw";
    let (clip, grad) = (clip.f32s(OP)?[0], &grad.f32s(OP)?[..count]);
    let master = SharedMut::new(&mut master.f32s_mut(OP)?[..count]);
    let (m, v) = (SharedMut::new(&mut m.f32s_mut(OP)?[..count]), SharedMut::new(&mut v.f32s_mut(OP)?[..count]));
    for_each_range(device, count, TASK / 4, |part| {
        let (master, m, v) = unsafe { (master.slice(part.clone()), m.slice(part.clone()), v.slice(part.clone())) };
        adamw_run(device.simd(), factors, clip, &grad[part], master, m, v);
    });
    Ok(())
}

//! Backward of the experts on the CPU. A token or sorted row is one thread's, so no sum depends on how the work was split.

use super::{TASK, check_ids, check_inverse, check_sorted, chosen, softmax, value};
use crate::cpu::gemm::{Matrix, Right, gemm};
use crate::cpu::lanes::{Lanes, load, multiversion};
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::{CpuDevice, CpuWeight};
use crate::matmul::Output;
use crate::moe::{Routes, Rows};
use crate::{Result, Tensor};

pub fn route(
    device: &CpuDevice,
    logits: &Tensor,
    renormalise: bool,
    routes: &Routes,
    dweights: &Tensor,
    dlogits: &mut Tensor,
    rows: usize,
) -> Result<()> {
    const OP: &str = "moe route backward";
    let (experts, top_k, ids) = (routes.experts, routes.top_k, check_ids(OP, routes, rows)?);
    let (logits, weights, dweights) = (logits.f32s(OP)?, routes.weights.f32s(OP)?, dweights.f32s(OP)?);
    let dlogits = SharedMut::new(dlogits.f32s_mut(OP)?);
    for_each_range(device, rows, TASK.div_ceil(experts * 8), |range| {
        let mut p = vec![0f32; experts];
        for row in range {
            let slots = row * top_k..(row + 1) * top_k;
            let (ids, w, dw) = (&ids[slots.clone()], &weights[slots.clone()], &dweights[slots]);
            let mean: f32 = w.iter().zip(dw).map(|(w, dw)| w * dw).sum();
            // SAFETY: each row is one item.
            let dz = unsafe { dlogits.slice(row * experts..(row + 1) * experts) };
            dz.fill(0.0);
            // Sums, in case replayed routes name an expert twice.
            if renormalise {
                for slot in 0..top_k {
                    dz[ids[slot] as usize] += w[slot] * (dw[slot] - mean);
                }
            } else {
                softmax(&logits[row * experts..(row + 1) * experts], &mut p);
                ids.iter().zip(dw).for_each(|(&id, dw)| dz[id as usize] += dw);
                dz.iter_mut().zip(&p).for_each(|(dz, p)| *dz = p * (*dz - mean));
            }
        }
    });
    Ok(())
}

pub fn grouped_x(
    device: &CpuDevice,
    dy: &Tensor,
    w: &CpuWeight,
    unit_rows: usize,
    routes: &Routes,
    dx: &mut Tensor,
    rows: usize,
    output: Output,
) -> Result<()> {
    const OP: &str = "moe backward x";
    let (_, offsets) = check_sorted(OP, routes, rows)?;
    w.inspect_units(device, OP, chosen(routes)?, unit_rows)?;
    let (dy, dx, cols) = (dy.f32s(OP)?, dx.f32s_mut(OP)?, w.cols);
    for e in chosen(routes)? {
        let (first, end) = (offsets[e] as usize, offsets[e + 1] as usize);
        let dy = Matrix::new(&dy[first * unit_rows..end * unit_rows], unit_rows);
        let w = Right::Weight(w, e * unit_rows..(e + 1) * unit_rows);
        gemm(device, [end - first, cols, unit_rows], dy, &w, &mut dx[first * cols..end * cols], cols, output);
    }
    Ok(())
}

pub fn grouped_w(device: &CpuDevice, dy: &Tensor, x: &Tensor, from: Rows, routes: &Routes, dw: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "moe backward w";
    let (order, offsets) = check_sorted(OP, routes, rows)?;
    let (n, cols, top_k) = (dy.width(), x.width(), routes.top_k);
    let (dy, x, dw) = (dy.f32s(OP)?, x.f32s(OP)?, dw.f32s_mut(OP)?);
    let mut gathered = Vec::new();
    for e in chosen(routes)? {
        let (first, end) = (offsets[e] as usize, offsets[e + 1] as usize);
        let x = match from {
            Rows::Sorted => &x[first * cols..end * cols],
            Rows::Tokens => {
                gathered.clear();
                for &assignment in &order[first..end] {
                    let token = assignment as usize / top_k;
                    gathered.extend_from_slice(&x[token * cols..(token + 1) * cols]);
                }
                &gathered
            }
        };
        let dy = Matrix::new(&dy[first * n..end * n], n).transposed();
        let (x, dw) = (Right::Matrix(Matrix::new(x, cols)), &mut dw[e * n * cols..(e + 1) * n * cols]);
        gemm(device, [n, cols, end - first], dy, &x, dw, cols, Output::Add);
    }
    Ok(())
}

multiversion! {
    /// `dh = weight · dy`; ⟨dy, h⟩ by the 16-lane canonical sum.
    fn scale_and_dot(weight: f32, dy: &[f32], h: &[f32], dh: &mut [f32]) -> f32 {
        dh.iter_mut().zip(dy).for_each(|(dh, dy)| *dh = weight * dy);
        let mut sum = V::splat(0.0);
        for (dy, h) in dy.chunks(16).zip(h.chunks(16)) {
            sum = sum.fma(V::load(&load(dy)), V::load(&load(h)));
        }
        let mut lanes = Lanes::ZERO;
        sum.store(&mut lanes);
        lanes.fold()
    }
}

pub fn combine(
    device: &CpuDevice,
    dy: &Tensor,
    h: &Tensor,
    routes: &Routes,
    dh: &mut Tensor,
    dweights: &mut Tensor,
    rows: usize,
) -> Result<()> {
    const OP: &str = "moe combine backward";
    let ((order, _), inverse) = (check_sorted(OP, routes, rows)?, check_inverse(OP, routes, rows)?);
    // With this no two assignments have one sorted row, which threads would write at once.
    if let Some(i) = inverse.iter().zip(0..).position(|(&sorted, i)| order[sorted as usize] != i) {
        return Err(value(OP, format!("`order` and `inverse` disagree about assignment {i}; sort the routes first")));
    }
    let (top_k, width) = (routes.top_k, dy.width());
    let (dy, h, weights) = (dy.f32s(OP)?, h.f32s(OP)?, routes.weights.f32s(OP)?);
    let (dh, dweights) = (SharedMut::new(dh.f32s_mut(OP)?), SharedMut::new(dweights.f32s_mut(OP)?));
    for_each_range(device, rows, TASK.div_ceil((width * top_k).max(1)), |range| {
        for slot in range.start * top_k..range.end * top_k {
            let (token, sorted) = (slot / top_k, inverse[slot] as usize);
            let at = sorted * width..(sorted + 1) * width;
            // SAFETY: each token is one item, and sorted rows are distinct.
            let (dh, dweight) = unsafe { (dh.slice(at.clone()), dweights.slice(slot..slot + 1)) };
            dweight[0] = scale_and_dot(device.simd(), weights[slot], &dy[token * width..(token + 1) * width], &h[at], dh);
        }
    });
    Ok(())
}

multiversion! {
    fn add_rows(y: &mut [f32], d: &[f32], inverse: &[u32], sum: &mut [f32]) {
        let width = sum.len();
        for (slot, &sorted) in inverse.iter().enumerate() {
            let d = &d[sorted as usize * width..(sorted as usize + 1) * width];
            if slot == 0 {
                sum.copy_from_slice(d);
            } else {
                sum.iter_mut().zip(d).for_each(|(sum, d)| *sum += d);
            }
        }
        y.iter_mut().zip(sum).for_each(|(y, sum)| *y += *sum);
    }
}

pub fn gather_sum(device: &CpuDevice, d: &Tensor, routes: &Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "moe gather sum";
    let (inverse, top_k, width) = (check_inverse(OP, routes, rows)?, routes.top_k, y.width());
    let (d, y) = (d.f32s(OP)?, SharedMut::new(y.f32s_mut(OP)?));
    for_each_range(device, rows, TASK.div_ceil((width * top_k).max(1)), |range| {
        let mut sum = vec![0f32; width];
        for token in range {
            // SAFETY: each token is one item.
            let y = unsafe { y.slice(token * width..(token + 1) * width) };
            add_rows(device.simd(), y, d, &inverse[token * top_k..(token + 1) * top_k], &mut sum);
        }
    });
    Ok(())
}

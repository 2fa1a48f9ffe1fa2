//! Mixture of experts on the CPU.

pub mod backward;

use super::{Routes, Rows};
use crate::cpu::exact::Operand;
use crate::cpu::fast::product;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{KernelError, Result, Tensor};

/// Elements that are worth handing to another thread.
const TASK: usize = 1 << 14;

fn value(op: &'static str, message: String) -> KernelError {
    KernelError::Value { op, message }
}

/// The ids of the first `rows` tokens, each an expert's.
fn check_ids<'a>(op: &'static str, routes: &'a Routes, rows: usize) -> Result<&'a [u32]> {
    let (ids, experts) = (&routes.ids.u32s(op)?[..rows * routes.top_k], routes.experts);
    match ids.iter().position(|&id| id as usize >= experts) {
        Some(i) => Err(value(op, format!("expert {} of token {} is out of range: there are {experts}", ids[i], i / routes.top_k))),
        None => Ok(ids),
    }
}

/// `order` and `offsets` of the first `rows` tokens, whose assignments the experts divide among them.
fn check_sorted<'a>(op: &'static str, routes: &'a Routes, rows: usize) -> Result<(&'a [u32], &'a [u32])> {
    routes.expect_room(op, rows)?;
    let (experts, count) = (routes.experts, rows * routes.top_k);
    let (order, offsets) = (&routes.order.u32s(op)?[..count], &routes.offsets.u32s(op)?[..=experts]);
    if offsets[0] != 0 || offsets[experts] as usize != count || offsets.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(value(op, format!("the experts' offsets do not divide {count} assignments; sort the routes first")));
    }
    if let Some(&bad) = order.iter().find(|&&i| i as usize >= count) {
        return Err(value(op, format!("assignment {bad} is out of range: there are {count}")));
    }
    Ok((order, offsets))
}

/// `inverse` of the first `rows` tokens, each a sorted row.
fn check_inverse<'a>(op: &'static str, routes: &'a Routes, rows: usize) -> Result<&'a [u32]> {
    routes.expect_room(op, rows)?;
    let count = rows * routes.top_k;
    let inverse = &routes.inverse.u32s(op)?[..count];
    match inverse.iter().find(|&&i| i as usize >= count) {
        Some(bad) => Err(value(op, format!("sorted row {bad} is out of range: there are {count}"))),
        None => Ok(inverse),
    }
}

pub fn route(device: &CpuDevice, logits: &Tensor, renormalise: bool, routes: &mut Routes, rows: usize) -> Result<()> {
    weights_of("moe route", device, logits, renormalise, routes, rows, pick)
}

pub fn weigh(device: &CpuDevice, logits: &Tensor, renormalise: bool, routes: &mut Routes, rows: usize) -> Result<()> {
    const OP: &str = "moe weigh";
    check_ids(OP, routes, rows)?;
    weights_of(OP, device, logits, renormalise, routes, rows, |_, _| ())
}

/// The weights of each row's experts, which `choose` writes to its second argument or finds right.
fn weights_of(
    op: &'static str,
    device: &CpuDevice,
    logits: &Tensor,
    renormalise: bool,
    routes: &mut Routes,
    rows: usize,
    choose: impl Fn(&[f32], &mut [u32]) + Sync,
) -> Result<()> {
    routes.expect_room(op, rows)?;
    let (experts, top_k) = (routes.experts, routes.top_k);
    let logits = logits.f32s(op)?;
    let (ids, weights) = (SharedMut::new(routes.ids.u32s_mut(op)?), SharedMut::new(routes.weights.f32s_mut(op)?));
    for_each_range(device, rows, TASK.div_ceil(experts * (top_k + 8)), |range| {
        let mut p = vec![0f32; experts];
        for row in range {
            // SAFETY: each row is one item.
            let (ids, weights) = unsafe { (ids.slice(row * top_k..(row + 1) * top_k), weights.slice(row * top_k..(row + 1) * top_k)) };
            softmax(&logits[row * experts..(row + 1) * experts], &mut p);
            choose(&p, ids);
            weights.iter_mut().zip(ids).for_each(|(weight, &mut id)| *weight = p[id as usize]);
            if renormalise {
                let sum: f32 = weights.iter().sum();
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
    });
    Ok(())
}

fn softmax(logits: &[f32], p: &mut [f32]) {
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, &z| max.max(z));
    let mut sum = 0f32;
    for (p, z) in p.iter_mut().zip(logits) {
        *p = (z - max).exp();
        sum += *p;
    }
    p.iter_mut().for_each(|p| *p /= sum);
}

/// The largest of `p`, best first; the lowest index wins a tie. NaN ranks last, and shows in the weight.
fn pick(p: &[f32], ids: &mut [u32]) {
    for slot in 0..ids.len() {
        let (taken, rest) = ids.split_at_mut(slot);
        let mut best: Option<usize> = None;
        for (i, &candidate) in p.iter().enumerate() {
            if !taken.contains(&(i as u32)) && best.is_none_or(|best| candidate > p[best] || (p[best].is_nan() && !candidate.is_nan())) {
                best = Some(i);
            }
        }
        rest[0] = best.unwrap_or(0) as u32; // top_k ≤ experts, so there is one
    }
}

pub fn sort(_device: &CpuDevice, routes: &mut Routes, rows: usize) -> Result<()> {
    const OP: &str = "moe sort";
    routes.expect_room(OP, rows)?;
    let (experts, count) = (routes.experts, rows * routes.top_k);
    check_ids(OP, routes, rows)?;
    let ids = &routes.ids.u32s(OP)?[..count];
    let offsets = &mut routes.offsets.u32s_mut(OP)?[..=experts];
    offsets.fill(0);
    for &id in ids {
        offsets[id as usize + 1] += 1;
    }
    for e in 0..experts {
        offsets[e + 1] += offsets[e];
    }
    let mut next = offsets[..experts].to_vec();
    let (order, inverse) = (routes.order.u32s_mut(OP)?, routes.inverse.u32s_mut(OP)?);
    for (i, &id) in ids.iter().enumerate() {
        let at = next[id as usize];
        next[id as usize] += 1;
        order[at as usize] = i as u32;
        inverse[i] = at;
    }
    Ok(())
}

/// Experts the routes chose, in order.
fn chosen(routes: &Routes) -> Result<impl Iterator<Item = usize>> {
    let offsets = &routes.offsets.u32s("moe")?[..=routes.experts];
    Ok(offsets.windows(2).enumerate().filter(|(_, pair)| pair[0] < pair[1]).map(|(e, _)| e))
}

pub fn will_read(routes: &Routes, w: &CpuWeight, unit_rows: usize) -> Result<()> {
    chosen(routes)?.for_each(|e| w.will_read(e, e * unit_rows..(e + 1) * unit_rows));
    Ok(())
}

pub fn grouped_matmul(
    device: &CpuDevice,
    x: &Tensor,
    from: Rows,
    w: &CpuWeight,
    unit_rows: usize,
    routes: &Routes,
    y: &mut Tensor,
    rows: usize,
) -> Result<()> {
    const OP: &str = "moe matmul";
    let (order, offsets) = check_sorted(OP, routes, rows)?;
    let (experts, top_k, x) = (routes.experts, routes.top_k, x.f32s(OP)?);
    w.inspect_units(device, OP, chosen(routes)?, unit_rows)?;
    let y = SharedMut::new(y.f32s_mut(OP)?);
    for e in 0..experts {
        let sorted = offsets[e] as usize..offsets[e + 1] as usize;
        if sorted.is_empty() {
            continue;
        }
        let source = |i: usize| if from == Rows::Tokens { order[i] as usize / top_k } else { i };
        let w_rows = e * unit_rows..(e + 1) * unit_rows;
        let mut padded = Vec::new();
        let operand = Operand::new(x, w.cols, sorted.clone().map(source), &mut padded);
        product(device, &operand, w, w_rows, |i, n, values| {
            let at = (sorted.start + i) * unit_rows + n;
            // SAFETY: every output is emitted once.
            unsafe { y.slice(at..at + values.len()) }.copy_from_slice(values);
        });
    }
    Ok(())
}

pub fn combine(device: &CpuDevice, h: &Tensor, routes: &Routes, y: &mut Tensor, rows: usize) -> Result<()> {
    const OP: &str = "moe combine";
    let inverse = check_inverse(OP, routes, rows)?;
    let (top_k, width, h, weights) = (routes.top_k, y.width(), h.f32s(OP)?, routes.weights.f32s(OP)?);
    let y = SharedMut::new(y.f32s_mut(OP)?);
    for_each_range(device, rows, TASK.div_ceil((width * top_k).max(1)), |range| {
        let mut sum = vec![0f32; width];
        for token in range {
            sum.fill(0.0);
            for slot in token * top_k..(token + 1) * top_k {
                let (weight, from) = (weights[slot], inverse[slot] as usize * width);
                sum.iter_mut().zip(&h[from..from + width]).for_each(|(sum, h)| *sum += weight * h);
            }
            // SAFETY: each token is one item.
            let y = unsafe { y.slice(token * width..(token + 1) * width) };
            y.iter_mut().zip(&sum).for_each(|(y, sum)| *y += sum);
        }
    });
    Ok(())
}

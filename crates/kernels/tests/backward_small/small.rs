//! The small ops' gradients: truths, and runs on any device.

use kernels::matmul::Output;
use kernels::rope::RopeTable;
use kernels::{Device, embedding, rms_norm, rope, swiglu};

use crate::gradients::{
    GUARD, Truth, bits, central_difference, expect, expect_close, expect_faults_are_seen, f64s, guarded, off, rows_of, sum,
};
use crate::support::{next, random};

const EPS: f32 = 1e-6;

fn inverse(x: &[f64]) -> f64 {
    1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + f64::from(EPS)).sqrt()
}

/// dx and dgain of `rms_norm`, both without what was there.
fn truth_norm(x: &[f64], gain: &[f64], dy: &[f64]) -> (Vec<Truth>, Vec<Truth>) {
    let width = gain.len();
    let (mut dx, mut dgain) = (vec![], vec![Truth::default(); width]);
    for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
        let r = inverse(x);
        let dot = sum((0..width).map(|i| gain[i] * dy[i] * x[i]));
        for i in 0..width {
            let scale = r * r * r * x[i] / width as f64;
            let near = r * gain[i] * dy[i];
            dx.push(Truth { value: near - scale * dot.value, size: near.abs() + scale.abs() * dot.size });
            dgain[i].add(dy[i] * x[i] * r);
        }
    }
    (dx, dgain)
}

/// What is there already, and its share of the size.
fn plus(mut truth: Vec<Truth>, before: &[f32]) -> Vec<Truth> {
    truth.iter_mut().zip(before).for_each(|(truth, &before)| truth.add(f64::from(before)));
    truth
}

/// (dx, dgain).
pub fn run_norm(
    device: &Device,
    [x, gain, dy, dx, dgain]: [&[f32]; 5],
    rows: usize,
    output: Output,
    with_gain: bool,
) -> (Vec<f32>, Vec<f32>) {
    let width = gain.len();
    let (x, dy) = (guarded(device, width, x, f32::NAN), guarded(device, width, dy, f32::NAN));
    let gain = device.f32_tensor(&[width], gain).unwrap();
    let (mut dx, mut dgain) = (guarded(device, width, dx, GUARD), guarded(device, width, dgain, GUARD));
    rms_norm::backward(device, &x, &gain, EPS, &dy, &mut dx, output, with_gain.then_some(&mut dgain), rows, width).unwrap();
    (rows_of(device, &dx, rows), rows_of(device, &dgain, 1))
}

pub fn check_norm(device: &Device, rows: usize, width: usize) {
    let (mut x, gain, dy) = (random(1, rows * width), random(2, width), random(3, rows * width));
    x[..width].iter_mut().for_each(|x| *x *= 1e-4); // eps counts
    let (before, before_gain) = (random(4, rows * width), random(5, width));
    let (dx, dgain) = truth_norm(&f64s(&x), &f64s(&gain), &f64s(&dy));
    let nothing = vec![f32::NAN; rows * width];
    let name = format!("rms_norm [{rows}, {width}]");
    let terms = width as f64 + 24.0;

    let (got, gain_before) = run_norm(device, [&x, &gain, &dy, &nothing, &before_gain], rows, Output::Store, false);
    expect(&name, &got, &dx, terms);
    assert_eq!(gain_before, before_gain, "{name}: dgain was not asked for");
    if rows > 1 && width > 1 {
        expect_faults_are_seen(&got, width, |got| off(got, &dx, terms));
    }
    let (got, got_gain) = run_norm(device, [&x, &gain, &dy, &before, &before_gain], rows, Output::Add, true);
    expect(&name, &got, &plus(dx, &before), terms);
    let want_gain = plus(dgain, &before_gain);
    let terms = terms + (rows.min(64) + rows / 64) as f64; // a chain of 64 rows, then of blocks
    expect(&format!("{name} dgain"), &got_gain, &want_gain, terms);
    if rows * width > 1 {
        expect_faults_are_seen(&got_gain, width, |got| off(got, &want_gain, terms));
    }
}

pub fn check_rope(device: &Device, rows: usize, heads: usize, half: usize) {
    let width = heads * 2 * half;
    let (mut state, known) = (9, 5000);
    let frequencies: Vec<f64> = (0..half).map(|i| 1e4f64.powf(-(i as f64) / half as f64)).collect();
    let scale = 1.3; // YaRN's: the map is no rotation, so its inverse would be seen
    let table = RopeTable::new(device, known, &frequencies, scale).unwrap();
    let mut positions: Vec<u32> = (0..rows).map(|_| (next(&mut state) % known as u64) as u32).collect();
    positions.push(u32::MAX); // not a row's
    let dy = random(10, rows * width);
    let want: Vec<Truth> = (0..rows * width)
        .map(|i| {
            let (row, within) = (i / width, i % (2 * half));
            let angle = f64::from(positions[row]) * frequencies[within % half];
            let (cos, sin) = (f64::from((angle.cos() * scale) as f32), f64::from((angle.sin() * scale) as f32));
            let (this, high) = (f64::from(dy[i]), within >= half);
            let other = f64::from(dy[if high { i - half } else { i + half }]);
            sum([this * cos, if high { -other * sin } else { other * sin }])
        })
        .collect();
    let positions = device.u32_tensor(&[rows + 1], &positions).unwrap();
    let mut dx = guarded(device, width, &dy, GUARD);
    rope::backward(device, &mut dx, &table, &positions, rows, heads).unwrap();
    let got = rows_of(device, &dx, rows);
    expect(&format!("rope [{rows}, {heads}, {half}]"), &got, &want, 4.0);
    if rows > 1 {
        expect_faults_are_seen(&got, width, |got| off(got, &want, 4.0));
    }

    // ⟨R x, dy⟩ = ⟨x, Rᵀ dy⟩: the transpose of what forward really does.
    let x = random(11, rows * width);
    let mut y = guarded(device, width, &x, GUARD);
    rope::forward(device, &mut y, &table, &positions, rows, heads).unwrap();
    let dot = |a: &[f32], b: &[f32]| sum(a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)));
    let (here, there) = (dot(&rows_of(device, &y, rows), &dy), dot(&x, &got));
    assert!((here.value - there.value).abs() <= 1e-6 * here.size, "{here:?} {there:?}");
}

fn silu(g: f64) -> f64 {
    g / (1.0 + (-g).exp())
}

/// (dgate, dup) of one element.
fn truth_swiglu(g: f64, u: f64, dh: f64) -> (Truth, Truth) {
    let s = 1.0 / (1.0 + (-g).exp());
    let rest = 1.0 / (1.0 + g.exp());
    (sum([dh * u * s, dh * u * s * g * rest]), sum([dh * silu(g)]))
}

pub fn check_swiglu(device: &Device, rows: usize, width: usize, roundings: f64) {
    let count = rows * width;
    let (mut g, u, dh) = (random(1, count), random(2, count), random(3, count));
    g.iter_mut().for_each(|g| *g *= 8.0);
    (g[0], g[count - 1]) = (200.0, -200.0);
    let name = format!("swiglu [{rows}, {width}]");
    let tensors = || (guarded(device, width, &g, GUARD), guarded(device, width, &u, GUARD));

    let (mut gate, mut up) = tensors();
    let mut h = guarded(device, width, &vec![0.0; count], GUARD);
    swiglu::forward_to(device, &gate, &up, &mut h, rows).unwrap();
    assert_eq!(rows_of(device, &gate, rows), g, "{name}: forward_to keeps gate");
    let kept = rows_of(device, &h, rows);
    swiglu::forward(device, &mut gate, &up, rows).unwrap();
    assert_eq!(bits(&kept), bits(&rows_of(device, &gate, rows)), "{name}: forward_to has other bits than forward");

    gate = tensors().0;
    swiglu::backward(device, &mut gate, &mut up, &guarded(device, width, &dh, f32::NAN), rows).unwrap();
    let (dg, du): (Vec<_>, Vec<_>) = (0..count).map(|i| truth_swiglu(f64::from(g[i]), f64::from(u[i]), f64::from(dh[i]))).unzip();
    let (got_gate, got_up) = (rows_of(device, &gate, rows), rows_of(device, &up, rows));
    expect(&format!("{name} dgate"), &got_gate, &dg, roundings);
    expect(&format!("{name} dup"), &got_up, &du, roundings);
    if count > 1 {
        // The last element is -200, where everything is as good as 0.
        let check = |want: &'_ [Truth], got: &[f32]| off(&got[..count - 1], &want[..count - 1], roundings);
        assert!(check(&dg, &got_up).is_some() && check(&du, &got_gate).is_some(), "{name}: exchanged gradients pass");
        for (got, want) in [(&got_gate, &dg), (&got_up, &du)] {
            let scaled: Vec<f32> = got.iter().map(|v| v * 1.01).collect();
            assert!(check(want, &scaled).is_some() && check(want, &vec![0.0; count]).is_some(), "{name}: faults pass");
        }
    }
}

/// Sums in one fixed order are compared to the bit.
pub fn check_look_ups(device: &Device, rows: usize, width: usize) {
    let (known, mut state) = (23, 5);
    let mut ids: Vec<u32> = (0..rows).map(|_| (next(&mut state) % known as u64) as u32).collect();
    ids.push(u32::MAX); // not a row's
    let (dy, before) = (random(1, rows * width), random(2, known * width));
    let mut want = before.clone();
    for row in 0..rows {
        for c in 0..width {
            want[ids[row] as usize * width + c] += dy[row * width + c];
        }
    }
    let mut dw = guarded(device, width, &before, GUARD);
    embedding::backward(device, &guarded(device, width, &dy, f32::NAN), &ids, &mut dw, rows).unwrap();
    assert_eq!(bits(&rows_of(device, &dw, known)), bits(&want), "embedding [{rows}, {width}]");

    // Every second row, from behind.
    let index: Vec<u32> = (0..rows as u32).rev().map(|i| 2 * i + 1).chain([0]).collect();
    let mut want = random(3, 2 * rows * width);
    let mut y = guarded(device, width, &want, GUARD);
    for row in 0..rows {
        want[index[row] as usize * width..][..width].copy_from_slice(&dy[row * width..][..width]);
    }
    let index = device.u32_tensor(&[rows + 1], &index).unwrap();
    embedding::scatter(device, &guarded(device, width, &dy, f32::NAN), &index, &mut y, rows).unwrap();
    assert_eq!(bits(&rows_of(device, &y, 2 * rows)), bits(&want), "scatter [{rows}, {width}]");
}

#[test]
fn the_formulas_are_the_derivatives() {
    let (rows, width) = (3, 7);
    let (x, gain, dy) = (f64s(&random(1, rows * width)), f64s(&random(2, width)), f64s(&random(3, rows * width)));
    let norm = |x: &[f64], gain: &[f64]| -> Vec<f64> {
        x.chunks(width).flat_map(|x| (0..width).map(|i| x[i] * inverse(x) * gain[i]).collect::<Vec<_>>()).collect()
    };
    let values = |truth: &[Truth]| truth.iter().map(|truth| truth.value).collect::<Vec<_>>();
    let (dx, dgain) = truth_norm(&x, &gain, &dy);
    expect_close("rms_norm dx", &values(&dx), &central_difference(&x, &dy, |x| norm(x, &gain)), 1e-6);
    expect_close("rms_norm dgain", &values(&dgain), &central_difference(&gain, &dy, |gain| norm(&x, gain)), 1e-6);

    let (g, u, dh): (Vec<f64>, _, _) = (x.iter().map(|x| 5.0 * x).collect(), f64s(&random(4, x.len())), &dy);
    let (dg, du): (Vec<_>, Vec<_>) = (0..g.len()).map(|i| truth_swiglu(g[i], u[i], dh[i])).unzip();
    let h = |g: &[f64], u: &[f64]| g.iter().zip(u).map(|(g, u)| silu(*g) * u).collect::<Vec<_>>();
    expect_close("swiglu dgate", &values(&dg), &central_difference(&g, dh, |g| h(g, &u)), 1e-6);
    expect_close("swiglu dup", &values(&du), &central_difference(&u, dh, |u| h(&g, u)), 1e-6);
}

//! Backward of the mixture of experts against plain f64 and against central differences of an f64 forward; bits across threads, SIMD
//! levels and other tokens; the GPU against the same f64.

#[path = "cpu_ops/helpers.rs"]
#[allow(dead_code)]
mod helpers;
mod support;

use helpers::{bits, devices};
use kernels::cpu::dequant::dequantize;
use kernels::gpu::GpuOptions;
use kernels::matmul::Output;
use kernels::moe::{self, Routes, Rows};
use kernels::{DType, Device, KernelError, Precision, Tensor, Weight};
use pollster::block_on;
use support::{device, exact, expect_faults_are_seen, expect_near, random, random_weight};

const EXPERTS: usize = 12;
/// No token goes there.
const IDLE: usize = 5;
const ROWS: [usize; 5] = [1, 7, 63, 65, 257];
/// Rows past those in use: NaN where an op reads, GUARD where it writes.
const SPARE: usize = 3;
const GUARD: f32 = -777.25;
const TOLERANCE: f64 = 2e-5;

/// One layer's operands. `n`: an expert's outputs, `k`: its inputs.
struct Case {
    rows: usize,
    top_k: usize,
    n: usize,
    k: usize,
    dtype: DType,
    renormalise: bool,
    logits: Vec<f32>,
    weight: Vec<u8>,
    /// [R, K] and [R·k, K]
    x: [Vec<f32>; 2],
    /// Sorted, [R·k, N]
    dy: Vec<f32>,
    /// [R, N]
    dout: Vec<f32>,
    /// [R·k, N]
    h: Vec<f32>,
    dweights: Vec<f32>,
    /// What outputs that are added to hold before: dx [R·k, K], dw [E·N, K], y [R, N].
    before: [Vec<f32>; 3],
}

impl Case {
    fn new(rows: usize, top_k: usize, n: usize, k: usize, dtype: DType, renormalise: bool) -> Self {
        let count = rows * top_k;
        let mut logits: Vec<f32> = random(1, rows * EXPERTS).iter().map(|z| 3.0 * z).collect();
        logits.iter_mut().skip(IDLE).step_by(EXPERTS).for_each(|z| *z = -9.0);
        Self {
            rows,
            top_k,
            n,
            k,
            dtype,
            renormalise,
            logits,
            weight: random_weight(2, dtype, EXPERTS * n, k),
            x: [random(3, rows * k), random(4, count * k)],
            dy: random(5, count * n),
            dout: random(6, rows * n),
            h: random(7, count * n),
            dweights: random(8, count),
            before: [random(9, count * k), random(10, EXPERTS * n * k), random(11, rows * n)],
        }
    }

    /// The first `rows` tokens alone; what is sorted follows its assignment.
    fn prefix(&self, rows: usize, order: &[u32], inverse: &[u32]) -> Self {
        let count = rows * self.top_k;
        let mut case = Self::new(rows, self.top_k, self.n, self.k, self.dtype, self.renormalise);
        let kept: Vec<u32> = order.iter().copied().filter(|&i| (i as usize) < count).collect();
        assert_eq!(kept.len(), count);
        let rows_of = |all: &[f32], width: usize| -> Vec<f32> {
            kept.iter().flat_map(|&i| all[inverse[i as usize] as usize * width..][..width].to_vec()).collect()
        };
        case.dy = rows_of(&self.dy, self.n);
        case.h = rows_of(&self.h, self.n);
        case.x = [self.x[0][..rows * self.k].to_vec(), rows_of(&self.x[1], self.k)];
        case.before[0] = rows_of(&self.before[0], self.k);
        case.before[2] = self.before[2][..rows * self.n].to_vec();
        case.logits = self.logits[..rows * EXPERTS].to_vec();
        case.dout = self.dout[..rows * self.n].to_vec();
        case.dweights = self.dweights[..count].to_vec();
        case
    }

    fn routes(&self, device: &Device) -> Routes {
        let mut routes = Routes::new(device, self.rows + SPARE, EXPERTS, self.top_k).unwrap();
        let logits = input(device, self.rows, EXPERTS, &self.logits);
        moe::route(device, &logits, self.renormalise, &mut routes, self.rows).unwrap();
        moe::sort(device, &mut routes, self.rows).unwrap();
        routes
    }

    fn w(&self, device: &Device) -> Weight {
        Weight::new(device, EXPERTS * self.n, self.k, self.dtype, self.n, self.weight.clone().into()).unwrap()
    }
}

fn input(device: &Device, rows: usize, width: usize, values: &[f32]) -> Tensor {
    assert_eq!(values.len(), rows * width);
    device.f32_tensor(&[rows + SPARE, width], &[values, &vec![f32::NAN; SPARE * width]].concat()).unwrap()
}

fn output(device: &Device, rows: usize, width: usize, before: &[f32]) -> Tensor {
    assert_eq!(before.len(), rows * width);
    device.f32_tensor(&[rows + SPARE, width], &[before, &vec![GUARD; SPARE * width]].concat()).unwrap()
}

/// An output's rows in use; panics if a guard changed.
fn taken(device: &Device, tensor: &Tensor) -> Vec<f32> {
    let mut all = block_on(device.read_f32(tensor, tensor.len())).unwrap();
    let spare = SPARE * tensor.width();
    assert_eq!(all.split_off(all.len() - spare), vec![GUARD; spare], "written past the rows in use");
    all
}

/// Everything that backward gives, and where its sums lie.
struct Outputs {
    order: Vec<u32>,
    inverse: Vec<u32>,
    ids: Vec<u32>,
    weights: Vec<f32>,
    dlogits: Vec<f32>,
    /// Stored, added.
    dx: [Vec<f32>; 2],
    /// From tokens, from sorted rows.
    dw: [Vec<f32>; 2],
    dh: Vec<f32>,
    dweights: Vec<f32>,
    y: Vec<f32>,
}

impl Outputs {
    fn floats(&self) -> [(&'static str, &Vec<f32>); 8] {
        let [dx, dx_added] = &self.dx;
        let [dw, dw_sorted] = &self.dw;
        let rest = [("dh", &self.dh), ("dweights", &self.dweights), ("y", &self.y)];
        [("dlogits", &self.dlogits), ("dx", dx), ("dx added", dx_added), ("dw", dw), ("dw sorted", dw_sorted), rest[0], rest[1], rest[2]]
    }
}

fn run(device: &Device, case: &Case) -> Outputs {
    let Case { rows, top_k, n, k, .. } = *case;
    let count = rows * top_k;
    let (routes, w) = (case.routes(device), case.w(device));
    let garbage = |len| vec![f32::NAN; len];

    let logits = input(device, rows, EXPERTS, &case.logits);
    let dweights = input(device, rows, top_k, &case.dweights);
    let mut dlogits = output(device, rows, EXPERTS, &garbage(rows * EXPERTS));
    moe::route_backward(device, &logits, case.renormalise, &routes, &dweights, &mut dlogits, rows).unwrap();

    let dy = input(device, count, n, &case.dy);
    let dx = [(Output::Store, garbage(count * k)), (Output::Add, case.before[0].clone())].map(|(how, before)| {
        let mut dx = output(device, count, k, &before);
        moe::grouped_backward_x(device, &dy, &w, &routes, &mut dx, rows, how).unwrap();
        taken(device, &dx)
    });
    let dw = [(Rows::Tokens, rows, &case.x[0]), (Rows::Sorted, count, &case.x[1])].map(|(from, x_rows, x)| {
        let x = input(device, x_rows, k, x);
        let mut dw = output(device, EXPERTS * n, k, &case.before[1]);
        moe::grouped_backward_w(device, &dy, &x, from, &routes, &mut dw, rows).unwrap();
        taken(device, &dw)
    });

    let (dout, h) = (input(device, rows, n, &case.dout), input(device, count, n, &case.h));
    let (mut dh, mut dweights) = (output(device, count, n, &garbage(count * n)), output(device, rows, top_k, &garbage(count)));
    moe::combine_backward(device, &dout, &h, &routes, &mut dh, &mut dweights, rows).unwrap();
    let mut y = output(device, rows, n, &case.before[2]);
    moe::gather_sum(device, &dy, &routes, &mut y, rows).unwrap();
    let words = |tensor: &Tensor, count| block_on(device.read_u32(tensor, count)).unwrap();
    Outputs {
        order: words(&routes.order, count),
        inverse: words(&routes.inverse, count),
        ids: words(&routes.ids, count),
        weights: block_on(device.read_f32(&routes.weights, count)).unwrap(),
        dlogits: taken(device, &dlogits),
        dx,
        dw,
        dh: taken(device, &dh),
        dweights: taken(device, &dweights),
        y: taken(device, &y),
    }
}

// --- f64

fn softmax(z: &[f64]) -> Vec<f64> {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = z.iter().map(|z| (z - max).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}

fn weights(z: &[f64], ids: &[u32], renormalise: bool) -> Vec<f64> {
    let p = softmax(z);
    let chosen: Vec<f64> = ids.iter().map(|&id| p[id as usize]).collect();
    let sum = if renormalise { chosen.iter().sum() } else { 1.0 };
    chosen.iter().map(|p| p / sum).collect()
}

/// Through the renormalised top-k, then the softmax.
fn dlogits(z: &[f64], ids: &[u32], dw: &[f64], renormalise: bool) -> Vec<f64> {
    let (p, w) = (softmax(z), weights(z, ids, renormalise));
    let sum: f64 = ids.iter().map(|&id| p[id as usize]).sum();
    let mean: f64 = w.iter().zip(dw).map(|(w, dw)| w * dw).sum();
    let mut dp = vec![0.0; z.len()];
    for (&id, dw) in ids.iter().zip(dw) {
        dp[id as usize] = if renormalise { (dw - mean) / sum } else { *dw };
    }
    let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
    p.iter().zip(&dp).map(|(p, dp)| p * (dp - mean)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Checks every output of `got`; the routes are taken from it, their order is not.
fn check(case: &Case, got: &Outputs, faults: bool) {
    let Case { rows, top_k, n, k, .. } = *case;
    let count = rows * top_k;
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.sort_by_key(|&i| got.ids[i as usize]);
    assert_eq!(got.order, order);
    let near = |name: &str, got: &[f32], want: &[f64], width: usize| {
        expect_near(name, got, want, TOLERANCE);
        if faults {
            expect_faults_are_seen(got, want, width, TOLERANCE);
        }
    };
    let mut w = vec![0f32; EXPERTS * n * k];
    dequantize(case.dtype, &case.weight, &mut w).unwrap();

    let z = wide(&case.logits);
    let want: Vec<f64> = (0..rows)
        .flat_map(|row| {
            let slots = row * top_k..(row + 1) * top_k;
            dlogits(&z[row * EXPERTS..(row + 1) * EXPERTS], &got.ids[slots.clone()], &wide(&case.dweights[slots]), case.renormalise)
        })
        .collect();
    expect_near("dlogits", &got.dlogits, &want, 2e-6);
    if !case.renormalise && faults {
        expect_faults_are_seen(&got.dlogits, &want, EXPERTS, 2e-6);
    }

    let (mut dx, mut dw) = (vec![0f64; count * k], [wide(&case.before[1]), wide(&case.before[1])]);
    let (mut dh, mut dweights, mut y) = (vec![0f64; count * n], vec![0f64; count], wide(&case.before[2]));
    for (sorted, &assignment) in order.iter().enumerate() {
        let (assignment, token) = (assignment as usize, assignment as usize / top_k);
        let expert = got.ids[assignment] as usize;
        for i in 0..n {
            let dy = f64::from(case.dy[sorted * n + i]);
            let row = (expert * n + i) * k;
            for j in 0..k {
                dx[sorted * k + j] += dy * f64::from(w[row + j]);
                dw[0][row + j] += dy * f64::from(case.x[0][token * k + j]);
                dw[1][row + j] += dy * f64::from(case.x[1][sorted * k + j]);
            }
            let dout = f64::from(case.dout[token * n + i]);
            dh[sorted * n + i] = dout * f64::from(got.weights[assignment]);
            dweights[assignment] += dout * f64::from(case.h[sorted * n + i]);
            y[token * n + i] += dy;
        }
    }
    near("dx", &got.dx[0], &dx, k);
    let added: Vec<f64> = dx.iter().zip(&case.before[0]).map(|(dx, &before)| dx + f64::from(before)).collect();
    near("dx added", &got.dx[1], &added, k);
    near("dw", &got.dw[0], &dw[0], k);
    near("dw sorted", &got.dw[1], &dw[1], k);
    near("dh", &got.dh, &dh, n);
    near("dweights", &got.dweights, &dweights, top_k);
    near("y", &got.y, &y, n);
    // Experts without tokens: to the bit.
    for expert in (0..EXPERTS).filter(|&e| !got.ids.contains(&(e as u32))) {
        let part = expert * n * k..(expert + 1) * n * k;
        for dw in &got.dw {
            assert_eq!(bits(&dw[part.clone()]), bits(&case.before[1][part.clone()]), "expert {expert} has no tokens");
        }
    }
}

fn cases(rows: &[usize]) -> Vec<Case> {
    let mut all = vec![];
    for &rows in rows {
        for top_k in [1, 2, 8] {
            for renormalise in [false, true] {
                all.push(Case::new(rows, top_k, 17, 35, DType::F32, renormalise));
            }
        }
    }
    for (rows, top_k, k, dtype) in [(63, 2, 34, DType::BF16), (65, 1, 40, DType::F16), (7, 8, 96, DType::Q8_0), (65, 2, 256, DType::Q4_K)] {
        all.push(Case::new(rows, top_k, 33, k, dtype, true));
    }
    // Sums longer than a block of 256: outputs of an expert, and rows of one; more than a tile of both.
    all.push(Case::new(7, 2, 300, 70, DType::BF16, true));
    all.push(Case::new(400, 8, 17, 35, DType::F32, false));
    all
}

#[test]
fn backward_is_that_of_plain_f64_to_the_same_bits_everywhere() {
    let all = devices();
    for case in cases(&ROWS) {
        let first = run(&all[0], &case);
        assert!(!first.ids.contains(&(IDLE as u32)));
        check(&case, &first, true);
        for device in &all[1..] {
            for ((name, first), (_, got)) in first.floats().into_iter().zip(run(device, &case).floats()) {
                assert_eq!(bits(first), bits(got), "{name} on {}", device.describe());
            }
        }
    }
}

#[test]
fn other_tokens_change_no_bit() {
    let device = Device::cpu(Precision::Exact);
    for top_k in [1, 2, 8] {
        let case = Case::new(257, top_k, 17, 35, DType::BF16, true);
        let all = run(&device, &case);
        for rows in [1, 7, 65] {
            let alone = run(&device, &case.prefix(rows, &all.order, &all.inverse));
            let same = |width: usize, alone: &[f32], all: &[f32]| assert_eq!(bits(alone), bits(&all[..rows * width]));
            same(EXPERTS, &alone.dlogits, &all.dlogits);
            same(top_k, &alone.dweights, &all.dweights);
            same(17, &alone.y, &all.y);
            for i in 0..rows * top_k {
                let (a, b) = (alone.inverse[i] as usize, all.inverse[i] as usize);
                for (one, other, width) in [(&alone.dx[0], &all.dx[0], 35), (&alone.dx[1], &all.dx[1], 35), (&alone.dh, &all.dh, 17)] {
                    assert_eq!(bits(&one[a * width..(a + 1) * width]), bits(&other[b * width..(b + 1) * width]));
                }
            }
        }
    }
}

// --- central differences of a whole layer

/// Σ u ∘ y with y[t] = Σ_s w[t,s] (W_e x[t])², the squares so that h differs from its gradient.
struct Layer {
    case: Case,
    ids: Vec<u32>,
    upstream: Vec<f32>,
}

impl Layer {
    fn loss(&self, logits: &[f64], w: &[f64], x: &[f64]) -> f64 {
        let Case { rows, top_k, n, k, renormalise, .. } = self.case;
        let mut loss = 0.0;
        for token in 0..rows {
            let ids = &self.ids[token * top_k..(token + 1) * top_k];
            let weights = weights(&logits[token * EXPERTS..(token + 1) * EXPERTS], ids, renormalise);
            for (&id, weight) in ids.iter().zip(weights) {
                for i in 0..n {
                    let row = (id as usize * n + i) * k;
                    let g: f64 = (0..k).map(|j| w[row + j] * x[token * k + j]).sum();
                    loss += f64::from(self.upstream[token * n + i]) * weight * g * g;
                }
            }
        }
        loss
    }

    /// The gradients of logits, w and x by our ops.
    fn backward(&self, device: &Device) -> [Vec<f32>; 3] {
        let case = &self.case;
        let Case { rows, top_k, n, k, .. } = *case;
        let count = rows * top_k;
        let (routes, w) = (case.routes(device), case.w(device));
        let zeros = |rows: usize, width: usize| device.zeros(&[rows, width], DType::F32).unwrap();
        let x = device.f32_tensor(&[rows, k], &case.x[0]).unwrap();
        let mut g = zeros(count, n);
        moe::grouped_matmul(device, &x, Rows::Tokens, &w, &routes, &mut g, rows).unwrap();
        let g = block_on(device.read_f32(&g, count * n)).unwrap();
        let h = device.f32_tensor(&[count, n], &g.iter().map(|g| g * g).collect::<Vec<_>>()).unwrap();
        let dout = device.f32_tensor(&[rows, n], &self.upstream).unwrap();
        let (mut dh, mut dweights) = (zeros(count, n), zeros(rows, top_k));
        moe::combine_backward(device, &dout, &h, &routes, &mut dh, &mut dweights, rows).unwrap();
        let dh = block_on(device.read_f32(&dh, count * n)).unwrap();
        let dg = device.f32_tensor(&[count, n], &dh.iter().zip(&g).map(|(dh, g)| 2.0 * g * dh).collect::<Vec<_>>()).unwrap();
        let (mut dlogits, mut dw, mut dx, mut dx_token) = (zeros(rows, EXPERTS), zeros(EXPERTS * n, k), zeros(count, k), zeros(rows, k));
        let logits = device.f32_tensor(&[rows, EXPERTS], &case.logits).unwrap();
        moe::route_backward(device, &logits, case.renormalise, &routes, &dweights, &mut dlogits, rows).unwrap();
        moe::grouped_backward_w(device, &dg, &x, Rows::Tokens, &routes, &mut dw, rows).unwrap();
        moe::grouped_backward_x(device, &dg, &w, &routes, &mut dx, rows, Output::Store).unwrap();
        moe::gather_sum(device, &dx, &routes, &mut dx_token, rows).unwrap();
        [dlogits, dw, dx_token].map(|tensor| block_on(device.read_f32(&tensor, tensor.len())).unwrap())
    }
}

fn gradients_are_central_differences(device: &Device) {
    for (rows, top_k, renormalise) in [(1, 2, true), (7, 1, false), (7, 2, false), (7, 8, true), (65, 2, true), (65, 8, false)] {
        let case = Case::new(rows, top_k, 5, 7, DType::F32, renormalise);
        let ids = block_on(device.read_u32(&case.routes(device).ids, rows * top_k)).unwrap();
        let layer = Layer { case, ids, upstream: random(21, rows * 5) };
        let mut w = vec![0f32; EXPERTS * 5 * 7];
        dequantize(DType::F32, &layer.case.weight, &mut w).unwrap();
        let at = [wide(&layer.case.logits), wide(&w), wide(&layer.case.x[0])];
        for (which, got) in layer.backward(device).iter().enumerate() {
            let want: Vec<f64> = (0..got.len())
                .map(|i| {
                    let [low, high] = [-1e-5, 1e-5].map(|step| {
                        let mut at = at.clone();
                        at[which][i] += step;
                        layer.loss(&at[0], &at[1], &at[2])
                    });
                    (high - low) / 2e-5
                })
                .collect();
            let name = ["dlogits", "dw", "dx"][which];
            expect_near(name, got, &want, TOLERANCE);
            let wrong: Vec<f32> = got.iter().map(|value| value * 1.01).collect();
            assert!(support::difference(&wrong, &want, TOLERANCE).is_some(), "{name} ×1.01 was not seen");
        }
    }
}

#[test]
fn a_layers_gradients_are_central_differences() {
    gradients_are_central_differences(&Device::cpu(Precision::Exact));
}

// --- weigh

fn weighs_to_routes_bits(device: &Device, rows: &[usize]) {
    for &rows in rows {
        for top_k in [1, 2, 8] {
            for renormalise in [false, true] {
                let case = Case::new(rows, top_k, 1, 1, DType::F32, renormalise);
                let mut routes = case.routes(device);
                let all = (rows + SPARE) * top_k;
                let want = block_on(device.read_f32(&routes.weights, rows * top_k)).unwrap();
                routes.weights.write_f32(device, &vec![GUARD; all]).unwrap();
                let logits = input(device, rows, EXPERTS, &case.logits);
                moe::weigh(device, &logits, renormalise, &mut routes, rows).unwrap();
                let mut got = block_on(device.read_f32(&routes.weights, all)).unwrap();
                assert_eq!(got.split_off(rows * top_k), vec![GUARD; SPARE * top_k]);
                assert_eq!(bits(&got), bits(&want), "{rows} rows, top {top_k}, {renormalise}");
                // Other routes than the best: those of f64.
                let ids: Vec<u32> = (0..rows * top_k).map(|i| ((i + i / top_k) % EXPERTS) as u32).collect();
                routes.ids.write_u32(device, &ids).unwrap();
                moe::weigh(device, &logits, renormalise, &mut routes, rows).unwrap();
                let got = block_on(device.read_f32(&routes.weights, rows * top_k)).unwrap();
                let z = wide(&case.logits);
                let want: Vec<f64> = (0..rows)
                    .flat_map(|row| weights(&z[row * EXPERTS..(row + 1) * EXPERTS], &ids[row * top_k..(row + 1) * top_k], renormalise))
                    .collect();
                expect_near("replayed", &got, &want, 1e-6);
            }
        }
    }
}

#[test]
fn weigh_gives_routes_bits() {
    devices().iter().for_each(|device| weighs_to_routes_bits(device, &ROWS));
}

// --- what is refused

#[test]
fn routes_that_make_no_sense_are_refused() {
    let device = Device::cpu(Precision::Exact);
    let case = Case::new(7, 2, 17, 35, DType::F32, true);
    let w = case.w(&device);
    let tensor = |rows: usize, width: usize| device.zeros(&[rows, width], DType::F32).unwrap();
    let value = |result: kernels::Result<()>| assert!(matches!(result, Err(KernelError::Value { .. })), "{result:?}");
    let shape = |result: kernels::Result<()>| assert!(matches!(result, Err(KernelError::Shape { .. })), "{result:?}");
    let sorted = || case.routes(&device);

    // Never sorted.
    let routes = Routes::new(&device, 7, EXPERTS, 2).unwrap();
    value(moe::grouped_backward_x(&device, &tensor(14, 17), &w, &routes, &mut tensor(14, 35), 7, Output::Store));
    value(moe::grouped_backward_w(&device, &tensor(14, 17), &tensor(7, 35), Rows::Tokens, &routes, &mut tensor(12 * 17, 35), 7));
    value(moe::combine_backward(&device, &tensor(7, 17), &tensor(14, 17), &routes, &mut tensor(14, 17), &mut tensor(7, 2), 7));
    // Two assignments with one sorted row.
    let mut routes = sorted();
    routes.inverse.write_u32(&device, &[3, 3]).unwrap();
    value(moe::combine_backward(&device, &tensor(7, 17), &tensor(14, 17), &routes, &mut tensor(14, 17), &mut tensor(7, 2), 7));
    // Past the end.
    routes.inverse.write_u32(&device, &[14]).unwrap();
    value(moe::gather_sum(&device, &tensor(14, 17), &routes, &mut tensor(7, 17), 7));
    let mut routes = sorted();
    routes.order.write_u32(&device, &[u32::MAX]).unwrap();
    value(moe::grouped_backward_w(&device, &tensor(14, 17), &tensor(7, 35), Rows::Tokens, &routes, &mut tensor(12 * 17, 35), 7));
    routes.ids.write_u32(&device, &[EXPERTS as u32]).unwrap();
    value(moe::weigh(&device, &tensor(7, EXPERTS), true, &mut routes, 7));
    value(moe::route_backward(&device, &tensor(7, EXPERTS), true, &routes, &tensor(7, 2), &mut tensor(7, EXPERTS), 7));
    // Shapes.
    let routes = sorted();
    shape(moe::grouped_backward_x(&device, &tensor(14, 16), &w, &routes, &mut tensor(14, 35), 7, Output::Store));
    shape(moe::grouped_backward_x(&device, &tensor(14, 17), &w, &routes, &mut tensor(13, 35), 7, Output::Store));
    shape(moe::grouped_backward_w(&device, &tensor(14, 17), &tensor(7, 35), Rows::Sorted, &routes, &mut tensor(12 * 17, 35), 7));
    shape(moe::grouped_backward_w(&device, &tensor(14, 17), &tensor(7, 35), Rows::Tokens, &routes, &mut tensor(11 * 17, 35), 7));
    shape(moe::gather_sum(&device, &tensor(14, 17), &routes, &mut tensor(7, 18), 7));
    // More rows than the routes have room for.
    shape(moe::gather_sum(&device, &tensor(60, 17), &routes, &mut tensor(30, 17), 30));
}

// --- the GPU

#[test]
fn gpu_backward_is_that_of_plain_f64() {
    for max_binding_bytes in [None, Some(3 * 33 * 4 * 260)] {
        let Some(gpu) = device(&GpuOptions { max_binding_bytes, ..Default::default() }) else { return };
        for case in cases(if max_binding_bytes.is_none() { &ROWS } else { &[7, 65] }) {
            let got = run(&gpu, &case);
            check(&case, &got, false);
            let again = run(&gpu, &case);
            for ((name, first), (_, got)) in got.floats().into_iter().zip(again.floats()) {
                assert_eq!(bits(first), bits(got), "{name} again");
            }
        }
    }
}

#[test]
fn gpu_gradients_are_central_differences() {
    let Some(gpu) = exact() else { return };
    gradients_are_central_differences(&gpu);
}

#[test]
fn gpu_weigh_gives_routes_bits() {
    let Some(gpu) = exact() else { return };
    weighs_to_routes_bits(&gpu, &[1, 7, 65]);
}

#[test]
fn gpu_other_tokens_change_no_bit() {
    let Some(gpu) = exact() else { return };
    // All of them take the tall tile, seven the flat one.
    let case = Case::new(257, 2, 17, 35, DType::BF16, true);
    let all = run(&gpu, &case);
    let alone = run(&gpu, &case.prefix(7, &all.order, &all.inverse));
    for i in 0..14 {
        let (a, b) = (alone.inverse[i] as usize * 35, all.inverse[i] as usize * 35);
        assert_eq!(bits(&alone.dx[0][a..a + 35]), bits(&all.dx[0][b..b + 35]));
    }
}

// --- speed

/// GFLOP/s of the experts' matmuls backward on the CPU, at a 30B-A3B layer's widths with 64 rows an expert.
#[test]
#[ignore = "a measurement, alone: cargo test --release -p longhand-kernels --test backward_moe -- --ignored --nocapture"]
fn speed() {
    let device = Device::cpu(Precision::Exact);
    println!("{}", device.describe());
    let (n, k, top_k) = (768, 2048, 8);
    for rows in [12, 96] {
        for dtype in [DType::F32, DType::BF16, DType::Q8_0] {
            let case = Case::new(rows, top_k, n, k, dtype, true);
            let (routes, w, count) = (case.routes(&device), case.w(&device), rows * top_k);
            let (dy, x) = (input(&device, count, n, &case.dy), input(&device, rows, k, &case.x[0]));
            let mut dx = output(&device, count, k, &case.before[0]);
            let mut dw = output(&device, EXPERTS * n, k, &case.before[1]);
            let mut best = [f64::INFINITY; 2];
            for _ in 0..4 {
                let mut time = |which: usize, run: &mut dyn FnMut()| {
                    let start = std::time::Instant::now();
                    run();
                    best[which] = best[which].min(start.elapsed().as_secs_f64());
                };
                time(0, &mut || moe::grouped_backward_x(&device, &dy, &w, &routes, &mut dx, rows, Output::Store).unwrap());
                time(1, &mut || moe::grouped_backward_w(&device, &dy, &x, Rows::Tokens, &routes, &mut dw, rows).unwrap());
            }
            let [x, w] = best.map(|seconds| 2.0 * (count * n * k) as f64 / seconds / 1e9);
            println!("{rows:>4} tokens of {top_k}, {:>5}: x {x:6.1}, w {w:6.1} GFLOP/s", dtype.name());
        }
    }
}

//! The head in nucleus space: forward and backward with cuts against an f64 reference, which finite differences check; what a sampler
//! records against what the head recomputes; both devices.

#[allow(dead_code)]
#[path = "cpu_ops/helpers.rs"]
mod helpers;
mod support;

use helpers::{bits, devices};
use kernels::gpu::GpuOptions;
use kernels::head::{self, HeadOutput};
use kernels::matmul::{self, Output};
use kernels::sample::{self, SampleOutput, SampleParams};
use kernels::{DType, Device, KernelError, Precision, Tensor, Weight};
use support::{difference, exact, expect_near, next, random};

const GUARD: f32 = 12345.0;

#[derive(Clone)]
struct Case {
    rows: usize,
    cols: usize,
    vocabulary: usize,
    temperature: f32,
}

/// What a row keeps and is asked for.
struct Row {
    cut: f32,
    target: usize,
    kept: Vec<bool>,
    dropped: bool,
}

/// What is expected, or was computed.
#[derive(Default)]
struct Numbers<T> {
    logprob: Vec<T>,
    entropy: Vec<T>,
    mass: Vec<T>,
    kept_lse: Vec<T>,
    dx: Vec<T>,
    dw: Vec<T>,
}

/// Faults of an implementation, planted in the reference.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Strict,
    NoCutInBackward,
    NoCutAtAll,
    MassOfTheOthers,
    TargetLeftOut,
    EntropyOfTheKept,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn lse(z: &[f64], kept: impl Fn(usize) -> bool) -> f64 {
    let of = || z.iter().enumerate().filter(|(v, _)| kept(*v)).map(|(_, z)| *z);
    let top = of().fold(f64::MIN, f64::max);
    top + of().map(|z| (z - top).exp()).sum::<f64>().ln()
}

impl Case {
    fn x(&self) -> Vec<f32> {
        random(1, self.rows * self.cols).iter().map(|x| x * 3.0).collect()
    }
    /// Every seventh row of the vocabulary is the one before it: equal logits, to the bit.
    fn w(&self) -> Vec<f32> {
        let mut w = random(2, self.vocabulary * self.cols);
        for v in (3..self.vocabulary).step_by(7) {
            w.copy_within((v - 1) * self.cols..v * self.cols, v * self.cols);
        }
        w
    }
    fn g(&self) -> Vec<f32> {
        random(4, self.rows)
    }
    fn old_dw(&self) -> Vec<f32> {
        random(6, self.vocabulary * self.cols)
    }
    fn weight(&self, device: &Device) -> Weight {
        let bytes: Vec<u8> = self.w().iter().flat_map(|x| x.to_le_bytes()).collect();
        Weight::new(device, self.vocabulary, self.cols, DType::F32, 1, bytes.into()).unwrap()
    }

    /// The device's own logits, whose bits the head has.
    fn logits(&self, device: &Device) -> Tensor {
        let x = device.f32_tensor(&[self.rows, self.cols], &self.x()).unwrap();
        let mut logits = device.zeros(&[self.rows, self.vocabulary], DType::F32).unwrap();
        matmul::forward(device, &x, &self.weight(device), None, &mut logits, self.rows, Output::Store).unwrap();
        logits
    }

    /// Cuts of every kind, by row: all kept, the largest alone, a cut at two equal logits, one between two, a target below it, above all.
    fn rows(&self, device: &Device) -> Vec<Row> {
        let logits = read(device, &self.logits(device));
        let mut state = 9;
        let row = |(number, z): (usize, &[f32])| {
            let mut order: Vec<usize> = (0..z.len()).collect();
            order.sort_by(|&a, &b| z[b].total_cmp(&z[a]));
            let at = |share: usize| order[z.len() * share / 5];
            let tied = (3..z.len()).step_by(7).nth(next(&mut state) as usize % (z.len() / 7 + 1)).unwrap_or(0);
            let (below, random) = (z[*order.last().unwrap()], next(&mut state) as usize);
            let cut = match number % 6 {
                0 => f32::MIN,
                1 => z[order[0]],
                2 => z[tied],
                3 => z[at(2)] / 2.0 + order.get(z.len() * 2 / 5 + 1).map_or(below - 1.0, |&v| z[v]) / 2.0,
                4 => z[at(1)],
                _ => f32::MAX,
            };
            let kept: Vec<usize> = (0..z.len()).filter(|&v| z[v] >= cut).collect();
            let dropped: Vec<usize> = (0..z.len()).filter(|&v| z[v] < cut).collect();
            let target = match number % 6 {
                2 => tied,
                4 | 5 if !dropped.is_empty() => dropped[random % dropped.len()],
                _ => kept[random % kept.len()],
            };
            Row { cut, target, kept: z.iter().map(|&z| z >= cut).collect(), dropped: z[target] < cut }
        };
        logits.chunks_exact(self.vocabulary).enumerate().map(row).collect()
    }

    fn run(&self, device: &Device, rows: &[Row]) -> Numbers<f32> {
        let Self { rows: count, cols, vocabulary, temperature } = *self;
        let x = device.f32_tensor(&[count, cols], &self.x()).unwrap();
        let w = self.weight(device);
        let targets = device.u32_tensor(&[count], &rows.iter().map(|row| row.target as u32).collect::<Vec<_>>()).unwrap();
        let cuts = device.f32_tensor(&[count], &rows.iter().map(|row| row.cut).collect::<Vec<_>>()).unwrap();
        let g = device.f32_tensor(&[count], &self.g()).unwrap();
        let mut out = HeadOutput::new(device, count + 1).unwrap();
        out.mass.write_f32(device, &vec![GUARD; count + 1]).unwrap();
        head::forward(device, &x, &w, &targets, temperature, Some(&cuts), &mut out, count).unwrap();
        let mut dx = device.f32_tensor(&[count + 1, cols], &vec![GUARD; (count + 1) * cols]).unwrap();
        let mut dw = device.f32_tensor(&[vocabulary, cols], &self.old_dw()).unwrap();
        head::backward(device, &x, &w, &targets, temperature, Some(&cuts), &out, &g, None, &mut dx, Some(&mut dw), count).unwrap();
        let flags = pollster::block_on(device.read_u32(&out.dropped, count)).unwrap();
        assert_eq!(flags, rows.iter().map(|row| u32::from(row.dropped)).collect::<Vec<_>>());
        let (mass, dx) = (read(device, &out.mass), read(device, &dx));
        assert!(mass[count] == GUARD && dx[count * cols..].iter().all(|&value| value == GUARD), "wrote past the rows");
        let first = |tensor: &Tensor| read(device, tensor)[..count].to_vec();
        Numbers {
            logprob: first(&out.logprob),
            entropy: first(&out.entropy),
            mass: mass[..count].to_vec(),
            kept_lse: first(&out.kept_lse),
            dx: dx[..count * cols].to_vec(),
            dw: read(device, &dw),
        }
    }

    fn reference(&self, rows: &[Row], fault: Fault) -> Numbers<f64> {
        let (x, w, g, tau) = (wide(&self.x()), wide(&self.w()), self.g(), f64::from(self.temperature));
        let mut out = Numbers { dx: vec![0.0; x.len()], dw: wide(&self.old_dw()), ..Numbers::default() };
        for (number, (row, x)) in rows.iter().zip(x.chunks_exact(self.cols)).enumerate() {
            let z: Vec<f64> = w.chunks_exact(self.cols).map(|w| dot(x, w) / tau).collect();
            let border = z.iter().zip(&row.kept).filter(|(_, kept)| **kept).map(|(z, _)| *z).fold(f64::MAX, f64::min);
            let kept = |v: usize| match fault {
                Fault::NoCutAtAll => true,
                Fault::Strict => z[v] > border || v == row.target,
                Fault::TargetLeftOut => row.kept[v] || !row.kept.contains(&true),
                _ => row.kept[v] || v == row.target,
            };
            let (whole, some) = (lse(&z, |_| true), lse(&z, kept));
            out.logprob.push(z[row.target] - some);
            out.kept_lse.push(some);
            out.mass.push(if fault == Fault::MassOfTheOthers { 1.0 - (some - whole).exp() } else { (some - whole).exp() });
            let of = if fault == Fault::EntropyOfTheKept { some } else { whole };
            let counted = |v: usize| fault != Fault::EntropyOfTheKept || kept(v);
            out.entropy.push(z.iter().enumerate().filter(|(v, _)| counted(*v)).map(|(_, z)| (z - of).exp() * (of - z)).sum());
            for (v, z) in z.iter().enumerate() {
                let p = match fault {
                    Fault::NoCutInBackward => (z - whole).exp(),
                    _ if kept(v) => (z - some).exp(),
                    _ => 0.0,
                };
                let dz = f64::from(g[number]) * (f64::from(u8::from(v == row.target)) - p) / tau;
                for k in 0..self.cols {
                    out.dx[number * self.cols + k] += dz * w[v * self.cols + k];
                    out.dw[v * self.cols + k] += dz * x[k];
                }
            }
        }
        out
    }

    fn tolerance(&self) -> f64 {
        let (x, w) = (wide(&self.x()), wide(&self.w()));
        let z = x.chunks_exact(self.cols).flat_map(|x| w.chunks_exact(self.cols).map(move |w| dot(x, w).abs()));
        1e-5 * (z.fold(0.0, f64::max) / f64::from(self.temperature) / 16.0).max(1.0)
    }

    fn check(&self, device: &Device) {
        let rows = self.rows(device);
        let (got, want, tolerance) = (self.run(device, &rows), self.reference(&rows, Fault::None), self.tolerance());
        let name = format!("V {} rows {} τ {}", self.vocabulary, self.rows, self.temperature);
        for (what, got, want) in got.beside(&want) {
            expect_near(&format!("{what}, {name}"), got, want, tolerance);
        }
    }
}

impl Numbers<f32> {
    fn beside<'a>(&'a self, want: &'a Numbers<f64>) -> [(&'static str, &'a [f32], &'a [f64]); 6] {
        [
            ("logprob", &self.logprob, &want.logprob),
            ("entropy", &self.entropy, &want.entropy),
            ("mass", &self.mass, &want.mass),
            ("kept_lse", &self.kept_lse, &want.kept_lse),
            ("dx", &self.dx, &want.dx),
            ("dw", &self.dw, &want.dw),
        ]
    }

    fn all_bits(&self) -> Vec<u32> {
        [&self.logprob, &self.entropy, &self.mass, &self.kept_lse, &self.dx, &self.dw].into_iter().flat_map(|values| bits(values)).collect()
    }
}

fn read(device: &Device, tensor: &Tensor) -> Vec<f32> {
    pollster::block_on(device.read_f32(tensor, tensor.len())).unwrap()
}

/// Shapes that both devices are held to.
fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [1, 7, 63, 65, 257, 1000]
        .into_iter()
        .zip([0.7, 1.0, 1.6].into_iter().cycle())
        .map(|(vocabulary, temperature)| Case { rows: 13, cols: 24, vocabulary, temperature })
        .collect();
    for rows in [1, 7, 63, 65, 257] {
        cases.push(Case { rows, cols: 16, vocabulary: 90, temperature: 0.9 });
    }
    cases
}

/// Central differences of Σ g logprob in f64, the kept set as it is: the reference's truth.
#[test]
fn the_reference_is_the_slope() {
    let case = Case { rows: 12, cols: 5, vocabulary: 17, temperature: 0.8 };
    let rows = case.rows(&Device::cpu(Precision::Exact));
    let (want, g) = (case.reference(&rows, Fault::None), case.g());
    let loss = |x: &[f64], w: &[f64]| -> f64 {
        let row = |(number, x): (usize, &[f64])| {
            let z: Vec<f64> = w.chunks_exact(5).map(|w| dot(x, w) / f64::from(case.temperature)).collect();
            let row = &rows[number];
            f64::from(g[number]) * (z[row.target] - lse(&z, |v| row.kept[v] || v == row.target))
        };
        x.chunks_exact(5).enumerate().map(row).sum()
    };
    let (mut x, mut w, old) = (wide(&case.x()), wide(&case.w()), wide(&case.old_dw()));
    for i in 0..x.len() + w.len() {
        let side = |x: &mut Vec<f64>, w: &mut Vec<f64>, by: f64| match i.checked_sub(x.len()) {
            None => x[i] += by,
            Some(i) => w[i] += by,
        };
        side(&mut x, &mut w, 1e-5);
        let above = loss(&x, &w);
        side(&mut x, &mut w, -2e-5);
        let slope = (above - loss(&x, &w)) / 2e-5;
        side(&mut x, &mut w, 1e-5);
        let formula = if i < x.len() { want.dx[i] } else { want.dw[i - x.len()] - old[i - x.len()] };
        assert!((slope - formula).abs() < 1e-8, "{i}: {slope}, the formulas say {formula}");
    }
}

#[test]
fn cpu_is_the_reference() {
    let device = Device::cpu(Precision::Exact);
    cases().iter().for_each(|case| case.check(&device));
    // Several blocks of rows and chunks of the vocabulary.
    Case { rows: 301, cols: 16, vocabulary: 600, temperature: 1.0 }.check(&device);
    Case { rows: 7, cols: 8, vocabulary: 9001, temperature: 0.7 }.check(&device);
}

#[test]
fn gpu_is_the_reference() {
    let Some(device) = exact() else { return };
    cases().iter().for_each(|case| case.check(&device));
    let options = GpuOptions { precision: Precision::Exact, max_binding_bytes: Some(37 * 4 * 40), ..Default::default() };
    let Some(sharded) = support::device(&options) else { return };
    Case { rows: 13, cols: 40, vocabulary: 150, temperature: 0.7 }.check(&sharded);
}

/// Each is seen in what it touches.
#[test]
fn faults_are_seen() {
    let case = Case { rows: 48, cols: 24, vocabulary: 257, temperature: 0.7 };
    let device = Device::cpu(Precision::Exact);
    let (rows, tolerance) = (case.rows(&device), case.tolerance());
    let got = case.run(&device, &rows);
    let seen = |fault: Fault| -> Vec<&str> {
        let want = case.reference(&rows, fault);
        got.beside(&want).into_iter().filter(|(_, got, want)| difference(got, want, tolerance).is_some()).map(|part| part.0).collect()
    };
    assert_eq!(seen(Fault::None), [""; 0]);
    assert_eq!(seen(Fault::NoCutInBackward), ["dx", "dw"]);
    assert_eq!(seen(Fault::MassOfTheOthers), ["mass"]);
    assert_eq!(seen(Fault::EntropyOfTheKept), ["entropy"]);
    for fault in [Fault::Strict, Fault::NoCutAtAll, Fault::TargetLeftOut] {
        assert_eq!(seen(fault), ["logprob", "mass", "kept_lse", "dx", "dw"]);
    }
}

#[test]
fn cpu_bits_do_not_depend_on_threads_or_level() {
    let case = Case { rows: 70, cols: 40, vocabulary: 1300, temperature: 0.8 };
    let devices = devices();
    let rows = case.rows(&devices[0]);
    let first = case.run(&devices[0], &rows).all_bits();
    for device in &devices {
        assert!(case.run(device, &rows).all_bits() == first, "{}", device.describe());
    }
}

/// A cut that keeps all has the bits of no cut, forward and backward.
fn keeping_all_changes_nothing(device: &Device) {
    let case = Case { rows: 37, cols: 24, vocabulary: 600, temperature: 0.7 };
    let Case { rows, cols, vocabulary, temperature } = case;
    let x = device.f32_tensor(&[rows, cols], &case.x()).unwrap();
    let (w, g) = (case.weight(device), device.f32_tensor(&[rows], &case.g()).unwrap());
    let targets = device.u32_tensor(&[rows], &(0..rows as u32).collect::<Vec<_>>()).unwrap();
    // The second is below every logit, but a comparison is made.
    let cuts = [None, Some(f32::MIN), Some(-1e30)].map(|cut| cut.map(|cut| device.f32_tensor(&[rows], &vec![cut; rows]).unwrap()));
    let run = |cuts: Option<&Tensor>| {
        let mut out = HeadOutput::new(device, rows).unwrap();
        head::forward(device, &x, &w, &targets, temperature, cuts, &mut out, rows).unwrap();
        let mut dx = device.zeros(&[rows, cols], DType::F32).unwrap();
        let mut dw = device.zeros(&[vocabulary, cols], DType::F32).unwrap();
        head::backward(device, &x, &w, &targets, temperature, cuts, &out, &g, None, &mut dx, Some(&mut dw), rows).unwrap();
        if cuts.is_some() {
            assert_eq!((read(device, &out.mass), bits(&read(device, &out.kept_lse))), (vec![1.0; rows], bits(&read(device, &out.lse))));
        }
        [&out.logprob, &out.entropy, &out.lse, &dx, &dw].map(|tensor| bits(&read(device, tensor)))
    };
    let plain = run(None);
    for cuts in &cuts[1..] {
        assert!(run(cuts.as_ref()) == plain, "{}", device.describe());
    }
}

#[test]
fn keeping_all_changes_nothing_on_either_device() {
    devices().iter().for_each(keeping_all_changes_nothing);
    if let Some(device) = exact() {
        keeping_all_changes_nothing(&device);
    }
}

/// What a sampler records of its draws is what the head recomputes with their cuts, to the bit, whatever the number of rows.
fn the_sampler_agrees(device: &Device) {
    let mut narrowed = 0;
    for (vocabulary, temperature) in [(1, 0.7), (300, 0.7), (1000, 1.0), (1300, 1.4)] {
        let case = Case { rows: 24, cols: 40, vocabulary, temperature };
        let kinds = [(0, 1.0, 0.0), (5, 1.0, 0.0), (0, 0.8, 0.0), (0, 1.0, 0.1), (50, 0.95, 0.02), (1, 0.5, 0.0)];
        let params: Vec<SampleParams> = (0..24)
            .map(|i| {
                let (top_k, top_p, min_p) = kinds[i % kinds.len()];
                SampleParams { temperature, top_k, top_p, min_p, seed: 5, counter: i as u64 }
            })
            .collect();
        let mut sampled = SampleOutput::new(device, 24).unwrap();
        sample::forward(device, &case.logits(device), &params, &mut sampled).unwrap();
        let drawn = pollster::block_on(sampled.read(device, 24)).unwrap();
        narrowed += drawn.iter().filter(|drawn| drawn.mass < 0.99).count();
        let x = device.f32_tensor(&[24, 40], &case.x()).unwrap();
        let targets = device.u32_tensor(&[24], &drawn.iter().map(|drawn| drawn.id).collect::<Vec<_>>()).unwrap();
        let cuts = device.f32_tensor(&[24], &drawn.iter().map(|drawn| drawn.cut).collect::<Vec<_>>()).unwrap();
        for rows in [24, 3] {
            let mut out = HeadOutput::new(device, 24).unwrap();
            head::forward(device, &x, &case.weight(device), &targets, temperature, Some(&cuts), &mut out, rows).unwrap();
            type Part<'a> = (&'a Tensor, fn(&sample::Drawn) -> f32);
            let parts: [Part; 3] = [(&out.logprob, |d| d.nucleus_logprob), (&out.entropy, |d| d.entropy), (&out.mass, |d| d.mass)];
            for (tensor, recorded) in parts {
                let want: Vec<f32> = drawn[..rows].iter().map(recorded).collect();
                assert_eq!(bits(&read(device, tensor)[..rows]), bits(&want), "V {vocabulary}");
            }
            assert!(pollster::block_on(device.read_u32(&out.dropped, rows)).unwrap().iter().all(|&flag| flag == 0));
        }
    }
    assert!(narrowed > 20, "only {narrowed} draws dropped anything");
}

#[test]
fn the_sampler_records_what_the_head_recomputes() {
    devices().iter().for_each(the_sampler_agrees);
    if let Some(device) = exact() {
        the_sampler_agrees(&device);
    }
}

/// Between neighbouring floats nothing lies: the cut is the kept one.
fn neighbouring_floats_are_told_apart(device: &Device) {
    for low in [1.0f32, 1.0f32.next_up(), -3.5, (-3.5f32).next_up(), 1e-20] {
        let high = low.next_up();
        let logits = device.f32_tensor(&[1, 4], &[low, high, low - 1.0, high]).unwrap();
        let params = SampleParams { temperature: 1.0, top_k: 1, ..SampleParams::GREEDY };
        let mut out = SampleOutput::new(device, 1).unwrap();
        for params in [params, SampleParams::GREEDY] {
            sample::forward(device, &logits, &[params], &mut out).unwrap();
            let drawn = pollster::block_on(out.read(device, 1)).unwrap()[0];
            assert_eq!((drawn.cut, drawn.id == 1 || params.temperature > 0.0), (high, true), "{}: {low}", device.describe());
        }
    }
}

#[test]
fn the_sampler_tells_neighbouring_floats_apart() {
    neighbouring_floats_are_told_apart(&devices()[0]);
    if let Some(device) = exact() {
        neighbouring_floats_are_told_apart(&device);
    }
}

/// A target below the cut, far below everything: finite, and no gradient where it is all that is kept.
fn a_lonely_target_is_finite(device: &Device) {
    let x = device.f32_tensor(&[2, 1], &[1.0, 1.0]).unwrap();
    let w: Vec<u8> = [3000.0f32, 2999.0, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let w = Weight::new(device, 3, 1, DType::F32, 1, w.into()).unwrap();
    let targets = device.u32_tensor(&[2], &[2, 2]).unwrap();
    let cuts = device.f32_tensor(&[2], &[f32::MAX, 2999.5]).unwrap();
    let mut out = HeadOutput::new(device, 2).unwrap();
    head::forward(device, &x, &w, &targets, 1.0, Some(&cuts), &mut out, 2).unwrap();
    expect_near("logprob", &read(device, &out.logprob), &[0.0, -3000.0], 1e-6);
    assert_eq!(pollster::block_on(device.read_u32(&out.dropped, 2)).unwrap(), [1, 1]);
    let g = device.f32_tensor(&[2], &[1.0, 1.0]).unwrap();
    let mut dx = device.zeros(&[2, 1], DType::F32).unwrap();
    head::backward(device, &x, &w, &targets, 1.0, Some(&cuts), &out, &g, None, &mut dx, None, 2).unwrap();
    expect_near("dx", &read(device, &dx), &[0.0, -3000.0], 1e-3);
}

#[test]
fn a_target_that_was_dropped_never_gives_nan() {
    devices().iter().for_each(a_lonely_target_is_finite);
    if let Some(device) = exact() {
        a_lonely_target_is_finite(&device);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::cpu(Precision::Exact);
    let case = Case { rows: 4, cols: 8, vocabulary: 20, temperature: 1.0 };
    let (x, w) = (device.f32_tensor(&[4, 8], &case.x()).unwrap(), case.weight(&device));
    let targets = device.u32_tensor(&[4], &[0, 1, 2, 3]).unwrap();
    let floats = |values: &[f32]| device.f32_tensor(&[values.len()], values).unwrap();
    let mut out = HeadOutput::new(&device, 4).unwrap();
    let mut forward = |cuts: &Tensor| head::forward(&device, &x, &w, &targets, 1.0, Some(cuts), &mut out, 4);
    forward(&floats(&[0.0, -1.0, f32::NEG_INFINITY, f32::MIN])).unwrap();
    assert!(matches!(forward(&floats(&[0.0; 3])), Err(KernelError::Shape { .. })));
    assert!(matches!(forward(&targets), Err(KernelError::Shape { .. })));
    let error = forward(&floats(&[0.0, 0.0, f32::NAN, 0.0])).unwrap_err().to_string();
    assert!(error.contains("row 2"), "{error}");
    let (g, mut dx) = (floats(&[1.0; 4]), device.zeros(&[4, 8], DType::F32).unwrap());
    let mut backward =
        |cuts: &Tensor, h: Option<&Tensor>| head::backward(&device, &x, &w, &targets, 1.0, Some(cuts), &out, &g, h, &mut dx, None, 4);
    backward(&floats(&[0.0; 4]), None).unwrap();
    assert!(matches!(backward(&floats(&[0.0; 3]), None), Err(KernelError::Shape { .. })));
    let error = backward(&floats(&[0.0; 4]), Some(&g)).unwrap_err().to_string();
    assert!(error.contains("entropy"), "{error}");
}

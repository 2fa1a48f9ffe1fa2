//! The gradient of attention against a plain f64 reference, which finite differences check; to the bit across threads, SIMD levels
//! and batches; the GPU against the same reference.

#[allow(dead_code)]
#[path = "cpu_ops/helpers.rs"]
mod helpers;
mod support;

use half::f16;
use helpers::{bits, devices};
use kernels::attention::{self, BackwardSpace, Batch, KvCache, KvDType, KvShape, PAGE_TOKENS, Span};
use kernels::cpu::CpuDevice;
use kernels::{Device, KernelError, Precision, Tensor};
use support::{exact, expect_faults_are_seen, expect_near, next, random};

/// What a tensor holds before an op, to see which elements it writes.
const GUARD: f32 = 12345.0;

#[derive(Clone)]
struct Case {
    dim: usize,
    heads: usize,
    kv_heads: usize,
    dtype: KvDType,
    /// Rows of each sequence, and its seed.
    sequences: Vec<(usize, u64)>,
    /// Of each, the sequence that it goes on from.
    stems: Vec<Option<usize>>,
}

/// dq, dk, dv of all rows.
#[derive(Debug, PartialEq)]
struct Gradients<T> {
    dq: Vec<T>,
    dk: Vec<T>,
    dv: Vec<T>,
}

impl Case {
    fn new(dim: usize, heads: usize, kv_heads: usize, dtype: KvDType, lens: &[usize]) -> Self {
        let sequences = lens.iter().zip(1..).map(|(&len, seed)| (len, seed)).collect();
        Self { dim, heads, kv_heads, dtype, sequences, stems: vec![None; lens.len()] }
    }
    /// A stem of 64, three that go on from it, one alone, a stem of 32 with one that goes on.
    fn family(dim: usize, heads: usize, kv_heads: usize, dtype: KvDType) -> Self {
        let case = Self::new(dim, heads, kv_heads, dtype, &[64, 5, 70, 1, 40, 32, 33]);
        Self { stems: vec![None, Some(0), Some(0), Some(0), None, None, Some(5)], ..case }
    }
    fn width(&self) -> usize {
        self.heads * self.dim
    }
    fn kv_width(&self) -> usize {
        self.kv_heads * self.dim
    }
    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
    fn rows(&self) -> usize {
        self.sequences.iter().map(|sequence| sequence.0).sum()
    }
    /// q, k, v, dout of one sequence.
    fn inputs(&self, (len, seed): (usize, u64)) -> [Vec<f32>; 4] {
        let q = random(10 * seed, len * self.width()).iter().map(|x| x * 3.0).collect();
        [
            q,
            random(10 * seed + 1, len * self.kv_width()),
            random(10 * seed + 2, len * self.kv_width()),
            random(10 * seed + 3, len * self.width()),
        ]
    }
    fn all(&self, which: usize) -> Vec<f32> {
        self.sequences.iter().flat_map(|&sequence| std::mem::take(&mut self.inputs(sequence)[which])).collect()
    }

    /// Shuffled pages; every position that is not written is NaN.
    fn cache(&self, device: &Device) -> (KvCache, Batch) {
        let needed: Vec<usize> = self.sequences.iter().map(|(len, _)| len.div_ceil(PAGE_TOKENS)).collect();
        let mut shared: Vec<Vec<u32>> = vec![];
        let pages = needed.iter().sum::<usize>() + 2;
        let mut free: Vec<u32> = (0..pages as u32).collect();
        let mut state = 7;
        (1..pages).rev().for_each(|i| free.swap(i, next(&mut state) as usize % (i + 1)));
        let shape = KvShape { layers: 2, kv_heads: self.kv_heads, head_dim: self.dim, pages, dtype: self.dtype };
        let mut cache = KvCache::new(device, shape).unwrap();
        let everything = Span { row: 0, rows: pages * PAGE_TOKENS, past: 0, pages: (0..pages as u32).collect() };
        let batch = Batch::new(device, vec![everything], pages).unwrap();
        let nan = tensor(device, self.kv_width(), &vec![f32::NAN; pages * PAGE_TOKENS * self.kv_width()]);
        attention::append(device, &nan, &nan, &mut cache, 1, &batch).unwrap();
        let mut row = 0;
        let spans = self.sequences.iter().zip(&self.stems).zip(needed).map(|((&(rows, _), stem), count)| {
            let (past, mut own) = stem.map_or((0, vec![]), |stem| (self.sequences[stem].0, shared[stem].clone()));
            own.extend(free.split_off(free.len() - count));
            shared.push(own.clone());
            row += rows;
            Span { row: row - rows, rows, past, pages: own }
        });
        let batch = Batch::new(device, spans.collect(), pages).unwrap();
        assert_eq!(batch.stems, self.stems);
        (cache, batch)
    }

    fn run(&self, device: &Device) -> Gradients<f32> {
        let (mut cache, batch) = self.cache(device);
        let rows = self.rows();
        let [q, k, v, dout] = [0, 1, 2, 3].map(|which| self.all(which));
        let (q, dout) = (tensor(device, self.width(), &q), tensor(device, self.width(), &dout));
        let (k, v) = (tensor(device, self.kv_width(), &k), tensor(device, self.kv_width(), &v));
        let guarded = |width: usize| tensor(device, width, &vec![GUARD; (rows + 1) * width]);
        let (mut out, mut dq) = (guarded(self.width()), guarded(self.width()));
        let (mut dk, mut dv) = (guarded(self.kv_width()), guarded(self.kv_width()));
        let mut space = BackwardSpace::new(device, rows, self.heads).unwrap();
        attention::append(device, &k, &v, &mut cache, 1, &batch).unwrap();
        attention::forward(device, &q, &cache, 1, &batch, self.scale(), &mut out).unwrap();
        attention::backward(device, &q, &cache, 1, &batch, self.scale(), &out, &dout, &mut space, &mut dq, &mut dk, &mut dv).unwrap();
        let [dq, dk, dv] = [dq, dk, dv].map(|tensor| {
            let mut values = pollster::block_on(device.read_f32(&tensor, tensor.len())).unwrap();
            assert!(values.split_off(rows * tensor.width()).iter().all(|&value| value == GUARD), "wrote past the rows");
            values
        });
        Gradients { dq, dk, dv }
    }

    /// As the cache keeps them.
    fn kept(&self, values: &[f32]) -> Vec<f64> {
        let round = |value: &f32| if self.dtype == KvDType::F16 { f16::from_f32(*value).to_f64() } else { f64::from(*value) };
        values.iter().map(round).collect()
    }

    /// Every sequence by itself, behind its stem if it has one: what it gives the stem's keys is added to theirs.
    fn reference(&self) -> Gradients<f64> {
        let mut all = Gradients { dq: vec![], dk: vec![], dv: vec![] };
        let mut begins = vec![];
        for (&sequence, &stem) in self.sequences.iter().zip(&self.stems) {
            let [q, k, v, dout] = self.inputs(sequence);
            let before = stem.map_or([vec![], vec![], vec![], vec![]], |stem| self.inputs(self.sequences[stem]));
            let silent = vec![0.0; before[3].len()];
            let joined = |before: &[f32], own: Vec<f32>| [before, &own].concat();
            let (q, k, v) = (joined(&before[0], q), joined(&before[1], k), joined(&before[2], v));
            let (_, one) = self.plain(&wide(&q), &self.kept(&k), &self.kept(&v), &wide(&joined(&silent, dout)));
            let (shared, shared_kv) = (before[0].len(), before[1].len());
            for (all, one) in [(&mut all.dk, &one.dk), (&mut all.dv, &one.dv)] {
                let begin: usize = stem.map_or(0, |stem| begins[stem]);
                all[begin..].iter_mut().zip(&one[..shared_kv]).for_each(|(all, one)| *all += one);
            }
            begins.push(all.dk.len());
            all.dq.extend(&one.dq[shared..]);
            all.dk.extend(&one.dk[shared_kv..]);
            all.dv.extend(&one.dv[shared_kv..]);
        }
        all
    }

    /// One sequence's ⟨dout, out⟩ and gradients, by the formulas.
    fn plain(&self, q: &[f64], k: &[f64], v: &[f64], dout: &[f64]) -> (f64, Gradients<f64>) {
        let (dim, scale) = (self.dim, f64::from(self.scale()));
        let mut g = Gradients { dq: vec![0.0; q.len()], dk: vec![0.0; k.len()], dv: vec![0.0; v.len()] };
        let mut loss = 0.0;
        for row in 0..q.len() / self.width() {
            for head in 0..self.heads {
                let at = row * self.width() + head * dim;
                let key = |j: usize| j * self.kv_width() + head / (self.heads / self.kv_heads) * dim;
                let (q, dout) = (&q[at..at + dim], &dout[at..at + dim]);
                let s: Vec<f64> = (0..=row).map(|j| dot(q, &k[key(j)..]) * scale).collect();
                let top = s.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = s.iter().map(|s| (s - top).exp()).sum();
                let p: Vec<f64> = s.iter().map(|s| (s - top).exp() / sum).collect();
                let dp: Vec<f64> = (0..=row).map(|j| dot(dout, &v[key(j)..])).collect();
                let delta: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
                loss += delta;
                for j in 0..=row {
                    let ds = p[j] * (dp[j] - delta) * scale;
                    for d in 0..dim {
                        g.dq[at + d] += ds * k[key(j) + d];
                        g.dk[key(j) + d] += ds * q[d];
                        g.dv[key(j) + d] += p[j] * dout[d];
                    }
                }
            }
        }
        (loss, g)
    }

    fn check(&self, device: &Device, tolerance: f64) {
        let (got, want) = (self.run(device), self.reference());
        for (name, got, want) in [("dq", &got.dq, &want.dq), ("dk", &got.dk, &want.dk), ("dv", &got.dv, &want.dv)] {
            let Self { dim, heads, kv_heads, dtype, .. } = self;
            expect_near(&format!("{name}, D {dim}, {heads} / {kv_heads} heads, {dtype:?}, {}", device.describe()), got, want, tolerance);
        }
    }
}

fn tensor(device: &Device, width: usize, values: &[f32]) -> Tensor {
    device.f32_tensor(&[values.len() / width, width], values).unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn all_bits(gradients: &Gradients<f32>) -> [Vec<u32>; 3] {
    [&gradients.dq, &gradients.dk, &gradients.dv].map(|values| bits(values))
}

const SHAPES: [(usize, usize, usize); 8] =
    [(8, 2, 1), (10, 3, 3), (14, 6, 2), (16, 16, 1), (64, 5, 1), (80, 2, 2), (128, 16, 2), (256, 6, 1)];

/// Central differences of the loss ⟨dout, out⟩ in f64: the reference's truth.
#[test]
fn the_reference_is_the_slope() {
    let case = Case::new(8, 6, 2, KvDType::F32, &[7]);
    let [q, k, v, dout] = case.inputs((7, 1)).map(|values| wide(&values));
    let (_, want) = case.plain(&q, &k, &v, &dout);
    let mut inputs = [q, k, v];
    for (which, want) in [&want.dq, &want.dk, &want.dv].into_iter().enumerate() {
        for i in 0..inputs[which].len() {
            let old = inputs[which][i];
            let mut loss = |value: f64| {
                inputs[which][i] = value;
                case.plain(&inputs[0], &inputs[1], &inputs[2], &dout).0
            };
            let slope = (loss(old + 1e-5) - loss(old - 1e-5)) / 2e-5;
            loss(old);
            assert!((slope - want[i]).abs() < 1e-8, "input {which}, element {i}: {slope}, the formulas say {}", want[i]);
        }
    }
}

#[test]
fn cpu_is_the_reference() {
    let device = Device::cpu(Precision::Exact);
    for (dim, heads, kv_heads) in SHAPES {
        for dtype in [KvDType::F32, KvDType::F16] {
            let lens: &[usize] = if dim < 16 { &[1, 7, 63, 65, 257] } else { &[65, 1, 33] };
            Case::new(dim, heads, kv_heads, dtype, lens).check(&device, 4e-6);
        }
    }
}

#[test]
fn faults_are_seen() {
    let case = Case::new(16, 4, 2, KvDType::F16, &[65, 7]);
    let (got, want) = (case.run(&Device::cpu(Precision::Exact)), case.reference());
    expect_faults_are_seen(&got.dq, &want.dq, case.width(), 4e-6);
    expect_faults_are_seen(&got.dk, &want.dk, case.kv_width(), 4e-6);
    expect_faults_are_seen(&got.dv, &want.dv, case.kv_width(), 4e-6);
    let family = Case::family(16, 4, 2, KvDType::F16);
    let got = family.run(&Device::cpu(Precision::Exact));
    let apart = Case { stems: vec![None; 7], ..family.clone() };
    for (got, want, apart, width) in [
        (&got.dk, family.reference().dk, apart.reference().dk, family.kv_width()),
        (&got.dv, family.reference().dv, apart.reference().dv, family.kv_width()),
    ] {
        expect_faults_are_seen(got, &want, width, 4e-6);
        assert!(support::difference(got, &apart, 4e-6).is_some(), "what goes on from a stem is seen by the stem's keys");
    }
    // Without the heads' sum, the rounding of the cache, or the second sequence the reference is another.
    let unrounded = Case { dtype: KvDType::F32, ..case.clone() }.reference();
    assert!(support::difference(&got.dq, &unrounded.dq, 4e-6).is_some());
}

#[test]
fn cpu_families_are_the_reference() {
    for threads in [1, 3] {
        let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, threads));
        for (dim, heads, kv_heads) in SHAPES {
            for dtype in [KvDType::F32, KvDType::F16] {
                Case::family(dim, heads, kv_heads, dtype).check(&device, 4e-6);
            }
        }
    }
}

/// A family of one kv head is cut for many threads as well.
#[test]
fn cpu_bits_of_a_family_do_not_depend_on_threads_or_level() {
    for (dim, heads, kv_heads) in [(20, 3, 1), (16, 6, 2), (8, 16, 1)] {
        let case = Case::family(dim, heads, kv_heads, KvDType::F16);
        let first = all_bits(&case.run(&Device::Cpu(CpuDevice::with_threads(Precision::Exact, 1))));
        for device in devices() {
            assert!(all_bits(&case.run(&device)) == first, "{}", device.describe());
        }
    }
}

/// One long sequence of one kv head is cut for many threads and swept whole by one: the bits must not tell.
#[test]
fn cpu_bits_do_not_depend_on_threads_or_level() {
    for (dim, heads, kv_heads, lens) in [(20, 3, 1, vec![257]), (16, 6, 2, vec![65, 300, 1]), (8, 16, 1, vec![130, 7])] {
        let case = Case::new(dim, heads, kv_heads, KvDType::F16, &lens);
        let first = all_bits(&case.run(&Device::cpu(Precision::Exact)));
        let two = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
        for device in devices().into_iter().chain([two]) {
            assert!(all_bits(&case.run(&device)) == first, "{}", device.describe());
        }
    }
}

fn alone_and_together(device: &Device) {
    let case = Case::new(16, 4, 2, KvDType::F16, &[63, 7, 130, 1]);
    let together = case.run(device);
    let mut row = 0;
    for &sequence in &case.sequences {
        let alone = Case { sequences: vec![sequence], stems: vec![None], ..case.clone() }.run(device);
        let of = |values: &[f32], width: usize| bits(&values[row * width..(row + sequence.0) * width]);
        assert_eq!(bits(&alone.dq), of(&together.dq, case.width()));
        assert_eq!(bits(&alone.dk), of(&together.dk, case.kv_width()));
        assert_eq!(bits(&alone.dv), of(&together.dv, case.kv_width()));
        row += sequence.0;
    }
}

#[test]
fn cpu_sequences_do_not_touch_each_other() {
    for threads in [1, 3] {
        alone_and_together(&Device::Cpu(CpuDevice::with_threads(Precision::Exact, threads)));
    }
}

#[test]
fn gpu_is_the_reference() {
    let Some(device) = exact() else { return };
    for (dim, heads, kv_heads) in SHAPES {
        for dtype in [KvDType::F32, KvDType::F16] {
            let lens: &[usize] = if dim < 16 { &[1, 7, 63, 65, 257] } else { &[65, 1, 33] };
            Case::new(dim, heads, kv_heads, dtype, lens).check(&device, 6e-6);
        }
    }
}

#[test]
fn gpu_families_are_the_reference() {
    let Some(device) = exact() else { return };
    for (dim, heads, kv_heads) in SHAPES {
        for dtype in [KvDType::F32, KvDType::F16] {
            Case::family(dim, heads, kv_heads, dtype).check(&device, 6e-6);
        }
    }
}

#[test]
fn gpu_sequences_do_not_touch_each_other() {
    let Some(device) = exact() else { return };
    alone_and_together(&device);
}

#[test]
fn a_nan_is_not_lost() {
    let device = Device::cpu(Precision::Exact);
    let case = Case::new(8, 2, 1, KvDType::F32, &[40]);
    let (mut cache, batch) = case.cache(&device);
    let [q, mut k, v, dout] = case.inputs(case.sequences[0]);
    k[20 * 8] = f32::NAN;
    let (q, k, v, dout) = (tensor(&device, 16, &q), tensor(&device, 8, &k), tensor(&device, 8, &v), tensor(&device, 16, &dout));
    attention::append(&device, &k, &v, &mut cache, 1, &batch).unwrap();
    let mut space = BackwardSpace::new(&device, 40, 2).unwrap();
    let (mut out, mut dq) = (tensor(&device, 16, &[0.0; 640]), tensor(&device, 16, &[0.0; 640]));
    let (mut dk, mut dv) = (tensor(&device, 8, &[0.0; 320]), tensor(&device, 8, &[0.0; 320]));
    attention::forward(&device, &q, &cache, 1, &batch, 0.3, &mut out).unwrap();
    attention::backward(&device, &q, &cache, 1, &batch, 0.3, &out, &dout, &mut space, &mut dq, &mut dk, &mut dv).unwrap();
    for (values, row) in [(&dq, 320), (&dk, 160), (&dv, 160)] {
        assert!(values.f32s("test").unwrap()[row..row + 8].iter().any(|value| value.is_nan()));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::cpu(Precision::Exact);
    let case = Case::new(32, 2, 1, KvDType::F16, &[5]);
    let (cache, batch) = case.cache(&device);
    let wide = || tensor(&device, 64, &[0.0; 5 * 64]);
    let narrow = || tensor(&device, 32, &[0.0; 5 * 32]);
    let space = || BackwardSpace::new(&device, 5, 2).unwrap();
    let run = |cache: &KvCache, layer: usize, batch: &Batch, q: Tensor, mut dk: Tensor, mut space: BackwardSpace| {
        attention::backward(&device, &q, cache, layer, batch, 0.2, &wide(), &wide(), &mut space, &mut wide(), &mut dk, &mut narrow())
    };
    run(&cache, 1, &batch, wide(), narrow(), space()).unwrap();
    assert!(matches!(run(&cache, 2, &batch, wide(), narrow(), space()), Err(KernelError::Value { .. })));
    assert!(matches!(run(&cache, 1, &batch, narrow(), narrow(), space()), Err(KernelError::Shape { .. })));
    assert!(matches!(run(&cache, 1, &batch, tensor(&device, 50, &[0.0; 250]), narrow(), space()), Err(KernelError::Shape { .. })));
    assert!(matches!(run(&cache, 1, &batch, wide(), wide(), space()), Err(KernelError::Shape { .. })));
    let small = BackwardSpace::new(&device, 4, 2).unwrap();
    assert!(matches!(run(&cache, 1, &batch, wide(), narrow(), small), Err(KernelError::Shape { .. })));
    let later = Batch::new(&device, vec![Span { row: 0, rows: 5, past: 1, pages: vec![0] }], 3).unwrap();
    assert!(matches!(run(&cache, 1, &later, wide(), narrow(), space()), Err(KernelError::Shape { .. })));
    let elsewhere = Batch::new(&device, vec![Span { row: 0, rows: 5, past: 0, pages: vec![30] }], 31).unwrap();
    assert!(matches!(run(&cache, 1, &elsewhere, wide(), narrow(), space()), Err(KernelError::Value { .. })));
    let shape = KvShape { dtype: KvDType::Q8, ..*cache.shape() };
    let q8 = KvCache::new(&device, shape).unwrap();
    assert!(matches!(run(&q8, 1, &batch, wide(), narrow(), space()), Err(KernelError::Value { .. })));
}

/// `cargo test --release -p longhand-kernels --test backward_attention -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement: cargo test --release -p longhand-kernels --test backward_attention -- --ignored --nocapture"]
fn speed() {
    for threads in [1, 2, 16] {
        let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, threads));
        for (dim, heads, kv_heads, len) in [(128, 4, 2, 2048), (64, 4, 2, 2048), (128, 16, 8, 512)] {
            let case = Case::new(dim, heads, kv_heads, KvDType::F16, &[len]);
            let (mut cache, batch) = case.cache(&device);
            let [q, k, v, dout] = case.inputs(case.sequences[0]);
            let (q, dout) = (tensor(&device, case.width(), &q), tensor(&device, case.width(), &dout));
            let (k, v) = (tensor(&device, case.kv_width(), &k), tensor(&device, case.kv_width(), &v));
            let zeros = |width: usize| tensor(&device, width, &vec![0.0; len * width]);
            let (mut out, mut dq) = (zeros(case.width()), zeros(case.width()));
            let (mut dk, mut dv) = (zeros(case.kv_width()), zeros(case.kv_width()));
            let mut space = BackwardSpace::new(&device, len, heads).unwrap();
            attention::append(&device, &k, &v, &mut cache, 1, &batch).unwrap();
            let start = std::time::Instant::now();
            attention::forward(&device, &q, &cache, 1, &batch, 0.1, &mut out).unwrap();
            let forward = start.elapsed().as_secs_f64();
            let start = std::time::Instant::now();
            attention::backward(&device, &q, &cache, 1, &batch, 0.1, &out, &dout, &mut space, &mut dq, &mut dk, &mut dv).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            // Five products of the causal half.
            let flops = 5.0 * (heads * len * len * dim) as f64;
            let rate = flops / seconds / 1e9;
            println!(
                "{threads} threads, D {dim}, {heads} / {kv_heads} heads, {len}: {:.1} ms, {rate:.1} GFLOP/s, forward {:.1} ms",
                seconds * 1e3,
                forward * 1e3
            );
        }
    }
}

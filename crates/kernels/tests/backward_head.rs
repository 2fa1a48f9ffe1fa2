//! The gradient of the head against a plain f64 reference, which finite differences check; to the bit across threads, SIMD levels and
//! batches; its working memory, counted; the GPU against the same reference.

#[allow(dead_code)]
#[path = "cpu_ops/helpers.rs"]
mod helpers;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use helpers::{bits, devices};
use kernels::cpu::CpuDevice;
use kernels::cpu::dequant::dequantize;
use kernels::gpu::GpuOptions;
use kernels::head::{self, HeadOutput};
use kernels::{DType, Device, KernelError, Precision, Tensor, Weight};
use support::{difference, exact, expect_faults_are_seen, expect_near, next, random, random_weight};

/// The system's allocator, counting what is held and the most that was.
struct Counting;
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(HELD.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(HELD.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
/// Tests run one at a time here: the count is of all threads.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a tensor holds before an op, to see which elements it writes.
const GUARD: f32 = 12345.0;

#[derive(Clone)]
struct Case {
    rows: usize,
    cols: usize,
    vocabulary: usize,
    dtype: DType,
    temperature: f32,
    entropy: bool,
    /// First row, for rows of a larger batch.
    first: usize,
}

impl Case {
    fn new(rows: usize, cols: usize, vocabulary: usize, dtype: DType) -> Self {
        Self { rows, cols, vocabulary, dtype, temperature: 0.7, entropy: true, first: 0 }
    }
    fn part(&self, values: Vec<f32>, width: usize) -> Vec<f32> {
        values[self.first * width..(self.first + self.rows) * width].to_vec()
    }
    fn x(&self) -> Vec<f32> {
        self.part(random(1, (self.first + self.rows) * self.cols), self.cols)
    }
    fn bytes(&self) -> Vec<u8> {
        random_weight(2, self.dtype, self.vocabulary, self.cols)
    }
    fn w(&self) -> Vec<f32> {
        let mut w = vec![0.0; self.vocabulary * self.cols];
        dequantize(self.dtype, &self.bytes(), &mut w).unwrap();
        w
    }
    fn targets(&self) -> Vec<u32> {
        let mut state = 3;
        let all: Vec<u32> = (0..self.first + self.rows).map(|_| (next(&mut state) % self.vocabulary as u64) as u32).collect();
        all[self.first..].to_vec()
    }
    /// Every third row has no gradient of its log-probability, every sixth none at all.
    fn upstream(&self) -> [Vec<f32>; 2] {
        let keep = |values: Vec<f32>, every: usize| {
            self.part(values.into_iter().enumerate().map(|(i, value)| if i % every == every - 1 { 0.0 } else { value }).collect(), 1)
        };
        let all = self.first + self.rows;
        let h = if self.entropy { keep(random(5, all), 6) } else { vec![0.0; self.rows] };
        [keep(random(4, all), 3), h]
    }

    /// dx, and dw if asked, which starts as numbers of its own.
    fn run(&self, device: &Device, with_dw: bool) -> (Vec<f32>, Option<Vec<f32>>) {
        let Self { rows, cols, vocabulary, .. } = *self;
        let x = device.f32_tensor(&[rows, cols], &self.x()).unwrap();
        let w = Weight::new(device, vocabulary, cols, self.dtype, 1, self.bytes().into()).unwrap();
        let targets = device.u32_tensor(&[rows], &self.targets()).unwrap();
        let [g, h] = self.upstream().map(|values| device.f32_tensor(&[rows], &values).unwrap());
        let mut out = HeadOutput::new(device, rows).unwrap();
        head::forward(device, &x, &w, &targets, self.temperature, None, &mut out, rows).unwrap();
        let mut dx = device.f32_tensor(&[rows + 1, cols], &vec![GUARD; (rows + 1) * cols]).unwrap();
        let mut dw = with_dw.then(|| device.f32_tensor(&[vocabulary, cols], &self.old_dw()).unwrap());
        let h = self.entropy.then_some(&h);
        head::backward(device, &x, &w, &targets, self.temperature, None, &out, &g, h, &mut dx, dw.as_mut(), rows).unwrap();
        let read = |tensor: &Tensor| pollster::block_on(device.read_f32(tensor, tensor.len())).unwrap();
        let mut values = read(&dx);
        assert!(values.split_off(rows * cols).iter().all(|&value| value == GUARD), "wrote past the rows");
        (values, dw.as_ref().map(read))
    }

    fn old_dw(&self) -> Vec<f32> {
        random(6, self.vocabulary * self.cols)
    }

    /// dx and dw by the formulas.
    fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let (x, w, targets, [g, h]) = (wide(&self.x()), wide(&self.w()), self.targets(), self.upstream());
        let mut dx = vec![0.0; x.len()];
        let mut dw = wide(&self.old_dw());
        let tau = f64::from(self.temperature);
        for (row, x) in x.chunks_exact(self.cols).enumerate() {
            let z: Vec<f64> = w.chunks_exact(self.cols).map(|w| dot(x, w) / tau).collect();
            let (lse, entropy) = distribution(&z);
            let dx = &mut dx[row * self.cols..][..self.cols];
            for (j, z) in z.iter().enumerate() {
                let log_p = z - lse;
                let is_target = f64::from(u8::from(targets[row] as usize == j));
                let dz = (f64::from(g[row]) * (is_target - log_p.exp()) - f64::from(h[row]) * log_p.exp() * (log_p + entropy)) / tau;
                for k in 0..self.cols {
                    dx[k] += dz * w[j * self.cols + k];
                    dw[j * self.cols + k] += dz * x[k];
                }
            }
        }
        (dx, dw)
    }

    /// A logit's error is its size times some roundings; p and so the gradients have it as their relative error.
    fn tolerance(&self) -> f64 {
        let (x, w) = (wide(&self.x()), wide(&self.w()));
        let z = x.chunks_exact(self.cols).flat_map(|x| w.chunks_exact(self.cols).map(move |w| dot(x, w).abs()));
        1e-5 * (z.fold(0.0, f64::max) / f64::from(self.temperature) / 16.0).max(1.0)
    }

    fn check(&self, device: &Device) {
        let tolerance = self.tolerance();
        let ((dx, dw), (want_dx, want_dw)) = (self.run(device, true), self.reference());
        let name = format!("[{}, {}] · [{}, _] {}", self.rows, self.cols, self.vocabulary, self.dtype.name());
        expect_near(&format!("dx {name}"), &dx, &want_dx, tolerance);
        expect_near(&format!("dw {name}"), &dw.unwrap(), &want_dw, tolerance);
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// (lse, entropy)
fn distribution(z: &[f64]) -> (f64, f64) {
    let top = z.iter().copied().fold(f64::MIN, f64::max);
    let lse = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
    (lse, z.iter().map(|z| (z - lse).exp() * (lse - z)).sum())
}

/// Central differences of Σ g logprob + h entropy in f64: the reference's truth.
#[test]
fn the_reference_is_the_slope() {
    let _alone = alone();
    let case = Case::new(5, 6, 11, DType::F32);
    let (want_dx, want_dw) = case.reference();
    let (targets, [g, h], tau) = (case.targets(), case.upstream(), f64::from(case.temperature));
    let loss = |x: &[f64], w: &[f64]| -> f64 {
        let row = |(row, x): (usize, &[f64])| {
            let z: Vec<f64> = w.chunks_exact(6).map(|w| dot(x, w) / tau).collect();
            let (lse, entropy) = distribution(&z);
            f64::from(g[row]) * (z[targets[row] as usize] - lse) + f64::from(h[row]) * entropy
        };
        x.chunks_exact(6).enumerate().map(row).sum()
    };
    let (mut x, mut w, old) = (wide(&case.x()), wide(&case.w()), wide(&case.old_dw()));
    for i in 0..x.len() {
        let at = x[i];
        x[i] = at + 1e-5;
        let above = loss(&x, &w);
        x[i] = at - 1e-5;
        let slope = (above - loss(&x, &w)) / 2e-5;
        x[i] = at;
        assert!((slope - want_dx[i]).abs() < 1e-8, "dx {i}: {slope}, the formulas say {}", want_dx[i]);
    }
    for i in 0..w.len() {
        let at = w[i];
        w[i] = at + 1e-5;
        let above = loss(&x, &w);
        w[i] = at - 1e-5;
        let slope = (above - loss(&x, &w)) / 2e-5;
        w[i] = at;
        assert!((slope - (want_dw[i] - old[i])).abs() < 1e-8, "dw {i}: {slope}, the formulas say {}", want_dw[i] - old[i]);
    }
}

#[test]
fn cpu_is_the_reference() {
    let _alone = alone();
    let device = Device::cpu(Precision::Exact);
    for rows in [1, 7, 63, 65, 257] {
        Case::new(rows, 24, 531, DType::F32).check(&device);
    }
    for dtype in DType::WEIGHTS {
        Case::new(13, 256, 300, dtype).check(&device);
    }
    // More than one chunk of the vocabulary; no entropy; a width of no whole lanes.
    Case::new(3, 33, 9001, DType::BF16).check(&device);
    Case { entropy: false, temperature: 1.0, ..Case::new(7, 32, 600, DType::F16) }.check(&device);
}

#[test]
fn faults_are_seen() {
    let _alone = alone();
    let case = Case::new(9, 32, 300, DType::BF16);
    let ((dx, dw), (want_dx, want_dw)) = (case.run(&Device::cpu(Precision::Exact), true), case.reference());
    expect_faults_are_seen(&dx, &want_dx, 32, 1e-5);
    expect_faults_are_seen(&dw.unwrap(), &want_dw, 32, 1e-5);
    // A forgotten term is seen too.
    for other in [Case { entropy: false, ..case.clone() }, Case { temperature: 0.71, ..case.clone() }] {
        assert!(difference(&dx, &other.reference().0, 1e-5).is_some());
    }
}

/// Several blocks of rows, some of them without gradients.
#[test]
fn cpu_bits_do_not_depend_on_threads_or_level() {
    let _alone = alone();
    for case in [Case::new(300, 40, 700, DType::F16), Case::new(5, 256, 4200, DType::Q4_K)] {
        let (dx, dw) = case.run(&Device::cpu(Precision::Exact), true);
        let two = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
        for device in devices().into_iter().chain([two]) {
            let (other_dx, other_dw) = case.run(&device, true);
            assert!(bits(&other_dx) == bits(&dx), "{}", device.describe());
            assert!(bits(&other_dw.unwrap()) == bits(dw.as_ref().unwrap()), "{}", device.describe());
        }
        assert!(bits(&case.run(&Device::cpu(Precision::Exact), false).0) == bits(&dx), "dx depends on dw being asked for");
    }
}

#[test]
fn cpu_rows_do_not_touch_each_other() {
    let _alone = alone();
    let device = Device::cpu(Precision::Exact);
    let case = Case::new(200, 48, 600, DType::F32);
    let (all, _) = case.run(&device, false);
    for (first, rows) in [(0, 1), (5, 3), (100, 97), (199, 1)] {
        let (part, _) = Case { first, rows, ..case.clone() }.run(&device, false);
        assert_eq!(bits(&part), bits(&all[first * 48..(first + rows) * 48]), "rows {first}..{}", first + rows);
    }
}

#[test]
fn gpu_is_the_reference() {
    let _alone = alone();
    let Some(device) = exact() else { return };
    for rows in [1, 7, 63, 65, 257] {
        Case::new(rows, 24, 131, DType::F32).check(&device);
    }
    // The loader of weights is the forward's, which is tested for every format; here one of each kind of layout.
    for dtype in [DType::F16, DType::Q8_0, DType::Q4_1, DType::Q6_K] {
        Case::new(13, 256, 70, dtype).check(&device);
    }
    Case { entropy: false, temperature: 1.0, ..Case::new(7, 40, 100, DType::F16) }.check(&device);
    // More than one block of rows.
    Case::new(515, 16, 40, DType::BF16).check(&device);
}

/// Chunks of a sharded vocabulary, whose parts of dw do not begin at whole bindings.
#[test]
fn gpu_shards_are_added_in_order() {
    let _alone = alone();
    let options = GpuOptions { precision: Precision::Exact, max_binding_bytes: Some(37 * 4 * 40), ..Default::default() };
    let (Some(device), Some(whole)) = (support::device(&options), exact()) else { return };
    let case = Case::new(9, 40, 150, DType::F32);
    case.check(&device);
    let (dx, dw) = case.run(&device, true);
    let (whole_dx, whole_dw) = case.run(&whole, true);
    // Shards of 37 rows shift the forward's tiles, so lse and all after it may round another way.
    expect_near("dw", &dw.unwrap(), &wide(&whole_dw.unwrap()), 1e-6);
    expect_near("dx", &dx, &wide(&whole_dx), 1e-6);
}

#[test]
fn gpu_rows_do_not_touch_each_other() {
    let _alone = alone();
    let Some(device) = exact() else { return };
    let case = Case::new(70, 24, 100, DType::F32);
    let (all, _) = case.run(&device, false);
    for (first, rows) in [(0, 1), (5, 3), (20, 50)] {
        let (part, _) = Case { first, rows, ..case.clone() }.run(&device, false);
        assert_eq!(bits(&part), bits(&all[first * 24..(first + rows) * 24]), "rows {first}..{}", first + rows);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let _alone = alone();
    let device = Device::cpu(Precision::Exact);
    let case = Case::new(4, 8, 20, DType::F32);
    let w = Weight::new(&device, 20, 8, DType::F32, 1, case.bytes().into()).unwrap();
    let x = device.f32_tensor(&[4, 8], &case.x()).unwrap();
    let out = |rows| HeadOutput::new(&device, rows).unwrap();
    let floats = |shape: &[usize]| device.zeros(shape, DType::F32).unwrap();
    let run = |targets: &[u32], tau: f32, out: HeadOutput, g: Tensor, h: Option<Tensor>, mut dx: Tensor, mut dw: Option<Tensor>| {
        let targets = device.u32_tensor(&[targets.len()], targets).unwrap();
        head::backward(&device, &x, &w, &targets, tau, None, &out, &g, h.as_ref(), &mut dx, dw.as_mut(), 4)
    };
    run(&[0, 1, 2, 19], 1.0, out(4), floats(&[4]), Some(floats(&[4])), floats(&[4, 8]), Some(floats(&[20, 8]))).unwrap();
    let refused = [
        run(&[0, 1, 2], 1.0, out(4), floats(&[4]), None, floats(&[4, 8]), None),
        run(&[0, 1, 2, 3], 1.0, out(3), floats(&[4]), None, floats(&[4, 8]), None),
        run(&[0, 1, 2, 3], 1.0, out(4), floats(&[3]), None, floats(&[4, 8]), None),
        run(&[0, 1, 2, 3], 1.0, out(4), floats(&[4]), Some(floats(&[3])), floats(&[4, 8]), None),
        run(&[0, 1, 2, 3], 1.0, out(4), floats(&[4]), None, floats(&[3, 8]), None),
        run(&[0, 1, 2, 3], 1.0, out(4), floats(&[4]), None, floats(&[4, 8]), Some(floats(&[19, 8]))),
    ];
    assert!(refused.iter().all(|result| matches!(result, Err(KernelError::Shape { .. }))), "{refused:?}");
    for (targets, tau) in [([0, 1, 2, 20], 1.0), ([0, 1, 2, 3], 0.0), ([0, 1, 2, 3], f32::NAN)] {
        let result = run(&targets, tau, out(4), floats(&[4]), None, floats(&[4, 8]), None);
        assert!(matches!(result, Err(KernelError::Value { .. })), "{result:?}");
    }
}

/// V = 151,936, K = 1024 and 32K rows would take minutes. But V and R meet in no buffer: the first case shows that V and R alone cost
/// nothing (two of 32K rows have gradients), the second, four full blocks of rows over a small vocabulary, what a block costs.
#[test]
fn working_memory_is_bounded() {
    let _alone = alone();
    let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
    for (rows, cols, vocabulary, every) in [(32 << 10, 1024, 151_936, 16 << 10), (4 << 10, 1024, 700, 1)] {
        let x = device.zeros(&[rows, cols], DType::F32).unwrap();
        let w = Weight::new(&device, vocabulary, cols, DType::Q4_0, 1, vec![0; vocabulary * cols / 32 * 18].into()).unwrap();
        let targets = device.zeros(&[rows], DType::U32).unwrap();
        let g: Vec<f32> = (0..rows).map(|i| f32::from(u8::from(i % every == 0))).collect();
        let g = device.f32_tensor(&[rows], &g).unwrap();
        let out = HeadOutput::new(&device, rows).unwrap();
        let mut dx = device.zeros(&[rows, cols], DType::F32).unwrap();
        let mut dw = device.zeros(&[if every == 1 { vocabulary } else { 0 }, cols], DType::F32).unwrap();
        let before = HELD.load(Relaxed);
        MOST.store(before, Relaxed);
        let dw = (every == 1).then_some(&mut dw);
        head::backward(&device, &x, &w, &targets, 1.0, None, &out, &g, None, &mut dx, dw, rows).unwrap();
        let most = MOST.load(Relaxed) - before;
        println!("{rows} rows, V {vocabulary}: {:.1} MiB", most as f64 / (1 << 20) as f64);
        assert!(most < 64 << 20, "{most} bytes");
        assert!(most > if every == 1 { 16 << 20 } else { 1 << 10 }, "only {most} bytes: is it counted?");
    }
}

/// `cargo test -p longhand-kernels --test backward_head -- --ignored --nocapture whole_vocabulary`: every one of 32K rows has a gradient,
/// all 151,936 tokens, both passes; K = 64, since buffers of K's size are inputs and outputs.
#[test]
#[ignore = "minutes: cargo test -p longhand-kernels --test backward_head -- --ignored --nocapture whole_vocabulary"]
fn the_whole_vocabulary_and_32k_rows() {
    let _alone = alone();
    let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
    let (rows, cols, vocabulary) = (32 << 10, 64, 151_936);
    let x = device.zeros(&[rows, cols], DType::F32).unwrap();
    let w = Weight::new(&device, vocabulary, cols, DType::BF16, 1, vec![0; vocabulary * cols * 2].into()).unwrap();
    let targets = device.zeros(&[rows], DType::U32).unwrap();
    let g = device.f32_tensor(&[rows], &vec![1.0; rows]).unwrap();
    let mut out = HeadOutput::new(&device, rows).unwrap();
    let mut dx = device.zeros(&[rows, cols], DType::F32).unwrap();
    let mut dw = device.zeros(&[vocabulary, cols], DType::F32).unwrap();
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let begun = std::time::Instant::now();
    head::forward(&device, &x, &w, &targets, 1.0, None, &mut out, rows).unwrap();
    let forward = MOST.load(Relaxed) - before;
    head::backward(&device, &x, &w, &targets, 1.0, None, &out, &g, Some(&g), &mut dx, Some(&mut dw), rows).unwrap();
    let most = MOST.load(Relaxed) - before;
    let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
    println!("forward {:.1} MiB, with backward {:.1} MiB, {:.0} s", mib(forward), mib(most), begun.elapsed().as_secs_f64());
    assert!(most < 64 << 20 && most > 1 << 20, "{most} bytes");
}

/// `cargo test --release -p longhand-kernels --test backward_head -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement: cargo test --release -p longhand-kernels --test backward_head -- --ignored --nocapture speed"]
fn speed() {
    let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
    let (rows, cols, vocabulary) = (512, 1024, 16384);
    for (dtype, with_dw) in [(DType::F32, true), (DType::BF16, true), (DType::Q4_K, false)] {
        let x = device.f32_tensor(&[rows, cols], &random(1, rows * cols)).unwrap();
        let w = Weight::new(&device, vocabulary, cols, dtype, 1, random_weight(2, dtype, vocabulary, cols).into()).unwrap();
        let targets = device.zeros(&[rows], DType::U32).unwrap();
        let g = device.f32_tensor(&[rows], &random(3, rows)).unwrap();
        let mut out = HeadOutput::new(&device, rows).unwrap();
        let mut dx = device.zeros(&[rows, cols], DType::F32).unwrap();
        let mut dw = device.zeros(&[vocabulary, cols], DType::F32).unwrap();
        let start = std::time::Instant::now();
        head::forward(&device, &x, &w, &targets, 1.0, None, &mut out, rows).unwrap();
        let forward = start.elapsed().as_secs_f64();
        let dw = with_dw.then_some(&mut dw);
        let start = std::time::Instant::now();
        head::backward(&device, &x, &w, &targets, 1.0, None, &out, &g, Some(&g), &mut dx, dw, rows).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let rate = |products: f64, seconds: f64| products * 2.0 * (rows * cols * vocabulary) as f64 / seconds / 1e9;
        let (back, forth) = (rate(if with_dw { 3.0 } else { 2.0 }, seconds), rate(1.0, forward));
        println!("{}: {:.0} ms, {back:.1} GFLOP/s; forward {:.0} ms, {forth:.1} GFLOP/s", dtype.name(), seconds * 1e3, forward * 1e3);
    }
}

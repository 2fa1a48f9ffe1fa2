//! The GPU's attention, mixture of experts, head and sampler against f64 references, to the bit where the contract says so.

mod support;

use half::f16;
use kernels::attention::{self, Batch, KvCache, KvDType, KvShape, PAGE_TOKENS, Span};
use kernels::gpu::GpuOptions;
use kernels::head::{self, HeadOutput};
use kernels::matmul::{self, Output};
use kernels::moe::{self, Routes, Rows};
use kernels::sample::{self, Drawn, SampleOutput, SampleParams};
use kernels::{DType, Device, Precision, Weight};
use support::{device, exact, expect_faults_are_seen, expect_near, next, random};

/// What a tensor holds before an op, to see which elements it writes.
const GUARD: f32 = 12345.0;

fn read(device: &Device, tensor: &kernels::Tensor) -> Vec<f32> {
    pollster::block_on(device.read_f32(tensor, tensor.len())).unwrap()
}

fn read_ids(device: &Device, tensor: &kernels::Tensor, count: usize) -> Vec<u32> {
    pollster::block_on(device.read_u32(tensor, count)).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

// ---- attention

#[derive(Clone)]
struct Attention {
    dim: usize,
    heads: usize,
    kv_heads: usize,
    dtype: KvDType,
    /// Tokens of each sequence.
    lens: Vec<usize>,
}

impl Attention {
    fn q(&self, seq: usize) -> Vec<f32> {
        random(100 + seq as u64, self.lens[seq] * self.heads * self.dim).iter().map(|x| x * 3.0).collect()
    }
    fn k(&self, seq: usize) -> Vec<f32> {
        random(200 + seq as u64, self.lens[seq] * self.kv_heads * self.dim)
    }
    fn v(&self, seq: usize) -> Vec<f32> {
        random(300 + seq as u64, self.lens[seq] * self.kv_heads * self.dim)
    }
    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    /// Runs the sequences in steps of (sequence, rows); gives each sequence's output.
    fn run(&self, device: &Device, steps: &[Vec<(usize, usize)>]) -> Vec<Vec<f32>> {
        let needed: Vec<usize> = self.lens.iter().map(|len| len.div_ceil(PAGE_TOKENS)).collect();
        let pages: usize = needed.iter().sum::<usize>() + 3;
        let mut free: Vec<u32> = (0..pages as u32).collect();
        let mut state = 7;
        (1..pages).rev().for_each(|i| free.swap(i, next(&mut state) as usize % (i + 1)));
        let tables: Vec<Vec<u32>> = needed.iter().map(|&count| free.split_off(free.len() - count)).collect();

        let shape = KvShape { layers: 2, kv_heads: self.kv_heads, head_dim: self.dim, pages, dtype: self.dtype };
        let mut cache = KvCache::new(device, shape).unwrap();
        let mut done = vec![0; self.lens.len()];
        let mut outputs = vec![Vec::new(); self.lens.len()];
        let (width, kv_width) = (self.heads * self.dim, self.kv_heads * self.dim);
        for step in steps {
            let (mut q, mut k, mut v, mut spans, mut rows) = (vec![], vec![], vec![], vec![], 0);
            for &(seq, count) in step {
                let (from, to) = (done[seq], done[seq] + count);
                q.extend_from_slice(&self.q(seq)[from * width..to * width]);
                k.extend_from_slice(&self.k(seq)[from * kv_width..to * kv_width]);
                v.extend_from_slice(&self.v(seq)[from * kv_width..to * kv_width]);
                spans.push(Span { row: rows, rows: count, past: from, pages: tables[seq].clone() });
                rows += count;
            }
            let batch = Batch::new(device, spans, pages).unwrap();
            let q = device.f32_tensor(&[rows, width], &q).unwrap();
            let (k, v) = (device.f32_tensor(&[rows, kv_width], &k).unwrap(), device.f32_tensor(&[rows, kv_width], &v).unwrap());
            let mut out = device.f32_tensor(&[rows + 1, width], &vec![GUARD; (rows + 1) * width]).unwrap();
            attention::append(device, &k, &v, &mut cache, 1, &batch).unwrap();
            attention::forward(device, &q, &cache, 1, &batch, self.scale(), &mut out).unwrap();
            let got = read(device, &out);
            assert!(got[rows * width..].iter().all(|&value| value == GUARD), "wrote past the rows");
            let mut row = 0;
            for &(seq, count) in step {
                outputs[seq].extend_from_slice(&got[row * width..(row + count) * width]);
                row += count;
                done[seq] += count;
            }
        }
        outputs
    }

    /// As the cache keeps them.
    fn rounded(&self, values: Vec<f32>) -> Vec<f64> {
        match self.dtype {
            KvDType::F32 => wide(&values),
            KvDType::F16 => values.iter().map(|&value| f16::from_f32(value).to_f64()).collect(),
            KvDType::Q8 => {
                let block = |x: &[f32]| {
                    let largest = x.iter().fold(0f32, |a, b| a.max(b.abs()));
                    let d = f16::from_f32(largest / 127.0).to_f64();
                    x.iter().map(|value| f64::from((value * (127.0 / largest)).round()) * d).collect::<Vec<_>>()
                };
                values.chunks(32).flat_map(block).collect()
            }
        }
    }

    fn reference(&self, seq: usize) -> Vec<f64> {
        let (q, k, v) = (wide(&self.q(seq)), self.rounded(self.k(seq)), self.rounded(self.v(seq)));
        let mut out = vec![];
        for row in 0..self.lens[seq] {
            for head in 0..self.heads {
                let kv = head / (self.heads / self.kv_heads);
                let at = |j: usize| (j * self.kv_heads + kv) * self.dim;
                let q = &q[(row * self.heads + head) * self.dim..][..self.dim];
                let s: Vec<f64> =
                    (0..=row).map(|j| q.iter().zip(&k[at(j)..]).map(|(a, b)| a * b).sum::<f64>() * f64::from(self.scale())).collect();
                let m = s.iter().copied().fold(f64::MIN, f64::max);
                let l: f64 = s.iter().map(|s| (s - m).exp()).sum();
                out.extend((0..self.dim).map(|d| s.iter().enumerate().map(|(j, s)| (s - m).exp() * v[at(j) + d]).sum::<f64>() / l));
            }
        }
        out
    }
}

#[test]
fn attention_is_the_reference() {
    let Some(device) = exact() else { return };
    let shapes = [(8, 2, 1), (10, 3, 3), (14, 6, 2), (64, 5, 1), (80, 2, 2), (128, 8, 1), (128, 9, 1), (256, 6, 1)];
    for (dim, heads, kv_heads) in shapes {
        for dtype in [KvDType::F32, KvDType::F16, KvDType::Q8] {
            if dtype == KvDType::Q8 && dim % 32 != 0 {
                continue;
            }
            let last = if dim < 16 { 257 } else { 33 };
            let case = Attention { dim, heads, kv_heads, dtype, lens: vec![1, 7, last] };
            let outputs = case.run(&device, &[vec![(2, last / 2)], vec![(0, 1), (1, 7), (2, last - last / 2)]]);
            // q8: a code may round the other way where the GPU's x·(127/max) is a half.
            let tolerance = if dtype == KvDType::Q8 { 5e-3 } else { 3e-6 };
            for (seq, got) in outputs.iter().enumerate() {
                expect_near(&format!("D {dim} Hq {heads} Hkv {kv_heads} {dtype:?} sequence {seq}"), got, &case.reference(seq), tolerance);
            }
            if dtype == KvDType::F32 {
                expect_faults_are_seen(&outputs[1], &case.reference(1), heads * dim, tolerance);
            }
        }
    }
}

#[test]
fn attention_bits_do_not_depend_on_batch_or_cut() {
    let Some(device) = exact() else { return };
    for (dim, heads, kv_heads, dtype) in [(8, 4, 2, KvDType::F16), (10, 12, 2, KvDType::F32), (32, 2, 2, KvDType::Q8)] {
        let case = Attention { dim, heads, kv_heads, dtype, lens: vec![300, 65, 270] };
        // 300 · 2 workgroups: the kernel that walks all chunks.
        let whole = case.run(&device, &[vec![(0, 300)], vec![(1, 65)], vec![(2, 270)]]);
        // Few rows: the kernels that split by chunk.
        let cut: Vec<Vec<(usize, usize)>> =
            [(0, 255), (0, 1), (0, 1), (0, 40), (0, 1), (0, 1), (0, 1), (1, 65), (2, 270)].map(|s| vec![s]).to_vec();
        let together = [vec![(2, 257), (0, 290), (1, 60)], vec![(0, 5), (1, 5), (2, 5)], vec![(2, 8), (0, 5)]];
        for steps in [&cut[..], &together] {
            for (seq, got) in case.run(&device, steps).iter().enumerate() {
                assert_eq!(bits(got), bits(&whole[seq]), "D {dim} {dtype:?} sequence {seq}");
            }
        }
    }
}

#[test]
fn a_batch_of_eight_has_the_bits_of_one() {
    let Some(device) = exact() else { return };
    let case = Attention { dim: 14, heads: 8, kv_heads: 1, dtype: KvDType::F16, lens: vec![33, 1, 64, 2, 31, 32, 90, 7] };
    let alone: Vec<_> = (0..8).map(|seq| vec![(seq, case.lens[seq])]).collect();
    let past: Vec<_> = (0..8).filter(|&seq| case.lens[seq] > 1).map(|seq| (seq, case.lens[seq] - 1)).collect();
    let together = [past, (0..8).map(|seq| (seq, 1)).collect()];
    assert_eq!(
        case.run(&device, &alone).iter().map(|o| bits(o)).collect::<Vec<_>>(),
        case.run(&device, &together).iter().map(|o| bits(o)).collect::<Vec<_>>()
    );
}

#[test]
fn attention_agrees_with_the_cpu() {
    let Some(device) = exact() else { return };
    let cpu = Device::cpu(Precision::Exact);
    for dtype in [KvDType::F32, KvDType::F16, KvDType::Q8] {
        let case = Attention { dim: 32, heads: 4, kv_heads: 2, dtype, lens: vec![70] };
        let (gpu, cpu) = (case.run(&device, &[vec![(0, 70)]]), case.run(&cpu, &[vec![(0, 70)]]));
        expect_near("GPU against CPU", &gpu[0], &wide(&cpu[0]), if dtype == KvDType::Q8 { 5e-3 } else { 3e-6 });
    }
}

// ---- sampler

/// What the contract of `sample.rs` keeps of a row: token ids and their share of the mass, by f64.
fn kept(logits: &[f32], p: &SampleParams) -> Vec<(usize, f64)> {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let e: Vec<f64> = logits.iter().map(|&z| (f64::from(z - top) / f64::from(p.temperature)).exp()).collect();
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    ids.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    if p.top_k > 0 && (p.top_k as usize) < ids.len() {
        let border = logits[ids[p.top_k as usize - 1]];
        ids.retain(|&id| logits[id] >= border);
    }
    let total: f64 = ids.iter().map(|&id| e[id]).sum();
    if p.top_p < 1.0 {
        let mut mass = 0.0;
        let last = ids.iter().position(|&id| {
            mass += e[id];
            mass >= f64::from(p.top_p) * total
        });
        let border = logits[ids[last.unwrap()]];
        ids.retain(|&id| logits[id] >= border);
    }
    ids.retain(|&id| e[id] >= f64::from(p.min_p));
    ids.sort_unstable();
    let total: f64 = ids.iter().map(|&id| e[id]).sum();
    ids.into_iter().map(|id| (id, e[id] / total)).collect()
}

/// Log-probability of every token and entropy of softmax(z/τ), by f64.
fn distribution(logits: &[f64], temperature: f64) -> (Vec<f64>, f64) {
    let z: Vec<f64> = logits.iter().map(|z| z / temperature).collect();
    let m = z.iter().copied().fold(f64::MIN, f64::max);
    let lse = m + z.iter().map(|z| (z - m).exp()).sum::<f64>().ln();
    let logprobs: Vec<f64> = z.iter().map(|z| z - lse).collect();
    let entropy = -logprobs.iter().map(|l| l.exp() * l).sum::<f64>();
    (logprobs, entropy)
}

#[test]
fn samples_are_draws_from_the_kept_set() {
    let Some(device) = exact() else { return };
    let kinds = [(1.0, 0, 1.0, 0.0), (0.7, 5, 1.0, 0.0), (1.3, 0, 0.8, 0.0), (1.0, 0, 1.0, 0.2), (0.6, 20, 0.95, 0.05), (2.0, 1, 0.5, 0.0)];
    for width in [1, 7, 63, 65, 257, 16_500] {
        let params: Vec<SampleParams> = (0..24)
            .map(|i| {
                let (temperature, top_k, top_p, min_p) = kinds[i % kinds.len()];
                SampleParams { temperature, top_k, top_p, min_p, seed: 11, counter: i as u64 }
            })
            .collect();
        // Coarse steps make ties at the borders; an offset checks that the entropy keeps its digits.
        let logits: Vec<f32> = random(5, 24 * width).iter().map(|x| (x * 24.0).round() / 4.0 + 100.0).collect();
        let tensor = device.f32_tensor(&[24, width], &logits).unwrap();
        let mut out = SampleOutput::new(&device, 25).unwrap();
        sample::forward(&device, &tensor, &params, &mut out).unwrap();
        for (row, drawn) in pollster::block_on(out.read(&device, 24)).unwrap().into_iter().enumerate() {
            let Drawn { id, logprob, entropy, cut, mass, nucleus_logprob } = drawn;
            let (logits, p) = (&logits[row * width..][..width], &params[row]);
            let draw = f64::from(sample::uniform(p.seed, p.counter));
            let mut before = 0.0;
            let want = kept(logits, p);
            let share = want
                .iter()
                .copied()
                .find(|&(kept, share)| {
                    kept == id as usize || {
                        before += share;
                        false
                    }
                })
                .map(|(_, share)| share);
            let share = share.unwrap_or_else(|| panic!("V {width} row {row}: {id} is not kept by {p:?}"));
            assert!(
                before - 1e-5 <= draw && draw <= before + share + 1e-5,
                "V {width} row {row}: {id} covers {before} + {share}, not {draw}"
            );
            let (logprobs, h) = distribution(&wide(logits), p.temperature.into());
            expect_near("logprob, entropy", &[logprob, entropy], &[logprobs[id as usize], h], 2e-5);
            let by_cut: Vec<usize> = (0..width).filter(|&v| logits[v] >= cut).collect();
            assert_eq!(by_cut, want.iter().map(|k| k.0).collect::<Vec<_>>(), "V {width} row {row}: cut {cut}, {p:?}");
            let whole: f64 = want.iter().map(|k| logprobs[k.0].exp()).sum();
            expect_near("mass, logprob of the kept", &[mass, nucleus_logprob], &[whole, share.ln()], 2e-5);
        }
    }
}

#[test]
fn greedy_takes_the_lowest_of_equals_and_refuses_nan() {
    let Some(device) = exact() else { return };
    let rows: [&[f32]; 3] = [&[1.0, 3.0, 3.0, -2.0], &[-0.0, 0.0, -1.0, f32::NEG_INFINITY], &[-5.0, -7.0, -9.0, -4.0]];
    let run = |rows: &[&[f32]]| {
        let tensor = device.f32_tensor(&[rows.len(), 4], &rows.concat()).unwrap();
        let mut out = SampleOutput::new(&device, rows.len()).unwrap();
        sample::forward(&device, &tensor, &vec![SampleParams::GREEDY; rows.len()], &mut out).unwrap();
        pollster::block_on(out.read(&device, rows.len()))
    };
    let got = run(&rows).unwrap();
    assert_eq!(got.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 0, 3]);
    assert!(got.iter().all(|row| row.logprob.is_finite() && row.entropy.is_finite()));
    // Greedy keeps the largest and its equals.
    assert_eq!(got.iter().map(|row| row.cut).collect::<Vec<_>>(), [2.0, -0.5, -4.5]);
    expect_near("of the kept", &got.iter().map(|row| row.nucleus_logprob).collect::<Vec<_>>(), &[-(2f64.ln()), -(2f64.ln()), 0.0], 1e-6);
    for bad in [&[0.0, f32::NAN, 1.0, 2.0], &[0.0, f32::INFINITY, 1.0, 2.0], &[f32::NEG_INFINITY; 4]] {
        let error = run(&[rows[0], bad]).unwrap_err().to_string();
        assert!(error.contains("row 1"), "{error}");
    }
}

// ---- mixture of experts

/// A device whose weights are cut into shards of at most `bytes`.
fn sharded(bytes: u64) -> Option<Device> {
    device(&GpuOptions { max_binding_bytes: Some(bytes), ..Default::default() })
}

fn f32_weight(device: &Device, values: &[f32], rows: usize, cols: usize, unit_rows: usize) -> Weight {
    Weight::new(device, rows, cols, DType::F32, unit_rows, values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into()).unwrap()
}

fn routes_of(device: &Device, rows: usize, experts: usize, top_k: usize, ids: &[u32]) -> Routes {
    let mut routes = Routes::new(device, rows, experts, top_k).unwrap();
    routes.ids.write_u32(device, ids).unwrap();
    moe::sort(device, &mut routes, rows).unwrap();
    routes
}

/// Random distinct experts for each token; expert 1 of more than `top_k` is never chosen.
fn random_ids(rows: usize, experts: usize, top_k: usize) -> Vec<u32> {
    let mut state = 17;
    let mut choose = || {
        let mut all: Vec<u32> = (0..experts as u32).filter(|&e| e != 1 || experts == top_k).collect();
        (0..top_k).map(|_| all.swap_remove(next(&mut state) as usize % all.len())).collect::<Vec<_>>()
    };
    (0..rows).flat_map(|_| choose()).collect()
}

#[test]
fn routes_are_the_largest_with_ties_to_the_lowest() {
    let Some(device) = exact() else { return };
    for (rows, experts, top_k) in [(1, 1, 1), (7, 4, 2), (63, 128, 8), (5, 513, 9)] {
        // Coarse logits: many ties.
        let logits: Vec<f32> = random(3, rows * experts).iter().map(|x| (x * 12.0).round() / 2.0).collect();
        let tensor = device.f32_tensor(&[rows, experts], &logits).unwrap();
        for renormalise in [false, true] {
            let mut routes = Routes::new(&device, rows + 1, experts, top_k).unwrap();
            moe::route(&device, &tensor, renormalise, &mut routes, rows).unwrap();
            let (ids, weights) = (read_ids(&device, &routes.ids, (rows + 1) * top_k), read(&device, &routes.weights));
            let (mut want_ids, mut want) = (vec![], vec![]);
            for logits in logits.chunks(experts) {
                let (logprobs, _) = distribution(&wide(logits), 1.0);
                let mut order: Vec<usize> = (0..experts).collect();
                order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
                let p: Vec<f64> = order[..top_k].iter().map(|&e| logprobs[e].exp()).collect();
                let sum: f64 = if renormalise { p.iter().sum() } else { 1.0 };
                want_ids.extend(order[..top_k].iter().map(|&e| e as u32));
                want.extend(p.iter().map(|p| p / sum));
            }
            assert_eq!(ids[..rows * top_k], want_ids);
            assert!(ids[rows * top_k..].iter().all(|&id| id == 0), "wrote past the rows");
            let relative: Vec<f32> = weights.iter().zip(&want).map(|(got, want)| (f64::from(*got) / want) as f32).collect();
            expect_near("route weights", &relative, &vec![1.0; rows * top_k], 1e-5);
        }
    }
}

#[test]
fn the_sort_is_stable() {
    let Some(device) = exact() else { return };
    for (rows, experts, top_k) in [(1, 4, 2), (7, 300, 8), (63, 4, 4), (257, 128, 8), (700, 600, 3), (1025, 1, 1)] {
        let ids = random_ids(rows, experts, top_k);
        let routes = routes_of(&device, rows, experts, top_k, &ids);
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by_key(|&i| ids[i as usize]);
        let mut inverse = vec![0; ids.len()];
        order.iter().zip(0..).for_each(|(&i, at)| inverse[i as usize] = at);
        let offsets: Vec<u32> = (0..=experts as u32).map(|e| ids.iter().filter(|&&id| id < e).count() as u32).collect();
        assert_eq!(read_ids(&device, &routes.order, ids.len()), order, "{rows} {experts} {top_k}");
        assert_eq!(read_ids(&device, &routes.inverse, ids.len()), inverse);
        assert_eq!(read_ids(&device, &routes.offsets, experts + 1), offsets);
    }
}

#[test]
fn experts_multiply_their_own_rows() {
    // 6,000 bytes: an expert a shard in the larger cases.
    for limit in [None, Some(6_000)] {
        let Some(device) = limit.map_or_else(exact, sharded) else { return };
        for (rows, experts, top_k, width, columns) in [(1, 4, 2, 8, 1), (7, 5, 2, 63, 7), (65, 3, 3, 40, 33), (257, 6, 2, 24, 17)] {
            let ids = random_ids(rows, experts, top_k);
            let routes = routes_of(&device, rows, experts, top_k, &ids);
            let w = random(21, experts * columns * width);
            let weight = f32_weight(&device, &w, experts * columns, width, columns);
            for from in [Rows::Tokens, Rows::Sorted] {
                let x_rows = if from == Rows::Tokens { rows } else { rows * top_k };
                let x = random(22, x_rows * width);
                let mut y = device.f32_tensor(&[rows * top_k + 1, columns], &vec![GUARD; (rows * top_k + 1) * columns]).unwrap();
                moe::grouped_matmul(&device, &device.f32_tensor(&[x_rows, width], &x).unwrap(), from, &weight, &routes, &mut y, rows)
                    .unwrap();
                let order = read_ids(&device, &routes.order, rows * top_k);
                let mut want = vec![];
                for (sorted, &assignment) in order.iter().enumerate() {
                    let row = if from == Rows::Tokens { assignment as usize / top_k } else { sorted };
                    let first = ids[assignment as usize] as usize * columns;
                    let dot =
                        |n: usize| (0..width).map(|k| f64::from(x[row * width + k]) * f64::from(w[(first + n) * width + k])).sum::<f64>();
                    want.extend((0..columns).map(dot));
                }
                let got = read(&device, &y);
                let (got, guard) = got.split_at(rows * top_k * columns);
                expect_near(&format!("experts {rows} {from:?}"), got, &want, 5e-6);
                assert!(guard.iter().all(|&value| value == GUARD), "wrote past the rows");
                expect_faults_are_seen(got, &want, columns, 5e-6);
                if from == Rows::Tokens {
                    combine_is_the_reference(&device, &routes, &y, rows);
                }
            }
        }
    }
}

fn combine_is_the_reference(device: &Device, routes: &Routes, h: &kernels::Tensor, rows: usize) {
    let (columns, k) = (h.width(), routes.top_k);
    let old = random(23, (rows + 1) * columns);
    let mut y = device.f32_tensor(&[rows + 1, columns], &old).unwrap();
    let mut weighted = Routes::new(device, rows, routes.experts, k).unwrap();
    weighted.ids.write_u32(device, &read_ids(device, &routes.ids, rows * k)).unwrap();
    let weights = random(24, rows * k);
    weighted.weights.write_f32(device, &weights).unwrap();
    moe::sort(device, &mut weighted, rows).unwrap();
    moe::combine(device, h, &weighted, &mut y, rows).unwrap();
    let (got, h, inverse) = (read(device, &y), read(device, h), read_ids(device, &weighted.inverse, rows * k));
    let one = |t: usize, c: usize| {
        (0..k).map(|s| f64::from(weights[t * k + s]) * f64::from(h[inverse[t * k + s] as usize * columns + c])).sum::<f64>()
    };
    let want: Vec<f64> = (0..rows * columns).map(|i| f64::from(old[i]) + one(i / columns, i % columns)).collect();
    expect_near("combine", &got[..rows * columns], &want, 5e-6);
    assert_eq!(got[rows * columns..], old[rows * columns..], "wrote past the rows");
}

// ---- head

#[test]
fn the_head_is_the_reference() {
    for limit in [None, Some(6_000)] {
        let Some(device) = limit.map_or_else(exact, sharded) else { return };
        for (rows, width, vocabulary, temperature) in
            [(1, 8, 1, 1.0), (7, 24, 63, 0.6), (63, 40, 65, 1.0), (130, 16, 257, 1.5), (3, 33, 8_300, 0.3)]
        {
            let x: Vec<f32> = random(31, rows * width).iter().map(|x| x * 8.0).collect();
            let w = random(32, vocabulary * width);
            let targets: Vec<u32> = (0..rows).map(|r| ((r * 131 + vocabulary - 1) % vocabulary) as u32).collect();
            let weight = f32_weight(&device, &w, vocabulary, width, 1);
            let mut out = HeadOutput::new(&device, rows + 1).unwrap();
            out.lse.write_f32(&device, &vec![GUARD; rows + 1]).unwrap();
            let x_tensor = device.f32_tensor(&[rows, width], &x).unwrap();
            head::forward(&device, &x_tensor, &weight, &device.u32_tensor(&[rows], &targets).unwrap(), temperature, None, &mut out, rows)
                .unwrap();
            let (mut logprobs, mut entropies, mut lses) = (vec![], vec![], vec![]);
            for row in 0..rows {
                let dot = |v: usize| (0..width).map(|k| f64::from(x[row * width + k]) * f64::from(w[v * width + k])).sum::<f64>();
                let logits: Vec<f64> = (0..vocabulary).map(dot).collect();
                let (logprob, entropy) = distribution(&logits, temperature.into());
                lses.push(logits[0] / f64::from(temperature) - logprob[0]);
                logprobs.push(logprob[targets[row] as usize]);
                entropies.push(entropy);
            }
            let got = [&out.logprob, &out.entropy, &out.lse].map(|tensor| read(&device, tensor));
            for (name, got, want) in [("logprob", &got[0], &logprobs), ("entropy", &got[1], &entropies), ("lse", &got[2], &lses)] {
                expect_near(&format!("{name} V {vocabulary}"), &got[..rows], want, 1e-5);
            }
            assert_eq!(got[2][rows], GUARD, "wrote past the rows");
            if rows > 5 {
                expect_faults_are_seen(&got[0][..rows], &logprobs, 1, 1e-5);
            }
        }
    }
}

/// On policy: what the sampler records is what the head recomputes, whatever the number of rows.
#[test]
fn the_head_and_the_sampler_have_the_same_bits() {
    let Some(device) = exact() else { return };
    let (rows, width, vocabulary) = (9, 40, 300);
    let x = device.f32_tensor(&[rows, width], &random(41, rows * width)).unwrap();
    let weight = f32_weight(&device, &random(42, vocabulary * width), vocabulary, width, 1);
    let mut logits = device.zeros(&[rows, vocabulary], DType::F32).unwrap();
    matmul::forward(&device, &x, &weight, None, &mut logits, rows, Output::Store).unwrap();
    let params = SampleParams { temperature: 0.7, seed: 3, ..SampleParams::GREEDY };
    let mut sampled = SampleOutput::new(&device, rows).unwrap();
    sample::forward(&device, &logits, &vec![params; rows], &mut sampled).unwrap();
    let sampled = pollster::block_on(sampled.read(&device, rows)).unwrap();
    let targets = device.u32_tensor(&[rows], &sampled.iter().map(|row| row.id).collect::<Vec<_>>()).unwrap();
    for count in [rows, 3] {
        let mut out = HeadOutput::new(&device, rows).unwrap();
        head::forward(&device, &x, &weight, &targets, 0.7, None, &mut out, count).unwrap();
        let want: (Vec<f32>, Vec<f32>) = sampled[..count].iter().map(|row| (row.logprob, row.entropy)).unzip();
        assert_eq!(bits(&read(&device, &out.logprob)[..count]), bits(&want.0));
        assert_eq!(bits(&read(&device, &out.entropy)[..count]), bits(&want.1));
    }
}

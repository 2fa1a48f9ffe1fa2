//! Attention: values against f64, bits across every way of cutting and batching.

use half::f16;
use kernels::attention::{Batch, CHUNK_TOKENS, KvCache, KvDType, KvShape, PAGE_TOKENS, Span, append, forward};
use kernels::{DType, Device};

use crate::helpers::{Rng, U, bits, compare, devices};

/// Rows of one sequence: q [T, Hq·D], k and v [T, Hkv·D].
struct Sequence {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    pages: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Dims {
    kv_heads: usize,
    group: usize,
    head_dim: usize,
}

impl Dims {
    fn q(&self) -> usize {
        self.kv_heads * self.group * self.head_dim
    }
    fn kv(&self) -> usize {
        self.kv_heads * self.head_dim
    }
    fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }
}

impl Sequence {
    fn random(rng: &mut Rng, dims: Dims, length: usize) -> Self {
        let mut sequence = Self {
            q: rng.normals(length * dims.q()),
            k: rng.normals(length * dims.kv()),
            v: rng.normals(length * dims.kv()),
            pages: vec![],
        };
        // Some rows attend sharply, and maxima rise late, so that merging has work to do.
        for (i, k) in sequence.k.iter_mut().enumerate() {
            if i / dims.kv() % 97 == 96 {
                *k *= 4.0;
            }
        }
        sequence
    }
    fn rows(&self, dims: Dims) -> usize {
        self.k.len() / dims.kv()
    }
}

/// Gives the sequences pages in a shuffled order, with one spare page between them.
fn assign_pages(rng: &mut Rng, dims: Dims, sequences: &mut [Sequence]) -> usize {
    let needed: Vec<usize> = sequences.iter().map(|s| s.rows(dims).div_ceil(PAGE_TOKENS)).collect();
    let total = needed.iter().sum::<usize>() + 1;
    let mut pages: Vec<u32> = (0..total as u32).collect();
    rng.shuffle(&mut pages);
    for (sequence, count) in sequences.iter_mut().zip(needed) {
        sequence.pages = pages.split_off(pages.len() - count);
    }
    total
}

/// A cache in which everything that nobody wrote is NaN: reading past a sequence's end must not go unseen.
fn poisoned(device: &Device, dims: Dims, pages: usize, dtype: KvDType) -> KvCache {
    let mut cache = KvCache::new(device, KvShape { layers: 2, kv_heads: dims.kv_heads, head_dim: dims.head_dim, pages, dtype }).unwrap();
    let rows = pages * PAGE_TOKENS;
    let span = Span { row: 0, rows, past: 0, pages: (0..pages as u32).collect() };
    let batch = Batch::new(device, vec![span], pages).unwrap();
    let nan = device.f32_tensor(&[rows, dims.kv()], &vec![f32::NAN; rows * dims.kv()]).unwrap();
    for layer in 0..2 {
        append(device, &nan, &nan, &mut cache, layer, &batch).unwrap();
    }
    cache
}

/// One step: rows `from .. to` of each listed sequence. Returns each one's output rows.
fn step(device: &Device, dims: Dims, cache: &mut KvCache, sequences: &[Sequence], parts: &[(usize, usize, usize)]) -> Vec<Vec<f32>> {
    let (mut spans, mut q, mut k, mut v, mut rows) = (vec![], vec![], vec![], vec![], 0);
    for &(number, from, to) in parts {
        let s = &sequences[number];
        spans.push(Span { row: rows, rows: to - from, past: from, pages: s.pages.clone() });
        rows += to - from;
        q.extend_from_slice(&s.q[from * dims.q()..to * dims.q()]);
        k.extend_from_slice(&s.k[from * dims.kv()..to * dims.kv()]);
        v.extend_from_slice(&s.v[from * dims.kv()..to * dims.kv()]);
    }
    let batch = Batch::new(device, spans, cache.shape().pages).unwrap();
    let q = device.f32_tensor(&[rows, dims.q()], &q).unwrap();
    let k = device.f32_tensor(&[rows, dims.kv()], &k).unwrap();
    let v = device.f32_tensor(&[rows, dims.kv()], &v).unwrap();
    let mut out = device.f32_tensor(&[rows, dims.q()], &vec![f32::NAN; rows * dims.q()]).unwrap();
    append(device, &k, &v, cache, 1, &batch).unwrap();
    forward(device, &q, cache, 1, &batch, dims.scale(), &mut out).unwrap();
    let mut out = out.f32s("test").unwrap();
    parts
        .iter()
        .map(|&(_, from, to)| {
            let (own, rest) = out.split_at((to - from) * dims.q());
            out = rest;
            own.to_vec()
        })
        .collect()
}

/// What the cache must have made of `values`.
fn stored(values: &[f32], dims: Dims, dtype: KvDType) -> Vec<f64> {
    match dtype {
        KvDType::F32 => values.iter().map(|&v| f64::from(v)).collect(),
        KvDType::F16 => values.iter().map(|&v| f16::from_f32(v).to_f64()).collect(),
        KvDType::Q8 => {
            assert_eq!(dims.head_dim % 32, 0);
            let block = |values: &[f32]| {
                let scale = f16::from_f32(values.iter().fold(0f32, |top, v| top.max(v.abs())) / 127.0).to_f64();
                let round = move |v: &f32| if scale == 0.0 { 0.0 } else { (f64::from(*v) / scale).round().clamp(-127.0, 127.0) * scale };
                values.iter().map(round).collect::<Vec<_>>()
            };
            values.chunks(32).flat_map(block).collect()
        }
    }
}

/// o in f64 and how far a sound f32 result may be from it. `drop` leaves out that many of each row's last keys: a planted fault.
fn reference(dims: Dims, s: &Sequence, dtype: KvDType, drop: usize) -> (Vec<f64>, Vec<f64>) {
    let (k, v) = (stored(&s.k, dims, dtype), stored(&s.v, dims, dtype));
    let scale = f64::from(dims.scale());
    let (mut want, mut bound) = (vec![], vec![]);
    for (row, q) in s.q.chunks(dims.q()).enumerate() {
        for (head, q) in q.chunks(dims.head_dim).enumerate() {
            let at = |j: usize| j * dims.kv() + head / dims.group * dims.head_dim;
            let keys = (row + 1).saturating_sub(drop).max(1);
            let products = |j: usize| q.iter().zip(&k[at(j)..]).map(|(&q, &k)| f64::from(q) * k);
            let scores: Vec<f64> = (0..keys).map(|j| products(j).sum::<f64>() * scale).collect();
            let size = (0..keys).map(|j| products(j).map(f64::abs).sum::<f64>() * scale).fold(0.0, f64::max);
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let p: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
            let total: f64 = p.iter().sum();
            // Absolute error of a score = relative error of its p; the maximum's cancels only in part.
            let score_error = 2.0 * U * (dims.head_dim as f64 / 16.0 + 8.0) * size;
            // A chain of up to 256 additions in a chunk, then the merges, the sum l, exp and the division.
            let sum_error = U * (keys.min(CHUNK_TOKENS) as f64 + 6.0 * keys.div_ceil(CHUNK_TOKENS) as f64 + 30.0);
            for d in 0..dims.head_dim {
                want.push((0..keys).map(|j| p[j] * v[at(j) + d]).sum::<f64>() / total);
                let size = (0..keys).map(|j| p[j] * v[at(j) + d].abs()).sum::<f64>() / total;
                bound.push(size * (2.0 * score_error + sum_error) + 1e-40);
            }
        }
    }
    (want, bound)
}

fn check(dims: Dims, length: usize, dtype: KvDType) {
    let name = format!("Hkv {} G {} D {} T {length} {dtype:?}", dims.kv_heads, dims.group, dims.head_dim);
    let mut rng = Rng((length * 1000 + dims.head_dim * 8 + dims.group) as u64);
    let mut sequences = vec![Sequence::random(&mut rng, dims, length)];
    let pages = assign_pages(&mut rng, dims, &mut sequences);
    let (want, bound) = reference(dims, &sequences[0], dtype, 0);
    let mut first = None;
    for device in devices() {
        let mut cache = poisoned(&device, dims, pages, dtype);
        let got = step(&device, dims, &mut cache, &sequences, &[(0, 0, length)]).remove(0);
        compare(&name, &got, &want, &bound).unwrap();
        let got = bits(&got);
        assert_eq!(first.get_or_insert(got.clone()), &got, "{name}: {} differs", device.describe());
    }
}

#[test]
fn matches_f64_at_every_head_width() {
    for head_dim in [8, 10, 14, 24, 64, 80, 128, 256] {
        for dtype in [KvDType::F32, KvDType::F16] {
            check(Dims { kv_heads: 2, group: 2, head_dim }, 77, dtype);
        }
    }
    for head_dim in [32, 64, 128] {
        check(Dims { kv_heads: 2, group: 2, head_dim }, 77, KvDType::Q8);
    }
}

#[test]
fn matches_f64_at_every_group_size() {
    for group in 1..=8 {
        check(Dims { kv_heads: 3, group, head_dim: 16 }, 41, KvDType::F32);
    }
}

#[test]
fn matches_f64_at_ragged_lengths() {
    for length in [1, 2, 15, 16, 17, 31, 32, 33, 255, 256, 257, 290, 513] {
        check(Dims { kv_heads: 1, group: 3, head_dim: 24 }, length, KvDType::F16);
    }
}

#[test]
fn planted_faults_are_seen() {
    let dims = Dims { kv_heads: 2, group: 3, head_dim: 64 };
    let mut rng = Rng(3);
    let mut sequences = vec![Sequence::random(&mut rng, dims, 300)];
    let pages = assign_pages(&mut rng, dims, &mut sequences);
    let device = &devices()[0];
    let mut cache = poisoned(device, dims, pages, KvDType::F16);
    let got = step(device, dims, &mut cache, &sequences, &[(0, 0, 300)]).remove(0);
    let (want, bound) = reference(dims, &sequences[0], KvDType::F16, 0);
    compare("sound", &got, &want, &bound).unwrap();
    let width = dims.q();
    let fails = |name: &str, got: Vec<f32>| assert!(compare(name, &got, &want, &bound).is_err(), "{name} was not seen");
    fails("zeroed", vec![0.0; got.len()]);
    fails("scaled", got.iter().map(|g| g * 1.01).collect());
    fails("last head scaled", got.iter().enumerate().map(|(i, g)| if i % width >= width - 64 { g * 1.01 } else { *g }).collect());
    fails("heads and columns swapped", (0..got.len()).map(|i| got[i / width * width + i % 6 * 64 + i % width / 6]).collect());
    fails("last row dropped", got.iter().enumerate().map(|(i, &g)| if i >= 299 * width { 0.0 } else { g }).collect());
    let (short, _) = reference(dims, &sequences[0], KvDType::F16, 1);
    fails("last key dropped", short.iter().map(|&w| w as f32).collect());
    let (unrounded, _) = reference(dims, &sequences[0], KvDType::F32, 0);
    fails("cache not rounded", unrounded.iter().map(|&w| w as f32).collect());
}

#[test]
fn bits_do_not_depend_on_cuts_or_batches() {
    for (dims, dtype) in [
        (Dims { kv_heads: 2, group: 3, head_dim: 24 }, KvDType::F32),
        (Dims { kv_heads: 1, group: 7, head_dim: 64 }, KvDType::F16),
        (Dims { kv_heads: 2, group: 1, head_dim: 32 }, KvDType::Q8),
    ] {
        let mut rng = Rng(17);
        let lengths = [600, 1, 33, 256, 257, 511, 90, 320];
        let mut sequences: Vec<_> = lengths.iter().map(|&t| Sequence::random(&mut rng, dims, t)).collect();
        let pages = assign_pages(&mut rng, dims, &mut sequences);
        let all = devices();
        // Alone, in one piece, on the default device: what everything else must equal.
        let whole: Vec<Vec<u32>> = (0..8)
            .map(|s| {
                let mut cache = poisoned(&all[0], dims, pages, dtype);
                bits(&step(&all[0], dims, &mut cache, &sequences, &[(s, 0, lengths[s])])[0])
            })
            .collect();
        for (number, device) in all.iter().enumerate() {
            let mut cache = poisoned(device, dims, pages, dtype);
            let parts: Vec<_> = (0..8).map(|s| (s, 0, lengths[s])).collect();
            for (s, out) in step(device, dims, &mut cache, &sequences, &parts).iter().enumerate() {
                assert_eq!(bits(out), whole[s], "whole, batched, sequence {s}, {}", device.describe());
            }
            // Ragged pieces, everyone at another place, some absent from some steps.
            let mut cache = poisoned(device, dims, pages, dtype);
            let (mut done, mut outs) = ([0; 8], vec![vec![]; 8]);
            while done != lengths {
                let mut parts = vec![];
                for s in 0..8 {
                    let most = [1, 2, 5, 40, 300][rng.below(5)];
                    let rows = rng.below(most) + usize::from(most < 40);
                    let to = (done[s] + rows).min(lengths[s]);
                    if to > done[s] {
                        parts.push((s, done[s], to));
                        done[s] = to;
                    }
                }
                if parts.is_empty() {
                    continue;
                }
                rng.shuffle(&mut parts);
                for (out, &(s, ..)) in step(device, dims, &mut cache, &sequences, &parts).iter().zip(&parts) {
                    outs[s].extend(bits(out));
                }
            }
            assert_eq!(outs, whole, "ragged, {}", device.describe());
            // One by one: alone (where long contexts are split by chunk) and as a batch.
            let mut cache = poisoned(device, dims, pages, dtype);
            if number % 3 == 0 {
                let one: Vec<u32> = (0..600).flat_map(|t| bits(&step(device, dims, &mut cache, &sequences, &[(0, t, t + 1)])[0])).collect();
                assert_eq!(one, whole[0], "one by one, {}", device.describe());
            } else {
                let mut outs = vec![vec![]; 8];
                for t in 0..600 {
                    let parts: Vec<_> = (0..8).filter(|&s| t < lengths[s]).map(|s| (s, t, t + 1)).collect();
                    for (out, &(s, ..)) in step(device, dims, &mut cache, &sequences, &parts).iter().zip(&parts) {
                        outs[s].extend(bits(out));
                    }
                }
                assert_eq!(outs, whole, "one by one, batched, {}", device.describe());
            }
        }
    }
}

#[test]
fn nan_in_a_key_reaches_later_rows_only() {
    let dims = Dims { kv_heads: 1, group: 2, head_dim: 16 };
    let mut rng = Rng(4);
    let mut sequences = vec![Sequence::random(&mut rng, dims, 300)];
    let pages = assign_pages(&mut rng, dims, &mut sequences);
    for device in devices() {
        for place in [0, 33, 270] {
            let (k, v) = (sequences[0].k[place * 16], sequences[0].v[place * 16 + 1]);
            sequences[0].k[place * 16] = f32::NAN;
            sequences[0].v[place * 16 + 1] = f32::INFINITY;
            let mut cache = poisoned(&device, dims, pages, KvDType::F32);
            let out = step(&device, dims, &mut cache, &sequences, &[(0, 0, 300)]).remove(0);
            for (row, out) in out.chunks(dims.q()).enumerate() {
                assert_eq!(out.iter().any(|o| !o.is_finite()), row >= place, "row {row}, NaN at {place}");
            }
            (sequences[0].k[place * 16], sequences[0].v[place * 16 + 1]) = (k, v);
        }
    }
}

#[test]
fn shapes_are_checked() {
    let device = &devices()[0];
    let shape = KvShape { layers: 1, kv_heads: 1, head_dim: 16, pages: 1, dtype: KvDType::F32 };
    for bad in [
        KvShape { head_dim: 6, ..shape },
        KvShape { head_dim: 15, ..shape },
        KvShape { head_dim: 258, ..shape },
        KvShape { dtype: KvDType::Q8, ..shape },
    ] {
        assert!(KvCache::new(device, bad).is_err(), "{bad:?}");
    }
    let cache = KvCache::new(device, shape).unwrap();
    let batch = Batch::new(device, vec![Span { row: 0, rows: 2, past: 0, pages: vec![0] }], 1).unwrap();
    let narrow = device.zeros(&[2, 8], DType::F32).unwrap();
    let mut out = device.zeros(&[2, 8], DType::F32).unwrap();
    assert!(forward(device, &narrow, &cache, 0, &batch, 1.0, &mut out).is_err());
    assert!(Batch::new(device, vec![Span { row: 0, rows: 33, past: 0, pages: vec![0] }], 1).is_err());
    assert!(Batch::new(device, vec![Span { row: 0, rows: 2, past: 0, pages: vec![1] }], 1).is_err());
}

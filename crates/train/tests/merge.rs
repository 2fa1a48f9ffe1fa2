//! Merges against mergekit's (`tests/golden/make_merges.py`), and what mergekit leaves open: ties, tiny deltas, tensors of many pieces.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use kernels::DType;
use model::{Checkpoint, Role};
use proptest::prelude::*;
use train::export::{Card, ExportError, Weights};
use train::merge::{Merge, Method, Source, Stack, Values, merge, sce_weights, variances};

const MODELS: [&str; 3] = ["one", "two", "three"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// Every tensor of a file, by name.
fn tensors(file: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(file).unwrap();
    let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let values = |view: safetensors::tensor::TensorView| view.data().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    parsed.tensors().into_iter().map(|(name, view)| (name, values(view))).collect()
}

/// The largest difference of `found` from `expected`, and where.
fn furthest(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) -> (f32, String) {
    assert!(found.keys().eq(expected.keys()), "{:?} {:?}", found.keys(), expected.keys());
    let mut most = (0.0, String::new());
    for (name, values) in expected {
        assert_eq!(found[name].len(), values.len(), "{name}");
        for (found, expected) in found[name].iter().zip(values) {
            let difference = (found - expected).abs();
            if !(difference <= most.0) {
                most = (difference, name.clone());
            }
        }
    }
    most
}

#[test]
fn merged_models_are_mergekits() {
    let ties = |normalize| Method::Ties { density: vec![0.4, 0.7, 1.0], normalize };
    let cases = [
        ("sce_half", Method::Sce { select_topk: 0.5 }),
        ("sce_all", Method::Sce { select_topk: 1.0 }),
        ("ties", ties(true)),
        ("ties_plain", ties(false)),
        ("linear", Method::Linear { normalize: true }),
    ];
    for folder in ["merge/dense", "merge/moe"].map(golden) {
        let open = |name: &str| Checkpoint::open(folder.join(name)).unwrap();
        let (base, models) = (open("base"), MODELS.map(open));
        let source = |checkpoint| Source { name: "model".into(), weights: Weights::new(checkpoint), files: vec![] };
        let mut seen = vec![];
        for (name, method) in cases.clone() {
            let place = tempfile::tempdir().unwrap();
            let job = Merge {
                base: source(&base),
                models: models.iter().map(source).collect(),
                method,
                weights: vec![0.5, 1.0, 0.8],
                dtype: None,
                out: place.path(),
                name,
                card: Card::default(),
            };
            merge(&job, |_, _| {}).unwrap();
            let found = tensors(&place.path().join("model.safetensors"));
            let (most, tensor) = furthest(&found, &tensors(&folder.join(format!("expected/{name}.safetensors"))));
            assert!(most <= 1e-5, "{} {name}: {tensor} differs by {most}", folder.display());
            seen.push(found);
        }
        // No two of them are alike: a method that did another's work would be seen.
        for (at, one) in seen.iter().enumerate() {
            assert!(seen[..at].iter().all(|other| furthest(one, other).0 > 0.01));
        }
    }
}

/// A tensor in memory.
struct Held {
    values: Vec<f32>,
    cols: usize,
}

impl Values for Held {
    fn rows(&self) -> usize {
        self.values.len() / self.cols
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, rows: Range<usize>, out: &mut [f32]) -> Result<(), ExportError> {
        out.copy_from_slice(&self.values[rows.start * self.cols..rows.end * self.cols]);
        Ok(())
    }
}

/// One tensor merged by the library.
fn merged(method: &Method, weights: &[f64], cols: usize, base: &[f32], models: &[Vec<f32>]) -> Vec<f32> {
    let held = |values: &[f32]| Held { values: values.to_vec(), cols };
    let (base, models) = (held(base), models.iter().map(|model| held(model)).collect::<Vec<_>>());
    let stack = Stack { base: &base, models: models.iter().map(|model| model as &dyn Values).collect() };
    let mut all = vec![];
    method
        .tensor(weights, &stack, |values| {
            all.extend(values);
            Ok(())
        })
        .unwrap();
    all
}

/// Keeps the k largest scores, the first of equal ones, by sorting all of them.
fn sorted(scores: &[f32], k: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let mut keeps = vec![false; scores.len()];
    order[..k].iter().for_each(|&at| keeps[at] = true);
    keeps
}

/// The formulas, written down once more for a whole tensor in f64.
fn by_hand(method: &Method, weights: &[f64], base: &[f32], models: &[Vec<f32>]) -> Vec<f64> {
    let mut deltas: Vec<Vec<f32>> = models.iter().map(|model| model.iter().zip(base).map(|(value, base)| value - base).collect()).collect();
    let mut weights = weights.to_vec();
    let (count, sign) = (base.len(), |value: f64| if value >= 0.0 { 1.0 } else { -1.0 });
    let normalize = match method {
        Method::Sce { select_topk } => {
            if *select_topk < 1.0 {
                let scores = variances(&deltas);
                let k = (scores.iter().filter(|score| **score != 0.0).count() as f32 * *select_topk as f32) as usize;
                let keeps = sorted(&scores, k);
                deltas.iter_mut().for_each(|delta| delta.iter_mut().zip(&keeps).for_each(|(delta, keeps)| *delta *= f32::from(*keeps)));
            }
            weights = deltas.iter().map(|delta| delta.iter().map(|&delta| f64::from(delta) * f64::from(delta)).sum()).collect();
            true
        }
        Method::Ties { density, normalize } => {
            for (delta, density) in deltas.iter_mut().zip(density) {
                let sizes: Vec<f32> = delta.iter().map(|delta| delta.abs()).collect();
                let keeps = sorted(&sizes, ((density * count as f64) as usize).max(1));
                delta.iter_mut().zip(&keeps).for_each(|(delta, keeps)| *delta *= f32::from(*keeps));
            }
            *normalize
        }
        Method::Linear { .. } => unreachable!(),
    };
    let is_sce = matches!(method, Method::Sce { .. });
    let of = |at: usize| {
        let pairs: Vec<(f64, f64)> = deltas.iter().zip(&weights).map(|(delta, weight)| (f64::from(delta[at]), *weight)).collect();
        let total: f64 = pairs.iter().map(|(delta, weight)| if is_sce { *delta } else { delta * weight }).sum();
        let stay = pairs.iter().filter(|(delta, weight)| delta * weight * sign(total) > 0.0);
        let (sum, divisor) = stay.fold((0.0, 0.0), |(sum, divisor), (delta, weight)| (sum + delta * weight, divisor + weight));
        f64::from(base[at]) + if normalize && divisor != 0.0 { sum / divisor } else { sum }
    };
    (0..count).map(of).collect()
}

/// Deltas of few different values, many of them 0: scores are tied at every bar.
fn few_values(seed: u64, models: usize, count: usize) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as usize
    };
    let base: Vec<f32> = (0..count).map(|_| (next() % 9) as f32 - 4.0).collect();
    let model = |_| base.iter().map(|base| base + [0.0, 0.0, 0.25, -0.25, 0.5, -1.0][next() % 6]).collect();
    let models = (0..models).map(model).collect();
    (base, models)
}

fn close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let bad = found.iter().zip(expected).position(|(found, expected)| !((f64::from(*found) - expected).abs() < 1e-5));
    assert_eq!(bad, None, "{:?}", bad.map(|at| (found[at], expected[at])));
}

#[test]
fn a_tensor_of_many_pieces_is_merged_as_a_whole_one() {
    // 300 rows of 2,999: four pieces.
    let (base, models) = few_values(1, 3, 300 * 2999);
    for method in [Method::Sce { select_topk: 0.3 }, Method::Ties { density: vec![0.1, 0.5, 0.9], normalize: true }] {
        let weights = [1.0, 0.5, 2.0];
        close(&merged(&method, &weights, 2999, &base, &models), &by_hand(&method, &weights, &base, &models));
    }
}

proptest! {
    #[test]
    fn every_merge_is_its_formula(
        seed in 0u64..1_000_000, rows in 1usize..9, cols in 1usize..9, share in 0.01f64..1.0, normalize: bool, models in 2usize..5,
    ) {
        let (base, tuned) = few_values(seed, models, rows * cols);
        let weights: Vec<f64> = (0..models).map(|at| [1.0, 0.5, -0.75, 2.0][at]).collect();
        for method in [Method::Sce { select_topk: share }, Method::Ties { density: vec![share; models], normalize }] {
            close(&merged(&method, &weights, cols, &base, &tuned), &by_hand(&method, &weights, &base, &tuned));
        }
    }
}

#[test]
fn the_variance_is_the_populations() {
    assert_eq!(variances(&[vec![1.0, 0.5, -1.0], vec![3.0, 0.5, 1.0]]), [1.0, 0.0, 1.0]);
    assert_eq!(variances(&[vec![0.0], vec![1.0], vec![2.0]]), [2.0 / 3.0]);
    assert_eq!(variances(&[vec![2.0]]), [0.0]);
}

#[test]
fn tiny_deltas_are_weighed_as_large_ones() {
    // By any absolute epsilon these would be nothing, and weigh the same.
    assert_eq!(sce_weights(&[3e-30, 1e-30]), [0.75, 0.25]);
    assert_eq!(sce_weights(&[0.0, 0.0]), [0.5, 0.5]);
    assert_eq!(sce_weights(&[0.0, 1e-300]), [0.0, 1.0]);
    let (_, models) = few_values(3, 3, 40);
    let base = vec![0.0; 40];
    let scaled: Vec<Vec<f32>> = models.iter().map(|model| model.iter().map(|value| value * 2f32.powi(-50)).collect()).collect();
    for method in [Method::Sce { select_topk: 0.5 }, Method::Ties { density: vec![0.5; 3], normalize: true }] {
        let large = merged(&method, &[1.0; 3], 8, &base, &models);
        let small = merged(&method, &[1.0; 3], 8, &base, &scaled);
        assert!(large.iter().any(|value| value.abs() > 0.1));
        assert_eq!(small.iter().map(|value| value * 2f32.powi(50)).collect::<Vec<_>>(), large);
    }
}

#[test]
fn a_model_that_moved_little_is_merged_where_the_others_did_not() {
    // Its weight is 1e-10, and alone at the last element: what it changed there is taken whole.
    let (base, models) = (vec![0.0; 4], [vec![1.0, -1.0, 1.0, 0.0], vec![0.0, 0.0, 0.0, 2e-5]]);
    let merged = merged(&Method::Sce { select_topk: 1.0 }, &[1.0; 2], 4, &base, &models);
    assert!(merged[..3] == [1.0, -1.0, 1.0] && (merged[3] / 2e-5 - 1.0).abs() < 1e-5, "{merged:?}");
}

#[test]
fn models_that_did_not_move_give_the_base_to_the_bit() {
    let (base, _) = few_values(4, 1, 64);
    let models = vec![base.clone(), base.clone()];
    for method in
        [Method::Sce { select_topk: 0.5 }, Method::Sce { select_topk: 1.0 }, Method::Ties { density: vec![0.5; 2], normalize: true }]
    {
        assert_eq!(merged(&method, &[1.0; 2], 8, &base, &models), base);
    }
}

#[test]
fn a_failure_leaves_nothing_and_names_the_expert() {
    let base = Checkpoint::open(golden("merge/moe/base")).unwrap();
    let mut values = BTreeMap::new();
    // Expert 2's third row of [12, 16].
    let mut gate = vec![0.5; 3 * 12 * 16];
    gate[(2 * 12 + 2) * 16 + 5] = f32::INFINITY;
    values.insert((Role::ExpertGate, 0), gate);
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let source = |weights| Source { name: "model".into(), weights, files: vec![] };
    let job = Merge {
        base: source(Weights::new(&base)),
        models: vec![source(Weights::new(&base).with_overrides(&values)), source(Weights::new(&base))],
        method: Method::Sce { select_topk: 0.5 },
        weights: vec![],
        dtype: Some(DType::BF16),
        out: &out,
        name: "test",
        card: Card::default(),
    };
    let error = merge(&job, |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("model.layers.0.mlp.experts.2.gate_proj.weight: row 2 holds a NaN or infinity"), "{error}");
    assert!(!out.exists());
}

#[test]
fn numbers_that_do_not_go_together_are_refused() {
    let ties = |density: &[f64]| Method::Ties { density: density.to_vec(), normalize: true };
    let linear = Method::Linear { normalize: true };
    let cases: [(Method, usize, &[f64], &str); 9] = [
        (Method::Sce { select_topk: 0.0 }, 2, &[], "select-topk is 0"),
        (Method::Sce { select_topk: f64::NAN }, 2, &[], "select-topk is NaN"),
        (Method::Sce { select_topk: 0.5 }, 1, &[], "name two models or more"),
        (Method::Sce { select_topk: 0.5 }, 0, &[], "no model"),
        (ties(&[0.5]), 2, &[1.0, 1.0], "1 densities for 2 models"),
        (ties(&[0.5, 1.5]), 2, &[1.0, 1.0], "shares from 0 to 1"),
        (linear.clone(), 2, &[1.0], "1 weights for 2 models"),
        (linear.clone(), 2, &[1.0, -1.0], "sum to 0"),
        (linear, 2, &[1.0, f64::INFINITY], "a weight is inf"),
    ];
    for (method, models, weights, words) in cases {
        let error = method.check(models, weights).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

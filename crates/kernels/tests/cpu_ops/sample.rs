//! Sampling against a reference that sorts.

use kernels::sample::{Drawn, SampleOutput, SampleParams, forward, uniform};
use kernels::{Device, KernelError};

use crate::helpers::{Rng, devices};

fn run(device: &Device, logits: &[Vec<f32>], params: &[SampleParams]) -> Result<Vec<Drawn>, KernelError> {
    let width = logits[0].len();
    let tensor = device.f32_tensor(&[logits.len(), width], &logits.concat()).unwrap();
    let mut out = SampleOutput::new(device, logits.len()).unwrap();
    forward(device, &tensor, params, &mut out)?;
    pollster::block_on(out.read(device, logits.len()))
}

/// Kept tokens and their shares, by sorting; log-probabilities and the entropy.
fn reference(logits: &[f32], params: &SampleParams) -> (Vec<(usize, f64)>, Vec<f64>, f64) {
    let tau = if params.temperature == 0.0 { 1.0 } else { f64::from(params.temperature) };
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight: Vec<f64> = logits.iter().map(|&z| ((f64::from(z) - f64::from(top)) / tau).exp()).collect();
    let total: f64 = weight.iter().sum();
    let logprobs: Vec<f64> = logits.iter().map(|&z| (f64::from(z) - f64::from(top)) / tau - total.ln()).collect();
    let entropy = -logprobs.iter().filter(|l| l.is_finite()).map(|l| l.exp() * l).sum::<f64>();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    if params.temperature == 0.0 {
        return (vec![(logits.iter().position(|&z| z == top).unwrap(), 1.0)], logprobs, entropy);
    }
    if params.top_k > 0 && (params.top_k as usize) < order.len() {
        let border = logits[order[params.top_k as usize - 1]];
        order.retain(|&i| logits[i] >= border);
    }
    if params.top_p < 1.0 {
        let target = f64::from(params.top_p) * order.iter().map(|&i| weight[i]).sum::<f64>();
        let (mut sum, mut border) = (0.0, f32::NEG_INFINITY);
        for &i in &order {
            sum += weight[i];
            if sum >= target {
                border = logits[i];
                break;
            }
        }
        order.retain(|&i| logits[i] >= border);
    }
    order.retain(|&i| weight[i] >= f64::from(params.min_p));
    order.sort_unstable();
    let total: f64 = order.iter().map(|&i| weight[i]).sum();
    (order.iter().map(|&i| (i, weight[i] / total)).collect(), logprobs, entropy)
}

/// Logits like a model's: most small, a few large, some equal, some masked.
fn model_like(rng: &mut Rng, width: usize) -> Vec<f32> {
    (0..width)
        .map(|_| match rng.below(20) {
            0 => 8.0,
            1 => rng.normal() * 4.0 + 6.0,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            4 => 0.0,
            _ => rng.normal() * 3.0,
        })
        .collect()
}

#[test]
fn greedy_takes_the_largest_and_the_lowest_id_among_equals() {
    for device in devices() {
        let mut rows = vec![vec![-1.0f32; 1000]; 4];
        (rows[0][999], rows[1][0]) = (2.0, 2.0);
        (rows[2][17], rows[2][500], rows[2][999]) = (3.0, 3.0, 3.0);
        rows[3] = (0..1000).map(|i| if i == 700 { -5.0 } else { f32::NEG_INFINITY }).collect();
        let out = run(&device, &rows, &[SampleParams::GREEDY; 4]).unwrap();
        assert_eq!(out.iter().map(|o| o.id).collect::<Vec<_>>(), [999, 0, 17, 700]);
        assert_eq!((out[3].logprob, out[3].entropy), (0.0, 0.0));
        // Greedy keeps the largest and its equals; of the last row's logits all others are -∞.
        assert_eq!(out.iter().map(|o| o.cut).collect::<Vec<_>>(), [0.5, 0.5, 1.0, f32::MIN]);
        let third = -(3f32.ln());
        assert!([0.0, 0.0, third, 0.0].iter().zip(&out).all(|(want, o)| (o.nucleus_logprob - want).abs() < 1e-6));
    }
}

#[test]
fn what_cannot_be_sampled_is_an_error_that_names_the_row() {
    for device in devices() {
        for (bad, params) in [
            (f32::NAN, SampleParams::GREEDY),
            (f32::NAN, SampleParams { temperature: 1.0, ..SampleParams::GREEDY }),
            (f32::INFINITY, SampleParams::GREEDY),
        ] {
            for place in [0, 5, 15, 16, 36] {
                let mut rows = vec![vec![1.0f32; 37]; 3];
                rows[1][place] = bad;
                let error = run(&device, &rows, &[params; 3]).unwrap_err();
                assert!(matches!(&error, KernelError::Value { message, .. } if message.contains("row 1")), "{error}");
            }
        }
        let error = run(&device, &[vec![f32::NEG_INFINITY; 9]], &[SampleParams::GREEDY]).unwrap_err();
        assert!(matches!(error, KernelError::Value { .. }));
        for bad in [
            SampleParams { temperature: -1.0, ..SampleParams::GREEDY },
            SampleParams { temperature: f32::NAN, ..SampleParams::GREEDY },
            SampleParams { top_p: 0.0, ..SampleParams::GREEDY },
            SampleParams { min_p: 1.5, ..SampleParams::GREEDY },
        ] {
            assert!(run(&device, &[vec![0.0; 9]], &[bad]).is_err());
        }
    }
}

/// The token drawn is the one that the sorted reference's cumulative sum gives for the same uniform number.
#[test]
fn agrees_with_the_sorting_reference() {
    let devices = devices();
    let mut rng = Rng(8);
    let (mut borderline, mut draws, mut other_sets) = (0, 0, 0);
    for case in 0..400u64 {
        let width = [1, 2, 17, 100, 1000, 5000][rng.below(6)];
        let mut logits = model_like(&mut rng, width);
        logits[width / 2] = 1.0; // never all masked
        let params = SampleParams {
            temperature: [0.0, 0.2, 0.7, 1.0, 1.5][rng.below(5)],
            top_k: [0, 1, 5, 20, 1_000_000][rng.below(5)],
            top_p: [1.0, 0.95, 0.5, 0.05][rng.below(4)],
            min_p: [0.0, 0.05, 0.5, 1.0][rng.below(4)],
            seed: case,
            counter: 7 * case,
        };
        let (kept, logprobs, entropy) = reference(&logits, &params);
        let first = run(&devices[0], std::slice::from_ref(&logits), &[params]).unwrap()[0];
        for device in &devices {
            assert_eq!(run(device, std::slice::from_ref(&logits), &[params]).unwrap()[0], first, "{}", device.describe());
        }
        let Drawn { id, logprob, entropy: got_entropy, cut, mass, nucleus_logprob } = first;
        let u = f64::from(uniform(params.seed, params.counter));
        let mut sum = 0.0;
        let expected = kept.iter().find(|(_, share)| {
            sum += share;
            sum > u
        });
        draws += 1;
        assert!(kept.iter().any(|k| k.0 == id as usize), "case {case} drew {id}, which is not kept: {params:?}");
        // A uniform number within rounding of a border between two tokens may fall to either.
        borderline += usize::from(expected.is_none_or(|e| e.0 != id as usize));
        let want = logprobs[id as usize];
        assert!((f64::from(logprob) - want).abs() <= 1e-5 * (1.0 + want.abs()), "case {case}: logprob {logprob}, {want} is wanted");
        assert!(
            (f64::from(got_entropy) - entropy).abs() <= 1e-5 * (1.0 + entropy),
            "case {case}: entropy {got_entropy}, {entropy} is wanted"
        );
        // The cut tells the kept from the others, and the larger side begins at the smallest kept or below it.
        let by_cut: Vec<usize> = (0..width).filter(|&v| logits[v] >= cut).collect();
        let finite = |id: &usize| logits[*id] > f32::NEG_INFINITY;
        let want_kept: Vec<usize> = kept.iter().map(|k| k.0).filter(finite).collect();
        if params.temperature > 0.0 && by_cut != want_kept {
            other_sets += 1;
            continue;
        }
        let smallest = by_cut.iter().map(|&v| logits[v]).fold(f32::INFINITY, f32::min);
        let dropped = logits.iter().copied().filter(|&z| z < cut).fold(f32::NEG_INFINITY, f32::max);
        assert!(if dropped.is_finite() { dropped < cut && cut <= smallest } else { cut == f32::MIN }, "case {case}: {cut}");
        let whole: f64 = by_cut.iter().map(|&v| logprobs[v].exp()).sum();
        assert!((f64::from(mass) - whole).abs() <= 1e-5, "case {case}: mass {mass}, {whole} is wanted");
        let want = want - whole.ln();
        assert!((f64::from(nucleus_logprob) - want).abs() <= 1e-5 * (1.0 + want.abs()), "case {case}: {nucleus_logprob}, {want} is wanted");
        if by_cut.len() == logits.iter().filter(|z| z.is_finite()).count() {
            assert_eq!((nucleus_logprob, mass), (logprob, 1.0), "case {case}: nothing was dropped");
        }
    }
    assert!(borderline * 100 <= draws, "{borderline} of {draws} differ");
    assert!(other_sets * 100 <= draws, "{other_sets} of {draws} kept sets differ");
}

#[test]
fn ties_at_the_borders_are_kept() {
    let device = &devices()[0];
    // Two share the second place: top-k 2 keeps three. Top-p 0.3 of five equals keeps all five.
    let logits = vec![1.0, 5.0, 3.0, 3.0, 2.0, f32::NEG_INFINITY];
    let equal = vec![-2.0, 4.0, 4.0, 4.0, 4.0, 4.0];
    let seen = |logits: &Vec<f32>, params: SampleParams| {
        let mut ids: Vec<u32> = (0..400)
            .map(|counter| run(device, std::slice::from_ref(logits), &[SampleParams { counter, ..params }]).unwrap()[0].id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let params = SampleParams { temperature: 3.0, seed: 9, ..SampleParams::GREEDY };
    assert_eq!(seen(&logits, SampleParams { top_k: 2, ..params }), [1, 2, 3]);
    assert_eq!(seen(&logits, SampleParams { top_k: 1, ..params }), [1]);
    assert_eq!(seen(&logits, params), [0, 1, 2, 3, 4]);
    assert_eq!(seen(&equal, SampleParams { top_p: 0.3, ..params }), [1, 2, 3, 4, 5]);
    assert_eq!(seen(&equal, SampleParams { min_p: 1.0, ..params }), [1, 2, 3, 4, 5]);
}

/// Pearson's statistic of 40 000 draws over a hundred tokens, far below what a wrong distribution gives.
#[test]
fn frequencies_are_the_probabilities() {
    let device = &devices()[0];
    let mut rng = Rng(21);
    let logits: Vec<f32> = (0..100).map(|_| rng.normal() * 1.5).collect();
    let draws = 40_000usize;
    for params in [
        SampleParams { temperature: 0.8, seed: 77, ..SampleParams::GREEDY },
        SampleParams { temperature: 1.0, top_k: 30, top_p: 0.9, min_p: 0.01, seed: 78, ..SampleParams::GREEDY },
    ] {
        let (kept, ..) = reference(&logits, &params);
        let mut counts = vec![0usize; 100];
        for block in 0..draws / 100 {
            let rows = vec![logits.clone(); 100];
            let params: Vec<_> = (0..100).map(|i| SampleParams { counter: (block * 100 + i) as u64, ..params }).collect();
            for drawn in run(device, &rows, &params).unwrap() {
                counts[drawn.id as usize] += 1;
            }
        }
        let statistic = |kept: &[(usize, f64)]| -> f64 {
            kept.iter().map(|&(id, share)| (counts[id] as f64 - share * draws as f64).powi(2) / (share * draws as f64)).sum()
        };
        assert_eq!(kept.iter().map(|k| counts[k.0]).sum::<usize>(), draws);
        // Mean = degrees of freedom, variance twice that: five deviations.
        let freedom = (kept.len() - 1) as f64;
        let limit = freedom + 5.0 * (2.0 * freedom).sqrt();
        assert!(statistic(&kept) < limit, "{} over {limit}", statistic(&kept));
        // The test has teeth: shares moved by a third between neighbours are refused.
        let mut wrong = kept.clone();
        for pair in wrong.chunks_exact_mut(2) {
            let moved = 0.33 * pair[0].1.min(pair[1].1);
            (pair[0].1, pair[1].1) = (pair[0].1 + moved, pair[1].1 - moved);
        }
        assert!(statistic(&wrong) > limit);
    }
}

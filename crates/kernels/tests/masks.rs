//! Sampling with masks, on both devices: among the allowed tokens as if there were no others, what is said of the full vocabulary
//! unchanged, and rows without a mask to the bit as before.

mod support;

use kernels::cpu::CpuDevice;
use kernels::sample::{self, Drawn, SampleOutput, SampleParams, mask_words};
use kernels::{Device, KernelError, Precision};
use support::{exact, next, random};

fn devices() -> Vec<Device> {
    let cpu = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
    std::iter::once(cpu).chain(exact()).collect()
}

fn run(device: &Device, logits: &[f32], params: &[SampleParams], masks: &[Option<&[u32]>]) -> Result<Vec<Drawn>, KernelError> {
    let width = logits.len() / params.len();
    let tensor = device.f32_tensor(&[params.len(), width], logits).unwrap();
    let mut out = SampleOutput::new(device, params.len() + 1).unwrap();
    sample::forward_masked(device, &tensor, params, masks, &mut out)?;
    pollster::block_on(out.read(device, params.len()))
}

/// A mask of random tokens, one at least.
fn mask(seed: u64, width: usize, share: u64) -> Vec<u32> {
    let mut state = seed;
    let mut mask = vec![0u32; mask_words(width)];
    for id in 0..width {
        if next(&mut state) % 100 < share {
            mask[id / 32] |= 1 << (id % 32);
        }
    }
    let always = next(&mut state) as usize % width;
    mask[always / 32] |= 1 << (always % 32);
    // Bits past the vocabulary mean nothing.
    if width % 32 > 0 {
        *mask.last_mut().unwrap() |= u32::MAX << (width % 32);
    }
    mask
}

fn is_allowed(mask: &[u32], id: usize) -> bool {
    mask[id / 32] >> (id % 32) & 1 == 1
}

/// Kept tokens with their share of the kept, by sorting what is allowed.
fn kept(logits: &[f32], mask: &[u32], p: &SampleParams) -> Vec<(usize, f64)> {
    let mut ids: Vec<usize> = (0..logits.len()).filter(|&id| is_allowed(mask, id)).collect();
    let top = ids.iter().map(|&id| logits[id]).fold(f32::NEG_INFINITY, f32::max);
    let tau = if p.temperature == 0.0 { 1.0 } else { f64::from(p.temperature) };
    let e = |id: usize| ((f64::from(logits[id]) - f64::from(top)) / tau).exp();
    ids.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    if p.temperature == 0.0 {
        ids.retain(|&id| logits[id] == top);
    } else {
        if p.top_k > 0 && (p.top_k as usize) < ids.len() {
            let border = logits[ids[p.top_k as usize - 1]];
            ids.retain(|&id| logits[id] >= border);
        }
        if p.top_p < 1.0 {
            let total: f64 = ids.iter().map(|&id| e(id)).sum();
            let mut sum = 0.0;
            let last = ids.iter().position(|&id| {
                sum += e(id);
                sum >= f64::from(p.top_p) * total
            });
            let border = logits[ids[last.unwrap()]];
            ids.retain(|&id| logits[id] >= border);
        }
        ids.retain(|&id| e(id) >= f64::from(p.min_p));
    }
    ids.sort_unstable();
    let total: f64 = ids.iter().map(|&id| e(id)).sum();
    ids.into_iter().map(|id| (id, e(id) / total)).collect()
}

fn near(name: &str, got: f32, want: f64) {
    assert!((f64::from(got) - want).abs() <= 2e-5 * (1.0 + want.abs()), "{name}: {got}, {want} is wanted");
}

const KINDS: [(f32, u32, f32, f32); 7] = [
    (1.0, 0, 1.0, 0.0),
    (0.7, 5, 1.0, 0.0),
    (1.3, 0, 0.8, 0.0),
    (1.0, 0, 1.0, 0.2),
    (0.6, 20, 0.95, 0.05),
    (2.0, 1, 0.5, 0.0),
    (0.0, 0, 1.0, 0.0),
];

fn params(count: usize) -> Vec<SampleParams> {
    (0..count)
        .map(|i| {
            let (temperature, top_k, top_p, min_p) = KINDS[i % KINDS.len()];
            SampleParams { temperature, top_k, top_p, min_p, seed: 17, counter: i as u64 }
        })
        .collect()
}

#[test]
fn masked_draws_are_from_the_allowed_alone() {
    let rows = 28;
    for device in devices() {
        for width in [1, 7, 31, 32, 65, 257, 2_000] {
            let params = params(rows);
            // Coarse steps make ties; every second row's allowed tokens lie so far below the others that their share of all vanishes.
            let mut logits: Vec<f32> = random(3, rows * width).iter().map(|x| (x * 24.0).round() / 4.0 + 50.0).collect();
            let masks: Vec<Vec<u32>> = (0..rows).map(|row| mask(row as u64, width, [2, 20, 70][row % 3])).collect();
            for row in (1..rows).step_by(2) {
                for id in (0..width).filter(|&id| is_allowed(&masks[row], id)) {
                    logits[row * width + id] -= 300.0;
                }
            }
            let given: Vec<Option<&[u32]>> = masks.iter().map(|mask| Some(mask.as_slice())).collect();
            let drawn = run(&device, &logits, &params, &given).unwrap();
            for (row, drawn) in drawn.iter().enumerate() {
                let at = format!("{}, V {width}, row {row}", device.describe());
                let (logits, mask, p) = (&logits[row * width..][..width], &masks[row], &params[row]);
                let want = kept(logits, mask, p);
                let id = drawn.id as usize;
                let before: f64 = want.iter().take_while(|entry| entry.0 != id).map(|entry| entry.1).sum();
                let share = want.iter().find(|entry| entry.0 == id).unwrap_or_else(|| panic!("{at}: {id} is not kept by {p:?}")).1;
                let draw = if p.temperature == 0.0 { 0.0 } else { f64::from(sample::uniform(p.seed, p.counter)) };
                assert!(before - 1e-5 <= draw && draw <= before + share + 1e-5, "{at}: {id} covers {before} + {share}, not {draw}");
                let by_cut: Vec<usize> = (0..width).filter(|&id| is_allowed(mask, id) && logits[id] >= drawn.cut).collect();
                assert_eq!(by_cut, want.iter().map(|entry| entry.0).collect::<Vec<_>>(), "{at}: cut {}", drawn.cut);
                // Of the full vocabulary, in f64.
                let tau = if p.temperature == 0.0 { 1.0 } else { f64::from(p.temperature) };
                let z: Vec<f64> = logits.iter().map(|&z| f64::from(z) / tau).collect();
                let top = z.iter().copied().fold(f64::MIN, f64::max);
                let lse = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
                near(&format!("{at}: logprob"), drawn.logprob, z[id] - lse);
                near(&format!("{at}: entropy"), drawn.entropy, -z.iter().map(|z| (z - lse).exp() * (z - lse)).sum::<f64>());
                near(&format!("{at}: mass"), drawn.mass, want.iter().map(|entry| (z[entry.0] - lse).exp()).sum::<f64>());
                near(&format!("{at}: logprob of the kept"), drawn.nucleus_logprob, share.ln());
            }
        }
    }
}

#[test]
fn rows_without_a_mask_have_their_bits_beside_rows_with_one() {
    let (rows, width) = (21, 700);
    let logits: Vec<f32> = random(4, rows * width).iter().map(|x| x * 9.0).collect();
    let params = params(rows);
    let masks: Vec<Vec<u32>> = (0..rows).map(|row| mask(50 + row as u64, width, 10)).collect();
    let words = |drawn: &[Drawn]| drawn.iter().map(Drawn::words).collect::<Vec<_>>();
    for device in devices() {
        let tensor = device.f32_tensor(&[rows, width], &logits).unwrap();
        let mut out = SampleOutput::new(&device, rows).unwrap();
        sample::forward(&device, &tensor, &params, &mut out).unwrap();
        let alone = words(&pollster::block_on(out.read(&device, rows)).unwrap());
        let given: Vec<Option<&[u32]>> = masks.iter().enumerate().map(|(row, mask)| (row % 3 == 1).then_some(mask.as_slice())).collect();
        let mixed = words(&run(&device, &logits, &params, &given).unwrap());
        let all: Vec<Option<&[u32]>> = masks.iter().map(|mask| Some(mask.as_slice())).collect();
        let masked = words(&run(&device, &logits, &params, &all).unwrap());
        for row in 0..rows {
            assert_eq!(mixed[row], if row % 3 == 1 { masked[row] } else { alone[row] }, "{}, row {row}", device.describe());
            // The log-probability of the same id over the full vocabulary is the same, masked or not.
            assert_eq!(masked[row][2], alone[row][2], "{}, row {row}: the entropy is of the full vocabulary", device.describe());
        }
        assert!((0..rows).filter(|&row| masked[row][0] != alone[row][0]).count() > rows / 3);
        // A mask of all tokens draws what no mask draws.
        let whole = vec![u32::MAX; mask_words(width)];
        let drawn = words(&run(&device, &logits, &params, &vec![Some(whole.as_slice()); rows]).unwrap());
        for row in 0..rows {
            assert_eq!(drawn[row][..4], alone[row][..4], "{}, row {row}: id, logprob, entropy, cut", device.describe());
        }
    }
}

/// Both devices draw the same tokens but for draws on the border between two.
#[test]
fn the_devices_agree() {
    let devices = devices();
    let [cpu, gpu] = devices.as_slice() else { return };
    let (rows, width) = (42, 1_000);
    let logits: Vec<f32> = random(9, rows * width).iter().map(|x| x * 12.0).collect();
    let masks: Vec<Vec<u32>> = (0..rows).map(|row| mask(90 + row as u64, width, [1, 15, 60][row % 3])).collect();
    let given: Vec<Option<&[u32]>> = masks.iter().map(|mask| Some(mask.as_slice())).collect();
    let (one, other) = (run(cpu, &logits, &params(rows), &given).unwrap(), run(gpu, &logits, &params(rows), &given).unwrap());
    let same = one.iter().zip(&other).filter(|(a, b)| a.id == b.id).count();
    assert!(same + 1 >= rows, "{same} of {rows} ids are the same");
    for (a, b) in one.iter().zip(&other).filter(|(a, b)| a.id == b.id) {
        for (name, a, b) in [
            ("logprob", a.logprob, b.logprob),
            ("entropy", a.entropy, b.entropy),
            ("mass", a.mass, b.mass),
            ("kept", a.nucleus_logprob, b.nucleus_logprob),
        ] {
            near(name, b, f64::from(a));
        }
    }
}

#[test]
fn masks_that_cannot_be_are_errors_on_both_devices() {
    let width = 70;
    for device in devices() {
        let mut logits: Vec<f32> = random(2, 2 * width);
        let error = |logits: &[f32], mask: &[u32]| run(&device, logits, &params(2), &[None, Some(mask)]).unwrap_err().to_string();
        assert!(error(&logits, &[1, 1]).contains("has 2 words"));
        assert!(error(&logits, &[0, 0, 0]).contains("row 1: its mask allows no token"));
        // Only bits past the vocabulary.
        assert!(error(&logits, &[0, 0, u32::MAX << 6]).contains("row 1: its mask allows no token"));
        let one = [0, 0, 1 << 5];
        assert_eq!(run(&device, &logits, &params(2), &[None, Some(&one)]).unwrap()[1].id, 69);
        // All that is allowed is -∞, or another token's logit is no number.
        logits[width + 69] = f32::NEG_INFINITY;
        assert!(error(&logits, &one).contains("row 1"));
        logits[width + 69] = 1.0;
        logits[width + 3] = f32::NAN;
        assert!(error(&logits, &one).contains("row 1"));
        assert!(
            sample::forward_masked(
                &device,
                &device.zeros(&[1, 8], kernels::DType::F32).unwrap(),
                &params(1),
                &[],
                &mut SampleOutput::new(&device, 1).unwrap()
            )
            .is_err()
        );
    }
}

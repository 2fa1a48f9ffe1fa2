//! Which negative gradients are left out: against numpy (rl/make_goldens.py), and the controls.

use train::rl::clip::{Amount, Clip, Threshold, Unit, Which};
use train::rl::loss::spread;

mod rl;

use rl::{goldens, list, near, numbers};

#[test]
fn clips_are_numpys() {
    let goldens = goldens();
    for batch in list(&goldens["clips"]) {
        let advantages = numbers(&batch["advantages"]);
        let entropies: Vec<Vec<f32>> =
            list(&batch["entropies"]).iter().map(|tokens| numbers(tokens).into_iter().map(|h| h as f32).collect()).collect();
        let entropies: Vec<&[f32]> = entropies.iter().map(Vec::as_slice).collect();
        let q = batch["quantile"].as_f64().unwrap();
        for case in list(&batch["cases"]) {
            let unit = if case["unit"] == "token" { Unit::Token } else { Unit::Sequence };
            let which = |threshold| if case["side"] == "high" { Which::High(threshold) } else { Which::Low(threshold) };
            let out = Clip { unit, which: which(Threshold::Quantile(q)) }.keep(&advantages, &entropies, 0, 0);
            let want: Vec<Vec<bool>> =
                list(&case["keep"]).iter().map(|row| list(row).iter().map(|keep| keep.as_bool().unwrap()).collect()).collect();
            assert_eq!(out.keep, want, "{q} {}", case["unit"]);
            near(&[out.threshold.unwrap()], &[case["threshold"].as_f64().unwrap()]).unwrap();
            // The same by its value.
            let by_value = Clip { unit, which: which(Threshold::Value(out.threshold.unwrap())) }.keep(&advantages, &entropies, 0, 0);
            assert_eq!(by_value, out);
            assert!(out.clipped <= out.negatives);
        }
    }
}

#[test]
fn controls_leave_out_as_many_as_asked() {
    let (advantages, tokens) = ([-1.0, 0.0, 1.0, -2.0, -0.5], [0.5f32; 10]);
    let entropies: [&[f32]; 5] = [&tokens, &tokens[..3], &tokens, &tokens[..7], &[]];
    let run = |unit, which, seed, step| Clip { unit, which }.keep(&advantages, &entropies, seed, step);
    let all = run(Unit::Token, Which::All, 0, 0);
    assert_eq!((all.negatives, all.clipped, all.threshold), (17, 17, None));
    assert_eq!(all.keep, [vec![false; 10], vec![true; 3], vec![true; 10], vec![false; 7], vec![]]);
    assert_eq!(run(Unit::Sequence, Which::All, 0, 0).keep, all.keep);
    for (amount, want) in
        [(Amount::Share(0.0), 0), (Amount::Share(0.5), 9), (Amount::Share(1.0), 17), (Amount::Count(4), 4), (Amount::Count(99), 17)]
    {
        let out = run(Unit::Token, Which::Random(amount), 7, 3);
        let left_out = out.keep.iter().flatten().filter(|keep| !**keep).count();
        assert_eq!((out.clipped, left_out), (want, want), "{amount:?}");
        assert_eq!(out, run(Unit::Token, Which::Random(amount), 7, 3));
    }
    let half = Which::Random(Amount::Share(0.5));
    assert_ne!(run(Unit::Token, half, 7, 3), run(Unit::Token, half, 7, 4));
    assert_ne!(run(Unit::Token, half, 7, 3), run(Unit::Token, half, 8, 3));
    assert_eq!(run(Unit::Sequence, half, 7, 3).clipped, 1);
    // Each token as often as any other: 1000 draws of 9 in 17, of which the deviation is 16.
    let mut counts = [0; 10];
    for step in 0..1000 {
        run(Unit::Token, half, 1, step).keep[0].iter().zip(&mut counts).for_each(|(keep, count)| *count += usize::from(!keep));
    }
    assert!(counts.iter().all(|count| (450..610).contains(count)), "{counts:?}");
    // No negative: nothing to take a quantile of.
    let none = Clip { unit: Unit::Token, which: Which::High(Threshold::Quantile(0.5)) }.keep(&[1.0], &[&tokens], 0, 0);
    assert_eq!((none.threshold, none.clipped, &none.keep[0][..]), (None, 0, &[true; 10][..]));
    assert_eq!(spread(0.5, &[true, false]), [0.5, 0.0]);
}

//! Tries the ablation's sizes: `cargo run --example ablate -- WARMUP LR STEPS RL_LR ARM [SEED]`
use train::rl::ablation::{Lessons, Scope, arms, base, run};
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let n = |i: usize, d: f64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(d);
    let scope = Scope {
        warmup: n(0, 300.0) as u64,
        warmup_lr: n(1, 3e-3) as f32,
        steps: n(2, 20.0) as u64,
        lr: n(3, 1e-3) as f32,
        ..Scope::default()
    };
    let seed = n(5, 0.0) as u64;
    let l = Lessons::training(seed, 200);
    println!("vocab {} longest {} params {}", l.vocab(), l.longest(), train::rl::ablation::model(l.vocab()).parameters());
    let t = std::time::Instant::now();
    let file = std::path::Path::new("/tmp/base.safetensors");
    let told = |s: u64, l: f64| {
        if s % 50 == 0 {
            println!("  {s} loss {l:.3} {:.1}s", t.elapsed().as_secs_f32())
        }
    };
    let fresh = || pollster::block_on(base(&scope, seed, told)).unwrap();
    let b = train::rl::ablation::load(file).filter(|_| args.get(6).is_some()).unwrap_or_else(fresh);
    train::rl::ablation::save(&b, file).unwrap();
    let show = |v: &data::RlValidation| {
        println!(
            "  held at {}: {:.3} ± {:.3} {:?}",
            v.step,
            v.reward,
            v.margin,
            v.tasks.iter().map(|t| format!("{} {:.2}", t.task, t.reward)).collect::<Vec<_>>()
        )
    };
    for arm in arms(&scope, None, 0.3) {
        if !(args.get(4).is_some_and(|a| arm.name.contains(a.as_str())) || arm.name == "base") {
            continue;
        }
        println!("{} {:.1}s", arm.name, t.elapsed().as_secs_f32());
        let r = pollster::block_on(run(&scope, &arm, &b, seed, |s| {
            println!(
                "   {} r {:.3} H {:.3} {:?} mask {} neg {}/{} zv {}/{} len {:.1} g {:.2} roll {:.2} upd {:.2} {:?}",
                s.step,
                s.reward,
                s.entropy,
                s.thresholds,
                s.masking,
                s.masked,
                s.negatives,
                s.zero_variance,
                s.groups,
                s.completion_tokens as f32 / s.rollouts as f32,
                s.grad_norm,
                s.rollout_seconds,
                s.update_seconds,
                s.skipped
            )
        }))
        .unwrap();
        r.held.iter().for_each(show);
        println!("  {:.1}s", r.seconds);
    }
}

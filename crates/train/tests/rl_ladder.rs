//! The ladder's short rungs pass, faults of the rewards fail them, and a seed is a run.

use kernels::cpu::CpuDevice;
use kernels::{Device, Precision};
use train::rl::environment::Environment;
use train::rl::ladder::tasks::Needle;
use train::rl::ladder::toys::{Dice, Task, Toy};
use train::rl::ladder::{Arm, Run, Rung, climb, qwen3, rungs};
use train::rl::rollout::{Prompt, Rollout};

fn device() -> Device {
    Device::Cpu(CpuDevice::with_threads(Precision::Exact, 1))
}

fn rung(name: &str) -> Rung {
    rungs().into_iter().find(|rung| rung.name == name).unwrap()
}

/// One run with rewards as `wrap` has them, and whether it is over the bar.
fn run<E: Environment>(rung: &Rung, seed: u64, wrap: impl FnOnce(Toy) -> E) -> (Run, bool) {
    let run = pollster::block_on(climb(&rung.arms[0], seed, device(), wrap, |_| ())).unwrap();
    let verdict = (rung.judge)(std::slice::from_ref(&run));
    println!("{} seed {seed}: {:.3} to {:.3}, {:.1} s, {}", rung.name, verdict.start, verdict.end, run.seconds, run.sha256);
    (run, verdict.pass)
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Every reward has the other sign: so has every advantage.
    Negated,
    /// Each rollout has another one's reward.
    Shuffled,
}

/// A task with rewards gone wrong.
struct Wrong {
    toy: Toy,
    fault: Fault,
    dice: Dice,
}

impl Environment for Wrong {
    fn tasks(&self) -> Vec<(String, usize)> {
        self.toy.tasks()
    }
    fn prompt(&self, task: usize, item: usize) -> Prompt {
        self.toy.prompt(task, item)
    }
    async fn score(&mut self, prompts: &[Prompt], rollouts: &[&Rollout]) -> Vec<Result<f64, String>> {
        let scores = self.toy.score(prompts, rollouts).await;
        match self.fault {
            Fault::Negated => scores.into_iter().map(|score| score.map(|reward| -reward)).collect(),
            Fault::Shuffled => self.dice.shuffled(scores.len() as u32).into_iter().map(|at| scores[at as usize].clone()).collect(),
        }
    }
    fn text(&self, ids: &[u32]) -> String {
        self.toy.text(ids)
    }
}

fn faults_fail(rung: &Rung) {
    for fault in [Fault::Negated, Fault::Shuffled] {
        assert!(!run(rung, 0, |toy| Wrong { toy, fault, dice: Dice::new(0, 9) }).1, "{}: {fault:?} passes", rung.name);
    }
}

/// `arm` with fewer steps.
fn shorter(mut rung: Rung, change: impl Fn(&mut Arm)) -> Rung {
    rung.arms.iter_mut().for_each(change);
    rung
}

#[test]
fn bandit_passes_and_a_seed_is_a_run() {
    let rung = rung("bandit");
    let (first, pass) = run(&rung, 0, |toy| toy);
    assert!(pass);
    assert!((first.rewards[0] - 0.0625).abs() < 0.1, "it begins uniform: {}", first.rewards[0]);
    assert_eq!(first.mismatch, (0.0, 0.0));
    let again = run(&rung, 0, |toy| toy).0;
    assert_eq!((&again.sha256, &again.rewards), (&first.sha256, &first.rewards));
    assert_ne!(run(&rung, 1, |toy| toy).0.sha256, first.sha256);
    faults_fail(&rung);
}

#[test]
fn digits_are_learnt_from_nothing() {
    let mut rung = shorter(rung("digits"), |arm| (arm.steps, arm.every, arm.prompts, arm.lr) = (70, 70, 32, 2e-3));
    // A bar for a third of the work.
    rung.judge = |runs| train::rl::ladder::held_out(runs, 0.35);
    assert!(run(&rung, 0, |toy| toy).1);
    faults_fail(&rung);
}

#[test]
fn a_mixture_is_trained_on_what_it_sampled() {
    let mut rung = shorter(rung("moe"), |arm| (arm.steps, arm.every, arm.prompts, arm.lr) = (50, 50, 32, 3e-3));
    rung.judge = |runs| train::rl::ladder::held_out(runs, 0.25);
    let (run_, pass) = run(&rung, 0, |toy| toy);
    assert_eq!(run_.mismatch, (0.0, 0.0));
    assert!(pass);
    faults_fail(&rung);
}

#[test]
fn two_pairs_are_looked_up_from_nothing() {
    let mut rung = shorter(rung("needle"), |arm| {
        arm.tasks = || vec![Box::new(Needle { pairs: 2, values: 8, lesson: 0 })];
        (arm.model, arm.warmup) = (qwen3(12, 32, 2, 16), None);
        (arm.steps, arm.every, arm.prompts, arm.lr) = (70, 70, 32, 2e-3);
    });
    // Naming one of the two values whatever the key gives a half.
    rung.judge = |runs| train::rl::ladder::held_out(runs, 0.55);
    assert!(run(&rung, 0, |toy| toy).1);
    faults_fail(&rung);
}

/// A third of the rung. The same thresholds without masking are the other arm.
#[test]
fn masking_negatives_holds_entropy_where_a_nucleus_leaks() {
    let rung = shorter(rung("entropy-trap"), |arm| (arm.steps, arm.every, arm.prompts) = (50, 50, 8));
    let outcome = pollster::block_on(rung.run(1, device, |_, _| ())).unwrap();
    let entropy = |arm: usize| outcome.runs[arm].entropies[30..].iter().sum::<f32>() / 20.0;
    println!("{:?}, entropy {:.3} and {:.3}", outcome.verdict, entropy(0), entropy(1));
    assert!(outcome.runs[0].masked.iter().any(|masked| *masked) && !outcome.runs[1].masked.iter().any(|masked| *masked));
    assert!(entropy(1) > 1.5 * entropy(0), "{:.3} with masks and {:.3} without", entropy(0), entropy(1));
    assert!(outcome.verdict.end > outcome.runs[1].held_out().1);
}

/// A lesson shows pairs of its prompt, far fewer than there are, and wants of each key what stands before it.
#[test]
fn needle_lessons_ask_for_what_they_show() {
    let task = Needle { pairs: 64, values: 32, lesson: 16 };
    let mut dice = Dice::new(3, 4);
    let (mut most, mut wanted) = (0, 0);
    for _ in 0..200 {
        let prompt = task.prompt(&mut dice);
        let (ids, mask) = task.lesson(&prompt, &mut dice);
        assert_eq!(ids.len(), mask.len());
        let value = |key: u32| prompt[..128].chunks(2).find(|pair| pair[1] == key).unwrap()[0];
        for at in (0..ids.len()).filter(|&at| mask[at]) {
            let key = ids[at - 1];
            assert_eq!(ids[at], value(key), "{ids:?} at {at}");
            assert!(ids[..at - 1].windows(2).any(|pair| pair == [ids[at], key]) || ids[at - 2] == ids[at], "{ids:?} at {at}");
            wanted += 1;
        }
        most = most.max(mask.iter().position(|&target| target).unwrap().saturating_sub(2) / 2);
    }
    assert_eq!(most, 16);
    assert!(wanted > 1000, "{wanted}");
    let prompt = task.prompt(&mut dice);
    assert_eq!(prompt.len(), 130);
    assert_eq!(task.answer(&prompt).len(), 1);
}

#[test]
fn held_out_prompts_are_others() {
    for rung in rungs().iter().filter(|rung| rung.name != "bandit") {
        for arm in &rung.arms {
            let training = Toy::training((arm.tasks)(), arm.items.0);
            let held = Toy::held_out((arm.tasks)(), arm.items.1);
            let known: std::collections::HashSet<&[u32]> = training.prompts().collect();
            assert!(held.prompts().count() >= 30 && known.len() >= 60, "{}: {} and {}", rung.name, known.len(), held.prompts().count());
            assert!(held.prompts().all(|prompt| !known.contains(prompt)), "{}", rung.name);
        }
    }
}

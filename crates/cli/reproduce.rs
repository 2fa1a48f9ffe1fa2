//! `longhand reproduce`: experiments of EXPERIMENTS.md, each by one command.

mod ablation;
mod all;
pub mod length;
mod stages;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use kernels::cpu::CpuDevice;
use kernels::{Device, Precision};
use serde_json::json;
use train::rl::ladder::{self, Arm, Outcome, Progress, Rung, page};
use train::run::view::duration;

/// Runs an experiment again. What it found before stands in EXPERIMENTS.md.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  longhand reproduce ladder\n  longhand reproduce ladder --rung bandit --rung digits --seeds 1")]
pub struct ReproduceArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Toy tasks of reinforcement learning on tiny models made from seeds, each against its bar.
    Ladder(LadderArgs),
    /// The paper's ablation: variants of the recipe on the small world, from one base, paired by seed.
    Ablation(ablation::AblationArgs),
    /// Accuracy by the length of the document, 2K to 4M tokens: readers with notes, truncation, keyword search.
    Length(length::LengthArgs),
    /// The recipe's stages at a small scale, their table beside the paper's.
    Stages(stages::StagesArgs),
    /// All of these, and one page that leads to them.
    All(all::AllArgs),
}

/// Exit code 1 when a rung is not passed on every seed.
#[derive(clap::Args)]
struct LadderArgs {
    /// Only this rung; may be given several times. Without it: all.
    #[arg(long, value_name = "NAME")]
    rung: Vec<String>,
    /// Seeds 0 to N - 1.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u64,
    /// Only this seed; may be given several times.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Vec<u64>,
    /// Runs at once, each with one thread (a tiny model gains nothing from more). Without it: as many as there are cores.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Where ladder.html and ladder.jsonl go.
    #[arg(long, value_name = "DIR", default_value = "longhand-runs/ladder")]
    out: PathBuf,
    /// Print outcomes as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &ReproduceArgs) -> Result<()> {
    match &args.what {
        What::Ladder(args) => ladder(args),
        What::Ablation(args) => ablation::run(args),
        What::Length(args) => length::run(args),
        What::Stages(args) => stages::run(args),
        What::All(args) => all::run(args),
    }
}

fn device() -> Device {
    Device::Cpu(CpuDevice::with_threads(Precision::Exact, 1))
}

fn ladder(args: &LadderArgs) -> Result<()> {
    let rungs = chosen(&args.rung)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores);
    ensure!(args.seeds > 0 && jobs > 0, "--seeds and --jobs must be at least 1");
    let seeds: Vec<u64> = if args.seed.is_empty() { (0..args.seeds).collect() } else { args.seed.clone() };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot write to {}", args.out.display()))?;
    let work: f64 = rungs.iter().map(Rung::seconds).sum::<f64>() * seeds.len() as f64;
    let names: Vec<&str> = rungs.iter().map(|rung| rung.name).collect();
    let estimate = work * pollster::block_on(ladder::pace(device()))? / jobs.min(cores) as f64;
    eprintln!("{} on {} seeds, {jobs} runs at once: about {}", names.join(", "), seeds.len(), duration(estimate));

    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} {elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new((rungs.len() * seeds.len()) as u64).with_style(style);
    let begun = Instant::now();
    let outcomes = climb_all(&rungs, &seeds, jobs, &bar, args.json)?;
    bar.finish_and_clear();
    let mut by_rung: Vec<(&Rung, Vec<Outcome>)> = rungs.iter().map(|rung| (rung, vec![])).collect();
    outcomes.into_iter().for_each(|(rung, outcome)| by_rung[rung].1.push(outcome));
    by_rung.iter_mut().for_each(|(_, outcomes)| outcomes.sort_by_key(|outcome| outcome.seed));

    let lines = by_rung.iter().flat_map(|(rung, outcomes)| outcomes.iter().map(|outcome| page::json(rung, outcome).to_string() + "\n"));
    std::fs::write(args.out.join("ladder.jsonl"), lines.collect::<String>())?;
    let html = args.out.join("ladder.html");
    std::fs::write(&html, page::html(&by_rung))?;
    let passed = by_rung.iter().all(|(_, outcomes)| outcomes.iter().all(|outcome| outcome.verdict.pass));
    if args.json {
        println!("{}", json!({"pass": passed, "seconds": begun.elapsed().as_secs_f64(), "page": html}));
    } else {
        print!("\n{}", page::table(&by_rung));
        println!(
            "{} in {}; curves: {}",
            if passed { "all passed" } else { "NOT all passed" },
            duration(begun.elapsed().as_secs_f64()),
            html.display()
        );
    }
    if !passed {
        std::process::exit(1);
    }
    Ok(())
}

/// The rungs that were named, lowest first; all when none was.
fn chosen(names: &[String]) -> Result<Vec<Rung>> {
    let all = ladder::rungs();
    for name in names {
        let known: Vec<&str> = all.iter().map(|rung| rung.name).collect();
        ensure!(known.contains(&&name[..]), "`{name}` is not a rung: {}", known.join(", "));
    }
    Ok(all.into_iter().filter(|rung| names.is_empty() || names.iter().any(|name| name == rung.name)).collect())
}

/// Every rung on every seed, `jobs` at once: (rung's number, outcome) as they end.
fn climb_all(rungs: &[Rung], seeds: &[u64], jobs: usize, bar: &ProgressBar, json: bool) -> Result<Vec<(usize, Outcome)>> {
    let queue: Mutex<VecDeque<(usize, u64)>> =
        Mutex::new((0..rungs.len()).flat_map(|rung| seeds.iter().map(move |&seed| (rung, seed))).collect());
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || {
                // A worker that panicked has not broken the queue.
                while let Some((rung, seed)) = queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front() {
                    let see = |arm: &Arm, progress| say(bar, rungs[rung].name, seed, arm, progress);
                    let outcome = pollster::block_on(rungs[rung].run(seed, device, see));
                    if sender.send((rung, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut outcomes = vec![];
        for (rung, outcome) in results {
            let outcome = outcome.with_context(|| format!("rung {}", rungs[rung].name)).inspect_err(|_| {
                // The others end after their runs.
                queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
            })?;
            bar.inc(1);
            bar.suspend(|| match json {
                true => println!("{}", page::json(&rungs[rung], &outcome)),
                false => println!("{}", line(&rungs[rung], &outcome)),
            });
            outcomes.push((rung, outcome));
        }
        Ok(outcomes)
    })
}

fn say(bar: &ProgressBar, rung: &str, seed: u64, arm: &Arm, progress: Progress) {
    let arm = if arm.name == rung { String::new() } else { format!(" ({})", arm.name) };
    match progress {
        Progress::Warmup(step, reward, _) => bar.set_message(format!("{rung}{arm} seed {seed}: warm-up step {step}, held-out {reward:.3}")),
        Progress::Step(step, reward, entropy) => {
            bar.set_message(format!("{rung}{arm} seed {seed}: step {step}, reward {reward:.3}, entropy {entropy:.3}"))
        }
        Progress::Held(..) => {}
    }
}

/// A seed's outcome in a line for each run: start and end, verdict, seconds, curve, hash.
fn line(rung: &Rung, outcome: &Outcome) -> String {
    let verdict = &outcome.verdict;
    let pass = if verdict.pass { "pass" } else { "FAIL" };
    let mut text = format!("{:<13} seed {}  {:.3} → {:.3}  {pass}  {}", rung.name, outcome.seed, verdict.start, verdict.end, verdict.said);
    for run in &outcome.runs {
        let curve = page::sparkline(&run.rewards, 40, run.rewards.iter().copied().fold(0.01, f32::max));
        text += &format!("\n    {:<10} {curve:<40} {:>6.1} s  {}", run.arm, run.seconds, &run.sha256[..16]);
    }
    text
}

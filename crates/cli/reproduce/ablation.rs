//! `longhand reproduce ablation`: the paper's ablation on the small world.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use train::rl::ablation::page::html;
use train::rl::ablation::summary::{by_task, table};
use train::rl::ablation::{Arm, Base, Ran, Scope, arms, base, load, run as train, save};
use train::rl::aepo::Thresholds;
use train::run::view::duration;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  longhand reproduce ablation\n  longhand reproduce ablation --from-logs --out longhand-runs/ablation")]
pub struct AblationArgs {
    /// Seeds 0 to N - 1: of prompts, rollouts and held-out items. The base is one.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u64,
    /// Updates of each variant.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Prompts of an update, of eight rollouts each.
    #[arg(long, value_name = "N")]
    prompts: Option<usize>,
    /// Only these variants, by their names in the table, as in --only "GRPO,+ task std,AEPO".
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Learning rate of the updates.
    #[arg(long, value_name = "X")]
    lr: Option<f32>,
    /// Supervised steps of a base.
    #[arg(long, value_name = "N")]
    warmup: Option<u64>,
    /// AEPO's thresholds, nats; they follow from the first ten steps unless both are given.
    #[arg(long, value_name = "NATS", requires = "high")]
    low: Option<f64>,
    /// The upper one.
    #[arg(long, value_name = "NATS", requires = "low")]
    high: Option<f64>,
    /// Seeds at once, each with one thread.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Where runs.jsonl is kept; what is there is not run again.
    #[arg(long, value_name = "DIR", default_value = "longhand-runs/ablation")]
    out: PathBuf,
    /// Run nothing; only write the tables of what is there.
    #[arg(long)]
    from_logs: bool,
}

/// Runs it.
pub fn run(args: &AblationArgs) -> Result<()> {
    let usual = Scope::default();
    let scope = Scope {
        steps: args.steps.unwrap_or(usual.steps),
        prompts: args.prompts.unwrap_or(usual.prompts),
        lr: args.lr.unwrap_or(usual.lr),
        warmup: args.warmup.unwrap_or(usual.warmup),
        ..usual
    };
    let thresholds = args.low.zip(args.high).map(|(low, high)| Thresholds { low, high }).or(scope.thresholds);
    ensure!(thresholds.is_none_or(|t| t.low <= t.high), "--low is above --high");
    let all: Vec<&'static str> = arms(&scope, thresholds, 0.0).iter().map(|arm| arm.name).collect();
    if let Some(other) = args.only.iter().find(|only| !all.contains(&only.as_str())) {
        anyhow::bail!("there is no variant {other:?}: name some of {}", all.join(", "));
    }
    let wanted = |name: &&'static str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let names: Vec<&'static str> = all.into_iter().filter(wanted).collect();
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let path = args.out.join("runs.jsonl");
    let mut done: Vec<Ran> = vec![];
    if let Ok(file) = File::open(&path) {
        done = BufReader::new(file).lines().filter_map(|line| Ran::from_json(&line.ok()?, &names)).collect();
    }
    if !args.from_logs {
        let file = File::options().create(true).append(true).open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let left = args.seeds * names.len() as u64 - done.iter().filter(|ran| ran.seed < args.seeds).count() as u64;
        let style =
            ProgressStyle::with_template("{bar:24} {pos}/{len} runs  {eta} left  {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(left).with_style(style);
        let kept = args.out.join("base.safetensors");
        let begun = Instant::now();
        let told = |step, loss| {
            let left = begun.elapsed().as_secs_f64() / step as f64 * (scope.warmup - step) as f64;
            bar.set_message(format!("base, step {step} of {}, loss {loss:.3}, {} left", scope.warmup, duration(left)));
        };
        let policy = match load(&kept) {
            Some(policy) => policy,
            None => {
                let policy = pollster::block_on(base(&scope, 0, told))?;
                save(&policy, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
                policy
            }
        };
        let shared = Mutex::new((file, done, (0..args.seeds).collect::<VecDeque<u64>>()));
        let failed = Mutex::new(None);
        std::thread::scope(|threads| {
            for _ in 0..jobs {
                threads.spawn(|| {
                    loop {
                        let Some(seed) = shared.lock().ok().and_then(|mut shared| shared.2.pop_front()) else { return };
                        if let Err(error) = one_seed((&scope, &policy), (thresholds, &names), seed, &shared, &bar)
                            && let Ok(mut failed) = failed.lock()
                        {
                            *failed = Some(error);
                            return;
                        }
                    }
                });
            }
        });
        bar.finish_and_clear();
        if let Ok(Some(error)) = failed.into_inner() {
            return Err(error);
        }
        done = shared.into_inner().map_err(|_| anyhow::anyhow!("a run stopped half way"))?.1;
    }
    ensure!(!done.is_empty(), "{} has no runs", path.display());
    let text = format!("{}\n{}", table(&done, &names, "+ task std"), by_task(&done, &names));
    std::fs::write(args.out.join("table.md"), &text)?;
    let page = args.out.join("ablation.html");
    std::fs::write(&page, html(&done, &names))?;
    let seconds: f64 = done.iter().map(|ran| ran.seconds).sum();
    println!("{text}\n{} runs of {} together: {}, curves: {}", done.len(), duration(seconds), path.display(), page.display());
    Ok(())
}

type Shared = Mutex<(File, Vec<Ran>, VecDeque<u64>)>;

fn one_seed(
    (scope, policy): (&Scope, &Base),
    (thresholds, names): (Option<Thresholds>, &[&'static str]),
    seed: u64,
    shared: &Shared,
    bar: &ProgressBar,
) -> Result<()> {
    let known = |name: &str| {
        let shared = shared.lock().ok()?;
        shared.1.iter().find(|ran| ran.seed == seed && ran.arm == name).cloned()
    };
    // The random control masks as much as AEPO did of the same seed, so it comes after.
    for &name in names {
        if known(name).is_some() {
            continue;
        }
        let share = known("AEPO").map_or(0.0, |ran| ran.masked());
        let arm: Arm = arms(scope, thresholds, share).into_iter().find(|arm| arm.name == name).context("an arm of that name")?;
        let see =
            |step: &data::RlStep| bar.set_message(format!("seed {seed}: {}, step {}, reward {:.3}", arm.name, step.step, step.reward));
        let ran = pollster::block_on(train(scope, &arm, policy, seed, see))?;
        bar.inc(1);
        bar.println(format!("seed {seed}: {:<22} held-out {:.3}  {}", arm.name, ran.reward(), duration(ran.seconds)));
        let mut shared = shared.lock().map_err(|_| anyhow::anyhow!("a run stopped half way"))?;
        writeln!(shared.0, "{}", ran.to_json())?;
        shared.1.push(ran);
    }
    Ok(())
}

//! `longhand train` with `[rl]`: reinforcement learning from a configuration.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use data::StopCause;
use model::source::free_memory;
use reward::{RewardSettings, Rewarder, Source};
use train::config::Config;
use train::finetune::{self, Trained};
use train::rl::environment::longest_prompt;
use train::rl::items::Items;
use train::rl::learn::{Learn, Outcome, identity};
use train::rl::recipe::{Recipe, RewardSource};
use train::sft::ChatFormat;

use super::{Live, STOP, TrainArgs, absolute, chosen, device, work};
use crate::args::{DeviceKind, KvKind, MachineArgs};
use crate::{load, progress};

/// Share of the free memory that rollouts' keys and values may take.
const CACHE: f64 = 0.25;

/// Runs it in `folder`.
pub fn run(args: &TrainArgs, config: Config, recipe: &Recipe, text: &str, folder: &Path) -> Result<()> {
    let (base, path) = load::checkpoint(&config.model_name())?;
    let chat = ChatFormat::new(&base).with_context(|| format!("cannot use {} to make tokens", path.display()))?;
    let items = items(&config, recipe, &chat, &config.data.file)?;
    let held = config.validation.file.as_deref().map(|file| self::items(&config, recipe, &chat, file)).transpose()?;
    let longest = longest_prompt(&items).max(held.as_ref().map_or(0, longest_prompt)) + recipe.max_new_tokens;
    ensure!(
        longest <= base.config().max_positions,
        "the longest prompt and rl.max_new_tokens have {longest} tokens together, the model has {} positions",
        base.config().max_positions
    );
    let device = device(&config, args.adapter.as_deref())?;
    let wanted = work(&config, base.config(), Some(base.total_bytes()), None);
    let work = chosen(&wanted, longest, args.memory, &device)?;
    let bar = progress::bytes(base.total_bytes(), "loading");
    let model = finetune::load(&config, &base, device, longest + 64, |done, _| bar.set_position(done))?;
    bar.finish_and_clear();
    let bytes = std::fs::read(config.path(&config.data.file))?;
    let fingerprint = identity(&train::adapter::fingerprint(&base)?, &bytes);
    let kept = absolute(text, &config, &args.config)?;
    let room = finetune::Room { rows: work.pass.rows, keep: work.pass.keep };
    let cache = free_memory().map_or(1 << 30, |free| (free as f64 * CACHE) as u64);
    let stop_ids = chat.stop_ids().to_vec();
    let mut run = Learn::open((config, &kept), (model, &fingerprint), (items, held), stop_ids, folder, room, cache)?;
    run.skipped().iter().for_each(|why| eprintln!("passed over: {why}"));
    let (steps, taken) = run.progress();
    if !args.json {
        eprintln!("{}: {steps} steps, {taken} taken; {} tokens a pass, {} layers kept", folder.display(), room.rows, room.keep);
    }
    let live = Live::new(steps, taken, args.json);
    let outcome = pollster::block_on(run.learn(|| STOP.load(Ordering::Relaxed), |event| live.see(event), || live.tick()))?;
    live.bar.finish_and_clear();
    if outcome.step > 0 {
        let trained = Trained::open(folder, true, base.config())?;
        if let Some(adapter) = trained.adapter(&base)? {
            adapter.save(folder.join("adapter")).context("the adapter could not be written; the checkpoint is whole")?;
        }
    }
    if !args.json {
        say(&outcome, steps, folder);
        let counts = run.policy().environment.rewarder().counts();
        for (kind, count) in &counts.failures {
            eprintln!("{count} rewards failed: {kind}");
        }
        if counts.judge_asked > 0 {
            let (asked, agreed, failed) = (counts.judge_asked, counts.judge_agreed, counts.judge_failed);
            eprintln!("the judge was asked {asked} times, said yes {agreed} times, and failed {failed} times");
        }
    }
    Ok(())
}

fn items(config: &Config, recipe: &Recipe, chat: &ChatFormat, file: &str) -> Result<Items> {
    Ok(Items::read(&config.path(file), chat, recipe.prompt_template, config.data.max_length, rewarder(recipe)?)?)
}

fn rewarder(recipe: &Recipe) -> Result<Rewarder> {
    let source = match &recipe.reward {
        RewardSource::OfPrompt => Source::Own,
        RewardSource::Rule(name) => Source::Rule(name.parse()?),
        RewardSource::Command(command) => Source::Command(command.clone()),
        RewardSource::Server(address) => Source::Server(address.clone()),
    };
    let settings = RewardSettings { time_limit: Duration::from_secs(recipe.reward_seconds), ..RewardSettings::default() };
    let rewarder = Rewarder::new(source, settings);
    let Some(judge) = &recipe.judge else { return Ok(rewarder) };
    Ok(match judge.starts_with("openai:") {
        true => rewarder.with_judge(Arc::new(load::client(judge, None)?)),
        false => rewarder.with_judge(Arc::new(load::chat(judge, &machine(), None, 8)?)),
    })
}

fn say(outcome: &Outcome, steps: u64, folder: &Path) {
    let shown = folder.display();
    match outcome.cause {
        StopCause::Finished => eprintln!("{steps} steps done"),
        _ => eprintln!("stopped after {} of {steps} steps; `--resume` goes on", outcome.step),
    }
    if let Some((first, last, best)) = outcome.validation {
        eprintln!("held-out reward {first:.3} at first, {last:.3} now, {best:.3} at best");
    }
    if !outcome.alarms.is_empty() {
        eprintln!("{} alarms were raised: see the report", outcome.alarms.len());
    }
    eprintln!("report: {shown}/report.html\nuse it: longhand export {shown} --to gguf --type q8_0 --out mine.gguf");
}

/// A judge of this machine runs on the CPU.
fn machine() -> MachineArgs {
    MachineArgs { device: DeviceKind::Cpu, adapter: None, threads: None, exact: false, kv: KvKind::Auto, cube: false }
}

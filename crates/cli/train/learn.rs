//! `longhand train` with `[rl]`: reinforcement learning from a configuration.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use data::{StopCause, TrainEvent};
use model::ModelConfig;
use model::source::{Checkpoint, free_memory};
use model::train::TrainSpaceShape;
use reward::{RewardSettings, Rewarder, Source};
use train::config::{Config, StepSize};
use train::finetune::{self, Trained};
use train::plan::{RolloutWork, Work};
use train::rl::environment::Environment;
use train::rl::items::{Form, Items};
use train::rl::learn::{Learn, Outcome, SEQUENCES, branches, identity};
use train::rl::recipe::{Recipe, RewardSource};
use train::rl::rollout::Drawing;
use train::sft::ChatFormat;

use super::{Live, ROWS, STOP, TrainArgs, absolute, chosen, device, say_plan, work};
use crate::args::{DeviceKind, KvKind, MachineArgs};
use crate::{load, progress};

/// Share of the free memory that rollouts' keys and values may take.
const CACHE: f64 = 0.25;

/// Runs it in `folder`. Its events go to `watch`, where there is one, and to the terminal where not.
pub fn run(
    args: &TrainArgs,
    config: Config,
    recipe: &Recipe,
    text: &str,
    folder: &Path,
    mut watch: Option<&mut dyn FnMut(&TrainEvent)>,
) -> Result<()> {
    let (base, path) = load::checkpoint(&config.model_name())?;
    let chat = ChatFormat::new(&base).with_context(|| format!("cannot use {} to make tokens", path.display()))?;
    let items = items(&config, recipe, &chat, &config.data.file)?;
    if let Some(memory) = recipe.memory {
        let (file, chunk) = (&config.data.file, memory.chunk);
        ensure!(
            items.sections() > 1,
            "no document is longer than a section in {file}: with memory.chunk {chunk} there are no notes to learn"
        );
    }
    let held = config.validation.file.as_deref().map(|file| self::items(&config, recipe, &chat, file)).transpose()?;
    let longest = items.longest_prompt().max(held.as_ref().map_or(0, Items::longest_prompt)) + longest_reply(recipe);
    ensure!(
        longest <= base.config().max_positions,
        "the longest prompt and rl.max_new_tokens have {longest} tokens together, the model has {} positions",
        base.config().max_positions
    );
    let device = device(&config, args.adapter.as_deref())?;
    let cache = free_memory().map_or(1 << 30, |free| (free as f64 * CACHE) as u64);
    let wanted = rl_work(&config, recipe, (base.config(), Some(base.total_bytes())), (mean_prompt(&items), longest, items.turns()), cache)?;
    let work = chosen(&wanted, longest, args.memory, &device)?;
    let bar = progress::bytes(base.total_bytes(), "loading");
    let model = finetune::load(&config, &base, device, longest + 64, |done, _| bar.set_position(done))?;
    bar.finish_and_clear();
    let bytes = std::fs::read(config.path(&config.data.file))?;
    let fingerprint = identity(&train::adapter::fingerprint(&base)?, &bytes);
    let kept = absolute(text, &config, &args.config)?;
    let room = finetune::Room { rows: work.pass.rows, keep: work.pass.keep };
    let stop_ids = chat.stop_ids().to_vec();
    let mut run = Learn::open((config, &kept), (model, &fingerprint), (items, held), stop_ids, folder, room, cache)?;
    run.skipped().iter().for_each(|why| eprintln!("passed over: {why}"));
    let (steps, taken) = run.progress();
    let quiet = args.json || watch.is_some();
    if !quiet {
        eprintln!("{}: {steps} steps, {taken} taken; {} tokens a pass, {} layers kept", folder.display(), room.rows, room.keep);
    }
    let live = Live::new(steps, taken, quiet);
    let see = |event: &TrainEvent| watch.as_mut().map_or_else(|| live.see(event), |watch| watch(event));
    let outcome = pollster::block_on(run.learn(|| STOP.load(Ordering::Relaxed), see, || live.tick()))?;
    live.bar.finish_and_clear();
    if outcome.step > 0 {
        let trained = Trained::open(folder, true, base.config())?;
        if let Some(adapter) = trained.adapter(&base)? {
            adapter.save(folder.join("adapter")).context("the adapter could not be written; the checkpoint is whole")?;
        }
    }
    if !quiet {
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

/// What a run will take, before it runs.
pub fn plan(
    args: &TrainArgs,
    config: &Config,
    recipe: &Recipe,
    (shape, stored, base): (&ModelConfig, Option<u64>, Option<&Checkpoint>),
) -> Result<()> {
    let (mut prompt, mut longest, mut here) = (config.data.max_length / 2, config.data.max_length + longest_reply(recipe), false);
    // Without data a document is taken to have four sections.
    let mut turns = if recipe.memory.is_some() { 5 } else { 1 };
    if let (Some(base), true) = (base, config.path(&config.data.file).exists()) {
        let items = items(config, recipe, &ChatFormat::new(base)?, &config.data.file)?;
        (prompt, longest, here) = (mean_prompt(&items), items.longest_prompt() + longest_reply(recipe), true);
        turns = items.turns();
    }
    let available = args.memory.map(|gib| (gib * (1u64 << 30) as f64) as u64).or_else(free_memory);
    let cache = available.map_or(1 << 30, |free| (free as f64 * CACHE) as u64);
    let wanted = rl_work(config, recipe, (shape, stored), (prompt, longest, turns), cache)?;
    say_plan(args, config, &wanted, longest, here)
}

/// The work of a step: rollouts, then an update in which each prompt is computed once. Replies are taken to be as long as they may be.
fn rl_work(
    config: &Config,
    recipe: &Recipe,
    (shape, stored): (&ModelConfig, Option<u64>),
    (prompt, longest, turns): (usize, usize, usize),
    cache: u64,
) -> Result<Work> {
    let StepSize::Examples(prompts) = config.train.batch else { bail!("with [rl], train.batch is a number of prompts") };
    let usual = work(config, shape, stored, None);
    let (together, cache) = Drawing::room(shape, usual.pass.kv, longest, (prompts * recipe.group).min(SEQUENCES), cache);
    // Notes are taken to be half as long as they may be where they are read, and as long as they may be where they are written.
    let (prompt, reply) = match recipe.memory {
        Some(memory) => (prompt + memory.memory / 2, (memory.limit() * (turns - 1) + recipe.max_new_tokens) / turns),
        None => (prompt, recipe.max_new_tokens),
    };
    let rollouts = RolloutWork { prompts, group: recipe.group, turns, prompt, reply, together, cache };
    let (rows, replies) = (rollouts.update_rows(), prompts * recipe.group * turns * reply);
    let pass_rows = config.train.micro_batch_tokens.unwrap_or(ROWS.min(rows)).max(longest);
    Ok(Work {
        pass: TrainSpaceShape { rows: pass_rows, sequences: branches(pass_rows), loss_rows: pass_rows, ..usual.pass },
        length: prompt + reply,
        loss_share: replies as f64 / rows.max(1) as f64,
        step_tokens: rows as f64,
        rollouts: Some(rollouts),
        ..usual
    })
}

/// Tokens of a prompt, on average.
fn mean_prompt(items: &Items) -> usize {
    let tasks = items.tasks();
    let all = tasks.iter().enumerate().flat_map(|(task, (_, count))| (0..*count).map(move |item| (task, item)));
    let (sum, count) = all.fold((0, 0), |(sum, count), (task, item)| (sum + items.prompt(task, item).ids.len(), count + 1));
    sum / count.max(1)
}

/// Tokens that a turn's reply may have.
fn longest_reply(recipe: &Recipe) -> usize {
    recipe.memory.map_or(0, |memory| memory.limit()).max(recipe.max_new_tokens)
}

fn items(config: &Config, recipe: &Recipe, chat: &ChatFormat, file: &str) -> Result<Items> {
    let memory = recipe.memory.map(|memory| (recipe.max_new_tokens, memory));
    let form = Form { template: recipe.prompt_template, most: config.data.max_length, memory };
    Ok(Items::read(&config.path(file), chat, form, rewarder(recipe)?)?)
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

//! `longhand advantage`: advantages and AEPO's mask for rollouts that something else made, a batch at a time.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use data::AepoState;
use serde_json::{Map, Value};
use train::rl::advantage::{self, advantages};
use train::rl::aepo::{self, Aepo, Mode, batch_entropy};
use train::rl::recipe::Recipe;

/// Advantages of rollouts from elsewhere, and which of them AEPO masks: JSONL in, JSONL out.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct AdvantageArgs {
    /// Of the recipe; the paper's without one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where AEPO's latch and thresholds are kept from batch to batch; what is there already is gone on from.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

const HELP: &str = r#"Example:
  longhand advantage --config recipe.toml < rollouts.jsonl > weighed.jsonl

Each line is a rollout, or one turn of one:
  {"batch": 0, "group": "g1", "task": "mc", "reward": 1.0, "entropy": 0.21, "tokens": 57}

  batch       A number or a text; the lines of a batch stand together.
  group       The rollouts of one prompt.
  task        The prompt's kind.
  reward      A number.
  entropy     Mean over the line's tokens, in nats; not needed where AEPO is off.
  tokens      Optional.
  trajectory  Optional: lines of one group and trajectory are turns of one rollout.
              They count once, and the reward of the last one counts.

Lines come back in order, with whatever else they hold, and with
  advantage   Before masking (eq. 7, unless [advantage] says otherwise).
  masked      Whether AEPO makes it 0. Zero it, do not drop the line: it still
              counts in the loss's denominators.

Whether a batch is masked depends on those before it: give a whole run in order,
or keep --state. An empty line ends a batch, for programs that wait for it.
A summary goes to standard error. The recipe is any file with [advantage] and
[aepo] tables, such as a run's configuration (`longhand init rl`)."#;

/// Rewards beyond this are slips, and their squares no numbers.
const MOST: f64 = 1e100;

/// Runs the verb.
pub fn run(args: &AdvantageArgs) -> Result<()> {
    let recipe = args.config.as_deref().map(Recipe::load).transpose()?.unwrap_or_default();
    let mut run = Run::new(&recipe, args.state.clone())?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut input = std::io::stdin().lock();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes).context("cannot read standard input")? == 0 {
            break;
        }
        let text = std::str::from_utf8(&bytes).with_context(|| format!("line {number} is not UTF-8"))?.trim();
        if text.is_empty() {
            run.end(&mut out)?;
        } else {
            let line = Line::read(text, number, recipe.aepo.mode).with_context(|| format!("line {number}"))?;
            run.take(line, &mut out)?;
        }
    }
    run.end(&mut out)?;
    run.say();
    Ok(())
}

/// A rollout, as it came.
struct Line {
    text: String,
    number: usize,
    batch: String,
    group: String,
    task: String,
    trajectory: Option<String>,
    reward: f64,
    /// 0 where there need be none.
    entropy: f64,
}

impl Line {
    fn read(text: &str, number: usize, mode: Mode) -> Result<Self> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            // The parser counts lines of its own.
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            anyhow!("is no JSON: {words} at column {} (NaN and Infinity are none)", error.column())
        })?;
        let Value::Object(fields) = value else { bail!("is no JSON object") };
        for added in ["advantage", "masked"] {
            ensure!(!fields.contains_key(added), "has a field {added:?} already, which this command adds: take it out first");
        }
        if let Some(tokens) = fields.get("tokens") {
            ensure!(tokens.is_u64(), "\"tokens\" is {tokens}: a whole number from 0 is expected");
        }
        let trajectory = if fields.contains_key("trajectory") { Some(id(&fields, "trajectory")?) } else { None };
        Ok(Self {
            number,
            batch: id(&fields, "batch")?,
            group: id(&fields, "group")?,
            task: id(&fields, "task")?,
            trajectory,
            reward: real(&fields, "reward", |reward| reward.abs() <= MOST)?,
            entropy: match mode {
                Mode::Off => 0.0,
                _ => real(&fields, "entropy", |entropy| (0.0..=MOST).contains(&entropy))
                    .context("the entropy decides what AEPO masks ([aepo] with mode = \"off\" goes without)")?,
            },
            text: text.to_string(),
        })
    }
}

fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a Value> {
    fields.get(name).with_context(|| format!("has no field {name:?}"))
}

/// A text, or a number's digits: `1` and `"1"` are the same.
fn id(fields: &Map<String, Value>, name: &str) -> Result<String> {
    match field(fields, name)? {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => bail!("{name:?} is {other}: a text or a number is expected"),
    }
}

fn real(fields: &Map<String, Value>, name: &str, ok: impl Fn(f64) -> bool) -> Result<f64> {
    let value = field(fields, name)?;
    let number = value.as_f64().filter(|&number| ok(number));
    number.with_context(|| {
        format!("{name:?} is {value}: {} is expected", if name == "entropy" { "a number from 0" } else { "a finite number" })
    })
}

/// What was read of the present batch, and what is carried to the next.
struct Run {
    settings: advantage::Settings,
    aepo: Aepo,
    mode: Mode,
    state: Option<PathBuf>,
    lines: Vec<Line>,
    batches: HashSet<String>,
    total: Total,
}

/// For the summary.
#[derive(Default)]
struct Total {
    rows: usize,
    masked: usize,
    masked_batches: usize,
    skipped: usize,
    groups: usize,
    single: usize,
    zero_variance: usize,
}

impl Run {
    fn new(recipe: &Recipe, state: Option<PathBuf>) -> Result<Self> {
        let kept = match &state {
            Some(path) => read_state(path)?.map(|kept| Aepo::from_state(&recipe.aepo, kept).with_context(|| path.display().to_string())),
            None => None,
        };
        Ok(Self {
            settings: recipe.advantage,
            aepo: kept.unwrap_or_else(|| Ok(Aepo::new(&recipe.aepo)))?,
            mode: recipe.aepo.mode,
            state,
            lines: Vec::new(),
            batches: HashSet::new(),
            total: Total::default(),
        })
    }

    fn take(&mut self, line: Line, out: &mut impl Write) -> Result<()> {
        if self.lines.last().is_some_and(|last| last.batch != line.batch) {
            self.end(out)?;
        }
        if self.lines.is_empty() && !self.batches.insert(line.batch.clone()) {
            bail!("line {}: batch {:?} comes back after its end: the lines of a batch stand together", line.number, line.batch);
        }
        self.lines.push(line);
        Ok(())
    }

    /// Writes the batch that was read.
    fn end(&mut self, out: &mut impl Write) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let mut tasks: HashMap<&str, &Line> = HashMap::new();
        for line in &lines {
            let first = *tasks.entry(&line.group).or_insert(line);
            if first.task != line.task {
                let (number, group) = (line.number, &line.group);
                bail!("line {number}: group {group:?} is of task {:?} here and of {:?} in line {}", line.task, first.task, first.number);
            }
        }
        let rows: Vec<advantage::Row<'_>> = lines
            .iter()
            .map(|line| advantage::Row {
                group: &line.group,
                task: &line.task,
                reward: line.reward,
                trajectory: line.trajectory.as_deref(),
            })
            .collect();
        let found = advantages(&rows, &self.settings);
        let entropies: Vec<f64> = lines.iter().map(|line| line.entropy).collect();
        let masking = batch_entropy(&entropies).is_some_and(|entropy| self.aepo.decide(entropy));
        let rewards: Vec<f64> = lines.iter().map(|line| line.reward).collect();
        let mut left = found.values.clone();
        let out_of = self.aepo.mask(masking, &mut left, &rewards);
        for ((line, advantage), masked) in lines.iter().zip(&found.values).zip(&out_of.masked) {
            // The line as it came, to the byte, with two fields more.
            let open = line.text.strip_suffix('}').unwrap_or(&line.text);
            writeln!(out, "{},\"advantage\":{},\"masked\":{masked}}}", open.trim_end(), Value::from(*advantage))?;
        }
        out.flush()?;
        if let Some(path) = &self.state {
            write_state(path, &self.aepo.state()).with_context(|| format!("cannot keep the state in {}", path.display()))?;
        }
        let total = &mut self.total;
        total.rows += lines.len();
        total.masked += out_of.masked.iter().filter(|masked| **masked).count();
        total.masked_batches += usize::from(masking);
        total.skipped += usize::from(out_of.skip);
        total.groups += found.groups;
        total.single += found.single_groups;
        total.zero_variance += found.zero_variance_groups;
        Ok(())
    }

    fn say(&self) {
        let Total { rows, masked, masked_batches, skipped, groups, single, zero_variance } = self.total;
        let share = 100.0 * masked as f64 / rows.max(1) as f64;
        eprintln!("{} batches, {masked_batches} of them masked; {rows} rows, {masked} masked ({share:.1} %)", self.batches.len());
        eprintln!("{groups} groups, {zero_variance} whose rewards are all the same, {single} of one rollout");
        if skipped > 0 {
            eprintln!("{skipped} batches have no advantage but 0: there is no update to make from them");
        }
        match (self.mode, self.aepo.thresholds()) {
            (Mode::Off, _) => eprintln!("AEPO is off"),
            (_, Some(aepo::Thresholds { low, high })) => eprintln!("thresholds: low {low:.4}, high {high:.4} nats"),
            (_, None) => {
                let (settling, seen) = (aepo::SETTLING, self.aepo.state().seen.len());
                eprintln!(
                    "thresholds: none yet; they follow from the first {settling} batches, which are not masked, and {seen} were given"
                );
            }
        }
    }
}

/// `None` where there is no file yet.
fn read_state(path: &Path) -> Result<Option<AepoState>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    serde_json::from_slice(&text).map(Some).with_context(|| format!("{} holds no state of AEPO", path.display()))
}

/// A kill leaves the old state or the new one.
fn write_state(path: &Path, state: &AepoState) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, serde_json::to_vec(state)?)?;
    Ok(std::fs::rename(&new, path)?)
}

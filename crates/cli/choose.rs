//! `--model auto`: the largest model that this machine has room and time for.
//!
//! Memory: the weights, the cache of a window, and a little beside them have to fit what is free. Time: reading a prompt costs two FLOP
//! a token for every parameter it passes, and attention; writing a token reads every active weight and the cache once. Both at rates
//! measured here in about a second, or, where the model has run before, corrected by what was measured then.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use agent::ReadSettings;
use anyhow::{Context, Result, bail, ensure};
use kernels::{DType, Precision};
use model::{Checkpoint, ModelConfig};

use crate::args::{DeviceKind, KvKind, MachineArgs};
use crate::catalog::{self, Entry};
use crate::hub::{Hub, ModelId};
use crate::load;
use crate::speeds::{self, Record, Speeds};

/// Longer than this, a person is asked first.
pub const LIMIT: f64 = 600.0;
/// Parameters of the smallest model that was published for what a reader does: Qwen3-0.6B has 596 million.
const SMALLEST: u64 = 500_000_000;
/// Activations and the program itself.
const BESIDE: u64 = 256 << 20;
/// Taken for free where the system does not say.
const UNKNOWN_MEMORY: u64 = 4 << 30;
/// Words of a prompt around what is read, in tokens.
const FORM: usize = 380;
/// Replies are taken to fill a quarter of their budgets. In the bundled reads of the 1.5B model it was 8 % and 40 %.
const FILLED: usize = 4;
/// A window has at least this, and auto takes at most the paper's 128K (§2.6).
const WINDOWS: (usize, usize) = (2048, 128 * 1024);

/// A model that may be taken.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What `--model` takes.
    pub name: String,
    /// For people: the entry's short name, or the file's.
    pub shown: String,
    /// Who it is in the records of speed.
    pub key: String,
    /// The entry it is, if any.
    pub entry: Option<&'static Entry>,
    /// Its shape.
    pub config: ModelConfig,
    /// The format of most weights.
    pub dtype: DType,
    /// Of its weights.
    pub bytes: u64,
    /// Whether it thinks before it replies.
    pub thinks: bool,
    /// Where it is, if it is here.
    pub here: Option<PathBuf>,
    /// What was measured of it on this device.
    pub record: Option<Record>,
}

/// What candidates are held against.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Bytes that are free, where the system says so.
    pub free: Option<u64>,
    /// How the cache is stored.
    pub kv: KvKind,
    /// Its rates.
    pub speeds: Speeds,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Task {
    /// Tokens to read; `None` for a talk.
    pub tokens: Option<usize>,
    /// What was asked for, instead of what would be chosen.
    pub window: Option<usize>,
    /// As `window`.
    pub chunk: Option<usize>,
    /// As `window`.
    pub memory: Option<usize>,
    /// As `window`.
    pub thinking: Option<usize>,
    /// Questions that are read for together.
    pub questions: usize,
}

/// Whether it fits the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All of it.
    Yes,
    /// All but the experts, which then are read from the mapped file as they are needed: slower.
    Experts,
    /// Not even that.
    No,
    /// The window that was asked for is longer than the model's.
    Window,
}

/// How a candidate stands.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Tokens of a call.
    pub window: usize,
    /// Bytes of weights, cache and what is beside them.
    pub needs: u64,
    /// Against what is free.
    pub fit: Fit,
    /// Calls: one per section, and one for the answer.
    pub calls: usize,
    /// Seconds of all of them.
    pub seconds: f64,
}

impl Candidate {
    /// An entry that is not here yet.
    pub fn entry(entry: &'static Entry) -> Self {
        Self {
            name: entry.name.clone(),
            shown: entry.alias.clone(),
            key: entry.alias.clone(),
            entry: Some(entry),
            config: entry.config.clone(),
            dtype: entry.quant.main(),
            bytes: entry.bytes,
            thinks: entry.thinks,
            here: None,
            record: None,
        }
    }

    /// A checkpoint that is here, asked for as `name`.
    pub fn checkpoint(name: &str, path: &Path, checkpoint: &Checkpoint) -> Result<Self> {
        let entry = catalog::identify(name, path, checkpoint.config())?;
        let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let shown = entry.map_or_else(|| load::display_name(&path.display().to_string()), |entry| entry.alias.clone());
        Ok(Self {
            name: name.to_string(),
            shown,
            key: entry.map_or_else(|| full.display().to_string(), |entry| entry.alias.clone()),
            entry,
            config: checkpoint.config().clone(),
            dtype: load::main_dtype(checkpoint),
            bytes: checkpoint.total_bytes(),
            thinks: load::thinks(checkpoint),
            here: Some(path.to_path_buf()),
            record: None,
        })
    }

    /// Whether it is in no list, and smaller than what is.
    fn is_tiny(&self) -> bool {
        self.entry.is_none() && self.config.parameters() < SMALLEST
    }

    /// Bytes of cache for one position.
    fn cache(&self, kv: KvKind) -> u64 {
        let dtype = kv.dtype(self.dtype == DType::F32);
        (self.config.layers * dtype.bytes_per_position(self.config.kv_heads, self.config.head_dim)) as u64
    }

    /// The largest window whose cache takes at most a quarter of what is free, up to the model's own and the paper's. In steps of a
    /// power of two and its half more, so that a little more or less free memory gives the same read.
    pub fn window(&self, free: Option<u64>, kv: KvKind) -> usize {
        let most = self.entry.map_or(usize::MAX, |entry| entry.window).min(self.config.max_positions).min(WINDOWS.1);
        let fits = (free.unwrap_or(UNKNOWN_MEMORY) / 4 / self.cache(kv).max(1)) as usize;
        if fits >= most {
            return most;
        }
        let fits = fits.max(WINDOWS.0);
        let power = 1usize << fits.ilog2();
        let step = if power + power / 2 <= fits { power + power / 2 } else { power };
        step.min(most)
    }

    /// The reader's settings in `window`.
    pub fn settings(&self, window: usize, task: &Task) -> ReadSettings {
        let mut settings = match self.entry {
            Some(entry) => entry.settings(window, self.thinks),
            None => ReadSettings::for_window(window, self.thinks),
        };
        settings.chunk = task.chunk.unwrap_or(settings.chunk);
        settings.memory = task.memory.unwrap_or(settings.memory);
        settings.thinking = task.thinking.unwrap_or(settings.thinking);
        settings
    }

    /// How it stands on `machine` for `task`.
    pub fn judge(&self, machine: &Machine, task: &Task) -> Judged {
        let window = task.window.unwrap_or_else(|| self.window(machine.free, machine.kv));
        let cache = self.cache(machine.kv).saturating_mul(window as u64);
        let needs = self.bytes.saturating_add(cache).saturating_add(BESIDE);
        let experts = self.bytes as f64 * self.expert_share();
        let free = machine.free.unwrap_or(UNKNOWN_MEMORY);
        let fit = match () {
            () if window > self.config.max_positions => Fit::Window,
            () if needs <= free => Fit::Yes,
            () if experts > 0.0 && needs - experts as u64 <= free => Fit::Experts,
            () => Fit::No,
        };
        let calls = self.calls(window, task);
        let seconds = calls.iter().map(|&(count, prompt, reply)| count as f64 * self.seconds(&machine.speeds, machine.kv, prompt, reply));
        Judged { window, needs, fit, calls: calls.iter().map(|call| call.0).sum(), seconds: seconds.sum() }
    }

    fn expert_share(&self) -> f64 {
        let Some(moe) = &self.config.moe else { return 0.0 };
        let sparse = (0..self.config.layers).filter(|&layer| self.config.is_sparse(layer)).count();
        let experts = 3.0 * (self.config.hidden * moe.intermediate) as f64 * (moe.experts * sparse) as f64;
        (experts / self.config.parameters() as f64).clamp(0.0, 1.0)
    }

    /// (how many, prompt tokens, reply tokens) of the calls that `task` takes.
    fn calls(&self, window: usize, task: &Task) -> [(usize, usize, usize); 2] {
        let settings = self.settings(window, task);
        let Some(tokens) = task.tokens else { return [(0, 0, 0), (1, 1024, 512 + settings.thinking / FILLED)] };
        let reply = (settings.answer + settings.thinking) / FILLED;
        if tokens + FORM + settings.thinking + settings.answer <= window {
            return [(0, 0, 0), (1, tokens + FORM, reply)];
        }
        let kept = (settings.memory + settings.plan) / FILLED;
        let turn = (tokens.div_ceil(settings.chunk.max(1)), settings.chunk.min(tokens) + kept + FORM, kept + settings.thinking / FILLED);
        [turn, (1, settings.memory / FILLED + FORM, reply)]
    }

    /// Seconds of one call.
    fn seconds(&self, speeds: &Speeds, kv: KvKind, prompt: usize, reply: usize) -> f64 {
        let (mut read, mut write) = (1.0, 1.0);
        if let Some(record) = &self.record {
            read = record.prompt / record.prefill / self.prefill(speeds, record.prompt);
            write = 1.0 / record.decode / self.decode(speeds, kv, record.context);
        }
        let (prompt, reply) = (prompt as f64, reply as f64);
        read * self.prefill(speeds, prompt) + write * reply * self.decode(speeds, kv, prompt + reply / 2.0)
    }

    /// Seconds to read a prompt: two FLOP for each parameter a token passes (not the embedding, and the head only at the end), and
    /// four for each pair of positions, head and its width.
    fn prefill(&self, speeds: &Speeds, prompt: f64) -> f64 {
        let config = &self.config;
        let embeddings = (config.vocab * config.hidden) as f64 * if config.tie_embeddings { 1.0 } else { 2.0 };
        let matmul = 2.0 * (config.active_parameters() as f64 - embeddings).max(0.0) * prompt;
        let attention = 2.0 * prompt * prompt * (config.layers * config.heads * config.head_dim) as f64;
        matmul / speeds.matmul(self.dtype) + attention / speeds.attention
    }

    /// Seconds to write a token after `context` others: every active weight is read once (of an untied embedding only a row), and
    /// the cache.
    fn decode(&self, speeds: &Speeds, kv: KvKind, context: f64) -> f64 {
        let config = &self.config;
        let embedding = if config.tie_embeddings { 0.0 } else { (config.vocab * config.hidden) as f64 };
        let share = (config.active_parameters() as f64 - embedding) / config.parameters() as f64;
        (self.bytes as f64 * share + self.cache(kv) as f64 * context) / speeds.stream
    }

    /// (prompt tokens read, tokens written) a second, at a prompt of 1,024 tokens.
    pub fn rates(&self, machine: &Machine) -> (f64, f64) {
        let read = self.seconds(&machine.speeds, machine.kv, 1024, 0);
        let write = self.seconds(&machine.speeds, machine.kv, 1024, 1) - read;
        (1024.0 / read, 1.0 / write)
    }
}

/// The first of `candidates` (biggest first) that fits and takes at most [`LIMIT`]; if none is that fast, the fastest that fits. A
/// model that no list knows and that is smaller than all listed ones is only taken where nothing else fits: it would often be wrong.
pub fn select(candidates: &[Candidate], machine: &Machine, task: &Task) -> Option<(usize, Judged)> {
    let judged = candidates.iter().enumerate().map(|(i, candidate)| (i, candidate.judge(machine, task)));
    // A model whose experts would come from the disk is only taken when it is named.
    let mut fitting: Vec<(usize, Judged)> = judged.filter(|(_, judged)| judged.fit == Fit::Yes).collect();
    if fitting.iter().any(|(i, _)| !candidates[*i].is_tiny()) {
        fitting.retain(|(i, _)| !candidates[*i].is_tiny());
    }
    let quick = fitting.iter().find(|(_, judged)| judged.seconds <= LIMIT);
    quick.or_else(|| fitting.iter().min_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds))).copied()
}

/// Every candidate, biggest first: each entry where it is here, else as the hub has it, and what else is here.
pub fn candidates(hub: &Hub, device: &str) -> Result<Vec<Candidate>> {
    let records = speeds::kept();
    let mut local = Vec::new();
    for path in hub.all_here() {
        let opened = Checkpoint::open(&path).map_err(anyhow::Error::from).and_then(|checkpoint| {
            ensure!(load::can_chat(&checkpoint), "it has no chat template");
            Candidate::checkpoint(&path.display().to_string(), &path, &checkpoint)
        });
        match opened {
            Ok(candidate) => local.push(candidate),
            Err(error) => eprintln!("{} cannot be chosen: {error:#}", path.display()),
        }
    }
    let mut all = Vec::new();
    for entry in catalog::entries()? {
        let (same, others): (Vec<_>, Vec<_>) = local.into_iter().partition(|c: &Candidate| c.entry.is_some_and(|e| e.alias == entry.alias));
        local = others;
        let mut published = Candidate::entry(entry);
        published.here = hub.here(&entry.name);
        // The published file is among those that are here; by its own name it gives the same run.
        let same =
            same.into_iter().filter(|c| published.here.is_none() || c.here.as_deref().map(real) != published.here.as_deref().map(real));
        all.extend(same);
        all.push(published);
    }
    // What no list knows has its place by its parameters.
    for candidate in local {
        let at = all.iter().position(|other| other.config.parameters() < candidate.config.parameters()).unwrap_or(all.len());
        all.insert(at, candidate);
    }
    for candidate in &mut all {
        candidate.record = records.iter().find(|record| record.is_of(&candidate.key, candidate.bytes, device)).cloned();
    }
    Ok(all)
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

impl Machine {
    /// This one, with rates for weights in `dtypes`, and its device's name.
    pub fn here(args: &MachineArgs, dtypes: &[DType]) -> Result<(Self, String)> {
        let device = load::device(args, Precision::Fast)?;
        let speeds = Speeds::measure(&device, dtypes).context("cannot measure this device")?;
        Ok((Self { free: load::free_memory(), kv: args.kv, speeds }, device.describe()))
    }

    /// Says what is not known of it.
    pub fn say_unknown(&self, device: DeviceKind) {
        if self.free.is_none() {
            eprintln!("this system does not say how much memory is free: {} are taken for it", bytes(UNKNOWN_MEMORY));
        }
        if device == DeviceKind::Gpu {
            eprintln!("how much memory the GPU has is not known: what is free beside it is taken for it");
        }
    }
}

/// Chooses for `task`, says what and why, asks where it will take long, and gives the name to open. Nothing has been downloaded then.
pub fn auto(args: &MachineArgs, task: &Task, yes: bool) -> Result<String> {
    let hub = Hub::from_env()?;
    let device = load::device(args, Precision::Fast)?.describe();
    let mut all = candidates(&hub, &device)?;
    let dtypes: Vec<DType> = all.iter().map(|candidate| candidate.dtype).collect();
    let (machine, _) = Machine::here(args, &dtypes)?;
    machine.say_unknown(args.device);
    if hub.offline {
        eprintln!("HF_HUB_OFFLINE: choosing among the models that are here");
        all.retain(|candidate| candidate.here.is_some());
    }
    let (candidate, judged) = loop {
        let Some((i, judged)) = select(&all, &machine, task) else { bail!(nothing(&all, &machine, task, &hub)) };
        let asked = match (&all[i].here, ModelId::parse(&all[i].name)) {
            (None, Some(id)) => hub.answers(&id),
            _ => Ok(()),
        };
        match asked {
            Ok(()) => break (all[i].clone(), judged),
            Err(error) => {
                eprintln!("{} cannot be had ({error:#}): choosing among the models that are here", all[i].shown);
                all.retain(|candidate| candidate.here.is_some());
            }
        }
    };
    eprintln!("model   {}: {}", candidate.shown, reason(&judged, &machine));
    for other in all.iter().take_while(|other| other.name != candidate.name) {
        eprintln!("        not {}: {}", other.shown, against(other, &machine, task));
    }
    match &candidate.here {
        Some(path) => eprintln!("        here already: {}", path.display()),
        None => eprintln!("        {:.2} GB to download ({}), {}", candidate.bytes as f64 / 1e9, candidate.name, licence(&candidate)),
    }
    say_time(&candidate, &judged, task);
    if judged.seconds > LIMIT && !yes {
        confirm(&format!("this takes about {}", duration(judged.seconds)))?;
    }
    Ok(candidate.name)
}

fn licence(candidate: &Candidate) -> &str {
    candidate.entry.map_or("licence not known", |entry| &entry.licence)
}

/// How long `task` will take, and what that rests on.
pub fn say_time(candidate: &Candidate, judged: &Judged, task: &Task) {
    let ground = if candidate.record.is_some() { "as measured of this model before" } else { "from a short measurement of this machine" };
    let what = match (task.tokens, judged.calls) {
        (None, _) => "a reply of 512 tokens".to_string(),
        (Some(tokens), 1) => format!("about {tokens} tokens in one pass"),
        (Some(tokens), calls) => format!("about {tokens} tokens in {} sections", calls - 1),
    };
    eprintln!("time    about {} for {what}: {ground}; download and loading not counted", duration(judged.seconds));
}

/// Why it is this one.
fn reason(judged: &Judged, machine: &Machine) -> String {
    let free = bytes(machine.free.unwrap_or(UNKNOWN_MEMORY));
    let minutes = LIMIT as u64 / 60;
    if judged.seconds <= LIMIT {
        format!("the largest that fits {free} of free memory and is done in {minutes} minutes")
    } else {
        format!("no model is done in {minutes} minutes here; of those that fit {free} of free memory it is the fastest")
    }
}

/// What speaks against a larger one.
fn against(candidate: &Candidate, machine: &Machine, task: &Task) -> String {
    let judged = candidate.judge(machine, task);
    match judged.fit {
        Fit::Yes => format!("about {}", duration(judged.seconds)),
        Fit::Window => format!("it has {} positions", candidate.config.max_positions),
        Fit::Experts => format!("{} of memory; slower with experts read from disk, and that only when it is named", bytes(judged.needs)),
        Fit::No => format!("{} of memory", bytes(judged.needs)),
    }
}

/// What to say when nothing fits.
fn nothing(all: &[Candidate], machine: &Machine, task: &Task, hub: &Hub) -> String {
    let Some(smallest) = all.iter().min_by_key(|candidate| candidate.bytes) else {
        let looked = hub.models.iter().chain([&hub.cache]).map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ");
        return format!(
            "no model is here ({looked} hold none that can chat), and none can be fetched: go online, put a .gguf file into the directory \
             that LONGHAND_MODELS names, or name a server with --model openai:URL#NAME"
        );
    };
    let judged = smallest.judge(machine, task);
    match judged.fit {
        Fit::Window => format!(
            "no model fits: the smallest, {}, has {} positions, and --window asks for {}",
            smallest.shown, smallest.config.max_positions, judged.window
        ),
        _ => format!(
            "no model fits this machine: the smallest, {}, needs {} of memory for its weights and a window of {} tokens, and {} are free. \
             Close other programs, give a smaller --window, or name a server with --model openai:URL#NAME",
            smallest.shown,
            bytes(judged.needs),
            judged.window,
            bytes(machine.free.unwrap_or(UNKNOWN_MEMORY))
        ),
    }
}

/// Asks on a terminal; without one, going on has to have been said beforehand.
fn confirm(what: &str) -> Result<()> {
    ensure!(std::io::stdin().is_terminal() && std::io::stderr().is_terminal(), "{what}: give --yes to go on, or name a faster model");
    eprint!("{what}. Continue? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    ensure!(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()), "stopped: nothing was downloaded");
    Ok(())
}

/// `40 s`, `12 min`, `3.5 h`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} s", s.max(1.0)),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.0} days", s / 86400.0),
    }
}

/// `1.4 GiB`.
pub fn bytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The embedded entries as they stand in the list, none of them here.
    fn published() -> Vec<Candidate> {
        catalog::entries().unwrap().iter().map(Candidate::entry).collect()
    }

    fn machine(gib: f64, scale: f64) -> Machine {
        // Two cores of an EPYC, by their measured rates, times `scale`.
        let matmul = vec![(DType::Q4_K, 450e9 * scale), (DType::Q8_0, 480e9 * scale), (DType::BF16, 170e9 * scale)];
        let speeds = Speeds { matmul, attention: 210e9 * scale, stream: 29e9 * scale };
        Machine { free: Some((gib * f64::from(1 << 30)) as u64), kv: KvKind::Auto, speeds }
    }

    fn read(tokens: usize) -> Task {
        Task { tokens: Some(tokens), ..Task::default() }
    }

    fn chosen(all: &[Candidate], machine: &Machine, task: &Task) -> Option<String> {
        select(all, machine, task).map(|(i, _)| all[i].shown.clone())
    }

    #[test]
    fn the_choice_follows_memory_and_time() {
        let all = published();
        let is = |gib, scale, tokens, want: &str| {
            assert_eq!(chosen(&all, &machine(gib, scale), &read(tokens)).as_deref(), Some(want), "{gib} GiB × {scale}, {tokens} tokens");
        };
        // A machine fast enough that memory alone decides.
        is(80.0, 1000.0, 10_000, "qwenlong-l1.5");
        is(24.0, 1000.0, 10_000, "qwen3-30b-a3b");
        is(20.0, 1000.0, 10_000, "qwen3-8b");
        is(7.5, 1000.0, 10_000, "qwen3-8b");
        is(5.0, 1000.0, 10_000, "qwen3-4b");
        is(3.0, 1000.0, 10_000, "qwen3-1.7b");
        is(1.4, 1000.0, 10_000, "qwen3-0.6b");
        // The same memory, and two cores: time decides.
        let quick = select(&all, &machine(22.0, 1.0), &read(10_000)).unwrap();
        assert!(quick.1.seconds <= LIMIT && all[quick.0].config.parameters() < 8_000_000_000);
        // A shelf of books on the slow machine: nothing is quick, and the fastest is taken.
        let (i, judged) = select(&all, &machine(22.0, 1.0), &read(4_000_000)).unwrap();
        assert_eq!((all[i].shown.as_str(), judged.seconds > LIMIT), ("qwen3-0.6b", true));
        assert!(select(&all, &machine(0.5, 1.0), &read(10)).is_none());
    }

    /// EXPERIMENTS.md, "a first real read": 13,322 tokens by the 1.5B model through a window of 4,096 on an idle machine took 147 s for
    /// one question and 260 s for the other. BENCHMARKS.md: its prefill 170–179 tokens/s, its decode 25.2–27.2.
    #[test]
    fn the_measured_reads_are_predicted_within_a_factor_of_two() {
        let config = ModelConfig::from_hf_json(
            br#"{"model_type":"qwen2","hidden_size":1536,"num_hidden_layers":28,"num_attention_heads":12,"num_key_value_heads":2,
            "intermediate_size":8960,"vocab_size":151936,"rms_norm_eps":1e-6,"max_position_embeddings":32768,"hidden_act":"silu",
            "rope_theta":1000000.0,"tie_word_embeddings":false}"#,
        )
        .unwrap();
        let candidate = Candidate { entry: None, config, bytes: 1_111_370_240, thinks: false, ..published().pop().unwrap() };
        let candidate = Candidate { dtype: DType::Q4_K, ..candidate };
        let idle = machine(22.0, 1.0);
        let judged = candidate.judge(&idle, &Task { window: Some(4096), ..read(13_322) });
        for measured in [147.0, 260.0] {
            let ratio = judged.seconds / measured;
            assert!((0.5..2.0).contains(&ratio), "{} s predicted, {measured} s measured", judged.seconds);
        }
        let (prefill, decode) = candidate.rates(&idle);
        assert!((0.8..1.25).contains(&(prefill / 175.0)) && (0.8..1.25).contains(&(decode / 26.2)), "{prefill} {decode}");
    }

    #[test]
    fn a_tiny_model_is_the_last_resort() {
        let mut all = published();
        let mut tiny = all.last().unwrap().clone();
        (tiny.shown, tiny.entry, tiny.config.layers, tiny.bytes) = ("tiny".into(), None, 4, 100_000_000);
        all.push(tiny.clone());
        assert_eq!(chosen(&all, &machine(22.0, 1.0), &read(4_000_000)).as_deref(), Some("qwen3-0.6b"));
        assert_eq!(chosen(&all, &machine(0.9, 1.0), &read(1000)).as_deref(), Some("tiny"));
        assert_eq!(chosen(&[tiny], &machine(22.0, 1.0), &read(4_000_000)).as_deref(), Some("tiny"));
    }

    #[test]
    fn experts_from_disk_are_never_chosen_but_told() {
        let all = published();
        let few = machine(22.0, 1000.0);
        let long = &all[0];
        assert_eq!(long.judge(&few, &read(1000)).fit, Fit::Experts);
        assert_ne!(chosen(&all, &few, &read(1000)).as_deref(), Some("qwenlong-l1.5"));
        assert_eq!(chosen(&all[..2], &few, &read(1000)), None);
        assert_eq!(long.judge(&machine(2.0, 1.0), &read(1000)).fit, Fit::No);
        // A dense model that is too large has no experts to leave on the disk.
        let eight = all.iter().find(|candidate| candidate.shown == "qwen3-8b").unwrap();
        assert_eq!(eight.judge(&machine(4.0, 1.0), &read(1000)).fit, Fit::No);
    }

    #[test]
    fn planted_faults_change_the_choice() {
        let all = published();
        let here = machine(26.0, 1000.0);
        let right = chosen(&all, &here, &read(10_000));
        let mut reversed = all.clone();
        reversed.reverse();
        assert_ne!(chosen(&reversed, &here, &read(10_000)), right, "the order counts");
        let mut heavy = all.clone();
        heavy.iter_mut().for_each(|candidate| candidate.bytes *= 3);
        assert_ne!(chosen(&heavy, &here, &read(10_000)), right, "weights count");
        let wide = Machine { kv: KvKind::F32, ..machine(23.0, 1000.0) };
        let narrow = Machine { kv: KvKind::Q8, ..wide.clone() };
        let task = Task { window: Some(40_960), ..read(10_000) };
        assert_ne!(chosen(&all, &wide, &task), chosen(&all, &narrow, &task), "the cache counts");
        let slow = machine(26.0, 0.001);
        assert_ne!(chosen(&all, &slow, &read(10_000)), right, "time counts");
        let past = Task { window: Some(100_000), ..read(10_000) };
        assert_eq!(chosen(&all, &here, &past), None, "a window past a model's positions counts");
        let mut slower = all.clone();
        let at = slower.iter().position(|candidate| Some(&candidate.shown) == right.as_ref()).unwrap();
        slower[at].record =
            Some(Record { model: "m".into(), bytes: 1, device: "d".into(), prompt: 1000.0, prefill: 0.1, context: 1000.0, decode: 0.1 });
        assert_ne!(chosen(&slower, &here, &read(10_000)), right, "what was measured counts");
    }

    #[test]
    fn the_ten_minutes_are_the_edge() {
        let one = vec![published().pop().unwrap()];
        let base = machine(8.0, 1.0);
        let seconds = one[0].judge(&base, &read(100_000)).seconds;
        // Time goes with the inverse of the rates: just under and just over the limit.
        for (factor, over) in [(0.999, false), (1.001, true)] {
            let scaled = machine(8.0, seconds / (LIMIT * factor));
            let judged = select(&one, &scaled, &read(100_000)).unwrap().1;
            assert_eq!(judged.seconds > LIMIT, over, "{}", judged.seconds);
        }
        // Two that fit: over the limit the larger one gives way to the faster.
        let two: Vec<Candidate> = published().into_iter().rev().take(2).rev().collect();
        let seconds = two[0].judge(&base, &read(100_000)).seconds;
        for (factor, want) in [(0.999, "qwen3-1.7b"), (1.001, "qwen3-0.6b")] {
            assert_eq!(chosen(&two, &machine(8.0, seconds / (LIMIT * factor)), &read(100_000)).as_deref(), Some(want));
        }
    }

    #[test]
    fn a_record_is_met_exactly_at_its_own_lengths() {
        let mut candidate = published().pop().unwrap();
        let machine = machine(8.0, 1.0);
        candidate.record =
            Some(Record { model: "m".into(), bytes: 1, device: "d".into(), prompt: 1024.0, prefill: 64.0, context: 1024.5, decode: 8.0 });
        let (read, write) = candidate.rates(&machine);
        assert!((read - 64.0).abs() < 1e-6 && (write - 8.0).abs() < 0.01, "{read} {write}");
    }

    #[test]
    fn the_window_takes_a_quarter_of_memory_in_steps() {
        let long = published().remove(0);
        let window = |gib: f64| long.window(Some((gib * f64::from(1 << 30)) as u64), KvKind::Auto);
        // 96 KiB a position: 128K of them are 12 GiB.
        assert_eq!((window(64.0), window(48.0), window(47.9)), (131_072, 131_072, 98_304));
        assert_eq!((window(20.0), window(21.0)), (49_152, 49_152));
        assert_eq!(window(0.1), 2048);
    }
}

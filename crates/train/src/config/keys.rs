//! Every key: its default, its range, and how it enters the hash.

use std::path::PathBuf;

use kernels::DType;

use super::reader::{Document, Entry, Keys};
use super::{
    CheckpointSection, Config, ConfigError, DataSection, DeviceKind, DeviceSection, Duplicates, Format, Length, LoraSection, Loss,
    ModelSection, Schedule, StepSize, Targets, TrainSection, ValidationSection, Warmup, rl,
};
use crate::rl::recipe::Recipe;

pub(super) const KEYS: Keys = &[
    ("model", &["path"]),
    ("data", &["file", "format", "max_length", "duplicates", "loss"]),
    (
        "train",
        &[
            "steps",
            "epochs",
            "batch",
            "batch_tokens",
            "micro_batch_tokens",
            "lr",
            "schedule",
            "warmup",
            "weight_decay",
            "betas",
            "eps",
            "max_grad_norm",
            "seed",
            "dtype",
        ],
    ),
    ("lora", &["rank", "alpha", "targets"]),
    ("validation", &["every", "file"]),
    ("checkpoint", &["every", "keep"]),
    ("device", &["kind", "threads", "lanes"]),
    (
        "rl",
        &[
            "group",
            "max_new_tokens",
            "temperature",
            "top_p",
            "logprob_space",
            "loss_norm",
            "reward",
            "reward_seconds",
            "credit",
            "balance",
            "prompt_template",
            "skip_truncated",
        ],
    ),
    ("memory", &["chunk", "memory", "plan", "short", "quotes"]),
    ("advantage", &["center", "scale"]),
    ("aepo", &["mode", "low", "high"]),
    ("clip", &["unit", "which", "threshold", "quantile", "share"]),
    ("judge", &["model"]),
    ("alarms", &["entropy_high", "entropy_low", "truncated", "gap"]),
];

/// No machine of today trains on longer sequences; a slip of the finger does.
const MOST_TOKENS: u64 = 1 << 24;
/// The largest whole number TOML promises.
pub(super) const MOST: u64 = i64::MAX as u64;

const FORMATS: [(&str, Format); 3] = [("auto", Format::Auto), ("jsonl", Format::Jsonl), ("parquet", Format::Parquet)];
const LOSSES: [(&str, Loss); 2] = [("replies", Loss::Replies), ("all", Loss::All)];
const DUPLICATES: [(&str, Duplicates); 2] = [("drop", Duplicates::Drop), ("keep", Duplicates::Keep)];
const SCHEDULES: [(&str, Schedule); 3] = [("constant", Schedule::Constant), ("linear", Schedule::Linear), ("cosine", Schedule::Cosine)];
const DTYPES: [(&str, DType); 3] = [("bf16", DType::BF16), ("f16", DType::F16), ("f32", DType::F32)];
const KINDS: [(&str, DeviceKind); 3] = [("auto", DeviceKind::Auto), ("cpu", DeviceKind::Cpu), ("gpu", DeviceKind::Gpu)];

/// `None` stays `None`; an entry is read.
pub(super) fn read_or<T>(
    entry: Option<Entry<'_>>,
    default: T,
    read: impl FnOnce(&Entry<'_>) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    entry.as_ref().map_or(Ok(default), read)
}

/// A size, or `"auto"`.
fn size_or_auto(entry: &Entry<'_>, most: u64) -> Result<Option<usize>, ConfigError> {
    if entry.is_text("auto") {
        return Ok(None);
    }
    if !entry.is_integer() {
        return Err(entry.not(&format!("\"auto\" or a whole number from 1 to {most}")));
    }
    entry.size(1..=most).map(Some)
}

fn positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

pub(super) fn read(document: &Document<'_>, base: PathBuf) -> Result<Config, ConfigError> {
    let get = |section: &str, key: &str| document.get(section, key);
    let max_length = read_or(get("data", "max_length"), 4096, |e| e.size(2..=MOST_TOKENS))?;
    let data_file = get("data", "file").map(|e| e.text()).transpose()?;
    let model_path = get("model", "path").map(|e| e.text()).transpose()?;
    let format = read_or(get("data", "format"), Format::default(), |e| e.choice(&FORMATS))?;
    let duplicates = read_or(get("data", "duplicates"), Duplicates::default(), |e| e.choice(&DUPLICATES))?;
    let loss = read_or(get("data", "loss"), Loss::default(), |e| e.choice(&LOSSES))?;
    let lora = document.has("lora").then(|| lora(document)).transpose()?;
    let rl = rl::read(document)?;
    if let (true, Some(entry)) = (rl.is_some(), get("data", "loss")) {
        return Err(entry.refuse("has no meaning with [rl], whose loss falls on what was drawn"));
    }
    let train = train(document, max_length, lora.is_some(), rl.as_ref())?;
    let validation = ValidationSection {
        every: read_or(get("validation", "every"), 100, |e| e.integer(1..=MOST))?,
        file: get("validation", "file").map(|e| e.text()).transpose()?,
    };
    let checkpoint = CheckpointSection {
        every: read_or(get("checkpoint", "every"), 100, |e| e.integer(1..=MOST))?,
        keep: read_or(get("checkpoint", "keep"), 2, |e| e.size(1..=1_000_000))?,
    };
    let device = DeviceSection {
        kind: read_or(get("device", "kind"), DeviceKind::default(), |e| e.choice(&KINDS))?,
        threads: read_or(get("device", "threads"), None, |e| size_or_auto(e, 4096))?,
        lanes: read_or(get("device", "lanes"), 1, |e| e.size(1..=64))?,
    };
    let path = model_path
        .ok_or_else(|| document.missing("model.path", "the folder with config.json and safetensors, a .gguf file, or a model's name"))?;
    let file = data_file.ok_or_else(|| document.missing("data.file", "the rows to train on, JSONL or Parquet"))?;
    let (model, data) = (ModelSection { path }, DataSection { file, format, max_length, duplicates, loss });
    Ok(Config { base, model, data, train, lora, validation, checkpoint, device, rl })
}

fn train(document: &Document<'_>, max_length: usize, lora: bool, rl: Option<&Recipe>) -> Result<TrainSection, ConfigError> {
    let get = |key: &str| document.get("train", key);
    let length = match (get("steps"), get("epochs")) {
        (Some(_), Some(epochs)) => return Err(epochs.refuse("and `train.steps` both say when training ends: keep one")),
        (Some(steps), None) => Length::Steps(steps.integer(1..=MOST)?),
        (None, Some(epochs)) if rl.is_some() => {
            return Err(epochs.refuse("has no meaning with [rl], whose prompts are drawn without end: give `train.steps`"));
        }
        (None, None) if rl.is_some() => {
            return Err(document.missing("train.steps", "how many updates to make; prompts are drawn without end"));
        }
        (None, epochs) => Length::Epochs(read_or(epochs, 1, |e| e.integer(1..=1_000_000))?),
    };
    let batch = match (get("batch"), get("batch_tokens")) {
        (Some(_), Some(tokens)) => return Err(tokens.refuse("and `train.batch` both say what a step takes: keep one")),
        (None, Some(tokens)) if rl.is_some() => {
            return Err(tokens.refuse("has no meaning with [rl]: give `train.batch`, the prompts of a step"));
        }
        (None, Some(tokens)) => StepSize::Tokens(tokens.size(1..=1 << 40)?),
        (batch, None) => StepSize::Examples(read_or(batch, if rl.is_some() { 128 } else { 16 }, |e| e.size(1..=1 << 20))?),
    };
    let micro_batch_tokens = read_or(get("micro_batch_tokens"), None, |entry| {
        let tokens = size_or_auto(entry, MOST_TOKENS)?;
        let (new, and_new) =
            rl.map_or((0, String::new()), |rl| (rl.max_new_tokens, format!(" with `rl.max_new_tokens` {}", rl.max_new_tokens)));
        match tokens.filter(|&tokens| tokens < max_length + new) {
            Some(tokens) => Err(entry.refuse(format!(
                "is {tokens}, and an example of `data.max_length` {max_length}{and_new} must fit: raise one or lower the other"
            ))),
            None => Ok(tokens),
        }
    })?;
    let warmup = read_or(get("warmup"), if rl.is_some() { Warmup::Steps(0) } else { Warmup::Share(0.03) }, |entry| {
        if !entry.is_integer() {
            return entry
                .number(|x| (0.0..1.0).contains(&x), "a whole number of steps, or a share of them from 0.0 to below 1.0")
                .map(Warmup::Share);
        }
        let steps = entry.integer(0..=MOST)?;
        match length {
            Length::Steps(all) if steps > all => Err(entry.refuse(format!("is {steps}, more than the {all} of `train.steps`"))),
            _ => Ok(Warmup::Steps(steps)),
        }
    })?;
    let betas = read_or(get("betas"), [0.9, 0.999], |entry| {
        let wanted = "two numbers from 0 to below 1";
        match entry.list(wanted)?.as_slice() {
            [first, second] => {
                Ok([first.number(|x| (0.0..1.0).contains(&x), wanted)?, second.number(|x| (0.0..1.0).contains(&x), wanted)?])
            }
            _ => Err(entry.not(wanted)),
        }
    })?;
    // The paper's rate; adapters take ten times as much, as they do in fine-tuning.
    let lr = match (rl.is_some(), lora) {
        (false, false) => 1e-5,
        (false, true) => 1e-4,
        (true, false) => 2e-6,
        (true, true) => 2e-5,
    };
    let schedule = if rl.is_some() { Schedule::Constant } else { Schedule::default() };
    Ok(TrainSection {
        length,
        batch,
        micro_batch_tokens,
        lr: read_or(get("lr"), lr, |e| e.number(|x| x > 0.0 && x <= 1.0, "a number above 0, at most 1"))?,
        schedule: read_or(get("schedule"), schedule, |e| e.choice(&SCHEDULES))?,
        warmup,
        weight_decay: read_or(get("weight_decay"), 0.01, |e| e.number(|x| (0.0..=1.0).contains(&x), "a number from 0 to 1"))?,
        betas,
        eps: read_or(get("eps"), 1e-8, |e| e.number(|x| x > 0.0 && x <= 1.0, "a number above 0, at most 1"))?,
        max_grad_norm: read_or(get("max_grad_norm"), 1.0, |e| e.number(|x| x > 0.0, "a number above 0 (inf: no clipping)"))?,
        seed: read_or(get("seed"), 0, |e| e.integer(0..=MOST))?,
        dtype: read_or(get("dtype"), DType::BF16, |e| e.choice(&DTYPES))?,
    })
}

fn lora(document: &Document<'_>) -> Result<LoraSection, ConfigError> {
    let rank = read_or(document.get("lora", "rank"), 16, |e| e.size(1..=4096))?;
    let alpha = read_or(document.get("lora", "alpha"), 2.0 * rank as f64, |e| e.number(positive, "a number above 0"))?;
    let default = Targets { attention: true, mlp: true, experts: false };
    let targets = read_or(document.get("lora", "targets"), default, |entry| {
        let mut targets = Targets::default();
        for item in entry.list("a list of \"attention\", \"mlp\", \"experts\"")? {
            let one = item.choice(&[("attention", 0), ("mlp", 1), ("experts", 2)])?;
            let target = [&mut targets.attention, &mut targets.mlp, &mut targets.experts];
            for (at, target) in target.into_iter().enumerate() {
                *target |= at == one;
            }
        }
        if targets == Targets::default() { Err(entry.not("at least one of \"attention\", \"mlp\", \"experts\"")) } else { Ok(targets) }
    })?;
    Ok(LoraSection { rank, alpha, targets })
}

pub(super) fn name<T: PartialEq>(choices: &[(&'static str, T)], value: &T) -> String {
    choices.iter().find(|(_, choice)| choice == value).map_or("other", |(name, _)| name).to_string()
}

pub(super) fn result_keys(config: &Config) -> Vec<(&'static str, String)> {
    // No `..`: a new key has to be thought of here.
    let Config { base: _, model, data, train, lora, validation: _, checkpoint: _, device, rl } = config;
    let DataSection { file, format, max_length, duplicates, loss } = data;
    let TrainSection { length, batch, micro_batch_tokens, lr, schedule, warmup, weight_decay, betas, eps, max_grad_norm, seed, dtype } =
        train;
    let mut keys = vec![
        ("model.path", model.path.clone()),
        ("data.file", file.clone()),
        ("data.format", name(&FORMATS, format)),
        ("data.max_length", max_length.to_string()),
        ("data.duplicates", name(&DUPLICATES, duplicates)),
        ("data.loss", name(&LOSSES, loss)),
    ];
    let length = match length {
        Length::Steps(steps) => ("train.steps", steps.to_string()),
        Length::Epochs(epochs) => ("train.epochs", epochs.to_string()),
    };
    if !config.train.steps_do_not_depend_on_the_length() {
        keys.push(length);
    }
    keys.push(match batch {
        StepSize::Examples(examples) => ("train.batch", examples.to_string()),
        StepSize::Tokens(tokens) => ("train.batch_tokens", tokens.to_string()),
    });
    keys.extend([
        // Sums of other micro-batches round otherwise.
        ("train.micro_batch_tokens", micro_batch_tokens.map_or("auto".into(), |tokens| tokens.to_string())),
        ("train.lr", format!("{lr:e}")),
        ("train.schedule", name(&SCHEDULES, schedule)),
        (
            "train.warmup",
            match warmup {
                Warmup::Steps(steps) => steps.to_string(),
                Warmup::Share(share) => format!("{share:?} of all"),
            },
        ),
        ("train.weight_decay", format!("{weight_decay:e}")),
        ("train.betas", format!("{betas:?}")),
        ("train.eps", format!("{eps:e}")),
        ("train.max_grad_norm", format!("{max_grad_norm:e}")),
        ("train.seed", seed.to_string()),
        ("train.dtype", name(&DTYPES, dtype)),
    ]);
    if let Some(LoraSection { rank, alpha, targets: Targets { attention, mlp, experts } }) = lora {
        let names = [(attention, "attention"), (mlp, "mlp"), (experts, "experts")];
        let targets: Vec<&str> = names.iter().filter(|(on, _)| **on).map(|&(_, name)| name).collect();
        keys.extend([("lora.rank", rank.to_string()), ("lora.alpha", format!("{alpha:e}")), ("lora.targets", targets.join(" "))]);
    }
    keys.extend(rl.iter().flat_map(rl::result_keys));
    keys.push(("device.kind", name(&KINDS, &device.kind)));
    // They are other micro-batches. Runs of before there were lanes had one.
    if device.lanes > 1 {
        keys.push(("device.lanes", device.lanes.to_string()));
    }
    keys
}

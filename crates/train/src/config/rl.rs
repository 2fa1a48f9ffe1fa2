//! The keys of the recipe's tables: default, range, and how they enter the hash.

use super::ConfigError;
use super::keys::{MOST, name, read_or};
use super::reader::{Document, Entry};
use crate::rl::advantage::{self, Center, Scale};
use crate::rl::aepo::{self, Mode, Thresholds};
use crate::rl::clip::{Amount, Clip, Threshold, Unit, Which};
use crate::rl::loss::Norm;
use crate::rl::memory::Memory;
use crate::rl::recipe::{Alarms, Credit, LogprobSpace, PromptTemplate, Recipe, RewardSource};
use crate::rl::sampler::Balance;

/// The recipe's tables, `[rl]` first.
pub(super) const TABLES: [&str; 7] = ["rl", "memory", "advantage", "aepo", "clip", "judge", "alarms"];

const SPACES: [(&str, LogprobSpace); 2] = [("full", LogprobSpace::Full), ("nucleus", LogprobSpace::Nucleus)];
const NORMS: [(&str, Norm); 2] = [("group", Norm::Group), ("batch", Norm::Batch)];
const BALANCES: [(&str, Balance); 2] = [("task", Balance::Task), ("none", Balance::None)];
const CREDITS: [(&str, Credit); 2] = [("trajectory", Credit::Trajectory), ("final", Credit::Final)];
const TEMPLATES: [(&str, PromptTemplate); 2] = [("chat", PromptTemplate::Chat), ("plain", PromptTemplate::Plain)];
const CENTERS: [(&str, Center); 2] = [("group", Center::Group), ("none", Center::None)];
const SCALES: [(&str, Scale); 4] = [("task", Scale::Task), ("group", Scale::Group), ("batch", Scale::Batch), ("none", Scale::None)];
const MODES: [(&str, Mode); 3] = [("latch", Mode::Latch), ("band", Mode::Band), ("off", Mode::Off)];
const UNITS: [(&str, Option<Unit>); 3] = [("off", None), ("token", Some(Unit::Token)), ("sequence", Some(Unit::Sequence))];

/// Which key of `[clip]` says how much.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    High,
    Low,
    Random,
    All,
}
const SIDES: [(&str, Side); 4] = [("high", Side::High), ("low", Side::Low), ("random", Side::Random), ("all", Side::All)];

/// `None` without `[rl]`; then none of the other tables has a meaning.
pub(super) fn read(document: &Document<'_>) -> Result<Option<Recipe>, ConfigError> {
    if document.has(TABLES[0]) {
        return tables(document).map(Some);
    }
    match TABLES.into_iter().find(|table| document.has(table)) {
        Some(table) => {
            let hint = format!("[{table}] belongs to reinforcement learning, which a table [rl] asks for; `longhand init rl` writes one");
            Err(document.missing("[rl]", &hint))
        }
        None => Ok(None),
    }
}

/// The recipe, with defaults for what is not there.
pub(super) fn tables(document: &Document<'_>) -> Result<Recipe, ConfigError> {
    let get = |key: &str| document.get("rl", key);
    let default = Recipe::default();
    let recipe = Recipe {
        group: read_or(get("group"), default.group, |e| e.size(1..=1 << 16))?,
        max_new_tokens: read_or(get("max_new_tokens"), default.max_new_tokens, |e| e.size(1..=1 << 24))?,
        temperature: read_or(get("temperature"), default.temperature, |e| {
            e.number(|x| x > 0.0 && x <= 100.0, "a number above 0, at most 100 (without chance, all rollouts of a group are the same)")
        })?,
        top_p: read_or(get("top_p"), default.top_p, |e| e.number(|x| x > 0.0 && x <= 1.0, "a number above 0, at most 1"))?,
        logprob_space: read_or(get("logprob_space"), default.logprob_space, |e| e.choice(&SPACES))?,
        loss_norm: read_or(get("loss_norm"), default.loss_norm, |e| e.choice(&NORMS))?,
        reward: read_or(get("reward"), default.reward, reward)?,
        reward_seconds: read_or(get("reward_seconds"), default.reward_seconds, |e| e.integer(1..=86_400))?,
        credit: read_or(get("credit"), default.credit, |e| e.choice(&CREDITS))?,
        balance: read_or(get("balance"), default.balance, |e| e.choice(&BALANCES))?,
        prompt_template: read_or(get("prompt_template"), default.prompt_template, |e| e.choice(&TEMPLATES))?,
        skip_truncated: read_or(get("skip_truncated"), default.skip_truncated, |e| e.flag())?,
        memory: document.has("memory").then(|| memory(document)).transpose()?,
        advantage: advantage::Settings {
            center: read_or(document.get("advantage", "center"), Center::default(), |e| e.choice(&CENTERS))?,
            scale: read_or(document.get("advantage", "scale"), Scale::default(), |e| e.choice(&SCALES))?,
        },
        aepo: aepo(document)?,
        clip: clip(document)?,
        judge: document.get("judge", "model").map(|e| e.text()).transpose()?,
        alarms: alarms(document)?,
    };
    if let Some(entry) = get("group")
        && recipe.group == 1
        && recipe.advantage.center == Center::Group
    {
        return Err(entry.refuse("is 1, and a group of one has no mean to differ from: every advantage would be 0"));
    }
    Ok(recipe)
}

fn reward(entry: &Entry<'_>) -> Result<RewardSource, ConfigError> {
    let text = entry.text()?;
    if text == "rule" {
        return Ok(RewardSource::OfPrompt);
    }
    if let Some(command) = text.strip_prefix("exec:") {
        let command = command.trim();
        return if command.is_empty() {
            Err(entry.refuse("names no command after `exec:`"))
        } else {
            Ok(RewardSource::Command(command.into()))
        };
    }
    let is_url = |text: &str| ["http://", "https://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if let Some(url) = text.strip_prefix("http:").filter(|url| is_url(url)).or(Some(text.as_str()).filter(|url| is_url(url))) {
        return Ok(RewardSource::Server(url.into()));
    }
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        return Ok(RewardSource::Rule(text));
    }
    Err(entry.not("\"rule\" (the one that each prompt names), a rule's name, \"exec:COMMAND\" or \"http:URL\""))
}

fn memory(document: &Document<'_>) -> Result<Memory, ConfigError> {
    let get = |key: &str| document.get("memory", key);
    let default = Memory::default();
    let tokens = |entry: &Entry<'_>| entry.size(16..=1 << 24);
    let short = read_or(get("short"), default.short, |e| e.flag())?;
    if let (true, Some(plan)) = (short, get("plan")) {
        return Err(plan.refuse("has no meaning with short prompts, which make no plan"));
    }
    Ok(Memory {
        chunk: read_or(get("chunk"), default.chunk, tokens)?,
        memory: read_or(get("memory"), default.memory, tokens)?,
        plan: if short { 0 } else { read_or(get("plan"), default.plan, tokens)? },
        short,
        quotes: read_or(get("quotes"), default.quotes, |e| e.flag())?,
    })
}

fn aepo(document: &Document<'_>) -> Result<aepo::Settings, ConfigError> {
    let mode = read_or(document.get("aepo", "mode"), Mode::default(), |e| e.choice(&MODES))?;
    let nats = |entry: &Entry<'_>| entry.number(|x| x >= 0.0 && x.is_finite(), "a number of nats from 0");
    let thresholds = match (document.get("aepo", "low"), document.get("aepo", "high")) {
        (None, None) => None,
        (Some(low), Some(high)) => {
            let thresholds = Thresholds { low: nats(&low)?, high: nats(&high)? };
            if thresholds.low > thresholds.high {
                return Err(low.refuse(format!("is {}, above the {} of `aepo.high`", thresholds.low, thresholds.high)));
            }
            Some(thresholds)
        }
        (Some(one), None) | (None, Some(one)) => {
            return Err(one.refuse("stands alone: give `aepo.low` and `aepo.high`, or neither (they follow from the first 10 steps)"));
        }
    };
    Ok(aepo::Settings { mode, thresholds })
}

fn clip(document: &Document<'_>) -> Result<Option<Clip>, ConfigError> {
    let get = |key: &str| document.get("clip", key);
    let unit = read_or(get("unit"), None, |e| e.choice(&UNITS))?;
    let side = read_or(get("which"), Side::High, |e| e.choice(&SIDES))?;
    let share = |entry: Entry<'_>| entry.number(|x| (0.0..=1.0).contains(&x), "a number from 0 to 1");
    let threshold = match (get("threshold"), get("quantile")) {
        (Some(_), Some(quantile)) => return Err(quantile.refuse("and `clip.threshold` both say where to clip: keep one")),
        (Some(value), None) => Some(Threshold::Value(value.number(|x| x >= 0.0 && x.is_finite(), "a number of nats from 0")?)),
        (None, Some(quantile)) => Some(Threshold::Quantile(share(quantile)?)),
        (None, None) => None,
    };
    let drawn = get("share").map(share).transpose()?;
    let Some(unit) = unit else { return Ok(None) };

    let stray = |keys: &[&str], words: &str| keys.iter().find_map(|key| get(key)).map_or(Ok(()), |entry| Err(entry.refuse(words)));
    match side {
        Side::High | Side::Low => stray(&["share"], "is for `clip.which = \"random\"`: give `clip.threshold` or `clip.quantile`")?,
        Side::Random => stray(&["threshold", "quantile"], "is for high and low entropy: give `clip.share`")?,
        Side::All => stray(&["threshold", "quantile", "share"], "has no meaning where all negatives are left out")?,
    }
    let threshold = || threshold.ok_or_else(|| document.missing("clip.threshold", "so many nats; or give `clip.quantile`, from 0 to 1"));
    let which = match side {
        Side::High => Which::High(threshold()?),
        Side::Low => Which::Low(threshold()?),
        Side::Random => {
            let missing = || document.missing("clip.share", "the share of the negatives to leave out, from 0 to 1");
            Which::Random(Amount::Share(drawn.ok_or_else(missing)?))
        }
        Side::All => Which::All,
    };
    Ok(Some(Clip { unit, which }))
}

fn alarms(document: &Document<'_>) -> Result<Alarms, ConfigError> {
    let get = |key: &str| document.get("alarms", key);
    let default = Alarms::default();
    Ok(Alarms {
        entropy_high: read_or(get("entropy_high"), default.entropy_high, |e| e.number(|x| x > 0.0, "a number above 0 (inf: never)"))?,
        entropy_low: read_or(get("entropy_low"), default.entropy_low, |e| {
            e.number(|x| x >= 0.0 && x.is_finite(), "a number from 0 (0: never)")
        })?,
        truncated: read_or(get("truncated"), default.truncated, |e| {
            e.number(|x| (0.0..=1.0).contains(&x), "a share from 0 to 1 (1: never)")
        })?,
        gap: read_or(get("gap"), default.gap, |e| e.integer(0..=MOST))?,
    })
}

/// Every key that affects what is learned; alarms do not.
pub(super) fn result_keys(recipe: &Recipe) -> Vec<(&'static str, String)> {
    // Named one by one: a new field does not compile until it is here or left out on purpose.
    let Recipe {
        group,
        max_new_tokens,
        temperature,
        top_p,
        logprob_space,
        loss_norm,
        reward,
        reward_seconds,
        credit,
        balance,
        prompt_template,
        skip_truncated,
        memory,
        advantage: advantage::Settings { center, scale },
        aepo: aepo::Settings { mode, thresholds },
        clip,
        judge,
        alarms: _,
    } = recipe;
    let mut keys = vec![
        ("rl.group", group.to_string()),
        ("rl.max_new_tokens", max_new_tokens.to_string()),
        ("rl.temperature", format!("{temperature:e}")),
        ("rl.top_p", format!("{top_p:e}")),
        ("rl.logprob_space", name(&SPACES, logprob_space)),
        ("rl.loss_norm", name(&NORMS, loss_norm)),
        (
            "rl.reward",
            match reward {
                RewardSource::OfPrompt => "rule".into(),
                RewardSource::Rule(rule) => rule.clone(),
                RewardSource::Command(command) => format!("exec:{command}"),
                RewardSource::Server(url) => format!("http:{url}"),
            },
        ),
        ("rl.reward_seconds", reward_seconds.to_string()),
        ("rl.credit", name(&CREDITS, credit)),
        ("rl.balance", name(&BALANCES, balance)),
        ("rl.prompt_template", name(&TEMPLATES, prompt_template)),
        ("rl.skip_truncated", skip_truncated.to_string()),
        ("memory.chunk", memory.map_or("whole".into(), |memory| memory.chunk.to_string())),
        ("advantage.center", name(&CENTERS, center)),
        ("advantage.scale", name(&SCALES, scale)),
        ("aepo.mode", name(&MODES, mode)),
    ];
    if *mode != Mode::Off {
        let nats = |value: Option<f64>| value.map_or("of the first steps".into(), |value| format!("{value:e}"));
        keys.extend([("aepo.low", nats(thresholds.map(|t| t.low))), ("aepo.high", nats(thresholds.map(|t| t.high)))]);
    }
    if let Some(Memory { chunk: _, memory, plan, short, quotes }) = memory {
        let numbers = [("memory.memory", memory.to_string()), ("memory.plan", plan.to_string()), ("memory.short", short.to_string())];
        keys.extend(numbers);
        if *quotes {
            keys.push(("memory.quotes", "true".into()));
        }
    }
    keys.push(("clip.unit", name(&UNITS, &clip.map(|clip| clip.unit))));
    if let Some(Clip { which, .. }) = clip {
        let (side, amount) = match which {
            Which::High(threshold) => ("high", Some(of_threshold(threshold))),
            Which::Low(threshold) => ("low", Some(of_threshold(threshold))),
            Which::Random(Amount::Share(share)) => ("random", Some(("clip.share", format!("{share:e}")))),
            Which::Random(Amount::Count(count)) => ("random", Some(("clip.share", format!("{count} units")))),
            Which::All => ("all", None),
        };
        keys.push(("clip.which", side.into()));
        keys.extend(amount);
    }
    keys.extend(judge.iter().map(|judge| ("judge.model", judge.clone())));
    keys
}

fn of_threshold(threshold: &Threshold) -> (&'static str, String) {
    match threshold {
        Threshold::Value(value) => ("clip.threshold", format!("{value:e}")),
        Threshold::Quantile(q) => ("clip.quantile", format!("{q:e}")),
    }
}

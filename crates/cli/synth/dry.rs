//! `longhand synth run --dry-run`: what the documents give, and what asking the model will take.

use std::collections::BTreeMap;
use std::path::Path;

use ::synth::{Assumed, Benchmarks, Group, Load, Prose, ROLES, Rates, Size, at_most, estimate};
use anyhow::Result;
use serde_json::{Value, json};
use train::run::view::duration;

use super::config::Config;
use super::corpus::Read;
use super::earlier::{Earlier, said};
use super::extract;
use super::model::Price;

/// Tokens that a chat template puts around one message.
const TEMPLATE: f64 = 8.0;
/// A reply's length where no earlier run says it, as a share of what it may be.
const REPLY: f64 = 0.5;

/// Calls of a role as they are expected.
#[derive(Clone, Copy, Default)]
struct Expected {
    calls: f64,
    prompts: f64,
    replies: f64,
    seconds: Option<f64>,
}

impl Expected {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.prompts += other.prompts;
        self.replies += other.replies;
        self.seconds = self.seconds.zip(other.seconds).map(|(one, other)| one + other);
    }

    fn cost(&self, price: Price) -> f64 {
        (self.prompts * price.prompt + self.replies * price.reply) / 1e6
    }

    fn json(&self, price: Option<Price>) -> Value {
        let (calls, prompts, replies) = (self.calls.round() as u64, self.prompts.round() as u64, self.replies.round() as u64);
        let mut out = json!({"calls": calls, "prompt_tokens": prompts, "reply_tokens": replies});
        if let Some(price) = price {
            out["cost"] = self.cost(price).into();
        }
        if let Some(seconds) = self.seconds {
            out["seconds"] = seconds.into();
        }
        out
    }
}

/// Says it, by `like`'s shares where that is an earlier dataset's folder.
pub fn run(config: &Config, read: &Read, benchmarks: &Benchmarks, like: Option<&Path>, as_json: bool) -> Result<()> {
    let plans: Vec<_> = config.questions.iter().map(|group| (group, read.feasible(group))).collect();
    let mut out = json!({
        "corpus": read.json(),
        "questions": plans.iter().map(|(group, says)| json!({"name": group.name(), "wanted": group.count, "says": says})).collect::<Vec<_>>(),
    });
    if !as_json {
        plans.iter().for_each(|(group, says)| println!("{:<18} {:>6} wanted; {says}", group.name(), group.count));
    }
    let Some(model) = &config.model else {
        if as_json {
            out["expected"] = json!({"all": Expected::default().json(None)});
            out["at_most"] = Expected::default().json(None);
            println!("{out}");
        } else {
            println!("no model is asked: 0 calls, 0 tokens");
        }
        return Ok(());
    };
    let earlier = Earlier::open(like)?;
    let rates = earlier.rates(&config.questions);
    let facts = extract::cost(config, read, &earlier.tables())?;
    let assumed = Assumed { trial: &config.trial, rates: &rates, prose: prose(config, read) };
    let found = estimate(&config.questions, &read.ground(benchmarks), config.checks.searchable, config.seed, &assumed)
        .map_err(anyhow::Error::msg)?;

    let mut loads = found.roles.clone();
    let mut most = at_most(&config.questions, &config.trial);
    for (role, load) in facts {
        // A malformed reply is asked for once more.
        loads.entry(role).or_default().take(load, 1.0 + earlier.malformed());
        most.entry(role).or_default().take(load, 2.0);
    }
    let expected: BTreeMap<&str, Expected> =
        loads.iter().map(|(role, load)| (*role, of(load, role, config, &earlier))).filter(|(_, expected)| expected.calls > 0.0).collect();
    let all = sum(expected.values());
    let most = sum(most.iter().map(|(role, load)| bound(load, role, config)).collect::<Vec<_>>().iter());
    if as_json {
        out["expected"] = expected.iter().map(|(role, expected)| (role.to_string(), expected.json(model.price))).collect();
        out["expected"]["all"] = all.json(model.price);
        out["at_most"] = Expected { seconds: None, ..most }.json(model.price);
        out["rows"] = json!(found.rows);
        out["assumed"] = assumptions(&config.questions, &rates, like, &earlier);
        println!("{out}");
        return Ok(());
    }
    println!("\n{:<14} {:>9} {:>15} {:>15}{}", "expected", "calls", "prompt tokens", "reply tokens", heads(model.price, &all));
    for role in ROLES {
        if let Some(expected) = expected.get(role) {
            println!("{}", line(role, expected, model.price));
        }
    }
    println!("{}", line("all", &all, model.price));
    println!("{}", line("at most", &Expected { seconds: None, ..most }, model.price));
    let from = like.map_or("no earlier run, --like DIR names one".to_string(), |folder| folder.display().to_string());
    println!("\nby the shares of {from}; at most, if every candidate failed its last check and every reply were as long as may be");
    for (group, rates) in config.questions.iter().zip(&rates) {
        println!("{:<18} {}", group.name(), said(group, rates, config.trial.closed_book > 0));
    }
    if found.supposed > 0 {
        println!("{} rows are of facts that the model has yet to find: it is taken to find enough", found.supposed);
    }
    Ok(())
}

/// Documents that a model is to find facts in, in the mean.
fn prose(config: &Config, read: &Read) -> Prose {
    let asked = if config.extract.is_some() { read.prose() } else { Vec::new() };
    let (mut bytes, mut tokens) = (0, 0);
    for source in asked.iter().map(|(at, _)| &read.corpus.sources[*at]) {
        (bytes, tokens) = (bytes + source.document.text.len(), tokens + source.tokens);
    }
    let documents = asked.len();
    Prose { documents, mean: Size { bytes: bytes / documents.max(1), tokens: tokens / documents.max(1) } }
}

/// Tokens of a role's reply, at most.
fn longest(role: &str, config: &Config) -> f64 {
    let agents = config.questions.iter().map(|group| &group.agents);
    let most = match role {
        "schema" | "facts" | "fields" => config.extract.as_ref().map_or(0, |extract| extract.reply),
        "propose" | "solve" => agents.map(|agents| agents.reply).max().unwrap_or(0),
        "verify" => agents.map(|agents| agents.verdict).max().unwrap_or(0),
        _ => config.trial.reply,
    };
    most as f64
}

fn of(load: &Load, role: &str, config: &Config, earlier: &Earlier) -> Expected {
    let prompts = match earlier.prompt(role).filter(|_| role == "verify") {
        // Questions and answers are not there yet, and no document is in it: as long as it was.
        Some(prompt) => prompt * load.calls,
        None => earlier.density(role).map_or(load.tokens + TEMPLATE * load.calls, |density| density * load.bytes),
    };
    let replies = load.calls * earlier.reply(role).unwrap_or(REPLY * longest(role, config));
    Expected { calls: load.calls, prompts, replies, seconds: earlier.pace(role).map(|pace| pace * (prompts + replies)) }
}

fn bound(load: &Load, role: &str, config: &Config) -> Expected {
    let prompts = load.tokens + TEMPLATE * load.calls;
    Expected { calls: load.calls, prompts, replies: load.calls * longest(role, config), seconds: None }
}

fn sum<'a>(all: impl Iterator<Item = &'a Expected>) -> Expected {
    let mut out = Expected { seconds: Some(0.0), ..Expected::default() };
    all.for_each(|one| out.add(*one));
    out
}

fn heads(price: Option<Price>, all: &Expected) -> String {
    let cost = if price.is_some() { format!(" {:>10}", "cost") } else { String::new() };
    let time = if all.seconds.is_some() { "  time" } else { "" };
    cost + time
}

fn line(name: &str, expected: &Expected, price: Option<Price>) -> String {
    let Expected { calls, prompts, replies, seconds } = expected;
    let cost = price.map_or(String::new(), |price| format!(" {:>10.2}", expected.cost(price)));
    let time = seconds.map_or(String::new(), |seconds| format!("  {}", duration(seconds)));
    format!("{name:<14} {:>9} {:>15} {:>15}{cost}{time}", calls.round(), prompts.round(), replies.round())
}

fn assumptions(groups: &[Group], rates: &[Rates], like: Option<&Path>, earlier: &Earlier) -> Value {
    let of = |(group, rates): (&Group, &Rates)| {
        let Rates { again, solved, doubtful, agreed, closed_book, with_evidence, robust } = rates;
        json!({
            "name": group.name(), "closed_book": closed_book, "with_evidence": with_evidence, "robust": robust,
            "again": again, "solved": solved, "doubtful": doubtful, "agreed": agreed,
        })
    };
    json!({
        "like": like.map(|folder| folder.display().to_string()),
        "malformed": earlier.malformed(),
        "groups": groups.iter().zip(rates).map(of).collect::<Vec<_>>(),
    })
}

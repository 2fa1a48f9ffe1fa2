//! What an earlier run's report says of the next: shares, lengths of replies, tokens by byte, speed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ::synth::{Group, Maker, Rates};
use anyhow::{Context, Result};
use serde_json::Value;

use super::files::REPORT;

/// Shares of an earlier group count as much as so many candidates of all groups, and those of all groups as much as this many of the
/// defaults: a share of few candidates says little.
const WEIGHT: f64 = 4.0;
/// The share of replies that are not the JSON that was asked for.
const MALFORMED: f64 = 0.02;

/// An earlier run's report, or none.
pub struct Earlier {
    report: Value,
}

/// (those that came in, those that went on).
#[derive(Clone, Copy, Default)]
struct Through(f64, f64);

impl Through {
    fn add(&mut self, came: f64, went: f64) {
        (self.0, self.1) = (self.0 + came, self.1 + went);
    }

    /// The share, with `known` as if it had been seen `WEIGHT` times.
    fn share(self, known: f64) -> f64 {
        (self.1 + WEIGHT * known) / (self.0 + WEIGHT)
    }
}

/// The steps of candidates, and of agents' questions.
type Steps = BTreeMap<&'static str, Through>;

impl Earlier {
    /// That of a dataset's folder.
    ///
    /// # Errors
    /// A folder without one.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let Some(folder) = folder else { return Ok(Self { report: Value::Null }) };
        let path = folder.join(REPORT);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}: is it a dataset's folder?", path.display()))?;
        Ok(Self { report: serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))? })
    }

    /// Of each group: by its own name there, else by all groups there, else the defaults.
    pub fn rates(&self, groups: &[Group]) -> Vec<Rates> {
        let before: Vec<(&str, Steps)> = (self.report["groups"].as_array().into_iter().flatten())
            .map(|group| (group["name"].as_str().unwrap_or_default(), steps(group)))
            .collect();
        let mut all = Steps::new();
        for (name, through) in before.iter().flat_map(|(_, steps)| steps) {
            all.entry(*name).or_default().add(through.0, through.1);
        }
        let usual = mixed(&all, Rates::default());
        let own = |group: &Group| before.iter().find(|(name, _)| *name == group.name()).map(|(_, steps)| steps);
        groups.iter().map(|group| own(group).map_or(usual, |steps| mixed(steps, usual))).collect()
    }

    /// The share of replies about documents that are not the JSON that was asked for.
    pub fn malformed(&self) -> f64 {
        let extract = &self.report["corpus"]["extract"];
        let (calls, malformed) = (extract["calls"].as_f64(), extract["malformed"].as_f64());
        calls.zip(malformed).map_or(MALFORMED, |(calls, malformed)| Through(calls, malformed).share(MALFORMED))
    }

    fn of(&self, role: &str, what: &str) -> Option<f64> {
        self.report["model"][role][what].as_f64().filter(|value| *value > 0.0)
    }

    /// Tokens of a reply, in the mean.
    pub fn reply(&self, role: &str) -> Option<f64> {
        Some(self.of(role, "reply_tokens")? / self.of(role, "calls")?)
    }

    /// Tokens of a prompt, in the mean.
    pub fn prompt(&self, role: &str) -> Option<f64> {
        Some(self.of(role, "prompt_tokens")? / self.of(role, "calls")?)
    }

    /// The fields of tables by the number of their `[[documents]]`.
    pub fn tables(&self) -> BTreeMap<usize, Vec<String>> {
        let tables = self.report["corpus"]["extract"]["tables"].as_object();
        let names = |fields: &Value| fields.as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_string())).collect();
        tables.into_iter().flatten().filter_map(|(group, fields)| Some((group.parse().ok()?, names(fields)))).collect()
    }

    /// Tokens of a prompt for each byte of its text, as the model counted them.
    pub fn density(&self, role: &str) -> Option<f64> {
        Some(self.of(role, "prompt_tokens")? / self.of(role, "prompt_bytes")?)
    }

    /// Seconds for each token of prompt and reply, other calls beside it.
    pub fn pace(&self, role: &str) -> Option<f64> {
        let stage = match role {
            "schema" | "facts" | "fields" => "extract",
            "closed_book" | "with_evidence" | "robust" => "trial",
            role => role,
        };
        let speed = &self.report["seconds"]["model"][stage];
        Some(speed["seconds"].as_f64()? / speed["tokens"].as_f64().filter(|tokens| *tokens > 0.0)?)
    }
}

fn steps(group: &Value) -> Steps {
    let mut out = Steps::new();
    for name in ["closed_book", "with_evidence", "robust"] {
        let step = group["waterfall"]["steps"].as_array().into_iter().flatten().find(|step| step["check"] == name);
        if let Some((came, went)) = step.and_then(|step| step["in"].as_f64().zip(step["out"].as_f64())) {
            out.insert(name, Through(came, went));
        }
    }
    let count = |name: &str| group["agents"][name].as_f64();
    let mut pair = |name, of: &str, to: &str| {
        if let Some((came, went)) = count(of).zip(count(to)) {
            out.insert(name, Through(came, went));
        }
    };
    pair("again", "visits", "proposals");
    pair("solved", "visits", "solved");
    pair("doubtful", "solved", "doubtful");
    pair("agreed", "solved", "agreed");
    out
}

fn mixed(steps: &Steps, known: Rates) -> Rates {
    let share = |name: &str, known: f64| steps.get(name).map_or(known, |through| through.share(known));
    Rates {
        again: share("again", known.again),
        solved: share("solved", known.solved),
        doubtful: share("doubtful", known.doubtful),
        agreed: share("agreed", known.agreed),
        closed_book: share("closed_book", known.closed_book),
        with_evidence: share("with_evidence", known.with_evidence),
        robust: share("robust", known.robust),
    }
}

/// In words, what is assumed of a group.
pub fn said(group: &Group, rates: &Rates, closed_book: bool) -> String {
    let percent = |share: f64| (100.0 * share).round();
    let closed = if closed_book { format!("{} % pass closed book, of those ", percent(rates.closed_book)) } else { String::new() };
    let mut out = format!(
        "{closed}{} % are answered with their evidence, of those {} % among other documents",
        percent(rates.with_evidence),
        percent(rates.robust)
    );
    if group.engine == Maker::Agents {
        out = format!(
            "{} % of visits give a question to solve, of those {} % are agreed upon, {:.1} answers of each are voted on; {out}",
            percent(rates.solved),
            percent(rates.agreed),
            rates.doubtful
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_come_from_the_group_then_from_all_then_from_the_defaults() {
        let step = |check: &str, came: u32, went: u32| json!({"check": check, "in": came, "out": went, "reasons": {}});
        let groups = json!([
            {"name": "graph, 1 link", "waterfall": {"steps": [step("closed_book", 996, 498), step("with_evidence", 498, 498)]}},
            {"name": "agents, numeric", "agents": {"visits": 100, "proposals": 150, "solved": 80, "doubtful": 200, "agreed": 40}, "waterfall": {"steps": []}},
        ]);
        let model = json!({"closed_book": {"calls": 10, "prompt_bytes": 1_000, "prompt_tokens": 300, "reply_tokens": 500}});
        let report = json!({"groups": groups, "model": model, "corpus": {"extract": {"calls": 996, "malformed": 100, "tables": {"1": ["surface"]}}}, "seconds": {"model": {"trial": {"seconds": 5.0, "tokens": 1_000}}}});
        let earlier = Earlier { report };
        let group = |text: &str| serde_json::from_str::<Group>(text).unwrap();
        let groups = [
            group(r#"{"engine": "graph", "count": 5, "hops": 1}"#),
            group(r#"{"engine": "table", "count": 5}"#),
            group(r#"{"engine": "agents", "count": 5, "agents": {"tasks": ["numeric"]}}"#),
        ];
        let rates = earlier.rates(&groups);
        assert!((rates[0].closed_book - 0.5).abs() < 0.01 && rates[0].with_evidence > 0.99 && rates[0].robust == Rates::default().robust);
        assert!((rates[1].closed_book - 0.5).abs() < 0.01, "{rates:?}");
        assert!((rates[2].again - 1.5).abs() < 0.02 && (rates[2].doubtful - 2.5).abs() < 0.12 && (rates[2].agreed - 0.5).abs() < 0.02);
        assert_eq!((earlier.reply("closed_book"), earlier.density("closed_book")), (Some(50.0), Some(0.3)));
        assert_eq!((earlier.reply("facts"), earlier.pace("robust"), earlier.pace("solve")), (None, Some(0.005), None));
        assert_eq!((earlier.prompt("closed_book"), earlier.tables()), (Some(30.0), BTreeMap::from([(1, vec!["surface".to_string()])])));
        assert!((earlier.malformed() - 0.1).abs() < 0.001);
        let none = Earlier::open(None).unwrap();
        assert_eq!((none.rates(&groups)[0], none.malformed(), none.reply("facts")), (Rates::default(), MALFORMED, None));
    }
}

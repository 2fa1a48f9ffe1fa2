//! `longhand synth check`: a dataset's derivations computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use ::synth::{audit, audit_kept, holds_if};
use anyhow::{Context, Result, ensure};
use data::{Derivation, Item};
use serde::Deserialize;
use serde_json::json;
use world::Random;

use super::calls::Kept;

/// Findings that are named one by one.
const NAMED: usize = 20;
/// Other values of the fact that decides.
const TRIES: usize = 5;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand synth check dataset/rows.jsonl --mutate")]
pub struct CheckArgs {
    /// The rows: a dataset's folder or its rows.jsonl.
    dataset: PathBuf,
    /// Say for each row as well whether its answer would still follow if one of its facts were another one of this dataset.
    #[arg(long)]
    mutate: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// How often an answer followed no longer, of how many changes.
#[derive(Default)]
struct Mutations {
    /// The fact that decides: the first of a table's, the last of a chain's.
    deciding: (usize, usize),
    /// Any fact, drawn at random.
    any: (usize, usize),
    /// Rows of which no fact could be changed.
    none: usize,
    /// The changes of any fact, by the row's task.
    tasks: BTreeMap<String, (usize, usize)>,
}

/// Runs the verb.
pub fn run(args: &CheckArgs) -> Result<()> {
    let path = if args.dataset.is_dir() { args.dataset.join("rows.jsonl") } else { args.dataset.clone() };
    let (mut rows, mut findings, mut bad) = (0usize, Vec::new(), BTreeSet::new());
    let mut not_run: BTreeMap<String, usize> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    // relation → values, for changes.
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let kept = Kept::beside(&path)?;
    each(&path, &mut |item| {
        let mut audit = if kept.any() { audit_kept(&item, &|call| kept.reply(call)) } else { audit(&item) };
        let said = kept.check(&item, &mut audit.not_run);
        findings.extend(said.into_iter().map(|problem| (item.id.clone(), problem)));
        rows += 1;
        if !ids.insert(item.id.clone()) {
            findings.push((item.id.clone(), "another row has its id".to_string()));
        }
        findings.extend(audit.findings.into_iter().map(|finding| (finding.id, finding.problem)));
        audit.not_run.into_iter().for_each(|what| *not_run.entry(what).or_default() += 1);
        if args.mutate {
            for fact in derivation(&item).map(|derivation| derivation.facts).unwrap_or_default() {
                values.entry(fact.relation).or_default().insert(fact.value);
            }
        }
    })?;
    ensure!(rows > 0, "{} holds no row", path.display());
    bad.extend(findings.iter().map(|(id, _)| id.clone()));
    let mut mutations = Mutations::default();
    if args.mutate {
        let mut number = 0;
        each(&path, &mut |item| {
            number += 1;
            mutations.row(&item, &values, &mut Random::new(&[number]));
        })?;
    }
    if args.json {
        let (deciding, any) = (mutations.deciding, mutations.any);
        let mut out = json!({
            "rows": rows, "bad": bad.len(), "not_run": not_run,
            "findings": findings.iter().map(|(id, problem)| json!({"id": id, "problem": problem})).collect::<Vec<_>>(),
        });
        if args.mutate {
            out["mutations"] = json!({
                "deciding": {"changed": deciding.1, "noticed": deciding.0}, "any": {"changed": any.1, "noticed": any.0},
                "rows_without": mutations.none,
                "tasks": mutations.tasks.iter().map(|(task, (noticed, changed))| (task.clone(), json!({"changed": changed, "noticed": noticed})))
                    .collect::<serde_json::Map<_, _>>(),
            });
        }
        println!("{out}");
    } else {
        findings.iter().take(NAMED).for_each(|(id, problem)| println!("{id}: {problem}"));
        if findings.len() > NAMED {
            println!("and {} findings more (--json has all)", findings.len() - NAMED);
        }
        not_run.iter().for_each(|(what, count)| println!("not computed for {count} rows: {what}"));
        println!("{rows} rows, {} with findings", bad.len());
        if args.mutate {
            mutations.lines().iter().for_each(|line| println!("{line}"));
        }
    }
    ensure!(bad.is_empty(), "{} of {rows} rows of {} are not as their derivations say", bad.len(), path.display());
    Ok(())
}

impl Mutations {
    /// The fact that decides, and any, with another value of the same relation.
    fn row(&mut self, item: &Item, values: &BTreeMap<String, BTreeSet<String>>, random: &mut Random) {
        let Some(derivation) = derivation(item) else { return };
        // With some other values, one after the other, until one is noticed.
        let changed = |at: usize, tries: usize, random: &mut Random| -> Option<bool> {
            let fact = derivation.facts.get(at)?;
            let mut others: Vec<&String> = values.get(&fact.relation)?.iter().filter(|value| **value != fact.value).collect();
            random.shuffle(&mut others);
            let outcomes: Vec<bool> = others.into_iter().take(tries).filter_map(|value| holds_if(item, at, value).ok().flatten()).collect();
            if outcomes.is_empty() { None } else { Some(outcomes.contains(&false)) }
        };
        let documents: Vec<usize> = (0..derivation.facts.len()).filter(|at| derivation.facts[*at].span.doc != "own").collect();
        let deciding = if derivation.table.is_some() { documents.first() } else { documents.last() };
        let deciding = deciding.and_then(|at| changed(*at, TRIES, random));
        let mut order = documents.clone();
        random.shuffle(&mut order);
        let any = order.into_iter().find_map(|at| changed(at, 1, random));
        let task = self.tasks.entry(item.task.clone()).or_default();
        for (outcome, count) in [(deciding, &mut self.deciding), (any, &mut self.any), (any, task)] {
            if let Some(noticed) = outcome {
                count.0 += usize::from(noticed);
                count.1 += 1;
            }
        }
        self.none += usize::from(any.is_none());
    }

    fn lines(&self) -> Vec<String> {
        let share = |(noticed, changed): (usize, usize)| {
            format!("{noticed} of {changed} ({:.1} %)", 100.0 * noticed as f64 / changed.max(1) as f64)
        };
        let mut out = vec![
            format!(
                "the stored answer no longer follows with one of {TRIES} other values of the fact that decides in {}",
                share(self.deciding)
            ),
            format!("with one other value of one fact, both drawn at random, in {}", share(self.any)),
            format!("rows of which no fact could be changed: {}", self.none),
        ];
        out.extend(self.tasks.iter().map(|(task, count)| format!("  {task:<16} {}", share(*count))));
        out
    }
}

fn derivation(item: &Item) -> Option<Derivation> {
    Derivation::deserialize(item.extra.get("derivation")?).ok()
}

/// Hands over every row of a file.
fn each(path: &Path, take: &mut dyn FnMut(Item)) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let place = || format!("{}, line {}", path.display(), number + 1);
        let line = line.with_context(place)?;
        if !line.trim().is_empty() {
            take(serde_json::from_str(&line).with_context(place)?);
        }
    }
    Ok(())
}

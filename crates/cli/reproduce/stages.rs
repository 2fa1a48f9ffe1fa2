//! `longhand reproduce stages`: the recipe's stages at a small scale, and their table beside the paper's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use data::TrainEvent;
use serde_json::Value;
use train::run::events;

use crate::stages;

/// Table 10 of the paper, on its 30B-A3B model: average of six benchmarks read as a whole, and MRCR of 512K to 1M tokens as a memory agent.
const PAPER: [(&str, f64, Option<f64>); 8] = [
    ("base", 61.92, Some(4.24)),
    ("naive GRPO", 67.24, None),
    ("stage 1", 69.59, Some(17.14)),
    ("stage 2", 70.46, Some(17.05)),
    ("stage 3", 71.59, Some(12.66)),
    ("memory RL", 68.53, Some(20.34)),
    ("SCE merge", 71.18, Some(21.68)),
    ("stage 4", 71.82, Some(22.53)),
];

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand reproduce stages\n  longhand reproduce stages --from-logs models/tiny/logs --out longhand-runs/stages"
)]
pub struct StagesArgs {
    /// The stages.
    #[arg(long, value_name = "FILE", default_value = "configs/stages/tiny.toml")]
    config: PathBuf,
    /// Where they go, and stages.html. What is done there is not run again.
    #[arg(long, value_name = "DIR", default_value = "longhand-runs/stages")]
    out: PathBuf,
    /// Run nothing: the page of a run that was kept (stages.json, and events.jsonl of each stage).
    #[arg(long, value_name = "DIR")]
    from_logs: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &StagesArgs) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let logs = match &args.from_logs {
        Some(logs) => logs,
        None => {
            eprintln!("about an hour and a half on two cores; killed at any moment, the same command goes on");
            stages::run(&stages::StagesArgs::plain(&args.config, &args.out))?;
            &args.out
        }
    };
    let path = logs.join("stages.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows: Vec<Value> = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    ensure!(!rows.is_empty(), "{} has no stages", path.display());
    let page = args.out.join("stages.html");
    fs::write(&page, html(&rows, logs)).with_context(|| format!("cannot write {}", page.display()))?;
    print!("{}", markdown(&rows));
    eprintln!("reproduced at small scale, beside figures quoted from the paper: {}", page.display());
    Ok(())
}

/// Each score's name and cell: per cent and their interval, or a loss and its margin.
fn scores(row: &Value) -> Vec<(&str, String)> {
    let of = |score: &Value| -> Option<String> {
        let number = |key: &str| score[key].as_f64();
        if let (Some(loss), Some(margin)) = (number("loss"), number("margin")) {
            return Some(format!("{loss:.3} ± {margin:.3}"));
        }
        let [mean, low, high] = ["accuracy", "low", "high"].map(number);
        Some(format!("{:.1} ({:.0} to {:.0})", 100.0 * mean?, 100.0 * low?, 100.0 * high?))
    };
    let named = row["scores"].as_object().into_iter().flatten();
    named.map(|(name, score)| (name.as_str(), of(score).unwrap_or_default())).collect()
}

fn markdown(rows: &[Value]) -> String {
    let names: Vec<&str> = rows.first().map(scores).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
    let mut text = format!("| stage | {} | quoted from the paper |\n| --- |{} --- |\n", names.join(" | "), " --- |".repeat(names.len()));
    for row in rows {
        let cells: Vec<String> = scores(row).into_iter().map(|(_, cell)| cell).collect();
        let stage = row["stage"].as_str().unwrap_or("");
        text += &format!("| {stage} | {} | {} |\n", cells.join(" | "), row["paper"].as_str().unwrap_or(""));
    }
    text
}

fn html(rows: &[Value], logs: &Path) -> String {
    let mut curves = String::new();
    for row in rows {
        let stage = row["stage"].as_str().unwrap_or("");
        let path = [logs.join(stage).join("run/events.jsonl"), logs.join(stage).join("events.jsonl")];
        let Some(events) = path.iter().find_map(|path| events::read(path).ok()) else { continue };
        for (what, values) in series(&events) {
            curves += &format!("<figure><figcaption>{stage}: {what}</figcaption>{}</figure>", curve(&values));
        }
    }
    let quoted: String = PAPER
        .iter()
        .map(|(stage, whole, agent)| {
            format!("<tr><td>{stage}<td>{whole:.2}<td>{}", agent.map_or(String::new(), |agent| format!("{agent:.2}")))
        })
        .collect();
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Stages</title><style>
:root {{ color-scheme: light dark }} body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ overflow-x: auto }} td {{ padding: 0 1rem 0 0 }} figure {{ display: inline-block; margin: 0 1rem 1rem 0; width: 17rem }} svg {{ width: 100% }}
figcaption {{ font-size: 13px }} polyline {{ fill: none; stroke: #2563eb; stroke-width: 1.5 }} path {{ stroke: currentColor; opacity: .25 }}
</style></head><body><h1>From a window to a notebook, stage by stage</h1>
<h2>Reproduced at small scale</h2><p>Per cent of held-out items that are right, with Wilson's 95 % interval; a loss in nats per token.</p>
<pre>{}</pre>{curves}
<h2>Quoted from the paper (table 10, 30B-A3B)</h2><table><tr><td>stage<td>average of six benchmarks<td>memory agent, MRCR 512K to 1M{quoted}</table>
</body></html>
"#,
        markdown(rows)
    )
}

/// What a run's curves are of.
fn series(events: &[TrainEvent]) -> Vec<(&'static str, Vec<f64>)> {
    let (mut loss, mut reward, mut entropy) = (vec![], vec![], vec![]);
    for event in events {
        match event {
            TrainEvent::Step(step) => loss.push(f64::from(step.loss)),
            TrainEvent::Rl(step) => {
                reward.push(f64::from(step.reward));
                entropy.push(f64::from(step.entropy));
            }
            _ => {}
        }
    }
    let all = if reward.is_empty() { vec![("loss", loss)] } else { vec![("reward", reward), ("entropy, nats", entropy)] };
    all.into_iter().filter(|(_, values)| values.len() > 1).collect()
}

/// At most a few hundred points: means of neighbours.
fn curve(values: &[f64]) -> String {
    let few: Vec<f64> = values.chunks(values.len().div_ceil(200)).map(|some| some.iter().sum::<f64>() / some.len() as f64).collect();
    let high = few.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let at = |(number, value): (usize, &f64)| {
        format!("{:.1},{:.1}", 200.0 * number as f64 / (few.len().max(2) - 1) as f64, 70.0 - 65.0 * value / high)
    };
    let points: Vec<String> = few.iter().enumerate().map(at).collect();
    let (first, last) = (values[0], values[values.len() - 1]);
    format!(
        r#"<svg viewBox="0 0 200 86" role="img"><path d="M0 70H200"/><polyline points="{}"/><text x="0" y="83" font-size="9" fill="currentColor">{first:.3}</text><text x="200" y="83" font-size="9" text-anchor="end" fill="currentColor">{last:.3}; highest {high:.3}</text></svg>"#,
        points.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kept_run_is_drawn_beside_the_paper() {
        let rows = [
            json!({"stage": "memory", "scores": {"notes": {"accuracy": 0.5, "low": 0.25, "high": 0.75}, "held-out": {"loss": 0.5, "margin": 0.01}}, "paper": "68.53"}),
        ];
        let table = markdown(&rows);
        assert!(
            table.starts_with("| stage | notes | held-out | quoted from the paper |")
                && table.contains("| memory | 50.0 (25 to 75) | 0.500 ± 0.010 | 68.53 |"),
            "{table}"
        );
        let page = html(&rows, Path::new("nowhere"));
        assert!(page.contains("memory RL<td>68.53<td>20.34") && page.contains("Reproduced at small scale"));
        assert!(curve(&[1.0, 0.5]).contains("0.0,5.0 200.0,37.5"));
    }
}

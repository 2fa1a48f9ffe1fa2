//! What the ladder found: lines of text, JSON, and one page with curves that loads nothing.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Outcome, Run, Rung};

/// Width, height and left and lower margin of a chart.
const CHART: (f64, f64, f64, f64) = (380.0, 200.0, 44.0, 22.0);
/// A colour for each arm.
const COLOURS: [&str; 4] = ["#2563eb", "#d97706", "#059669", "#9333ea"];

/// Values as bars of text, at most `width` of them, each the mean of its stretch; 0 to `high` from low to high.
pub fn sparkline(values: &[f32], width: usize, high: f32) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let stretch = values.len().div_ceil(width.max(1)).max(1);
    let bar = |values: &[f32]| {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        BARS[((mean / high * 8.0) as usize).min(7)]
    };
    values.chunks(stretch).map(bar).collect()
}

/// A seed's outcome as one JSON object.
pub fn json(rung: &Rung, outcome: &Outcome) -> Value {
    let run = |run: &Run| {
        json!({
            "arm": run.arm, "parameters": run.parameters, "warmup_steps": run.warmup, "seconds": run.seconds, "sha256": run.sha256,
            "mismatch_first": run.mismatch.0, "mismatch_most": run.mismatch.1, "masked_steps": run.masked.iter().filter(|&&masked| masked).count(),
            "rewards": run.rewards, "entropies": run.entropies,
            "held_out": run.held.iter().map(|validation| {
                let tasks: Vec<Value> = validation.tasks.iter().map(|task| json!({"task": task.task, "reward": task.reward})).collect();
                json!({"step": validation.step, "reward": validation.reward, "tasks": tasks})
            }).collect::<Value>(),
        })
    };
    let verdict = &outcome.verdict;
    json!({
        "rung": rung.name, "seed": outcome.seed, "pass": verdict.pass, "start": verdict.start, "end": verdict.end, "said": verdict.said,
        "runs": outcome.runs.iter().map(run).collect::<Value>(),
    })
}

/// The table at the end: a line for each rung.
pub fn table(rungs: &[(&Rung, Vec<Outcome>)]) -> String {
    let mut text = format!("{:<13} {:>6}  {:>7} {:>7} {:>7}  {:>8}  bar\n", "rung", "passed", "start", "end", "worst", "seconds");
    for (rung, outcomes) in rungs {
        let mean = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len().max(1) as f64;
        let worst = outcomes.iter().map(|outcome| outcome.verdict.end).fold(f64::INFINITY, f64::min);
        let seconds: f64 = outcomes.iter().flat_map(|outcome| &outcome.runs).map(|run| run.seconds).sum();
        let passed = format!("{} / {}", outcomes.iter().filter(|outcome| outcome.verdict.pass).count(), outcomes.len());
        let (start, end) = (mean(|outcome| outcome.verdict.start), mean(|outcome| outcome.verdict.end));
        let _ = writeln!(text, "{:<13} {passed:>6}  {start:>7.3} {end:>7.3} {worst:>7.3}  {seconds:>8.1}  {}", rung.name, rung.bar);
    }
    text
}

/// The page.
pub fn html(rungs: &[(&Rung, Vec<Outcome>)]) -> String {
    let body: String = rungs.iter().map(|(rung, outcomes)| section(rung, outcomes)).collect();
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Ladder</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }}
svg {{ width: 380px; max-width: 100%; height: auto; font-size: 11px }}
svg text {{ fill: currentColor }} .axis {{ stroke: currentColor; opacity: .5 }} .bar {{ stroke: currentColor; stroke-dasharray: 4 3; opacity: .6 }}
polyline {{ fill: none }} .thin {{ opacity: .3 }} table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ text-align: left; padding: .1rem .8rem .1rem 0 }} .fail {{ color: #dc2626; font-weight: 600 }} code {{ font-size: 12px }}
</style></head><body><h1>Ladder</h1>
<p>Toy tasks of reinforcement learning, one line for each seed. Thick lines: held-out reward of greedy completions; thin ones: mean reward of the
rollouts. Entropy: mean over rollouts of their mean token entropy, in nats.</p>
{body}</body></html>
"#
    )
}

fn section(rung: &Rung, outcomes: &[Outcome]) -> String {
    let runs: Vec<&Run> = outcomes.iter().flat_map(|outcome| &outcome.runs).collect();
    let mut lines = vec![];
    let mut entropies = vec![];
    for run in &runs {
        let colour = COLOURS[rung.arms.iter().position(|arm| arm.name == run.arm).unwrap_or(0) % COLOURS.len()];
        let steps = |values: &[f32]| values.iter().enumerate().map(|(n, &value)| ((n + 1) as f64, f64::from(value))).collect::<Vec<_>>();
        lines.push(Line { colour, thin: true, points: steps(&run.rewards) });
        let points = run.held.iter().map(|held| (held.step as f64, f64::from(held.reward))).collect();
        lines.push(Line { colour, thin: false, points });
        entropies.push(Line { colour, thin: false, points: steps(&run.entropies) });
    }
    let thresholds: Vec<f64> =
        runs.iter().find_map(|run| run.thresholds).map_or(vec![], |(low, high)| vec![f64::from(low), f64::from(high)]);
    let legend: String = if rung.arms.len() < 2 {
        String::new()
    } else {
        let arms = rung.arms.iter().enumerate();
        arms.map(|(n, arm)| format!(r#"<b style="color:{}">{}</b> "#, COLOURS[n % COLOURS.len()], arm.name)).collect()
    };
    let row = |outcome: &Outcome| {
        let verdict = &outcome.verdict;
        let pass = if verdict.pass { "<td>pass" } else { r#"<td class="fail">fail"# };
        let seconds: f64 = outcome.runs.iter().map(|run| run.seconds).sum();
        let hashes: Vec<&str> = outcome.runs.iter().map(|run| run.sha256.get(..16).unwrap_or_default()).collect();
        format!(
            "<tr><td>{}<td>{:.3}<td>{:.3}{pass}<td>{seconds:.1}<td><code>{}</code><td>{}</tr>\n",
            outcome.seed,
            verdict.start,
            verdict.end,
            hashes.join(" "),
            verdict.said
        )
    };
    let rows: String = outcomes.iter().map(row).collect();
    format!(
        "<h2>{}</h2><p>{}. Bar: {}. {} parameters. {legend}</p>\n{}{}\n<table><tr><th>seed<th>start<th>end<th><th>seconds<th>weights<th></tr>\n{rows}</table>\n",
        rung.name,
        rung.about,
        rung.bar,
        runs.first().map_or(0, |run| run.parameters),
        chart("reward", &lines, &[]),
        chart("entropy", &entropies, &thresholds),
    )
}

/// A curve of a chart.
struct Line {
    colour: &'static str,
    thin: bool,
    /// (step, value).
    points: Vec<(f64, f64)>,
}

/// Lines from 0 to their highest point, and dashed levels.
fn chart(title: &str, lines: &[Line], levels: &[f64]) -> String {
    let (width, height, left, below) = CHART;
    let points = || lines.iter().flat_map(|line| &line.points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let high = points().map(|point| point.1).chain(levels.iter().copied()).filter(|value| value.is_finite()).fold(1e-9, f64::max);
    let x = |step: f64| left + step / last * (width - left - 8.0);
    let y = |value: f64| 18.0 + (1.0 - value.max(0.0) / high) * (height - below - 18.0);
    let mut svg = format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}"><text x="{left}" y="12">{title}</text>"#);
    let _ = write!(
        svg,
        r#"<path class="axis" fill="none" d="M{left} 18V{0}H{width}"/><text x="{1}" y="{0}" text-anchor="end">0</text><text x="{1}" y="24" text-anchor="end">{high:.2}</text><text x="{width}" y="{2}" text-anchor="end">step {last}</text>"#,
        y(0.0),
        left - 4.0,
        height - 6.0,
    );
    for &level in levels {
        let _ = write!(svg, r#"<path class="bar" d="M{left} {0:.1}H{width}"/>"#, y(level));
    }
    for Line { colour, thin, points } in lines {
        let path: Vec<String> = points.iter().filter(|p| p.1.is_finite()).map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b))).collect();
        let class = if *thin { r#" class="thin""# } else { "" };
        let _ = write!(
            svg,
            r#"<polyline{class} stroke="{colour}" stroke-width="{}" points="{}"/>"#,
            if *thin { 0.7 } else { 1.5 },
            path.join(" ")
        );
    }
    svg + "</svg>"
}

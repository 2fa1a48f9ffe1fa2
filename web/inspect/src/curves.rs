//! Training runs: the curves of their logs.

use data::{RlStep, TrainEvent, TrainStep};
use leptos::prelude::*;
use web_sys::Blob;

use super::open::records;
use super::state::Inspector;

/// A chart's size.
const SIZE: (f64, f64) = (420.0, 140.0);
/// Points that are drawn of a curve: one for each pixel or so, the mean of its neighbours.
const POINTS: usize = 420;

/// A run, as far as curves need it.
#[derive(Clone, Debug)]
pub struct Run {
    /// The file, and the model.
    pub name: String,
    /// In this order.
    pub charts: Vec<Chart>,
    /// Alarms and how it ended.
    pub said: Vec<String>,
    /// Lines that cannot be read.
    pub bad: usize,
}

/// A quantity over the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it is, with its unit.
    pub name: &'static str,
    /// Lines of the chart: name, and value by step.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Run {
    /// Reads a log.
    pub async fn read(name: &str, blob: &Blob) -> Result<Self, String> {
        let (events, bad) = records::<TrainEvent>(blob).await;
        if events.is_empty() {
            return Err("none of its lines is of a training run's log".into());
        }
        Ok(Self::of(name, &events, bad))
    }

    fn of(file: &str, events: &[TrainEvent], bad: usize) -> Self {
        let (mut name, mut said) = (file.to_string(), Vec::new());
        for event in events {
            match event {
                TrainEvent::Started(start) => {
                    let model = start.model.rsplit('/').next().unwrap_or(&start.model);
                    let count = |count: u64| super::number(count as f64);
                    name = format!(
                        "{file}: {model}, {} parameters, {} of them trained, {}",
                        count(start.parameters),
                        count(start.trained),
                        start.machine.device
                    );
                }
                TrainEvent::Alarm { step, message, .. } => said.push(format!("step {step}: {message}")),
                TrainEvent::Stopped { step, reason, .. } => said.push(format!("step {step}: stopped ({reason:?})")),
                _ => {}
            }
        }
        let endless = std::cell::Cell::new(0);
        let line = |name: &str, value: &dyn Fn(&TrainEvent) -> Option<f32>| {
            let points = events.iter().filter_map(|event| Some((event.step() as f64, f64::from(value(event)?))));
            let finite = |(_, value): &(f64, f64)| {
                endless.set(endless.get() + usize::from(!value.is_finite()));
                value.is_finite()
            };
            (name.to_string(), points.filter(finite).collect::<Vec<_>>())
        };
        let rl = |name: &str, value: &dyn Fn(&RlStep) -> Option<f32>| {
            line(name, &|event| if let TrainEvent::Rl(step) = event { value(step) } else { None })
        };
        let step = |name: &str, value: &dyn Fn(&TrainStep) -> Option<f32>| {
            line(name, &|event| if let TrainEvent::Step(step) = event { value(step) } else { None })
        };
        let mut tasks: Vec<&str> = Vec::new();
        for event in events {
            if let TrainEvent::Rl(step) = event {
                step.tasks.iter().for_each(|task| {
                    if !tasks.contains(&task.task.as_str()) {
                        tasks.push(&task.task)
                    }
                });
            }
        }
        let lengths = tasks.iter().map(|name| rl(name, &|step| step.tasks.iter().find(|task| task.task == *name).map(|task| task.tokens)));
        let charts = vec![
            Chart {
                name: "reward",
                lines: vec![
                    rl("rollouts", &|step| Some(step.reward)),
                    line("held out", &|event| if let TrainEvent::RlValidation(seen) = event { Some(seen.reward) } else { None }),
                ],
            },
            Chart {
                name: "entropy, nats",
                lines: vec![
                    rl("entropy", &|step| Some(step.entropy)),
                    rl("low threshold", &|step| step.thresholds.map(|(low, _)| low)),
                    rl("high threshold", &|step| step.thresholds.map(|(_, high)| high)),
                ],
            },
            Chart {
                name: "loss, nats",
                lines: vec![
                    step("training", &|step| Some(step.loss)),
                    line("held out", &|event| if let TrainEvent::Validation { loss, .. } = event { Some(*loss) } else { None }),
                ],
            },
            Chart { name: "tokens of a completion", lines: lengths.collect() },
            Chart {
                name: "share of groups with one reward",
                lines: vec![rl("all the same", &|step| Some(step.zero_variance as f32 / (step.groups as f32).max(1.0)))],
            },
            Chart {
                name: "gradient norm",
                lines: vec![rl("update", &|step| Some(step.grad_norm)), step("step", &|step| Some(step.grad_norm))],
            },
        ];
        let full = |mut chart: Chart| {
            chart.lines.retain(|(_, points)| !points.is_empty());
            (!chart.lines.is_empty()).then_some(chart)
        };
        if endless.get() > 0 {
            said.push(format!("{} values are not finite, and not drawn", endless.get()));
        }
        Self { name, charts: charts.into_iter().filter_map(full).collect(), said, bad }
    }
}

/// All runs that are open, latest last.
#[component]
pub fn RunsView(inspector: Inspector) -> impl IntoView {
    move || {
        let runs = inspector.runs.get();
        if runs.is_empty() {
            return view! { <p class="soft inspect-empty">"Open the events.jsonl of a run of `longhand train` to see its curves."</p> }
                .into_any();
        }
        runs.iter()
            .map(|run| {
                let said = run.said.iter().map(|line| view! { <li>{line.clone()}</li> }).collect_view();
                let charts = run.charts.iter().map(|chart| view! { <ChartView chart=chart.clone() /> }).collect_view();
                let (bad, none) = (run.bad, run.said.is_empty());
                view! {
                    <section class="inspect-run" data-test="run">
                        <h2>{run.name.clone()}</h2>
                        <p class="problem" hidden=move || bad == 0>{format!("{bad} lines of this log cannot be read.")}</p>
                        <div class="inspect-charts">{charts}</div>
                        <details hidden=none><summary>"Alarms and end"</summary><ul>{said}</ul></details>
                    </section>
                }
            })
            .collect_view()
            .into_any()
    }
}

/// Means of neighbours, so that a curve has no more points than pixels.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(POINTS).max(1);
    let mean = |group: &[(f64, f64)]| {
        let (x, y) = group.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (x / group.len() as f64, y / group.len() as f64)
    };
    points.chunks(group).map(mean).collect()
}

#[component]
fn ChartView(chart: Chart) -> impl IntoView {
    let all = || chart.lines.iter().flat_map(|(_, points)| points);
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        all().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (across, up) = (bounds(|point| point.0), bounds(|point| point.1));
    let scale =
        move |(low, high): (f64, f64), value: f64, size: f64| if high > low { (value - low) / (high - low) * size } else { size / 2.0 };
    let place = move |(x, y): (f64, f64)| (scale(across, x, SIZE.0 - 8.0) + 4.0, SIZE.1 - 4.0 - scale(up, y, SIZE.1 - 8.0));
    let paths = chart.lines.iter().enumerate().map(|(number, (_, points))| {
        let path: Vec<String> = thinned(points).into_iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        view! { <polyline points=path.join(" ") data-line=number.to_string() /> }
    });
    let paths = paths.collect_view();
    // The step under the pointer, or where the arrow keys went.
    let at = RwSignal::new(None::<f64>);
    let first: Vec<f64> = chart.lines[0].1.iter().map(|point| point.0).collect();
    let nearest = move |step: f64| first.iter().copied().min_by(|a, b| (a - step).abs().total_cmp(&(b - step).abs())).unwrap_or(step);
    let steps: Vec<f64> = chart.lines[0].1.iter().map(|point| point.0).collect();
    let moved = move |event: web_sys::MouseEvent| {
        let element: web_sys::Element = event_target(&event);
        let svg = element.closest("svg").ok().flatten().unwrap_or(element);
        let place = svg.get_bounding_client_rect();
        let share = (f64::from(event.client_x()) - place.left()) / place.width().max(1.0);
        at.set(Some(nearest(across.0 + share.clamp(0.0, 1.0) * (across.1 - across.0))));
    };
    let key = move |event: web_sys::KeyboardEvent| {
        let now = at.get_untracked().and_then(|step| steps.iter().position(|known| *known == step)).unwrap_or(steps.len() - 1);
        let next = match event.key().as_str() {
            "ArrowLeft" => now.saturating_sub(1),
            "ArrowRight" => (now + 1).min(steps.len() - 1),
            _ => return,
        };
        event.prevent_default();
        at.set(Some(steps[next]));
    };
    let (name, lines) = (chart.name, chart.lines.clone());
    let legend = lines
        .iter()
        .enumerate()
        .map(|(number, (name, _))| view! { <span data-line=number.to_string()>{name.clone()}</span> })
        .collect_view();
    let told = move || match at.get() {
        None => format!("{} to {} at steps {} to {}", figure(up.0), figure(up.1), across.0, across.1),
        Some(step) => {
            let near = |points: &[(f64, f64)]| points.iter().rev().find(|point| point.0 <= step).map(|point| figure(point.1));
            let values = lines.iter().filter_map(|(name, points)| Some(format!("{name} {}", near(points)?)));
            format!("step {step}: {}", values.collect::<Vec<_>>().join(", "))
        }
    };
    let line = move || {
        at.get().map(|step| {
            let (x, _) = place((step, up.0));
            view! { <line class="inspect-cursor" x1=x x2=x y1="0" y2=SIZE.1 /> }
        })
    };
    view! {
        <figure class="inspect-chart" data-test="curve">
            <figcaption><b>{name}</b><span class="inspect-legend">{legend}</span></figcaption>
            <svg viewBox=format!("0 0 {} {}", SIZE.0, SIZE.1) role="img" tabindex="0" aria-label=format!("{name} over steps; arrow keys move along it")
                on:mousemove=moved on:mouseleave=move |_| at.set(None) on:keydown=key>
                {paths}{line}
            </svg>
            <p class="soft" role="status" data-test="curve-value">{told}</p>
        </figure>
    }
}

/// Three digits or so.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

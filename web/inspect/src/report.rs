//! The dataset as a whole: what became of every candidate, beside what the paper says, and the candidates that were dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use leptos::prelude::*;
use serde_json::Value;

use super::beside::Rejected;
use super::state::Inspector;

/// Rejects that are shown at once.
const SHOWN: usize = 100;

/// Identity, waterfall, rejects, damaged lines.
#[component]
pub fn DatasetView(inspector: Inspector) -> impl IntoView {
    let identity = move || {
        let hash = inspector.hash.get()?;
        let reported = inspector.report.get().and_then(|report| report["sha256"].as_str().map(String::from));
        let told = match &reported {
            Some(reported) if *reported == hash => "The rows are those that the report is about.",
            Some(_) => "The rows are not those that the report is about: their hashes differ.",
            None => "There is no report beside the rows.",
        };
        let bad = reported.is_some_and(|reported| reported != hash);
        Some(
            view! { <p data-test="identity"><span class=if bad { "problem" } else { "" }>{told}</span><br /><span class="soft">"SHA-256 "<code>{hash}</code></span></p> },
        )
    };
    let damaged = move || {
        inspector.damaged.with(|damaged| {
            (damaged.count > 0).then(|| {
                let lines = damaged.first.iter().map(|(number, why)| view! { <li>{format!("line {number}: {why}")}</li> }).collect_view();
                view! { <section data-test="damaged"><h2>{format!("Damaged lines: {}", damaged.count)}</h2><ul>{lines}</ul></section> }
            })
        })
    };
    view! {
        <div class="inspect-dataset" data-test="dataset">
            {identity}{damaged}
            {move || match inspector.report.get() {
                Some(report) => waterfall(&report).into_any(),
                None => view! { <p class="soft">"Open report.json as well to see what became of every candidate."</p> }.into_any(),
            }}
            {move || rejects(&inspector.rejects.get())}
        </div>
    }
}

fn count(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

/// All groups together beside the paper, then each of them.
fn waterfall(report: &Value) -> impl IntoView + use<> {
    let groups: Vec<&Value> = report["groups"].as_array().into_iter().flatten().collect();
    let sum = |name: &str| groups.iter().map(|group| count(&group["waterfall"][name])).sum::<f64>();
    let (made, kept) = (sum("made"), sum("kept"));
    // Tries that gave no question are no candidates; beside them the share is another.
    let tries: f64 =
        groups.iter().flat_map(|group| group["waterfall"]["tries"].as_object()).flat_map(|tries| tries.values()).map(inner).sum();
    let paper = groups.first().map_or(0.0, |group| count(&group["waterfall"]["paper"]["share"]));
    let bars = [
        ("kept of the questions made", kept / made.max(1.0)),
        ("kept of all tries, those without a question included", kept / (made + tries).max(1.0)),
        ("the paper keeps", paper),
    ];
    let bars = bars.map(|(name, share)| {
        view! { <tr><th scope="row">{name}</th><td class="inspect-number">{percent(share)}</td><td class="inspect-wide-cell">{bar(share, 0.0)}</td></tr> }
    });
    let listed = groups.iter().map(|group| group_view(group)).collect_view();
    view! {
        <section data-test="waterfall">
            <h2>{format!("{} of {} questions were kept", super::number(kept), super::number(made))}</h2>
            <table><tbody>{bars.into_iter().collect_view()}</tbody></table>
            {listed}
        </section>
    }
}

fn inner(reasons: &Value) -> f64 {
    reasons.as_object().into_iter().flat_map(|reasons| reasons.values()).map(count).sum()
}

/// What went on, and what was dropped, as shares of one.
fn bar(went: f64, dropped: f64) -> impl IntoView {
    view! {
        <svg class="inspect-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
            <rect width=100.0 * went height="8" />
            <rect class="inspect-dropped" x=100.0 * went width=100.0 * dropped height="8" />
        </svg>
    }
}

fn group_view(group: &Value) -> impl IntoView + use<> {
    let fall = &group["waterfall"];
    let made = count(&fall["made"]).max(1.0);
    let steps = fall["steps"].as_array().into_iter().flatten().map(|step| {
        let (came, went) = (count(&step["in"]), count(&step["out"]));
        view! {
            <tr><th scope="row">{step["check"].as_str().unwrap_or_default().replace('_', " ")}</th>
                <td class="inspect-number">{super::number(came)}</td><td class="inspect-number">{super::number(went)}</td>
                <td class="inspect-wide-cell">{bar(went / made, (came - went) / made)}</td><td>{often(&step["reasons"])}</td></tr>
        }
    });
    let steps = steps.collect_view();
    let tries = fall["tries"].as_object().into_iter().flatten().map(|(check, reasons)| {
        view! { <li>{format!("{check}: {}", super::number(inner(reasons)))}<span class="soft">{format!(" · {}", often(reasons))}</span></li> }
    });
    let tries = tries.collect_view();
    let not_run: Vec<String> = fall["not_run"].as_object().into_iter().flatten().map(|(check, rows)| format!("{check} ({rows})")).collect();
    let name = format!("{}: {} of {} rows", group["name"].as_str().unwrap_or_default(), count(&group["kept"]), count(&group["wanted"]));
    let short = group["short"].as_str().unwrap_or_default().to_string();
    view! {
        <details data-test="group"><summary>{name}<span class="soft">{format!(" · {} kept", percent(count(&fall["share"])))}</span></summary>
            <p hidden=short.is_empty()>{format!("Fewer than wanted: {short}.")}</p>
            <div class="inspect-wide"><table>
                <thead><tr><th scope="col">"step"</th><th scope="col">"in"</th><th scope="col">"out"</th><th scope="col"><span class="soft">"share"</span></th><th scope="col">"dropped because"</th></tr></thead>
                <tbody>{steps}</tbody></table></div>
            <p class="soft" hidden=not_run.is_empty()>{format!("Not run for rows that are left: {}.", not_run.join(", "))}</p>
            <p>"Tries that gave no question:"</p><ul>{tries}</ul>
        </details>
    }
}

/// The commonest reasons.
fn often(reasons: &Value) -> String {
    let mut reasons: Vec<(&String, f64)> =
        reasons.as_object().into_iter().flatten().map(|(reason, value)| (reason, count(value))).collect();
    reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let more = reasons.len().saturating_sub(3);
    let mut out: Vec<String> = reasons.iter().take(3).map(|(reason, count)| format!("{reason} ({count})")).collect();
    out.extend((more > 0).then(|| format!("and {more} other reasons")));
    out.join("; ")
}

/// Rejects by check, with a search.
fn rejects(all: &Arc<Vec<Rejected>>) -> Option<impl IntoView + use<>> {
    if all.is_empty() {
        return None;
    }
    let mut checks: BTreeMap<String, usize> = BTreeMap::new();
    all.iter().for_each(|reject| *checks.entry(reject.check.clone()).or_default() += 1);
    let (check, search) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let (total, all) = (all.len(), all.clone());
    let found = Memo::new(move |_| {
        let (check, search) = (check.get(), search.get().to_lowercase());
        let is = |reject: &&Rejected| {
            (check.is_empty() || check == reject.check)
                && [&reject.questions, &reject.reason, &reject.question]
                    .iter()
                    .any(|text| search.is_empty() || text.to_lowercase().contains(&search))
        };
        let lines: Vec<[String; 4]> = (all.iter().filter(is).take(SHOWN))
            .map(|reject| [reject.questions.clone(), reject.check.clone(), reject.reason.clone(), asked(reject)])
            .collect();
        (lines, all.iter().filter(is).count())
    });
    let options = checks
        .into_iter()
        .map(|(check, count)| view! { <option value=check.clone()>{format!("{check} ({count})")}</option> })
        .collect_view();
    Some(view! {
        <section data-test="rejects">
            <h2>{format!("Rejects: {}", super::number(total as f64))}</h2>
            <form class="inspect-filters" on:submit=move |event| event.prevent_default()>
                <label>"Check"<select data-test="reject-check" on:change=move |event| check.set(event_target_value(&event))><option value="">"all"</option>{options}</select></label>
                <label class="inspect-search">"Search"<input type="search" data-test="reject-search" on:input=move |event| search.set(event_target_value(&event)) /></label>
            </form>
            <p class="soft" role="status">{move || { let (lines, all) = found.get(); format!("{} of {all} shown", lines.len()) }}</p>
            <div class="inspect-wide"><table><thead><tr><th scope="col">"for"</th><th scope="col">"check"</th><th scope="col">"reason"</th><th scope="col">"question"</th></tr></thead>
                <tbody>{move || found.get().0.into_iter().map(|line| view! { <tr data-test="rejected">{line.map(|text| view! { <td>{text}</td> }).into_iter().collect_view()}</tr> }).collect_view()}</tbody></table></div>
        </section>
    })
}

fn asked(reject: &Rejected) -> String {
    match reject.answers.first() {
        Some(answer) => format!("{} — {answer}", reject.question),
        None => reject.question.clone(),
    }
}

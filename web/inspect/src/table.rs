//! The table of rows, and which of them are shown: only the rows in sight are elements, whatever the dataset's size.

use std::collections::BTreeSet;

use leptos::html;
use leptos::prelude::*;

use super::index::{Entry, LENGTHS, length_name};
use super::state::Inspector;

/// Height of a row in pixels, as in the style sheet.
const HEIGHT: f64 = 72.0;
/// Height of the heading, about.
const HEAD: f64 = 36.0;
/// Rows above and below those in sight.
const MARGIN: usize = 6;

/// The table.
#[component]
pub fn TableView(inspector: Inspector) -> impl IntoView {
    let place = NodeRef::<html::Div>::new();
    let (top, view_height) = (RwSignal::new(0.0), RwSignal::new(600.0));
    let measure = move || {
        if let Some(element) = place.get_untracked() {
            top.set(f64::from(element.scroll_top()));
            view_height.set(f64::from(element.client_height().max(1)));
        }
    };
    // The selected row stays in sight.
    Effect::new(move || {
        let shown = inspector.shown.get();
        let Some(at) = inspector.selected.get().and_then(|selected| shown.iter().position(|index| *index == selected)) else { return };
        let Some(element) = place.get() else { return };
        measure();
        let (from, to) = (at as f64 * HEIGHT, (at + 1) as f64 * HEIGHT);
        let (seen, height) = (top.get_untracked(), view_height.get_untracked());
        if from < seen {
            element.set_scroll_top(from as i32);
        } else if to + HEAD > seen + height {
            element.set_scroll_top((to + HEAD - height) as i32);
        }
    });
    let window = Memo::new(move |_| {
        let first = ((top.get() / HEIGHT) as usize).saturating_sub(MARGIN);
        let count = (view_height.get() / HEIGHT) as usize + 2 * MARGIN + 2;
        (first, count)
    });
    let rows = move || {
        let (shown, (first, count)) = (inspector.shown.get(), window.get());
        let last = (first + count).min(shown.len());
        (first.min(last)..last).map(|at| (at, shown[at])).collect::<Vec<_>>()
    };
    view! {
        <div class="inspect-table" role="grid" tabindex="0" data-test="rows" aria-label="Rows of the dataset: j and k move, Enter opens"
            aria-rowcount=move || inspector.shown.get().len() + 1
            aria-colcount="4"
            aria-activedescendant=move || inspector.selected.get().map(|index| format!("inspect-row-{index}"))
            node_ref=place on:scroll=move |_| measure()>
            <div role="row" class="inspect-head" aria-rowindex="1">
                <span role="columnheader">"question"</span><span role="columnheader">"kind"</span>
                <span role="columnheader">"tokens"</span><span role="columnheader">"checks"</span>
            </div>
            <div class="inspect-space" role="presentation" style:height=move || format!("{}px", inspector.shown.get().len() as f64 * HEIGHT)>
                <For each=rows key=|(at, index)| (*at, *index) children=move |(at, index)| view! { <Row inspector=inspector at=at index=index /> } />
            </div>
        </div>
    }
}

#[component]
fn Row(inspector: Inspector, at: usize, index: usize) -> impl IntoView {
    let Some(entry) = inspector.entries.with_untracked(|entries| entries.get(index).cloned()) else { return ().into_any() };
    let chosen = move || inspector.selected.get() == Some(index);
    let id = entry.id.clone();
    let judged = move || {
        inspector.judged.with(|judged| {
            let judgement = judged.get(&id).cloned().unwrap_or_default();
            let verdict = match judgement.verdict.as_str() {
                "accept" => "accepted",
                "reject" => "rejected",
                _ => "",
            };
            let note = if judgement.note.is_empty() { "" } else { "noted" };
            [verdict, note].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
        })
    };
    view! {
        <div role="row" class="inspect-row" data-test="row" id=format!("inspect-row-{index}") aria-rowindex=at + 2
            aria-selected=move || if chosen() { "true" } else { "false" }
            style:top=format!("{}px", at as f64 * HEIGHT)
            on:click=move |_| inspector.open_row(index)>
            <span role="gridcell" class="inspect-question" dir="auto">{entry.question.clone()}</span>
            <span role="gridcell"><b>{entry.task.replace('_', " ")}</b><small>{kind(&entry)}</small></span>
            <span role="gridcell" class="inspect-number">{super::number(entry.tokens as f64)}</span>
            <span role="gridcell"><span class="inspect-verdict" data-verdict=entry.verdict.name().split(' ').next()>{entry.verdict.name()}</span><small>{judged}</small></span>
        </div>
    }
    .into_any()
}

fn kind(entry: &Entry) -> String {
    format!("{} · {} {}", entry.engine, entry.hops, if entry.hops == 1 { "link" } else { "links" })
}

/// A choice of one filter; the first lets all through.
fn choice(
    name: &'static str,
    test: &'static str,
    value: impl Fn() -> String + Copy + Send + 'static,
    set: impl Fn(String) + Copy + 'static,
    options: impl Fn() -> Vec<(String, String)> + Send + 'static,
) -> impl IntoView {
    view! {
        <label>{name}
            <select data-test=test prop:value=value on:change=move |event| set(event_target_value(&event))>
                <option value="">"all"</option>
                {move || options().into_iter().map(|(value, name)| view! { <option value=value>{name}</option> }).collect_view()}
            </select>
        </label>
    }
}

/// Search and filters.
#[component]
pub fn Filters(inspector: Inspector) -> impl IntoView {
    let filter = inspector.filter;
    // A row that the filter takes away is not the one that keys act on.
    Effect::new(move || {
        let shown = inspector.shown.get();
        if inspector.selected.get_untracked().is_none_or(|selected| !shown.contains(&selected)) {
            inspector.selected.set(shown.first().copied());
        }
    });
    // What there is to choose from, told anew only when it changes.
    let kinds = Memo::new(move |_| {
        inspector.entries.with(|entries| {
            let mut kinds = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::<String>::new());
            for entry in entries {
                if !kinds.0.contains(&entry.task) {
                    kinds.0.insert(entry.task.clone());
                }
                kinds.1.insert(entry.engine);
                kinds.2.insert(entry.hops);
                for line in entry.outcomes.lines() {
                    if !kinds.3.contains(line) {
                        kinds.3.insert(line.into());
                    }
                }
            }
            kinds
        })
    });
    let plain = |value: String| (value.clone(), value.replace('_', " "));
    view! {
        <form class="inspect-filters" role="search" aria-label="Rows" on:submit=move |event| event.prevent_default()>
            <label class="inspect-search">"Search ( / )"
                <input type="search" data-test="search" id="inspect-search" placeholder="question, answer, entity"
                    prop:value=move || filter.with(|filter| filter.search.clone())
                    on:input=move |event| filter.update(|filter| filter.search = event_target_value(&event)) />
            </label>
            {choice("Task", "filter-task", move || filter.with(|f| f.task.clone()), move |value| filter.update(|f| f.task = value),
                move || kinds.get().0.into_iter().map(plain).collect())}
            {choice("Engine", "filter-engine", move || filter.with(|f| f.engine.clone()), move |value| filter.update(|f| f.engine = value),
                move || kinds.get().1.into_iter().map(|name| plain(name.to_string())).collect())}
            {choice("Links", "filter-hops", move || filter.with(|f| f.hops.clone()), move |value| filter.update(|f| f.hops = value),
                move || kinds.get().2.into_iter().map(|hops| plain(hops.to_string())).collect())}
            {choice("Tokens", "filter-length", move || filter.with(|f| f.length.clone()), move |value| filter.update(|f| f.length = value),
                || (0..=LENGTHS.len()).map(|class| (class.to_string(), length_name(class))).collect())}
            {choice("Checks", "filter-verdict", move || filter.with(|f| f.verdict.clone()), move |value| filter.update(|f| f.verdict = value),
                move || ["all passed", "some not run", "failed"].map(String::from).into_iter().chain(kinds.get().3).map(plain).collect())}
            {choice("Yours", "filter-judged", move || filter.with(|f| f.judged.clone()), move |value| filter.update(|f| f.judged = value),
                move || ["accepted", "rejected", "noted", "none"].map(|name| plain(name.into())).to_vec())}
        </form>
        <p class="inspect-count soft" role="status" data-test="count">{move || {
            let (shown, all) = (inspector.shown.get().len(), inspector.entries.with(Vec::len));
            let damaged = inspector.damaged.with(|damaged| damaged.count);
            let bad = if damaged > 0 { format!("; {damaged} lines are damaged") } else { String::new() };
            match inspector.progress.get() {
                Some((read, of)) => format!("{shown} of {all} rows so far; {:.0} of {:.0} MB read{bad}", read as f64 / 1e6, of as f64 / 1e6),
                None => format!("{shown} of {all} rows{bad}"),
            }
        }}</p>
    }
}
